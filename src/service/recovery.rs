//! A forgotten password: by a link in a mail, or by a one-time code from the desk.
//!
//! Asking for a mail answers the same whether or not the address is known. A code works once, for
//! a short time, and ends every session of its account.

use super::mail::Mail;
use super::sessions::{after, concerning, store_password, throttle_key, who};
use super::{App, Error, address, patients as patients_service, policy, staff as staff_service};
use crate::auth::Secret;
use crate::auth::opaque::{DeskCode, OpaqueToken, Purpose};
use crate::auth::throttle::Tried;
use crate::auth::token::Audience;
use crate::domain::actor::{Actor, Role};
use crate::domain::audit::{Entry, Outcome};
use crate::domain::patient::{NewPatient, Patient};
use crate::store::sessions::{self, Owner};
use crate::store::{Lane, Read, patients, recovery as codes, staff};

/// Sends a recovery link to the account with this address (or user name, for staff), if there is
/// one.
///
/// # Errors
/// [`Error::Throttled`] when too many were asked for from one address or for one account.
pub async fn request_mail(
    app: &App,
    actor: &Actor,
    audience: Audience,
    name: &str,
) -> Result<(), Error> {
    let name = name.trim().to_owned();
    let called = name.clone();
    let known = app
        .store
        .read(move |tx| recipient(tx, audience, &called))
        .await?;
    // Each request counts: mail is a way to annoy people.
    let account = throttle_key(audience, known.map(|(owner, _)| owner), &name);
    let key = format!("recovery:{account}");
    let attempt = app
        .throttle
        .check_for(Tried::RecoveryMail, &key, address(actor), || {
            app.monotonic_ms()
        })
        .await?;
    let closed = attempt.record_failure(app.monotonic_ms());
    app.note_closed(&Entry::new(actor, "throttle.close"), closed)?;
    let token = OpaqueToken::generate(Purpose::Recovery, &*app.random)?;
    let (digest, actor) = (token.digest(), actor.clone());
    let lifetime = match audience {
        Audience::Patient => app.lifetimes.patient_recovery,
        Audience::Staff => app.lifetimes.staff_recovery,
    };
    let to = app
        .store
        .write(Lane::Interactive, move |tx| {
            let entry = Entry::new(&actor, "recovery.request");
            let Some((owner, email)) = recipient(tx, audience, &name)? else {
                return Ok(tx.audit(&entry.outcome(Outcome::Failed))?.with(None));
            };
            codes::add_link(tx, owner, &digest, after(tx.now(), lifetime))?;
            Ok::<_, Error>(tx.audit(&concerning(entry, owner))?.with(Some(email)))
        })
        .await?;
    if let Some(to) = to {
        app.mailer.send(Mail::recovery(audience, to, &token));
    }
    Ok(())
}

fn recipient(
    tx: &impl Read,
    audience: Audience,
    name: &str,
) -> Result<Option<(Owner, String)>, Error> {
    Ok(match audience {
        Audience::Patient => patients::login(tx, name)?
            .filter(|_| name.contains('@'))
            .map(|patient| (Owner::Patient(patient.id), patient.email)),
        Audience::Staff => {
            staff::by_name(tx, name)?.map(|staff| (Owner::Staff(staff.id), staff.email))
        }
    })
}

/// Makes a one-time code for a patient, to be read out at the desk.
///
/// # Errors
/// When the actor is not staff, or there is no such patient.
pub async fn desk_code(app: &App, actor: &Actor, patient_id: i64) -> Result<DeskCode, Error> {
    policy::staff_for(app, actor, "recovery.desk_code", patient_id)?;
    make_code(app, actor, Owner::Patient(patient_id)).await
}

/// Registers a patient without a password, and makes the code with which they choose one. Until
/// then nobody can log in: the account has a random password that nobody was told.
///
/// # Errors
/// [`Error::Taken`] when the DNI, address or hospital account is in use.
pub async fn invite(
    app: &App,
    actor: &Actor,
    new: NewPatient,
) -> Result<(Patient, DeskCode), Error> {
    policy::staff(app, actor, "patient.create")?;
    let unknown = OpaqueToken::generate(Purpose::Recovery, &*app.random)?;
    let unknown = Secret::new(unknown.expose().to_owned());
    let hash = app.hasher.hash(&unknown).await?;
    let patient = patients_service::register_hashed(app, actor, new, &hash, true, None).await?;
    let code = desk_code(app, actor, patient.id).await?;
    Ok((patient, code))
}

