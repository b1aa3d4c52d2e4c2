//! Readings, streak and achievements of a patient.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRequestParts, OriginalUri, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};

use super::super::auth::Patient;
use super::super::dto::{AchievementDto, ReadingDto, ReadingsDto, StreakDto};
use crate::domain::actor::Actor;
use crate::domain::glucose::{NewReading, ReadingType, Source};
use crate::domain::time::Timestamp;
use crate::http::context::RequestId;
use crate::http::error::{ApiResult, OrApiError, Problem};
use crate::http::fields::{Fields, HttpValidationError, QueryFields};
use crate::service::{App, readings};
use crate::store::idempotency::IdempotencyKey;

/// The names of the reading types.
pub(in crate::http::legacy) const READING_TYPES: [&str; 7] = [
    "DESAYUNO",
    "ALMUERZO",
    "MERIENDA",
    "CENA",
    "EJERCICIO",
    "OTRAS_COMIDAS",
    "OTRO",
];

/// The key that makes a request repeatable: `Idempotency-Key`, or the `X-Request-Id` that the app
/// keeps when it sends a request again. Bound to the account and to what was asked.
#[derive(Debug)]
pub(in crate::http) struct Repeatable(Option<Sent>);

/// What a repeated request has in common with the first.
#[derive(Debug)]
struct Sent {
    method: Method,
    uri: Uri,
    key: Key,
}

#[derive(Debug)]
enum Key {
    Header(HeaderValue),
    Request(Arc<str>),
}

impl Repeatable {
    /// The key for this actor and what they ask for.
    pub(in crate::http) fn key(
        &self,
        actor: &Actor,
        what: &dyn std::fmt::Debug,
    ) -> Option<IdempotencyKey> {
        let Sent { method, uri, key } = self.0.as_ref()?;
        let key = match key {
            Key::Header(value) => value.as_bytes(),
            Key::Request(id) => id.as_bytes(),
        };
        let mut hasher = blake3::Hasher::new_derive_key("islet 2026-01 idempotency key");
        hasher.update(format!("{:?}\n{what:?}\n{method} {uri}\n", actor.who).as_bytes());
        hasher.update(String::from_utf8_lossy(key).as_bytes());
        Some(hasher.finalize().into())
    }

    /// The key of a reading, which needs one only without a time.
    pub(in crate::http) fn key_of(
        &self,
        actor: &Actor,
        new: &NewReading,
    ) -> Option<IdempotencyKey> {
        match new.measured_at {
            Some(_) => None,
            None => self.key(actor, new),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Repeatable {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Self::Rejection> {
        let header = parts.headers.get("idempotency-key");
        let id = parts.extensions.get::<RequestId>();
        let id = id.filter(|id| id.from_client);
        let key = header
            .map(|key| Key::Header(key.clone()))
            .or_else(|| id.map(|id| Key::Request(Arc::clone(&id.id))));
        let Some(key) = key else {
            return Ok(Self(None));
        };
        let original = parts.extensions.get::<OriginalUri>();
        Ok(Self(Some(Sent {
            method: parts.method.clone(),
            uri: original.map_or(&parts.uri, |uri| &uri.0).clone(),
            key,
        })))
    }
}

/// Reads the fields of a new reading, from a query or a body.
pub(in crate::http::legacy) fn new_reading(
    fields: &mut Fields,
    source: Source,
) -> Option<NewReading> {
    use crate::domain::glucose::Glucose;
    let level = fields.number("glucose_level");
    let reading_type = fields.one_of("reading_type", &READING_TYPES, ReadingType::parse);
    let measured_at = fields.optional_parse("created_at", Timestamp::parse);
    let notes = fields
        .optional_paragraph("notes")
        .filter(|notes| !notes.is_empty());
    let glucose = match Glucose::from_mg_dl(level?) {
        Ok(glucose) => glucose,
        Err(reason) => {
            fields.invalid("glucose_level", &reason);
            return None;
        }
    };
    Some(NewReading {
        patient_id: 0,
        glucose,
        reading_type: reading_type?,
        source,
        measured_at,
        notes,
    })
}

/// Store a reading. Sending the same reading again gives the stored one.
#[utoipa::path(
    post, path = "/glucose/create", tag = "glucose", security(("bearer" = [])),
    params(
        ("glucose_level" = f64, Query, description = "mg/dL", exclusive_minimum = 0, maximum = 3000),
        ("reading_type" = inline(super::super::dto::ReadingTypeDto), Query, description = "Occasion"),
        ("created_at" = Option<String>, Query, format = DateTime, description = "When it was taken: ISO 8601; without an offset Argentina time; now when absent"),
        ("notes" = Option<String>, Query, description = "Free text", max_length = 2000)),
    responses(
        (status = 201, description = "The reading", body = ReadingDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "A parameter is missing or cannot be taken", body = HttpValidationError),
        (status = 431, description = "The notes are longer than the node reads from a header")))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    repeatable: Repeatable,
    QueryFields(mut query): QueryFields,
) -> Response {
    let new = new_reading(&mut query, Source::App);
    if let Err(refusal) = query.check() {
        return refusal.into_response();
    }
    let (Some(new), Some(patient_id)) = (new, actor.patient_id()) else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    let new = NewReading { patient_id, ..new };
    let key = repeatable.key_of(&actor, &new);
    let stored = readings::create(&app, &actor, new, key)
        .await
        .or_error(&actor)
        .map_err(|error| error.in_query().with_input(query.text("created_at")));
    stored
        .map(|reading| (StatusCode::CREATED, Json(ReadingDto::from(reading))))
        .into_response()
}

/// All readings, oldest first.
#[utoipa::path(
    get, path = "/glucose/mine", tag = "glucose", security(("bearer" = [])),
    responses(
        (status = 200, description = "The readings", body = ReadingsDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<ReadingsDto>> {
    Ok(Json(
        readings::mine(&app, &actor, false)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// The readings of the last 15 days, oldest first.
#[utoipa::path(
    get, path = "/glucose/mine/latest", tag = "glucose", security(("bearer" = [])),
    responses(
        (status = 200, description = "The readings", body = ReadingsDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn latest(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<ReadingsDto>> {
    Ok(Json(
        readings::mine(&app, &actor, true)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// Days in a row with four readings.
#[utoipa::path(
    get, path = "/achievements/streak", tag = "achievements", security(("bearer" = [])),
    responses(
        (status = 200, description = "The streak", body = StreakDto),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn streak(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<StreakDto>> {
    Ok(Json(
        readings::streak(&app, &actor)
            .await
            .or_error(&actor)?
            .into(),
    ))
}

/// All achievements and how far the patient has come.
#[utoipa::path(
    get, path = "/achievements", tag = "achievements", security(("bearer" = [])),
    responses(
        (status = 200, description = "The achievements", body = Vec<AchievementDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn achievements(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> ApiResult<Json<Vec<AchievementDto>>> {
    let achievements = readings::achievements(&app, &actor)
        .await
        .or_error(&actor)?;
    Ok(Json(achievements.into_iter().map(Into::into).collect()))
}
