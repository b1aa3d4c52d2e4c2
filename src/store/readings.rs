//! Glucose readings.

use std::ops::RangeInclusive;

use islet_sync::op::Value;
use rusqlite::{Row, params};

use super::entity::READING;
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx, patients};
use crate::domain::glucose::{NewReading, Reading, ReadingType, Source};
use crate::domain::time::Timestamp;

/// Status codes: FHIR Observation.status `final` and `entered-in-error`.
const FINAL: i64 = 1;
const ENTERED_IN_ERROR: i64 = 2;
/// In the statements below, 1 is [`FINAL`] and 2 the source of readings that staff typed in.
const _: () = assert!(FINAL == 1 && Source::BackOffice as i64 == 2);
const BY_ID: &str = "SELECT id, patient_id, glucose_mg_dl, reading_type, measured_at, notes,
    recorded_at, status FROM reading WHERE id = ?";
const SAME: &str = "SELECT id, patient_id, glucose_mg_dl, reading_type, measured_at, notes
    FROM reading WHERE patient_id = ? AND measured_at = ? AND glucose_mg_dl = ? AND reading_type = ?
    AND source = ? AND notes IS ? AND (status = 1 OR source <> 2) ORDER BY status, id LIMIT 1";
const NEWEST: &str = "SELECT * FROM (SELECT id, patient_id, glucose_mg_dl, reading_type,
    measured_at, notes, recorded_at FROM reading WHERE patient_id = ? AND measured_at BETWEEN ? AND ?
    AND status = 1 ORDER BY measured_at DESC LIMIT ?) ORDER BY recorded_at, id";
const NEWEST_OF_ALL: &str = "SELECT * FROM (SELECT id, patient_id, glucose_mg_dl, reading_type,
    measured_at, notes FROM reading WHERE id <= ? AND status = 1 ORDER BY id DESC LIMIT ?)
    ORDER BY id";

/// Inserts a reading taken at `measured_at` and recorded now, as [`insert_recorded`] does.
///
/// # Errors
/// When there is no such patient or the disk fails.
pub fn insert(
    tx: &mut WriteTx<'_>,
    new: &NewReading,
    measured_at: Timestamp,
) -> Result<i64, StoreError> {
    let now = tx.now();
    insert_recorded(tx, new, measured_at, now)
}

/// Inserts a reading that was recorded at `recorded_at`, here or elsewhere, of a patient whose id
/// [`patients::resolve`] has answered with.
///
/// # Errors
/// When there is no such patient or the disk fails.
pub fn insert_recorded(
    tx: &mut WriteTx<'_>,
    new: &NewReading,
    measured_at: Timestamp,
    recorded_at: Timestamp,
) -> Result<i64, StoreError> {
    let patient_id = new.patient_id;
    debug_assert_eq!(
        patients::resolve(tx, patient_id).ok(),
        Some(patient_id),
        "another id stands for this patient"
    );
    let again =
        !is_first(tx, patient_id, measured_at)? && knows_same(tx, patient_id, new, measured_at)?;
    tx.insert(
        &READING,
        &[
            patient_id.into(),
            new.glucose.mg_dl().into(),
            new.reading_type.code().into(),
            (new.source as i64).into(),
            FINAL.into(),
            measured_at.0.into(),
            recorded_at.0.into(),
            new.notes.as_deref().into(),
            again.into(),
        ],
    )
}

/// Whether nothing of a patient was measured at that time, which is so of nearly all that is handed in: then
/// nothing is repeated, and nothing else need be looked for.
///
/// # Errors
/// When the disk fails.
pub fn is_first(
    tx: &WriteTx<'_>,
    patient_id: i64,
    measured_at: Timestamp,
) -> Result<bool, StoreError> {
    if tx.state().newest.is_latest(tx, patient_id, measured_at.0)? {
        return Ok(true);
    }
    let sql = "SELECT 1 FROM reading WHERE patient_id = ? AND measured_at = ? LIMIT 1";
    let wanted = [patient_id, measured_at.0];
    Ok(one(tx, sql, wanted, |_| Ok(()))?.is_none())
}

/// Whether there is a reading that was made with the same values: the new one is another then, on all nodes.
fn knows_same(
    tx: &impl Read,
    patient_id: i64,
    new: &NewReading,
    measured_at: Timestamp,
) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM reading r LEFT JOIN reading_origin o ON o.reading_id = r.id
               WHERE r.patient_id = ? AND r.measured_at = ? AND r.source = ?
               AND coalesce(o.glucose_mg_dl, r.glucose_mg_dl) = ?
               AND coalesce(o.reading_type, r.reading_type) = ?
               AND iif(o.reading_id IS NULL, r.notes, o.notes) IS ? LIMIT 1";
    let parameters = params![
        patient_id,
        measured_at.0,
        new.source as i64,
        new.glucose.mg_dl(),
        new.reading_type.code(),
        new.notes
    ];
    Ok(one(tx, sql, parameters, |_| Ok(()))?.is_some())
}

