//! The appointment queue: patients ask for a place, staff decide.

use islet_sync::escrow::costs_right;

use super::{App, Error, policy};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::domain::queue::{
    Prioritized, QueueAction, QueueDay, QueueEntry, QueueState, Refusal, SIZE_MAX, sort,
};
use crate::domain::text::{self, Invalid};
use crate::store::{
    Audited, Lane, Read, StoreError, WriteTx, appointments, members, patients, queue, replica,
    rights,
};

/// Decisions of a day before they say how long one takes.
const DECIDED_MIN: i64 = 3;
const NO_ENTRY: Error = Error::NotFound("Appointment does not exist in queue");

/// Where the acting patient stands; `None` when they are not in the queue.
///
/// # Errors
/// When the actor is not a patient.
pub async fn state(app: &App, actor: &Actor) -> Result<Option<QueueState>, Error> {
    let id = policy::patient(app, actor, "queue.read")?;
    app.store.note_access(Entry::new(actor, "queue.read"))?;
    app.store
        .read(move |tx| Ok(queue::by_patient(tx, id)?.map(|entry| entry.state)))
        .await
}

/// How many go before the acting patient; `None` when they do not wait.
///
/// # Errors
/// When the actor is not a patient.
pub async fn position(app: &App, actor: &Actor) -> Result<Option<i64>, Error> {
    let id = policy::patient(app, actor, "queue.read")?;
    app.store.note_access(Entry::new(actor, "queue.read"))?;
    app.store
        .read(move |tx| {
            let waiting = |entry: &QueueEntry| entry.state == QueueState::Pending;
            let entry = queue::by_patient(tx, id)?.filter(waiting);
            Ok(entry.map(|entry| queue::rank(tx, &entry)).transpose()?)
        })
        .await
}

/// Where a patient stands, and how long it will take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// Whether the queue lets anybody in.
    pub open: bool,
    /// The place, while the patient has one.
    pub entry: Option<QueueEntry>,
    /// How many go first, while the patient waits.
    pub position: Option<i64>,
    /// How long the patient still waits, by what was decided today so far. None before that says anything.
    pub expected_wait_ms: Option<i64>,
}

/// Where the acting patient stands.
///
/// # Errors
/// When the actor is not a patient.
pub async fn standing(app: &App, actor: &Actor) -> Result<Standing, Error> {
    let id = policy::patient(app, actor, "queue.read")?;
    app.store.note_access(Entry::new(actor, "queue.read"))?;
    app.store.read(move |tx| Ok(standing_of(tx, id)?)).await
}

/// Where a patient stands.
///
/// # Errors
/// When the disk fails.
pub(super) fn standing_of(tx: &impl Read, patient_id: i64) -> Result<Standing, StoreError> {
    let patient_id = patients::resolve(tx, patient_id)?;
    let day = queue::current_day(tx)?;
    let entry = queue::by_patient(tx, patient_id)?;
    let waiting = entry.filter(|entry| entry.state == QueueState::Pending);
    let position = waiting.map(|entry| queue::rank(tx, &entry)).transpose()?;
    let expected_wait_ms = match position {
        Some(position) => wait_ms(queue::pace(tx, &day)?, position),
        None => None,
    };
    Ok(Standing {
        open: day.open,
        entry,
        position,
        expected_wait_ms,
    })
}

/// How long somebody waits with so many before, by how many were accepted in how many milliseconds.
pub(super) fn wait_ms(pace: Option<(i64, i64)>, position: i64) -> Option<i64> {
    let (decided, taken_ms) = pace.filter(|(decided, _)| *decided >= DECIDED_MIN)?;
    Some(taken_ms / decided * (position + 1))
}

/// The current queue day. Anyone who is logged in may know whether it is open.
///
/// # Errors
/// When nobody is logged in.
pub async fn day(app: &App, actor: &Actor) -> Result<QueueDay, Error> {
    if actor.patient_id().is_none() {
        policy::staff(app, actor, "queue.read")?;
    }
    app.store.read(|tx| Ok(queue::current_day(tx)?)).await
}

/// A place in the queue, and whether it was given just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Submitted {
    /// Placement.
    pub placement: i64,
    /// False when the patient had it already.
    pub new: bool,
}

