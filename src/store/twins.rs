//! Two rows that mean one thing because two nodes made them while they were cut off from each other:
//! a patient who was registered on both, and a reading that reached both.
//!
//! Both are found by what their rows were made with and can never change, and the smallest id stands for
//! all: so every node comes to the same result, in whatever order the rows arrive. Nothing is dropped: the operations stay
//! in the log, and an id that no longer has a row of its own still means the one that stands for it.

use islet_sync::apply::{RegisterKey, State};
use islet_sync::id::RowId;
use islet_sync::op::Value;
use islet_sync::rules::Merge;
use rusqlite::params;

use super::entity::READING;
use super::reading_rows::FIELDS;
use super::rows::{FINAL, Rows};
use super::tx::{Bind, Read, all, one, prepared};
use super::{StoreError, collisions};
use crate::domain::time::Timestamp;

/// The patient that this id means.
pub(super) fn patient(tx: &impl Read, id: i64) -> Result<i64, StoreError> {
    let sql = "SELECT patient_id FROM patient_link WHERE alias = ?";
    Ok(one(tx, sql, [id], |row| row.get(0))?.unwrap_or(id))
}

/// The reading that this id means.
pub(super) fn reading(tx: &impl Read, id: i64) -> Result<i64, StoreError> {
    let sql = "SELECT reading_id FROM reading_alias WHERE alias = ?";
    Ok(one(tx, sql, [id], |row| row.get(0))?.unwrap_or(id))
}

/// Looks whether a new reading repeats one that is there. Returns false when no row of its own is to be
/// made. When the new id is the smaller, the row that is there gets it.
pub(super) fn enter_reading(
    rows: &mut Rows<'_>,
    id: i64,
    values: &[&Value<'_>; FIELDS],
) -> Result<bool, StoreError> {
    let [
        patient_id,
        glucose,
        reading_type,
        source,
        _,
        measured_at,
        recorded_at,
        notes,
        again,
    ] = values;
    if let (Value::Int(patient_id), Value::Int(measured_at)) = (patient_id, measured_at) {
        let newest = rows.newest.clone();
        let is_latest = newest.is_latest(rows, *patient_id, *measured_at)?;
        newest.note_time(*patient_id, *measured_at);
        if is_latest {
            return Ok(true);
        }
    }
    if **again == Value::Int(1) {
        return Ok(true);
    }
    // A corrected row no longer shows what it was made with; `reading_origin` does.
    let sql = "SELECT r.id FROM reading r LEFT JOIN reading_origin o ON o.reading_id = r.id
               WHERE r.patient_id = ? AND r.measured_at = ? AND r.source = ? AND r.again = 0
               AND coalesce(o.glucose_mg_dl, r.glucose_mg_dl) = ? AND coalesce(o.reading_type, r.reading_type) = ?
               AND iif(o.reading_id IS NULL, r.notes, o.notes) IS ? LIMIT 1";
    let wanted = params![
        Bind(patient_id),
        Bind(measured_at),
        Bind(source),
        Bind(glucose),
        Bind(reading_type),
        Bind(notes)
    ];
    let Some(there) = one(rows, sql, wanted, |row| row.get::<_, i64>(0))? else {
        return Ok(true);
    };
    if let Value::Int(recorded_at) = recorded_at {
        keep_first(rows, there, Timestamp(*recorded_at))?;
    }
    let (small, large) = (there.min(id), there.max(id));
    if small != there {
        rename_reading(rows, there, small)?;
    }
    rows.execute(
        "INSERT INTO reading_alias (alias, reading_id) VALUES (?, ?)",
        [large, small],
    )?;
    Ok(false)
}

/// A reading was recorded when the first of its twins was, and is counted on that day.
fn keep_first(rows: &mut Rows<'_>, id: i64, recorded_at: Timestamp) -> Result<(), StoreError> {
    let sql = "SELECT patient_id, recorded_at, status FROM reading WHERE id = ?";
    let found: Option<(i64, i64, i64)> = one(rows, sql, [id], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    })?;
    let Some((patient, later, status)) = found.filter(|(_, there, _)| *there > recorded_at.0)
    else {
        return Ok(());
    };
    let sql = "UPDATE reading SET recorded_at = ? WHERE id = ?";
    rows.execute(sql, [recorded_at.0, id])?;
    if status == FINAL {
        rows.readings.count(patient, Timestamp(later), -1);
        rows.readings.count(patient, recorded_at, 1);
    }
    Ok(())
}

