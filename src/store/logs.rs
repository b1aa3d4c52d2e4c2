//! The change logs of all replicas, as they are stored: what is known of each, runs of changes to
//! send, and runs that came in.
//!
//! This replica's newest changes are rows of `change`; everything else lies in segments. A run is
//! stored with the signature that vouches for its end, and only after it was checked
//! (`islet_sync::exchange::check_run`). Must never store a run that does not follow what is known of its
//! log, and never forget one.

use islet_sync::causality::{Causality, Mark, Sighting, mark};
use islet_sync::chain::{Head, ReplicaId, SIGNATURE_LEN, Signer};
use islet_sync::exchange::{Introduction, Vector};
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::limits::{SEGMENT_CHANGES_MAX, SEGMENT_DECODED_BYTES_MAX};
use islet_sync::segment::{self, Change};
use rusqlite::{Connection, params};

use super::log_state::LogState;
use super::tx::{Read, all, one, prepared};
use super::{StoreError, WriteTx, branches, replica};
use crate::limits;

/// What is known of the log of another replica.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KnownLog {
    /// Whose it is.
    pub introduction: Introduction,
    /// The end of what is stored.
    pub head: Head,
    /// Where it begins: before its first change, or where a branch leaves its log.
    pub base: Head,
    /// How much of it is applied.
    pub applied: u64,
    /// Why nothing more is taken, when that is so.
    pub stopped: Option<String>,
}

/// A run of changes as it is stored and sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Run {
    /// Whose log.
    pub number: ReplicaNumber,
    /// Seqs of the first and the last change.
    pub seqs: (u64, u64),
    /// `islet_sync::segment`.
    pub bytes: Vec<u8>,
    /// Over the head at its end.
    pub signature: [u8; SIGNATURE_LEN],
}

/// The logs of the others.
///
/// # Errors
/// When the disk fails.
pub fn known(tx: &impl Read) -> Result<Vec<KnownLog>, StoreError> {
    all(tx, &format!("{KNOWN} ORDER BY number"), [], known_from_row)
}

/// The log of one other replica, and its branches.
///
/// # Errors
/// When the disk fails.
pub(super) fn of_replica(tx: &impl Read, id: ReplicaId) -> Result<Vec<KnownLog>, StoreError> {
    let sql = format!("{KNOWN} WHERE replica_id = ?");
    all(tx, &sql, [id.0], known_from_row)
}

const KNOWN: &str = "SELECT number, replica_id, public_key, seq, hash, applied, stopped,
     branch_of, branch_after, branch_first, branch_base FROM log";

/// The log of one other replica.
///
/// # Errors
/// When the disk fails.
pub fn known_log(tx: &impl Read, number: ReplicaNumber) -> Result<Option<KnownLog>, StoreError> {
    let sql = format!("{KNOWN} WHERE number = ?");
    one(tx, &sql, [number.get()], known_from_row)
}

fn known_from_row(row: &rusqlite::Row<'_>) -> rusqlite::Result<KnownLog> {
    let replica = ReplicaId(row.get(1)?);
    let branch = branches::branch_at(row, 7)?;
    let introduction = Introduction {
        number: branches::number_at(row, 0)?,
        replica,
        public_key: row.get(2)?,
        branch,
    };
    let base = match branch {
        Some(branch) => Head {
            seq: branch.after,
            hash: row.get(10)?,
        },
        None => Head::genesis(replica),
    };
    let head = Head {
        seq: row.get::<_, i64>(3)?.cast_unsigned(),
        hash: row.get(4)?,
    };
    Ok(KnownLog {
        introduction,
        head,
        base,
        applied: row.get::<_, i64>(5)?.cast_unsigned(),
        stopped: row.get(6)?,
    })
}

/// The end of this replica's own log.
///
/// # Errors
/// When the disk fails.
pub fn own_head(tx: &impl Read) -> Result<Head, StoreError> {
    let sql = "SELECT change_seq, change_hash FROM replica";
    let head = one(tx, sql, [], |row| {
        Ok(Head {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            hash: row.get(1)?,
        })
    })?;
    head.ok_or_else(|| StoreError::Damaged("it does not say which replica it is".into()))
}

/// The same inside a write: with what the transaction has appended.
#[must_use]
pub fn own_head_of(tx: &WriteTx<'_>) -> Head {
    tx.state().head
}

