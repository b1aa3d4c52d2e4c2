//! The clinical form of an accepted patient, and the doctor's resolution.

use super::mail::Mail;
use super::{App, Error, policy};
use crate::domain::actor::Actor;
use crate::domain::appointment::{Appointment, Form, Resolution};
use crate::domain::audit::{Entry, Object, Outcome};
use crate::domain::queue::{QueueAction, Refusal};
use crate::domain::text::Invalid;
use crate::limits;
use crate::store::{appointments, patients, queue};

const NO_APPOINTMENT: Error = Error::NotFound("Appointment does not exist");
const NO_RESOLUTION: Error = Error::NotFound("Resolution not found");

/// Stores the form of the acting patient, whose place must be accepted. Sending the same form
/// again gives the same appointment.
///
/// # Errors
/// [`Error::NotInQueue`], [`Error::NotAccepted`], or [`Error::Invalid`] for a number that is none.
pub async fn create(app: &App, actor: &Actor, form: Form) -> Result<Appointment, Error> {
    let patient_id = policy::patient(app, actor, "appointment.create")?;
    finite("glucose_objective", form.glucose_objective)?;
    finite("dose", form.dose)?;
    finite("fixed_dose", form.fixed_dose)?;
    finite("ratio", form.ratio)?;
    finite("sensitivity", form.sensitivity)?;
    let refusal = Entry::new(actor, "appointment.create");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        let place = queue::by_patient(tx, patient_id)?.ok_or(Error::NotInQueue)?;
        let log = Entry::new(&actor, "appointment.create");
        if let Some(sent) = appointments::by_queue_entry(tx, place.placement)? {
            if sent.form != form {
                return Err(Error::NotAccepted(place.state));
            }
            let log = log.on(Object::Appointment, sent.id).detail("repeated");
            return Ok(tx.audit(&log)?.with(sent));
        }
        // The place is kept by its patient already, so no free place is needed.
        let after = place
            .state
            .after(QueueAction::Create, 0)
            .map_err(|refusal| match refusal {
                Refusal::WrongState(state) => Error::NotAccepted(state),
                Refusal::Full => Error::QueueFull,
            })?;
        let id = appointments::insert(tx, patient_id, Some(place.placement), &form)?;
        queue::set_state(tx, place.placement, after)?;
        let log = log.on(Object::Appointment, id);
        Ok(tx.audit(&log)?.with(Appointment {
            id,
            patient_id,
            form,
        }))
    })
    .await
}

/// Texts such as `nan` and `inf` parse as numbers too.
fn finite(field: &'static str, value: f64) -> Result<(), Error> {
    if value.is_finite() {
        return Ok(());
    }
    Err(Error::invalid(field)(Invalid::new(
        "must be a number",
        "debe ser un número",
    )))
}

/// The appointments of the acting patient, oldest first.
///
/// # Errors
/// When the actor is not a patient.
pub async fn mine(app: &App, actor: &Actor) -> Result<Vec<Appointment>, Error> {
    let id = policy::patient(app, actor, "appointment.list")?;
    app.store
        .note_access(Entry::new(actor, "appointment.list"))?;
    app.store
        .read(move |tx| Ok(appointments::of_patient(tx, id, limits::LEGACY_ROWS_MAX)?))
        .await
}

/// The newest `limit` appointments of any patient, oldest first.
///
/// # Errors
/// When the actor is not staff, or there is no such patient.
pub async fn of_patient(
    app: &App,
    actor: &Actor,
    id: i64,
    limit: u32,
) -> Result<Vec<Appointment>, Error> {
    policy::staff_for(app, actor, "appointment.list", id)?;
    let found = app
        .store
        .read(move |tx| {
            if !patients::exists(tx, id)? {
                return Err(Error::NotFound("User not found"));
            }
            Ok(appointments::of_patient(tx, id, limit)?)
        })
        .await?;
    app.store
        .note_access(Entry::new(actor, "appointment.list").of_patient(id))?;
    Ok(found)
}

/// Some appointments of a patient, the newest first, and the id to go on after when there are more.
pub type Page = (Vec<Appointment>, Option<i64>);

/// Up to `limit` appointments before the id `before`: of the acting patient, or of the one that staff name.
///
/// # Errors
/// When the actor may not see them, or there is no such patient.
pub async fn page(
    app: &App,
    actor: &Actor,
    patient_id: Option<i64>,
    before: i64,
    limit: u32,
) -> Result<Page, Error> {
    let id = match patient_id {
        None => policy::patient(app, actor, "appointment.list")?,
        Some(id) => policy::staff_for(app, actor, "appointment.list", id).map(|()| id)?,
    };
    let found = app.store.read(move |tx| {
        if !patients::exists(tx, id)? {
            return Err(Error::NotFound("User not found"));
        }
        let mut found = appointments::before(tx, id, before, limit + 1)?;
        let more = found.len() > limit as usize;
        found.truncate(limit as usize);
        let next = found.last().filter(|_| more).map(|last| last.id);
        Ok((found, next))
    });
    let page = found.await?;
    app.store
        .note_access(Entry::new(actor, "appointment.list").of_patient(id))?;
    Ok(page)
}

