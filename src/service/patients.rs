//! Patients: register, show, edit, block.

use std::sync::Arc;

use super::sessions::{settle, throttle_key};
use super::{App, Error, Expectation, address, passwords, policy};
use crate::auth::Secret;
use crate::auth::password::{PasswordHash, PasswordPolicy};
use crate::auth::token::Audience;
use crate::domain::account::Email;
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object, Outcome};
use crate::domain::patient::{NewPatient, Patient, PatientPatch};
use crate::domain::search::Search;
use crate::domain::text::Invalid;
use crate::limits;
use crate::store::idempotency::{self, IdempotencyKey};
use crate::store::patients::Unique;
use crate::store::sessions::{self, Owner};
use crate::store::{Lane, Read, WriteTx, entity, patients};

const NO_PATIENT: Error = Error::NotFound("User not found");

/// The profile of the acting patient.
///
/// # Errors
/// When the actor is not a patient.
pub async fn me(app: &App, actor: &Actor) -> Result<Patient, Error> {
    let id = policy::patient(app, actor, "patient.read")?;
    read(app, actor, id).await
}

/// Any patient, by staff.
///
/// # Errors
/// When the actor is not staff, or there is no such patient.
pub async fn get(app: &App, actor: &Actor, id: i64) -> Result<Patient, Error> {
    policy::staff_for(app, actor, "patient.read", id)?;
    read(app, actor, id).await
}

async fn read(app: &App, actor: &Actor, id: i64) -> Result<Patient, Error> {
    let entry = Entry::new(actor, "patient.read")
        .of_patient(id)
        .on(Object::Patient, id);
    let found = app
        .store
        .read(move |tx| patients::by_id(tx, id)?.ok_or(NO_PATIENT))
        .await?;
    app.store.note_access(entry)?;
    Ok(found)
}

/// All patients, by id.
///
/// # Errors
/// When the actor is not staff.
pub async fn list(app: &App, actor: &Actor) -> Result<Vec<Patient>, Error> {
    policy::staff(app, actor, "patient.list")?;
    app.store.note_access(Entry::new(actor, "patient.list"))?;
    app.store
        .read(|tx| Ok(patients::list(tx, 0, limits::LEGACY_ROWS_MAX)?))
        .await
}

/// Some patients, and the id to go on after when there are more.
pub type Page = (Vec<Patient>, Option<i64>);

/// Up to `limit` patients after the id `after`, in the order of their ids: all, or those that are searched for.
///
/// # Errors
/// When the actor is not staff.
pub async fn page(
    app: &App,
    actor: &Actor,
    search: Option<Search>,
    after: i64,
    limit: u32,
) -> Result<Page, Error> {
    policy::staff(app, actor, "patient.list")?;
    app.store.note_access(Entry::new(actor, "patient.list"))?;
    app.store
        .read(move |tx| {
            let mut found = match search {
                None => patients::list(tx, after, limit + 1)?,
                Some(search) => {
                    let ids = patients::search(tx, after, limit + 1, |dni, name, surname| {
                        search.finds(dni, name, surname)
                    })?;
                    let found = ids.into_iter().map(|id| patients::by_id(tx, id));
                    found
                        .filter_map(Result::transpose)
                        .collect::<Result<_, _>>()?
                }
            };
            let more = found.len() > limit as usize;
            found.truncate(limit as usize);
            let next = found.last().filter(|_| more).map(|patient| patient.id);
            Ok((found, next))
        })
        .await
}

/// Registers a patient. A repeated `key` is answered with the account that it made.
///
/// # Errors
/// [`Error::Taken`] when the DNI, address or hospital account is in use, [`Error::Invalid`] when
/// the password is not acceptable.
pub async fn register(
    app: &App,
    actor: &Actor,
    new: NewPatient,
    password: Secret,
    key: Option<IdempotencyKey>,
) -> Result<Patient, Error> {
    policy::staff(app, actor, "patient.create")?;
    let names = [
        new.dni.as_str(),
        new.email.as_str(),
        &new.name,
        &new.surname,
    ];
    check_password(&password, &names).map_err(Error::invalid("password"))?;
    let hash = app.hasher.hash(&password).await?;
    register_hashed(app, actor, new, &hash, false, key).await
}

