//! Marks of chain hashes (`islet_sync::causality::Mark`) at any seq of a stored log.
//!
//! They are not stored, since they would cost more than the changes; they are counted again from the run that
//! holds the seq, and what was counted is kept for the next question, which is as a rule about the same run.

use std::sync::{Arc, Mutex, PoisonError};

use islet_sync::causality::{Mark, mark};
use islet_sync::chain::{self, Head};
use islet_sync::id::ReplicaNumber;
use islet_sync::segment;

use super::tx::{Read, one};
use super::{StoreError, logs, replica};

/// Runs whose marks are kept: one or two for each author of a network. A run has up to 4,096, 16 KiB.
const RUNS_MAX: usize = 64;

/// The marks of one run.
#[derive(Debug)]
struct Counted {
    number: ReplicaNumber,
    first_seq: u64,
    marks: Vec<Mark>,
}

/// What was counted; shared by the copies of the writer's state.
#[derive(Clone, Debug, Default)]
pub struct Marks(Arc<Mutex<Vec<Counted>>>);

impl Marks {
    /// The mark of a log at `seq`; `None` when it is not stored that far.
    pub(super) fn at(
        &self,
        tx: &impl Read,
        number: ReplicaNumber,
        seq: u64,
    ) -> Result<Option<Mark>, StoreError> {
        let mut counted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = counted.iter().find_map(|run| run.get(number, seq)) {
            return Ok(Some(found));
        }
        let Some(run) = count(tx, number, seq)? else {
            return Ok(None);
        };
        let found = run.get(number, seq);
        // The newest changes of a log grow under the same first seq.
        counted.retain(|old| (old.number, old.first_seq) != (run.number, run.first_seq));
        if counted.len() >= RUNS_MAX {
            counted.remove(0);
        }
        counted.push(run);
        Ok(found)
    }

    /// Changes of this replica were undone: their seqs will be those of others.
    pub(super) fn forget(&self) {
        self.0
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clear();
    }
}

impl Counted {
    fn get(&self, number: ReplicaNumber, seq: u64) -> Option<Mark> {
        let at = seq
            .checked_sub(self.first_seq)
            .filter(|_| self.number == number)?;
        self.marks.get(usize::try_from(at).ok()?).copied()
    }
}

fn count(tx: &impl Read, number: ReplicaNumber, seq: u64) -> Result<Option<Counted>, StoreError> {
    let Some(before) = seq.checked_sub(1) else {
        return Ok(None);
    };
    if let Some((_, run)) = logs::run_after(tx, number, before)? {
        let segment =
            segment::decode(&run.bytes).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let start = start_of(tx, number, segment.first_seq)?;
        let digests = segment
            .changes()
            .map(|(_, change)| chain::digest(change.hlc, &change.ops));
        return Ok(Some(Counted {
            number,
            first_seq: segment.first_seq,
            marks: marks(start, digests),
        }));
    }
    if number != replica::number(tx)? {
        return Ok(None);
    }
    let start = logs::sealed_head(tx)?;
    let mut changes = Vec::new();
    loop {
        let after = start.seq + changes.len() as u64;
        let tail = logs::own_tail(tx, after)?;
        if tail.is_empty() {
            break;
        }
        changes.extend(
            tail.iter()
                .map(|(_, change)| chain::digest(change.hlc, &change.ops)),
        );
    }
    Ok(Some(Counted {
        number,
        first_seq: start.seq + 1,
        marks: marks(start, changes.into_iter()),
    }))
}

/// The head before a run.
fn start_of(tx: &impl Read, number: ReplicaNumber, first_seq: u64) -> Result<Head, StoreError> {
    let last = first_seq - 1;
    let sql = "SELECT hash FROM segment WHERE number = ? AND last_seq = ?";
    if let Some(hash) = one(
        tx,
        sql,
        rusqlite::params![number.get(), last.cast_signed()],
        |row| row.get(0),
    )? {
        return Ok(Head { seq: last, hash });
    }
    let own = replica::get(tx)?;
    let base = if own.number == number.get() {
        Some(Head::genesis(own.replica_id))
    } else {
        logs::known_log(tx, number)?.map(|log| log.base)
    };
    match base.filter(|base| base.seq == last) {
        Some(base) => Ok(base),
        None => Err(StoreError::Damaged(format!(
            "changes of replica {} before {first_seq} are missing",
            number.get()
        ))),
    }
}

fn marks(start: Head, digests: impl Iterator<Item = chain::Hash>) -> Vec<Mark> {
    digests
        .scan(start, |head, digest| {
            *head = head.append(&digest);
            Some(mark(&head.hash))
        })
        .collect()
}
