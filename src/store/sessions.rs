//! Log-ins, refresh tokens and recovery codes. Holds digests, never tokens.

use rusqlite::{Row, params};

use super::tx::{Read, one};
use super::{StoreError, WriteTx};
use crate::auth::refresh::{FamilyState, RefreshRecord};
use crate::domain::actor::Role;
use crate::domain::time::Timestamp;
use crate::limits;

/// Whose session or code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A patient's.
    Patient(i64),
    /// A member of staff's.
    Staff(i64),
}

impl Owner {
    fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Patient(id) => (Some(id), None),
            Self::Staff(id) => (None, Some(id)),
        }
    }

    /// The column that names it.
    const fn column(self) -> &'static str {
        match self {
            Self::Patient(_) => "patient_id",
            Self::Staff(_) => "staff_id",
        }
    }

    fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        match (row.get(first)?, row.get(first + 1)?) {
            (Some(id), None) => Ok(Self::Patient(id)),
            (None, Some(id)) => Ok(Self::Staff(id)),
            _ => Err(rusqlite::Error::InvalidQuery),
        }
    }
}

/// What a request with an access token needs to know of its session.
#[derive(Clone, Debug)]
pub struct SessionStatus {
    /// Whose it is.
    pub owner: Owner,
    /// The newest generation of its tokens.
    pub generation: u64,
    /// Whether a token of that generation is known to have been used.
    pub generation_used: bool,
    /// Whether it was ended: by log-out, by staff, or for misuse.
    pub revoked: bool,
    /// Whether the account may not be used.
    pub blocked: bool,
    /// Whether the owner must choose another password first.
    pub password_reset_required: bool,
    /// The role of staff; `None` for patients, and for staff without any.
    pub role: Option<Role>,
}

/// The session of an access token.
///
/// # Errors
/// When the disk fails.
pub fn status(tx: &impl Read, id: &str) -> Result<Option<SessionStatus>, StoreError> {
    let sql = "SELECT s.patient_id, s.staff_id, s.revoked_at IS NOT NULL,
        coalesce(p.blocked, f.blocked), coalesce(p.password_reset_required, f.password_reset_required),
        (SELECT max(CASE role WHEN 'admin' THEN 2 ELSE 1 END) FROM staff_role r WHERE r.staff_id = s.staff_id),
        s.generation, s.generation_used
        FROM session s LEFT JOIN patient p ON p.id = s.patient_id LEFT JOIN staff f ON f.id = s.staff_id
        WHERE s.id = ?";
    one(tx, sql, [id], |row| {
        let rank: Option<i64> = row.get(5)?;
        Ok(SessionStatus {
            owner: Owner::from_row(row, 0)?,
            generation: row.get::<_, i64>(6)?.cast_unsigned(),
            generation_used: row.get(7)?,
            revoked: row.get(2)?,
            blocked: row.get(3)?,
            password_reset_required: row.get(4)?,
            role: rank.map(|rank| if rank == 2 { Role::Admin } else { Role::Staff }),
        })
    })
}

/// Begins a session whose first refresh token has `digest`.
///
/// # Errors
/// When the disk fails.
pub fn begin(
    tx: &WriteTx<'_>,
    id: &str,
    owner: Owner,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let now = tx.now();
    let family = FamilyState::begin(now.0);
    let (patient_id, staff_id) = owner.columns();
    let sql = "INSERT INTO session (id, patient_id, staff_id, generation, issued_at, created_at, expires_at)
               VALUES (?, ?, ?, ?, ?, ?, ?)";
    tx.local(
        sql,
        params![
            id,
            patient_id,
            staff_id,
            generation(&family)?,
            family.issued_at_ms,
            now.0,
            expires_at.0
        ],
    )?;
    insert_token(tx, id, &family, digest, expires_at)?;
    let sql = "DELETE FROM session WHERE id IN
               (SELECT id FROM session WHERE expires_at < ? ORDER BY expires_at LIMIT ?)";
    tx.local(sql, params![now.0, limits::EXPIRED_ROWS_A_WRITE])?;
    Ok(())
}

