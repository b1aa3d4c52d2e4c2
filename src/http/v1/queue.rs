//! `/v1/queue`: for patients where they stand, for staff the whole day.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use super::extract::{Body, Name};
use super::refusal::{Done, OrRefusal, Refused, Unfit, id, read};
use crate::domain::actor::Actor;
use crate::domain::queue::{QueueAction, QueueEntry};
use crate::domain::text::{self, Invalid};
use crate::http::legacy::auth::{Patient, Staff};
use crate::service::App;
use crate::service::queue::{self, Standing};

const NO_ENTRY: &str = "Appointment does not exist in queue";

/// Where a patient stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
pub(super) struct StandingDto {
    /// Whether the queue lets anybody in.
    open: bool,
    /// Id of the place; null when the patient has none.
    placement: Option<i64>,
    /// `PENDING`, `ACCEPTED`, `DENIED` or `CREATED`; null without a place.
    state: Option<&'static str>,
    /// How many go first; null unless the patient waits.
    position: Option<i64>,
    /// Seconds that the patient still waits, by how fast it went today; null while that says nothing.
    expected_wait_s: Option<i64>,
}

/// A place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = QueueEntryV1)]
pub(super) struct QueueEntryDto {
    placement: i64,
    patient_id: i64,
    /// `PENDING`, `ACCEPTED`, `DENIED` or `CREATED`.
    state: &'static str,
    /// 0 to 9; higher goes first among the waiting.
    priority: i64,
}

/// The queue of today.
#[derive(Debug, Serialize, ToSchema)]
pub(super) struct QueueDto {
    open: bool,
    /// Places.
    size: i64,
    /// Who is in it, in the order in which they go.
    entries: Vec<QueueEntryDto>,
}

/// What staff change. What is absent or null stays.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct QueueBody {
    /// Opening a closed queue begins a new day.
    open: Option<bool>,
    #[schema(minimum = 0, maximum = 10000)]
    size: Option<i64>,
}

/// What staff decide about a place.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct QueueDecisionBody {
    /// `accept`, `deny`, `no_show` or `put_back`.
    #[schema(pattern = "^(accept|deny|no_show|put_back)$")]
    action: String,
}

/// Who goes first, and why.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct PriorityBody {
    /// 0 takes it back.
    #[schema(minimum = 0, maximum = 9)]
    priority: i64,
    /// Required unless `priority` is 0.
    reason: Option<String>,
}

impl From<Standing> for StandingDto {
    fn from(standing: Standing) -> Self {
        Self {
            open: standing.open,
            placement: standing.entry.map(|entry| entry.placement),
            state: standing.entry.map(|entry| entry.state.as_str()),
            position: standing.position,
            expected_wait_s: standing.expected_wait_ms.map(|ms| ms / 1000),
        }
    }
}

impl From<QueueEntry> for QueueEntryDto {
    fn from(entry: QueueEntry) -> Self {
        Self {
            placement: entry.placement,
            patient_id: entry.patient_id,
            state: entry.state.as_str(),
            priority: entry.priority,
        }
    }
}

async fn standing(app: &App, actor: &Actor) -> Done<Json<StandingDto>> {
    let standing = queue::standing(app, actor).await.or_refusal(actor)?;
    Ok(Json(standing.into()))
}

async fn whole(app: &App, actor: &Actor) -> Done<Json<QueueDto>> {
    let entries = queue::entries(app, actor, None).await.or_refusal(actor)?;
    let day = queue::day(app, actor).await.or_refusal(actor)?;
    Ok(Json(QueueDto {
        open: day.open,
        size: day.size,
        entries: entries.into_iter().map(Into::into).collect(),
    }))
}

/// Where the acting patient stands.
#[utoipa::path(
    get, path = "/v1/queue", tag = "queue", security(("bearer" = [])),
    responses((status = 200, description = "Where you stand", body = StandingDto), Refused))]
pub(super) async fn mine(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> Done<Json<StandingDto>> {
    standing(&app, &actor).await
}

/// Ask for a place. Asking again gives the same place.
#[utoipa::path(
    put, path = "/v1/queue/place", tag = "queue", security(("bearer" = [])),
    responses((status = 200, description = "Where you stand now", body = StandingDto), Refused, Unfit))]
pub(super) async fn submit(
    State(app): State<Arc<App>>,
    Patient(actor): Patient,
) -> Done<Json<StandingDto>> {
    queue::submit(&app, &actor).await.or_refusal(&actor)?;
    standing(&app, &actor).await
}

