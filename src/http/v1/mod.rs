//! The API for new clients: plural nouns, snake_case, RFC 3339 in UTC, pages with an opaque cursor.
//!
//! Every error is `application/problem+json` with one text, mistakes in the request included. A route must never
//! decide by itself who may do what: it says which kind of account it is for, the service decides the rest.

pub mod conflicts;
mod extract;
mod readings;

use std::sync::Arc;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::error::ApiError;
use crate::domain::actor::Actor;
use crate::service::{App, Error};

/// A service error as an answer of this API: one text, and 409 for what the state does not allow.
fn answer(error: Error, actor: &Actor) -> ApiError {
    let full = matches!(
        error,
        Error::QueueFull | Error::PlacesElsewhere(_) | Error::PlacesStranded
    );
    let answer = ApiError::new(error, actor).into_problem();
    if full {
        answer.with_status(StatusCode::CONFLICT)
    } else {
        answer
    }
}

/// For values that are missing although their reading noted no issue: a mistake of ours.
fn unread() -> Response {
    tracing::error!("a field was neither read nor refused");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}

/// What staff use. Served beside the back office, under `/v1`.
pub(super) fn backoffice() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(conflicts::list))
        .routes(routes!(conflicts::get))
        .routes(routes!(conflicts::settle))
        .routes(routes!(readings::correct))
}
