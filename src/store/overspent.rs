//! Queue days of which places were given out twice, by two continuations of one log: each spent the rights that
//! the log had (`islet_sync::escrow`).
//!
//! Follows from the replicated rows alone, so that every node lists the same. Nothing can undo it: people are
//! told. Costs nothing in a network without forks.

use std::collections::{BTreeMap, BTreeSet};

use islet_sync::chain::ReplicaId;
use islet_sync::id::{ReplicaNumber, RowId};
use rusqlite::params;

use super::branches::number_at;
use super::entity::QUEUE_DAY;
use super::tx::{Read, all, one};
use super::{StoreError, logs};

/// The field of a day that stands for its places.
pub(super) const SIZE: u8 = 1;

/// Days with how many places too many, of which nobody has acknowledged just this.
pub(super) fn open(tx: &impl Read) -> Result<Vec<(i64, i64)>, StoreError> {
    let mut found = Vec::new();
    for (day, excess) in days(tx)? {
        let sql = "SELECT 1 FROM settlement WHERE entity = ? AND row_id = ? AND field = ? AND other_id = ? LIMIT 1";
        let key = params![QUEUE_DAY.code, day, SIZE, excess];
        if one(tx, sql, key, |_| Ok(()))?.is_none() {
            found.push((day, excess));
        }
    }
    Ok(found)
}

fn days(tx: &impl Read) -> Result<BTreeMap<i64, i64>, StoreError> {
    let sql = "SELECT number, replica_id FROM log WHERE branch_of IS NOT NULL";
    let branches = all(tx, sql, [], |row| {
        Ok((number_at(row, 0)?, ReplicaId(row.get(1)?)))
    })?;
    let mut families: BTreeMap<[u8; 16], BTreeSet<ReplicaNumber>> = BTreeMap::new();
    for (number, replica) in branches {
        families.entry(replica.0).or_default().insert(number);
    }
    let mut found = BTreeMap::new();
    for (replica, branches) in families {
        let family = logs::of_replica(tx, ReplicaId(replica))?;
        let family: Vec<_> = family.iter().map(|log| log.introduction.number).collect();
        for day in days_of(tx, &branches)? {
            let excess = excess(tx, day, &family, &branches)?;
            if excess > 0 {
                *found.entry(day).or_default() += excess;
            }
        }
    }
    Ok(found)
}

fn days_of(
    tx: &impl Read,
    branches: &BTreeSet<ReplicaNumber>,
) -> Result<BTreeSet<i64>, StoreError> {
    let mut days = BTreeSet::new();
    for branch in branches {
        let (first, last) = branch.row_ids();
        let sql = "SELECT DISTINCT queue_day_id FROM queue_right WHERE id BETWEEN ? AND ?";
        days.extend(all(tx, sql, [first, last], |row| row.get::<_, i64>(0))?);
    }
    Ok(days)
}

/// By how much a family spent more of a day than it had, as far as its branches did that. Who opens a day may
/// be over by the patients who waited since the day before, which is as it should be.
fn excess(
    tx: &impl Read,
    day: i64,
    family: &[ReplicaNumber],
    branches: &BTreeSet<ReplicaNumber>,
) -> Result<i64, StoreError> {
    let opener = RowId::from_i64(day).map(RowId::replica).ok();
    let (mut balance, mut spent_by_branches) = (0, 0);
    for number in family {
        let (had, spent) = account(tx, day, *number)?;
        balance += had - spent;
        if branches.contains(number) && opener != Some(*number) {
            spent_by_branches += spent;
        }
    }
    Ok((-balance).min(spent_by_branches))
}

/// What a replica had and what it spent of a day.
fn account(tx: &impl Read, day: i64, number: ReplicaNumber) -> Result<(i64, i64), StoreError> {
    let (first, last) = number.row_ids();
    let sql = "SELECT coalesce(sum(iif(kind = 1, count, 0)), 0),
                      coalesce(sum(CASE WHEN kind IN (2, 3) THEN count WHEN kind = 4 AND replaced = 0 AND EXISTS (
                        SELECT 1 FROM queue_entry e WHERE e.id = r.queue_entry_id
                        AND e.state IN ('PENDING', 'ACCEPTED')) THEN 1 ELSE 0 END), 0)
               FROM queue_right r WHERE queue_day_id = ? AND id BETWEEN ? AND ?";
    let own = one(tx, sql, [day, first, last], |row| {
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?))
    })?;
    let (minted, spent) = own.unwrap_or_default();
    let sql = "SELECT coalesce(sum(count), 0) FROM queue_right
               WHERE queue_day_id = ? AND kind = 2 AND to_replica = ?";
    let received: Option<i64> = one(tx, sql, params![day, number.get()], |row| row.get(0))?;
    Ok((minted + received.unwrap_or(0), spent))
}