/// Where this node stands in every log that it knows.
///
/// # Errors
/// When the disk fails.
pub fn vector(tx: &impl Read) -> Result<Vector, StoreError> {
    let mut vector = Vector::default();
    vector.settled = true;
    for log in known(tx)? {
        // A log of which nothing is stored is as good as unknown.
        if log.head.seq > log.base.seq {
            vector.insert(log.introduction.number, &log.head);
        }
        vector.settled &= log.applied == log.head.seq;
    }
    let own = own_head(tx)?;
    if own.seq > 0 {
        vector.insert(replica::number(tx)?, &own);
    }
    Ok(vector)
}

/// The next stored run of a log that goes beyond `seq`.
///
/// # Errors
/// When the disk fails.
pub fn run_after(
    tx: &impl Read,
    number: ReplicaNumber,
    seq: u64,
) -> Result<Option<(Hlc, Run)>, StoreError> {
    let sql = "SELECT first_seq, last_seq, hlc, signature, bytes FROM segment
               WHERE number = ? AND last_seq > ? ORDER BY last_seq LIMIT 1";
    one(tx, sql, params![number.get(), seq.cast_signed()], |row| {
        let seqs = (
            row.get::<_, i64>(0)?.cast_unsigned(),
            row.get::<_, i64>(1)?.cast_unsigned(),
        );
        let run = Run {
            number,
            seqs,
            signature: row.get(3)?,
            bytes: row.get(4)?,
        };
        Ok((Hlc::from_i64(row.get(2)?), run))
    })
}

/// Changes of this replica after `seq` that no segment holds yet: as many as one segment takes.
///
/// # Errors
/// When the disk fails.
pub fn own_tail(tx: &impl Read, seq: u64) -> Result<Vec<(u64, Change<'static>)>, StoreError> {
    let sql = "SELECT seq, hlc, ops FROM change WHERE seq > ? ORDER BY seq LIMIT ?";
    let limit = i64::try_from(SEGMENT_CHANGES_MAX).unwrap_or(i64::MAX);
    let mut statement = prepared(tx, sql)?;
    let mut rows = statement.query([seq.cast_signed(), limit])?;
    let (mut tail, mut bytes) = (Vec::new(), 0);
    while let Some(row) = rows.next()? {
        let ops: Vec<u8> = row.get(2)?;
        bytes += ops.len();
        if bytes > SEGMENT_DECODED_BYTES_MAX {
            break;
        }
        let hlc = Hlc::from_i64(row.get(1)?);
        let change = Change {
            hlc,
            ops: ops.into(),
        };
        tail.push((row.get::<_, i64>(0)?.cast_unsigned(), change));
    }
    Ok(tail)
}

/// The head at the end of the newest segment of this replica, or before its first change.
///
/// # Errors
/// When the disk fails.
pub fn sealed_head(tx: &impl Read) -> Result<Head, StoreError> {
    let replica = replica::get(tx)?;
    let sql = "SELECT last_seq, hash FROM segment WHERE number = ? ORDER BY last_seq DESC LIMIT 1";
    let sealed = one(tx, sql, [replica.number], |row| {
        Ok(Head {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            hash: row.get(1)?,
        })
    })?;
    Ok(sealed.unwrap_or_else(|| Head::genesis(replica.replica_id)))
}

/// Moves this replica's oldest unsealed changes, as many as fit, into a segment. Answers with how many.
///
/// # Errors
/// When the disk fails.
pub fn seal(tx: &WriteTx<'_>, signer: &Signer) -> Result<usize, StoreError> {
    let replica = replica::get(tx)?;
    let number = replica::number(tx)?;
    let before = sealed_head(tx)?;
    let changes: Vec<Change<'_>> = own_tail(tx, before.seq)?
        .into_iter()
        .map(|(_, change)| change)
        .collect();
    let Some(first) = changes.first() else {
        return Ok(0);
    };
    let head = changes.iter().fold(before, |head, change| {
        head.append(&islet_sync::chain::digest(change.hlc, &change.ops))
    });
    let run = Run {
        number,
        seqs: (before.seq + 1, head.seq),
        bytes: encode_checked(before.seq + 1, &changes)?,
        signature: signer.sign(replica.replica_id, head).signature,
    };
    insert_run(tx, first.hlc, &run, &head)?;
    tx.local(
        "DELETE FROM change WHERE seq <= ?",
        [head.seq.cast_signed()],
    )?;
    Ok(changes.len())
}

