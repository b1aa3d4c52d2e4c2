//! Who may do what. Deny by default: a use case asks one of these first.
//!
//! A refusal is written to the audit log: somebody tried.

use super::{App, Error};
use crate::domain::actor::{Actor, Who};
use crate::domain::audit::{Entry, Outcome};

/// The actor is a patient, who acts on their own data.
pub(super) fn patient(app: &App, actor: &Actor, action: &'static str) -> Result<i64, Error> {
    match actor.patient_id() {
        Some(id) => Ok(id),
        None => Err(refuse(app, actor, action)),
    }
}

/// The actor works here.
pub(super) fn staff(app: &App, actor: &Actor, action: &'static str) -> Result<(), Error> {
    if actor.is_staff() {
        Ok(())
    } else {
        Err(refuse(app, actor, action))
    }
}

/// The actor works here and asks for what is this patient's.
pub(super) fn staff_for(
    app: &App,
    actor: &Actor,
    action: &'static str,
    patient_id: i64,
) -> Result<(), Error> {
    if actor.is_staff() {
        Ok(())
    } else {
        Err(refuse_entry(
            app,
            Entry::new(actor, action).of_patient(patient_id),
        ))
    }
}

/// The actor manages staff and the node.
pub(super) fn admin(app: &App, actor: &Actor, action: &'static str) -> Result<(), Error> {
    if actor.is_admin() {
        Ok(())
    } else {
        Err(refuse(app, actor, action))
    }
}

fn refuse(app: &App, actor: &Actor, action: &'static str) -> Error {
    refuse_entry(app, Entry::new(actor, action))
}

fn refuse_entry(app: &App, entry: Entry) -> Error {
    if entry.actor.who == Who::Anonymous {
        return Error::Unauthenticated;
    }
    app.store
        .note_access(entry.outcome(Outcome::Denied))
        .map_or_else(Error::from, |()| Error::Forbidden)
}
