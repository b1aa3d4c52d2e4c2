//! Rights to the places of a queue day (`islet_sync::escrow`) in the database.
//!
//! Must never give out a place without a right of this replica, in the same transaction.

use islet_sync::dot::VersionVector;
use islet_sync::escrow::{Kind, Rights, Use, may_rely_on};
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::op::Value;
use rusqlite::params;

use super::branches::Branches;
use super::entity::{QUEUE_ENTRY, QUEUE_RIGHT};
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx, members};
use crate::domain::queue::QueueDay;

/// The group of the rules that an entry's state is.
const STATE_GROUP: u8 = 1;

/// What this replica holds of a day.
///
/// # Errors
/// When the disk fails.
pub fn rights(tx: &WriteTx<'_>, day: i64) -> Result<Rights, StoreError> {
    rights_by(tx, day, &mut Stable::default())
}

fn rights_by(tx: &WriteTx<'_>, day: i64, stable: &mut Stable) -> Result<Rights, StoreError> {
    let (first, last) = tx.state().me.row_ids();
    let sum = |kind: Kind| -> Result<i64, StoreError> {
        let sql = "SELECT coalesce(sum(count), 0) FROM queue_right
                   WHERE queue_day_id = ? AND kind = ? AND id BETWEEN ? AND ?";
        Ok(one(tx, sql, [day, kind as i64, first, last], |row| row.get(0))?.unwrap_or(0))
    };
    let sql = "SELECT coalesce(sum(count), 0) FROM queue_right
               WHERE queue_day_id = ? AND kind = 2 AND to_replica = ?";
    let received = one(tx, sql, params![day, tx.state().me.get()], |row| row.get(0))?;
    Ok(Rights {
        minted: sum(Kind::Mint)?,
        received: received.unwrap_or(0),
        given: sum(Kind::Transfer)?,
        burnt: sum(Kind::Burn)?,
        used: used(tx, day, stable)?,
    })
}

/// Whether the rights that were used for an entry hold its place against what this replica does, too
/// ([`may_rely_on`]).
///
/// # Errors
/// When the disk fails.
pub fn may_rely(tx: &WriteTx<'_>, entry: i64) -> Result<bool, StoreError> {
    let sql = "SELECT id FROM queue_right WHERE queue_entry_id = ? AND replaced = 0";
    let uses: Vec<i64> = all(tx, sql, [entry], |row| row.get(0))?;
    let (state, mut relies) = (tx.state(), false);
    for id in uses {
        let row = RowId::from_i64(id).map_err(|error| StoreError::Damaged(error.to_string()))?;
        relies |= may_rely_on(&state.causality, state.me, row.replica());
    }
    Ok(relies)
}

/// Whether this replica can let an entry hold a place of the day on a right of its own: the one that the entry holds
/// it on now, however small staff made the day since, one that is free, or the one that is bound to it still.
///
/// # Errors
/// When the disk fails.
pub fn can_take(tx: &WriteTx<'_>, day: &QueueDay, entry: i64) -> Result<bool, StoreError> {
    let (first, last) = tx.state().me.row_ids();
    let sql = "SELECT e.state IN ('PENDING', 'ACCEPTED') FROM queue_right r
               JOIN queue_entry e ON e.id = r.queue_entry_id
               WHERE r.queue_entry_id = ? AND r.queue_day_id = ? AND r.id BETWEEN ? AND ? AND r.replaced = 0
               AND e.state IN ('PENDING', 'ACCEPTED', 'DENIED')";
    let bound: Vec<bool> = all(tx, sql, [entry, day.id, first, last], |row| row.get(0))?;
    if bound.contains(&true) {
        return Ok(true);
    }
    // A right that the entry was turned down on counts as used, and is the entry's to take up again.
    let mut stable = Stable::default();
    let held = !bound.is_empty() && !stable.holds(tx, entry)?;
    Ok(available_by(tx, day, &mut stable)? + i64::from(held) > 0)
}

