//! Glucose readings: hand in, show, mark as an error.

mod import;
mod pages;
mod upload;

pub use import::{Imported, import_batch};
pub use pages::{Page, Place, Selection, get, page, withdraw};
pub use upload::{Outcome, upload};

use super::{App, Error, Expectation, policy};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::domain::conflict::{self, ConflictId, Kind};
use crate::domain::glucose::{Glucose, NewReading, Reading, Source};
use crate::domain::streak::{ACHIEVEMENTS, Achievement, Attribute, Counters, READINGS_A_DAY};
use crate::domain::text::Invalid;
use crate::domain::time::Timestamp;
use crate::limits;
use crate::store::idempotency::{self, IdempotencyKey};
use crate::store::{Audited, Read, WriteTx, conflicts, entity, patients, readings};

/// How far back "latest" looks, by the time of the reading.
const LATEST_MS: i64 = 15 * 24 * 3600 * 1000;
const NO_READING: Error = Error::NotFound("Reading not found");
const NO_PATIENT: Error = Error::NotFound("User not found");

/// Stores a reading of the acting patient, or one that staff type in for a patient.
///
/// A reading with a time is the same as one that is stored with the same time, value, type, source
/// and notes: the stored one is answered. One without a time is taken now, and is repeated only
/// when it comes with the same `key`. A phone that sends again what staff have marked as an error
/// is answered too, and does not bring it back.
///
/// # Errors
/// [`Error::Forbidden`] for another patient's reading, [`Error::NotFound`] for an unknown patient,
/// [`Error::Invalid`] for a time over [`limits::READING_AHEAD_MAX_MS`] ahead.
pub async fn create(
    app: &App,
    actor: &Actor,
    new: NewReading,
    key: Option<IdempotencyKey>,
) -> Result<Reading, Error> {
    if actor.patient_id() != Some(new.patient_id) {
        policy::staff_for(app, actor, "reading.create", new.patient_id)?;
    }
    if let Some(at) = new.measured_at {
        not_far_ahead(app, at).await?;
    }
    let refusal = Entry::new(actor, "reading.create").of_patient(new.patient_id);
    let actor = actor.clone();
    app.write(refusal, move |tx| insert(tx, &actor, new, key))
        .await
}

/// Refuses a time far ahead of the clock. One that was set back is no reason to refuse what the
/// phones measure meanwhile, so the latest change counts as well.
async fn not_far_ahead(app: &App, measured_at: Timestamp) -> Result<(), Error> {
    let is_ahead_of = |now: Timestamp| measured_at.0 > now.0 + limits::READING_AHEAD_MAX_MS;
    if !is_ahead_of(app.clock.now()) {
        return Ok(());
    }
    let latest = app
        .store
        .read(|tx| Ok::<_, Error>(readings::latest_change(tx)?));
    if !is_ahead_of(latest.await?) {
        return Ok(());
    }
    Err(Error::invalid("created_at")(Invalid::new(
        "must not be in the future",
        "no puede estar en el futuro",
    )))
}

fn insert(
    tx: &mut WriteTx<'_>,
    actor: &Actor,
    mut new: NewReading,
    key: Option<IdempotencyKey>,
) -> Result<Audited<Reading>, Error> {
    let entry = Entry::new(actor, "reading.create").of_patient(new.patient_id);
    let own = actor.patient_id() == Some(new.patient_id);
    // What this patient handed in before is stored under the id that stands for both.
    new.patient_id = patients::resolve(tx, new.patient_id)?;
    if let Some(stored) = find_repeated(tx, &new, key.as_ref())? {
        let entry = entry.on(Object::Reading, stored.id).detail("repeated");
        return Ok(tx.audit(&entry)?.with(stored));
    }
    // A patient who is logged in exists.
    if !own && !patients::exists(tx, new.patient_id)? {
        return Err(NO_PATIENT);
    }
    let now = tx.now();
    let measured_at = new.measured_at.unwrap_or(now);
    let id = readings::insert(tx, &new, measured_at)?;
    patients::count_reading(tx, new.patient_id, now.day())?;
    if let Some(key) = key.filter(|_| new.measured_at.is_none()) {
        idempotency::remember(tx, &key, &entity::READING, id)?;
    }
    let reading = Reading {
        id,
        patient_id: new.patient_id,
        glucose_mg_dl: new.glucose.mg_dl(),
        reading_type: new.reading_type,
        measured_at,
        notes: new.notes,
    };
    Ok(tx.audit(&entry.on(Object::Reading, id))?.with(reading))
}

fn find_repeated(
    tx: &WriteTx<'_>,
    new: &NewReading,
    key: Option<&IdempotencyKey>,
) -> Result<Option<Reading>, Error> {
    if let Some(measured_at) = new.measured_at {
        if readings::is_first(tx, new.patient_id, measured_at)? {
            return Ok(None);
        }
        if let Some(same) = readings::find_same(tx, new, measured_at)? {
            return Ok(Some(same));
        }
        // Staff who type in again what they marked as an error mean a new reading; a corrected one
        // still is what it was corrected from.
        let corrected = readings::find_corrected(tx, new, measured_at)?;
        let counts = |reading: &Reading| {
            Ok::<_, Error>(readings::by_id(tx, reading.id)?.is_some_and(|stored| stored.counts))
        };
        return match corrected {
            Some(reading) if new.source != Source::BackOffice || counts(&reading)? => {
                Ok(Some(reading))
            }
            _ => Ok(None),
        };
    }
    let Some(key) = key else { return Ok(None) };
    let Some(id) = idempotency::find(tx, key, limits::IDEMPOTENCY_KEPT)? else {
        return Ok(None);
    };
    let stored = readings::by_id(tx, id)?.map(|stored| stored.reading);
    Ok(stored.filter(|reading| reading.patient_id == new.patient_id))
}

