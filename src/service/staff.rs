//! Staff accounts: register, show, change one's own password and address, block.

use super::{App, Error, passwords, policy};
use crate::auth::Secret;
use crate::auth::password::PasswordPolicy;
use crate::domain::account::{Email, Username};
use crate::domain::actor::{Actor, Role};
use crate::domain::audit::{Entry, Object};
use crate::domain::text::Invalid;
use crate::limits;
use crate::store::idempotency::{self, IdempotencyKey};
use crate::store::sessions::{self, Owner};
use crate::store::staff::{self, Staff};
use crate::store::{Lane, entity};
use crate::store::{StoreError, WriteTx};

const NO_STAFF: Error = Error::NotFound("Admin not found");

/// Whether the actor may register staff. Asked before anything of the request is looked at.
///
/// # Errors
/// When the actor is not an admin.
pub fn may_register(app: &App, actor: &Actor) -> Result<(), Error> {
    policy::admin(app, actor, "staff.create")
}

/// Whether the actor may block staff. Asked before anything of the request is looked at.
///
/// # Errors
/// When the actor is not an admin.
pub fn may_block(app: &App, actor: &Actor) -> Result<(), Error> {
    policy::admin(app, actor, "staff.block")
}

/// Registers a member of staff. A repeated `key` is answered with the account that it made.
///
/// # Errors
/// When the actor is not an admin, the name or address is in use, or the password is too weak.
pub async fn register(
    app: &App,
    actor: &Actor,
    username: Username,
    email: Email,
    password: Secret,
    role: Role,
    key: Option<IdempotencyKey>,
) -> Result<Staff, Error> {
    may_register(app, actor)?;
    check_password(&password, &[username.as_str(), email.as_str()])
        .map_err(Error::invalid("password"))?;
    let hash = app.hasher.hash(&password).await?.to_stored();
    let refusal = Entry::new(actor, "staff.create");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        if let Some(id) = idempotency::find_optional(tx, key.as_ref())? {
            let staff = staff::by_id(tx, id)?.ok_or(NO_STAFF)?;
            let entry = Entry::new(&actor, "staff.create")
                .on(Object::Staff, id)
                .detail("repeated");
            return Ok(tx.audit(&entry)?.with(staff));
        }
        if staff::taken(tx, username.as_str(), None)? {
            return Err(Error::Taken("username"));
        }
        if staff::taken(tx, email.as_str(), None)? {
            return Err(Error::Taken("email"));
        }
        let id = staff::insert(tx, &username, &email, &hash, role)?;
        idempotency::remember_optional(tx, key.as_ref(), &entity::STAFF, id)?;
        let staff = staff::by_id(tx, id)?.ok_or(NO_STAFF)?;
        let entry = Entry::new(&actor, "staff.create").on(Object::Staff, id);
        Ok(tx
            .audit(&entry.detail(format!("role {role:?}").to_lowercase()))?
            .with(staff))
    })
    .await
}

/// Whether a member of staff with these names may choose this password.
///
/// # Errors
/// Why not, for the member of staff.
pub fn check_password(password: &Secret, names: &[&str]) -> Result<(), Invalid> {
    PasswordPolicy::STAFF
        .check(password, names)
        .map_err(|error| Invalid::sentences(error.in_english(), error.to_string()))
}

/// The account of the acting member of staff.
///
/// # Errors
/// When the actor is not a member of staff.
pub async fn me(app: &App, actor: &Actor) -> Result<Staff, Error> {
    let id = own_id(app, actor)?;
    app.store
        .read(move |tx| staff::by_id(tx, id)?.ok_or(NO_STAFF))
        .await
}

/// All staff, by id.
///
/// # Errors
/// When the actor is not an admin.
pub async fn list(app: &App, actor: &Actor) -> Result<Vec<Staff>, Error> {
    policy::admin(app, actor, "staff.list")?;
    app.store.note_access(Entry::new(actor, "staff.list"))?;
    app.store
        .read(|tx| Ok(staff::list(tx, 0, limits::LEGACY_ROWS_MAX)?))
        .await
}

