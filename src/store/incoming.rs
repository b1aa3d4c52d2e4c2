//! Changes that came from other replicas: stored, and applied once all is here that their authors
//! had seen.
//!
//! Storing and applying are two steps: a run whose context is missing is durable at once and waits in
//! its log. An operation that cannot be applied is set aside and never stops what follows it.
//!
//! Must never apply a change before its context, twice, or beyond the point at which its author was cut off.

use std::sync::Arc;

use islet_sync::apply::{self, ApplyError};
use islet_sync::causality::{self, Causality, Mark, Ready, Sighting, mark};
use islet_sync::chain::SignedHead;
use islet_sync::change::{self, DecodeError};
use islet_sync::dot::VersionVector;
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::op::Op;
use islet_sync::register::Stamp;
use islet_sync::segment::{self, Change, Segment};
use rusqlite::params;

use super::logs::{self, KnownLog, Run};
use super::marks::Marks;
use super::rows::Rows;
use super::{StoreError, WriteTx, members, patients, reconcile, removal, sessions};
use crate::limits;

/// A run of changes, decoded.
#[derive(Debug)]
pub struct Decoded {
    /// The changes.
    pub segment: Segment,
    /// Marks of the chain hashes from a seq on, when they were counted.
    pub marks: (u64, Vec<Mark>),
}

impl Decoded {
    /// Of a run that is stored.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let segment =
            segment::decode(bytes).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(Self {
            segment,
            marks: (0, Vec::new()),
        })
    }

    fn mark_at(&self, seq: u64) -> Option<Mark> {
        let (first, marks) = &self.marks;
        marks
            .get(usize::try_from(seq.checked_sub(*first)?).ok()?)
            .copied()
    }
}

/// Stores a run that was checked against `known`. Returns false, and does nothing, when the log has
/// moved on since: check it again.
///
/// # Errors
/// When the disk fails.
pub fn store_run(
    tx: &mut WriteTx<'_>,
    known: &KnownLog,
    hlc: Hlc,
    run: &Run,
    end: &SignedHead,
) -> Result<bool, StoreError> {
    let now = logs::known_log(tx, run.number)?;
    if now.is_none_or(|now| now.head != known.head) {
        return Ok(false);
    }
    logs::insert_run(tx, hlc, run, &end.head)?;
    logs::set_stored(tx, run.number, &end.head)?;
    tx.state_mut().stored_runs += 1;
    Ok(true)
}

/// Applies what a run brings beyond what is applied of its log, as far as contexts are here, and
/// one transaction's worth of operations or until a person waits; nothing when something before it is missing. Answers
/// with how many changes it applied.
///
/// # Errors
/// When the disk fails.
pub fn apply_run(
    tx: &mut WriteTx<'_>,
    number: ReplicaNumber,
    run: &Decoded,
) -> Result<usize, StoreError> {
    let next = tx.state().causality.applied().seq(number) + 1;
    if run.segment.first_seq > next {
        return Ok(0);
    }
    let new = run
        .segment
        .changes()
        .skip_while(|(seq, _)| *seq < next)
        .map(|(_, change)| change);
    apply_changes(tx, number, new, |seq| run.mark_at(seq))
}