/// Stores a run.
pub(super) fn insert_run(
    tx: &WriteTx<'_>,
    hlc: Hlc,
    run: &Run,
    end: &Head,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO segment (number, first_seq, last_seq, hlc, hash, signature, bytes)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    tx.local(
        sql,
        params![
            run.number.get(),
            run.seqs.0.cast_signed(),
            run.seqs.1.cast_signed(),
            hlc.to_i64(),
            end.hash,
            run.signature,
            run.bytes
        ],
    )?;
    Ok(())
}

/// A small run, to be joined with its neighbours.
struct SmallRun {
    id: i64,
    seqs: (i64, i64),
    hlc: i64,
    bytes: Vec<u8>,
}

/// Makes small adjoining runs of one log one, so that a log of many short conversations stays small
/// and quick to read. The signature of the last vouches for all. Answers with how many it joined.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn join_runs(tx: &WriteTx<'_>, number: ReplicaNumber) -> Result<usize, StoreError> {
    let sql = "SELECT id, first_seq, last_seq, hlc, bytes FROM segment
               WHERE number = ? AND last_seq - first_seq < 1024 ORDER BY last_seq LIMIT ?";
    let wanted = params![number.get(), limits::RUNS_JOINED_MAX];
    let small = all(tx, sql, wanted, |row| {
        Ok(SmallRun {
            id: row.get(0)?,
            seqs: (row.get(1)?, row.get(2)?),
            hlc: row.get(3)?,
            bytes: row.get(4)?,
        })
    })?;
    let mut rest = small.as_slice();
    while let Some(first) = rest.first() {
        let (joined, changes) = adjoining(rest)?;
        if joined > 1 {
            let bytes = encode_checked(first.seqs.0.cast_unsigned(), &changes)?;
            for replaced in &rest[..joined - 1] {
                tx.local("DELETE FROM segment WHERE id = ?", [replaced.id])?;
            }
            let sql = "UPDATE segment SET first_seq = ?, hlc = ?, bytes = ? WHERE id = ?";
            let last = rest[joined - 1].id;
            tx.local(sql, params![first.seqs.0, first.hlc, bytes, last])?;
            return Ok(joined);
        }
        rest = &rest[joined..];
    }
    Ok(0)
}

/// How many runs from the first on make one of a good size, the first included, and their changes.
fn adjoining(runs: &[SmallRun]) -> Result<(usize, Vec<Change<'static>>), StoreError> {
    let mut changes = Vec::new();
    for (joined, run) in runs.iter().enumerate() {
        let follows = joined == 0 || run.seqs.0 == runs[joined - 1].seqs.1 + 1;
        if !follows || changes.len() >= limits::JOINED_RUN_CHANGES {
            return Ok((joined, changes));
        }
        let segment =
            segment::decode(&run.bytes).map_err(|error| StoreError::Damaged(error.to_string()))?;
        let before = changes.len();
        changes.extend(segment.changes().map(|(_, change)| owned(&change)));
        if joined > 0 && segment::fitting(&changes) < changes.len() {
            changes.truncate(before);
            return Ok((joined, changes));
        }
    }
    Ok((runs.len(), changes))
}

/// Logs of which many small runs are stored.
///
/// # Errors
/// When the disk fails.
pub fn scattered(tx: &impl Read) -> Result<Vec<ReplicaNumber>, StoreError> {
    let sql = "SELECT number FROM segment INDEXED BY segment_small
               WHERE last_seq - first_seq < 1024 GROUP BY number HAVING count(*) >= ?";
    let wanted = [limits::RUNS_JOINED_MIN];
    let numbers: Vec<u32> = all(tx, sql, wanted, |row| row.get(0))?;
    Ok(numbers
        .into_iter()
        .filter_map(|number| ReplicaNumber::new(number).ok())
        .collect())
}

pub(super) fn load_causality(
    connection: &Connection,
    me: ReplicaNumber,
    own: &Head,
) -> Result<Causality, StoreError> {
    let mut causality = Causality::default();
    let number = |n| ReplicaNumber::new(n).map_err(|e| StoreError::Damaged(e.to_string()));
    let sql =
        "SELECT number, applied, applied_mark, branch_of, branch_after, branch_first FROM log";
    let mut logs = connection.prepare(sql)?;
    for row in logs.query_map([], |row| {
        let branch = branches::branch_at(row, 3)?;
        Ok((row.get(0)?, row.get::<_, i64>(1)?, row.get(2)?, branch))
    })? {
        let (of, seq, mark, branch) = row?;
        let (of, seq) = (number(of)?, seq.cast_unsigned());
        match branch {
            Some(branch) if seq < branch.after => {}
            Some(branch) => {
                causality.restore(of, seq, mark);
                causality.restore_base(of, branch.after);
            }
            None => causality.restore(of, seq, mark),
        }
    }
    if own.seq > 0 {
        causality.restore(me, own.seq, mark(&own.hash));
    }
    let mut contexts = connection.prepare("SELECT author, of, seq FROM context")?;
    for row in contexts.query_map([], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get::<_, i64>(2)?))
    })? {
        let (author, of, seq) = row?;
        causality.restore_context(number(author)?, number(of)?, seq.cast_unsigned());
    }
    Ok(causality)
}

