//! A forgotten password: by a link in a mail, or by a one-time code from the desk.
//!
//! Asking for a mail answers the same whether or not the address is known. A code works once, for
//! a short time, and ends every session of its account.

use std::sync::Arc;

use super::mail::Mail;
use super::sessions::{after, concerning, throttle_key, verify, who};
use super::{
    App, Error, address, passwords, patients as patients_service, policy, staff as staff_service,
};
use crate::auth::Secret;
use crate::auth::opaque::{DeskCode, OpaqueToken, Purpose};
use crate::auth::password::PasswordHash;
use crate::auth::throttle::{Closed, Tried};
use crate::auth::token::Audience;
use crate::domain::actor::{Actor, Role};
use crate::domain::audit::{Entry, Outcome};
use crate::domain::patient::{NewPatient, Patient};
use crate::store::sessions::{self, Owner};
use crate::store::{Lane, Read, patients, recovery as codes, staff};

/// Sends a recovery link to the account with this address (or user name, for staff), if there is
/// one. One mail a minute is enough for an account: the phone sends a request again when it loses the answer.
///
/// Goes on when the caller hangs up: otherwise the link would be made and the mail not sent.
///
/// # Errors
/// [`Error::Throttled`] when one was sent to this account a moment ago, or too many were asked for from
/// one address.
pub async fn request_mail(
    app: &Arc<App>,
    actor: &Actor,
    audience: Audience,
    name: &str,
) -> Result<(), Error> {
    let (app, actor, name) = (Arc::clone(app), actor.clone(), name.trim().to_owned());
    let request = async move { try_request_mail(&app, &actor, audience, name).await };
    tokio::spawn(request)
        .await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

async fn try_request_mail(
    app: &App,
    actor: &Actor,
    audience: Audience,
    name: String,
) -> Result<(), Error> {
    let called = name.clone();
    let known = app
        .store
        .read(move |tx| recipient(tx, audience, &called))
        .await?;
    // Each request counts, of unknown names as well: mail is a way to annoy people.
    let account = throttle_key(audience, known.map(|(owner, _)| owner), &name);
    let key = format!("recovery:{account}");
    let attempt = app
        .throttle
        .check_for(Tried::RecoveryMail, &key, address(actor), || {
            app.monotonic_ms()
        })
        .await?;
    let token = OpaqueToken::generate(Purpose::Recovery, &*app.random)?;
    let (digest, who) = (token.digest(), actor.clone());
    let lifetime = match audience {
        Audience::Patient => app.lifetimes.patient_recovery,
        Audience::Staff => app.lifetimes.staff_recovery,
    };
    let to = app
        .store
        .write(Lane::Interactive, move |tx| {
            let entry = Entry::new(&who, "recovery.request");
            let Some((owner, email)) = recipient(tx, audience, &name)? else {
                return Ok(tx.audit(&entry.outcome(Outcome::Failed))?.with(None));
            };
            codes::add_link(tx, owner, &digest, after(tx.now(), lifetime))?;
            Ok::<_, Error>(tx.audit(&concerning(entry, owner))?.with(Some(email)))
        })
        .await?;
    // Only now: what was not done may be asked for again at once.
    let closed = Closed {
        account: false,
        ..attempt.record_failure(app.monotonic_ms())
    };
    app.note_closed(&Entry::new(actor, "throttle.close"), closed)?;
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

/// Essential: whoever lost their phone needs another password, with a full disk too.
async fn make_code(app: &App, actor: &Actor, owner: Owner) -> Result<DeskCode, Error> {
    let code = DeskCode::generate(&*app.random)?;
    let (digest, actor, lifetime) = (code.digest(), actor.clone(), app.lifetimes.desk_code);
    app.store
        .write(Lane::Essential, move |tx| {
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

/// Sets a new password with a recovery token or a desk code, and ends every session of the account. The same
/// request again, as long as the code would have counted, changes nothing.
///
/// Goes on when the caller hangs up, as [`super::sessions::log_in`] does.
///
/// # Errors
/// [`Error::RecoveryInvalid`], [`Error::RecoveryExpired`], [`Error::Invalid`] for a password that is weak or
/// not new (the code stays usable), [`Error::Throttled`] after too many wrong codes.
pub async fn reset(
    app: &Arc<App>,
    actor: &Actor,
    code: &str,
    password: Secret,
) -> Result<(), Error> {
    let (app, actor, code) = (Arc::clone(app), actor.clone(), code.to_owned());
    let reset = async move { throttled_reset(&app, &actor, &code, password).await };
    tokio::spawn(reset)
        .await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

async fn throttled_reset(
    app: &App,
    actor: &Actor,
    code: &str,
    password: Secret,
) -> Result<(), Error> {
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
    let account = app.store.read(move |tx| account(tx, &digest)).await?;
    if account.code.is_spent {
        return repeat(app, actor, &account, password).await;
    }
    check_password(&password, &account)?;
    if passwords::is_stored(app, &password, &account.password_hash).await? {
        return Err(passwords::unchanged());
    }
    let hash = app.hasher.hash(&password).await?.to_stored();
    match spend(app, actor, digest, hash).await {
        // Used while the password was hashed, perhaps by this very request, which the phone sent again.
        Err(Error::RecoveryInvalid) => {
            let read = app.store.read(move |tx| self::account(tx, &digest));
            repeat(app, actor, &read.await?, password).await
        }
        done => done,
    }
}

/// Sets the password and uses the code up. Essential: it puts out whoever holds a stolen phone.
async fn spend(app: &App, actor: &Actor, digest: [u8; 32], hash: String) -> Result<(), Error> {
    let actor = actor.clone();
    app.store
        .write(Lane::Essential, move |tx| {
            let code = recent(tx, &digest)?;
            if code.is_spent {
                return Err(Error::RecoveryInvalid);
            }
            passwords::store(tx, code.owner, &hash, false)?;
            sessions::revoke_all(tx, code.owner, None)?;
            let actor = actor.becomes(who(code.owner, Role::Staff), None);
            Ok(tx.audit(&concerning(
                Entry::new(&actor, "recovery.reset"),
                code.owner,
            ))?)
        })
        .await
}

/// A code that is spent, with the password that holds now, is the request that has set it, sent again. This
/// tells whether a password is right, so it draws on the guesses of the account, as a log-in does.
async fn repeat(
    app: &App,
    actor: &Actor,
    account: &Account,
    password: Secret,
) -> Result<(), Error> {
    // One that must be replaced was not chosen with this code.
    if account.reset_required {
        return Err(Error::RecoveryInvalid);
    }
    let owner = account.code.owner;
    let key = throttle_key(account.audience(), Some(owner), "");
    let attempt = app
        .throttle
        .check(&key, address(actor), || app.monotonic_ms())
        .await?;
    let stored = PasswordHash::parse(&account.password_hash).ok();
    let (verified, closed) = verify(app, attempt, password, stored).await?;
    let entry = |action| concerning(Entry::new(actor, action), owner);
    app.note_closed(&entry("throttle.close"), closed)?;
    if !verified {
        return Err(Error::RecoveryInvalid);
    }
    Ok(app
        .store
        .note_access(entry("recovery.reset").detail("repeated"))?)
}

/// A link or code that may still count, or has been used within its time.
fn recent(tx: &impl Read, digest: &[u8; 32]) -> Result<codes::Found, Error> {
    let code = codes::find(tx, digest)?.ok_or(Error::RecoveryInvalid)?;
    if tx.now() < code.expires_at {
        return Ok(code);
    }
    Err(if code.is_spent {
        Error::RecoveryInvalid
    } else {
        Error::RecoveryExpired
    })
}

/// Whose code it is.
struct Account {
    code: codes::Found,
    /// What the new password must not tell.
    names: Vec<String>,
    password_hash: String,
    reset_required: bool,
}

impl Account {
    const fn audience(&self) -> Audience {
        match self.code.owner {
            Owner::Patient(_) => Audience::Patient,
            Owner::Staff(_) => Audience::Staff,
        }
    }
}

fn account(tx: &impl Read, digest: &[u8; 32]) -> Result<Account, Error> {
    let code = recent(tx, digest)?;
    let found = match code.owner {
        Owner::Patient(id) => patients::login_by_id(tx, id)?.map(|found| Account {
            code,
            names: found.names().map(str::to_owned).to_vec(),
            password_hash: found.password_hash,
            reset_required: found.password_reset_required,
        }),
        Owner::Staff(id) => staff::by_id(tx, id)?.map(|found| Account {
            code,
            names: vec![found.username, found.email],
            password_hash: found.password_hash,
            reset_required: found.password_reset_required,
        }),
    };
    found.ok_or(Error::RecoveryInvalid)
}

fn check_password(password: &Secret, account: &Account) -> Result<(), Error> {
    let names: Vec<&str> = account.names.iter().map(String::as_str).collect();
    let checked = match account.code.owner {
        Owner::Patient(_) => patients_service::check_password(password, &names),
        Owner::Staff(_) => staff_service::check_password(password, &names),
    };
    checked.map_err(Error::invalid("new_password"))
}
