//! Patients, as staff see and edit them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::auth::Staff;
use super::super::dto::{ProfileDto, UserDto};
use super::super::patient::Repeatable;
use super::unread;
use crate::domain::account::Email;
use crate::domain::patient::{Dni, NewPatient, PatientPatch};
use crate::domain::text::{self, Invalid};
use crate::http::error::{ApiError, ApiResult, OrApiError, Problem};
use crate::http::fields::{Fields, HttpValidationError, JsonBody, OptionalJsonBody, PathId};
use crate::service::{App, Error, patients, recovery};

/// A new patient.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewUser {
    #[schema(pattern = r"^[A-Za-z0-9.-]{1,50}$")]
    dni: String,
    name: String,
    surname: String,
    email: String,
    /// Number in the hospital's records; unique.
    hospital_account: String,
    #[schema(format = "password", min_length = 6, max_length = 128)]
    password: String,
    #[schema(default = false)]
    blocked: Option<bool>,
    tidepool: Option<String>,
    /// Counted by another system before.
    #[schema(minimum = 0)]
    times_measured: Option<i64>,
    /// At most `max_streak`, which it is when that is missing. The streak itself begins anew: nothing tells
    /// which day was its last.
    #[schema(minimum = 0)]
    streak: Option<i64>,
    #[schema(minimum = 0)]
    max_streak: Option<i64>,
}

/// New values; what is absent stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct UserPatch {
    name: Option<String>,
    surname: Option<String>,
    email: Option<String>,
    tidepool: Option<String>,
    hospital_account: Option<String>,
    blocked: Option<bool>,
}

/// A code to be read out at the desk.
#[derive(Serialize, ToSchema)]
pub(super) struct DeskCodeDto {
    #[schema(example = "7KQ-M2RT-9XA")]
    code: String,
    /// Seconds.
    expires_in: u64,
}

/// All patients.
#[utoipa::path(
    get, path = "/users", tag = "users", security(("bearer" = [])),
    responses(
        (status = 200, description = "The patients", body = Vec<UserDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn list(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> ApiResult<Json<Vec<UserDto>>> {
    let found = patients::list(&app, &actor).await.or_error(&actor)?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// One patient.
#[utoipa::path(
    get, path = "/users/user/{id}", tag = "users", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    responses(
        (status = 200, description = "The patient", body = ProfileDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<ProfileDto>> {
    Ok(Json(
        patients::get(&app, &actor, id)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// Register a patient.
#[utoipa::path(
    post, path = "/users", tag = "users", security(("bearer" = [])),
    request_body = NewUser,
    responses(
        (status = 200, description = "The patient", body = UserDto),
        (status = 400, description = "The address or hospital account is in use", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 403, description = "The DNI has an account already", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or cannot be taken", body = HttpValidationError)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    repeatable: Repeatable,
    JsonBody(mut body): JsonBody,
) -> Response {
    let new = new_patient(&mut body);
    let names = ["dni", "email", "name", "surname"].map(|name| body.text(name));
    let password = body.new_password("password", |password| {
        patients::check_password(password, &names.each_ref().map(String::as_str))
    });
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let (Some(new), Some(password)) = (new, password) else {
        return unread();
    };
    let key = repeatable.key(&actor, &new);
    match patients::register(&app, &actor, new, password, key).await {
        Ok(patient) => Json(UserDto::from(patient)).into_response(),
        Err(error @ Error::Taken("dni")) => ApiError::new(error, &actor)
            .with_status(StatusCode::FORBIDDEN)
            .with_detail("User already has an account")
            .into_response(),
        Err(error) => ApiError::new(error, &actor).into_response(),
    }
}

fn new_patient(body: &mut Fields) -> Option<NewPatient> {
    let dni = body.parse("dni", Dni::parse);
    let (name, surname) = (body.line("name"), body.line("surname"));
    let email = body.parse("email", Email::parse);
    let hospital_account = body.line("hospital_account");
    let blocked = body.optional_boolean("blocked").unwrap_or_default();
    let tidepool = body.optional_parse("tidepool", text::line);
    let former_times_measured = count(body, "times_measured").unwrap_or_default();
    let streak = count(body, "streak").unwrap_or_default();
    let former_max_streak = count(body, "max_streak").unwrap_or(streak);
    if streak > former_max_streak {
        let reason = Invalid::new(
            "must be at most max_streak",
            "no puede ser mayor que max_streak",
        );
        body.invalid("streak", &reason);
    }
    Some(NewPatient {
        dni: dni?,
        name: name?,
        surname: surname?,
        email: email?,
        tidepool,
        hospital_account: hospital_account?,
        blocked,
        former_times_measured,
        former_max_streak,
    })
}

fn count(body: &mut Fields, name: &str) -> Option<i64> {
    let count = body.optional_integer(name)?;
    if !(0..=i64::from(u32::MAX)).contains(&count) {
        body.invalid(
            name,
            &Invalid::new(
                "must be a count from 0 to 4294967295",
                "debe ser un número de 0 a 4294967295",
            ),
        );
    }
    Some(count)
}

/// Edit a patient.
#[utoipa::path(
    patch, path = "/users/user/{id}", tag = "users", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    request_body = UserPatch,
    responses(
        (status = 200, description = "The patient with its new values", body = UserDto),
        (status = 400, description = "The address or hospital account is in use", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value cannot be taken", body = HttpValidationError)))]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
    OptionalJsonBody(mut body): OptionalJsonBody,
) -> Response {
    // Ignoring it would leave staff in the belief that the old one no longer works.
    let elsewhere = Invalid::sentence(
        "La contraseña no se cambia aquí: haga un código con POST /users/desk-code/{id} y el paciente elige otra",
    );
    body.refuse_secret("password", &elsewhere);
    let tidepool = body.optional_parse("tidepool", text::line);
    let patch = PatientPatch {
        name: body.optional_parse("name", text::line),
        surname: body.optional_parse("surname", text::line),
        email: body.optional_parse("email", Email::parse),
        // Null takes the account away; absent leaves it.
        tidepool: body.mentions("tidepool").then_some(tidepool),
        hospital_account: body.optional_parse("hospital_account", text::line),
        blocked: body.optional_boolean("blocked"),
    };
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let edited = patients::edit(&app, &actor, id, patch, None)
        .await
        .or_error(&actor);
    edited
        .map(|patient| Json(UserDto::from(patient)))
        .into_response()
}

/// Block a patient, or let a blocked one in again. A repeated request id changes nothing.
#[utoipa::path(
    post, path = "/users/block/{id}", tag = "users", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    responses(
        (status = 200, description = "The patient", body = UserDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn toggle_blocked(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    repeatable: Repeatable,
    PathId(id): PathId,
) -> ApiResult<Json<UserDto>> {
    let key = repeatable.key(&actor, &id);
    Ok(Json(
        patients::toggle_blocked(&app, &actor, id, key)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// Make a one-time code with which the patient chooses a new password at `/reset-password`.
#[utoipa::path(
    post, path = "/users/desk-code/{id}", tag = "users", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    responses(
        (status = 200, description = "The code; earlier ones stop working", body = DeskCodeDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn desk_code(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<DeskCodeDto>> {
    let code = recovery::desk_code(&app, &actor, id)
        .await
        .or_error(&actor)?;
    let expires_in = app.lifetimes.desk_code.as_secs();
    Ok(Json(DeskCodeDto {
        code: code.grouped().expose().to_owned(),
        expires_in,
    }))
}