/// How many rights of this replica are bound.
fn used(tx: &WriteTx<'_>, day: i64, stable: &mut Stable) -> Result<i64, StoreError> {
    let (first, last) = tx.state().me.row_ids();
    let sql = "SELECT e.id, e.state IN ('PENDING', 'ACCEPTED') FROM queue_right r
               JOIN queue_entry e ON e.id = r.queue_entry_id
               WHERE r.queue_day_id = ? AND r.kind = 4 AND r.id BETWEEN ? AND ? AND r.replaced = 0
               AND e.state IN ('PENDING', 'ACCEPTED', 'DENIED')";
    let entries: Vec<(i64, bool)> = all(tx, sql, [day, first, last], |row| {
        Ok((row.get(0)?, row.get(1)?))
    })?;
    let mut held = 0;
    for (entry, occupies) in entries {
        let denied_unstable = !occupies && !stable.holds(tx, entry)?;
        let used = Use {
            replaced: false,
            occupies,
            denied_unstable,
        };
        held += i64::from(used.is_held());
    }
    Ok(held)
}

/// What every member has seen. It is the same for all entries, and read when the first asks.
#[derive(Default)]
struct Stable(Option<Option<VersionVector>>);

impl Stable {
    /// Whether every member has seen what made the state of an entry.
    fn holds(&mut self, tx: &WriteTx<'_>, entry: i64) -> Result<bool, StoreError> {
        let sql =
            "SELECT replica, seq FROM register WHERE entity = ? AND row_id = ? AND field_group = ?";
        let key = params![QUEUE_ENTRY.code, entry, STATE_GROUP];
        let dots: Vec<(u32, i64)> = all(tx, sql, key, |row| Ok((row.get(0)?, row.get(1)?)))?;
        if dots.is_empty() {
            return Ok(true);
        }
        let cut = match &mut self.0 {
            Some(cut) => cut,
            unread => unread.insert(members::stable(tx)?),
        };
        Ok(dots.into_iter().all(|(replica, seq)| {
            // The change under way is seen by nobody else yet; alone in the network that is nobody.
            let of = ReplicaNumber::new(replica);
            of.is_ok_and(|of| {
                cut.as_ref()
                    .is_none_or(|cut| cut.seq(of) >= seq.cast_unsigned())
            })
        }))
    }
}

/// How many places this replica may give out now. A day that staff made smaller gives out none
/// until its places fit.
///
/// # Errors
/// When the disk fails.
pub fn available(tx: &WriteTx<'_>, day: &QueueDay) -> Result<i64, StoreError> {
    available_by(tx, day, &mut Stable::default())
}

fn available_by(tx: &WriteTx<'_>, day: &QueueDay, stable: &mut Stable) -> Result<i64, StoreError> {
    let excess = (total(tx, day.id)? - day.size).max(0);
    Ok(rights_by(tx, day.id, stable)?.available() - excess)
}

/// All rights of a day that are known here, whoever holds them.
///
/// # Errors
/// When the disk fails.
pub fn total(tx: &impl Read, day: i64) -> Result<i64, StoreError> {
    let sql = "SELECT coalesce(sum(iif(kind = 1, count, -count)), 0) FROM queue_right
               WHERE queue_day_id = ? AND kind IN (1, 3)";
    Ok(one(tx, sql, [day], |row| row.get(0))?.unwrap_or(0))
}

