//! `/v1/readings`: for patients their own, for staff those of any patient.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde::Serialize;
use utoipa::ToSchema;

use super::etag::{IfMatch, tagged};
use super::extract::{Body, Name, Query};
use super::page::{PageDto, Wanted};
use super::refusal::{Done, OrRefusal, Refused, Unfit, id, read};
use crate::domain::actor::Actor;
use crate::domain::conflict;
use crate::domain::glucose::{Glucose, NewReading, Reading, ReadingType, Source};
use crate::domain::text::Invalid;
use crate::domain::time::Timestamp;
use crate::http::fields::Fields;
use crate::http::legacy::auth::{Patient, Staff};
use crate::http::legacy::patient::Repeatable;
use crate::limits;
use crate::service::{App, readings};

const NO_READING: &str = "Reading not found";

/// A glucose reading.
#[derive(Clone, Debug, PartialEq, Serialize, ToSchema)]
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

/// A new reading.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct NewReadingBody {
    #[schema(exclusive_minimum = 0, maximum = 3000)]
    glucose_mg_dl: f64,
    /// `DESAYUNO`, `ALMUERZO`, `MERIENDA`, `CENA`, `EJERCICIO`, `OTRAS_COMIDAS` or `OTRO`.
    #[schema(pattern = "^(DESAYUNO|ALMUERZO|MERIENDA|CENA|EJERCICIO|OTRAS_COMIDAS|OTRO)$")]
    reading_type: String,
    /// When it was taken; now when absent.
    #[schema(format = "date-time")]
    measured_at: Option<String>,
    #[schema(max_length = 2000)]
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

/// Why a reading does not count.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct WithdrawalBody {
    /// It stays with the reading.
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

fn glucose(fields: &mut Fields) -> Option<Glucose> {
    let mg_dl = fields.number("glucose_mg_dl")?;
    let glucose = Glucose::from_mg_dl(mg_dl);
    glucose
        .map_err(|wrong| fields.invalid("glucose_mg_dl", &wrong))
        .ok()
}

/// The occasion that a text names.
pub(super) fn reading_type(name: &str) -> Result<ReadingType, Invalid> {
    let names = ReadingType::ALL.map(ReadingType::as_str).join(", ");
    ReadingType::parse(name).ok_or_else(|| {
        Invalid::new(
            format!("must be one of {names}"),
            format!("debe ser uno de {names}"),
        )
    })
}

/// Reads a new reading; whose it is is filled in later.
pub(super) fn new_reading(fields: &mut Fields, source: Source) -> Option<NewReading> {
    let glucose = glucose(fields);
    let reading_type = fields.parse("reading_type", reading_type);
    let measured_at = fields.optional_parse("measured_at", Timestamp::parse);
    let notes = fields.optional_paragraph("notes");
    Some(NewReading {
        patient_id: 0,
        glucose: glucose?,
        reading_type: reading_type?,
        source,
        measured_at,
        notes: notes.filter(|notes| !notes.is_empty()),
    })
}

async fn page(
    app: &App,
    actor: &Actor,
    patient_id: Option<i64>,
    mut query: Query,
) -> Done<Json<PageDto<ReadingDto>>> {
    let wanted = Wanted::read(&mut query, limits::READINGS_PAGE);
    let selection = readings::Selection {
        since: query.0.fields.optional_parse("since", Timestamp::parse),
        until: query.0.fields.optional_parse("until", Timestamp::parse),
        reading_type: query.0.fields.optional_parse("type", reading_type),
    };
    query.0.finish()?;
    let after = wanted.after().map(|(at, id)| (Timestamp(at), id));
    let found = readings::page(app, actor, patient_id, selection, after, wanted.limit).await;
    let found = found.or_refusal(actor)?;
    let items = found.items.into_iter().map(Into::into).collect();
    let next = found.next.map(|(at, id)| (at.0, id));
    Ok(Json(wanted.page(items, found.total, next)))
}

async fn store(
    app: &App,
    actor: &Actor,
    patient_id: i64,
    source: Source,
    repeatable: Repeatable,
    mut body: super::extract::Reading,
) -> Done {
    let new = new_reading(&mut body.fields, source);
    body.finish()?;
    let new = NewReading {
        patient_id,
        ..read(new)?
    };
    let key = repeatable.key_of(actor, &new);
    let stored = readings::create(app, actor, new, key).await;
    let stored = ReadingDto::from(stored.or_refusal(actor)?);
    Ok((StatusCode::CREATED, tagged(&stored)).into_response())
}

/// The readings of the acting patient, the newest first.
#[utoipa::path(
    get, path = "/v1/readings", tag = "readings", security(("bearer" = [])),
    params(
        ("since" = Option<String>, Query, format = DateTime, description = "Only those taken later"),
        ("until" = Option<String>, Query, format = DateTime, description = "Only those taken then or earlier"),
        ("type" = Option<String>, Query, description = "Only those of this occasion"),
        ("limit" = Option<u32>, Query, description = "Most items", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, description = "The readings", body = PageDto<ReadingDto>), Refused))]
