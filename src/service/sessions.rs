//! Log-in, refresh, log-out, and who a request comes from.
//!
//! An unknown name costs the time of a real hash and gets the same answer as a wrong password. A
//! failed attempt is in the audit log, without the name that was tried.

use std::sync::Arc;

use super::passwords::{self, credentials};
use super::session_cache::{self, CachedSession};
use super::{App, Error, address};
use crate::auth::Secret;
use crate::auth::opaque::{OpaqueToken, Purpose};
use crate::auth::password::PasswordHash;
use crate::auth::refresh::{FamilyState, RefreshDecision, decide};
use crate::auth::throttle::{Attempt, Closed};
use crate::auth::token::{Audience, Claims, TokenError, issuer};
use crate::domain::actor::{Actor, Role, Who};
use crate::domain::audit::{Entry, Object, Outcome};
use crate::domain::time::Timestamp;
use crate::limits;
use crate::store::sessions::{self, Owner, Presented, SessionStatus};
use crate::store::{Lane, Read, members, patients, staff};

/// What a log-in or refresh hands out.
#[derive(Clone, Debug)]
pub struct Tokens {
    /// The access token, a JWT.
    pub access: Secret,
    /// The refresh token.
    pub refresh: Secret,
    /// Seconds until the access token is too old.
    pub expires_in_s: i64,
}

/// What a log-in looks up, for patients and staff alike.
struct Account {
    owner: Owner,
    subject: String,
    blocked: bool,
    password_hash: String,
    password_reset_required: bool,
}

/// Logs in with a password: a patient by DNI or e-mail address, staff by user name or address.
///
/// Goes on when the caller hangs up: otherwise anybody could spend the node's hashes without being
/// throttled, and without a trace in the audit log.
///
/// # Errors
/// [`Error::BadCredentials`], [`Error::Blocked`], [`Error::PasswordResetRequired`] (patients only:
/// staff can change it once they are in), [`Error::Throttled`], [`Error::Busy`].
pub async fn log_in(
    app: &Arc<App>,
    actor: &Actor,
    audience: Audience,
    name: &str,
    password: Secret,
) -> Result<Tokens, Error> {
    let (app, actor, name) = (Arc::clone(app), actor.clone(), name.to_owned());
    let attempt = async move { try_log_in(&app, &actor, audience, &name, password).await };
    tokio::spawn(attempt)
        .await
        .unwrap_or_else(|error| Err(Error::Internal(error.to_string())))
}

async fn try_log_in(
    app: &App,
    actor: &Actor,
    audience: Audience,
    name: &str,
    password: Secret,
) -> Result<Tokens, Error> {
    let account = find(app, audience, name.trim().to_owned()).await?;
    let known = account.as_ref().map(|found| found.owner);
    let key = throttle_key(audience, known, name);
    let attempt = app
        .throttle
        .check(&key, address(actor), || app.monotonic_ms())
        .await?;
    // A damaged hash is a failed log-in that costs the same; `islet doctor` reports it.
    let stored = account
        .as_ref()
        .and_then(|found| PasswordHash::parse(&found.password_hash).ok());
    let (verified, closed) = verify(app, attempt, password.clone(), stored.clone()).await?;
    if closed != Closed::default() {
        let mut entry = Entry::new(actor, "throttle.close");
        if let Some(account) = &account {
            entry = concerning(entry, account.owner);
        }
        app.note_closed(&entry, closed)?;
    }
    let Some(account) = account.filter(|_| verified) else {
        let mut entry = Entry::new(actor, "session.log_in").detail("wrong name or password");
        if let Some(owner) = known {
            // Whose account it is; not who tried.
            entry = concerning(entry, owner);
        }
        note_refusal(app, entry).await?;
        return Err(Error::BadCredentials);
    };
    let legacy = stored.as_ref().is_some_and(PasswordHash::is_wrapped);
    let refused = if account.blocked {
        Some((Error::Blocked, "blocked"))
    } else if account.password_reset_required
        && matches!(account.owner, Owner::Patient(_))
        && !legacy
    {
        Some((Error::PasswordResetRequired, "password reset required"))
    } else {
        None
    };
    if let Some((error, reason)) = refused {
        let actor = actor.becomes(who(account.owner, Role::Staff), None);
        note_refusal(app, Entry::new(&actor, "session.log_in").detail(reason)).await?;
        return Err(error);
    }
    let rehashed = match stored {
        Some(hash) if hash.needs_rehash() => Some(app.hasher.hash(&password).await?),
        _ => None,
    };
    begin(app, actor, audience, account, rehashed, legacy).await
}