fn apply_changes<'s>(
    tx: &mut WriteTx<'_>,
    number: ReplicaNumber,
    changes: impl Iterator<Item = Change<'s>>,
    mark_at: impl FnOnce(u64) -> Option<Mark>,
) -> Result<usize, StoreError> {
    let (me, own) = (tx.state().me, tx.state().head);
    let mut causality = Arc::clone(&tx.state().causality);
    let whole = Arc::make_mut(&mut causality);
    whole.restore(me, own.seq, mark(&own.hash));
    let marks = tx.state().marks.clone();
    let cut = members::cut_of(tx, number)?;
    let mut rows = Rows::new(tx.connection_of(), tx.now_of(), tx.state().newest.clone());
    let (mut done, mut ops_done, mut said) = (0, 0, Vec::new());
    let (mut look_at, ops_max) = (limits::APPLY_LOOK_OPS, tx.apply_ops());
    let mut newest = Hlc::default();
    for change in changes {
        if ops_done >= ops_max || (ops_done >= look_at && tx.somebody_waits()) {
            break;
        }
        look_at = look_at.max(ops_done + limits::APPLY_LOOK_OPS);
        let seq = whole.applied().seq(number) + 1;
        let ops = match change::decode(&change.ops) {
            Ok(ops) => ops,
            Err(error) => {
                refuse_change(&rows, number, seq, &error)?;
                Vec::new()
            }
        };
        let seen = causality::seen(&ops);
        if !is_ready(&rows, whole, &marks, &seen)? {
            break;
        }
        let context = whole.enter(number, &seen, 0);
        let stamp = Stamp {
            hlc: change.hlc,
            replica: number,
            seq,
        };
        // What its node wrote after it was thrown out was seen by others perhaps, and has no effect.
        let counts = cut.is_none_or(|cut| seq <= cut);
        for (position, op) in ops.iter().enumerate().skip(seen.len()).filter(|_| counts) {
            apply_op(&mut rows, context, stamp, op, position)?;
        }
        said.extend(seen);
        newest = newest.max(change.hlc);
        ops_done += ops.len().max(1);
        done += 1;
    }
    if done == 0 {
        return Ok(0);
    }
    let applied = whole.applied().seq(number);
    let applied_mark = match mark_at(applied) {
        Some(mark) => mark,
        None => marks.at(&rows, number, applied)?.unwrap_or_default(),
    };
    whole.restore(number, applied, applied_mark);
    let Rows {
        ends_sessions,
        forked,
        readings,
        touched_queue,
        recount,
        touched_members,
        ..
    } = rows;
    for (patient, days) in readings.counted {
        if !recount.contains(&patient) {
            patients::count_past_readings(tx, patient, &days)?;
        }
    }
    for patient in recount {
        patients::recount(tx, patient)?;
    }
    if ends_sessions {
        tx.end_sessions();
    }
    logs::set_applied(tx, number, applied, applied_mark)?;
    logs::save_context(tx.connection_of(), number, &said)?;
    if let Some(cut) = cut {
        removal::note_counted(tx, number, applied.min(cut))?;
    }
    if touched_members {
        removal::note_heard(tx)?;
    }
    let now_ms = tx.now_of().0;
    let state = tx.state_mut();
    state.hlc = state.hlc.observe(newest, now_ms);
    state.unsaid = Arc::new(causality.unsaid(state.me));
    state.causality = causality;
    sessions::end_forked(tx, &forked)?;
    if touched_queue {
        reconcile::reconcile(tx)?;
    }
    Ok(done)
}

/// Whether all that the author of a change had seen is applied here, and is the same here.
fn is_ready(
    rows: &Rows<'_>,
    causality: &Causality,
    marks: &Marks,
    seen: &[Sighting],
) -> Result<bool, StoreError> {
    let mut failed = None;
    let ready = causality.is_ready(seen, |of, seq| {
        if causality.applied().seq(of) == seq && causality.mark(of).is_some() {
            return causality.mark(of);
        }
        marks.at(rows, of, seq).unwrap_or_else(|error| {
            failed = Some(error);
            None
        })
    });
    if let Some(error) = failed {
        return Err(error);
    }
    if let Ready::OtherBranch(sighting) = ready {
        let of = sighting.of.get();
        tracing::warn!(
            replica = of,
            seq = sighting.seq,
            "a change waits: its author had seen another log of that replica"
        );
    }
    Ok(ready == Ready::Now)
}

fn apply_op(
    rows: &mut Rows<'_>,
    context: &VersionVector,
    stamp: Stamp,
    op: &Op<'_>,
    position: usize,
) -> Result<(), StoreError> {
    let reason = match apply::apply(rows, context, stamp, op) {
        Ok(()) => return Ok(()),
        Err(ApplyError::Refused(refusal)) => refusal.to_string(),
        // A CHECK sees the values alone, and rows that are referred to come before in every order; keys that two
        // nodes may both give out have no constraint (`collisions`, `twins`). So it is refused on every node.
        Err(ApplyError::State(error)) if error.is_constraint() => error.to_string(),
        Err(ApplyError::State(error)) => return Err(error),
    };
    refuse(rows, stamp.replica, stamp.seq, position, op.entity, &reason)
}

fn refuse_change(
    rows: &Rows<'_>,
    number: ReplicaNumber,
    seq: u64,
    error: &DecodeError,
) -> Result<(), StoreError> {
    refuse(rows, number, seq, 0, 0, &error.to_string())
}

fn refuse(
    rows: &Rows<'_>,
    number: ReplicaNumber,
    seq: u64,
    position: usize,
    entity: u8,
    reason: &str,
) -> Result<(), StoreError> {
    tracing::warn!(
        replica = number.get(),
        seq,
        position,
        reason,
        "an operation was set aside"
    );
    let sql = "INSERT OR REPLACE INTO refused_op (number, seq, position, entity, reason) VALUES (?, ?, ?, ?, ?)";
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    rows.execute(
        sql,
        params![number.get(), seq.cast_signed(), position, entity, reason],
    )?;
    Ok(())
}