/// Whether a patient with these names may choose this password.
///
/// # Errors
/// Why not, for the patient.
pub fn check_password(password: &Secret, names: &[&str]) -> Result<(), Invalid> {
    PasswordPolicy::PATIENT
        .check(password, names)
        .map_err(|error| Invalid::sentences(error.in_english(), error.to_string()))
}

/// Registers a patient whose password was hashed before and is known to be acceptable, or must be
/// replaced at the next log-in.
///
/// # Errors
/// [`Error::Taken`] when the DNI, address or hospital account is in use.
pub async fn register_hashed(
    app: &App,
    actor: &Actor,
    new: NewPatient,
    hash: &PasswordHash,
    reset_required: bool,
    key: Option<IdempotencyKey>,
) -> Result<Patient, Error> {
    policy::staff(app, actor, "patient.create")?;
    let hash = hash.to_stored();
    let refusal = Entry::new(actor, "patient.create");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        if let Some(id) = idempotency::find_optional(tx, key.as_ref())? {
            let patient = patients::by_id(tx, id)?.ok_or(NO_PATIENT)?;
            let entry = Entry::new(&actor, "patient.create")
                .of_patient(id)
                .detail("repeated");
            return Ok(tx.audit(&entry)?.with(patient));
        }
        free(tx, Unique::Dni, new.dni.as_str(), None)?;
        free(tx, Unique::Email, new.email.as_str(), None)?;
        free(tx, Unique::HospitalAccount, &new.hospital_account, None)?;
        let id = patients::insert(tx, &new, &hash)?;
        if reset_required {
            patients::set_password(tx, id, &hash, true)?;
        }
        idempotency::remember_optional(tx, key.as_ref(), &entity::PATIENT, id)?;
        let patient = patients::by_id(tx, id)?.ok_or(NO_PATIENT)?;
        let entry = Entry::new(&actor, "patient.create")
            .of_patient(id)
            .on(Object::Patient, id);
        Ok(tx.audit(&entry)?.with(patient))
    })
    .await
}

fn free(tx: &impl Read, field: Unique, value: &str, except: Option<i64>) -> Result<(), Error> {
    if !patients::taken(tx, field, value, except)? {
        return Ok(());
    }
    Err(Error::Taken(match field {
        Unique::Dni => "dni",
        Unique::Email => "email",
        Unique::HospitalAccount => "hospital_account",
    }))
}

/// The acting patient edits name, surname or e-mail address; other fields of the patch are
/// staff's, and ignored.
///
/// # Errors
/// When the actor is not a patient; [`Error::Taken`] when the address is in use; [`Error::Changed`] when it is not as
/// `expected`.
pub async fn edit_me(
    app: &App,
    actor: &Actor,
    patch: PatientPatch,
    expected: Option<Expectation<Patient>>,
) -> Result<Patient, Error> {
    let id = policy::patient(app, actor, "patient.update")?;
    let own = PatientPatch {
        tidepool: None,
        hospital_account: None,
        blocked: None,
        ..patch
    };
    write_patch(app, actor, id, own, expected).await
}

/// Staff edit a patient. Blocking one ends their sessions.
///
/// # Errors
/// When the actor is not staff, there is no such patient, a unique value is in use, or it is not as `expected`.
pub async fn edit(
    app: &App,
    actor: &Actor,
    id: i64,
    patch: PatientPatch,
    expected: Option<Expectation<Patient>>,
) -> Result<Patient, Error> {
    policy::staff_for(app, actor, "patient.update", id)?;
    write_patch(app, actor, id, patch, expected).await
}

