//! `POST /token` and `POST /token/revoke`, on both ports: OAuth 2.0's password and refresh grants
//! (RFC 6749, sections 4.3 and 6) without client credentials, as the app speaks them.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use utoipa::ToSchema;

use super::dto::{MessageDto, TokenDto};
use crate::auth::Secret;
use crate::auth::token::Audience;
use crate::domain::actor::Actor;
use crate::http::context::Anonymous;
use crate::http::error::{ApiError, Problem};
use crate::http::fields::{FormBody, HttpValidationError};
use crate::service::{App, Error, sessions};

/// The form of `/token`.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; fields are read one by one")]
pub(super) struct TokenForm {
    /// `password` (also when absent) or `refresh_token`.
    #[schema(example = "password")]
    grant_type: Option<String>,
    /// DNI or e-mail address of a patient; user name or address of staff.
    username: Option<String>,
    #[schema(format = "password")]
    password: Option<String>,
    /// For the grant `refresh_token`.
    refresh_token: Option<String>,
}

/// The form of `/token/revoke` (RFC 7009 calls the field `token`; both are understood). An access token ends its
/// session too.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the form; fields are read one by one")]
pub(super) struct RevokeForm {
    refresh_token: String,
}

/// Log in, or renew a session.
#[utoipa::path(
    post, path = "/token", tag = "session",
    request_body(content = TokenForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "Tokens", body = TokenDto),
        (status = 400, description = "No refresh token was sent", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Wrong name or password, blocked, or a refresh token that is no longer valid", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A field is missing", body = HttpValidationError),
        (status = 429, description = "Too many failed attempts; see Retry-After", body = Problem, content_type = "application/problem+json"),
        (status = 503, description = "Too much to do; see Retry-After", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn token(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    Anonymous(actor): Anonymous,
    FormBody(mut form): FormBody,
) -> Response {
    let arrived = app.clock.now();
    let grant = form
        .raw("grant_type")
        .and_then(|grant| grant.as_str())
        .unwrap_or("password")
        .to_owned();
    let tokens = match grant.as_str() {
        "refresh_token" => {
            let Some(token) = form.secret("refresh_token") else {
                return bad_request(&actor, "refresh_token is required");
            };
            sessions::refresh(&app, &actor, audience, &token, arrived).await
        }
        "" | "password" => {
            let (name, password) = (form.line("username"), form.secret("password"));
            if let Err(refusal) = form.finish() {
                return refusal.into_response();
            }
            let (name, password) = (name.unwrap_or_default(), password.unwrap_or_default());
            sessions::log_in(&app, &actor, audience, &name, Secret::new(password)).await
        }
        _ => return bad_request(&actor, "grant_type must be password or refresh_token"),
    };
    match tokens {
        Ok(tokens) => Json(TokenDto::from(tokens)).into_response(),
        // Nobody is logged in yet, so this is no 403, which tells the app to wipe its data.
        Err(error @ Error::PasswordResetRequired) => ApiError::new(error, &actor)
            .with_status(StatusCode::UNAUTHORIZED)
            .into_response(),
        Err(error) => ApiError::new(error, &actor).into_response(),
    }
}

/// End a session. Repeating it, or sending a token that is not known, is no error.
#[utoipa::path(
    post, path = "/token/revoke", tag = "session",
    request_body(content = RevokeForm, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 200, description = "The session is over", body = MessageDto),
        (status = 422, description = "A field is missing", body = HttpValidationError)))]
pub(super) async fn revoke(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    Anonymous(actor): Anonymous,
    FormBody(mut form): FormBody,
) -> Response {
    let name = if form.has("token") {
        "token"
    } else {
        "refresh_token"
    };
    let token = form.secret(name);
    if let Err(refusal) = form.finish() {
        return refusal.into_response();
    }
    match sessions::revoke(&app, &actor, audience, &token.unwrap_or_default()).await {
        Ok(()) => Json(MessageDto {
            status: "ok",
            message: "Token revoked",
        })
        .into_response(),
        Err(error) => ApiError::new(error, &actor).into_response(),
    }
}

fn bad_request(actor: &Actor, detail: &str) -> Response {
    let (status, code) = (StatusCode::BAD_REQUEST.as_u16(), "invalid_grant".to_owned());
    let request_id = actor.request_id.as_deref().map(str::to_owned);
    Problem {
        status,
        detail: detail.to_owned(),
        code,
        request_id,
    }
    .into_response()
}