/// Notes that the change just written said what was seen.
pub(super) fn say_seen(connection: &Connection, state: &mut LogState) -> Result<(), StoreError> {
    let unsaid = std::mem::take(&mut state.unsaid);
    save_context(connection, state.me, &unsaid)?;
    let causality = std::sync::Arc::make_mut(&mut state.causality);
    for sighting in unsaid.iter() {
        causality.restore_context(state.me, sighting.of, sighting.seq);
    }
    Ok(())
}

pub(super) fn save_context(
    connection: &Connection,
    author: ReplicaNumber,
    seen: &[Sighting],
) -> Result<(), StoreError> {
    let sql = "INSERT INTO context (author, of, seq) VALUES (?1, ?2, ?3)
               ON CONFLICT DO UPDATE SET seq = max(seq, ?3)";
    let mut statement = connection.prepare_cached(sql)?;
    for sighting in seen {
        let (of, seq) = (sighting.of.get(), sighting.seq.cast_signed());
        statement.execute(params![author.get(), of, seq])?;
    }
    Ok(())
}

/// Notes a log that nothing was known of, and answers with what is known of it now.
///
/// # Errors
/// When the number is another replica's, or the disk fails.
pub fn introduce(
    tx: &WriteTx<'_>,
    introduction: &Introduction,
) -> Result<Option<KnownLog>, StoreError> {
    let start = Head::genesis(introduction.replica);
    let sql = "INSERT INTO log (number, replica_id, public_key, seq, hash, applied) VALUES (?, ?, ?, 0, ?, 0)
               ON CONFLICT DO NOTHING";
    tx.local(
        sql,
        params![
            introduction.number.get(),
            introduction.replica.0,
            introduction.public_key,
            start.hash
        ],
    )?;
    Ok(known_log(tx, introduction.number)?.filter(|log| log.introduction == *introduction))
}

/// Notes what another node said of a member whose row has not come yet.
///
/// # Errors
/// When the disk fails.
pub fn hear_of(
    tx: &WriteTx<'_>,
    number: ReplicaNumber,
    name: &str,
    addresses: &[String],
) -> Result<(), StoreError> {
    let addresses =
        serde_json::to_string(addresses).map_err(|e| StoreError::Damaged(e.to_string()))?;
    let sql = "UPDATE log SET name = ?, addresses = ? WHERE number = ?";
    tx.local(sql, params![name, addresses, number.get()])?;
    Ok(())
}

/// Members of which only another node's word is known.
///
/// # Errors
/// When the disk fails.
pub fn heard_of(tx: &impl Read) -> Result<Vec<(Introduction, String, Vec<String>)>, StoreError> {
    let sql = "SELECT number, replica_id, public_key, seq, hash, applied, stopped,
               branch_of, branch_after, branch_first, branch_base, name, addresses
               FROM log WHERE name IS NOT NULL
               AND NOT EXISTS (SELECT 1 FROM member WHERE member.public_key = log.public_key)";
    all(tx, sql, [], |row| {
        let addresses: String = row.get(12)?;
        let addresses = serde_json::from_str(&addresses).unwrap_or_default();
        Ok((known_from_row(row)?.introduction, row.get(11)?, addresses))
    })
}

/// Notes how far a log is stored.
pub(super) fn set_stored(
    tx: &WriteTx<'_>,
    number: ReplicaNumber,
    head: &Head,
) -> Result<(), StoreError> {
    let sql = "UPDATE log SET seq = ?, hash = ? WHERE number = ?";
    tx.local(
        sql,
        params![head.seq.cast_signed(), head.hash, number.get()],
    )?;
    Ok(())
}

