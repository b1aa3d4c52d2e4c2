//! Choosing another password, by whatever way: with the current one, with a session, or with a code.
//!
//! What is sent again because its answer was lost changes nothing and is answered as the first time. That it is the
//! same is seen by the stored hash alone: neither a password nor a quick digest of one is kept anywhere.

use super::{App, Error};
use crate::auth::Secret;
use crate::auth::password::PasswordHash;
use crate::domain::audit::{Entry, Outcome};
use crate::domain::text::Invalid;
use crate::limits;
use crate::store::sessions::{self, Owner};
use crate::store::{Lane, Read, WriteTx, patients, staff};

/// Whether `password` is the one that is stored. A damaged hash is nobody's.
pub(super) async fn is_stored(app: &App, password: &Secret, stored: &str) -> Result<bool, Error> {
    let stored = PasswordHash::parse(stored).ok();
    Ok(app.hasher.verify(password.clone(), stored).await?)
}

/// Why a password that holds already is no new one.
pub(super) fn unchanged() -> Error {
    Error::invalid("new_password")(Invalid::sentences(
        "it must differ from the present one",
        "La contraseña nueva debe ser distinta de la actual. Elija otra",
    ))
}

/// Whether the bearer of this session chose the account's present password a moment ago, so that the request
/// may be the same one again.
pub(super) async fn just_chosen_by(
    app: &App,
    session: Option<&str>,
    owner: Owner,
) -> Result<bool, Error> {
    let Some(session) = session.map(str::to_owned) else {
        return Ok(false);
    };
    let now = app.clock.now();
    let chosen = app
        .store
        .read(move |tx| Ok::<_, Error>(sessions::password_chosen_at(tx, &session, owner)?))
        .await?;
    let window_ms = u64::try_from(limits::PASSWORD_REPEAT.as_millis()).unwrap_or(u64::MAX);
    Ok(chosen.is_some_and(|at| at.0.abs_diff(now.0) < window_ms))
}

/// The password hash of an account, and whether it is blocked.
pub(super) fn credentials(tx: &impl Read, owner: Owner) -> Result<Option<(String, bool)>, Error> {
    Ok(match owner {
        Owner::Patient(id) => {
            patients::login_by_id(tx, id)?.map(|it| (it.password_hash, it.blocked))
        }
        Owner::Staff(id) => {
            staff::by_id(tx, id)?.map(|it| (it.password_hash, it.blocked || it.role.is_none()))
        }
    })
}

/// Replaces the password of the acting account and ends its other sessions. `former` is the hash
/// that the request was checked against.
///
/// # Errors
/// [`Error::Unauthenticated`] when the session has ended or the account was blocked since the
/// request came in, [`Error::Busy`] when somebody else has replaced the password.
pub(super) async fn choose(
    app: &App,
    entry: Entry,
    owner: Owner,
    former: String,
    hash: &PasswordHash,
) -> Result<(), Error> {
    let (hash, refusal) = (hash.to_stored(), entry.clone());
    // Essential: it puts out whoever holds a stolen phone.
    let write = app.store.write(Lane::Essential, move |tx| {
        // Looked at again: a hash takes long, and who is put out meanwhile must stay out.
        let session = entry.actor.session.as_deref().unwrap_or_default();
        let status = sessions::status(tx, session)?.filter(|it| !it.revoked && it.owner == owner);
        match credentials(tx, owner)? {
            Some((stored, false)) if status.is_some() && stored == former => {}
            Some((_, false)) if status.is_some() => return Err(Error::Busy),
            _ => return Err(Error::Unauthenticated),
        }
        store(tx, owner, &hash, false)?;
        sessions::revoke_all(tx, owner, Some(session))?;
        Ok(tx.audit(&entry)?)
    });
    let result = write.await;
    if matches!(result, Err(Error::Unauthenticated)) {
        let refusal = refusal.outcome(Outcome::Denied);
        app.store
            .note_access(refusal.detail("the session has ended"))?;
    }
    result
}

/// Stores a new password hash of either kind of account.
pub(super) fn store(
    tx: &mut WriteTx<'_>,
    owner: Owner,
    hash: &str,
    reset_required: bool,
) -> Result<(), Error> {
    match owner {
        Owner::Patient(id) => patients::set_password(tx, id, hash, reset_required)?,
        Owner::Staff(id) => staff::set_password(tx, id, hash, reset_required)?,
    }
    Ok(())
}
