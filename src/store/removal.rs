//! Nodes that were thrown out, for people who look after the others: whether this node is one itself, and what those
//! wrote beyond their cut, which the nodes that had not heard of it took.
//!
//! Must never decide what counts: `branches::Cuts` does.

use std::collections::BTreeSet;
use std::fmt;

use islet_sync::id::ReplicaNumber;
use islet_sync::{change, rules, segment};
use rusqlite::params;

use super::branches::Cuts;
use super::logs::{self, KnownLog};
use super::tx::{Read, all};
use super::{StoreError, WriteTx, members, replica};
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::domain::time::Timestamp;
use crate::limits;

/// This node was thrown out of its network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// The change that did it has come; else only others say so.
    pub known: bool,
    /// What people call the nodes that turned this one away for it.
    pub by: Vec<String>,
}

/// What it means, and what to do.
impl fmt::Display for Removal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this node was removed from the network")?;
        if !self.by.is_empty() {
            write!(f, " (so says {})", self.by.join(", "))?;
        }
        write!(
            f,
            ": it stores what it is given, but that stays on this computer, and nothing comes from other nodes. \
             Send patients to another node; to bring this computer back, join with a new, empty directory"
        )
    }
}

/// Whether this node was thrown out, as far as it has heard.
///
/// # Errors
/// When the disk fails.
pub fn of_this_node(tx: &impl Read) -> Result<Option<Removal>, StoreError> {
    let members = members::list(tx)?;
    let known = own_key(tx, &members)?.is_some_and(|key| members::is_out(&members, &key));
    let mut by = Vec::new();
    for (key, _) in turned_away_by(tx)? {
        if !members::is_out(&members, &key) {
            by.push(members::name_of_key(&members, &key));
        }
    }
    Ok((known || !by.is_empty()).then_some(Removal { known, by }))
}

fn own_key(tx: &impl Read, members: &[members::Member]) -> Result<Option<[u8; 32]>, StoreError> {
    let number = replica::number(tx)?;
    let own = members.iter().find(|it| it.number == number);
    Ok(own.map(|it| it.public_key))
}

/// The keys of the nodes that turned this one away as removed, and when they first did.
///
/// # Errors
/// When the disk fails.
pub fn turned_away_by(tx: &impl Read) -> Result<Vec<([u8; 32], Timestamp)>, StoreError> {
    let sql = "SELECT public_key, at FROM turned_away ORDER BY at, public_key";
    all(tx, sql, [], |row| Ok((row.get(0)?, Timestamp(row.get(1)?))))
}

/// Notes that a node turned this one away as removed, or that it does so no more.
///
/// # Errors
/// When the disk fails.
pub fn note_turned_away(
    tx: &WriteTx<'_>,
    public_key: &[u8; 32],
    away: bool,
) -> Result<(), StoreError> {
    if away {
        let sql = "INSERT INTO turned_away (public_key, at) VALUES (?, ?) ON CONFLICT DO NOTHING";
        tx.local(sql, params![public_key, tx.now_of().0])?;
    } else {
        tx.local("DELETE FROM turned_away WHERE public_key = ?", [public_key])?;
    }
    Ok(())
}

/// Notes how much of the logs of nodes that were thrown out has taken effect by now, when that is heard of.
///
/// What was taken beyond a cut stays. Once it is noted, [`note_counted`] keeps the note.
pub(super) fn note_heard(tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
    let cuts = Cuts::load(tx)?;
    for log in logs::known(tx)? {
        let number = log.introduction.number;
        let Some(cut) = cuts.of(tx, number, &log.introduction.public_key)? else {
            continue;
        };
        let cut = cut.max(log.base.seq);
        let sql = "UPDATE log SET counted = applied WHERE number = ? AND counted IS NULL";
        let first = tx.local(sql, [number.get()])? > 0;
        if first && log.applied > cut {
            let (number, from, to) = (number.get(), cut + 1, log.applied);
            tracing::warn!(
                replica = number,
                "changes {from} to {to} of a removed node took effect here before its removal was heard of: \
                 see `islet peers`"
            );
            let detail = format!("replica {number}, changes {from} to {to} took effect before");
            tx.append_audit(&Entry::new(&Actor::system(), "peer.heard_late").detail(detail))?;
        }
    }
    Ok(())
}