/// Makes a one-time code for a member of staff.
///
/// # Errors
/// When the actor is not an admin, or there is no such member of staff.
pub async fn staff_code(app: &App, actor: &Actor, staff_id: i64) -> Result<DeskCode, Error> {
    policy::admin(app, actor, "recovery.desk_code")?;
    make_code(app, actor, Owner::Staff(staff_id)).await
}

async fn make_code(app: &App, actor: &Actor, owner: Owner) -> Result<DeskCode, Error> {
    let code = DeskCode::generate(&*app.random)?;
    let (digest, actor, lifetime) = (code.digest(), actor.clone(), app.lifetimes.desk_code);
    app.store
        .write(Lane::Interactive, move |tx| {
            let exists = match owner {
                Owner::Patient(id) => patients::login_by_id(tx, id)?.is_some(),
                Owner::Staff(id) => staff::by_id(tx, id)?.is_some(),
            };
            if !exists {
                return Err(Error::NotFound("User not found"));
            }
            let expires_at = after(tx.now(), lifetime);
            codes::add_code(tx, owner, &digest, expires_at)?;
            Ok(tx.audit(&concerning(Entry::new(&actor, "recovery.desk_code"), owner))?)
        })
        .await?;
    Ok(code)
}

/// Sets a new password with a recovery token or a desk code, and ends every session of the account.
///
/// # Errors
/// [`Error::RecoveryInvalid`], [`Error::RecoveryExpired`], [`Error::Invalid`] for a weak password
/// (the code stays usable), [`Error::Throttled`] after too many wrong codes.
pub async fn reset(app: &App, actor: &Actor, code: &str, password: Secret) -> Result<(), Error> {
    let address = address(actor);
    let key = format!("reset:{address}");
    let attempt = app
        .throttle
        .check_for(Tried::RecoveryCode, &key, address, || app.monotonic_ms())
        .await?;
    let result = try_reset(app, actor, code, password).await;
    match &result {
        Ok(()) => attempt.record_success(),
        Err(Error::RecoveryInvalid | Error::RecoveryExpired) => {
            let closed = attempt.record_failure(app.monotonic_ms());
            let entry = Entry::new(actor, "recovery.reset").outcome(Outcome::Denied);
            app.store.note_access(entry)?;
            app.note_closed(&Entry::new(actor, "throttle.close"), closed)?;
        }
        Err(_) => {}
    }
    result
}

async fn try_reset(app: &App, actor: &Actor, code: &str, password: Secret) -> Result<(), Error> {
    let digest = OpaqueToken::parse(Purpose::Recovery, code.trim())
        .map(|token| token.digest())
        .or_else(|_| DeskCode::parse(code).map(|code| code.digest()))
        .map_err(|_| Error::RecoveryInvalid)?;
    let names = app.store.read(move |tx| account_names(tx, &digest)).await?;
    check_password(&password, &names)?;
    let hash = app.hasher.hash(&password).await?.to_stored();
    let actor = actor.clone();
    app.store
        .write(Lane::Interactive, move |tx| {
            // Looked up again: somebody may have used it while the password was hashed.
            let owner = usable(tx, &digest)?;
            store_password(tx, owner, &hash, false)?;
            sessions::revoke_all(tx, owner, None)?;
            let actor = actor.becomes(who(owner, Role::Staff), None);
            Ok(tx.audit(&concerning(Entry::new(&actor, "recovery.reset"), owner))?)
        })
        .await
}

fn usable(tx: &impl Read, digest: &[u8; 32]) -> Result<Owner, Error> {
    let (owner, expires_at) = codes::find(tx, digest)?.ok_or(Error::RecoveryInvalid)?;
    if tx.now() >= expires_at {
        Err(Error::RecoveryExpired)
    } else {
        Ok(owner)
    }
}

/// The names that the new password must not equal, and which rules hold for it.
fn account_names(tx: &impl Read, digest: &[u8; 32]) -> Result<(Owner, Vec<String>), Error> {
    let owner = usable(tx, digest)?;
    let names = match owner {
        Owner::Patient(id) => {
            patients::login_by_id(tx, id)?.map(|found| vec![found.dni, found.email])
        }
        Owner::Staff(id) => staff::by_id(tx, id)?.map(|found| vec![found.username, found.email]),
    };
    Ok((owner, names.ok_or(Error::RecoveryInvalid)?))
}

fn check_password(password: &Secret, (owner, names): &(Owner, Vec<String>)) -> Result<(), Error> {
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let checked = match owner {
        Owner::Patient(_) => patients_service::check_password(password, &names),
        Owner::Staff(_) => staff_service::check_password(password, &names),
    };
    checked.map_err(Error::invalid("new_password"))
}
