//! What came from other nodes and is not in the rows: operations that were set aside, logs that are
//! stopped, changes that wait for others. For people who look after the node.

use islet_sync::causality::{self, Sighting, mark};
use islet_sync::change;
use islet_sync::id::ReplicaNumber;
use islet_sync::segment;

use super::logs::{self, KnownLog};
use super::tx::{Read, one};
use super::{StoreError, branches, members, replica};

/// Operations that could not be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Refused {
    /// How many.
    pub count: i64,
    /// Why the first one was not.
    pub first: Option<String>,
}

/// A log that does not go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogTrouble {
    /// Whose: name and number.
    pub of: String,
    /// Why nothing more is taken, when that is so.
    pub stopped: Option<String>,
    /// How many changes are stored and not applied.
    pub waiting: u64,
    /// What the first of them waits for: whose change, and which.
    pub needs: Option<(String, u64)>,
}

/// The operations that were set aside.
///
/// # Errors
/// When the disk fails.
pub fn refused(tx: &impl Read) -> Result<Refused, StoreError> {
    let count = one(tx, "SELECT count(*) FROM refused_op", [], |row| row.get(0))?;
    let sql = "SELECT number, seq, reason FROM refused_op ORDER BY number, seq, position LIMIT 1";
    let first = one(tx, sql, [], |row| {
        let (number, seq): (u32, i64) = (row.get(0)?, row.get(1)?);
        Ok((number, seq, row.get::<_, String>(2)?))
    })?;
    let first = match first {
        Some((number, seq, reason)) => {
            Some(format!("{reason} (change {seq} of {})", name(tx, number)?))
        }
        None => None,
    };
    Ok(Refused {
        count: count.unwrap_or(0),
        first,
    })
}

/// The logs that are stopped or wait.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn troubles(tx: &impl Read) -> Result<Vec<LogTrouble>, StoreError> {
    let mut found = Vec::new();
    for log in logs::known(tx)? {
        let waiting = log.head.seq - log.applied.max(log.base.seq);
        if waiting == 0 && log.stopped.is_none() {
            continue;
        }
        let needs = match missing(tx, &log)? {
            Some((of, seq)) => Some((name(tx, of.get())?, seq)),
            None => None,
        };
        found.push(LogTrouble {
            of: name(tx, log.introduction.number.get())?,
            stopped: log.stopped,
            waiting,
            needs,
        });
    }
    Ok(found)
}

/// What the first change that is not applied had seen and this node lacks.
fn missing(tx: &impl Read, log: &KnownLog) -> Result<Option<(ReplicaNumber, u64)>, StoreError> {
    let number = log.introduction.number;
    let Some((_, run)) = logs::run_after(tx, number, log.applied)? else {
        return Ok(None);
    };
    let damaged = |error: &dyn std::fmt::Display| StoreError::Damaged(error.to_string());
    let run = segment::decode(&run.bytes).map_err(|error| damaged(&error))?;
    let next = run.changes().find(|(seq, _)| *seq == log.applied + 1);
    let Some((_, next)) = next else {
        return Ok(None);
    };
    // What cannot be read is set aside when its turn comes, and needs nothing.
    let ops = change::decode(&next.ops).unwrap_or_default();
    for sighting in causality::seen(&ops) {
        if sighting.of != replica::number(tx)? && !is_applied(tx, &sighting)? {
            return Ok(Some((sighting.of, sighting.seq)));
        }
    }
    Ok(None)
}

/// Whether what was seen is applied here, in whichever of the ways in which that log went on.
fn is_applied(tx: &impl Read, seen: &Sighting) -> Result<bool, StoreError> {
    for log in branches::family(tx, seen.of)? {
        let head = branches::own_head_at(tx, &log, seen.seq)?;
        if head.is_some_and(|head| mark(&head.hash) == seen.mark) {
            return Ok(log.applied >= seen.seq);
        }
    }
    Ok(seen.seq == 0)
}

/// A replica as people know it.
fn name(tx: &impl Read, number: u32) -> Result<String, StoreError> {
    let name = members::name_of(tx, number)?;
    let name = name.unwrap_or_else(|| "an unknown node".to_owned());
    Ok(format!("{name} (number {number})"))
}