/// Gives the acting patient a place. Asking again gives the same place. When this node has none to
/// give, it asks the nodes that it is connected to.
///
/// # Errors
/// [`Error::QueueClosed`], [`Error::QueueFull`], [`Error::PlacesElsewhere`] or [`Error::PlacesStranded`].
pub async fn submit(app: &App, actor: &Actor) -> Result<Submitted, Error> {
    let patient_id = policy::patient(app, actor, "queue.submit")?;
    match try_submit(app, actor, patient_id).await {
        Err(Error::PlacesElsewhere(_)) if app.broker.ask().await => {
            try_submit(app, actor, patient_id).await
        }
        result => result,
    }
}

async fn try_submit(app: &App, actor: &Actor, patient_id: i64) -> Result<Submitted, Error> {
    let refusal = Entry::new(actor, "queue.submit");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        let entry = Entry::new(&actor, "queue.submit");
        if let Some(held) = queue::by_patient(tx, patient_id)? {
            let entry = entry
                .on(Object::QueueEntry, held.placement)
                .detail("repeated");
            return Ok(tx.audit(&entry)?.with(Submitted {
                placement: held.placement,
                new: false,
            }));
        }
        let day = queue::current_day(tx)?;
        if !day.open {
            return Err(Error::QueueClosed);
        }
        if rights::available(tx, &day)? <= 0 {
            return Err(no_place(tx, &day)?);
        }
        let placement = queue::insert_entry(tx, day.id, patient_id)?;
        let entry = entry.on(Object::QueueEntry, placement);
        Ok(tx.audit(&entry)?.with(Submitted {
            placement,
            new: true,
        }))
    })
    .await
}

/// Says where the remaining places are, when there are any.
pub(super) fn no_place(tx: &WriteTx<'_>, day: &QueueDay) -> Result<Error, Error> {
    let (holders, stranded) = rights::other_holders(tx, replica::number(tx)?, day)?;
    if holders.is_empty() {
        return Ok(match stranded {
            0 => Error::QueueFull,
            _ => Error::PlacesStranded,
        });
    }
    let members = members::list(tx)?;
    let name = |(number, _): &(u32, i64)| {
        let member = members.iter().find(|member| member.number.get() == *number);
        member.map_or_else(
            || format!("el puesto {number}"),
            |member| member.name.clone(),
        )
    };
    let names: Vec<String> = holders.iter().map(name).collect();
    Ok(Error::PlacesElsewhere(names.join(", ")))
}

/// The acting patient gives up their place. Nothing happens when they have none to give up.
///
/// # Errors
/// [`Error::WrongState`] once the place was turned down or used.
pub async fn cancel(app: &App, actor: &Actor) -> Result<(), Error> {
    let patient_id = policy::patient(app, actor, "queue.cancel")?;
    let refusal = Entry::new(actor, "queue.cancel");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        match queue::by_patient(tx, patient_id)? {
            Some(entry) => apply(tx, &actor, &entry, QueueAction::Cancel).map(|done| done.with(())),
            None => Ok(tx.audit(&Entry::new(&actor, "queue.cancel").detail("repeated"))?),
        }
    })
    .await
}

/// Staff accept, deny, note a no-show, or put a patient back. Repeating it changes nothing.
///
/// # Errors
/// [`Error::NotFound`] for an unknown placement, [`Error::WrongState`], [`Error::QueueFull`].
pub async fn decide(
    app: &App,
    actor: &Actor,
    placement: i64,
    action: QueueAction,
) -> Result<QueueState, Error> {
    policy::staff(app, actor, name(action))?;
    if matches!(
        action,
        QueueAction::Create | QueueAction::Clear | QueueAction::Cancel
    ) {
        // Only the form makes CREATED, only clearing takes away, and patients cancel themselves.
        return Err(Error::invalid("action")(Invalid::new(
            "is not for staff to decide",
            "no la decide el personal",
        )));
    }
    let refusal = Entry::new(actor, name(action)).on(Object::QueueEntry, placement);
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        let entry = queue::by_placement(tx, placement)?.ok_or(NO_ENTRY)?;
        apply(tx, &actor, &entry, action)
    })
    .await
}

