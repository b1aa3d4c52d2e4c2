//! What every request carries: an id, and the actor that the services are told about.
//!
//! [`super::front`] gives each request its id.

use std::convert::Infallible;

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
    pub id: String,
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
            id: id.to_owned(),
            from_client: true,
        })
    }
}

/// In one allocation: every request without an id gets one.
fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
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
        assert_eq!(hex(&[0x00, 0x0f, 0xa0, 0xff]), "000fa0ff");
    }
}
