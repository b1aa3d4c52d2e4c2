//! A forgotten password.

use std::sync::Arc;

use axum::extract::{FromRequest, Request, State};
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use utoipa::ToSchema;

use super::super::dto::MessageDto;
use crate::auth::Secret;
use crate::auth::token::Audience;
use crate::domain::account::Email;
use crate::http::context::Anonymous;
use crate::http::error::{ApiError, OrApiError, Problem};
use crate::http::fields::{FormBody, HttpValidationError, JsonBody};
use crate::http::reset::{self, Clinic};
use crate::service::{App, Error, recovery};

/// The answer to every request for a recovery mail.
pub(in crate::http::legacy) const MAIL_ANSWER: &str = "Mail should be received anytime";

/// Whose password was forgotten.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct ForgotBody {
    #[schema(format = "email")]
    email: String,
}

/// The new password, with the token of the mail or the code of the desk.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct ResetBody {
    token: String,
    #[schema(format = "password", min_length = 6, max_length = 128)]
    new_password: String,
}

/// Ask for a recovery mail. The answer is the same whether or not the address is known.
#[utoipa::path(
    post, path = "/forgot-password", tag = "session",
    request_body = ForgotBody,
    responses(
        (status = 200, description = "A bare string", body = String, content_type = "application/json"),
        (status = 422, description = "Not an address", body = HttpValidationError)))]
pub(super) async fn forgot_password(
    State(app): State<Arc<App>>,
    Anonymous(actor): Anonymous,
    JsonBody(mut body): JsonBody,
) -> Response {
    let email = body.parse("email", Email::parse);
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let Some(email) = email else {
        return Json(MAIL_ANSWER).into_response();
    };
    match recovery::request_mail(&app, &actor, Audience::Patient, email.as_str()).await {
        // Whoever asks too often gets no mail, and does not learn more than others.
        Ok(()) | Err(Error::Throttled(_)) => Json(MAIL_ANSWER).into_response(),
        Err(error) => ApiError::new(error, &actor).into_response(),
    }
}

/// Choose a new password. The token or code works once; all sessions of the account end.
#[utoipa::path(
    post, path = "/reset-password", tag = "session",
    request_body = ResetBody,
    responses(
        (status = 200, description = "The password was changed", body = MessageDto),
        (status = 400, description = "The token is invalid or has expired", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or the password is too weak", body = HttpValidationError),
        (status = 429, description = "Too many wrong codes; see Retry-After", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn reset_password(
    State(app): State<Arc<App>>,
    Anonymous(actor): Anonymous,
    Extension(clinic): Extension<Clinic>,
    request: Request,
) -> Response {
    let kind = request
        .headers()
        .get(CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok());
    if kind.is_some_and(|kind| kind.starts_with("application/x-www-form-urlencoded")) {
        return match FormBody::from_request(request, &()).await {
            Ok(FormBody(form)) => reset::submit(&app, &actor, &clinic, form).await,
            Err(refusal) => refusal,
        };
    }
    let mut body = match JsonBody::from_request(request, &()).await {
        Ok(JsonBody(body)) => body,
        Err(refusal) => return refusal,
    };
    let (token, password) = (body.secret("token"), body.secret("new_password"));
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let (token, password) = (
        token.unwrap_or_default(),
        Secret::new(password.unwrap_or_default()),
    );
    let reset = recovery::reset(&app, &actor, &token, password)
        .await
        .or_error(&actor);
    let message = MessageDto {
        status: "ok",
        message: "La contraseña fue cambiada",
    };
    reset.map(|()| Json(message)).into_response()
}
