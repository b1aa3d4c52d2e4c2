//! Server-sent events (WHATWG HTML, section 9.2).
//!
//! The id of an event is a cursor, and only the last event of those that were found together has one: who comes back with
//! it has all before it. A client that reads slowly is not asked for; what it misses meanwhile is told from the store.

use std::convert::Infallible;

use axum::Extension;
use axum::response::sse::{Event as SseEvent, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream::{self, StreamExt};

use super::super::changes::show;
use super::{end_code, told, unbuffered};
use crate::http::listen::LongLived;
use crate::service::live::Session;

/// How long a browser waits before it connects again.
const RETRY: std::time::Duration = std::time::Duration::from_secs(3);

pub(super) fn answer(session: Session) -> Response {
    let events = stream::unfold(Some(session), |session| async {
        let mut session = session?;
        Some(match session.next().await {
            Ok(events) => (written(events, &session), Some(session)),
            Err(error) => {
                let end = format!("{{\"code\":\"{}\"}}", end_code(&error));
                (vec![SseEvent::default().event("end").data(end)], None)
            }
        })
    });
    let events = events.flat_map(|them| stream::iter(them.into_iter().map(Ok::<_, Infallible>)));
    unbuffered((Extension(LongLived), Sse::new(events)).into_response())
}

fn written(events: Vec<crate::service::live::Event>, session: &Session) -> Vec<SseEvent> {
    if events.is_empty() {
        return vec![SseEvent::default().comment("")];
    }
    let last = events.len() - 1;
    let write = |(at, event)| {
        let (name, json) = told(event);
        let event = SseEvent::default().event(name).data(json);
        let event = if name == "ready" {
            event.retry(RETRY)
        } else {
            event
        };
        if at == last {
            event.id(show(&session.cursor()))
        } else {
            event
        }
    };
    events.into_iter().enumerate().map(write).collect()
}
