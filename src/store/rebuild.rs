//! Makes the replicated and the derived rows again, from the logs alone.
//!
//! Needed when a log turns out to have been written on in two ways: what it was called so far is another's name now.
//! All of it is one transaction, during which others wait: nobody ever sees half of it. What is of this node
//! alone stays, and follows rows that have another id now. Must never lose a change of this node: it fails rather.

use std::collections::BTreeMap;
use std::sync::Arc;

use islet_sync::causality::mark;
use islet_sync::chain::{self, Head, Signer};
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::segment::Change;
use rusqlite::params;

use super::branches::{Branches, Cuts};
use super::entity::{PATIENT, SESSION, STAFF};
use super::incoming::{Applying, Decoded};
use super::marks::Marks;
use super::newest::Newest;
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx, logs, reconcile, removal, replica, sessions, twins};

/// What the logs make, and what follows from it: each before what it refers to.
const TABLES: [&str; 28] = [
    "refused_op",
    "context",
    "branch_row",
    "branch_meaning",
    "register",
    "collision",
    "settlement",
    "patient_day",
    "patient_counter",
    "patient_link",
    "reading_alias",
    "reading_origin",
    "resolution",
    "appointment",
    "queue_right",
    "queue_entry",
    "queue_day",
    "reading",
    "session_use",
    "refresh_token",
    "session",
    "desk_code",
    "recovery",
    "staff_role",
    "setting",
    "member",
    "staff",
    "patient",
];

/// A log that has another name from a change on: what it was called, and what it is called now.
type Moved = Option<(ReplicaNumber, ReplicaNumber)>;

/// Makes all rows again. The caller appends the audit entry.
///
/// # Errors
/// When the disk fails, a stored run is damaged, or not all changes of this node fit: nothing is changed then.
pub(super) fn rebuild(
    tx: &mut WriteTx<'_>,
    signer: &Signer,
    moved: Moved,
) -> Result<(), StoreError> {
    while logs::seal(tx, signer)? > 0 {}
    let (cuts, kept) = (Cuts::load(tx)?.again(tx)?, Kept::take(tx)?);
    for table in TABLES {
        tx.local(&format!("DELETE FROM {table}"), [])?;
    }
    tx.local("UPDATE log SET applied = 0, applied_mark = 0", [])?;
    let branches = Branches::load(tx.connection_of())?;
    let state = tx.state_mut();
    state.branches = Arc::new(branches);
    // Others than those of before: this may be undone.
    (state.marks, state.newest) = (Marks::default(), Newest::default());
    let mut readers = readers(tx, &cuts)?;
    let mut applying = Applying::afresh(tx);
    for (number, reader) in &readers {
        applying.begin_branches(*number, mark(&reader.head.hash))?;
    }
    let mut moves = true;
    while moves {
        moves = false;
        for (number, reader) in &mut readers {
            moves |= reader.advance(tx, *number, &mut applying)?;
        }
    }
    for (number, reader) in &readers {
        let seq = applying.causality.applied().seq(*number);
        let mark = applying.causality.mark(*number).unwrap_or_default();
        logs::set_applied(tx, *number, seq, mark)?;
        if let Some(cut) = reader.cut {
            removal::note_counted(tx, *number, seq.min(cut))?;
        }
    }
    let (me, own) = (tx.state().me, tx.state().head);
    if applying.causality.applied().seq(me) != own.seq {
        let text = "the changes of this node do not fit the logs of the others";
        return Err(StoreError::Damaged(text.into()));
    }
    let ended = applying.end(tx)?;
    if ended.touched_members {
        removal::note_heard(tx)?;
    }
    tx.end_sessions();
    kept.put_back(tx, moved)?;
    sessions::end_forked(tx, &ended.forked)?;
    reconcile::reconcile(tx)
}

fn readers(tx: &WriteTx<'_>, cuts: &Cuts) -> Result<BTreeMap<ReplicaNumber, Reader>, StoreError> {
    let (me, mut readers) = (tx.state().me, BTreeMap::new());
    for log in logs::known(tx)? {
        let number = log.introduction.number;
        let cut = cuts.of(tx, number, &log.introduction.public_key)?;
        // What took effect here before it was heard of the cut keeps it.
        let counted = logs::counted(tx, number)?;
        let cut = cut.map(|cut| cut.max(counted));
        readers.insert(number, Reader::new(log.base, cut));
    }
    let genesis = Head::genesis(replica::get(tx)?.replica_id);
    readers.insert(me, Reader::new(genesis, None));
    Ok(readers)
}

/// Where the reading of a log is.
struct Reader {
    /// After the last change that was applied.
    head: Head,
    cut: Option<u64>,
    /// The run that holds the next one.
    run: Option<Decoded>,
    ended: bool,
}

impl Reader {
    const fn new(head: Head, cut: Option<u64>) -> Self {
        Self {
            head,
            cut,
            run: None,
            ended: false,
        }
    }

