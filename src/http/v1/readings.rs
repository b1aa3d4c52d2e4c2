//! `/v1/readings`, as far as staff correct them.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Body, Name};
use super::{answer, unread};
use crate::domain::conflict;
use crate::domain::glucose::{Glucose, Reading};
use crate::http::error::Problem;
use crate::http::legacy::auth::Staff;
use crate::service::{App, Error, readings};

/// A glucose reading.
#[derive(Debug, Serialize, ToSchema)]
// The legacy API has a reading of its own in the same document.
#[schema(as = ReadingV1)]
pub(super) struct ReadingDto {
    id: i64,
    patient_id: i64,
    glucose_mg_dl: f64,
    /// `DESAYUNO`, `ALMUERZO`, `MERIENDA`, `CENA`, `EJERCICIO`, `OTRAS_COMIDAS` or `OTRO`.
    reading_type: &'static str,
    /// When it was taken.
    #[schema(format = "date-time")]
    measured_at: String,
    notes: Option<String>,
}

/// A correction.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct CorrectionBody {
    /// The right value.
    #[schema(exclusive_minimum = 0, maximum = 3000)]
    glucose_mg_dl: f64,
    /// Why; it stays with the reading.
    #[schema(min_length = 1, max_length = 500)]
    reason: String,
}

impl From<Reading> for ReadingDto {
    fn from(reading: Reading) -> Self {
        Self {
            id: reading.id,
            patient_id: reading.patient_id,
            glucose_mg_dl: reading.glucose_mg_dl,
            reading_type: reading.reading_type.as_str(),
            measured_at: reading.measured_at.to_rfc3339(),
            notes: reading.notes,
        }
    }
}

/// Correct the value of a reading. What it was before stays in the change log.
#[utoipa::path(
    patch, path = "/v1/readings/{id}", tag = "readings", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Reading id")),
    request_body = CorrectionBody,
    responses(
        (status = 200, description = "The reading as it is now", body = ReadingDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such reading, or one that was entered in error", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or cannot be taken", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn correct(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    Body(mut body): Body,
) -> Response {
    let mg_dl = body.fields.number("glucose_mg_dl");
    let glucose = mg_dl.and_then(|mg_dl| {
        let glucose = Glucose::from_mg_dl(mg_dl);
        glucose
            .map_err(|wrong| body.fields.invalid("glucose_mg_dl", &wrong))
            .ok()
    });
    let reason = body.fields.parse("reason", conflict::reason);
    if let Err(refusal) = body.finish() {
        return *refusal;
    }
    let (Some(glucose), Some(reason)) = (glucose, reason) else {
        return unread();
    };
    // What is no number names no reading.
    let Ok(id) = name.parse() else {
        return answer(Error::NotFound("Reading not found"), &actor).into_response();
    };
    readings::correct(&app, &actor, id, glucose, &reason)
        .await
        .map(|reading| Json(ReadingDto::from(reading)))
        .map_err(|error| answer(error, &actor))
        .into_response()
}
