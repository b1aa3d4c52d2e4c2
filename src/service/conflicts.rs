//! What people have to look at after nodes met again: list it, show it, settle it.
//!
//! Settling is a write like any other: it replaces what its author had seen, travels to the other nodes, and
//! contradicts a settlement that was made elsewhere at the same time only when another candidate was chosen
//! there. Must never choose by itself, nor give out a place in the queue that there is no right to.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use islet_sync::escrow::costs_right;

use super::error::ConflictFault;
use super::queue::no_place;
use super::{App, Error, policy};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::domain::conflict::{self, Candidate, Conflict, ConflictId, Decision, Fact, Kind};
use crate::domain::glucose::Glucose;
use crate::domain::queue::QueueState;
use crate::domain::text::Invalid;
use crate::limits;
use crate::store::{Audited, Read, WriteTx, appointments, conflicts, queue, rights};

const NO_CONFLICT: Error = Error::NotFound("Conflict not found");

/// Some open conflicts.
#[derive(Clone, Debug)]
pub struct Page {
    /// In the order of their rows.
    pub items: Vec<Conflict>,
    /// How many are open in all.
    pub total: i64,
    /// What to ask for [`list`] after, when there are more.
    pub next: Option<ConflictId>,
}

/// The open conflicts after `after`, at most `limit` and [`limits::CONFLICTS_PAGE`].
///
/// # Errors
/// When the actor is not staff.
pub async fn list(
    app: &App,
    actor: &Actor,
    after: Option<ConflictId>,
    limit: u32,
) -> Result<Page, Error> {
    policy::staff(app, actor, "conflict.list")?;
    let limit = limit.clamp(1, limits::CONFLICTS_PAGE.1);
    let page = app
        .store
        .read(move |tx| {
            let mut ids = conflicts::open(tx, after, limit + 1)?;
            let more = ids.len() > limit as usize;
            ids.truncate(limit as usize);
            let next = ids.last().copied().filter(|_| more);
            let total = conflicts::count(tx)?;
            let mut items = Vec::with_capacity(ids.len());
            for id in ids {
                items.extend(conflicts::get(tx, id)?);
            }
            Ok::<_, Error>(Page { items, total, next })
        })
        .await?;
    app.store.note_access(Entry::new(actor, "conflict.list"))?;
    // Each patient's data was seen, so it is in the log of each.
    let seen = page.items.iter().filter_map(|it| it.patient.as_ref());
    for patient in seen.map(|patient| patient.id).collect::<BTreeSet<_>>() {
        app.store
            .note_access(Entry::new(actor, "conflict.read").of_patient(patient))?;
    }
    Ok(page)
}

/// One conflict, open or settled.
///
/// # Errors
/// When the actor is not staff, or there is no such conflict.
pub async fn get(app: &App, actor: &Actor, id: ConflictId) -> Result<Conflict, Error> {
    policy::staff(app, actor, "conflict.read")?;
    let found = app
        .store
        .read(move |tx| conflicts::get(tx, id)?.ok_or(NO_CONFLICT))
        .await?;
    app.store
        .note_access(entry(actor, "conflict.read", &found))?;
    Ok(found)
}

fn entry(actor: &Actor, action: &'static str, conflict: &Conflict) -> Entry {
    let object = match conflict.id.kind {
        Kind::Reading => Object::Reading,
        Kind::QueueState => Object::QueueEntry,
        Kind::Resolution | Kind::Appointment => Object::Appointment,
        Kind::PatientDni | Kind::PatientEmail | Kind::PatientHospitalAccount => Object::Patient,
        Kind::StaffUsername | Kind::StaffEmail => Object::Staff,
        Kind::QueueDay | Kind::QueuePlaces => Object::QueueDay,
    };
    let entry = Entry::new(actor, action).on(object, conflict.id.row_id);
    match &conflict.patient {
        Some(patient) => entry.of_patient(patient.id),
        None => entry,
    }
}

/// Settles a conflict and answers with it. The same decision again changes nothing.
///
/// # Errors
/// [`Error::NotFound`]; [`Error::Invalid`] for a choice that is none; [`Error::Conflict`] when it was settled by
/// somebody else, or is not what was looked at; [`Error::QueueFull`] or [`Error::PlacesElsewhere`] when the choice
/// needs a place.
pub async fn settle(
    app: &App,
    actor: &Actor,
    id: ConflictId,
    decision: Decision,
) -> Result<Conflict, Error> {
    policy::staff(app, actor, "conflict.settle")?;
    let reason = conflict::reason(&decision.reason).map_err(Error::invalid("reason"))?;
    let decision = Decision { reason, ..decision };
    match try_settle(app, actor, id, decision.clone()).await {
        Err(Error::PlacesElsewhere(_)) if app.broker.ask().await => {
            try_settle(app, actor, id, decision).await
        }
        result => result,
    }
}

async fn try_settle(
    app: &App,
    actor: &Actor,
    id: ConflictId,
    decision: Decision,
) -> Result<Conflict, Error> {
    let refusal = Entry::new(actor, "conflict.settle").detail(id.to_string());
    let actor = actor.clone();
    app.write(refusal, move |tx| settle_in(tx, &actor, id, &decision))
        .await
}

