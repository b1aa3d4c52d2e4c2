//! Recovery links (mail) and one-time codes (handed out at the desk). Holds digests, never codes.
//!
//! A code of the desk is replicated and works at every node; a link works at the node that mailed it. Both are
//! spent once the account's access epoch has moved on, wherever that was: so whoever uses one, or
//! chooses another password, uses all of them up.

use rusqlite::params;

use super::entity::DESK_CODE;
use super::sessions::{Owner, access_epoch, stored_digest};
use super::tx::{Read, one};
use super::{StoreError, WriteTx};
use crate::domain::time::Timestamp;
use crate::limits;

/// Stores the digest of a link that is mailed. Anybody can ask for a mail, and nothing of what the owner
/// has must become worthless by it: neither a code read out at the desk nor the links mailed before,
/// of which the newest [`limits::RECOVERY_MAILS_MAX`] work until they expire.
///
/// # Errors
/// When the disk fails.
pub fn add_link(
    tx: &WriteTx<'_>,
    owner: Owner,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let (patient_id, staff_id) = owner.columns();
    let (column, id) = (owner.column(), patient_id.or(staff_id));
    let now = tx.now().0;
    let expired = format!("DELETE FROM recovery WHERE {column} = ? AND expires_at <= ?");
    tx.local(&expired, params![id, now])?;
    let former = format!(
        "DELETE FROM recovery WHERE digest IN (SELECT digest FROM recovery
         WHERE {column} = ? ORDER BY created_at DESC LIMIT -1 OFFSET ?)"
    );
    tx.local(&former, params![id, limits::RECOVERY_MAILS_MAX - 1])?;
    let sql =
        "INSERT INTO recovery (digest, patient_id, staff_id, access_epoch, created_at, expires_at)
               VALUES (?, ?, ?, ?, ?, ?)";
    let epoch = access_epoch(tx, owner)?;
    let values = params![digest, patient_id, staff_id, epoch, now, expires_at.0];
    tx.local(sql, values)?;
    Ok(())
}

/// Stores the digest of a code that is read out at the desk. It replaces the former.
///
/// # Errors
/// When the disk fails.
pub fn add_code(
    tx: &mut WriteTx<'_>,
    owner: Owner,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let (patient_id, staff_id) = owner.columns();
    let now = tx.now().0;
    let sql = "DELETE FROM desk_code WHERE id IN
               (SELECT id FROM desk_code WHERE expires_at < ? ORDER BY expires_at LIMIT ?)";
    let kept = i64::try_from(limits::SESSION_KEPT.as_millis()).unwrap_or(i64::MAX);
    let before = now.saturating_sub(kept);
    tx.local(sql, params![before, limits::EXPIRED_ROWS_A_WRITE])?;
    let epoch = access_epoch(tx, owner)?;
    tx.insert(
        &DESK_CODE,
        &[
            stored_digest(digest).into(),
            patient_id.into(),
            staff_id.into(),
            epoch.into(),
            now.into(),
            expires_at.0.into(),
        ],
    )?;
    Ok(())
}

/// A link or code that was given out and is remembered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Found {
    /// Whose it is.
    pub owner: Owner,
    /// Until when it counts.
    pub expires_at: Timestamp,
    /// Whether it was used, or lost its worth because another was used or the account was blocked.
    pub is_spent: bool,
}

/// Looks up a link or a code. A code that a newer one has replaced is none.
///
/// # Errors
/// When the disk fails.
pub fn find(tx: &impl Read, digest: &[u8; 32]) -> Result<Option<Found>, StoreError> {
    let link =
        "SELECT patient_id, staff_id, expires_at, access_epoch FROM recovery WHERE digest = ?";
    let code = "SELECT patient_id, staff_id, expires_at, access_epoch FROM desk_code c
                WHERE digest = ? AND NOT EXISTS (SELECT 1 FROM desk_code n WHERE n.patient_id = c.patient_id
                                                 AND (n.created_at, n.id) > (c.created_at, c.id))
                AND NOT EXISTS (SELECT 1 FROM desk_code n WHERE n.staff_id = c.staff_id
                                AND (n.created_at, n.id) > (c.created_at, c.id)) ORDER BY id LIMIT 1";
    let read = |row: &rusqlite::Row<'_>| {
        let epoch: i64 = row.get(3)?;
        Ok((Owner::from_row(row, 0)?, Timestamp(row.get(2)?), epoch))
    };
    let found = match one(tx, link, [digest], read)? {
        None => one(tx, code, [stored_digest(digest)], read)?,
        found => found,
    };
    let Some((owner, expires_at, epoch)) = found else {
        return Ok(None);
    };
    Ok(Some(Found {
        owner,
        expires_at,
        is_spent: epoch < access_epoch(tx, owner)?,
    }))
}
