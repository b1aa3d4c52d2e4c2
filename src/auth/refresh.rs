//! Rotation of refresh tokens: which answer does a presented token get? A pure function.
//!
//! A *family* is one log-in on one device. Every refresh opens the next *generation* and hands out
//! a token of it; presenting an old token shows that two parties hold the family, and ends it
//! (RFC 9700 section 4.14.2, RFC 6819 section 5.2.2.3). But phones lose answers, crash before they
//! have stored one, and send the same refresh several times at once, and the app logs its user out
//! at any refusal. So the previous generation is answered too, as a *retry*.
//!
//! Only digests are stored, so a retry cannot repeat the lost token; it hands out another token of
//! the *same* (current) generation, in one of two ways:
//!
//! * **within the grace period** (counted from the newest token handed out) the new token is a
//!   *sibling*: those before it stay valid, because the phone may keep any of the answers to ten
//!   parallel refreshes. Only the newest [`REFRESH_SIBLINGS_MAX`] do;
//! * **later, if the current generation was never used**, the answers were lost: the new token
//!   *replaces* its siblings, and starts the grace period again. One of them that turns up
//!   afterwards was in other hands, and ends the family.
//!
//! Whichever sibling is presented first opens the next generation: one step at a time, never two.
//!
//! What this gives, and what it does not (the property tests hold it):
//!
//! * A phone that sends one token until it has stored a new one, and then lets the grace period
//!   pass before it refreshes again (access tokens live far longer), is never logged out.
//! * A thief with a token of an older generation ends the family at once. So does one with the
//!   previous token after the grace period, once the current generation was used; and an owner whom
//!   a thief has overtaken, once the thief has used what he got. The exception is a thief who
//!   refreshes within the grace period of the owner, again and again.
//! * "Used" means that the successor was presented here (then the old token is two generations
//!   old), or, earlier, that an access token issued with it was accepted: the store notes this as
//!   [`FamilyState::current_used`]. The price: a phone that crashes after it has used, but before it
//!   has stored its new tokens must log in again.
//!
//! The store must call [`decide`], write [`FamilyState::after`] and insert the new record in *one*
//! write transaction, pass the time at which the request *arrived*, and keep the records of old
//! generations until they expire: a forgotten token is merely unknown.

use crate::limits::REFRESH_SIBLINGS_MAX;

/// What is stored for one refresh token, beside its digest and its family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefreshRecord {
    /// The generation it belongs to; a log-in issues generation 0.
    pub generation: u64,
    /// True once a retry has replaced it, see [`RefreshDecision::Retry`].
    pub replaced: bool,
    /// First millisecond since 1970 in which it is no longer valid.
    pub expires_at_ms: i64,
}

/// What is stored for a family.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FamilyState {
    /// The newest generation.
    pub generation: u64,
    /// When the newest token of it was handed out, in milliseconds since 1970.
    pub issued_at_ms: i64,
    /// True once an access token of it was accepted: it has reached its owner, see the module's text.
    pub current_used: bool,
    /// Logged out, revoked by staff, or ended by a reuse.
    pub revoked: bool,
}

impl FamilyState {
    /// The family of a log-in that hands out its first token (of generation 0) at `now_ms`.
    #[must_use]
    pub fn begin(now_ms: i64) -> Self {
        Self {
            generation: 0,
            issued_at_ms: now_ms,
            current_used: false,
            revoked: false,
        }
    }

    /// The family after `decision` was carried out at `now_ms`. After `Rotate` and `Retry` the new
    /// token's record gets this state's `generation`.
    #[must_use]
    pub fn after(self, decision: RefreshDecision, now_ms: i64) -> Self {
        match decision {
            RefreshDecision::Rotate => Self {
                generation: self.generation.saturating_add(1),
                ..Self::begin(now_ms)
            },
            RefreshDecision::Retry { .. } => Self {
                issued_at_ms: now_ms,
                ..self
            },
            RefreshDecision::Reuse => Self {
                revoked: true,
                ..self
            },
            RefreshDecision::Expired | RefreshDecision::Revoked => self,
        }
    }
}

/// What to do with a presented token.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshDecision {
    /// Open the next generation and hand out a token of it.
    Rotate,
    /// First mark all but the newest `siblings_kept` live records of the current generation as
    /// replaced, then hand out another token of that generation.
    Retry {
        /// How many of the tokens handed out before stay valid.
        siblings_kept: u32,
    },
    /// Two parties hold this family: revoke it, end its sessions, write an alert to the audit log,
    /// answer 401.
    Reuse,
    /// Its time is over: answer 401. It proves nothing about a theft.
    Expired,
    /// The family has ended before: answer 401.
    Revoked,
}

/// Decides about `record`, a token of `family` that arrived at `now_ms`.
///
/// A time before the last issue (the clock was set back) counts as within the grace period: a
/// patient must not lose the session over a clock.
#[must_use]
pub fn decide(
    record: &RefreshRecord,
    family: &FamilyState,
    now_ms: i64,
    grace_ms: i64,
) -> RefreshDecision {
    // A generation that the family does not know yet cannot be; refuse it without an alarm.
    if family.revoked || record.generation > family.generation {
        return RefreshDecision::Revoked;
    }
    if now_ms >= record.expires_at_ms {
        return RefreshDecision::Expired;
    }
    if record.replaced {
        return RefreshDecision::Reuse;
    }
    let in_grace = now_ms.saturating_sub(family.issued_at_ms) <= grace_ms;
    match family.generation - record.generation {
        0 => RefreshDecision::Rotate,
        1 if in_grace => RefreshDecision::Retry {
            siblings_kept: REFRESH_SIBLINGS_MAX - 1,
        },
        1 if !family.current_used => RefreshDecision::Retry { siblings_kept: 0 },
        _ => RefreshDecision::Reuse,
    }
}

#[cfg(test)]
mod simulation;
#[cfg(test)]
mod tests;
