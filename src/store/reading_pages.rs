//! Readings of one patient, page by page, the newest first.
//!
//! A page is found by its key in the index of the patient, so the newest one touches as many rows as it returns, however
//! many there are. Must never count without a bound.

use rusqlite::params;

use super::readings::from_row;
use super::tx::{Read, all, one};
use super::{StoreError, patients};
use crate::domain::glucose::{Reading, ReadingType};
use crate::domain::time::Timestamp;
use crate::limits;

/// Which readings are asked for. All of them count; those that were entered in error are never among them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those taken later.
    pub since: Option<Timestamp>,
    /// Only those taken then or earlier.
    pub until: Option<Timestamp>,
    /// Only those of this occasion.
    pub reading_type: Option<ReadingType>,
}

impl Selection {
    fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    fn bounds(&self) -> (i64, i64) {
        let since = self.since.map_or(i64::MIN, |at| at.0);
        let until = self.until.map_or(i64::MAX, |at| at.0);
        (since, until)
    }
}

/// The place of a reading in the list: when it was taken, and its id.
pub type Place = (Timestamp, i64);

/// Up to `limit` readings of a patient, the newest first, from after `after` on.
///
/// # Errors
/// When the disk fails.
pub fn page(
    tx: &impl Read,
    patient_id: i64,
    selection: &Selection,
    after: Option<Place>,
    limit: u32,
) -> Result<Vec<Reading>, StoreError> {
    let patient_id = patients::resolve(tx, patient_id)?;
    let (since, until) = selection.bounds();
    let (at, id) = after.map_or((i64::MAX, i64::MAX), |(at, id)| (at.0, id));
    let sql = "SELECT id, patient_id, glucose_mg_dl, reading_type, measured_at, notes FROM reading
               WHERE patient_id = ?1 AND measured_at > ?2 AND measured_at <= min(?3, ?4)
               AND (measured_at < ?4 OR id < ?5) AND status = 1 AND reading_type = coalesce(?6, reading_type)
               ORDER BY measured_at DESC, id DESC LIMIT ?7";
    let reading_type = selection.reading_type.map(ReadingType::code);
    let parameters = params![patient_id, since, until, at, id, reading_type, limit];
    all(tx, sql, parameters, from_row)
}

/// How many readings a selection has; `None` when a part is asked for that has more than
/// [`limits::READINGS_COUNTED_MAX`].
///
/// # Errors
/// When the disk fails.
pub fn count(
    tx: &impl Read,
    patient_id: i64,
    selection: &Selection,
) -> Result<Option<i64>, StoreError> {
    let patient_id = patients::resolve(tx, patient_id)?;
    if selection.is_everything() {
        let sql = "SELECT c.times_measured - p.former_times_measured FROM patient_counter c
                   JOIN patient p ON p.id = c.patient_id WHERE c.patient_id = ?";
        return one(tx, sql, [patient_id], |row| row.get(0));
    }
    let (since, until) = selection.bounds();
    let sql = "SELECT count(*) FROM (SELECT 1 FROM reading WHERE patient_id = ?1 AND measured_at > ?2
               AND measured_at <= ?3 AND status = 1 AND reading_type = coalesce(?4, reading_type) LIMIT ?5)";
    let most = i64::from(limits::READINGS_COUNTED_MAX);
    let reading_type = selection.reading_type.map(ReadingType::code);
    let parameters = params![patient_id, since, until, reading_type, most + 1];
    let counted: Option<i64> = one(tx, sql, parameters, |row| row.get(0))?;
    Ok(counted.filter(|count| *count <= most))
}