/// The acting member of staff chooses another password. All their other sessions end.
///
/// # Errors
/// When the password is too weak, or not new.
pub async fn change_password(app: &App, actor: &Actor, password: Secret) -> Result<(), Error> {
    let me = me(app, actor).await?;
    check_password(&password, &[&me.username, &me.email])
        .map_err(Error::invalid("new_password"))?;
    let owner = Owner::Staff(me.id);
    let entry = Entry::new(actor, "staff.change_password").on(Object::Staff, me.id);
    if passwords::is_stored(app, &password, &me.password_hash).await? {
        let session = actor.session.as_deref();
        let chosen =
            !me.password_reset_required && passwords::just_chosen_by(app, session, owner).await?;
        if !chosen {
            return Err(passwords::unchanged());
        }
        return Ok(app.store.note_access(entry.detail("repeated"))?);
    }
    let hash = app.hasher.hash(&password).await?;
    passwords::choose(app, entry, owner, me.password_hash, &hash).await
}

/// The acting member of staff chooses another address.
///
/// # Errors
/// When it is in use.
pub async fn change_email(app: &App, actor: &Actor, email: Email) -> Result<Staff, Error> {
    let id = own_id(app, actor)?;
    let refusal = Entry::new(actor, "staff.change_email");
    let actor = actor.clone();
    app.write(refusal, move |tx| {
        if staff::taken(tx, email.as_str(), Some(id))? {
            return Err(Error::Taken("email"));
        }
        staff::set_email(tx, id, &email)?;
        let staff = staff::by_id(tx, id)?.ok_or(NO_STAFF)?;
        let entry = Entry::new(&actor, "staff.change_email").on(Object::Staff, id);
        Ok(tx.audit(&entry)?.with(staff))
    })
    .await
}

/// Blocks a member of staff or lets them in again. Blocking ends their sessions.
///
/// # Errors
/// When the actor is not an admin, there is no such member of staff, or it is the last
/// administrator ([`Error::LastAdmin`]).
pub async fn set_blocked(
    app: &App,
    actor: &Actor,
    username: String,
    blocked: bool,
) -> Result<Staff, Error> {
    block(app, actor, blocked, move |tx| staff::by_name(tx, &username)).await
}

/// The same by id.
///
/// # Errors
/// As there.
pub async fn set_blocked_by_id(
    app: &App,
    actor: &Actor,
    id: i64,
    blocked: bool,
) -> Result<Staff, Error> {
    block(app, actor, blocked, move |tx| staff::by_id(tx, id)).await
}

async fn block(
    app: &App,
    actor: &Actor,
    blocked: bool,
    find: impl FnOnce(&WriteTx<'_>) -> Result<Option<Staff>, StoreError> + Send + 'static,
) -> Result<Staff, Error> {
    may_block(app, actor)?;
    let refusal = Entry::new(actor, "staff.block");
    let actor = actor.clone();
    // Essential: somebody must be put out at once, with a full disk too.
    app.write_in(Lane::Essential, refusal, move |tx| {
        let found = find(tx)?.ok_or(NO_STAFF)?;
        let last = found.role == Some(Role::Admin) && !staff::has_other_admin(tx, found.id)?;
        if blocked && !found.blocked && last {
            return Err(Error::LastAdmin);
        }
        if found.blocked != blocked {
            staff::set_blocked(tx, found.id, blocked)?;
        }
        if blocked {
            sessions::revoke_all(tx, Owner::Staff(found.id), None)?;
        }
        let action = if blocked {
            "staff.block"
        } else {
            "staff.unblock"
        };
        let mut entry = Entry::new(&actor, action).on(Object::Staff, found.id);
        if found.blocked == blocked {
            entry = entry.detail("repeated");
        }
        Ok(tx.audit(&entry)?.with(Staff { blocked, ..found }))
    })
    .await
}

/// A member of staff by user name or address.
///
/// # Errors
/// When the actor is not an admin, or there is no such member of staff.
pub async fn find_by_name(app: &App, actor: &Actor, name: String) -> Result<Staff, Error> {
    policy::admin(app, actor, "staff.read")?;
    let found = app
        .store
        .read(move |tx| staff::by_name(tx, &name)?.ok_or(NO_STAFF))
        .await?;
    let entry = Entry::new(actor, "staff.read").on(Object::Staff, found.id);
    app.store.note_access(entry)?;
    Ok(found)
}

fn own_id(app: &App, actor: &Actor) -> Result<i64, Error> {
    policy::staff(app, actor, "staff.read")?;
    actor.staff_id().ok_or(Error::Forbidden)
}
