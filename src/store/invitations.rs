//! Invitations to the network, as digests. Must never hold the secret itself.

use rusqlite::params;

use super::tx::{Read, one};
use super::{StoreError, WriteTx};
use crate::domain::time::Timestamp;
use crate::limits;

/// An invitation that was given out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Invitation {
    /// The first moment at which it lets nobody in.
    pub expires_at: Timestamp,
    /// The public key of the node that used it.
    pub used_by: Option<[u8; 32]>,
}

/// Notes an invitation, and forgets a few that are over.
///
/// # Errors
/// When the disk fails.
pub fn insert(
    tx: &WriteTx<'_>,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.local(
        "INSERT INTO invitation (digest, created_at, expires_at) VALUES (?, ?, ?)",
        params![digest, now, expires_at.0],
    )?;
    let kept_ms = i64::try_from(limits::INVITATION_KEPT.as_millis()).unwrap_or(i64::MAX);
    tx.local(
        "DELETE FROM invitation WHERE digest IN
         (SELECT digest FROM invitation WHERE expires_at < ? ORDER BY expires_at LIMIT ?)",
        params![now - kept_ms, limits::EXPIRED_ROWS_A_WRITE],
    )?;
    Ok(())
}

/// Looks one up.
///
/// # Errors
/// When the disk fails.
pub fn find(tx: &impl Read, digest: &[u8; 32]) -> Result<Option<Invitation>, StoreError> {
    let sql = "SELECT expires_at, used_by FROM invitation WHERE digest = ?";
    one(tx, sql, [digest], |row| {
        Ok(Invitation {
            expires_at: Timestamp(row.get(0)?),
            used_by: row.get(1)?,
        })
    })
}

/// Notes who used it.
///
/// # Errors
/// When the disk fails.
pub fn set_used(
    tx: &WriteTx<'_>,
    digest: &[u8; 32],
    public_key: &[u8; 32],
) -> Result<(), StoreError> {
    let sql = "UPDATE invitation SET used_by = ? WHERE digest = ?";
    tx.local(sql, params![public_key, digest])?;
    Ok(())
}