pub(super) async fn mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    query: Query,
) -> Done<Json<PageDto<ReadingDto>>> {
    page(&app, &actor, None, query).await
}

/// Hand in a reading. One with a time is stored once however often it is sent; one without needs an `Idempotency-Key`.
#[utoipa::path(
    post, path = "/v1/readings", tag = "readings", security(("bearer" = [])),
    params(("Idempotency-Key" = Option<String>, Header, description = "Names this request when it is sent again")),
    request_body = NewReadingBody,
    responses((status = 201, description = "The reading", body = ReadingDto), Refused))]
pub(super) async fn create(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    repeatable: Repeatable,
    Body(body): Body,
) -> Done {
    let patient_id = read(actor.patient_id())?;
    store(&app, &actor, patient_id, Source::App, repeatable, body).await
}

/// One reading of the acting patient.
#[utoipa::path(
    get, path = "/v1/readings/{id}", tag = "readings", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Reading id")),
    responses((status = 200, description = "The reading", body = ReadingDto), Refused, Unfit))]
pub(super) async fn get_mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    Name(name): Name,
) -> Done {
    let id = id(&name, NO_READING, &actor)?;
    let found = readings::get(&app, &actor, id).await.or_refusal(&actor)?;
    Ok(tagged(&ReadingDto::from(found)))
}

/// The readings of a patient, the newest first.
#[utoipa::path(
    get, path = "/v1/patients/{id}/readings", tag = "readings", security(("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Patient id"),
        ("since" = Option<String>, Query, format = DateTime, description = "Only those taken later"),
        ("until" = Option<String>, Query, format = DateTime, description = "Only those taken then or earlier"),
        ("type" = Option<String>, Query, description = "Only those of this occasion"),
        ("limit" = Option<u32>, Query, description = "Most items", minimum = 1, maximum = 1000),
        ("after" = Option<String>, Query, description = "The `next` of the page before")),
    responses((status = 200, description = "The readings", body = PageDto<ReadingDto>), Refused, Unfit))]
pub(super) async fn of_patient(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    query: Query,
) -> Done<Json<PageDto<ReadingDto>>> {
    let id = id(&name, "User not found", &actor)?;
    page(&app, &actor, Some(id), query).await
}

/// Type in a reading of a patient.
#[utoipa::path(
    post, path = "/v1/patients/{id}/readings", tag = "readings", security(("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Patient id"),
        ("Idempotency-Key" = Option<String>, Header, description = "Names this request when it is sent again")),
    request_body = NewReadingBody,
    responses((status = 201, description = "The reading", body = ReadingDto), Refused, Unfit))]
pub(super) async fn create_for(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    repeatable: Repeatable,
    Body(body): Body,
) -> Done {
    let id = id(&name, "User not found", &actor)?;
    store(&app, &actor, id, Source::BackOffice, repeatable, body).await
}

/// One reading, with the `ETag` for its correction.
#[utoipa::path(
    get, path = "/v1/readings/{id}", tag = "readings", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Reading id")),
    responses((status = 200, description = "The reading", body = ReadingDto), Refused, Unfit))]
pub(super) async fn get(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
) -> Done {
    let id = id(&name, NO_READING, &actor)?;
    let found = readings::get(&app, &actor, id).await.or_refusal(&actor)?;
    Ok(tagged(&ReadingDto::from(found)))
}

/// Correct the value of a reading. What it was before stays in the change log.
#[utoipa::path(
    patch, path = "/v1/readings/{id}", tag = "readings", security(("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Reading id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = CorrectionBody,
    responses((status = 200, description = "The reading as it is now", body = ReadingDto), Refused, Unfit))]
pub(super) async fn correct(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    seen: IfMatch,
    Body(mut body): Body,
) -> Done {
    let glucose = glucose(&mut body.fields);
    let reason = body.fields.parse("reason", conflict::reason);
    body.finish()?;
    let (glucose, reason) = (read(glucose)?, read(reason)?);
    let id = id(&name, NO_READING, &actor)?;
    let expected = seen.expectation::<_, ReadingDto>();
    let corrected = readings::correct(&app, &actor, id, glucose, &reason, expected).await;
    Ok(tagged(&ReadingDto::from(corrected.or_refusal(&actor)?)))
}

/// Mark a reading as entered in error. It no longer counts nor shows, and stays in the database with the reason.
#[utoipa::path(
    delete, path = "/v1/readings/{id}", tag = "readings", security(("bearer" = [])),
    params(
        ("id" = i64, Path, description = "Reading id"),
        ("If-Match" = Option<String>, Header, description = "The `ETag` that was seen")),
    request_body = WithdrawalBody,
    responses((status = 204, description = "It does not count"), Refused, Unfit))]
pub(super) async fn withdraw(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    seen: IfMatch,
    Body(mut body): Body,
) -> Done {
    let reason = body.fields.parse("reason", conflict::reason);
    body.finish()?;
    let reason = read(reason)?;
    let id = id(&name, NO_READING, &actor)?;
    let expected = seen.expectation::<_, ReadingDto>();
    let done = readings::withdraw(&app, &actor, id, Some(&reason), expected).await;
    done.or_refusal(&actor)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
