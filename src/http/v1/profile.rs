//! `/v1/profile` of a patient, and the counters that the app shows.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::etag::{IfMatch, tagged};
use super::extract::Body;
use super::patients::PatientDto;
use super::refusal::{Done, OrRefusal, Refused, Unfit};
use crate::auth::Secret;
use crate::domain::account::Email;
use crate::domain::patient::PatientPatch;
use crate::domain::text;
use crate::http::error::Problem;
use crate::http::legacy::auth::Patient;
use crate::service::{App, patients, readings};

/// What a patient may change. What is absent or null stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct ProfileBody {
    name: Option<String>,
    surname: Option<String>,
    email: Option<String>,
}

/// Another password.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct PasswordBody {
    #[schema(format = "password")]
    current_password: String,
    #[schema(format = "password", min_length = 6, max_length = 128)]
    new_password: String,
}

/// Counters of a patient.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct CountersDto {
    /// Readings that count.
    times_measured: i64,
    /// Days in a row with four readings, as of today.
    streak: i64,
    /// The longest one.
    max_streak: i64,
}

/// The profile of the acting patient.
#[utoipa::path(
    get, path = "/v1/profile", tag = "profile", security(("bearer" = [])),
    responses((status = 200, description = "The profile, with an `ETag`", body = PatientDto), Refused))]
pub(super) async fn get(State(app): State<Arc<App>>, Patient(actor): Patient) -> Done {
    let found = patients::me(&app, &actor).await.or_refusal(&actor)?;
    Ok(tagged(&PatientDto::from(found)))
}

/// Change the own profile.
#[utoipa::path(
    patch, path = "/v1/profile", tag = "profile", security(("bearer" = [])),
    params(("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = ProfileBody,
    responses((status = 200, description = "The profile as it is now", body = PatientDto), Refused, Unfit))]
pub(super) async fn edit(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    seen: IfMatch,
    Body(mut body): Body,
) -> Done {
    let patch = PatientPatch {
        name: body.fields.optional_parse("name", text::line),
        surname: body.fields.optional_parse("surname", text::line),
        email: body.fields.optional_parse("email", Email::parse),
        ..PatientPatch::default()
    };
    body.finish()?;
    let expected = seen.expectation::<_, PatientDto>();
    let edited = patients::edit_me(&app, &actor, patch, expected).await;
    Ok(tagged(&PatientDto::from(edited.or_refusal(&actor)?)))
}

/// Choose another password. All other sessions end.
#[utoipa::path(
    put, path = "/v1/profile/password", tag = "profile", security(("bearer" = [])),
    request_body = PasswordBody,
    responses(
        (status = 204, description = "It was changed"),
        (status = 429, description = "Too many failed attempts; see Retry-After", body = Problem, content_type = "application/problem+json"),
        Refused))]
pub(super) async fn change_password(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    Body(mut body): Body,
) -> Done {
    let current = body.fields.secret("current_password");
    let new = body.fields.secret("new_password");
    body.finish()?;
    let (current, new) = (current.unwrap_or_default(), new.unwrap_or_default());
    let (current, new) = (Secret::new(current), Secret::new(new));
    let changed = patients::change_password(&app, &actor, current, new).await;
    changed.or_refusal(&actor)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The counters of the acting patient.
#[utoipa::path(
    get, path = "/v1/counters", tag = "profile", security(("bearer" = [])),
    responses((status = 200, description = "The counters", body = CountersDto), Refused))]
pub(super) async fn counters(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> Done<Json<CountersDto>> {
    let found = readings::streak(&app, &actor).await.or_refusal(&actor)?;
    Ok(Json(CountersDto {
        times_measured: found.counters.times_measured,
        streak: found.streak,
        max_streak: found.counters.max_streak,
    }))
}