/// Notes that the log of a node that was thrown out took effect up to a change.
pub(super) fn note_counted(
    tx: &WriteTx<'_>,
    number: ReplicaNumber,
    seq: u64,
) -> Result<(), StoreError> {
    let sql = "UPDATE log SET counted = max(coalesce(counted, 0), ?) WHERE number = ?";
    tx.local(sql, params![seq.cast_signed(), number.get()])?;
    Ok(())
}

/// What a replica of a node that was thrown out wrote beyond its cut.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Beyond {
    /// The key of its node.
    pub public_key: [u8; 32],
    /// Its number.
    pub number: u32,
    /// The last change that counts.
    pub cut: u64,
    /// How many changes beyond it took effect here all the same.
    pub taken: u64,
    /// How many are kept without effect.
    pub aside: u64,
    /// The rows that they made or changed, up to a bound.
    pub rows: Vec<BeyondRow>,
}

/// A row that a change beyond a cut speaks of.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct BeyondRow {
    /// Its table.
    pub table: &'static str,
    /// Its id.
    pub id: i64,
    /// The change took effect.
    pub taken: bool,
}

/// What others than this node wrote beyond their cuts. Log-ins and the like are counted, not listed.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn beyond(tx: &impl Read) -> Result<Vec<Beyond>, StoreError> {
    let members = members::list(tx)?;
    let (own, cuts) = (own_key(tx, &members)?, Cuts::load(tx)?);
    let mut found = Vec::new();
    for log in logs::known(tx)? {
        let (number, key) = (log.introduction.number, log.introduction.public_key);
        let Some(cut) = cuts.of(tx, number, &key)? else {
            continue;
        };
        let cut = cut.max(log.base.seq);
        if log.head.seq <= cut || own == Some(key) {
            continue;
        }
        let counted = logs::counted(tx, number)?.max(cut);
        found.push(Beyond {
            public_key: key,
            number: number.get(),
            cut,
            taken: counted - cut,
            aside: log.head.seq.saturating_sub(counted),
            rows: rows_beyond(tx, &log, cut, counted)?,
        });
    }
    Ok(found)
}

fn rows_beyond(
    tx: &impl Read,
    log: &KnownLog,
    cut: u64,
    counted: u64,
) -> Result<Vec<BeyondRow>, StoreError> {
    let (mut rows, mut at) = (BTreeSet::new(), cut);
    let last = cut.saturating_add(limits::BEYOND_CHANGES_MAX);
    while let Some((_, run)) = logs::run_after(tx, log.introduction.number, at)? {
        let run = segment::decode(&run.bytes);
        let run = run.map_err(|error| StoreError::Damaged(error.to_string()))?;
        for (seq, change) in run.changes().filter(|(seq, _)| *seq > at) {
            if seq > last || rows.len() >= limits::BEYOND_ROWS_MAX {
                return Ok(rows.into_iter().collect());
            }
            // What cannot be read has no rows.
            let ops = change::decode(&change.ops).unwrap_or_default();
            let known = ops
                .iter()
                .filter_map(|op| Some((rules::entity(op.entity)?, op.row)));
            rows.extend(
                known
                    .filter(|(entity, _)| !entity.passes())
                    .map(|(entity, row)| BeyondRow {
                        table: entity.name,
                        id: row.get(),
                        taken: seq <= counted,
                    }),
            );
        }
        at = run.first_seq + run.changes().count() as u64 - 1;
    }
    Ok(rows.into_iter().collect())
}
