//! How far the stored readings reach: above that nothing is there, and nothing need be looked for.
//!
//! Logs mostly bring readings in the order in which they were made and measured. Whether one is there already, or
//! a twin of it, then costs a comparison and no look into an index. The bounds are only ever too high, never too low:
//! they rise before a row is written, and a transaction that is undone leaves them. Must never be
//! asked on behalf of rows that were written past the writer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use islet_sync::id::RowId;
use rusqlite::{OptionalExtension, params};

use super::StoreError;
use super::tx::{Read, prepared};

/// Most patients and replicas whose bound is kept; with more, all are looked up anew.
const KNOWN_MAX: usize = 16 * 1024;

/// The bounds; shared by the copies of the writer's state.
#[derive(Clone, Debug, Default)]
pub(super) struct Newest(Arc<Mutex<Bounds>>);

#[derive(Debug, Default)]
struct Bounds {
    /// The greatest id that a replica gave to a reading.
    ids: HashMap<u32, i64>,
    /// The latest time at which something of a patient was measured.
    times: HashMap<i64, i64>,
}

impl Newest {
    /// Whether there surely is no reading with this id, nor ever was one.
    pub(super) fn is_new(&self, tx: &impl Read, row: RowId) -> Result<bool, StoreError> {
        let number = row.replica();
        let bound = |tx| {
            let (first, last) = number.row_ids();
            let own = "SELECT max(id) FROM reading WHERE id BETWEEN ? AND ?";
            let twins = "SELECT max(alias) FROM reading_alias WHERE alias BETWEEN ? AND ?";
            Ok(max(tx, own, params![first, last])?.max(max(tx, twins, params![first, last])?))
        };
        let mut bounds = self.lock();
        Ok(row.get() > known(&mut bounds.ids, number.get(), || bound(tx))?)
    }

    /// Whether everything of this patient was surely measured before.
    pub(super) fn is_latest(
        &self,
        tx: &impl Read,
        patient_id: i64,
        measured_at: i64,
    ) -> Result<bool, StoreError> {
        let sql = "SELECT max(measured_at) FROM reading WHERE patient_id = ?";
        let mut bounds = self.lock();
        let bound = known(&mut bounds.times, patient_id, || max(tx, sql, [patient_id]))?;
        Ok(measured_at > bound)
    }

    /// A reading with this id is about to be written.
    pub(super) fn note_id(&self, row: RowId) {
        raise(&mut self.lock().ids, &row.replica().get(), row.get());
    }

    /// A reading of this patient is about to be written.
    pub(super) fn note_time(&self, patient_id: i64, measured_at: i64) {
        raise(&mut self.lock().times, &patient_id, measured_at);
    }

    /// Readings became another patient's.
    pub(super) fn forget_times(&self) {
        self.lock().times.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Bounds> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The bound under `key`, looked up when it is not known.
fn known<K: std::hash::Hash + Eq>(
    bounds: &mut HashMap<K, i64>,
    key: K,
    look_up: impl FnOnce() -> Result<i64, StoreError>,
) -> Result<i64, StoreError> {
    if let Some(bound) = bounds.get(&key) {
        return Ok(*bound);
    }
    if bounds.len() >= KNOWN_MAX {
        bounds.clear();
    }
    let bound = look_up()?;
    bounds.insert(key, bound);
    Ok(bound)
}

/// One that is not known is looked up when it is asked for, and then holds what is being written.
fn raise<K: std::hash::Hash + Eq>(bounds: &mut HashMap<K, i64>, key: &K, value: i64) {
    if let Some(bound) = bounds.get_mut(key) {
        *bound = (*bound).max(value);
    }
}

fn max(tx: &impl Read, sql: &str, params: impl rusqlite::Params) -> Result<i64, StoreError> {
    let found: Option<Option<i64>> = prepared(tx, sql)?
        .query_row(params, |row| row.get(0))
        .optional()?;
    Ok(found.flatten().unwrap_or(i64::MIN))
}
