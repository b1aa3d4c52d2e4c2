//! Which kind of account a route is for. Checked before anything else of the request is read, so
//! that a request without a token is 401 whatever its body is.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::auth::token::Audience;
use crate::domain::actor::Actor;
use crate::http::context::Anonymous;
use crate::http::error::{ApiError, OrApiError};
use crate::http::fields::KnownSender;
use crate::service::{App, Error, sessions};

/// A patient.
#[derive(Clone, Debug)]
pub(in crate::http) struct Patient(pub(in crate::http) Actor);

/// A member of staff.
#[derive(Clone, Debug)]
pub(in crate::http) struct Staff(pub(in crate::http) Actor);

/// A member of staff, even one who must choose another password first.
#[derive(Clone, Debug)]
pub(in crate::http) struct StaffChoosingPassword(pub(in crate::http) Actor);

impl FromRequestParts<Arc<App>> for Patient {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        authenticate(parts, app, Audience::Patient, false)
            .await
            .map(Self)
    }
}

impl FromRequestParts<Arc<App>> for Staff {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        authenticate(parts, app, Audience::Staff, false)
            .await
            .map(Self)
    }
}

impl FromRequestParts<Arc<App>> for StaffChoosingPassword {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        authenticate(parts, app, Audience::Staff, true)
            .await
            .map(Self)
    }
}

async fn authenticate(
    parts: &mut Parts,
    app: &App,
    audience: Audience,
    reset_allowed: bool,
) -> Result<Actor, ApiError> {
    let Anonymous(anonymous) = Anonymous::of(parts);
    let Some(token) = bearer(parts) else {
        return Err(ApiError::new(Error::Unauthenticated, &anonymous));
    };
    let actor = sessions::authenticate(app, &anonymous, audience, token, reset_allowed)
        .await
        .or_error(&anonymous)?;
    parts.extensions.insert(KnownSender);
    Ok(actor)
}

/// The token of `Authorization: Bearer <token>` (RFC 6750). Two such headers are none.
fn bearer(parts: &Parts) -> Option<&str> {
    let mut values = parts.headers.get_all(AUTHORIZATION).iter();
    let (value, None) = (values.next()?.to_str().ok()?, values.next()) else {
        return None;
    };
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}