async fn write_patch(
    app: &App,
    actor: &Actor,
    id: i64,
    patch: PatientPatch,
    expected: Option<Expectation<Patient>>,
) -> Result<Patient, Error> {
    let refusal = Entry::new(actor, "patient.update").of_patient(id);
    let actor = actor.clone();
    // A stolen phone must be put out with a full disk too.
    let lane = if patch.blocked.is_some() {
        Lane::Essential
    } else {
        Lane::Interactive
    };
    app.write_in(lane, refusal, move |tx| {
        Error::unless_expected(expected, &patients::by_id(tx, id)?.ok_or(NO_PATIENT)?)?;
        let (before, patient) = apply(tx, id, &patch)?;
        let (action, detail) = update_entry(&patch, &before);
        let entry = Entry::new(&actor, action)
            .of_patient(id)
            .on(Object::Patient, id);
        Ok(tx.audit(&entry.detail(detail))?.with(patient))
    })
    .await
}

/// Carries out the patch: the patient before and after it.
fn apply(tx: &mut WriteTx<'_>, id: i64, patch: &PatientPatch) -> Result<(Patient, Patient), Error> {
    let before = patients::by_id(tx, id)?.ok_or(NO_PATIENT)?;
    if let Some(email) = &patch.email {
        free(tx, Unique::Email, email.as_str(), Some(id))?;
    }
    if let Some(account) = &patch.hospital_account {
        free(tx, Unique::HospitalAccount, account, Some(id))?;
    }
    patients::update(tx, id, patch)?;
    if patch.blocked == Some(true) {
        sessions::revoke_all(tx, Owner::Patient(id), None)?;
    }
    let after = patients::by_id(tx, id)?.ok_or(NO_PATIENT)?;
    Ok((before, after))
}

/// What a patch did, for the audit log: the action, and the names of the fields that differ now.
/// Values stay out of it, but for the direction of a block.
fn update_entry(patch: &PatientPatch, before: &Patient) -> (&'static str, String) {
    let email = patch.email.as_ref().map(Email::as_str);
    let to = if patch.blocked == Some(true) {
        "blocked"
    } else {
        "unblocked"
    };
    let fields = [
        ("name", differs(&patch.name, &before.name)),
        ("surname", differs(&patch.surname, &before.surname)),
        ("email", email.is_some_and(|email| email != before.email)),
        ("tidepool", differs(&patch.tidepool, &before.tidepool)),
        (
            "hospital_account",
            differs(&patch.hospital_account, &before.hospital_account),
        ),
        (to, differs(&patch.blocked, &before.blocked)),
    ];
    let changed: Vec<_> = fields
        .iter()
        .filter(|(_, changed)| *changed)
        .map(|(name, _)| *name)
        .collect();
    let blocks_only = PatientPatch {
        blocked: patch.blocked,
        ..PatientPatch::default()
    };
    let action = match patch.blocked {
        Some(blocked) if *patch == blocks_only => block_action(blocked),
        _ => "patient.update",
    };
    if changed.is_empty() {
        (action, "repeated".to_owned())
    } else {
        (action, changed.join(", "))
    }
}

fn differs<T: PartialEq>(new: &Option<T>, before: &T) -> bool {
    new.as_ref().is_some_and(|new| new != before)
}

const fn block_action(blocked: bool) -> &'static str {
    if blocked {
        "patient.block"
    } else {
        "patient.unblock"
    }
}