fn settle_in(
    tx: &mut WriteTx<'_>,
    actor: &Actor,
    id: ConflictId,
    decision: &Decision,
) -> Result<Audited<Conflict>, Error> {
    let found = conflicts::get(tx, id)?.ok_or(NO_CONFLICT)?;
    let log = entry(actor, "conflict.settle", &found);
    if !found.is_open() {
        let last = found.settlements.last();
        let is_this = last.is_some_and(|last| {
            last.reason == decision.reason && last.staff_id == actor.staff_id()
        });
        if !is_this {
            return Err(ConflictFault::Settled.into());
        }
        let log = log.detail(format!("{}, repeated", found.id));
        return Ok(tx.audit(&log)?.with(found));
    }
    if decision
        .version
        .as_ref()
        .is_some_and(|seen| *seen != found.version())
    {
        return Err(ConflictFault::Changed.into());
    }
    let mut detail = found.id.to_string();
    if found.id.kind.is_choice() {
        let chosen = chosen(&found, decision)?;
        detail.push_str(&format!(" to {}", chosen.id));
        if decision.mg_dl.is_some() {
            detail.push_str(" with another value");
        }
        carry_out(tx, &found, chosen, decision)?;
    } else if decision.choice.is_some() || decision.mg_dl.is_some() {
        let field = if decision.choice.is_some() {
            "choice"
        } else {
            "value"
        };
        return Err(Error::invalid(field)(Invalid::new(
            "there is nothing to choose: give only a reason, once you have done what is to be done",
            "no hay nada que elegir: dé solo un motivo, una vez hecho lo que hay que hacer",
        )));
    }
    conflicts::insert_settlement(tx, found.id, &decision.reason, actor.staff_id())?;
    let settled = conflicts::get(tx, found.id)?.ok_or(NO_CONFLICT)?;
    Ok(tx.audit(&log.detail(detail))?.with(settled))
}

fn chosen<'a>(found: &'a Conflict, decision: &Decision) -> Result<&'a Candidate, Error> {
    let choice = decision.choice.as_deref();
    let choice = choice.ok_or_else(|| {
        Error::invalid("choice")(Invalid::new(
            "is missing: say which candidate is right",
            "falta: diga cuál de los valores es el correcto",
        ))
    })?;
    let candidate = found.candidates.iter().find(|it| it.id == choice);
    candidate.ok_or_else(|| {
        let ids: Vec<&str> = found.candidates.iter().map(|it| it.id.as_str()).collect();
        let ids = ids.join(", ");
        Error::invalid("choice")(Invalid::new(
            format!("must be one of the candidates: {ids}"),
            format!("debe ser uno de los valores: {ids}"),
        ))
    })
}

fn carry_out(
    tx: &mut WriteTx<'_>,
    found: &Conflict,
    chosen: &Candidate,
    decision: &Decision,
) -> Result<(), Error> {
    let wrong = |english, spanish| Error::invalid("value")(Invalid::new(english, spanish));
    if decision.mg_dl.is_some() && found.id.kind != Kind::Reading {
        return Err(wrong("is for readings only", "es solo para mediciones"));
    }
    match found.id.kind {
        Kind::QueueState => set_state(tx, found.id.row_id, chosen),
        _ => {
            let mg_dl = decision.mg_dl.map(Glucose::from_mg_dl).transpose();
            let mg_dl = mg_dl.map_err(Error::invalid("value"))?.map(Glucose::mg_dl);
            if mg_dl.is_some() && chosen.fact("entered_in_error") == Some(&Fact::Flag(true)) {
                return Err(wrong(
                    "needs a candidate that is not entered in error",
                    "necesita un valor que no esté marcado como error",
                ));
            }
            Ok(conflicts::choose(tx, found.id, &chosen.id, mg_dl)?)
        }
    }
}

/// Puts a place into the state that was chosen. What may bring a place back that was given up costs a right,
/// and nobody has two places.
fn set_state(tx: &mut WriteTx<'_>, placement: i64, chosen: &Candidate) -> Result<(), Error> {
    let entry = queue::by_placement(tx, placement)?.ok_or(NO_CONFLICT)?;
    let state = match chosen.fact("state") {
        Some(Fact::Text(name)) => QueueState::parse(name),
        _ => None,
    };
    let state = state.ok_or_else(|| Error::Internal(format!("{} is no state", chosen.text)))?;
    if state.is_live() && !entry.state.is_live() && has_another(tx, entry.patient_id, placement)? {
        return Err(ConflictFault::AnotherPlace.into());
    }
    let needs_right = costs_right(entry.state.as_str(), state.as_str())
        || (state.occupies() && !rights::may_rely(tx, placement)?);
    let day = queue::current_day(tx)?;
    if needs_right && !rights::can_take(tx, &day, placement)? {
        return Err(no_place(tx, &day)?);
    }
    queue::set_state(tx, placement, state)?;
    if needs_right {
        queue::move_to_day(tx, placement, day.id)?;
    }
    // Who fills the form is to find none.
    if state.occupies()
        && let Some(former) = appointments::by_queue_entry(tx, placement)?
    {
        appointments::detach(tx, former.id)?;
    }
    Ok(())
}

fn has_another(tx: &impl Read, patient_id: i64, placement: i64) -> Result<bool, Error> {
    let held = queue::by_patient(tx, patient_id)?;
    Ok(held.is_some_and(|held| held.placement != placement))
}
