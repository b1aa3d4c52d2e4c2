//! Readings, as staff see and type them in.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::super::auth::Staff;
use super::super::dto::{ReadingDto, ReadingTypeDto, ReadingsDto};
use super::super::patient::{Repeatable, new_reading};
use super::unread;
use crate::domain::glucose::{NewReading, Source};
use crate::http::error::{ApiResult, OrApiError, Problem};
use crate::http::fields::{HttpValidationError, JsonBody, PathId};
use crate::service::{App, readings};

/// A reading that staff type in.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewReadingBody {
    user_id: i64,
    /// mg/dL.
    #[schema(exclusive_minimum = 0, maximum = 3000)]
    glucose_level: f64,
    reading_type: ReadingTypeDto,
    /// ISO 8601; without an offset Argentina time; now when absent.
    #[schema(format = "date-time")]
    created_at: Option<String>,
    #[schema(max_length = 2000)]
    notes: Option<String>,
}

/// All readings of a patient, oldest first.
#[utoipa::path(
    get, path = "/glucose/user/{id}", tag = "glucose", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    responses(
        (status = 200, description = "The readings", body = ReadingsDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn of_user(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<ReadingsDto>> {
    Ok(Json(
        readings::of_patient(&app, &actor, id, false)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// The readings of a patient in the last 15 days, oldest first.
#[utoipa::path(
    get, path = "/glucose/user/{id}/latest", tag = "glucose", security(("bearer" = [])),
    params(("id" = i64, Path, description = "User id")),
    responses(
        (status = 200, description = "The readings", body = ReadingsDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn latest_of_user(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<ReadingsDto>> {
    Ok(Json(
        readings::of_patient(&app, &actor, id, true)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// The newest readings of everyone, oldest first.
#[utoipa::path(
    get, path = "/glucose/readings", tag = "glucose", security(("bearer" = [])),
    responses(
        (status = 200, description = "The readings", body = ReadingsDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn all(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> ApiResult<Json<ReadingsDto>> {
    Ok(Json(
        readings::all(&app, &actor).await.or_error(&actor)?.into(),
    ))
}

/// Store a reading for a patient. Sending the same reading again gives the stored one.
#[utoipa::path(
    post, path = "/glucose/reading", tag = "glucose", security(("bearer" = [])),
    request_body = NewReadingBody,
    responses(
        (status = 201, description = "The reading", body = ReadingDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such patient", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A value is missing or cannot be taken", body = HttpValidationError)))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    repeatable: Repeatable,
    JsonBody(mut body): JsonBody,
) -> Response {
    let (patient_id, new) = (
        body.integer("user_id"),
        new_reading(&mut body, Source::BackOffice),
    );
    if let Err(refusal) = body.check() {
        return refusal.into_response();
    }
    let (Some(patient_id), Some(new)) = (patient_id, new) else {
        return unread();
    };
    let new = NewReading { patient_id, ..new };
    let key = repeatable.key_of(&actor, &new);
    let stored = readings::create(&app, &actor, new, key)
        .await
        .or_error(&actor)
        .map_err(|error| error.with_input(body.text("created_at")));
    stored
        .map(|reading| (StatusCode::CREATED, Json(ReadingDto::from(reading))))
        .into_response()
}

/// Mark a reading as entered in error. It no longer counts and is no longer shown.
#[utoipa::path(
    delete, path = "/glucose/reading/{id}", tag = "glucose", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Reading id")),
    responses(
        (status = 200, description = "A bare string", body = String, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such reading", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn delete(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<Json<&'static str>> {
    readings::mark_entered_in_error(&app, &actor, id)
        .await
        .or_error(&actor)?;
    Ok(Json("Reading deleted"))
}