fn rename_reading(rows: &Rows<'_>, from: i64, to: i64) -> Result<(), StoreError> {
    rows.execute("UPDATE reading SET id = ? WHERE id = ?", [to, from])?;
    rows.execute(
        "UPDATE reading_origin SET reading_id = ? WHERE reading_id = ?",
        [to, from],
    )?;
    rows.execute(
        "UPDATE reading_alias SET reading_id = ? WHERE reading_id = ?",
        [to, from],
    )?;
    let sql = "UPDATE register SET row_id = ? WHERE row_id = ? AND entity = ?";
    rows.execute(sql, params![to, from, READING.code])?;
    Ok(())
}

/// Notes what a reading was made with, before it is corrected for the first time.
pub(super) fn keep_origin(rows: &Rows<'_>, id: i64) -> Result<(), StoreError> {
    let sql =
        "INSERT OR IGNORE INTO reading_origin (reading_id, glucose_mg_dl, reading_type, notes)
               SELECT id, glucose_mg_dl, reading_type, notes FROM reading WHERE id = ?";
    rows.execute(sql, [id])?;
    Ok(())
}

/// Links a new patient with those who were registered with the same DNI, and makes a row of counters.
pub(super) fn enter_patient(
    rows: &mut Rows<'_>,
    id: i64,
    values: &[Value<'_>],
) -> Result<(), StoreError> {
    let sql =
        "INSERT OR IGNORE INTO patient_counter (patient_id, times_measured, streak, max_streak)
               SELECT id, former_times_measured, 0, former_max_streak FROM patient WHERE id = ?";
    rows.execute(sql, [id])?;
    let Some(dni) = values.first() else {
        return Ok(());
    };
    let sql = "SELECT id FROM patient WHERE dni = ? ORDER BY id";
    let twins: Vec<i64> = all(rows, sql, [Bind(dni)], |row| row.get(0))?;
    let [first, others @ ..] = twins.as_slice() else {
        return Ok(());
    };
    if !others.is_empty() {
        rows.readings.forget_patients();
        rows.newest.forget_times();
    }
    for other in others {
        let sql = "INSERT INTO patient_link (alias, patient_id) VALUES (?1, ?2)
                   ON CONFLICT (alias) DO UPDATE SET patient_id = ?2";
        rows.execute(sql, [other, first])?;
        adopt(rows, *other, *first)?;
    }
    if !others.is_empty() {
        rows.ends_sessions = true;
        rows.recount.insert(*first);
        collisions::joined(rows, &twins)?;
    }
    Ok(())
}

/// Removes the days of a patient, which are to be counted again.
pub(super) fn forget_days(tx: &impl Read, patient_id: i64) -> Result<(), StoreError> {
    // From day to day: rows of one day lie together, not those of one patient.
    let sql = "DELETE FROM patient_day WHERE patient_id = ? AND day_number IN (
                 WITH RECURSIVE stored(day) AS (SELECT min(day_number) FROM patient_day UNION ALL
                   SELECT (SELECT min(day_number) FROM patient_day WHERE day_number > day) FROM stored
                   WHERE day IS NOT NULL)
                 SELECT day FROM stored)";
    prepared(tx, sql)?.execute([patient_id])?;
    Ok(())
}