/// What failures are counted by: the account, by whichever of its names it was called, or else the
/// name that was tried.
pub(super) fn throttle_key(audience: Audience, account: Option<Owner>, name: &str) -> String {
    match account {
        Some(Owner::Patient(id)) => format!("patient:{id}"),
        Some(Owner::Staff(id)) => format!("staff:{id}"),
        None => format!(
            "unknown:{}:{}",
            audience.as_str(),
            name.trim().to_lowercase()
        ),
    }
}

/// Checks the password and counts the outcome. Must run on a task of its own, which goes on when the
/// caller hangs up: otherwise anybody could spend the node's hashes without ever being throttled.
pub(super) async fn verify(
    app: &App,
    attempt: Attempt,
    password: Secret,
    stored: Option<PasswordHash>,
) -> Result<(bool, Closed), Error> {
    let verified = app.hasher.verify(password, stored).await?;
    Ok((verified, settle(app, attempt, verified)))
}

/// Counts the outcome of an attempt.
pub(super) fn settle(app: &App, attempt: Attempt, verified: bool) -> Closed {
    if verified {
        attempt.record_success();
        return Closed::default();
    }
    attempt.record_failure(app.monotonic_ms())
}

async fn find(app: &App, audience: Audience, name: String) -> Result<Option<Account>, Error> {
    app.store
        .read(move |tx| match audience {
            Audience::Patient => Ok(patients::login(tx, &name)?.map(|patient| Account {
                owner: Owner::Patient(patient.id),
                subject: patient.dni,
                blocked: patient.blocked,
                password_hash: patient.password_hash,
                password_reset_required: patient.password_reset_required,
            })),
            Audience::Staff => Ok(staff::by_name(tx, &name)?.map(|staff| Account {
                owner: Owner::Staff(staff.id),
                subject: staff.username,
                blocked: staff.blocked || staff.role.is_none(),
                password_hash: staff.password_hash,
                password_reset_required: staff.password_reset_required,
            })),
        })
        .await
}

async fn begin(
    app: &App,
    actor: &Actor,
    audience: Audience,
    account: Account,
    rehashed: Option<PasswordHash>,
    legacy: bool,
) -> Result<Tokens, Error> {
    let session = app.session_id()?;
    let refresh = OpaqueToken::generate(Purpose::Refresh, &*app.random)?;
    let (owner, digest, lifetime) = (account.owner, refresh.digest(), app.lifetimes.refresh);
    let id = session.clone();
    let actor = actor.becomes(who(owner, Role::Staff), Some(session.as_str().into()));
    app.store
        .write(Lane::Essential, move |tx| {
            // Looked at again: while the hash was computed, somebody may have chosen another
            // password or blocked the account, and both end its sessions.
            if credentials(tx, owner)? != Some((account.password_hash, false)) {
                return Err(Error::BadCredentials);
            }
            if let Some(hash) = rehashed {
                // A password that the weak legacy hash protected is used once more, then replaced.
                passwords::store(
                    tx,
                    owner,
                    &hash.to_stored(),
                    account.password_reset_required || legacy,
                )?;
            }
            sessions::begin(tx, &id, owner, &digest, after(tx.now(), lifetime))?;
            Ok(tx.audit(&Entry::new(&actor, "session.log_in"))?)
        })
        .await?;
    let generation = FamilyState::begin(0).generation;
    let session = (session, generation);
    tokens(app, audience, owner, account.subject, session, &refresh)
}

async fn note_refusal(app: &App, entry: Entry) -> Result<(), Error> {
    let entry = entry.outcome(Outcome::Denied);
    app.store
        .write(Lane::Essential, move |tx| Ok(tx.audit(&entry)?))
        .await
}

fn tokens(
    app: &App,
    audience: Audience,
    owner: Owner,
    subject: String,
    (session_id, generation): (String, u64),
    refresh: &OpaqueToken,
) -> Result<Tokens, Error> {
    let (Owner::Patient(user_id) | Owner::Staff(user_id)) = owner;
    let issued_at_s = app.clock.now().0.div_euclid(1000);
    let expires_in_s = i64::try_from(app.lifetimes.access.as_secs()).unwrap_or(i64::MAX);
    let expires_at_s = issued_at_s.saturating_add(expires_in_s);
    let claims = Claims {
        audience,
        subject,
        user_id,
        session_id,
        generation,
        issued_at_s,
        expires_at_s,
    };
    let access = Secret::new(app.tokens.issue(&claims)?);
    Ok(Tokens {
        access,
        refresh: Secret::new(refresh.expose().to_owned()),
        expires_in_s,
    })
}

