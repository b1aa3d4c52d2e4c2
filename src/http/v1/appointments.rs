//! `/v1/appointments`: the clinical form of an accepted patient, and what the doctor decided.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::extract::{Body, Name, Query};
use super::page::{PageDto, Wanted};
use super::refusal::{Done, OrRefusal, Refused, Unfit, id, read};
use crate::domain::actor::Actor;
use crate::domain::appointment::{Appointment, Form, MOTIVES, Resolution};
use crate::http::fields::Fields;
use crate::http::legacy::auth::{Patient, Staff};
use crate::limits;
use crate::service::{App, appointments};

const NO_APPOINTMENT: &str = "Appointment does not exist";

/// A clinical form as it was sent.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = AppointmentV1)]
pub(super) struct AppointmentDto {
    id: i64,
    patient_id: i64,
    glucose_objective: f64,
    insulin_type: String,
    dose: f64,
    fast_insulin: String,
    fixed_dose: f64,
    ratio: f64,
    sensitivity: f64,
    pump_type: String,
    control_data: String,
    /// `AJUSTE`, `HIPOGLUCEMIA`, `HIPERGLUCEMIA`, `CETOSIS`, `DUDAS`, `OTRO`.
    motives: Vec<String>,
    another_treatment: Option<String>,
    other_motive: Option<String>,
}

/// The form.
#[derive(ToSchema)]
#[schema(as = FormBodyV1)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct FormBody {
    glucose_objective: f64,
    insulin_type: String,
    dose: f64,
    fast_insulin: String,
    fixed_dose: f64,
    ratio: f64,
    sensitivity: f64,
    pump_type: String,
    control_data: Option<String>,
    #[schema(max_items = 6)]
    motives: Vec<String>,
    another_treatment: Option<String>,
    other_motive: Option<String>,
}

/// What the doctor decided.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
#[schema(as = ResolutionV1)]
pub(super) struct ResolutionDto {
    appointment_id: i64,
    change_basal_type: Option<String>,
    change_basal_dose: Option<f64>,
    change_basal_time: Option<String>,
    change_fast_type: Option<String>,
    change_ratio: Option<f64>,
    change_sensitivity: Option<f64>,
    emergency_care: bool,
    needed_physical_appointment: bool,
    /// Given back as it was sent.
    #[schema(value_type = Option<Object>)]
    glucose_scale: Option<Value>,
}

/// A decision.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct ResolutionBody {
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
    glucose_scale: Option<Value>,
}

impl From<Appointment> for AppointmentDto {
    fn from(appointment: Appointment) -> Self {
        let form = appointment.form;
        Self {
            id: appointment.id,
            patient_id: appointment.patient_id,
            glucose_objective: form.glucose_objective,
            insulin_type: form.insulin_type,
            dose: form.dose,
            fast_insulin: form.fast_insulin,
            fixed_dose: form.fixed_dose,
            ratio: form.ratio,
            sensitivity: form.sensitivity,
            pump_type: form.pump_type,
            control_data: form.control_data,
            motives: form.motives,
            another_treatment: form.another_treatment,
            other_motive: form.other_motive,
        }
    }
}

impl From<Resolution> for ResolutionDto {
    fn from(resolution: Resolution) -> Self {
        let scale = resolution.glucose_scale.as_deref();
        Self {
            appointment_id: resolution.appointment_id,
            change_basal_type: resolution.change_basal_type,
            change_basal_dose: resolution.change_basal_dose,
            change_basal_time: resolution.change_basal_time,
            change_fast_type: resolution.change_fast_type,
            change_ratio: resolution.change_ratio,
            change_sensitivity: resolution.change_sensitivity,
            emergency_care: resolution.emergency_care,
            needed_physical_appointment: resolution.needed_physical_appointment,
            glucose_scale: scale.and_then(|scale| serde_json::from_str(scale).ok()),
        }
    }
}

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
    let motives = body.list_of("motives", &MOTIVES, limits::MOTIVES_MAX);
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