/// One appointment, for its patient or for staff. Another patient's does not exist.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(app: &App, actor: &Actor, id: i64) -> Result<Appointment, Error> {
    let owner = actor.patient_id();
    if owner.is_none() {
        policy::staff(app, actor, "appointment.read")?;
    }
    let found = app
        .store
        .read(move |tx| appointments::by_id(tx, id)?.ok_or(NO_APPOINTMENT))
        .await?;
    let log = Entry::new(actor, "appointment.read")
        .of_patient(found.patient_id)
        .on(Object::Appointment, id);
    if owner.is_some_and(|owner| owner != found.patient_id) {
        app.store.note_access(log.outcome(Outcome::Denied))?;
        return Err(NO_APPOINTMENT);
    }
    app.store.note_access(log)?;
    Ok(found)
}

/// The latest resolution of an appointment, for its patient or for staff. Another patient's
/// appointment does not exist.
///
/// # Errors
/// [`Error::NotFound`] when there is no such appointment, or no resolution yet.
pub async fn resolution(
    app: &App,
    actor: &Actor,
    appointment_id: i64,
) -> Result<Resolution, Error> {
    let owner = actor.patient_id();
    if owner.is_none() {
        policy::staff(app, actor, "resolution.read")?;
    }
    let log = Entry::new(actor, "resolution.read").on(Object::Appointment, appointment_id);
    let (patient_id, found) = app
        .store
        .read(move |tx| {
            let appointment = appointments::by_id(tx, appointment_id)?.ok_or(NO_APPOINTMENT)?;
            let found = appointments::resolution(tx, appointment_id)?;
            Ok::<_, Error>((appointment.patient_id, found))
        })
        .await?;
    let log = log.of_patient(patient_id);
    if owner.is_some_and(|id| id != patient_id) {
        app.store.note_access(log.outcome(Outcome::Denied))?;
        return Err(NO_APPOINTMENT);
    }
    let found = found.ok_or(NO_RESOLUTION)?;
    app.store.note_access(log)?;
    Ok(found)
}

/// Stores what the doctor decided, and tells the patient by mail. A different decision later
/// replaces the former one, which stays in the database; the same one changes nothing.
///
/// # Errors
/// When the actor is not staff, there is no such appointment, or a value cannot be stored.
pub async fn resolve(
    app: &App,
    actor: &Actor,
    resolution: Resolution,
) -> Result<Resolution, Error> {
    policy::staff(app, actor, "resolution.create")?;
    finite(
        "change_basal_dose",
        resolution.change_basal_dose.unwrap_or(0.0),
    )?;
    finite("change_ratio", resolution.change_ratio.unwrap_or(0.0))?;
    finite(
        "change_sensitivity",
        resolution.change_sensitivity.unwrap_or(0.0),
    )?;
    if let Some(scale) = &resolution.glucose_scale
        && serde_json::from_str::<serde::de::IgnoredAny>(scale).is_err()
    {
        return Err(Error::invalid("glucose_scale")(Invalid::new(
            "must be JSON",
            "debe ser JSON",
        )));
    }
    let id = resolution.appointment_id;
    let refusal = Entry::new(actor, "resolution.create").on(Object::Appointment, id);
    let actor = actor.clone();
    let (resolution, mail_to) = app
        .write(refusal, move |tx| {
            let appointment = appointments::by_id(tx, id)?.ok_or(NO_APPOINTMENT)?;
            let log = Entry::new(&actor, "resolution.create").of_patient(appointment.patient_id);
            if appointments::resolution(tx, id)?.as_ref() == Some(&resolution) {
                let log = log.on(Object::Appointment, id).detail("repeated");
                return Ok(tx.audit(&log)?.with((resolution, None)));
            }
            let row = appointments::insert_resolution(tx, &resolution, actor.staff_id())?;
            let patient = patients::login_by_id(tx, appointment.patient_id)?;
            let log = log.on(Object::Resolution, row);
            let mail_to = patient.map(|patient| patient.email);
            Ok::<_, Error>(tx.audit(&log)?.with((resolution, mail_to)))
        })
        .await?;
    if let Some(to) = mail_to {
        app.mailer.send(Mail::resolution_ready(to));
    }
    Ok(resolution)
}
