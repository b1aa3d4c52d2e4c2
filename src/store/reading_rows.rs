//! New readings of other nodes: the rows of which there are most, on a path of their own.
//!
//! Same outcome as for any other row, with statements that are compiled and looked up once for a whole run.
//! Must never make a row of a reading that repeats another.

use std::collections::{BTreeMap, HashMap};

use islet_sync::id::RowId;
use islet_sync::op::Value;
use rusqlite::{CachedStatement, params_from_iter};

use super::entity::{self, READING};
use super::rows::{FINAL, Rows};
use super::tx::{Bind, prepared_for};
use super::{StoreError, twins};
use crate::domain::time::Timestamp;

const NULL: Value<'static> = Value::Null;
/// Fields of a reading.
pub(super) const FIELDS: usize = 9;

/// What is kept between the readings of one transaction.
#[derive(Default)]
pub(super) struct ReadingRows<'a> {
    insert: Option<CachedStatement<'a>>,
    /// Which id stands for a patient.
    patients: HashMap<i64, i64>,
    /// Readings that came in or were withdrawn, to be counted at the end: by patient and day of recording.
    pub(super) counted: BTreeMap<i64, BTreeMap<i64, i64>>,
}

impl ReadingRows<'_> {
    /// Counts a reading of a patient, or with -1 takes it back.
    pub(super) fn count(&mut self, patient_id: i64, recorded_at: Timestamp, change: i64) {
        let days = self.counted.entry(patient_id).or_default();
        *days.entry(recorded_at.day_number()).or_default() += change;
    }

    /// Patients were linked.
    pub(super) fn forget_patients(&mut self) {
        self.patients.clear();
    }
}

/// Makes the row, or joins it with the one that it repeats.
pub(super) fn create(
    rows: &mut Rows<'_>,
    row: RowId,
    fields: &[(u8, Value<'_>)],
) -> Result<(), StoreError> {
    let mut values: [&Value<'_>; FIELDS] = [&NULL; FIELDS];
    for (number, value) in fields {
        values[usize::from(*number) - 1] = value;
    }
    let standing = match values[0] {
        Value::Int(id) => Value::Int(patient(rows, *id)?),
        _ => NULL,
    };
    values[0] = &standing;
    rows.newest.note_id(row);
    if !twins::enter_reading(rows, row.get(), &values)? {
        return Ok(());
    }
    let id = Value::Int(row.get());
    let bound = std::iter::once(&id).chain(values).map(Bind);
    let insert = match &mut rows.readings.insert {
        Some(insert) => insert,
        none => none.insert(prepared_for(rows.connection, entity::insert_sql(&READING))?),
    };
    insert.execute(params_from_iter(bound))?;
    if let [
        Value::Int(patient_id),
        _,
        _,
        _,
        Value::Int(FINAL),
        _,
        Value::Int(recorded_at),
        ..,
    ] = values
    {
        rows.readings.count(*patient_id, Timestamp(*recorded_at), 1);
    }
    Ok(())
}

fn patient(rows: &mut Rows<'_>, id: i64) -> Result<i64, StoreError> {
    if let Some(standing) = rows.readings.patients.get(&id) {
        return Ok(*standing);
    }
    let standing = twins::patient(rows, id)?;
    rows.readings.patients.insert(id, standing);
    Ok(standing)
}
