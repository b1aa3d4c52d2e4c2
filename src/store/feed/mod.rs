//! What is new for somebody since they were last told, out of the rows as they are.
//!
//! Two things make news: rows that were made, found by their ids, and fields that were written later, found by their
//! registers. Both are named by the log that they come from and the place in it, so a [`Cursor`] means the same on every
//! node. What is told is always the row as it is now, so telling it twice does no harm, and what is told in any order
//! ends in the same state. A node that knows less than the cursor says so and takes it back to what it knows: then the
//! next node tells the rest again. Must never tell of a patient that is not in the scope.

mod cursor;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use islet_sync::causality::mark;
use islet_sync::id::ReplicaNumber;
use rusqlite::params;

pub use cursor::Cursor;
use cursor::Reach;
pub use rows::Item;
use rows::Kind;

use super::entity::{APPOINTMENT, PATIENT, QUEUE_ENTRY, READING};
use super::marks::Marks;
use super::tx::{Read, all, one, prepared};
use super::{StoreError, logs, replica, twins};
use crate::limits;

/// Whose rows are told of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scope {
    /// These patients, or all of them.
    patients: Option<BTreeSet<i64>>,
    /// Names the audience: it changes with whom it is about, also when two patients turn out to be one.
    audience: u64,
}

/// How a row became news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum How {
    /// It was made.
    Created,
    /// It is otherwise than before.
    Changed,
    /// It is not there any more, or does not count.
    Removed,
}

/// One piece of news.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// How.
    pub how: How,
    /// Whose.
    pub patient_id: i64,
    /// What, as it is now.
    pub item: Item,
}

/// Some news.
#[derive(Clone, Debug, PartialEq)]
pub struct News {
    /// In the order in which they were written, log by log.
    pub changes: Vec<Change>,
    /// What to ask for the rest after.
    pub cursor: Cursor,
    /// There is more at once.
    pub more: bool,
    /// This node does not know all that was told of before.
    pub behind: bool,
}

impl Scope {
    /// Of these patients, or of all.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn of(tx: &impl Read, patients: Option<&[i64]>) -> Result<Self, StoreError> {
        let mut named = String::new();
        let Some(ids) = patients else {
            let sql = "SELECT count(*), total(alias) FROM patient_link";
            let links = one(tx, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
            let (count, sum): (i64, f64) = links.unwrap_or_default();
            return Ok(Self {
                patients: None,
                audience: digest(&format!("all {count} {sum}")),
            });
        };
        let resolved: Result<BTreeSet<i64>, _> =
            ids.iter().map(|id| twins::patient(tx, *id)).collect();
        let resolved = resolved?;
        for id in &resolved {
            let sql = "SELECT alias FROM patient_link WHERE patient_id = ? ORDER BY alias";
            let aliases: Vec<i64> = all(tx, sql, [id], |row| row.get(0))?;
            named.push_str(&format!("{id}:{aliases:?} "));
        }
        Ok(Self {
            patients: Some(resolved),
            audience: digest(&named),
        })
    }

    /// Whether a patient is in it.
    #[must_use]
    pub fn has(&self, patient_id: i64) -> bool {
        let all = self.patients.as_ref();
        all.is_none_or(|patients| patients.contains(&patient_id))
    }

    /// Names the audience.
    #[must_use]
    pub const fn audience(&self) -> u64 {
        self.audience
    }
}

fn digest(text: &str) -> u64 {
    let hash = blake3::hash(text.as_bytes());
    let first = hash.as_bytes().first_chunk().copied().unwrap_or_default();
    u64::from_be_bytes(first)
}

/// Where everything stands now, as a cursor of this audience.
///
/// # Errors
/// When the disk fails.
pub fn present(tx: &impl Read, audience: u64) -> Result<Cursor, StoreError> {
    let sql = "SELECT number, applied, applied_mark FROM log WHERE applied > 0";
    let mut logs: BTreeMap<u32, Reach> = all(tx, sql, [], |row| {
        let seq: i64 = row.get(1)?;
        let reach = Reach {
            seq: seq.cast_unsigned(),
            mark: row.get(2)?,
            ..Reach::default()
        };
        Ok((row.get(0)?, reach))
    })?
    .into_iter()
    .collect();
    let own = logs::own_head(tx)?;
    let reach = Reach {
        seq: own.seq,
        mark: mark(&own.hash),
        ..Reach::default()
    };
    logs.insert(replica::number(tx)?.get(), reach);
    for (number, reach) in &mut logs {
        for (kind, row) in Kind::ALL.into_iter().zip(&mut reach.rows) {
            *row = rows::last(tx, kind, *number)?;
        }
    }
    Ok(Cursor { audience, logs })
}

/// The news of this scope after a cursor, or all there is without one: about `limit`, a few more when much was changed
/// later. `None` when the cursor is of no use here and its bearer has to begin afresh.
///
/// # Errors
/// When the disk fails.
pub fn news(
    tx: &impl Read,
    marks: &Marks,
    scope: &Scope,
    after: Option<&Cursor>,
    limit: usize,
) -> Result<Option<News>, StoreError> {
    let now = present(tx, scope.audience)?;
    let mut changes = Vec::new();
    let (told, behind) = match after {
        None => {
            changes.extend(rows::profiles(tx, scope)?);
            (beginning(&now), false)
        }
        Some(after) => {
            if after.audience != scope.audience || !same_branches(tx, marks, after, &now)? {
                return Ok(None);
            }
            let told = known(after, &now);
            let Some(later) = written_later(tx, scope, &told, &now)? else {
                return Ok(None);
            };
            changes.extend(later);
            (told, !now.covers(after))
        }
    };
    let mut cursor = told.clone();
    // All that was written later is told, so this moves at once.
    for (number, reach) in &mut cursor.logs {
        if let Some(now) = now.logs.get(number) {
            (reach.seq, reach.mark) = (now.seq, now.mark);
        }
    }
    let more = made(tx, scope, &mut cursor, &now, limit, &mut changes)?;
    Ok(Some(News {
        changes,
        cursor,
        more,
        behind,
    }))
}