/// Marks a reading as an error. It stays in the database and in the log.
///
/// # Errors
/// When there is no such reading or the disk fails.
pub fn mark_entered_in_error(tx: &mut WriteTx<'_>, id: i64) -> Result<(), StoreError> {
    tx.update(&READING, id, &[("status", Value::Int(ENTERED_IN_ERROR))])
}

/// Corrects the value of a reading.
///
/// # Errors
/// When there is no such reading or the disk fails.
pub fn set_value(tx: &mut WriteTx<'_>, id: i64, mg_dl: f64) -> Result<(), StoreError> {
    tx.update(&READING, id, &[("glucose_mg_dl", mg_dl.into())])
}

/// A reading with what only the node knows of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// What was handed in.
    pub reading: Reading,
    /// When it came.
    pub recorded_at: Timestamp,
    /// False once it was marked as an error.
    pub counts: bool,
}

/// One reading, also one that was marked as an error.
///
/// # Errors
/// When the disk fails.
pub fn by_id(tx: &impl Read, id: i64) -> Result<Option<Stored>, StoreError> {
    one(tx, BY_ID, [id], |row| {
        Ok(Stored {
            reading: from_row(row)?,
            recorded_at: Timestamp(row.get(6)?),
            counts: row.get::<_, i64>(7)? == FINAL,
        })
    })
}

/// The reading that `new` repeats: same patient, time, value, type, source and notes. A phone that
/// hands in again what staff marked as an error repeats it; staff who do so mean a new reading.
///
/// # Errors
/// When the disk fails.
pub fn find_same(
    tx: &impl Read,
    new: &NewReading,
    measured_at: Timestamp,
) -> Result<Option<Reading>, StoreError> {
    let parameters = params![
        new.patient_id,
        measured_at.0,
        new.glucose.mg_dl(),
        new.reading_type.code(),
        new.source as i64,
        new.notes
    ];
    one(tx, SAME, parameters, from_row)
}

/// The reading that `new` repeats although its value was corrected since: by what it was made with.
///
/// # Errors
/// When the disk fails.
pub fn find_corrected(
    tx: &impl Read,
    new: &NewReading,
    measured_at: Timestamp,
) -> Result<Option<Reading>, StoreError> {
    let sql = "SELECT r.id, r.patient_id, r.glucose_mg_dl, r.reading_type, r.measured_at, r.notes
               FROM reading r JOIN reading_origin o ON o.reading_id = r.id
               WHERE r.patient_id = ? AND r.measured_at = ? AND r.source = ? AND o.glucose_mg_dl = ?
               AND o.reading_type = ? AND o.notes IS ? ORDER BY r.id LIMIT 1";
    let parameters = params![
        new.patient_id,
        measured_at.0,
        new.source as i64,
        new.glucose.mg_dl(),
        new.reading_type.code(),
        new.notes
    ];
    one(tx, sql, parameters, from_row)
}

/// The `limit` readings of a patient with the newest times within `times` (milliseconds), in the
/// order in which they were recorded. The cost is that of the page, however many readings there are.
///
/// # Errors
/// When the disk fails.
pub fn newest(
    tx: &impl Read,
    patient_id: i64,
    times: RangeInclusive<i64>,
    limit: u32,
) -> Result<Vec<Reading>, StoreError> {
    let patient_id = patients::resolve(tx, patient_id)?;
    let parameters = params![patient_id, times.start(), times.end(), limit];
    all(tx, NEWEST, parameters, from_row)
}

/// The `limit` newest readings of all patients, in the order of their ids.
///
/// # Errors
/// When the disk fails.
pub fn newest_of_all(tx: &impl Read, limit: u32) -> Result<Vec<Reading>, StoreError> {
    all(tx, NEWEST_OF_ALL, params![i64::MAX, limit], from_row)
}

/// The latest time that a change was ever made at. Never goes back, whatever the clock does.
///
/// # Errors
/// When the disk fails.
pub fn latest_change(tx: &impl Read) -> Result<Timestamp, StoreError> {
    // The upper bits of a hybrid logical clock are milliseconds.
    let sql = "SELECT hlc >> 16 FROM replica";
    Ok(one(tx, sql, [], |row| row.get(0).map(Timestamp))?.unwrap_or(Timestamp(0)))
}

pub(super) fn from_row(row: &Row<'_>) -> rusqlite::Result<Reading> {
    Ok(Reading {
        id: row.get(0)?,
        patient_id: row.get(1)?,
        glucose_mg_dl: row.get(2)?,
        reading_type: ReadingType::from_code(row.get(3)?).unwrap_or(ReadingType::Otro),
        measured_at: Timestamp(row.get(4)?),
        notes: row.get(5)?,
    })
}
