//! The patient's profile.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::super::auth::Patient;
use super::super::dto::{MessageDto, ProfileDto};
use crate::auth::Secret;
use crate::domain::account::Email;
use crate::domain::patient::PatientPatch;
use crate::http::error::{ApiResult, OrApiError, Problem};
use crate::http::fields::{HttpValidationError, JsonBody, OptionalJsonBody};
use crate::service::{App, patients};

/// What a patient may edit; what is absent stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct ProfilePatch {
    name: Option<String>,
    surname: Option<String>,
    email: Option<String>,
}

/// A change of password by its owner.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct PasswordChange {
    #[schema(format = "password")]
    current_password: String,
    #[schema(format = "password", min_length = 6, max_length = 128)]
    new_password: String,
}

/// The profile of whoever asks.
#[utoipa::path(
    get, path = "/users/me", tag = "profile", security(("bearer" = [])),
    responses(
        (status = 200, description = "The profile", body = ProfileDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn me(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<ProfileDto>> {
    Ok(Json(
        patients::me(&app, &actor).await.or_error(&actor)?.into(),
    ))
}

/// Edit name, surname or e-mail address.
#[utoipa::path(
    patch, path = "/users/me", tag = "profile", security(("bearer" = [])),
    request_body = Option<ProfilePatch>,
    responses(
        (status = 200, description = "The profile with its new values", body = ProfileDto),
        (status = 400, description = "The address is in use", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be taken", body = HttpValidationError)))]
pub(super) async fn edit_me(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    OptionalJsonBody(mut body): OptionalJsonBody,
) -> Response {
    let patch = PatientPatch {
        name: body.optional_parse("name", crate::domain::text::line),
        surname: body.optional_parse("surname", crate::domain::text::line),
        email: body.optional_parse("email", Email::parse),
        ..PatientPatch::default()
    };
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let edited = patients::edit_me(&app, &actor, patch, None)
        .await
        .or_error(&actor);
    edited
        .map(|patient| Json(ProfileDto::from(patient)))
        .into_response()
}

/// Choose another password. Every other session of the patient ends.
#[utoipa::path(
    put, path = "/users/me/password", tag = "profile", security(("bearer" = [])),
    request_body = PasswordChange,
    responses(
        (status = 200, description = "The password was changed", body = MessageDto),
        (status = 400, description = "The current password is wrong", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be taken", body = HttpValidationError),
        (status = 429, description = "Too many failed attempts; see Retry-After", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    JsonBody(mut body): JsonBody,
) -> Response {
    let (current, new) = (body.secret("current_password"), body.secret("new_password"));
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let (current, new) = (current.unwrap_or_default(), new.unwrap_or_default());
    let (current, new) = (Secret::new(current), Secret::new(new));
    let changed = patients::change_password(&app, &actor, current, new).await;
    let message = MessageDto {
        status: "ok",
        message: "La contraseña fue cambiada",
    };
    changed
        .or_error(&actor)
        .map(|()| Json(message))
        .into_response()
}
