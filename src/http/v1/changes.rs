//! `/v1/changes` and `/v1/readings/batch`: for phones that were offline.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::appointments::{AppointmentDto, ResolutionDto};
use super::extract::{Body, Query};
use super::patients::PatientDto;
use super::queue::QueueEntryDto;
use super::readings::{ReadingDto, new_reading};
use super::refusal::{Done, OrRefusal, Refused, read};
use crate::domain::actor::Actor;
use crate::domain::glucose::{NewReading, Source};
use crate::domain::text::Invalid;
use crate::http::error::Problem;
use crate::http::fields::Fields;
use crate::http::legacy::auth::{Patient, Staff};
use crate::limits;
use crate::service::App;
use crate::service::changes::{self, Change, Cursor, How, Item, News};
use crate::service::readings::{self, Outcome};

/// What was done while offline.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct BatchBody {
    #[schema(max_items = 1000)]
    readings: Vec<BatchItemBody>,
}

/// One reading.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct BatchItemBody {
    /// What the client calls it. Comes back with the outcome; short ones are the best on a bad link.
    #[schema(min_length = 1, max_length = 100)]
    client_id: String,
    #[schema(exclusive_minimum = 0, maximum = 3000)]
    glucose_mg_dl: f64,
    /// `DESAYUNO`, `ALMUERZO`, `MERIENDA`, `CENA`, `EJERCICIO`, `OTRAS_COMIDAS` or `OTRO`.
    #[schema(pattern = "^(DESAYUNO|ALMUERZO|MERIENDA|CENA|EJERCICIO|OTRAS_COMIDAS|OTRO)$")]
    reading_type: String,
    /// When it was taken.
    #[schema(format = "date-time")]
    measured_at: String,
    #[schema(max_length = 2000)]
    notes: Option<String>,
}

/// What became of one reading.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutcomeDto {
    /// As it was sent; empty when it was none.
    client_id: String,
    /// `created`, `exists` or `rejected`.
    outcome: &'static str,
    /// The reading that it is, unless it was rejected.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<i64>,
    /// Why it was rejected. It will be again.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// What became of all.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct OutcomesDto {
    /// In the order in which they were sent.
    items: Vec<OutcomeDto>,
}

/// One thing that is new.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangeDto {
    /// `created`, `changed` or `removed`. Take the first two as one: the thing is now as in `data`.
    pub(super) change: &'static str,
    /// `reading`, `queue_entry`, `appointment`, `resolution` or `profile`.
    pub(super) kind: &'static str,
    /// Of a resolution that of its appointment.
    pub(super) id: i64,
    pub(super) patient_id: i64,
    /// The thing as the routes for its kind show it; absent when it was removed.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    pub(super) data: Option<Box<RawValue>>,
}

/// Some news.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct ChangesDto {
    items: Vec<ChangeDto>,
    /// Keep it once the items are kept, and send it as `after` the next time, to whichever node.
    next: String,
    /// There is more: ask again at once.
    more: bool,
    /// This node does not know yet all that you were told by another. Nothing is lost: keep what you have.
    behind: bool,
}

impl ChangeDto {
    pub(super) fn new(change: Change) -> Self {
        let patient_id = change.patient_id;
        let (kind, id, data) = match change.item {
            Item::Reading(Ok(it)) => ("reading", it.id, raw(&ReadingDto::from(it))),
            Item::Reading(Err(id)) => ("reading", id, None),
            Item::QueueEntry(Ok(it)) => {
                ("queue_entry", it.placement, raw(&QueueEntryDto::from(it)))
            }
            Item::QueueEntry(Err(id)) => ("queue_entry", id, None),
            Item::Appointment(it) => ("appointment", it.id, raw(&AppointmentDto::from(it))),
            Item::Resolution(it) => (
                "resolution",
                it.appointment_id,
                raw(&ResolutionDto::from(it)),
            ),
            Item::Profile(it) => ("profile", it.id, raw(&PatientDto::from(it))),
        };
        Self {
            change: match change.how {
                How::Created => "created",
                How::Changed => "changed",
                How::Removed => "removed",
            },
            kind,
            id,
            patient_id,
            data,
        }
    }
}

fn raw(shown: &impl Serialize) -> Option<Box<RawValue>> {
    serde_json::value::to_raw_value(shown).ok()
}

/// A cursor as clients keep it.
pub(super) fn show(cursor: &Cursor) -> String {
    URL_SAFE_NO_PAD.encode(cursor.to_bytes())
}

/// The inverse. What is none is as good as one that is too old.
pub(super) fn cursor(text: &str) -> Option<Cursor> {
    if text.len() > limits::CURSOR_BYTES_MAX * 2 {
        return None;
    }
    Cursor::from_bytes(&URL_SAFE_NO_PAD.decode(text).ok()?)
}

/// Ids with commas between them.
pub(super) fn patient_ids(text: &str) -> Result<Vec<i64>, Invalid> {
    let ids: Result<Vec<i64>, _> = text.split(',').map(|id| id.trim().parse()).collect();
    ids.map_err(|_| {
        Invalid::new(
            "must be patient ids with commas between them",
            "deben ser ids de pacientes separados por comas",
        )
    })
}

