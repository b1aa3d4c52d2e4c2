//! The queue and the appointments of a patient.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::super::auth::Patient;
use super::super::dto::{AppointmentDto, MotiveDto, ResolutionDto};
use crate::domain::appointment::{Form, MOTIVES};
use crate::http::error::{ApiResult, OrApiError, Problem};
use crate::http::fields::{Fields, HttpValidationError, JsonBody, PathId};
use crate::limits;
use crate::service::{App, appointments, queue};

/// The position of those who do not wait.
const NOT_WAITING: i64 = -1;

/// The clinical form.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct FormBody {
    /// mg/dL.
    glucose_objective: f64,
    insulin_type: String,
    /// Units of insulin.
    dose: f64,
    fast_insulin: String,
    fixed_dose: f64,
    /// Grams of carbohydrate per unit.
    ratio: f64,
    /// mg/dL per unit.
    sensitivity: f64,
    pump_type: String,
    /// Link to control data; may be empty.
    control_data: Option<String>,
    motive: Vec<MotiveDto>,
    another_treatment: Option<String>,
    other_motive: Option<String>,
}

/// Where the patient stands: `NONE`, `PENDING`, `ACCEPTED`, `DENIED` or `CREATED`.
#[utoipa::path(
    get, path = "/appointments/state", tag = "appointments", security(("bearer" = [])),
    responses(
        (status = 200, description = "A bare string", body = String, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn state(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<&'static str>> {
    let state = queue::state(&app, &actor).await.or_error(&actor)?;
    Ok(Json(state.map_or("NONE", |state| state.as_str())))
}

/// Ask for a place. Answers the placement; asking again gives the same one.
#[utoipa::path(
    post, path = "/appointments/submit", tag = "appointments", security(("bearer" = [])),
    responses(
        (status = 201, description = "The new placement", body = i64, content_type = "application/json"),
        (status = 200, description = "The placement that the patient has already", body = i64, content_type = "application/json"),
        (status = 400, description = "The queue is closed or full", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<(StatusCode, Json<i64>)> {
    let submitted = queue::submit(&app, &actor).await.or_error(&actor)?;
    let status = if submitted.new {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    Ok((status, Json(submitted.placement)))
}

/// Give up the place. Nothing happens when there is none.
#[utoipa::path(
    post, path = "/appointments/cancel", tag = "appointments", security(("bearer" = [])),
    responses(
        (status = 200, description = "The state: always `NONE`", body = String, content_type = "application/json"),
        (status = 400, description = "The place was turned down or used already", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn cancel(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<&'static str>> {
    queue::cancel(&app, &actor).await.or_error(&actor)?;
    Ok(Json("NONE"))
}

/// How many go first, or -1 for those who do not wait.
#[utoipa::path(
    get, path = "/appointments/placement", tag = "appointments", security(("bearer" = [])),
    responses(
        (status = 200, description = "A bare integer", body = i64, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn placement(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<i64>> {
    Ok(Json(
        queue::position(&app, &actor)
            .await
            .or_error(&actor)?
            .unwrap_or(NOT_WAITING),
    ))
}

/// Whether patients may submit.
#[utoipa::path(
    get, path = "/appointments/queue/open", tag = "appointments", security(("bearer" = [])),
    responses(
        (status = 200, description = "A bare boolean", body = bool, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn open(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<bool>> {
    Ok(Json(queue::day(&app, &actor).await.or_error(&actor)?.open))
}

/// Send the clinical form of an accepted place.
#[utoipa::path(
    post, path = "/appointments/create", tag = "appointments", security(("bearer" = [])),
    request_body = FormBody,
    responses(
        (status = 201, description = "The appointment", body = AppointmentDto),
        (status = 400, description = "There is no accepted place", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or cannot be taken", body = HttpValidationError)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    JsonBody(mut body): JsonBody,
) -> Response {
    let form = form(&mut body);
    if let Err(refusal) = body.finish() {
        return refusal.into_response();
    }
    let Some(form) = form else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let created = appointments::create(&app, &actor, form)
        .await
        .or_error(&actor);
    created
        .map(|found| (StatusCode::CREATED, Json(AppointmentDto::from(found))))
        .into_response()
}

/// Reads the form; `None` leaves issues behind.
fn form(body: &mut Fields) -> Option<Form> {
    let glucose_objective = body.number("glucose_objective");
    let insulin_type = body.paragraph("insulin_type");
    let dose = body.number("dose");
    let fast_insulin = body.paragraph("fast_insulin");
    let fixed_dose = body.number("fixed_dose");
    let ratio = body.number("ratio");
    let sensitivity = body.number("sensitivity");
    let pump_type = body.paragraph("pump_type");
    let control_data = body.optional_paragraph("control_data").unwrap_or_default();
    let motives = body.list_of("motive", &MOTIVES, limits::MOTIVES_MAX);
    let another_treatment = body.optional_paragraph("another_treatment");
    let other_motive = body.optional_paragraph("other_motive");
    Some(Form {
        glucose_objective: glucose_objective?,
        insulin_type: insulin_type?,
        dose: dose?,
        fast_insulin: fast_insulin?,
        fixed_dose: fixed_dose?,
        ratio: ratio?,
        sensitivity: sensitivity?,
        pump_type: pump_type?,
        control_data,
        motives: motives?,
        another_treatment,
        other_motive,
    })
}

/// All appointments, oldest first.
#[utoipa::path(
    get, path = "/appointments/mine", tag = "appointments", security(("bearer" = [])),
    responses(
        (status = 200, description = "The appointments", body = Vec<AppointmentDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<Vec<AppointmentDto>>> {
    let found = appointments::mine(&app, &actor).await.or_error(&actor)?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// What the doctor decided.
#[utoipa::path(
    get, path = "/appointments/{id}/resolution", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Appointment id")),
    responses(
        (status = 200, description = "The resolution", body = ResolutionDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such appointment of this patient, or no resolution yet", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn resolution(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    PathId(id): PathId,
) -> ApiResult<Json<ResolutionDto>> {
    Ok(Json(
        appointments::resolution(&app, &actor, id)
            .await
            .or_error(&actor)?
            .into(),
    ))
}