/// Before the first row of everything.
fn beginning(now: &Cursor) -> Cursor {
    let mut cursor = now.clone();
    for reach in cursor.logs.values_mut() {
        reach.rows = Reach::default().rows;
    }
    cursor
}

/// What this node knows of what was told.
fn known(after: &Cursor, now: &Cursor) -> Cursor {
    let least = |(number, now): (&u32, &Reach)| {
        let told = after.logs.get(number).copied().unwrap_or_default();
        let mut rows = told.rows;
        for (row, now) in rows.iter_mut().zip(now.rows) {
            *row = (*row).min(now);
        }
        let reach = Reach {
            seq: told.seq.min(now.seq),
            mark: 0,
            rows,
        };
        (*number, reach)
    };
    Cursor {
        audience: after.audience,
        logs: now.logs.iter().map(least).collect(),
    }
}

/// Whether what was told comes from the logs that are here, and not from others under the same numbers.
fn same_branches(
    tx: &impl Read,
    marks: &Marks,
    after: &Cursor,
    now: &Cursor,
) -> Result<bool, StoreError> {
    for (number, told) in &after.logs {
        let Some(now) = now.logs.get(number) else {
            continue;
        };
        if told.seq == 0 || told.seq > now.seq {
            continue;
        }
        let here = if told.seq == now.seq {
            Some(now.mark)
        } else {
            let number =
                ReplicaNumber::new(*number).map_err(|e| StoreError::Damaged(e.to_string()))?;
            marks.at(tx, number, told.seq)?
        };
        if here.is_some_and(|mark| mark != told.mark) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Rows that were told of and have been written to since. `None` when they are too many to look at.
fn written_later(
    tx: &impl Read,
    scope: &Scope,
    told: &Cursor,
    now: &Cursor,
) -> Result<Option<Vec<Change>>, StoreError> {
    let mut written = BTreeSet::new();
    for (number, now) in &now.logs {
        let told = told.logs.get(number).copied().unwrap_or_default();
        if told.seq == now.seq {
            continue;
        }
        // The words of the partial index.
        let sql = "SELECT entity, row_id FROM register INDEXED BY register_by_change
                   WHERE replica = ? AND seq > ? AND seq <= ? AND entity IN (1, 3, 5, 6) LIMIT ?";
        const { assert!(PATIENT_CODE == 1 && READING_CODE == 3) };
        let most = i64::from(limits::NEWS_WRITTEN_MAX) + 1 - written.len() as i64;
        let parameters = params![number, told.seq.cast_signed(), now.seq.cast_signed(), most];
        let found: Vec<(u8, i64)> = all(tx, sql, parameters, |row| Ok((row.get(0)?, row.get(1)?)))?;
        written.extend(found);
        if written.len() > limits::NEWS_WRITTEN_MAX as usize {
            return Ok(None);
        }
    }
    let mut changes = Vec::new();
    for (entity, row) in written {
        // A reading that was not told of yet will be, as it is then.
        if entity == READING.code && is_new(told, Kind::Reading, row) {
            continue;
        }
        changes.extend(rows::written(tx, scope, entity, row)?);
    }
    Ok(Some(changes))
}

const PATIENT_CODE: u8 = 1;
const READING_CODE: u8 = 3;

/// As when so many rows are new that those of the patients are gone through.
#[cfg(test)]
pub(super) fn rows_of_many(tx: &impl Read, scope: &Scope) -> Result<(), StoreError> {
    for kind in Kind::ALL {
        rows::ids(tx, scope, kind, &[(0, 0, u32::MAX)], 10)?;
    }
    Ok(())
}

fn is_new(told: &Cursor, kind: Kind, row: i64) -> bool {
    let (number, counter) = rows::split(row);
    let told = told.logs.get(&number);
    told.is_none_or(|told| counter > told.rows[kind as usize])
}

/// Rows that were made since, up to `limit` pieces of news in all. Moves the cursor behind them, and answers whether
/// there are more.
fn made(
    tx: &impl Read,
    scope: &Scope,
    cursor: &mut Cursor,
    now: &Cursor,
    limit: usize,
    changes: &mut Vec<Change>,
) -> Result<bool, StoreError> {
    for kind in Kind::ALL {
        let ranges = cursor.logs.iter().map(|(number, told)| {
            let now = now.logs.get(number).copied().unwrap_or_default();
            (*number, told.rows[kind as usize], now.rows[kind as usize])
        });
        let ranges: Vec<_> = ranges.filter(|(_, told, now)| told < now).collect();
        let room = limit.saturating_sub(changes.len());
        let ids = rows::ids(tx, scope, kind, &ranges, room + 1)?;
        let (more, ids) = (ids.len() > room, &ids[..ids.len().min(room)]);
        for id in ids {
            rows::made(tx, kind, *id, changes)?;
        }
        let end = if more {
            ids.last().map(|id| rows::split(*id))
        } else {
            None
        };
        for (number, _, now) in ranges {
            let Some(reach) = cursor.logs.get_mut(&number) else {
                continue;
            };
            let row = &mut reach.rows[kind as usize];
            match end {
                None if more => {}
                Some((last, counter)) if number == last => *row = counter,
                Some((last, _)) if number > last => {}
                _ => *row = now,
            }
        }
        if more {
            return Ok(true);
        }
    }
    Ok(false)
}
