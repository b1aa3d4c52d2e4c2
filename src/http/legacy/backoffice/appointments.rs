//! Appointments and resolutions, as doctors see and make them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::super::auth::Staff;
use super::super::dto::{AppointmentDto, ResolutionDto};
use super::unread;
use crate::domain::appointment::Resolution;
use crate::http::error::{ApiError, ApiResult, OrApiError, Problem};
use crate::http::fields::{Fields, HttpValidationError, JsonBody, PathId};
use crate::limits;
use crate::service::{App, Error, appointments};

/// What the doctor decided.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewResolution {
    appointment_id: i64,
    change_basal_type: Option<String>,
    change_basal_dose: Option<f64>,
    /// `HH:MM` in most cases.
    change_basal_time: Option<String>,
    change_fast_type: Option<String>,
    change_ratio: Option<f64>,
    change_sensitivity: Option<f64>,
    emergency_care: bool,
    needed_physical_appointment: bool,
    /// Any JSON; given back as it was sent.
    glucose_scale: Option<serde_json::Value>,
}

/// The appointments of a patient, oldest first.
#[utoipa::path(
    get, path = "/appointments/from_user/{id}", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    responses(
        (status = 200, description = "The appointments", body = Vec<AppointmentDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn of_user(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<Vec<AppointmentDto>>> {
    let found = appointments::of_patient(&app, &actor, id, limits::LEGACY_ROWS_MAX)
        .await
        .or_error(&actor)?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// The newest appointment of a patient.
#[utoipa::path(
    get, path = "/appointments/from_user/latest/{id}", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    responses(
        (status = 200, description = "The appointment", body = AppointmentDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient, or no appointment yet", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn latest_of_user(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<AppointmentDto>> {
    let found = appointments::of_patient(&app, &actor, id, 1)
        .await
        .or_error(&actor)?;
    let none = || ApiError::new(Error::NotFound("Appointment does not exist"), &actor);
    found
        .into_iter()
        .next()
        .map(|found| Json(found.into()))
        .ok_or_else(none)
}

/// What was decided.
#[utoipa::path(
    get, path = "/appointments/{id}/resolution", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Appointment id")),
    responses(
        (status = 200, description = "The resolution", body = ResolutionDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such appointment, or no resolution yet", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn resolution(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<ResolutionDto>> {
    Ok(Json(
        appointments::resolution(&app, &actor, id)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// Decide. A different resolution of the same appointment replaces the former one, which is kept.
#[utoipa::path(
    post, path = "/appointments/create_resolution", tag = "appointments", security(("bearer" = [])),
    request_body = NewResolution,
    responses(
        (status = 201, description = "The resolution", body = ResolutionDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such appointment", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or cannot be taken", body = HttpValidationError)))]
pub(super) async fn create_resolution(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    JsonBody(mut body): JsonBody,
) -> Response {
    let resolution = read(&mut body);
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let Some(resolution) = resolution else {
        return unread();
    };
    let stored = appointments::resolve(&app, &actor, resolution)
        .await
        .or_error(&actor);
    stored
        .map(|found| (StatusCode::CREATED, Json(ResolutionDto::from(found))))
        .into_response()
}

fn read(body: &mut Fields) -> Option<Resolution> {
    let appointment_id = body.integer("appointment_id");
    let change_basal_type = body.optional_paragraph("change_basal_type");
    let change_basal_dose = body.optional_number("change_basal_dose");
    let change_basal_time = body.optional_paragraph("change_basal_time");
    let change_fast_type = body.optional_paragraph("change_fast_type");
    let change_ratio = body.optional_number("change_ratio");
    let change_sensitivity = body.optional_number("change_sensitivity");
    let emergency_care = body.boolean("emergency_care");
    let needed_physical_appointment = body.boolean("needed_physical_appointment");
    let glucose_scale = body.raw("glucose_scale").map(ToString::to_string);
    Some(Resolution {
        appointment_id: appointment_id?,
        change_basal_type,
        change_basal_dose,
        change_basal_time,
        change_fast_type,
        change_ratio,
        change_sensitivity,
        emergency_care: emergency_care?,
        needed_physical_appointment: needed_physical_appointment?,
        glucose_scale,
    })
}
