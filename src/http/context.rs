//! What every request carries: an id, and the actor that the services are told about.
//!
//! The id of the client is kept when it is short and plain, so that one id follows a request from
//! the phone into the audit log; otherwise the node makes one. Every answer shows it.

use std::convert::Infallible;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::middleware::Next;
use axum::response::Response;

use super::listen::ClientAddr;
use crate::domain::actor::{Actor, Who};
use crate::service::App;

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

/// Gives the request an id and the answer the same one.
pub async fn request_id(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let id = from_headers(request.headers()).unwrap_or_else(|| RequestId {
        id: random_id(&app),
        from_client: false,
    });
    let value = HeaderValue::from_str(&id.id);
    request.extensions_mut().insert(id);
    let mut response = next.run(request).await;
    if let Ok(value) = value {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    response
}

fn from_headers(headers: &HeaderMap) -> Option<RequestId> {
    let id = headers.get(REQUEST_ID)?.to_str().ok()?;
    let plain = |c: char| c.is_ascii_alphanumeric() || "-._".contains(c);
    let usable = (1..=64).contains(&id.len()) && id.chars().all(plain);
    usable.then(|| RequestId {
        id: id.to_owned(),
        from_client: true,
    })
}

fn random_id(app: &App) -> String {
    let mut bytes = [0; 16];
    // Without randomness ids are not unique, which hurts nobody but the reader of the log.
    let _ = app.random.fill(&mut bytes);
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Headers of every answer: health data is not to be stored on the way.
pub async fn answer_headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
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
