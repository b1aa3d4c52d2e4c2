//! Doctors, the front desk and administrators.

use rusqlite::{Row, params};

use super::entity::STAFF;
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx};
use crate::domain::account::{Email, Username};
use crate::domain::actor::Role;

/// A stored member of staff, with what a log-in needs to know.
#[derive(Clone, Debug)]
pub struct Staff {
    /// Row id.
    pub id: i64,
    /// Log-in name.
    pub username: String,
    /// Where recovery mails go.
    pub email: String,
    /// Whether the account may not be used.
    pub blocked: bool,
    /// As [`crate::auth::password::PasswordHash`] stores it.
    pub password_hash: String,
    /// Whether the owner must choose another password first.
    pub password_reset_required: bool,
    /// The highest role; `None` when all were revoked.
    pub role: Option<Role>,
}

const SELECT: &str = "SELECT id, username, email, blocked, password_hash, password_reset_required,
    (SELECT max(CASE role WHEN 'admin' THEN 2 ELSE 1 END) FROM staff_role WHERE staff_id = staff.id)
    FROM staff";

/// Inserts a member of staff.
///
/// # Errors
/// When the name or address is taken (look first with [`taken`]) or the disk fails.
pub fn insert(
    tx: &mut WriteTx<'_>,
    username: &Username,
    email: &Email,
    password_hash: &str,
    role: Role,
) -> Result<i64, StoreError> {
    let now = tx.now().0;
    let id = tx.insert(
        &STAFF,
        &[
            username.as_str().into(),
            email.as_str().into(),
            false.into(),
            password_hash.into(),
            false.into(),
            now.into(),
            now.into(),
            0_i64.into(),
        ],
    )?;
    tx.set_role(id, "staff", true)?;
    if role == Role::Admin {
        tx.set_role(id, "admin", true)?;
    }
    Ok(id)
}

/// Stores a new password hash.
///
/// # Errors
/// When the disk fails.
pub fn set_password(
    tx: &mut WriteTx<'_>,
    id: i64,
    hash: &str,
    reset_required: bool,
) -> Result<(), StoreError> {
    tx.end_sessions();
    let now = tx.now().0;
    tx.update(
        &STAFF,
        id,
        &[
            ("password_hash", hash.into()),
            ("password_reset_required", reset_required.into()),
            ("updated_at", now.into()),
        ],
    )
}

/// Stores another e-mail address.
///
/// # Errors
/// When it is taken or the disk fails.
pub fn set_email(tx: &mut WriteTx<'_>, id: i64, email: &Email) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.update(
        &STAFF,
        id,
        &[("email", email.as_str().into()), ("updated_at", now.into())],
    )
}

/// Blocks or unblocks.
///
/// # Errors
/// When the disk fails.
pub fn set_blocked(tx: &mut WriteTx<'_>, id: i64, blocked: bool) -> Result<(), StoreError> {
    tx.end_sessions();
    let now = tx.now().0;
    tx.update(
        &STAFF,
        id,
        &[("blocked", blocked.into()), ("updated_at", now.into())],
    )
}

/// One member of staff.
///
/// # Errors
/// When the disk fails.
pub fn by_id(tx: &impl Read, id: i64) -> Result<Option<Staff>, StoreError> {
    one(tx, &format!("{SELECT} WHERE id = ?"), [id], from_row)
}

/// One member of staff by user name, or by e-mail address when there is an `@`.
///
/// # Errors
/// When the disk fails.
pub fn by_name(tx: &impl Read, name: &str) -> Result<Option<Staff>, StoreError> {
    let column = if name.contains('@') {
        "email"
    } else {
        "username"
    };
    one(
        tx,
        &format!("{SELECT} WHERE {column} = ?"),
        [name],
        from_row,
    )
}

/// Staff in the order of their ids, after `after`.
///
/// # Errors
/// When the disk fails.
pub fn list(tx: &impl Read, after: i64, limit: u32) -> Result<Vec<Staff>, StoreError> {
    all(
        tx,
        &format!("{SELECT} WHERE id > ? ORDER BY id LIMIT ?"),
        params![after, limit],
        from_row,
    )
}

/// Whether another member of staff than `except` has this user name or address.
///
/// # Errors
/// When the disk fails.
pub fn taken(tx: &impl Read, name: &str, except: Option<i64>) -> Result<bool, StoreError> {
    Ok(by_name(tx, name)?.is_some_and(|staff| Some(staff.id) != except))
}

/// Whether anybody but `except` is an administrator and not blocked.
///
/// # Errors
/// When the disk fails.
pub fn has_other_admin(tx: &impl Read, except: i64) -> Result<bool, StoreError> {
    let sql = "SELECT 1 FROM staff_role CROSS JOIN staff ON id = staff_id
               WHERE role = 'admin' AND NOT blocked AND id <> ? LIMIT 1";
    Ok(one(tx, sql, [except], |_| Ok(()))?.is_some())
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Staff> {
    let rank: Option<i64> = row.get(6)?;
    Ok(Staff {
        id: row.get(0)?,
        username: row.get(1)?,
        email: row.get(2)?,
        blocked: row.get(3)?,
        password_hash: row.get(4)?,
        password_reset_required: row.get(5)?,
        role: rank.map(|rank| if rank == 2 { Role::Admin } else { Role::Staff }),
    })
}