/// Gives what is under the name of `alias` to `patient_id`.
fn adopt(rows: &mut Rows<'_>, alias: i64, patient_id: i64) -> Result<(), StoreError> {
    let tables = [
        "queue_entry",
        "appointment",
        "session",
        "recovery",
        "desk_code",
    ];
    for table in tables {
        let sql = format!("UPDATE {table} SET patient_id = ? WHERE patient_id = ?");
        rows.execute(&sql, [patient_id, alias])?;
    }
    let sql = "SELECT id FROM reading WHERE patient_id = ? ORDER BY id";
    let readings: Vec<i64> = all(rows, sql, [alias], |row| row.get(0))?;
    for id in readings {
        adopt_reading(rows, id, patient_id)?;
    }
    forget_days(rows, alias)?;
    rows.recount.extend([alias, patient_id]);
    rows.readings.counted.remove(&alias);
    Ok(())
}

fn adopt_reading(rows: &mut Rows<'_>, id: i64, patient_id: i64) -> Result<(), StoreError> {
    let sql = "SELECT b.id FROM reading a LEFT JOIN reading_origin oa ON oa.reading_id = a.id
               JOIN reading b ON b.patient_id = ? AND b.measured_at = a.measured_at AND b.source = a.source
               AND a.again = 0 AND b.again = 0
               LEFT JOIN reading_origin ob ON ob.reading_id = b.id
               WHERE a.id = ?
               AND coalesce(oa.glucose_mg_dl, a.glucose_mg_dl) = coalesce(ob.glucose_mg_dl, b.glucose_mg_dl)
               AND coalesce(oa.reading_type, a.reading_type) = coalesce(ob.reading_type, b.reading_type)
               AND iif(oa.reading_id IS NULL, a.notes, oa.notes) IS iif(ob.reading_id IS NULL, b.notes, ob.notes)
               LIMIT 1";
    let same: Option<i64> = one(rows, sql, [patient_id, id], |row| row.get(0))?;
    match same {
        None => {
            rows.execute(
                "UPDATE reading SET patient_id = ? WHERE id = ?",
                [patient_id, id],
            )?;
        }
        Some(there) => join_readings(rows, there, id, patient_id)?,
    }
    Ok(())
}

/// Makes one of two rows of the same reading. The values that were written to either are siblings of the one.
fn join_readings(rows: &mut Rows<'_>, a: i64, b: i64, patient_id: i64) -> Result<(), StoreError> {
    let (small, large) = (a.min(b), a.max(b));
    // Both days are counted again anyhow.
    let sql = "UPDATE reading SET patient_id = ?1,
               recorded_at = (SELECT min(recorded_at) FROM reading WHERE id IN (?2, ?3)) WHERE id = ?2";
    rows.execute(sql, [patient_id, small, large])?;
    rows.execute("DELETE FROM reading WHERE id = ?", [large])?;
    rows.execute(
        "UPDATE OR IGNORE reading_origin SET reading_id = ? WHERE reading_id = ?",
        [small, large],
    )?;
    rows.execute("DELETE FROM reading_origin WHERE reading_id = ?", [large])?;
    rows.execute(
        "UPDATE reading_alias SET reading_id = ? WHERE reading_id = ?",
        [small, large],
    )?;
    let sql = "UPDATE register SET row_id = ? WHERE row_id = ? AND entity = ?";
    rows.execute(sql, params![small, large, READING.code])?;
    rows.execute(
        "INSERT INTO reading_alias (alias, reading_id) VALUES (?, ?)",
        [large, small],
    )?;
    show_siblings(rows, small)
}

/// Shows what the rules choose among the values of a reading that came together from two rows, and
/// notes whether they contradict each other: as if all had been written to one row.
fn show_siblings(rows: &mut Rows<'_>, reading: i64) -> Result<(), StoreError> {
    let row = RowId::from_i64(reading).map_err(|error| StoreError::Damaged(error.to_string()))?;
    for (group, rules) in (0..).zip(READING.groups) {
        let key = RegisterKey {
            entity: READING.code,
            row: reading,
            group,
            element: String::new(),
        };
        let siblings = rows.siblings(&key)?;
        if let Merge::Register(policy) = rules.merge
            && let Some(shown) = policy.shown(&siblings)
        {
            rows.set_siblings(&key, &siblings, policy.is_conflict(&siblings))?;
            rows.show(&READING, row, "", &shown.fields)?;
        }
    }
    Ok(())
}