fn decision(body: &mut Fields) -> Option<Resolution> {
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
        appointment_id: 0,
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

async fn page(
    app: &App,
    actor: &Actor,
    patient_id: Option<i64>,
    mut query: Query,
) -> Done<Json<PageDto<AppointmentDto>>> {
    let wanted = Wanted::read(&mut query, limits::PAGE);
    query.0.finish()?;
    let before = wanted.after().map_or(i64::MAX, |(id, _)| id);
    let found = appointments::page(app, actor, patient_id, before, wanted.limit).await;
    let (items, next) = found.or_refusal(actor)?;
    let items = items.into_iter().map(Into::into).collect();
    Ok(Json(wanted.page(items, None, next.map(|id| (id, 0)))))
}

async fn one(app: &App, actor: &Actor, name: &str) -> Done<Json<AppointmentDto>> {
    let id = id(name, NO_APPOINTMENT, actor)?;
    let found = appointments::get(app, actor, id).await;
    Ok(Json(found.or_refusal(actor)?.into()))
}

async fn decided(app: &App, actor: &Actor, name: &str) -> Done<Json<ResolutionDto>> {
    let id = id(name, NO_APPOINTMENT, actor)?;
    let found = appointments::resolution(app, actor, id).await;
    Ok(Json(found.or_refusal(actor)?.into()))
}

/// The appointments of the acting patient, the newest first.
#[utoipa::path(
    get, path = "/v1/appointments", tag = "appointments", security(("bearer" = [])),
    params(
        ("limit" = Option<u32>, Query, description = "Most items", minimum = 1, maximum = 200),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, description = "The appointments", body = PageDto<AppointmentDto>), Refused))]
pub(super) async fn mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    query: Query,
) -> Done<Json<PageDto<AppointmentDto>>> {
    page(&app, &actor, None, query).await
}

/// Send the form, once the place was accepted. The same form again gives the same appointment.
#[utoipa::path(
    post, path = "/v1/appointments", tag = "appointments", security(("bearer" = [])),
    request_body = FormBody,
    responses((status = 201, description = "The appointment", body = AppointmentDto), Refused, Unfit))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    Body(mut body): Body,
) -> Done {
    let form = form(&mut body.fields);
    body.finish()?;
    let made = appointments::create(&app, &actor, read(form)?).await;
    let made = AppointmentDto::from(made.or_refusal(&actor)?);
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// One appointment of the acting patient.
#[utoipa::path(
    get, path = "/v1/appointments/{id}", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Appointment id")),
    responses((status = 200, description = "The appointment", body = AppointmentDto), Refused, Unfit))]
pub(super) async fn get_mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    Name(name): Name,
) -> Done<Json<AppointmentDto>> {
    one(&app, &actor, &name).await
}

/// What was decided about an appointment of the acting patient.
#[utoipa::path(
    get, path = "/v1/appointments/{id}/resolution", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Appointment id")),
    responses((status = 200, description = "The resolution that holds", body = ResolutionDto), Refused, Unfit))]
pub(super) async fn my_resolution(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    Name(name): Name,
) -> Done<Json<ResolutionDto>> {
    decided(&app, &actor, &name).await
}

/// The appointments of a patient, the newest first.
#[utoipa::path(
    get, path = "/v1/patients/{id}/appointments", tag = "appointments", security(("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Patient id"),
        ("limit" = Option<u32>, Query, description = "Most items", minimum = 1, maximum = 200),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, description = "The appointments", body = PageDto<AppointmentDto>), Refused, Unfit))]
pub(super) async fn of_patient(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    query: Query,
) -> Done<Json<PageDto<AppointmentDto>>> {
    let id = id(&name, "User not found", &actor)?;
    page(&app, &actor, Some(id), query).await
}

/// One appointment.
#[utoipa::path(
    get, path = "/v1/appointments/{id}", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Appointment id")),
    responses((status = 200, description = "The appointment", body = AppointmentDto), Refused, Unfit))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
) -> Done<Json<AppointmentDto>> {
    one(&app, &actor, &name).await
}

/// What was decided.
#[utoipa::path(
    get, path = "/v1/appointments/{id}/resolution", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Appointment id")),
    responses((status = 200, description = "The resolution that holds", body = ResolutionDto), Refused, Unfit))]
pub(super) async fn resolution(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
) -> Done<Json<ResolutionDto>> {
    decided(&app, &actor, &name).await
}

/// Decide. Another decision replaces the former one, which is kept; the same one changes nothing.
#[utoipa::path(
    put, path = "/v1/appointments/{id}/resolution", tag = "appointments", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Appointment id")),
    request_body = ResolutionBody,
    responses((status = 200, description = "The resolution", body = ResolutionDto), Refused, Unfit))]
pub(super) async fn resolve(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    Body(mut body): Body,
) -> Done<Response> {
    let decision = decision(&mut body.fields);
    body.finish()?;
    let appointment_id = id(&name, NO_APPOINTMENT, &actor)?;
    let resolution = Resolution {
        appointment_id,
        ..read(decision)?
    };
    let stored = appointments::resolve(&app, &actor, resolution).await;
    Ok(Json(ResolutionDto::from(stored.or_refusal(&actor)?)).into_response())
}