    /// Applies as much as fits now; true when that was something.
    fn advance(
        &mut self,
        tx: &WriteTx<'_>,
        number: ReplicaNumber,
        applying: &mut Applying<'_>,
    ) -> Result<bool, StoreError> {
        let mut moved = false;
        // A branch begins when its log is there.
        if self.ended || applying.causality.applied().seq(number) != self.head.seq {
            return Ok(false);
        }
        loop {
            if self.run.is_none() {
                let run = logs::run_after(tx, number, self.head.seq)?;
                self.run = run.map(|(_, run)| Decoded::read(&run.bytes)).transpose()?;
            }
            let Some(run) = self.run.take() else {
                self.ended = true;
                return Ok(moved);
            };
            let from = self.head.seq;
            let mut waits = false;
            for (_, change) in run.segment.changes().skip_while(|(seq, _)| *seq <= from) {
                if !self.apply(number, &change, applying)? {
                    waits = true;
                    break;
                }
                moved = true;
            }
            if waits {
                self.run = Some(run);
                return Ok(moved);
            }
        }
    }

    fn apply(
        &mut self,
        number: ReplicaNumber,
        change: &Change<'_>,
        applying: &mut Applying<'_>,
    ) -> Result<bool, StoreError> {
        let next = self.head.append(&chain::digest(change.hlc, &change.ops));
        let mark = mark(&next.hash);
        if applying.step(number, change, mark, self.cut)?.is_none() {
            return Ok(false);
        }
        self.head = next;
        applying.begin_branches(number, mark)?;
        Ok(true)
    }
}

/// Rows of this node alone that name rows which are made again.
struct Kept {
    recovery: Vec<Recovery>,
    uses: Vec<(i64, i64)>,
}

/// The digest, whose it is (patient, staff), and the rest.
type Recovery = ([u8; 32], Option<i64>, Option<i64>, [i64; 3]);

impl Kept {
    fn take(tx: &impl Read) -> Result<Self, StoreError> {
        let sql = "SELECT digest, patient_id, staff_id, access_epoch, created_at, expires_at FROM recovery";
        let recovery = all(tx, sql, [], |row| {
            let rest = [row.get(3)?, row.get(4)?, row.get(5)?];
            Ok((row.get(0)?, row.get(1)?, row.get(2)?, rest))
        })?;
        let sql = "SELECT session_id, generation FROM session_use";
        let uses = all(tx, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(Self { recovery, uses })
    }

    fn put_back(self, tx: &WriteTx<'_>, moved: Moved) -> Result<(), StoreError> {
        let sql = "INSERT INTO session_use (session_id, generation) SELECT id, ?2 FROM session WHERE id = ?1";
        for (session, generation) in self.uses {
            let session = now(tx, moved, SESSION.code, session)?;
            tx.local(sql, [session, generation])?;
        }
        let sql = "INSERT INTO recovery (digest, patient_id, staff_id, access_epoch, created_at, expires_at)
                   SELECT ?1, ?2, ?3, ?4, ?5, ?6 WHERE EXISTS (SELECT 1 FROM patient WHERE id = ?2)
                   OR EXISTS (SELECT 1 FROM staff WHERE id = ?3)";
        for (digest, patient, staff, [epoch, created_at, expires_at]) in self.recovery {
            let patient = match patient {
                Some(id) => Some(twins::patient(tx, now(tx, moved, PATIENT.code, id)?)?),
                None => None,
            };
            let staff = staff.map(|id| now(tx, moved, STAFF.code, id)).transpose()?;
            let values = params![digest, patient, staff, epoch, created_at, expires_at];
            tx.local(sql, values)?;
        }
        follow_answers(tx, moved)
    }
}

/// The answers that are remembered name the rows by the ids of now.
fn follow_answers(tx: &WriteTx<'_>, moved: Moved) -> Result<(), StoreError> {
    let Some((of, _)) = moved else {
        return Ok(());
    };
    let (first, last) = of.row_ids();
    let sql = "SELECT key, entity, row_id FROM idempotency WHERE row_id BETWEEN ? AND ?";
    let answers: Vec<([u8; 32], u8, i64)> = all(tx, sql, [first, last], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    for (key, entity, id) in answers {
        let sql = "UPDATE idempotency SET row_id = ? WHERE key = ?";
        tx.local(sql, params![now(tx, moved, entity, id)?, key])?;
    }
    Ok(())
}

/// The id of a row of this node's view before, in that of now.
fn now(tx: &impl Read, moved: Moved, entity: u8, id: i64) -> Result<i64, StoreError> {
    let row = RowId::from_i64(id).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let Some((_, to)) = moved.filter(|(of, _)| *of == row.replica()) else {
        return Ok(id);
    };
    let renamed = RowId::new(to, row.counter()).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let sql = "SELECT 1 FROM branch_row WHERE entity = ? AND row_id = ?";
    let is_moved = one(tx, sql, params![entity, renamed.get()], |_| Ok(()))?.is_some();
    Ok(if is_moved { renamed.get() } else { id })
}

#[cfg(test)]
mod tests {
    use super::TABLES;
    use crate::store::migrate::SCHEMA;

    /// What `schema.sql` says of each table: the mark in the comment above it.
    #[test]
    fn every_table_that_the_logs_make_is_made_again_and_no_other() {
        let (mut comment, mut made) = (String::new(), Vec::new());
        for line in SCHEMA.lines() {
            if line.starts_with("--") {
                comment.push_str(line);
            } else if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
                if comment.contains("[replicated]") || comment.contains("[derived]") {
                    made.push(rest.trim_end_matches(" ("));
                }
            } else if line.is_empty() {
                comment.clear();
            }
        }
        // Kept aside, and put back.
        made.extend(["recovery", "session_use"]);
        made.sort_unstable();
        let mut tables = TABLES;
        tables.sort_unstable();
        assert_eq!(tables.as_slice(), made);
    }
}
