//! Readings page by page, one reading, and taking one back, as new clients ask for it.

use super::{NO_PATIENT, NO_READING};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object, Outcome};
use crate::domain::conflict::{self, ConflictId, Kind};
use crate::domain::glucose::Reading;
use crate::service::{App, Error, Expectation, policy};
use crate::store::{conflicts, patients, reading_pages, readings};

pub use crate::store::reading_pages::{Place, Selection};

/// Some readings of a patient, the newest first.
#[derive(Clone, Debug, PartialEq)]
pub struct Page {
    /// The readings.
    pub items: Vec<Reading>,
    /// How many the selection has, when they were counted.
    pub total: Option<i64>,
    /// What the next page begins after; `None` on the last one.
    pub next: Option<Place>,
}

/// Whose readings are meant: those of the acting patient, or those of the one that staff name.
pub(super) fn subject(
    app: &App,
    actor: &Actor,
    patient_id: Option<i64>,
    action: &'static str,
) -> Result<i64, Error> {
    match patient_id {
        None => policy::patient(app, actor, action),
        Some(id) => policy::staff_for(app, actor, action, id).map(|()| id),
    }
}

/// A page of at most `limit` readings after `after`: of the acting patient, or of the one that staff name.
///
/// # Errors
/// When the actor may not see them, or there is no such patient.
pub async fn page(
    app: &App,
    actor: &Actor,
    patient_id: Option<i64>,
    selection: Selection,
    after: Option<Place>,
    limit: u32,
) -> Result<Page, Error> {
    let id = subject(app, actor, patient_id, "reading.list")?;
    let page = app
        .store
        .read(move |tx| {
            if !patients::exists(tx, id)? {
                return Err(NO_PATIENT);
            }
            let mut items = reading_pages::page(tx, id, &selection, after, limit + 1)?;
            let more = items.len() > limit as usize;
            items.truncate(limit as usize);
            let next = items.last().filter(|_| more);
            let next = next.map(|last| (last.measured_at, last.id));
            let total = reading_pages::count(tx, id, &selection)?;
            Ok(Page { items, total, next })
        })
        .await?;
    app.store
        .note_access(Entry::new(actor, "reading.list").of_patient(id))?;
    Ok(page)
}

/// One reading that counts, for its patient or for staff. Another patient's does not exist.
///
/// # Errors
/// [`Error::NotFound`].
pub async fn get(app: &App, actor: &Actor, id: i64) -> Result<Reading, Error> {
    let owner = actor.patient_id();
    if owner.is_none() {
        policy::staff(app, actor, "reading.read")?;
    }
    let found = app.store.read(move |tx| {
        let stored = readings::by_id(tx, id)?.filter(|stored| stored.counts);
        let reading = stored.ok_or(NO_READING)?.reading;
        let owner = owner
            .map(|owner| patients::resolve(tx, owner))
            .transpose()?;
        Ok::<_, Error>((owner.is_none_or(|id| id == reading.patient_id), reading))
    });
    let (mine, reading) = found.await?;
    let log = Entry::new(actor, "reading.read")
        .of_patient(reading.patient_id)
        .on(Object::Reading, id);
    if !mine {
        app.store.note_access(log.outcome(Outcome::Denied))?;
        return Err(NO_READING);
    }
    app.store.note_access(log)?;
    Ok(reading)
}

/// Marks a reading as entered in error, for a reason that stays with it. It no longer counts, and stays in the database.
/// Doing so again changes nothing.
///
/// # Errors
/// When the actor is not staff, the reason is none, there is no such reading, or it is not as `expected`.
pub async fn withdraw(
    app: &App,
    actor: &Actor,
    id: i64,
    reason: Option<&str>,
    expected: Option<Expectation<Reading>>,
) -> Result<(), Error> {
    policy::staff(app, actor, "reading.entered_in_error")?;
    let reason = reason.map(conflict::reason).transpose();
    let reason = reason.map_err(Error::invalid("reason"))?;
    let refusal = Entry::new(actor, "reading.entered_in_error").on(Object::Reading, id);
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        let stored = readings::by_id(tx, id)?.ok_or(NO_READING)?;
        let patient_id = stored.reading.patient_id;
        let entry = Entry::new(&actor, "reading.entered_in_error")
            .of_patient(patient_id)
            .on(Object::Reading, id);
        if !stored.counts {
            return Ok(tx.audit(&entry.detail("repeated"))?);
        }
        Error::unless_expected(expected, &stored.reading)?;
        readings::mark_entered_in_error(tx, id)?;
        if let Some(reason) = reason {
            let about = ConflictId {
                kind: Kind::Reading,
                row_id: id,
            };
            conflicts::insert_settlement(tx, about, &reason, actor.staff_id())?;
        }
        Ok(tx.audit(&entry)?)
    })
    .await
}
