//! What a handler answers instead of what was asked for.

use std::collections::BTreeMap;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::openapi::{ContentBuilder, Ref, RefOr, ResponseBuilder, response};
use utoipa::{IntoResponses, ToSchema};

use crate::domain::actor::Actor;
use crate::http::error::{ApiError, Problem};
use crate::service::Error;

/// An answer that is a problem. Boxed: it is the rare case.
#[derive(Debug)]
pub(super) struct Refusal(Box<Response>);

/// The result of a handler.
pub(super) type Done<T = Response> = Result<T, Refusal>;

impl From<Box<Response>> for Refusal {
    fn from(response: Box<Response>) -> Self {
        Self(response)
    }
}

impl From<ApiError> for Refusal {
    fn from(error: ApiError) -> Self {
        Self(Box::new(error.into_response()))
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        *self.0
    }
}

/// A service error as an answer of this API: one text, 409 for what the state does not allow.
pub(super) fn answer(error: Error, actor: &Actor) -> ApiError {
    let status = match &error {
        Error::Taken(_)
        | Error::QueueClosed
        | Error::QueueFull
        | Error::PlacesElsewhere(_)
        | Error::PlacesStranded
        | Error::NotInQueue
        | Error::NotAccepted(_)
        | Error::WrongState(_)
        | Error::LastAdmin => Some(StatusCode::CONFLICT),
        Error::WrongPassword => Some(StatusCode::UNPROCESSABLE_ENTITY),
        _ => None,
    };
    let answer = ApiError::new(error, actor).into_problem();
    match status {
        Some(status) => answer.with_status(status),
        None => answer,
    }
}

/// Turns what a service says into what a handler answers.
pub(super) trait OrRefusal<T> {
    /// The value, or the problem as an answer to this actor.
    fn or_refusal(self, actor: &Actor) -> Done<T>;
}

impl<T> OrRefusal<T> for Result<T, Error> {
    fn or_refusal(self, actor: &Actor) -> Done<T> {
        self.map_err(|error| answer(error, actor).into())
    }
}

/// A value whose reading noted no issue. When it is missing all the same, that is a mistake of ours.
pub(super) fn read<T>(value: Option<T>) -> Done<T> {
    value.ok_or_else(|| {
        tracing::error!("a field was neither read nor refused");
        Refusal(Box::new(StatusCode::INTERNAL_SERVER_ERROR.into_response()))
    })
}

/// The id in a path. What is no number names nothing.
pub(super) fn id(name: &str, nothing: &'static str, actor: &Actor) -> Done<i64> {
    let id = name.parse().map_err(|_| Error::NotFound(nothing));
    id.or_refusal(actor)
}

/// What any route may answer, for the description: the request, the account or the node is not good for it.
pub(super) struct Refused;

/// What a route about one thing may answer too: there is none, or its state does not allow it.
pub(super) struct Unfit;

fn problems(texts: &[(u16, &str)]) -> BTreeMap<String, RefOr<response::Response>> {
    let one = |(status, text): &(u16, &str)| {
        let schema = Ref::from_schema_name(Problem::name());
        let content = ContentBuilder::new().schema(Some(schema)).build();
        let response = ResponseBuilder::new()
            .description(*text)
            .content("application/problem+json", content)
            .build();
        (status.to_string(), RefOr::T(response))
    };
    texts.iter().map(one).collect()
}

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problems(&[
            (400, "The body could not be read"),
            (401, "Not authenticated"),
            (403, "Not for this account"),
            (413, "More than the node reads"),
            (422, "A value is missing or cannot be taken"),
            (503, "Too much to do; see Retry-After"),
        ])
    }
}

impl IntoResponses for Unfit {
    fn responses() -> BTreeMap<String, RefOr<response::Response>> {
        problems(&[
            (404, "No such thing, or none that this account may know of"),
            (409, "The state does not allow it; `code` says why"),
            (412, "It has changed since: `changed`"),
        ])
    }
}
