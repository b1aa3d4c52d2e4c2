//! Many readings of the past at once: from another system, a file, or another node.
//!
//! Goes through the bulk lane, so that nobody who records a reading now waits for it.

use std::collections::BTreeMap;

use jiff::civil::Date;

use super::NO_PATIENT;
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::domain::glucose::{NewReading, PastReading};
use crate::domain::text::Invalid;
use crate::limits;
use crate::service::{App, Error, policy};
use crate::store::{Audited, Lane, Read, WriteTx, patients, readings};

/// What became of a batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Imported {
    /// Readings that were stored.
    pub new: usize,
    /// Readings that were there already.
    pub repeated: usize,
}

/// Stores readings of one patient in one transaction with one audit entry. One that is stored with
/// the same time, value, type, source and notes is left out, so a batch can be sent again.
///
/// # Errors
/// When the actor is not staff, there is no such patient, the batch has more than
/// [`limits::IMPORT_READINGS_MAX`] readings, or one was recorded in the future; nothing is stored
/// then. [`Error::Busy`] when too many batches wait.
pub async fn import_batch(
    app: &App,
    actor: &Actor,
    patient_id: i64,
    batch: Vec<PastReading>,
) -> Result<Imported, Error> {
    policy::staff(app, actor, "reading.import")?;
    if batch.len() > limits::IMPORT_READINGS_MAX {
        let most = limits::IMPORT_READINGS_MAX;
        let reason = Invalid(format!("must be at most {most}: send several batches"));
        return Err(Error::invalid("readings")(reason));
    }
    let refusal = Entry::new(actor, "reading.import").of_patient(patient_id);
    let actor = actor.clone();
    app.write_in(Lane::Bulk, refusal, move |tx| {
        store(tx, &actor, patient_id, batch)
    })
    .await
}

fn store(
    tx: &mut WriteTx<'_>,
    actor: &Actor,
    patient_id: i64,
    batch: Vec<PastReading>,
) -> Result<Audited<Imported>, Error> {
    if !patients::exists(tx, patient_id)? {
        return Err(NO_PATIENT);
    }
    let sent = batch.len();
    let mut days: BTreeMap<Date, i64> = BTreeMap::new();
    for past in batch {
        if past.recorded_at > tx.now() {
            return Err(Error::invalid("recorded_at")(Invalid::new(
                "must not be in the future",
            )));
        }
        let (measured_at, recorded_at) = (past.measured_at, past.recorded_at);
        let new = NewReading {
            patient_id,
            glucose: past.glucose,
            reading_type: past.reading_type,
            source: past.source,
            measured_at: Some(measured_at),
            notes: past.notes,
        };
        if readings::find_same(tx, &new, measured_at)?.is_some() {
            continue;
        }
        readings::insert_recorded(tx, &new, measured_at, recorded_at)?;
        *days.entry(recorded_at.day()).or_default() += 1;
    }
    let new = usize::try_from(days.values().sum::<i64>()).unwrap_or(sent);
    let imported = Imported {
        new,
        repeated: sent - new,
    };
    if new > 0 {
        patients::count_past_readings(tx, patient_id, &days)?;
    }
    let entry = Entry::new(actor, "reading.import").of_patient(patient_id);
    let detail = format!("{new} new, {} repeated", imported.repeated);
    Ok(tx.audit(&entry.detail(detail))?.with(imported))
}