/// Other replicas that are known to hold free places of a day, with how many, the most first; and how many are held by
/// replicas that give out none any more, since their node became another or was thrown out. Nobody
/// holds any when staff made the day smaller than its places.
///
/// # Errors
/// When the disk fails.
pub fn other_holders(
    tx: &impl Read,
    me: ReplicaNumber,
    day: &QueueDay,
) -> Result<(Vec<(u32, i64)>, i64), StoreError> {
    if total(tx, day.id)? > day.size {
        return Ok((Vec::new(), 0));
    }
    let sql = "SELECT replica, sum(n) AS held FROM (
                 SELECT id >> 32 AS replica, CASE kind WHEN 1 THEN count ELSE -count END AS n
                 FROM queue_right r WHERE queue_day_id = ?1 AND (kind < 4 OR (replaced = 0 AND EXISTS (
                   SELECT 1 FROM queue_entry e WHERE e.id = r.queue_entry_id
                   AND e.state IN ('PENDING', 'ACCEPTED'))))
                 UNION ALL
                 SELECT to_replica, count FROM queue_right WHERE queue_day_id = ?1 AND kind = 2)
               WHERE replica <> ?2 GROUP BY replica HAVING held > 0 ORDER BY held DESC";
    let wanted = params![day.id, me.get()];
    let holders: Vec<(u32, i64)> = all(tx, sql, wanted, |row| Ok((row.get(0)?, row.get(1)?)))?;
    let (members, branches) = (members::list(tx)?, Branches::load(tx.connection())?);
    let is_branch = |number: u32| branches.iter().any(|(branch, _)| branch.get() == number);
    let (gone, holders): (Vec<_>, Vec<_>) = holders
        .into_iter()
        .partition(|(number, _)| is_branch(*number) || members::is_gone(&members, *number));
    Ok((holders, gone.iter().map(|(_, held)| held).sum()))
}

/// Binds a right of this replica to an entry, in place of those that were bound to it before.
///
/// # Errors
/// When the disk fails.
pub fn take(tx: &mut WriteTx<'_>, day: i64, entry: i64) -> Result<(), StoreError> {
    let sql = "SELECT id FROM queue_right WHERE queue_entry_id = ? AND replaced = 0";
    let former: Vec<i64> = all(tx, sql, [entry], |row| row.get(0))?;
    for id in former {
        tx.update(&QUEUE_RIGHT, id, &[("replaced", 1.into())])?;
    }
    insert(tx, day, Kind::Use, 1, None, Some(entry))
}

/// Makes the rights of a day fit its size as far as this replica may: the replica that opened the day makes
/// new ones, and each gives up what it has too many.
///
/// # Errors
/// When the disk fails.
pub fn settle_size(tx: &mut WriteTx<'_>, day: &QueueDay) -> Result<(), StoreError> {
    let missing = day.size - total(tx, day.id)?;
    let (first, last) = tx.state().me.row_ids();
    if missing > 0 && (first..=last).contains(&day.id) {
        return insert(tx, day.id, Kind::Mint, missing, None, None);
    }
    let spare = rights(tx, day.id)?.available().min(-missing);
    if spare > 0 {
        return insert(tx, day.id, Kind::Burn, spare, None, None);
    }
    Ok(())
}

/// Hands rights over to a replica that asks for `wanted`. Answers with how many.
///
/// # Errors
/// When the disk fails.
pub fn hand_over(
    tx: &mut WriteTx<'_>,
    day: &QueueDay,
    to: ReplicaNumber,
    wanted: i64,
) -> Result<i64, StoreError> {
    let excess = (total(tx, day.id)? - day.size).max(0);
    let mut rights = rights(tx, day.id)?;
    rights.burnt += excess;
    let count = rights.to_hand_over(wanted);
    if count > 0 {
        insert(tx, day.id, Kind::Transfer, count, Some(to), None)?;
    }
    Ok(count)
}

fn insert(
    tx: &mut WriteTx<'_>,
    day: i64,
    kind: Kind,
    count: i64,
    to: Option<ReplicaNumber>,
    entry: Option<i64>,
) -> Result<(), StoreError> {
    let values: [Value<'_>; 6] = [
        day.into(),
        (kind as i64).into(),
        count.into(),
        to.map(|to| i64::from(to.get())).into(),
        entry.into(),
        0.into(),
    ];
    tx.insert(&QUEUE_RIGHT, &values)?;
    Ok(())
}