/// Hands out new tokens for a refresh token. `arrived` is when the request came in.
///
/// # Errors
/// [`Error::BadRefreshToken`] when it is unknown, too old, revoked, or was used by two parties; the
/// last also ends the session.
pub async fn refresh(
    app: &App,
    actor: &Actor,
    audience: Audience,
    token: &str,
    arrived: Timestamp,
) -> Result<Tokens, Error> {
    let presented =
        OpaqueToken::parse(Purpose::Refresh, token).map_err(|_| Error::BadRefreshToken)?;
    let next = OpaqueToken::generate(Purpose::Refresh, &*app.random)?;
    let (digest, next_digest, lifetime) =
        (presented.digest(), next.digest(), app.lifetimes.refresh);
    let actor = actor.clone();
    let (found, generation, subject) = app
        .store
        .write(Lane::Essential, move |tx| {
            let found = sessions::presented(tx, &digest)?.ok_or(Error::BadRefreshToken)?;
            let Some(subject) = refreshable(tx, audience, &found)? else {
                return Err(Error::BadRefreshToken);
            };
            let grace_ms = i64::try_from(limits::REFRESH_GRACE.as_millis()).unwrap_or(i64::MAX);
            let decision = decide(&found.record, &found.family, arrived.0, grace_ms);
            let family = found.family.after(decision, arrived.0);
            let jti = Some(found.jti.as_str().into());
            let actor = actor.becomes(who(found.owner, Role::Staff), jti);
            let entry = Entry::new(&actor, "session.refresh");
            match decision {
                RefreshDecision::Rotate => {}
                RefreshDecision::Retry { siblings_kept } => {
                    sessions::replace_siblings(tx, found.session, &family, siblings_kept)?;
                }
                RefreshDecision::Reuse => {
                    sessions::revoke(tx, found.session)?;
                    let entry = entry
                        .outcome(Outcome::Denied)
                        .detail("reused: the session was ended");
                    return Ok(tx.audit(&entry)?.with(Err(Error::BadRefreshToken)));
                }
                RefreshDecision::Expired | RefreshDecision::Revoked => {
                    return Err(Error::BadRefreshToken);
                }
            }
            let expires_at = after(tx.now(), lifetime);
            sessions::advance(tx, &found, &family, &next_digest, expires_at)?;
            Ok(tx
                .audit(&entry)?
                .with(Ok((found, family.generation, subject))))
        })
        .await??;
    let session = (found.jti, generation);
    tokens(app, audience, found.owner, subject, session, &next)
}

/// The subject of new tokens, when the account may still be used and is of this audience.
fn refreshable(
    tx: &impl Read,
    audience: Audience,
    found: &Presented,
) -> Result<Option<String>, Error> {
    Ok(match (audience, found.owner) {
        (Audience::Patient, Owner::Patient(id)) => patients::login_by_id(tx, id)?
            .filter(|patient| !patient.blocked)
            .map(|patient| patient.dni),
        (Audience::Staff, Owner::Staff(id)) => staff::by_id(tx, id)?
            .filter(|staff| !staff.blocked && staff.role.is_some())
            .map(|staff| staff.username),
        _ => None,
    })
}

/// Ends the session of a refresh token, or of an access token of this audience (RFC 7009, section 2: one grant,
/// both tokens). Unknown tokens are no error: the session is over anyway. They are not in the audit log,
/// which anybody could fill with them.
///
/// # Errors
/// When the store cannot do it.
pub async fn revoke(
    app: &App,
    actor: &Actor,
    audience: Audience,
    token: &str,
) -> Result<(), Error> {
    let Ok(presented) = OpaqueToken::parse(Purpose::Refresh, token) else {
        return revoke_by_access(app, actor, audience, token).await;
    };
    let digest = presented.digest();
    let actor = actor.clone();
    let result = app
        .store
        .write(Lane::Essential, move |tx| {
            let found = sessions::presented(tx, &digest)?.ok_or(Error::BadRefreshToken)?;
            sessions::revoke(tx, found.session)?;
            let actor = actor.becomes(who(found.owner, Role::Staff), Some(found.jti.into()));
            Ok(tx.audit(&Entry::new(&actor, "session.log_out"))?)
        })
        .await;
    match result {
        Err(Error::BadRefreshToken) => Ok(()),
        result => result,
    }
}

async fn revoke_by_access(
    app: &App,
    actor: &Actor,
    audience: Audience,
    token: &str,
) -> Result<(), Error> {
    let found = match match_session(app, audience, token).await {
        Err(Error::Unauthenticated | Error::TokenExpired) => return Ok(()),
        found => found?,
    };
    let actor = actor.becomes(found.who, Some(found.session_id.clone()));
    app.store
        .write(Lane::Essential, move |tx| {
            if let Some(session) = sessions::by_jti(tx, &found.session_id)? {
                sessions::revoke(tx, session)?;
            }
            Ok(tx.audit(&Entry::new(&actor, "session.log_out"))?)
        })
        .await
}

