//! `/v1/sessions`: log in, go on, log out. On both ports, each for its accounts.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::Body;
use super::refusal::{Done, OrRefusal, Refused};
use crate::auth::Secret;
use crate::auth::token::Audience;
use crate::http::context::Anonymous;
use crate::http::error::Problem;
use crate::service::sessions::{self, Tokens};
use crate::service::{App, Error};

/// Who logs in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct LogInBody {
    /// DNI or e-mail address; staff use a user name or an address.
    username: String,
    #[schema(format = "password")]
    password: String,
}

/// A refresh token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct RefreshBody {
    refresh_token: String,
}

/// What a session goes on with.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionDto {
    /// A JWT: send it as `Authorization: Bearer`.
    access_token: String,
    /// Seconds until the access token is too old.
    expires_in_s: i64,
    /// Replaced at each use.
    refresh_token: String,
}

fn shown(tokens: &Tokens, status: StatusCode) -> Response {
    let session = SessionDto {
        access_token: tokens.access.expose().to_owned(),
        expires_in_s: tokens.expires_in_s,
        refresh_token: tokens.refresh.expose().to_owned(),
    };
    (status, Json(session)).into_response()
}

/// Log in.
#[utoipa::path(
    post, path = "/v1/sessions", tag = "sessions",
    request_body = LogInBody,
    responses(
        (status = 201, description = "A new session", body = SessionDto),
        (status = 429, description = "Too many failed attempts; see Retry-After", body = Problem, content_type = "application/problem+json"),
        Refused))]
pub(super) async fn begin(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    Anonymous(actor): Anonymous,
    Body(mut body): Body,
) -> Done {
    let (name, password) = (body.fields.line("username"), body.fields.secret("password"));
    body.finish()?;
    let (name, password) = (name.unwrap_or_default(), password.unwrap_or_default());
    let tokens = sessions::log_in(&app, &actor, audience, &name, Secret::new(password)).await;
    Ok(shown(&tokens.or_refusal(&actor)?, StatusCode::CREATED))
}

/// New tokens for a refresh token.
#[utoipa::path(
    post, path = "/v1/sessions/refresh", tag = "sessions",
    request_body = RefreshBody,
    responses((status = 200, description = "New tokens; the former ones end", body = SessionDto), Refused))]
pub(super) async fn refresh(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    Anonymous(actor): Anonymous,
    Body(mut body): Body,
) -> Done {
    let arrived = app.clock.now();
    let token = body.fields.secret("refresh_token");
    body.finish()?;
    let token = token.unwrap_or_default();
    let tokens = sessions::refresh(&app, &actor, audience, &token, arrived).await;
    Ok(shown(&tokens.or_refusal(&actor)?, StatusCode::OK))
}

/// Log out. A token that is unknown is no error: its session is over anyway.
#[utoipa::path(
    post, path = "/v1/sessions/end", tag = "sessions",
    request_body = RefreshBody,
    responses((status = 204, description = "The session is over"), Refused))]
pub(super) async fn end(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    Anonymous(actor): Anonymous,
    Body(mut body): Body,
) -> Done {
    let token = body.fields.secret("refresh_token");
    body.finish()?;
    let token = token.unwrap_or_default();
    let ended: Result<(), Error> = sessions::revoke(&app, &actor, audience, &token).await;
    ended.or_refusal(&actor)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