fn apply(
    tx: &mut WriteTx<'_>,
    actor: &Actor,
    entry: &QueueEntry,
    action: QueueAction,
) -> Result<Audited<QueueState>, Error> {
    // A place that was left on an earlier day is history, not part of the queue.
    if entry.state == QueueState::Cleared {
        return Err(NO_ENTRY);
    }
    let day = queue::current_day(tx)?;
    // Whether there is a place is decided by rights, below.
    let after = entry
        .state
        .after(action, 1)
        .map_err(|refusal| match refusal {
            Refusal::WrongState(state) => Error::WrongState(state),
            Refusal::Full => Error::QueueFull,
        })?;
    let log = Entry::new(actor, name(action))
        .of_patient(entry.patient_id)
        .on(Object::QueueEntry, entry.placement);
    if after == entry.state {
        return Ok(tx.audit(&log.detail("repeated"))?.with(after));
    }
    let needs_right = match action {
        QueueAction::PutBack => true,
        QueueAction::Accept => !rights::may_rely(tx, entry.placement)?,
        _ => costs_right(entry.state.as_str(), after.as_str()),
    };
    if needs_right && !rights::can_take(tx, &day, entry.placement)? {
        return Err(no_place(tx, &day)?);
    }
    queue::set_state(tx, entry.placement, after)?;
    if needs_right {
        queue::move_to_day(tx, entry.placement, day.id)?;
    }
    if action == QueueAction::PutBack
        && let Some(former) = appointments::by_queue_entry(tx, entry.placement)?
    {
        appointments::detach(tx, former.id)?;
    }
    let log = log.detail(format!("{} to {}", entry.state.as_str(), after.as_str()));
    Ok(tx.audit(&log)?.with(after))
}

/// The name of an action in the audit log.
const fn name(action: QueueAction) -> &'static str {
    match action {
        QueueAction::Accept => "queue.accept",
        QueueAction::Deny => "queue.deny",
        QueueAction::Create => "queue.create",
        QueueAction::Cancel => "queue.cancel",
        QueueAction::NoShow => "queue.no_show",
        QueueAction::PutBack => "queue.put_back",
        QueueAction::Clear => "queue.clear",
    }
}

/// Lets a waiting patient go before others, for a reason. Priority 0 takes it back.
///
/// # Errors
/// When the priority is not 0 to 9, the reason is missing, or the patient neither waits nor was
/// accepted.
pub async fn prioritize(
    app: &App,
    actor: &Actor,
    placement: i64,
    priority: i64,
    reason: Option<String>,
) -> Result<(), Error> {
    policy::staff(app, actor, "queue.prioritize")?;
    if !(0..=9).contains(&priority) {
        return Err(Error::invalid("priority")(Invalid::new(
            "must be from 0 to 9",
            "debe ser un número de 0 a 9",
        )));
    }
    let reason = reason
        .as_deref()
        .map(text::line)
        .transpose()
        .map_err(Error::invalid("reason"))?;
    if priority > 0 && reason.is_none() {
        return Err(Error::invalid("reason")(Invalid::new(
            "say why this patient goes first",
            "diga por qué este paciente pasa antes",
        )));
    }
    let refusal = Entry::new(actor, "queue.prioritize").on(Object::QueueEntry, placement);
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        let entry = queue::by_placement(tx, placement)?.ok_or(NO_ENTRY)?;
        if entry.state == QueueState::Cleared {
            return Err(NO_ENTRY);
        }
        if !entry.state.occupies() {
            return Err(Error::WrongState(entry.state));
        }
        queue::set_priority(tx, placement, priority, reason.as_deref())?;
        let log = Entry::new(&actor, "queue.prioritize").of_patient(entry.patient_id);
        Ok(tx.audit(
            &log.on(Object::QueueEntry, placement)
                .detail(format!("priority {priority}")),
        )?)
    })
    .await
}

/// The live entries in the order in which their patients asked; those who wait, when they alone are asked for, in
/// the order in which it is their turn.
///
/// # Errors
/// When the actor is not staff.
pub async fn entries(
    app: &App,
    actor: &Actor,
    state: Option<QueueState>,
) -> Result<Vec<QueueEntry>, Error> {
    policy::staff(app, actor, "queue.list")?;
    app.store.note_access(Entry::new(actor, "queue.list"))?;
    app.store
        .read(move |tx| {
            let mut entries = queue::live_entries(tx, state)?;
            if state == Some(QueueState::Pending) {
                sort(&mut entries);
            }
            Ok(entries)
        })
        .await
}

