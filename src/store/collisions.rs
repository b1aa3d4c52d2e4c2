//! Pairs of rows that should not both be, kept in `collision` while nobody has acknowledged them.
//!
//! A node refuses what it knows to be taken; two that were cut off from each other cannot. What is a collision
//! follows from the replicated rows alone, never from the order in which they came, so that every node
//! lists the same: a row collides with the smallest row that has its value, and a queue day with the day
//! before when that was still open. Must never cost more than a look into an index: it runs with
//! every write of the rows that it watches.

use std::collections::BTreeSet;

use islet_sync::op::Value;
use rusqlite::{OptionalExtension, params};

use super::entity::{APPOINTMENT, Entity, PATIENT, QUEUE_DAY, SETTLEMENT, STAFF};
use super::rows::Rows;
use super::tx::{Bind, all, one, prepared, value_of};
use super::{StoreError, twins};

/// Patients with one of these are one person's, or a mistake.
const PATIENT_DNI: u8 = 1;
/// Fields of which each value should be one row's.
static UNIQUE: [(&Entity, &[u8]); 3] = [
    (&PATIENT, &[PATIENT_DNI, 4, 6]),
    (&STAFF, &[1, 2]),
    (&APPOINTMENT, &[2]),
];
/// What stands for a queue day: when it was opened.
const OPENED_AT: u8 = 2;

fn unique_fields(entity: &Entity) -> &'static [u8] {
    let found = UNIQUE.iter().find(|(other, _)| other.code == entity.code);
    found.map_or(&[], |(_, fields)| *fields)
}

/// Whether a new row of an entity can collide with another, or settle that. Readings, of which there are
/// most, cannot.
pub(super) fn watches(entity: &Entity) -> bool {
    [SETTLEMENT.code, QUEUE_DAY.code].contains(&entity.code) || !unique_fields(entity).is_empty()
}

