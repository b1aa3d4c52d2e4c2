//! The accounts of staff.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequest, Request, State};
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::super::auth::{Staff, StaffChoosingPassword};
use super::super::dto::{AdminDto, MessageDto, NewAdminDto};
use super::super::patient::{MAIL_ANSWER, Repeatable};
use crate::auth::Secret;
use crate::auth::token::Audience;
use crate::domain::account::{Email, Username};
use crate::domain::actor::Role;
use crate::http::context::Anonymous;
use crate::http::error::{ApiError, ApiResult, OrApiError, Problem};
use crate::http::fields::{HttpValidationError, JsonBody, OptionalJsonBody, QueryFields};
use crate::service::{App, Error, recovery, staff};

/// Whose password was forgotten.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct RecoverBody {
    email: Option<String>,
}

/// A new password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewPassword {
    #[schema(format = "password", min_length = 12, max_length = 128)]
    new_password: Option<String>,
}

/// A new staff account. It gets the role of an administrator, as in the system before.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewAdmin {
    #[schema(pattern = r"^[A-Za-z0-9._-]{3,50}$")]
    username: String,
    email: String,
    #[schema(format = "password", min_length = 12, max_length = 128)]
    password: String,
}

/// Ask for a recovery mail, by user name or address. The answer is the same for everybody.
#[utoipa::path(
    post, path = "/recover", tag = "session",
    params(
        ("username" = Option<String>, Query, description = "User name"),
        ("email" = Option<String>, Query, description = "Address")),
    request_body(content = Option<RecoverBody>, description = "The address, when it is not in the query"),
    responses(
        (status = 200, description = "A bare string", body = String, content_type = "application/json"),
        (status = 422, description = "Neither was given", body = HttpValidationError)))]
pub(super) async fn recover(
    State(app): State<Arc<App>>,
    Anonymous(actor): Anonymous,
    QueryFields(mut query): QueryFields,
    OptionalJsonBody(mut body): OptionalJsonBody,
) -> Response {
    let name = if query.has("username") {
        query.line("username")
    } else if query.has("email") {
        query.line("email")
    } else {
        body.line("email")
    };
    if let Err(refusal) = query.finish().and_then(|()| body.finish()) {
        return refusal.into_response();
    }
    match recovery::request_mail(&app, &actor, Audience::Staff, &name.unwrap_or_default()).await {
        Ok(()) | Err(Error::Throttled(_)) => Json(MAIL_ANSWER).into_response(),
        Err(error) => ApiError::new(error, &actor).into_response(),
    }
}

/// The account of whoever asks.
#[utoipa::path(
    get, path = "/admin/me", tag = "admin", security(("bearer" = [])),
    responses(
        (status = 200, description = "The account", body = AdminDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn me(
    State(app): State<Arc<App>>,
    StaffChoosingPassword(actor): StaffChoosingPassword,
) -> ApiResult<Json<AdminDto>> {
    Ok(Json(staff::me(&app, &actor).await.or_error(&actor)?.into()))
}

/// Choose another address.
#[utoipa::path(
    put, path = "/admin/mail/change", tag = "admin", security(("bearer" = [])),
    params(("new_mail" = String, Query, description = "Address")),
    responses(
        (status = 200, description = "The account", body = AdminDto),
        (status = 400, description = "The address is in use", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Another password must be chosen first", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an address", body = HttpValidationError)))]
pub(super) async fn change_mail(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    QueryFields(mut query): QueryFields,
) -> Response {
    let email = query.parse("new_mail", Email::parse);
    if let Err(refusal) = query.finish() {
        return refusal.into_response();
    }
    let Some(email) = email else {
        return super::unread();
    };
    let changed = staff::change_email(&app, &actor, email)
        .await
        .or_error(&actor);
    changed
        .map(|staff| Json(AdminDto::from(staff)))
        .into_response()
}

/// Choose another password. Every other session of the account ends.
#[utoipa::path(
    put, path = "/admin/password", tag = "admin", security(("bearer" = [])),
    params(("new_password" = Option<String>, Query, deprecated, description = "Old clients send it here, where it can end up in logs; send it in the body")),
    request_body(content = Option<NewPassword>),
    responses(
        (status = 200, description = "The password was changed", body = MessageDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "It is missing or too weak", body = HttpValidationError)))]
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    StaffChoosingPassword(actor): StaffChoosingPassword,
    QueryFields(mut query): QueryFields,
    OptionalJsonBody(mut body): OptionalJsonBody,
) -> Response {
    // The body wins: a password that is checked must be the one that is stored.
    let in_query = query.has("new_password") && !body.mentions("new_password");
    let source = if in_query { &mut query } else { &mut body };
    let password = source.secret("new_password");
    if let Err(refusal) = query.finish().and_then(|()| body.finish()) {
        return refusal.into_response();
    }
    let password = Secret::new(password.unwrap_or_default());
    let changed = staff::change_password(&app, &actor, password)
        .await
        .or_error(&actor)
        .map_err(|error| if in_query { error.in_query() } else { error });
    let message = MessageDto {
        status: "ok",
        message: "La contraseña fue cambiada",
    };
    changed.map(|()| Json(message)).into_response()
}

/// Register an administrator.
#[utoipa::path(
    post, path = "/admin", tag = "admin", security(("bearer" = [])),
    request_body = NewAdmin,
    responses(
        (status = 200, description = "The account", body = NewAdminDto),
        (status = 400, description = "The user name or address is in use", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "Only administrators may", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or cannot be taken", body = HttpValidationError)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    repeatable: Repeatable,
    request: Request,
) -> Response {
    // Who may not do this hears so, and leaves a trace, whatever the body is.
    if let Err(refusal) = staff::may_register(&app, &actor).or_error(&actor) {
        return refusal.into_response();
    }
    let mut body = match JsonBody::from_request(request, &()).await {
        Ok(JsonBody(body)) => body,
        Err(refusal) => return refusal,
    };
    let username = body.parse("username", Username::parse);
    let email = body.parse("email", Email::parse);
    let names = ["username", "email"].map(|name| body.text(name));
    let password = body.new_password("password", |password| {
        staff::check_password(password, &names.each_ref().map(String::as_str))
    });
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let (Some(username), Some(email), Some(password)) = (username, email, password) else {
        return super::unread();
    };
    let key = repeatable.key(&actor, &(&username, &email));
    let created = staff::register(&app, &actor, username, email, password, Role::Admin, key).await;
    created
        .or_error(&actor)
        .map(|staff| Json(NewAdminDto::from(staff)))
        .into_response()
}
