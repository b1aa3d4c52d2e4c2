//! Appointments and their resolutions.

use rusqlite::Row;

use super::entity::{APPOINTMENT, RESOLUTION};
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx};
use crate::domain::appointment::{Appointment, Form, Resolution};

const APPOINTMENT_SELECT: &str = "SELECT id, patient_id, glucose_objective, insulin_type, dose,
    fast_insulin, fixed_dose, ratio, sensitivity, pump_type, control_data, motives, another_treatment,
    other_motive FROM appointment";
const RESOLUTION_SELECT: &str = "SELECT appointment_id, change_basal_type, change_basal_dose,
    change_basal_time, change_fast_type, change_ratio, change_sensitivity, emergency_care,
    needed_physical_appointment, glucose_scale FROM resolution";

/// Inserts the form of a patient.
///
/// # Errors
/// When the queue entry has one already or the disk fails.
pub fn insert(
    tx: &mut WriteTx<'_>,
    patient_id: i64,
    queue_entry_id: Option<i64>,
    form: &Form,
) -> Result<i64, StoreError> {
    let now = tx.now().0;
    let motives =
        serde_json::to_string(&form.motives).map_err(|e| StoreError::Damaged(e.to_string()))?;
    tx.insert(
        &APPOINTMENT,
        &[
            patient_id.into(),
            queue_entry_id.into(),
            form.glucose_objective.into(),
            (&form.insulin_type).into(),
            form.dose.into(),
            (&form.fast_insulin).into(),
            form.fixed_dose.into(),
            form.ratio.into(),
            form.sensitivity.into(),
            (&form.pump_type).into(),
            (&form.control_data).into(),
            (&motives).into(),
            form.another_treatment.as_deref().into(),
            form.other_motive.as_deref().into(),
            now.into(),
            None::<i64>.into(),
        ],
    )
}

/// One appointment.
///
/// # Errors
/// When the disk fails.
pub fn by_id(tx: &impl Read, id: i64) -> Result<Option<Appointment>, StoreError> {
    one(
        tx,
        &format!("{APPOINTMENT_SELECT} WHERE id = ?"),
        [id],
        appointment_from_row,
    )
}

/// The appointment that was made from a queue entry.
///
/// # Errors
/// When the disk fails.
pub fn by_queue_entry(tx: &impl Read, placement: i64) -> Result<Option<Appointment>, StoreError> {
    let sql =
        format!("{APPOINTMENT_SELECT} WHERE queue_entry_id = ? ORDER BY created_at, id LIMIT 1");
    one(tx, &sql, [placement], appointment_from_row)
}

/// Lets go of the queue entry, when its patient is put back and will send another form.
///
/// # Errors
/// When there is no such appointment or the disk fails.
pub fn detach(tx: &mut WriteTx<'_>, id: i64) -> Result<(), StoreError> {
    tx.update(&APPOINTMENT, id, &[("queue_entry_id", None::<i64>.into())])
}

/// The newest `limit` appointments of a patient, oldest first.
///
/// # Errors
/// When the disk fails.
pub fn of_patient(
    tx: &impl Read,
    patient_id: i64,
    limit: u32,
) -> Result<Vec<Appointment>, StoreError> {
    let patient_id = super::patients::resolve(tx, patient_id)?;
    let sql = format!("{APPOINTMENT_SELECT} WHERE patient_id = ? ORDER BY id DESC LIMIT ?");
    let mut found = all(
        tx,
        &sql,
        rusqlite::params![patient_id, limit],
        appointment_from_row,
    )?;
    found.reverse();
    Ok(found)
}

/// Up to `limit` appointments of a patient with an id below `before`, the newest first.
///
/// # Errors
/// When the disk fails.
pub fn before(
    tx: &impl Read,
    patient_id: i64,
    before: i64,
    limit: u32,
) -> Result<Vec<Appointment>, StoreError> {
    let patient_id = super::patients::resolve(tx, patient_id)?;
    let sql =
        format!("{APPOINTMENT_SELECT} WHERE patient_id = ? AND id < ? ORDER BY id DESC LIMIT ?");
    let parameters = rusqlite::params![patient_id, before, limit];
    all(tx, &sql, parameters, appointment_from_row)
}

/// Inserts what a doctor decided.
///
/// # Errors
/// When there is no such appointment or the disk fails.
pub fn insert_resolution(
    tx: &mut WriteTx<'_>,
    resolution: &Resolution,
    staff_id: Option<i64>,
) -> Result<i64, StoreError> {
    let now = tx.now().0;
    let id = tx.insert(
        &RESOLUTION,
        &[
            resolution.appointment_id.into(),
            resolution.change_basal_type.as_deref().into(),
            resolution.change_basal_dose.into(),
            resolution.change_basal_time.as_deref().into(),
            resolution.change_fast_type.as_deref().into(),
            resolution.change_ratio.into(),
            resolution.change_sensitivity.into(),
            resolution.emergency_care.into(),
            resolution.needed_physical_appointment.into(),
            resolution.glucose_scale.as_deref().into(),
            staff_id.into(),
            now.into(),
        ],
    )?;
    let holds = [("resolution_id", id.into())];
    tx.update(&APPOINTMENT, resolution.appointment_id, &holds)?;
    Ok(id)
}

/// The resolution of an appointment that holds: the latest, or that which staff chose.
///
/// # Errors
/// When the disk fails.
pub fn resolution(tx: &impl Read, appointment_id: i64) -> Result<Option<Resolution>, StoreError> {
    let sql = format!(
        "{RESOLUTION_SELECT} WHERE id = (SELECT resolution_id FROM appointment WHERE id = ?)"
    );
    one(tx, &sql, [appointment_id], resolution_from_row)
}

fn appointment_from_row(row: &Row<'_>) -> rusqlite::Result<Appointment> {
    let motives: String = row.get(11)?;
    Ok(Appointment {
        id: row.get(0)?,
        patient_id: row.get(1)?,
        form: Form {
            glucose_objective: row.get(2)?,
            insulin_type: row.get(3)?,
            dose: row.get(4)?,
            fast_insulin: row.get(5)?,
            fixed_dose: row.get(6)?,
            ratio: row.get(7)?,
            sensitivity: row.get(8)?,
            pump_type: row.get(9)?,
            control_data: row.get(10)?,
            motives: serde_json::from_str(&motives).unwrap_or_default(),
            another_treatment: row.get(12)?,
            other_motive: row.get(13)?,
        },
    })
}

fn resolution_from_row(row: &Row<'_>) -> rusqlite::Result<Resolution> {
    Ok(Resolution {
        appointment_id: row.get(0)?,
        change_basal_type: row.get(1)?,
        change_basal_dose: row.get(2)?,
        change_basal_time: row.get(3)?,
        change_fast_type: row.get(4)?,
        change_ratio: row.get(5)?,
        change_sensitivity: row.get(6)?,
        emergency_care: row.get(7)?,
        needed_physical_appointment: row.get(8)?,
        glucose_scale: row.get(9)?,
    })
}