/// A row was made. `values` are all of its fields.
pub(super) fn created(
    rows: &Rows<'_>,
    entity: &'static Entity,
    row: i64,
    values: &[Value<'_>],
) -> Result<(), StoreError> {
    if entity.code == SETTLEMENT.code {
        return settled(rows, values);
    }
    if entity.code == QUEUE_DAY.code {
        compare_day(rows, row)?;
        return compare_next_day(rows, row);
    }
    for number in unique_fields(entity) {
        if let Some(value) = values.get(usize::from(*number) - 1) {
            compare(rows, entity, *number, value)?;
        }
    }
    Ok(())
}

/// The watched values among `fields` that a row has before they change, for [`changed`].
pub(super) fn before(
    rows: &Rows<'_>,
    entity: &'static Entity,
    row: i64,
    fields: &[(u8, Value<'_>)],
) -> Result<Vec<(u8, Value<'static>)>, StoreError> {
    let watched = unique_fields(entity);
    let mut found = Vec::new();
    for (number, _) in fields.iter().filter(|(n, _)| watched.contains(n)) {
        let column = column(entity, *number);
        let sql = format!("SELECT {column} FROM {} WHERE id = ?", entity.name);
        let value = one(rows, &sql, [row], |row| Ok(value_of(row.get_ref(0)?)))?;
        found.extend(value.map(|value| (*number, value)));
    }
    Ok(found)
}

/// Fields of a row changed: both what has the value that it had, and what has that of now.
pub(super) fn changed(
    rows: &Rows<'_>,
    entity: &'static Entity,
    row: i64,
    before: &[(u8, Value<'_>)],
    after: &[(u8, Value<'_>)],
) -> Result<(), StoreError> {
    for (number, value) in before {
        forget(rows, entity, row, *number)?;
        compare(rows, entity, *number, value)?;
        if let Some((_, value)) = after.iter().find(|(other, _)| other == number) {
            compare(rows, entity, *number, value)?;
        }
    }
    Ok(())
}

/// A queue day was closed.
pub(super) fn day_closed(rows: &Rows<'_>, day: i64) -> Result<(), StoreError> {
    compare_next_day(rows, day)
}

/// Rows of patients turned out to be one person's: what they share is no collision any more.
pub(super) fn joined(rows: &Rows<'_>, twins: &[i64]) -> Result<(), StoreError> {
    for number in unique_fields(&PATIENT) {
        for id in twins {
            let field = [(*number, Value::Null)];
            for (_, value) in before(rows, &PATIENT, *id, &field)? {
                compare(rows, &PATIENT, *number, &value)?;
            }
        }
    }
    Ok(())
}

fn column(entity: &Entity, number: u8) -> &'static str {
    entity.fields[usize::from(number) - 1].name
}

/// Looks at all rows that have one value.
fn compare(
    rows: &Rows<'_>,
    entity: &'static Entity,
    number: u8,
    value: &Value<'_>,
) -> Result<(), StoreError> {
    if *value == Value::Null {
        return Ok(());
    }
    let sql = format!(
        "SELECT id FROM {} WHERE {} = ? ORDER BY id",
        entity.name,
        column(entity, number)
    );
    let sharing: Vec<i64> = all(rows, &sql, [Bind(value)], |row| row.get(0))?;
    let mut people = BTreeSet::new();
    for row in &sharing {
        let is_another = people.insert(person(rows, entity, number, *row)?);
        if *row != sharing[0] && is_another {
            put(rows, entity, *row, number, sharing[0])?;
        } else {
            forget(rows, entity, *row, number)?;
        }
    }
    Ok(())
}

/// Whom a row stands for: two accounts of one person may share everything but are to be looked at once,
/// by their DNI.
fn person(
    rows: &Rows<'_>,
    entity: &'static Entity,
    number: u8,
    row: i64,
) -> Result<i64, StoreError> {
    if entity.code == PATIENT.code && number != PATIENT_DNI {
        twins::patient(rows, row)
    } else {
        Ok(row)
    }
}

/// Compares a queue day with the one that was opened before it.
fn compare_day(rows: &Rows<'_>, day: i64) -> Result<(), StoreError> {
    let sql = "SELECT p.id, p.closed_at IS NULL OR p.closed_at > d.opened_at
               FROM queue_day d JOIN queue_day p ON p.id = (
                 SELECT q.id FROM queue_day q WHERE (q.opened_at, q.id) < (d.opened_at, d.id)
                 ORDER BY q.opened_at DESC, q.id DESC LIMIT 1)
               WHERE d.id = ?";
    match one(rows, sql, [day], |row| Ok((row.get(0)?, row.get(1)?)))? {
        Some((before, true)) => put(rows, &QUEUE_DAY, day, OPENED_AT, before),
        _ => forget(rows, &QUEUE_DAY, day, OPENED_AT),
    }
}

fn compare_next_day(rows: &Rows<'_>, day: i64) -> Result<(), StoreError> {
    let sql = "SELECT n.id FROM queue_day d JOIN queue_day n
               ON (n.opened_at, n.id) > (d.opened_at, d.id)
               WHERE d.id = ? ORDER BY n.opened_at, n.id LIMIT 1";
    match one(rows, sql, [day], |row| row.get(0))? {
        Some(next) => compare_day(rows, next),
        None => Ok(()),
    }
}

/// Notes a collision, unless somebody has acknowledged just this one.
fn put(
    rows: &Rows<'_>,
    entity: &Entity,
    row: i64,
    number: u8,
    other: i64,
) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM settlement WHERE entity = ? AND row_id = ? AND field = ? AND other_id = ? LIMIT 1";
    let key = params![entity.code, row, number, other];
    if prepared(rows, sql)?
        .query_row(key, |_| Ok(()))
        .optional()?
        .is_some()
    {
        return forget(rows, entity, row, number);
    }
    let sql = "INSERT INTO collision (entity, row_id, field, other_id) VALUES (?1, ?2, ?3, ?4)
               ON CONFLICT DO UPDATE SET other_id = ?4";
    rows.execute(sql, key)?;
    Ok(())
}

fn forget(rows: &Rows<'_>, entity: &Entity, row: i64, number: u8) -> Result<(), StoreError> {
    let sql = "DELETE FROM collision WHERE entity = ? AND row_id = ? AND field = ?";
    rows.execute(sql, params![entity.code, row, number])?;
    Ok(())
}

fn settled(rows: &Rows<'_>, values: &[Value<'_>]) -> Result<(), StoreError> {
    let [entity, row, field, .., other] = values else {
        return Ok(());
    };
    let sql =
        "DELETE FROM collision WHERE entity = ? AND row_id = ? AND field = ? AND other_id = ?";
    rows.execute(
        sql,
        params![Bind(entity), Bind(row), Bind(field), Bind(other)],
    )?;
    Ok(())
}
