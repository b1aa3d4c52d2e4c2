//! What a refresh token of another node brings with it.
//!
//! Each token extends its session. The token that opens a generation says that its node knew of no other
//! of that generation; two such tokens mean that two nodes exchanged one token while they were cut off from
//! each other. Within the grace period that is a phone which was answered twice, as on one node
//! (`auth/refresh.rs`); later, two parties hold the family. This follows from what the rows were made with, so every
//! node finds it, in whatever order the rows come.

use islet_sync::op::Value;

use super::StoreError;
use super::rows::Rows;
use super::tx::{Read, one};
use crate::limits;

/// Looks at a token that comes in. Returns false when no row is to be made: it has expired, or its session is
/// forgotten.
pub(super) fn enter_token(rows: &mut Rows<'_>, values: &[Value<'_>]) -> Result<bool, StoreError> {
    let [_, session, generation, opens, issued_at, expires_at, _] = values else {
        return Err(StoreError::Damaged(
            "a refresh token has other fields".into(),
        ));
    };
    let (Value::Int(session), Value::Int(issued_at), Value::Int(expires_at)) =
        (session, issued_at, expires_at)
    else {
        // The table refuses it.
        return Ok(true);
    };
    if !extend(rows, *session, *expires_at)? {
        return Ok(false);
    }
    if let (Value::Int(generation), Value::Int(1)) = (generation, opens)
        && has_rival(rows, *session, *generation, *issued_at)?
    {
        rows.forked.insert(*session);
    }
    Ok(rows.now().0 < *expires_at)
}

/// Lets a session live as long as this token. False when there is no such session.
fn extend(rows: &Rows<'_>, session: i64, expires_at: i64) -> Result<bool, StoreError> {
    let sql = "UPDATE session SET expires_at = max(expires_at, ?) WHERE id = ?";
    Ok(rows.execute(sql, [expires_at, session])? > 0)
}

fn has_rival(
    tx: &impl Read,
    session: i64,
    generation: i64,
    issued_at: i64,
) -> Result<bool, StoreError> {
    let grace_ms = i64::try_from(limits::REFRESH_GRACE.as_millis()).unwrap_or(i64::MAX);
    let (first, last) = (
        issued_at.saturating_sub(grace_ms),
        issued_at.saturating_add(grace_ms),
    );
    let sql = "SELECT 1 FROM refresh_token WHERE session_id = ? AND generation = ? AND opens = 1
               AND issued_at NOT BETWEEN ? AND ? LIMIT 1";
    Ok(one(tx, sql, [session, generation, first, last], |_| Ok(()))?.is_some())
}
