//! Live: server-sent events at `/v1/events`, a WebSocket at `/ws/readings`, and tickets for clients that can show a token
//! nowhere but in an address.
//!
//! Both tell the same ([`crate::service::live`]). Must never write an address to a log: it may hold a token.

mod sse;
mod who;
mod ws;

pub use who::Origins;

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use serde::Serialize;
use utoipa::ToSchema;

use super::changes::{self, ChangeDto};
use super::extract::Query;
use super::queue::StandingDto;
use super::refusal::{Done, OrRefusal, Refusal, Refused};
use crate::auth::token::Audience;
use crate::http::error::{ApiError, Problem};
use crate::limits;
use crate::service::live::{self, Event, Pass, Session};
use crate::service::{App, Error};
use who::Sender;

/// A ticket.
#[derive(Serialize, ToSchema)]
pub(super) struct TicketDto {
    /// Put it into `?ticket=`. It is good once.
    ticket: String,
    /// Seconds.
    expires_in_s: u64,
}

/// The queue, for staff.
#[derive(Serialize)]
struct WaitingDto {
    open: bool,
    waiting: i64,
}

#[derive(Serialize)]
struct OpenDto {
    open: i64,
}

#[derive(Serialize)]
struct NothingDto {}

/// The name of an event, and its JSON.
fn told(event: Event) -> (&'static str, String) {
    match event {
        Event::Ready => ("ready", json(&NothingDto {})),
        Event::Resync => ("resync", json(&NothingDto {})),
        Event::Standing(standing) => ("queue", json(&StandingDto::from(standing))),
        Event::Queue(live::Waiting { open, waiting }) => {
            ("queue", json(&WaitingDto { open, waiting }))
        }
        Event::Conflicts(open) => ("conflicts", json(&OpenDto { open })),
        Event::Change(change) => {
            let change = ChangeDto::new(change);
            (change.kind, json(&change))
        }
    }
}

fn json(shown: &impl Serialize) -> String {
    serde_json::to_string(shown).unwrap_or_default()
}

/// Make a ticket: for a browser, which cannot send a header with a WebSocket or an event stream.
#[utoipa::path(
    post, path = "/v1/tickets", tag = "live", security(("bearer" = [])),
    responses((status = 201, description = "The ticket", body = TicketDto), Refused))]
pub(super) async fn ticket(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    sender: Sender,
) -> Done {
    let Some(token) = sender.bearer() else {
        return Err(sender.refuse(Error::Unauthenticated));
    };
    let pass = Pass { audience, token };
    let actor = pass.check(&app, &sender.anonymous).await;
    let actor = actor.or_refusal(&sender.anonymous)?;
    let ticket = live::ticket(&app, pass).or_refusal(&actor)?;
    let made = TicketDto {
        ticket: ticket.expose().to_owned(),
        expires_in_s: limits::TICKET_VALID.as_secs(),
    };
    Ok((StatusCode::CREATED, Json(made)).into_response())
}

/// What happens, as server-sent events.
#[utoipa::path(
    get, path = "/v1/events", tag = "live", security(("bearer" = [])),
    params(
        ("ticket" = Option<String>, Query, description = "Instead of the header `Authorization`"),
        ("patient_id" = Option<String>, Query, description = "Staff: patient ids with commas between them; all patients when absent"),
        ("after" = Option<String>, Query, description = "A cursor of `/v1/changes`, or the id of an event; the header `Last-Event-ID` goes before it"),
        ("Accept" = String, Header, description = "`text/event-stream`")),
    responses(
        (status = 200, description = "Events: `ready`, `reading`, `queue_entry`, `appointment`, `resolution`, `profile`, `queue`, `conflicts`, `resync`, `end`", body = String, content_type = "text/event-stream"),
        (status = 406, description = "`Accept` does not name it", body = Problem, content_type = "application/problem+json"),
        Refused))]
pub(super) async fn events(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    sender: Sender,
    query: Query,
) -> Done {
    let pass = sender.pass(&app, audience, &query, false)?;
    // Known first: whoever has no good token hears nothing else.
    let actor = pass.check(&app, &sender.anonymous).await;
    actor.or_refusal(&sender.anonymous)?;
    let accepts = sender.headers.get(header::ACCEPT);
    let accepts = accepts.and_then(|it| it.to_str().ok());
    if !accepts.is_some_and(|it| it.contains("text/event-stream")) {
        return Err(not_acceptable(&sender));
    }
    let session = open(&app, &sender, pass, query).await?;
    Ok(sse::answer(session))
}

fn not_acceptable(sender: &Sender) -> Refusal {
    let problem = Problem {
        status: StatusCode::NOT_ACCEPTABLE.as_u16(),
        detail: "Accept: text/event-stream".to_owned(),
        code: "not_acceptable".to_owned(),
        request_id: sender.anonymous.request_id.as_deref().map(str::to_owned),
    };
    Box::new(problem.into_response()).into()
}

/// What happens, through a WebSocket: each message is `{"event", "data", "cursor"}`.
#[utoipa::path(
    get, path = "/ws/readings", tag = "live", security(("bearer" = [])),
    params(
        ("token" = Option<String>, Query, description = "An access token. Better: the header `Authorization`, the sub-protocol `bearer.` with the token behind it beside `islet.v1`, or a ticket"),
        ("ticket" = Option<String>, Query, description = "A ticket"),
        ("patient_id" = Option<String>, Query, description = "Staff: patient ids with commas between them; all patients when absent"),
        ("after" = Option<String>, Query, description = "The `cursor` of the last message, or one of `/v1/changes`")),
    responses(
        (status = 101, description = "The WebSocket"),
        (status = 426, description = "Not a WebSocket", body = Problem, content_type = "application/problem+json"),
        Refused))]
pub(super) async fn socket(
    State(app): State<Arc<App>>,
    Extension(audience): Extension<Audience>,
    sender: Sender,
    query: Query,
    upgrade: ws::Upgrade,
) -> Done {
    let pass = sender.pass(&app, audience, &query, true)?;
    let actor = pass.check(&app, &sender.anonymous).await;
    actor.or_refusal(&sender.anonymous)?;
    let upgrade = upgrade.or_refusal(&sender)?;
    let session = open(&app, &sender, pass, query).await?;
    Ok(ws::answer(upgrade, session))
}

/// Opens the session that a request asks for.
async fn open(app: &Arc<App>, sender: &Sender, pass: Pass, mut query: Query) -> Done<Session> {
    let fields = &mut query.0.fields;
    let patients = fields.optional_parse("patient_id", changes::patient_ids);
    let after = fields.optional_parse("after", |text| Ok(text.to_owned()));
    query.0.finish()?;
    let after = last_event(&sender.headers).or(after);
    // What is no cursor is answered with a resync, like one that is too old: an EventSource would not read an error.
    let after = after.map(|text| changes::cursor(&text).unwrap_or_default());
    let opened = Session::open(app, &sender.anonymous, pass, patients, after).await;
    opened.map_err(|error| Refusal::from(ApiError::new(error, &sender.anonymous).into_problem()))
}

fn last_event(headers: &HeaderMap) -> Option<String> {
    let id = headers.get("last-event-id")?.to_str().ok()?;
    (!id.is_empty()).then(|| id.to_owned())
}

/// The code of the error that ends a session.
fn end_code(error: &Error) -> &'static str {
    match error {
        Error::Busy => "closing",
        other => other.code(),
    }
}

/// A response that nothing may hold back.
fn unbuffered(mut response: Response) -> Response {
    let no = HeaderValue::from_static("no");
    response.headers_mut().insert("x-accel-buffering", no);
    response
}