/// Notes how far a log is applied, and the mark of its chain hash there.
pub(super) fn set_applied(
    tx: &WriteTx<'_>,
    number: ReplicaNumber,
    seq: u64,
    mark: Mark,
) -> Result<(), StoreError> {
    let sql = "UPDATE log SET applied = ?, applied_mark = ? WHERE number = ?";
    tx.local(sql, params![seq.cast_signed(), mark, number.get()])?;
    Ok(())
}

/// How much of the log of a node that was thrown out has taken effect, once that was heard of.
///
/// # Errors
/// When the disk fails.
pub(super) fn counted(tx: &impl Read, number: ReplicaNumber) -> Result<u64, StoreError> {
    let sql = "SELECT coalesce(counted, 0) FROM log WHERE number = ?";
    let counted = one(tx, sql, [number.get()], |row| row.get::<_, i64>(0))?;
    Ok(counted.unwrap_or(0).cast_unsigned())
}

/// Takes nothing more of a log, for a reason that people read.
///
/// # Errors
/// When the disk fails.
pub fn stop(tx: &WriteTx<'_>, number: ReplicaNumber, reason: &str) -> Result<(), StoreError> {
    tx.local(
        "UPDATE log SET stopped = ? WHERE number = ?",
        params![reason, number.get()],
    )?;
    Ok(())
}

/// The chain hash of a log at `seq`, when it is stored that far.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn hash_at(
    tx: &impl Read,
    number: ReplicaNumber,
    replica: ReplicaId,
    seq: u64,
) -> Result<Option<Head>, StoreError> {
    let base = base(tx, number, replica)?;
    if let Some((left, base)) = base
        && seq < base.seq
    {
        return hash_at(tx, left, replica, seq);
    }
    let start = base.map_or_else(|| Head::genesis(replica), |(_, base)| base);
    let own = number == replica::number(tx)?;
    let end = if own {
        Some(own_head(tx)?)
    } else {
        known_log(tx, number)?.map(|log| log.head)
    };
    // Mostly it is the end that is asked for, which is stored.
    if end.is_some_and(|end| end.seq == seq) {
        return Ok(end);
    }
    let sql = "SELECT last_seq, hash FROM segment WHERE number = ? AND last_seq <= ? ORDER BY last_seq DESC LIMIT 1";
    let below = one(tx, sql, params![number.get(), seq.cast_signed()], |row| {
        Ok(Head {
            seq: row.get::<_, i64>(0)?.cast_unsigned(),
            hash: row.get(1)?,
        })
    })?;
    let mut head = below.unwrap_or(start);
    if head.seq == seq {
        return Ok(Some(head));
    }
    if let Some((_, run)) = run_after(tx, number, head.seq)? {
        let run =
            segment::decode(&run.bytes).map_err(|error| StoreError::Damaged(error.to_string()))?;
        for (_, change) in run.changes() {
            head = head.append(&islet_sync::chain::digest(change.hlc, &change.ops));
            if head.seq == seq {
                return Ok(Some(head));
            }
        }
    }
    if !own {
        return Ok(None);
    }
    loop {
        let tail = own_tail(tx, head.seq)?;
        if tail.is_empty() {
            return Ok(None);
        }
        for (_, change) in tail {
            head = head.append(&islet_sync::chain::digest(change.hlc, &change.ops));
            if head.seq == seq {
                return Ok(Some(head));
            }
        }
    }
}

/// Of a branch: which log it leaves, and where.
pub(super) fn base(
    tx: &impl Read,
    number: ReplicaNumber,
    replica: ReplicaId,
) -> Result<Option<(ReplicaNumber, Head)>, StoreError> {
    let log = known_log(tx, number)?.filter(|log| log.introduction.replica == replica);
    Ok(log.and_then(|log| Some((log.introduction.branch?.of, log.base))))
}

/// The segment of changes whose other copy is about to be removed: read back first.
pub(super) fn encode_checked(
    first_seq: u64,
    changes: &[Change<'_>],
) -> Result<Vec<u8>, StoreError> {
    let bytes = segment::encode(first_seq, changes);
    let read = segment::decode(&bytes).map_err(|error| StoreError::Damaged(error.to_string()))?;
    if read.first_seq == first_seq
        && read
            .changes()
            .map(|(_, change)| change)
            .eq(changes.iter().cloned())
    {
        return Ok(bytes);
    }
    Err(StoreError::Damaged(
        "a segment does not read back as it was written".into(),
    ))
}

pub(super) fn owned(change: &Change<'_>) -> Change<'static> {
    Change {
        hlc: change.hlc,
        ops: change.ops.clone().into_owned().into(),
    }
}