/// Who goes before others, and why.
///
/// # Errors
/// When the actor is not staff.
pub async fn prioritized(app: &App, actor: &Actor) -> Result<Vec<Prioritized>, Error> {
    policy::staff(app, actor, "queue.list")?;
    app.store.note_access(Entry::new(actor, "queue.list"))?;
    app.store.read(|tx| Ok(queue::prioritized(tx)?)).await
}

/// Opens the queue. A new day begins: those who still wait or were accepted keep their places,
/// those who were turned down or have sent their form may submit again. Opening an open queue
/// changes nothing.
///
/// # Errors
/// When the actor is not staff.
pub async fn open(app: &App, actor: &Actor) -> Result<(), Error> {
    change_day(app, actor, "queue.open", |tx, actor| {
        let day = queue::current_day(tx)?;
        if day.open {
            return Ok((day.id, "repeated".into()));
        }
        let ended = queue::live_entries(tx, None)?;
        let day = queue::open_day(tx)?;
        for entry in ended.iter().filter(|entry| !entry.state.occupies()) {
            note_cleared(tx, actor, "queue.open", entry)?;
        }
        Ok((day, String::new()))
    })
    .await
}

/// Closes the queue. Entries stay.
///
/// # Errors
/// When the actor is not staff.
pub async fn close(app: &App, actor: &Actor) -> Result<(), Error> {
    change_day(app, actor, "queue.close", |tx, _| {
        let day = queue::current_day(tx)?;
        if !day.open {
            return Ok((day.id, "repeated".into()));
        }
        queue::close_day(tx, day.id)?;
        Ok((day.id, String::new()))
    })
    .await
}

/// Takes everybody out of the queue. Appointments and resolutions stay.
///
/// # Errors
/// When the actor is not staff.
pub async fn clear(app: &App, actor: &Actor) -> Result<(), Error> {
    change_day(app, actor, "queue.clear", |tx, actor| {
        let cleared = queue::live_entries(tx, None)?;
        for entry in &cleared {
            queue::set_state(tx, entry.placement, QueueState::Cleared)?;
            note_cleared(tx, actor, "queue.clear", entry)?;
        }
        let detail = match cleared.len() {
            0 => "repeated".into(),
            count => format!("{count} cleared"),
        };
        Ok((queue::current_day(tx)?.id, detail))
    })
    .await
}

/// Sets how many places the queue has, today and from now on. A size below the occupied places
/// takes nobody out; it only lets nobody in.
///
/// # Errors
/// When the actor is not staff, or the size is not 0 to [`SIZE_MAX`].
pub async fn resize(app: &App, actor: &Actor, size: i64) -> Result<(), Error> {
    policy::staff(app, actor, "queue.resize")?;
    if !(0..=SIZE_MAX).contains(&size) {
        return Err(Error::invalid("new_size")(Invalid::new(
            format!("must be from 0 to {SIZE_MAX}"),
            format!("debe ser un número de 0 a {SIZE_MAX}"),
        )));
    }
    change_day(app, actor, "queue.resize", move |tx, _| {
        let before = queue::current_day(tx)?;
        queue::set_size(tx, size)?;
        Ok((before.id, format!("{} to {size}", before.size)))
    })
    .await
}

/// Whoever leaves the queue because of a change to the day finds it in their own audit trail.
fn note_cleared(
    tx: &mut WriteTx<'_>,
    actor: &Actor,
    action: &'static str,
    entry: &QueueEntry,
) -> Result<(), Error> {
    let log = Entry::new(actor, action)
        .of_patient(entry.patient_id)
        .on(Object::QueueEntry, entry.placement)
        .detail(format!("{} to CLEARED", entry.state.as_str()));
    Ok(tx.audit(&log).map(drop)?)
}

/// Runs a change of the day, which answers with the day and what to note of it.
async fn change_day<F>(
    app: &App,
    actor: &Actor,
    action: &'static str,
    change: F,
) -> Result<(), Error>
where
    F: FnOnce(&mut WriteTx<'_>, &Actor) -> Result<(i64, String), Error> + Send + 'static,
{
    policy::staff(app, actor, action)?;
    let actor = actor.clone();
    app.store
        .write(Lane::Interactive, move |tx| {
            let (day, detail) = change(tx, &actor)?;
            let log = Entry::new(&actor, action).on(Object::QueueDay, day);
            let log = if detail.is_empty() {
                log
            } else {
                log.detail(detail)
            };
            Ok(tx.audit(&log)?)
        })
        .await
}
