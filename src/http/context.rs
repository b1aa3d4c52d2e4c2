//! What every request carries: an id, and the actor that the services are told about.
//!
//! [`super::front`] gives each request its id.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};

use super::listen::ClientAddr;
use crate::auth::Random;
use crate::domain::actor::{Actor, Who};

/// The header that carries the id.
pub const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request, and whether the client chose it.
#[derive(Clone, Debug)]
pub struct RequestId {
    /// 1 to 64 letters, digits, dashes, dots or underscores.
    pub id: Arc<str>,
    /// Whether it came with the request: then a repeated request has the same one.
    pub from_client: bool,
}

impl RequestId {
    /// The client's, or a new one.
    pub(super) fn of(headers: &HeaderMap, random: &dyn Random) -> Self {
        Self::from_headers(headers).unwrap_or_else(|| {
            let mut bytes = [0; 16];
            // Without randomness ids are not unique, which hurts nobody but the reader of the log.
            let _ = random.fill(&mut bytes);
            Self {
                id: hex(&bytes),
                from_client: false,
            }
        })
    }

    fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let id = headers.get(REQUEST_ID)?.to_str().ok()?;
        let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
        let usable = (1..=64).contains(&id.len()) && id.chars().all(plain);
        usable.then(|| Self {
            id: id.into(),
            from_client: true,
        })
    }
}

fn hex(bytes: &[u8; 16]) -> Arc<str> {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let mut text = [0; 32];
    for (pair, byte) in text.chunks_exact_mut(2).zip(bytes) {
        pair[0] = DIGITS[usize::from(byte >> 4)];
        pair[1] = DIGITS[usize::from(byte & 15)];
    }
    str::from_utf8(&text).unwrap_or_default().into()
}

/// The actor of a request before it has proved to be anyone.
#[derive(Clone, Debug)]
pub struct Anonymous(pub Actor);

impl Anonymous {
    /// Reads the address and the id off a request.
    #[must_use]
    pub fn of(parts: &Parts) -> Self {
        let address = parts
            .extensions
            .get::<ClientAddr>()
            .map(|client| client.0.ip());
        let request_id = parts.extensions.get::<RequestId>().map(|id| id.id.clone());
        Self(Actor {
            who: Who::Anonymous,
            session: None,
            address,
            request_id,
        })
    }
}

impl<S: Sync> FromRequestParts<S> for Anonymous {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        Ok(Self::of(parts))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_shown_in_hexadecimal() {
        let mut bytes = [0xff; 16];
        bytes[..3].copy_from_slice(&[0x00, 0x0f, 0xa0]);
        assert_eq!(&*hex(&bytes), "000fa0ffffffffffffffffffffffffff");
    }
}
