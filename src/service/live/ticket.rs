//! By what a session may go on: the access token that it began with. And tickets, which stand for one once, where a
//! token cannot be shown but in an address.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use crate::auth::Secret;
use crate::auth::opaque::{OpaqueToken, Purpose};
use crate::auth::token::Audience;
use crate::domain::actor::Actor;
use crate::limits;
use crate::service::{App, Error, sessions};

/// An access token, and for which kind of account it is.
#[derive(Clone, Debug)]
pub struct Pass {
    /// Patients or staff.
    pub audience: Audience,
    /// The token.
    pub token: Secret,
}

impl Pass {
    /// Whose it is, while it is good.
    ///
    /// # Errors
    /// As [`sessions::authenticate`].
    pub async fn check(&self, app: &App, anonymous: &Actor) -> Result<Actor, Error> {
        let token = self.token.expose();
        sessions::authenticate(app, anonymous, self.audience, token, false).await
    }
}

/// Tickets that nobody has used: digests, what they stand for, and until when (monotonic milliseconds).
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<HashMap<[u8; 32], (Pass, u64)>>);

/// Makes a ticket for the bearer of this pass.
///
/// # Errors
/// [`Error::Busy`] when too many are out.
pub fn ticket(app: &App, pass: Pass) -> Result<Secret, Error> {
    let ticket = OpaqueToken::generate(Purpose::Ticket, &*app.random)?;
    let now_ms = app.monotonic_ms();
    let valid_ms = u64::try_from(limits::TICKET_VALID.as_millis()).unwrap_or(u64::MAX);
    let mut out = app
        .live
        .tickets
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    out.retain(|_, (_, until_ms)| *until_ms > now_ms);
    if out.len() >= limits::TICKETS_MAX {
        return Err(Error::Busy);
    }
    out.insert(ticket.digest(), (pass, now_ms.saturating_add(valid_ms)));
    Ok(Secret::new(ticket.expose().to_owned()))
}

/// Uses a ticket up.
///
/// # Errors
/// [`Error::Unauthenticated`] when there is none such, it was used, or it is too old.
pub fn redeem(app: &App, audience: Audience, text: &str) -> Result<Pass, Error> {
    let ticket = OpaqueToken::parse(Purpose::Ticket, text).map_err(|_| Error::Unauthenticated)?;
    let now_ms = app.monotonic_ms();
    let mut out = app
        .live
        .tickets
        .0
        .lock()
        .unwrap_or_else(PoisonError::into_inner);
    let found = out.remove(&ticket.digest());
    found
        .filter(|(pass, until_ms)| *until_ms > now_ms && pass.audience == audience)
        .map(|(pass, _)| pass)
        .ok_or(Error::Unauthenticated)
}