async fn news(app: &App, actor: &Actor, mut query: Query, by_staff: bool) -> Done<Response> {
    let fields = &mut query.0.fields;
    let (usual, most) = limits::NEWS_PAGE;
    let limit = fields.optional_integer("limit");
    let limit = limit.map(|limit| u32::try_from(limit).ok().filter(|n| (1..=most).contains(n)));
    if limit == Some(None) {
        let wrong = Invalid::new(
            format!("must be from 1 to {most}"),
            format!("debe estar entre 1 y {most}"),
        );
        fields.invalid("limit", &wrong);
    }
    let patients = match by_staff {
        true => fields.optional_parse("patient_id", patient_ids),
        false => None,
    };
    let after = fields.optional_parse("after", |text| Ok(text.to_owned()));
    query.0.finish()?;
    let limit = limit.flatten().unwrap_or(usual);
    let found = match after.as_deref().map(cursor) {
        Some(None) => Err(crate::service::Error::StartAfresh),
        after => changes::list(app, actor, patients, after.flatten(), limit).await,
    };
    let News {
        changes,
        cursor,
        more,
        behind,
    } = found.or_refusal(actor)?;
    let answer = ChangesDto {
        items: changes.into_iter().map(ChangeDto::new).collect(),
        next: show(&cursor),
        more,
        behind,
    };
    Ok(Json(answer).into_response())
}

/// What was created, changed or removed for the acting patient since `after`; without it, all there is.
#[utoipa::path(
    get, path = "/v1/changes", tag = "changes", security(("bearer" = [])),
    params(
        ("after" = Option<String>, Query, description = "The `next` of the answer before, from whichever node"),
        ("limit" = Option<u32>, Query, description = "About how many items", minimum = 1, maximum = 1000)),
    responses(
        (status = 200, description = "The news", body = ChangesDto),
        (status = 410, description = "`start_afresh`: forget what you have, and ask without `after`", body = Problem, content_type = "application/problem+json"),
        Refused))]
pub(super) async fn mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    query: Query,
) -> Done<Response> {
    news(&app, &actor, query, false).await
}

/// The same of some patients, or of all.
#[utoipa::path(
    get, path = "/v1/changes", tag = "changes", security(("bearer" = [])),
    params(
        ("patient_id" = Option<String>, Query, description = "Patient ids with commas between them; all patients when absent"),
        ("after" = Option<String>, Query, description = "The `next` of the answer before, from whichever node"),
        ("limit" = Option<u32>, Query, description = "About how many items", minimum = 1, maximum = 1000)),
    responses(
        (status = 200, description = "The news", body = ChangesDto),
        (status = 410, description = "`start_afresh`: forget what you have, and ask without `after`", body = Problem, content_type = "application/problem+json"),
        Refused))]
pub(super) async fn of_patients(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    query: Query,
) -> Done<Response> {
    news(&app, &actor, query, true).await
}

/// Reads one item: what the client calls it, and the reading or what is wrong with it.
fn item(mut fields: Fields) -> (String, Result<NewReading, Invalid>) {
    let client_id = fields.line("client_id");
    let new = new_reading(&mut fields, Source::App);
    let checked = fields.check();
    let name = client_id.unwrap_or_default();
    match (checked, new) {
        (Ok(()), Some(new)) => (name, Ok(new)),
        (Err(wrong), _) => (name, Err(Invalid::sentence(wrong.text()))),
        (Ok(()), None) => (name, Err(Invalid::sentence("no se pudo leer"))),
    }
}

/// Hand in what was gathered offline: up to 1,000 readings. Send it again when the answer is lost.
#[utoipa::path(
    post, path = "/v1/readings/batch", tag = "readings", security(("bearer" = [])),
    request_body = BatchBody,
    responses((status = 200, description = "What became of each", body = OutcomesDto), Refused))]
pub(super) async fn upload(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
    Body(mut body): Body,
) -> Done<Json<OutcomesDto>> {
    let most = limits::UPLOAD_READINGS_MAX;
    let sent = body.fields.objects("readings", most);
    body.finish()?;
    let (names, items): (Vec<_>, Vec<_>) = read(sent)?.into_iter().map(item).unzip();
    let outcomes = readings::upload(&app, &actor, items).await;
    let outcomes = outcomes.or_refusal(&actor)?;
    let items = names.into_iter().zip(outcomes).map(|(client_id, outcome)| {
        let (outcome, id, reason) = match outcome {
            Outcome::Created(id) => ("created", Some(id), None),
            Outcome::Exists(id) => ("exists", Some(id), None),
            Outcome::Rejected(wrong) => ("rejected", None, Some(wrong.in_spanish("Lectura"))),
        };
        OutcomeDto {
            client_id,
            outcome,
            id,
            reason,
        }
    });
    Ok(Json(OutcomesDto {
        items: items.collect(),
    }))
}
