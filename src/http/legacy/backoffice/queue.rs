//! The queue, as staff run it.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use utoipa::ToSchema;

use super::super::auth::Staff;
use super::super::dto::{PriorityDto, QueueEntryDto};
use super::unread;
use crate::domain::actor::Actor;
use crate::domain::queue::{QueueAction, QueueState};
use crate::domain::text;
use crate::http::error::{ApiResult, OrApiError, Problem};
use crate::http::fields::{HttpValidationError, JsonBody, PathId, QueryFields};
use crate::service::{App, queue};

type Entries = ApiResult<Json<Vec<QueueEntryDto>>>;

async fn entries(app: &App, actor: &Actor, state: Option<QueueState>) -> Entries {
    let found = queue::entries(app, actor, state).await.or_error(actor)?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// Everybody in the queue, by placement.
#[utoipa::path(
    get, path = "/appointments/queue", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "The places", body = Vec<QueueEntryDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn all(State(app): State<Arc<App>>, Staff(actor): Staff) -> Entries {
    entries(&app, &actor, None).await
}

/// Those who wait, in the order in which it is their turn.
#[utoipa::path(
    get, path = "/appointments/pending", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "The places", body = Vec<QueueEntryDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn pending(State(app): State<Arc<App>>, Staff(actor): Staff) -> Entries {
    entries(&app, &actor, Some(QueueState::Pending)).await
}

/// Those who may fill the form.
#[utoipa::path(
    get, path = "/appointments/accepted", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "The places", body = Vec<QueueEntryDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn accepted(State(app): State<Arc<App>>, Staff(actor): Staff) -> Entries {
    entries(&app, &actor, Some(QueueState::Accepted)).await
}

/// Those who have sent the form.
#[utoipa::path(
    get, path = "/appointments/created", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "The places", body = Vec<QueueEntryDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn created(State(app): State<Arc<App>>, Staff(actor): Staff) -> Entries {
    entries(&app, &actor, Some(QueueState::Created)).await
}

/// How many places there are.
#[utoipa::path(
    get, path = "/appointments/queue/size", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "A bare integer", body = i64, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn size(State(app): State<Arc<App>>, Staff(actor): Staff) -> ApiResult<Json<i64>> {
    Ok(Json(queue::day(&app, &actor).await.or_error(&actor)?.size))
}

/// Set how many places there are, today and from now on.
#[utoipa::path(
    post, path = "/appointments/queue/size", tag = "queue", security(("bearer" = [])),
    params(("new_size" = i64, Query, description = "Places", minimum = 0, maximum = 10000)),
    responses(
        (status = 200, description = "The new size", body = i64, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a size", body = HttpValidationError)))]
pub(super) async fn resize(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    QueryFields(mut query): QueryFields,
) -> Response {
    let size = query.integer("new_size");
    if let Err(refusal) = query.finish() {
        return refusal.into_response();
    }
    let Some(size) = size else { return unread() };
    queue::resize(&app, &actor, size)
        .await
        .or_error(&actor)
        .map_err(|error| error.in_query().with_input(size))
        .map(|()| Json(size))
        .into_response()
}

/// Whether patients may submit.
#[utoipa::path(
    get, path = "/appointments/queue/open", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "A bare boolean", body = bool, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn is_open(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> ApiResult<Json<bool>> {
    Ok(Json(queue::day(&app, &actor).await.or_error(&actor)?.open))
}

/// Open the queue. Those who wait or were accepted keep their places; the others may submit again.
#[utoipa::path(
    post, path = "/appointments/queue/open", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "It is open: always true", body = bool, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn open(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> ApiResult<Json<bool>> {
    queue::open(&app, &actor).await.or_error(&actor)?;
    Ok(Json(true))
}

/// Close the queue. The places stay.
#[utoipa::path(
    post, path = "/appointments/queue/close", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "It is closed: always true", body = bool, content_type = "application/json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn close(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> ApiResult<Json<bool>> {
    queue::close(&app, &actor).await.or_error(&actor)?;
    Ok(Json(true))
}

async fn decide(
    app: &App,
    actor: &Actor,
    placement: i64,
    action: QueueAction,
) -> ApiResult<(StatusCode, Json<bool>)> {
    queue::decide(app, actor, placement, action)
        .await
        .or_error(actor)?;
    Ok((StatusCode::CREATED, Json(true)))
}

/// Let a patient fill the form.
#[utoipa::path(
    put, path = "/appointments/accept/{id}", tag = "queue", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Placement")),
    responses(
        (status = 201, description = "Always true", body = bool, content_type = "application/json"),
        (status = 400, description = "Not from this state", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such placement", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn accept(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<(StatusCode, Json<bool>)> {
    decide(&app, &actor, id, QueueAction::Accept).await
}

/// Turn a patient down.
#[utoipa::path(
    put, path = "/appointments/deny/{id}", tag = "queue", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Placement")),
    responses(
        (status = 201, description = "Always true", body = bool, content_type = "application/json"),
        (status = 400, description = "Not from this state", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such placement", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn deny(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<(StatusCode, Json<bool>)> {
    decide(&app, &actor, id, QueueAction::Deny).await
}

/// Note that a patient did not come. The place is free again, and the patient may submit again.
#[utoipa::path(
    put, path = "/appointments/no-show/{id}", tag = "queue", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Placement")),
    responses(
        (status = 201, description = "Always true", body = bool, content_type = "application/json"),
        (status = 400, description = "Not from this state", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such placement", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn no_show(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<(StatusCode, Json<bool>)> {
    decide(&app, &actor, id, QueueAction::NoShow).await
}

/// Put one patient back among the waiting, without clearing the day.
#[utoipa::path(
    put, path = "/appointments/put-back/{id}", tag = "queue", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Placement")),
    responses(
        (status = 201, description = "Always true", body = bool, content_type = "application/json"),
        (status = 400, description = "Not from this state, or the queue is full", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such placement", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not an id", body = HttpValidationError)))]
pub(super) async fn put_back(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
) -> ApiResult<(StatusCode, Json<bool>)> {
    decide(&app, &actor, id, QueueAction::PutBack).await
}

/// Who goes first, and why.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body; fields are read one by one")]
pub(super) struct Priority {
    /// 0 takes it back.
    #[schema(minimum = 0, maximum = 9)]
    priority: i64,
    /// Required unless `priority` is 0.
    reason: Option<String>,
}

/// Who goes before others, and why.
#[utoipa::path(
    get, path = "/appointments/priority", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 200, description = "The places, the first one first", body = Vec<PriorityDto>),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn prioritized(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> ApiResult<Json<Vec<PriorityDto>>> {
    let found = queue::prioritized(&app, &actor).await.or_error(&actor)?;
    Ok(Json(found.into_iter().map(Into::into).collect()))
}

/// Let a patient go before others, for a reason.
#[utoipa::path(
    put, path = "/appointments/priority/{id}", tag = "queue", security(("bearer" = [])),
    params(("id" = i64, Path, description = "Placement")),
    request_body = Priority,
    responses(
        (status = 201, description = "Always true", body = bool, content_type = "application/json"),
        (status = 400, description = "The patient neither waits nor was accepted", body = Problem, content_type = "application/problem+json"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json"),
        (status = 404, description = "No such placement", body = Problem, content_type = "application/problem+json"),
        (status = 422, description = "Not a priority, or no reason", body = HttpValidationError)))]
pub(super) async fn prioritize(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
    PathId(id): PathId,
    JsonBody(mut body): JsonBody,
) -> Response {
    let priority = body.integer("priority");
    let reason = body.optional_parse("reason", text::line);
    if let Err(refusal) = body.check() {
        return refusal.into_response();
    }
    let Some(priority) = priority else {
        return unread();
    };
    let done = queue::prioritize(&app, &actor, id, priority, reason)
        .await
        .or_error(&actor)
        .map_err(|error| error.with_sent(&body));
    done.map(|()| (StatusCode::CREATED, Json(true)))
        .into_response()
}

/// Take everybody out of the queue. Appointments and resolutions stay.
#[utoipa::path(
    delete, path = "/appointments", tag = "queue", security(("bearer" = [])),
    responses(
        (status = 204, description = "The queue is empty"),
        (status = 401, description = "Not authenticated", body = Problem, content_type = "application/problem+json")))]
pub(super) async fn clear(
    State(app): State<Arc<App>>,
    Staff(actor): Staff,
) -> ApiResult<StatusCode> {
    queue::clear(&app, &actor).await.or_error(&actor)?;
    Ok(StatusCode::NO_CONTENT)
}
