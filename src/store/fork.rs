//! Makes a log of its own of a continuation that another one has, in the database (`islet_sync::branch`).
//!
//! Nothing is dropped: what loses the name of the log moves under a name of its own, and the rows are made again from
//! the logs in the same transaction. Must never leave a stored run without a signature at its end.

use islet_sync::branch::{Branch, keeps_name};
use islet_sync::chain::{Hash, Head, SIGNATURE_LEN, Signer};
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::segment::{self, Change, Segment};
use rusqlite::params;

use super::branches::{self, New};
use super::logs::{self, KnownLog, Run};
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx, rebuild};
use crate::limits;

/// What became of a continuation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forked {
    /// It is a log now, or has the name of the log, of which what was here is one.
    Done(Done),
    /// The log has moved on since it was placed: place it again.
    Moved,
    /// It begins within a run that is stored here. It has to be sent from after this seq on.
    SendFrom(u64),
    /// The node of this key has contradicted itself too often: nothing more of that kind is taken.
    TooMany,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// The log that was written on in two ways.
    pub of: ReplicaNumber,
    /// The last change that both have.
    pub after: u64,
    /// The name of the continuation that does not keep that of the log.
    pub number: ReplicaNumber,
    /// Whether that is the one that was here before.
    pub renamed: bool,
}

/// Takes in a continuation, and makes the rows again. The caller appends the audit entry.
///
/// # Errors
/// When the disk fails, or the name of the branch is another's.
pub fn fork(
    tx: &mut WriteTx<'_>,
    signer: &Signer,
    new: &New,
    run: &Segment,
    signature: &[u8; SIGNATURE_LEN],
) -> Result<Forked, StoreError> {
    let (of, after) = (new.log.introduction.number, new.at.seq);
    if logs::known_log(tx, of)?.as_ref().map(|log| log.head) != Some(new.log.head) {
        return Ok(Forked::Moved);
    }
    let sql = "SELECT count(*) FROM log WHERE public_key = ? AND branch_of IS NOT NULL";
    let key = new.log.introduction.public_key;
    if one(tx, sql, [key], |row| row.get(0))? >= Some(limits::BRANCHES_MAX) {
        return Ok(Forked::TooMany);
    }
    let changes: Vec<(u64, Change<'_>)> = run.changes().collect();
    let Some((hlc, first)) = changes.get(new.from).zip(new.heads.first()) else {
        return Ok(Forked::Moved);
    };
    let (theirs, ours) = ((hlc.1.hlc, first.hash), first_after(tx, &new.log, after)?);
    let renamed = keeps_name(&theirs, &ours);
    let run = Continuation {
        changes: &changes,
        signature,
        end: new.end.head,
    };
    let first = if renamed { ours.1 } else { theirs.1 };
    let branch = Branch { of, after, first };
    let number = branch.number(new.log.introduction.replica);
    if renamed {
        let straddling = straddling(tx, of, after)?;
        let from = straddling.as_ref().map_or(after, |run| run.seqs.0 - 1);
        if changes.first().is_none_or(|(seq, _)| seq - 1 > from) {
            return Ok(Forked::SendFrom(from));
        }
        begin(tx, &new.log, number, &branch, &new.at, &new.log.head)?;
        let sql =
            "UPDATE log SET counted = (SELECT counted FROM log WHERE number = ?) WHERE number = ?";
        tx.local(sql, params![of.get(), number.get()])?;
        let sql = "UPDATE log SET counted = min(counted, ?) WHERE number = ?";
        tx.local(sql, params![after.cast_signed(), of.get()])?;
        move_after(tx, of, after, number, straddling)?;
        run.store(tx, of, from)?;
        logs::set_applied(tx, of, 0, 0)?;
        logs::set_stored(tx, of, &run.end)?;
    } else {
        begin(tx, &new.log, number, &branch, &new.at, &run.end)?;
        run.store(tx, number, after)?;
    }
    let moved = renamed.then_some((of, number));
    rebuild::rebuild(tx, signer, moved)?;
    tx.state_mut().stored_runs += 1;
    Ok(Forked::Done(Done {
        of,
        after,
        number,
        renamed,
    }))
}

/// Stamp and chain hash of the first change of a log after a seq.
fn first_after(tx: &impl Read, log: &KnownLog, seq: u64) -> Result<(Hlc, Hash), StoreError> {
    let number = log.introduction.number;
    let missing = || StoreError::Damaged(format!("change {} of a log is missing", seq + 1));
    let head = branches::own_head_at(tx, log, seq + 1)?.ok_or_else(missing)?;
    let (_, run) = logs::run_after(tx, number, seq)?.ok_or_else(missing)?;
    let run = decode(&run.bytes)?;
    let change = run.changes().find(|(at, _)| *at == seq + 1);
    let (_, change) = change.ok_or_else(missing)?;
    Ok((change.hlc, head.hash))
}

fn decode(bytes: &[u8]) -> Result<Segment, StoreError> {
    segment::decode(bytes).map_err(|error| StoreError::Damaged(error.to_string()))
}

/// The new run.
struct Continuation<'a> {
    changes: &'a [(u64, Change<'a>)],
    signature: &'a [u8; SIGNATURE_LEN],
    end: Head,
}

