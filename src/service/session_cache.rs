//! Remembers which access tokens were found good, so that a request costs a hash instead of a
//! signature check and a read.
//!
//! An entry counts only while the store's session epoch is what it was when the entry was made:
//! any commit that ends a session, blocks an account or takes a role away raises the epoch before
//! it is acknowledged, so the very next request asks the store again. Holds digests, never tokens.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::auth::token::Audience;
use crate::domain::actor::Who;
use crate::limits;

/// What a good token stands for.
#[derive(Clone, Debug)]
pub(super) struct CachedSession {
    pub(super) epoch: u64,
    pub(super) expires_at_s: i64,
    pub(super) who: Who,
    pub(super) session_id: Arc<str>,
    pub(super) password_reset_required: bool,
}

/// The good tokens of late. Cleared when full: it only costs time to fill it again.
#[derive(Default)]
pub struct SessionCache(Mutex<HashMap<[u8; 32], CachedSession>>);

impl std::fmt::Debug for SessionCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SessionCache")
    }
}

/// The key of a token for an audience.
pub(super) fn key(audience: Audience, token: &str) -> [u8; 32] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(audience.as_str().as_bytes());
    hasher.update(token.as_bytes());
    hasher.finalize().into()
}

impl SessionCache {
    /// The session of a token that was good at this epoch and is not too old.
    pub(super) fn get(&self, key: &[u8; 32], epoch: u64, now_s: i64) -> Option<CachedSession> {
        let sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh =
            |session: &&CachedSession| session.epoch == epoch && now_s < session.expires_at_s;
        sessions.get(key).filter(fresh).cloned()
    }

    pub(super) fn put(&self, key: [u8; 32], session: CachedSession) {
        let mut sessions = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if sessions.len() >= limits::CACHED_SESSIONS_MAX {
            sessions.clear();
        }
        sessions.insert(key, session);
    }
}