/// Who a request with this access token comes from.
///
/// Staff that must choose another password are let in only where `reset_allowed`.
///
/// # Errors
/// [`Error::Unauthenticated`], [`Error::TokenExpired`], [`Error::PasswordResetRequired`].
pub async fn authenticate(
    app: &App,
    anonymous: &Actor,
    audience: Audience,
    token: &str,
    reset_allowed: bool,
) -> Result<Actor, Error> {
    let session = match_session(app, audience, token).await?;
    let staff = matches!(session.who, Who::Staff(..));
    if staff && session.password_reset_required && !reset_allowed {
        return Err(Error::PasswordResetRequired);
    }
    Ok(anonymous.becomes(session.who, Some(session.session_id)))
}

async fn match_session(app: &App, audience: Audience, token: &str) -> Result<CachedSession, Error> {
    let now_s = app.clock.now().0.div_euclid(1000);
    let key = session_cache::key(audience, token);
    // Read before the store is asked: a session that ends meanwhile raises it.
    let epoch = app.store.session_epoch();
    if let Some(session) = app.session_cache.get(&key, epoch, now_s) {
        return Ok(session);
    }
    know_members(app, epoch).await?;
    let claims = app
        .tokens
        .verify(token, audience, now_s)
        .map_err(|error| match error {
            TokenError::Expired => Error::TokenExpired,
            TokenError::Invalid => Error::Unauthenticated,
        })?;
    let id = claims.session_id.clone();
    let status = app
        .store
        .read(move |tx| Ok::<_, Error>(sessions::status(tx, &id)?))
        .await?;
    let status = status.filter(|status| !status.revoked && !status.blocked);
    let Some(status) = status else {
        return Err(Error::Unauthenticated);
    };
    let who = identify(&status, &claims).ok_or(Error::Unauthenticated)?;
    if claims.generation == status.generation && !status.generation_used {
        let id = claims.session_id.clone();
        app.store.note_session_use(id, claims.generation)?;
    }
    let session = CachedSession {
        epoch,
        expires_at_s: claims.expires_at_s,
        who,
        session_id: claims.session_id.into(),
        password_reset_required: status.password_reset_required,
    };
    app.session_cache.put(key, session.clone());
    Ok(session)
}

/// Accepts the tokens of all nodes of the network but those thrown out, as of this session epoch, which rises
/// whenever they change.
async fn know_members(app: &App, epoch: u64) -> Result<(), Error> {
    if app.tokens.others_epoch() == Some(epoch) {
        return Ok(());
    }
    let members = app
        .store
        .read(|tx| Ok::<_, Error>(members::list(tx)?))
        .await?;
    let known = members
        .iter()
        .filter(|member| !members::is_out(&members, &member.public_key));
    let known: Vec<_> = known
        .map(|it| (issuer(&it.public_key), it.token_key))
        .collect();
    let keys = known
        .iter()
        .map(|(issuer, key)| (issuer.as_str(), key.as_slice()));
    app.tokens.accept_others(epoch, keys);
    Ok(())
}

/// The session and the token must speak of the same account.
fn identify(status: &SessionStatus, claims: &Claims) -> Option<Who> {
    match (status.owner, claims.audience, status.role) {
        (Owner::Patient(id), Audience::Patient, _) if id == claims.user_id => {
            Some(Who::Patient(id))
        }
        (Owner::Staff(id), Audience::Staff, Some(role)) if id == claims.user_id => {
            Some(Who::Staff(id, role))
        }
        _ => None,
    }
}

/// An entry about an account.
pub(super) fn concerning(entry: Entry, owner: Owner) -> Entry {
    match owner {
        Owner::Patient(id) => entry.of_patient(id).on(Object::Patient, id),
        Owner::Staff(id) => entry.on(Object::Staff, id),
    }
}

/// The owner of a session as the audit log names them; the log does not record roles.
pub(super) const fn who(owner: Owner, role: Role) -> Who {
    match owner {
        Owner::Patient(id) => Who::Patient(id),
        Owner::Staff(id) => Who::Staff(id, role),
    }
}

/// `lifetime` after `now`.
pub(super) fn after(now: Timestamp, lifetime: std::time::Duration) -> Timestamp {
    Timestamp(
        now.0
            .saturating_add(i64::try_from(lifetime.as_millis()).unwrap_or(i64::MAX)),
    )
}