/// The readings of the acting patient: the newest [`limits::LEGACY_READINGS_MAX`], by id.
///
/// # Errors
/// When the actor is not a patient.
pub async fn mine(app: &App, actor: &Actor, latest: bool) -> Result<Vec<Reading>, Error> {
    let id = policy::patient(app, actor, "reading.list")?;
    list(app, actor, id, latest).await
}

/// The same for any patient, by staff.
///
/// # Errors
/// When the actor is not staff, or there is no such patient.
pub async fn of_patient(
    app: &App,
    actor: &Actor,
    id: i64,
    latest: bool,
) -> Result<Vec<Reading>, Error> {
    policy::staff_for(app, actor, "reading.list", id)?;
    list(app, actor, id, latest).await
}

async fn list(app: &App, actor: &Actor, id: i64, latest: bool) -> Result<Vec<Reading>, Error> {
    let found = app
        .store
        .read(move |tx| {
            if !patients::exists(tx, id)? {
                return Err(NO_PATIENT);
            }
            let now = tx.now().0;
            let times = if latest {
                now - LATEST_MS..=now + limits::READING_AHEAD_MAX_MS
            } else {
                i64::MIN..=i64::MAX
            };
            let most = limits::LEGACY_READINGS_MAX;
            Ok(readings::newest(tx, id, times, most)?)
        })
        .await?;
    app.store
        .note_access(Entry::new(actor, "reading.list").of_patient(id))?;
    Ok(found)
}

/// The newest readings of all patients.
///
/// # Errors
/// When the actor is not staff.
pub async fn all(app: &App, actor: &Actor) -> Result<Vec<Reading>, Error> {
    policy::staff(app, actor, "reading.list_all")?;
    app.store
        .note_access(Entry::new(actor, "reading.list_all"))?;
    app.store
        .read(|tx| Ok(readings::newest_of_all(tx, limits::LEGACY_READINGS_MAX)?))
        .await
}

/// [`withdraw`] without a reason, as the legacy API does.
///
/// # Errors
/// When the actor is not staff, or there is no such reading.
pub async fn mark_entered_in_error(app: &App, actor: &Actor, id: i64) -> Result<(), Error> {
    withdraw(app, actor, id, None, None).await
}

/// Corrects the value of a reading, for a reason that stays with it. What was written elsewhere at the same
/// time and is known here is replaced too. Correcting it again to the same value changes nothing.
///
/// # Errors
/// When the actor is not staff, the reason is none, there is no such reading that counts, or it is not as `expected`.
pub async fn correct(
    app: &App,
    actor: &Actor,
    id: i64,
    glucose: Glucose,
    reason: &str,
    expected: Option<Expectation<Reading>>,
) -> Result<Reading, Error> {
    policy::staff(app, actor, "reading.correct")?;
    let reason = conflict::reason(reason).map_err(Error::invalid("reason"))?;
    let refusal = Entry::new(actor, "reading.correct").on(Object::Reading, id);
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        let stored = readings::by_id(tx, id)?.filter(|stored| stored.counts);
        let reading = stored.ok_or(NO_READING)?.reading;
        let entry = Entry::new(&actor, "reading.correct")
            .of_patient(reading.patient_id)
            .on(Object::Reading, id);
        let about = ConflictId {
            kind: Kind::Reading,
            row_id: id,
        };
        let is_open = conflicts::get(tx, about)?.is_some_and(|found| found.is_open());
        if reading.glucose_mg_dl == glucose.mg_dl() && !is_open {
            return Ok(tx.audit(&entry.detail("repeated"))?.with(reading));
        }
        Error::unless_expected(expected, &reading)?;
        readings::set_value(tx, id, glucose.mg_dl())?;
        conflicts::insert_settlement(tx, about, &reason, actor.staff_id())?;
        let glucose_mg_dl = glucose.mg_dl();
        Ok(tx.audit(&entry)?.with(Reading {
            glucose_mg_dl,
            ..reading
        }))
    })
    .await
}

/// What the streak page shows.
#[derive(Clone, Copy, Debug)]
pub struct Streak {
    /// The stored counters.
    pub counters: Counters,
    /// Days in a row, as of today.
    pub streak: i64,
    /// Readings today, starting again at each fourth.
    pub four_times_today: i64,
}

/// The streak of the acting patient.
///
/// # Errors
/// When the actor is not a patient.
pub async fn streak(app: &App, actor: &Actor) -> Result<Streak, Error> {
    let id = policy::patient(app, actor, "streak.read")?;
    app.store.note_access(Entry::new(actor, "streak.read"))?;
    app.store
        .read(move |tx| {
            let today = tx.now().day();
            let counters = patients::counters(tx, id)?;
            let readings = patients::readings_on(tx, id, today)?;
            let streak = counters.streak_on(today);
            Ok(Streak {
                counters,
                streak,
                four_times_today: readings % READINGS_A_DAY,
            })
        })
        .await
}

/// Every achievement with how far the acting patient has come, at most its threshold.
///
/// # Errors
/// When the actor is not a patient.
pub async fn achievements(app: &App, actor: &Actor) -> Result<Vec<(Achievement, i64)>, Error> {
    let counters = streak(app, actor).await?.counters;
    let progress = |achievement: Achievement| {
        let value = match achievement.attribute {
            Attribute::TimesMeasured => counters.times_measured,
            Attribute::MaxStreak => counters.max_streak,
        };
        (achievement, value.clamp(0, achievement.threshold))
    };
    Ok(ACHIEVEMENTS.into_iter().map(progress).collect())
}