/// Give the place up. Nothing happens when there is none.
#[utoipa::path(
    delete, path = "/v1/queue/place", tag = "queue", security(("bearer" = [])),
    responses((status = 204, description = "There is no place any more"), Refused, Unfit))]
pub(super) async fn cancel(State(app): State<Arc<App>>, Patient(actor): Patient) -> Done {
    queue::cancel(&app, &actor).await.or_refusal(&actor)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

/// The queue of today.
#[utoipa::path(
    get, path = "/v1/queue", tag = "queue", security(("bearer" = [])),
    responses((status = 200, description = "The queue", body = QueueDto), Refused))]
pub(super) async fn get(State(app): State<Arc<App>>, Staff(actor): Staff) -> Done<Json<QueueDto>> {
    whole(&app, &actor).await
}

/// Open or close the queue, or set its size. What is so already stays.
#[utoipa::path(
    patch, path = "/v1/queue", tag = "queue", security(("bearer" = [])),
    request_body = QueueBody,
    responses((status = 200, description = "The queue as it is now", body = QueueDto), Refused, Unfit))]
pub(super) async fn change(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Body(mut body): Body,
) -> Done<Json<QueueDto>> {
    let open = body.fields.optional_boolean("open");
    let size = body.fields.optional_integer("size");
    body.finish()?;
    // The size first: a day opens with it.
    if let Some(size) = size {
        queue::resize(&app, &actor, size).await.or_refusal(&actor)?;
    }
    match open {
        Some(true) => queue::open(&app, &actor).await.or_refusal(&actor)?,
        Some(false) => queue::close(&app, &actor).await.or_refusal(&actor)?,
        None => {}
    }
    whole(&app, &actor).await
}

/// Take everybody out of the queue. Appointments and resolutions stay.
#[utoipa::path(
    delete, path = "/v1/queue/places", tag = "queue", security(("bearer" = [])),
    responses((status = 204, description = "The queue is empty"), Refused))]
pub(super) async fn clear(State(app): State<Arc<App>>, Staff(actor): Staff) -> Done {
    queue::clear(&app, &actor).await.or_refusal(&actor)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

fn action(name: &str) -> Result<QueueAction, Invalid> {
    match name {
        "accept" => Ok(QueueAction::Accept),
        "deny" => Ok(QueueAction::Deny),
        "no_show" => Ok(QueueAction::NoShow),
        "put_back" => Ok(QueueAction::PutBack),
        _ => Err(Invalid::new(
            "must be accept, deny, no_show or put_back",
            "debe ser accept, deny, no_show o put_back",
        )),
    }
}

/// The state of a place.
#[derive(Serialize, ToSchema)]
pub(super) struct PlaceStateDto {
    placement: i64,
    /// `PENDING`, `ACCEPTED`, `DENIED` or `NO_SHOW`.
    state: &'static str,
}

/// Decide about a place. The same decision again changes nothing.
#[utoipa::path(
    post, path = "/v1/queue/places/{id}/decision", tag = "queue", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Placement")),
    request_body = QueueDecisionBody,
    responses((status = 200, description = "Its state now", body = PlaceStateDto), Refused, Unfit))]
pub(super) async fn decide(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    Body(mut body): Body,
) -> Done<Json<PlaceStateDto>> {
    let action = body.fields.parse("action", action);
    body.finish()?;
    let placement = id(&name, NO_ENTRY, &actor)?;
    let state = queue::decide(&app, &actor, placement, read(action)?).await;
    let state = state.or_refusal(&actor)?.as_str();
    Ok(Json(PlaceStateDto { placement, state }))
}

/// Let a patient go before others, for a reason.
#[utoipa::path(
    put, path = "/v1/queue/places/{id}/priority", tag = "queue", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Placement")),
    request_body = PriorityBody,
    responses((status = 204, description = "It is so"), Refused, Unfit))]
pub(super) async fn prioritize(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    Name(name): Name,
    Body(mut body): Body,
) -> Done<Response> {
    let priority = body.fields.integer("priority");
    let reason = body.fields.optional_parse("reason", text::line);
    body.finish()?;
    let placement = id(&name, NO_ENTRY, &actor)?;
    let done = queue::prioritize(&app, &actor, placement, read(priority)?, reason).await;
    done.or_refusal(&actor)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