/// A presented refresh token with its family.
#[derive(Clone, Debug)]
pub struct Presented {
    /// The session.
    pub session_id: String,
    /// Whose it is.
    pub owner: Owner,
    /// The token.
    pub record: RefreshRecord,
    /// The family.
    pub family: FamilyState,
}

/// Looks up a refresh token.
///
/// # Errors
/// When the disk fails.
pub fn presented(tx: &impl Read, digest: &[u8; 32]) -> Result<Option<Presented>, StoreError> {
    let sql = "SELECT s.patient_id, s.staff_id, s.id, t.generation, t.replaced, t.expires_at,
               s.generation, s.issued_at, s.generation_used, s.revoked_at IS NOT NULL
               FROM refresh_token t JOIN session s ON s.id = t.session_id WHERE t.digest = ?";
    one(tx, sql, [digest], |row| {
        Ok(Presented {
            owner: Owner::from_row(row, 0)?,
            session_id: row.get(2)?,
            record: RefreshRecord {
                generation: row.get::<_, i64>(3)?.cast_unsigned(),
                replaced: row.get(4)?,
                expires_at_ms: row.get(5)?,
            },
            family: FamilyState {
                generation: row.get::<_, i64>(6)?.cast_unsigned(),
                issued_at_ms: row.get(7)?,
                current_used: row.get(8)?,
                revoked: row.get(9)?,
            },
        })
    })
}

/// Moves a family on and stores the token handed out with it.
///
/// # Errors
/// When the disk fails.
pub fn advance(
    tx: &WriteTx<'_>,
    session_id: &str,
    family: &FamilyState,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE session SET generation = ?, generation_used = ?, issued_at = ?, expires_at = ?
               WHERE id = ?";
    tx.local(
        sql,
        params![
            generation(family)?,
            family.current_used,
            family.issued_at_ms,
            expires_at.0,
            session_id
        ],
    )?;
    // A session that is used for years must not keep every token that it ever had.
    let sql = "DELETE FROM refresh_token WHERE digest IN (SELECT digest FROM refresh_token
               WHERE session_id = ? AND expires_at < ? ORDER BY generation LIMIT ?)";
    let few = limits::EXPIRED_ROWS_A_WRITE;
    tx.local(sql, params![session_id, tx.now().0, few])?;
    insert_token(tx, session_id, family, digest, expires_at)
}

/// An access token of this generation of a session was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionUse {
    pub(super) session_id: String,
    pub(super) generation: u64,
}

/// Notes it, unless the session has moved on.
pub(super) fn note_use(tx: &WriteTx<'_>, used: &SessionUse) -> Result<(), StoreError> {
    let sql = "UPDATE session SET generation_used = 1 WHERE id = ? AND generation = ?";
    tx.local(sql, params![used.session_id, used.generation.cast_signed()])?;
    Ok(())
}

/// Marks all but the newest `keep` live tokens of a generation as replaced.
///
/// # Errors
/// When the disk fails.
pub fn replace_siblings(
    tx: &WriteTx<'_>,
    session_id: &str,
    family: &FamilyState,
    keep: u32,
) -> Result<(), StoreError> {
    let sql =
        "UPDATE refresh_token SET replaced = 1 WHERE digest IN (SELECT digest FROM refresh_token
               WHERE session_id = ? AND generation = ? AND replaced = 0
               ORDER BY issued_at DESC LIMIT -1 OFFSET ?)";
    tx.local(sql, params![session_id, generation(family)?, keep])?;
    Ok(())
}

/// Ends one session.
///
/// # Errors
/// When the disk fails.
pub fn revoke(tx: &mut WriteTx<'_>, session_id: &str) -> Result<(), StoreError> {
    tx.end_sessions();
    let sql = "UPDATE session SET revoked_at = ? WHERE id = ? AND revoked_at IS NULL";
    tx.local(sql, params![tx.now().0, session_id])?;
    Ok(())
}

