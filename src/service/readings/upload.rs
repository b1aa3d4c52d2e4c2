//! What a phone gathered while it was offline, in one go.
//!
//! One transaction and one audit entry, whatever the number. Each item has an outcome of its own: a reading that cannot
//! be taken does not keep the others out. Sending the same again changes nothing, since a reading with a time is stored
//! once.

use std::collections::BTreeMap;

use super::{NO_PATIENT, find_repeated};
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::domain::glucose::NewReading;
use crate::domain::text::Invalid;
use crate::limits;
use crate::service::{App, Error, policy};
use crate::store::{Audited, Lane, Read, WriteTx, patients, readings};

/// What became of one item.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was stored under this id.
    Created(i64),
    /// It was there already, under this id; perhaps it was corrected or withdrawn since.
    Exists(i64),
    /// It cannot be taken, and never will be as it is.
    Rejected(Invalid),
}

/// Stores readings of the acting patient. What was found wrong with an item before is kept as its outcome.
///
/// # Errors
/// When the actor is not a patient, or there are more than [`limits::UPLOAD_READINGS_MAX`]; nothing is stored then.
pub async fn upload(
    app: &App,
    actor: &Actor,
    items: Vec<Result<NewReading, Invalid>>,
) -> Result<Vec<Outcome>, Error> {
    let patient_id = policy::patient(app, actor, "reading.upload")?;
    let most = limits::UPLOAD_READINGS_MAX;
    if items.len() > most {
        return Err(Error::invalid("readings")(Invalid::new(
            format!("must be at most {most}: send several batches"),
            format!("pueden ser como máximo {most}: envíe varias partes"),
        )));
    }
    let refusal = Entry::new(actor, "reading.upload");
    let entry = refusal.clone();
    app.write_in(Lane::Bulk, refusal, move |tx| {
        store(tx, entry, patient_id, items)
    })
    .await
}

fn store(
    tx: &mut WriteTx<'_>,
    entry: Entry,
    patient_id: i64,
    items: Vec<Result<NewReading, Invalid>>,
) -> Result<Audited<Vec<Outcome>>, Error> {
    if !patients::exists(tx, patient_id)? {
        return Err(NO_PATIENT);
    }
    // What this patient handed in before is stored under the id that stands for both.
    let patient_id = patients::resolve(tx, patient_id)?;
    // A clock that was set back is no reason to refuse what phones measure meanwhile.
    let latest = tx.now().max(readings::latest_change(tx)?);
    let mut outcomes = Vec::with_capacity(items.len());
    for item in items {
        let outcome = match item {
            Ok(new) => store_one(tx, &NewReading { patient_id, ..new }, latest.0)?,
            Err(wrong) => Outcome::Rejected(wrong),
        };
        outcomes.push(outcome);
    }
    let created = |it: &&Outcome| matches!(it, Outcome::Created(_));
    let rejected = |it: &&Outcome| matches!(it, Outcome::Rejected(_));
    let new = outcomes.iter().filter(created).count();
    let rejected = outcomes.iter().filter(rejected).count();
    if new > 0 {
        let days = BTreeMap::from([(tx.now().day_number(), i64::try_from(new).unwrap_or(0))]);
        patients::count_past_readings(tx, patient_id, &days)?;
    }
    let repeated = outcomes.len() - new - rejected;
    let entry = entry.detail(format!(
        "{new} new, {repeated} repeated, {rejected} rejected"
    ));
    Ok(tx.audit(&entry)?.with(outcomes))
}

fn store_one(tx: &mut WriteTx<'_>, new: &NewReading, latest_ms: i64) -> Result<Outcome, Error> {
    let Some(measured_at) = new.measured_at else {
        return Ok(Outcome::Rejected(Invalid::new(
            "needs measured_at: without it, it could not be sent again safely",
            "necesita measured_at: sin él no se puede reenviar sin riesgo",
        )));
    };
    if measured_at.0 > latest_ms + limits::READING_AHEAD_MAX_MS {
        return Ok(Outcome::Rejected(Invalid::new(
            "measured_at must not be in the future",
            "measured_at no puede estar en el futuro",
        )));
    }
    if let Some(stored) = find_repeated(tx, new, None)? {
        return Ok(Outcome::Exists(stored.id));
    }
    Ok(Outcome::Created(readings::insert(tx, new, measured_at)?))
}