/// The acting patient chooses another password. All their other sessions end. Goes on when the
/// caller hangs up, as [`super::sessions::log_in`] does.
///
/// # Errors
/// [`Error::WrongPassword`] when the current one is not right, [`Error::Invalid`] when the new one
/// is not acceptable or not new, [`Error::Throttled`] after too many wrong ones.
pub async fn change_password(
    app: &Arc<App>,
    actor: &Actor,
    current: Secret,
    new: Secret,
) -> Result<(), Error> {
    let (app, actor) = (Arc::clone(app), actor.clone());
    tokio::spawn(async move { try_change_password(&app, &actor, current, new).await })
        .await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

async fn try_change_password(
    app: &App,
    actor: &Actor,
    current: Secret,
    new: Secret,
) -> Result<(), Error> {
    let id = policy::patient(app, actor, "patient.change_password")?;
    let login = app
        .store
        .read(move |tx| patients::login_by_id(tx, id)?.ok_or(NO_PATIENT))
        .await?;
    check_password(&new, &login.names()).map_err(Error::invalid("new_password"))?;
    let owner = Owner::Patient(id);
    let key = throttle_key(Audience::Patient, Some(owner), "");
    let attempt = app
        .throttle
        .check(&key, address(actor), || app.monotonic_ms())
        .await?;
    let stored = &login.password_hash;
    let is_right = passwords::is_stored(app, &current, stored).await?;
    // A phone that lost the answer states the former password once more.
    let is_repeat = !is_right
        && passwords::just_chosen_by(app, actor.session.as_deref(), owner).await?
        && passwords::is_stored(app, &new, stored).await?;
    let closed = settle(app, attempt, is_right || is_repeat);
    let entry = Entry::new(actor, "patient.change_password").on(Object::Patient, id);
    if is_repeat {
        return Ok(app.store.note_access(entry.detail("repeated"))?);
    }
    if !is_right {
        let entry = Entry::new(actor, "patient.change_password").outcome(Outcome::Denied);
        app.store.note_access(entry)?;
        app.note_closed(&Entry::new(actor, "throttle.close"), closed)?;
        return Err(Error::WrongPassword);
    }
    if passwords::is_stored(app, &new, stored).await? {
        return Err(passwords::unchanged());
    }
    let hash = app.hasher.hash(&new).await?;
    passwords::choose(app, entry, owner, login.password_hash, &hash).await
}

/// Blocks a patient, or lets a blocked one in again. A toggle cannot be repeated safely by what it
/// says; one with the same `key` changes nothing.
///
/// # Errors
/// When the actor is not staff, or there is no such patient.
pub async fn toggle_blocked(
    app: &App,
    actor: &Actor,
    id: i64,
    key: Option<IdempotencyKey>,
) -> Result<Patient, Error> {
    policy::staff_for(app, actor, "patient.block", id)?;
    let refusal = Entry::new(actor, "patient.block").of_patient(id);
    let actor = actor.clone();
    app.write_in(Lane::Essential, refusal, move |tx| {
        let patient = patients::by_id(tx, id)?.ok_or(NO_PATIENT)?;
        if idempotency::find_optional(tx, key.as_ref())?.is_some() {
            let entry = Entry::new(&actor, block_action(patient.blocked)).of_patient(id);
            let entry = entry.on(Object::Patient, id).detail("repeated");
            return Ok(tx.audit(&entry)?.with(patient));
        }
        idempotency::remember_optional(tx, key.as_ref(), &entity::PATIENT, id)?;
        let patch = PatientPatch {
            blocked: Some(!patient.blocked),
            ..PatientPatch::default()
        };
        let (_, patient) = apply(tx, id, &patch)?;
        let detail = if patient.blocked {
            "blocked"
        } else {
            "unblocked"
        };
        let entry = Entry::new(&actor, block_action(patient.blocked))
            .of_patient(id)
            .on(Object::Patient, id);
        Ok(tx.audit(&entry.detail(detail))?.with(patient))
    })
    .await
}

/// Blocks a patient or lets them in again, by DNI: for the command line.
///
/// # Errors
/// When the actor is not staff, or there is no such patient.
pub async fn set_blocked(
    app: &App,
    actor: &Actor,
    dni: String,
    blocked: bool,
) -> Result<Patient, Error> {
    let id = find_by_dni(app, actor, dni).await?.id;
    let patch = PatientPatch {
        blocked: Some(blocked),
        ..PatientPatch::default()
    };
    edit(app, actor, id, patch, None).await
}

/// A patient by DNI.
///
/// # Errors
/// When the actor is not staff, or there is no such patient.
pub async fn find_by_dni(app: &App, actor: &Actor, dni: String) -> Result<Patient, Error> {
    policy::staff(app, actor, "patient.read")?;
    let found = app
        .store
        .read(move |tx| patients::by_dni(tx, &dni)?.ok_or(NO_PATIENT))
        .await?;
    app.store
        .note_access(Entry::new(actor, "patient.read").of_patient(found.id))?;
    Ok(found)
}