/// Ends all sessions of an account, but for `except`. Returns how many.
///
/// # Errors
/// When the disk fails.
pub fn revoke_all(
    tx: &mut WriteTx<'_>,
    owner: Owner,
    except: Option<&str>,
) -> Result<usize, StoreError> {
    tx.end_sessions();
    let (patient_id, staff_id) = owner.columns();
    let column = owner.column();
    let sql = format!(
        "UPDATE session SET revoked_at = ?1 WHERE {column} = ?2 AND revoked_at IS NULL AND id IS NOT ?3"
    );
    let id = patient_id.or(staff_id);
    tx.local(&sql, params![tx.now().0, id, except])
}

/// How a recovery code reaches its owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RecoveryKind {
    /// As a link in a mail.
    Mail,
    /// Read out at the desk.
    Desk,
}

/// Stores the digest of a recovery code. Anybody can ask for a mail, and nothing of what the owner
/// has must become worthless by it: neither a code read out at the desk nor the links mailed before,
/// of which the newest [`limits::RECOVERY_MAILS_MAX`] work until they expire. A new code of the desk
/// replaces the former.
///
/// # Errors
/// When the disk fails.
pub fn add_recovery(
    tx: &WriteTx<'_>,
    owner: Owner,
    kind: RecoveryKind,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let (patient_id, staff_id) = owner.columns();
    let now = tx.now().0;
    let sql = "INSERT INTO recovery (digest, patient_id, staff_id, kind, created_at, expires_at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let (kind, kept) = match kind {
        RecoveryKind::Mail => ("mail", limits::RECOVERY_MAILS_MAX - 1),
        RecoveryKind::Desk => ("desk", 0),
    };
    let column = owner.column();
    let id = patient_id.or(staff_id);
    let expired =
        format!("DELETE FROM recovery WHERE {column} = ? AND kind = ? AND expires_at <= ?");
    tx.local(&expired, params![id, kind, now])?;
    let former = format!(
        "DELETE FROM recovery WHERE digest IN (SELECT digest FROM recovery
         WHERE {column} = ? AND kind = ? ORDER BY created_at DESC LIMIT -1 OFFSET ?)"
    );
    tx.local(&former, params![id, kind, kept])?;
    let values = params![digest, patient_id, staff_id, kind, now, expires_at.0];
    tx.local(sql, values)?;
    Ok(())
}

/// A recovery code: whose it is, and until when it is valid.
///
/// # Errors
/// When the disk fails.
pub fn recovery(
    tx: &impl Read,
    digest: &[u8; 32],
) -> Result<Option<(Owner, Timestamp)>, StoreError> {
    let sql = "SELECT patient_id, staff_id, expires_at FROM recovery WHERE digest = ?";
    one(tx, sql, [digest], |row| {
        Ok((Owner::from_row(row, 0)?, Timestamp(row.get(2)?)))
    })
}

/// Makes every recovery code of an account worthless.
///
/// # Errors
/// When the disk fails.
pub fn forget_recoveries(tx: &WriteTx<'_>, owner: Owner) -> Result<(), StoreError> {
    let (patient_id, staff_id) = owner.columns();
    let column = owner.column();
    let sql = format!("DELETE FROM recovery WHERE {column} = ?");
    tx.local(&sql, [patient_id.or(staff_id)])?;
    Ok(())
}

fn insert_token(
    tx: &WriteTx<'_>,
    session_id: &str,
    family: &FamilyState,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO refresh_token (digest, session_id, generation, issued_at, expires_at)
               VALUES (?, ?, ?, ?, ?)";
    tx.local(
        sql,
        params![
            digest,
            session_id,
            generation(family)?,
            tx.now().0,
            expires_at.0
        ],
    )?;
    Ok(())
}

fn generation(family: &FamilyState) -> Result<i64, StoreError> {
    i64::try_from(family.generation).map_err(|e| StoreError::Damaged(e.to_string()))
}