impl Continuation<'_> {
    /// Stores what comes after a seq.
    fn store(&self, tx: &WriteTx<'_>, number: ReplicaNumber, after: u64) -> Result<(), StoreError> {
        let new = self.changes.iter().filter(|(seq, _)| *seq > after);
        let new: Vec<Change<'_>> = new.map(|(_, change)| change.clone()).collect();
        insert(tx, number, after + 1, &new, self.signature, &self.end)
    }
}

fn insert(
    tx: &WriteTx<'_>,
    number: ReplicaNumber,
    first_seq: u64,
    changes: &[Change<'_>],
    signature: &[u8; SIGNATURE_LEN],
    end: &Head,
) -> Result<(), StoreError> {
    let hlc = changes.first().map(|change| change.hlc).unwrap_or_default();
    let run = Run {
        number,
        seqs: (first_seq, end.seq),
        bytes: logs::encode_checked(first_seq, changes)?,
        signature: *signature,
    };
    logs::insert_run(tx, hlc, &run, end)
}

/// Notes the branch.
fn begin(
    tx: &WriteTx<'_>,
    log: &KnownLog,
    number: ReplicaNumber,
    branch: &Branch,
    base: &Head,
    end: &Head,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO log (number, replica_id, public_key, seq, hash, applied,
                                branch_of, branch_after, branch_base, branch_first, branch_seen_at)
               VALUES (?, ?, ?, ?, ?, 0, ?, ?, ?, ?, ?)";
    let values = params![
        number.get(),
        log.introduction.replica.0,
        log.introduction.public_key,
        end.seq.cast_signed(),
        end.hash,
        branch.of.get(),
        branch.after.cast_signed(),
        base.hash,
        branch.first,
        tx.now().0
    ];
    tx.local(sql, values)?;
    Ok(())
}

/// The stored run of a log that goes from before a seq, or from it, beyond it.
fn straddling(tx: &impl Read, number: ReplicaNumber, seq: u64) -> Result<Option<Run>, StoreError> {
    let run = logs::run_after(tx, number, seq)?;
    Ok(run.map(|(_, run)| run).filter(|run| run.seqs.0 <= seq))
}

/// Gives everything of a log after a seq to a branch, with what leaves the log there. The run that
/// straddles the seq is replaced by its part that comes after.
fn move_after(
    tx: &WriteTx<'_>,
    of: ReplicaNumber,
    after: u64,
    to: ReplicaNumber,
    straddling: Option<Run>,
) -> Result<(), StoreError> {
    if let Some(run) = straddling {
        let (segment, last) = (decode(&run.bytes)?, run.seqs.1.cast_signed());
        let rest = segment.changes().filter(|(seq, _)| *seq > after);
        let rest: Vec<Change<'_>> = rest.map(|(_, change)| change).collect();
        let sql = "SELECT hash FROM segment WHERE number = ? AND last_seq = ?";
        let hash = one(tx, sql, params![of.get(), last], |row| row.get(0))?;
        let hash = hash.ok_or_else(|| StoreError::Damaged("a run is gone".into()))?;
        let sql = "DELETE FROM segment WHERE number = ? AND last_seq = ?";
        tx.local(sql, params![of.get(), last])?;
        let end = Head {
            seq: run.seqs.1,
            hash,
        };
        insert(tx, to, after + 1, &rest, &run.signature, &end)?;
    }
    let sql = "UPDATE segment SET number = ? WHERE number = ? AND first_seq > ?";
    let values = params![to.get(), of.get(), after.cast_signed()];
    tx.local(sql, values)?;
    let sql = "UPDATE log SET branch_of = ? WHERE branch_of = ? AND branch_after > ?";
    tx.local(sql, values)?;
    Ok(())
}

/// Makes two runs of a stored one, so that one ends at `end`, over which this is the signature. False when one ends
/// there already.
///
/// # Errors
/// When the disk fails or the run is damaged.
pub fn split(
    tx: &WriteTx<'_>,
    number: ReplicaNumber,
    end: &Head,
    signature: &[u8; SIGNATURE_LEN],
) -> Result<bool, StoreError> {
    let Some(run) = straddling(tx, number, end.seq)? else {
        return Ok(false);
    };
    let segment = decode(&run.bytes)?;
    let changes: Vec<(u64, Change<'_>)> = segment.changes().collect();
    let at = changes.partition_point(|(seq, _)| *seq <= end.seq);
    let (head, rest): (Vec<_>, Vec<_>) = (
        changes[..at].iter().map(|(_, it)| it.clone()).collect(),
        changes[at..].iter().map(|(_, it)| it.clone()).collect(),
    );
    let sql = "SELECT id FROM segment WHERE number = ? AND last_seq = ?";
    let values = params![number.get(), run.seqs.1.cast_signed()];
    let ids: Vec<i64> = all(tx, sql, values, |row| row.get(0))?;
    for id in ids {
        let bytes = logs::encode_checked(end.seq + 1, &rest)?;
        let hlc = rest.first().map(|it| it.hlc).unwrap_or_default();
        let sql = "UPDATE segment SET first_seq = ?, hlc = ?, bytes = ? WHERE id = ?";
        let first = (end.seq + 1).cast_signed();
        tx.local(sql, params![first, hlc.to_i64(), bytes, id])?;
    }
    insert(tx, number, run.seqs.0, &head, signature, end)?;
    Ok(true)
}
