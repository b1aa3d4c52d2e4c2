//! Answers to writes that nothing in the data itself makes repeatable, kept for a day.

use std::time::Duration;

use rusqlite::params;

use super::entity::Entity;
use super::tx::{Read, one};
use super::{StoreError, WriteTx};
use crate::limits;

/// A digest of who asked for what with which key.
pub type IdempotencyKey = [u8; 32];

/// What was remembered for this key within the last `kept`, at most
/// [`limits::IDEMPOTENCY_KEPT`].
///
/// # Errors
/// When the disk fails.
pub fn find(
    tx: &impl Read,
    key: &IdempotencyKey,
    kept: Duration,
) -> Result<Option<i64>, StoreError> {
    one(
        tx,
        "SELECT row_id FROM idempotency WHERE key = ? AND created_at >= ?",
        params![key, tx.now().0 - millis(kept)],
        |row| row.get(0),
    )
}

/// Remembers the row that this request made, and forgets a few that are too old.
///
/// # Errors
/// When the disk fails.
pub fn remember(
    tx: &WriteTx<'_>,
    key: &IdempotencyKey,
    entity: &Entity,
    row_id: i64,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.local(
        "INSERT INTO idempotency (key, entity, row_id, created_at) VALUES (?1, ?2, ?3, ?4)
         ON CONFLICT DO UPDATE SET entity = ?2, row_id = ?3, created_at = ?4",
        params![key, entity.code, row_id, now],
    )?;
    tx.local(
        "DELETE FROM idempotency WHERE key IN
         (SELECT key FROM idempotency WHERE created_at < ? ORDER BY created_at LIMIT ?)",
        params![
            now - millis(limits::IDEMPOTENCY_KEPT),
            limits::EXPIRED_ROWS_A_WRITE
        ],
    )?;
    Ok(())
}

/// [`find`] for a request that may have come without a key.
///
/// # Errors
/// When the disk fails.
pub fn find_optional(
    tx: &impl Read,
    key: Option<&IdempotencyKey>,
) -> Result<Option<i64>, StoreError> {
    key.map_or(Ok(None), |key| find(tx, key, limits::IDEMPOTENCY_KEPT))
}

/// [`remember`] for a request that may have come without a key.
///
/// # Errors
/// When the disk fails.
pub fn remember_optional(
    tx: &WriteTx<'_>,
    key: Option<&IdempotencyKey>,
    entity: &Entity,
    row_id: i64,
) -> Result<(), StoreError> {
    key.map_or(Ok(()), |key| remember(tx, key, entity, row_id))
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
