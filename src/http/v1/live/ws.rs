//! The WebSocket (RFC 6455).
//!
//! A message is `{"event", "data"}`, and the last of those that were found together has the `cursor` too. What a client
//! sends is read, for pings and the close, and has no meaning. One that takes nothing for a while is gone.

use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::extract::ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use futures_util::{SinkExt, StreamExt};

use super::super::changes::show;
use super::super::refusal::Done;
use super::{Sender, end_code, told};
use crate::http::error::Problem;
use crate::limits;
use crate::service::live::{Event, Session};
use crate::service::{App, Error};

/// The sub-protocol that is agreed on when the client names any.
const PROTOCOL: &str = "islet.v1";
/// Close codes of this application (RFC 6455, section 7.4.2): the log-in has ended; come back in a moment.
const ENDED: u16 = 4401;
const AGAIN: u16 = 1012;

/// The request to become a WebSocket, when it is one. Looked at after the token.
pub(in crate::http::v1) struct Upgrade(Option<WebSocketUpgrade>);

impl FromRequestParts<Arc<App>> for Upgrade {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let upgrade = WebSocketUpgrade::from_request_parts(parts, app).await;
        Ok(Self(upgrade.ok()))
    }
}

impl Upgrade {
    pub(super) fn or_refusal(self, sender: &Sender) -> Done<WebSocketUpgrade> {
        self.0.ok_or_else(|| {
            let problem = Problem {
                status: StatusCode::UPGRADE_REQUIRED.as_u16(),
                detail: "Este recurso es un WebSocket.".to_owned(),
                code: "upgrade_required".to_owned(),
                request_id: sender.anonymous.request_id.as_deref().map(str::to_owned),
            };
            Box::new(problem.into_response()).into()
        })
    }
}

pub(super) fn answer(upgrade: WebSocketUpgrade, session: Session) -> Response {
    upgrade
        .protocols([PROTOCOL])
        .max_message_size(limits::SOCKET_MESSAGE_BYTES_MAX)
        .max_frame_size(limits::SOCKET_MESSAGE_BYTES_MAX)
        .read_buffer_size(limits::SOCKET_BUFFER_BYTES)
        .write_buffer_size(0)
        .on_upgrade(|socket| Box::pin(converse(socket, session)))
}

async fn converse(socket: WebSocket, mut session: Session) {
    let (mut send, mut receive) = socket.split();
    loop {
        let events = tokio::select! {
            events = session.next() => events,
            message = receive.next() => match message {
                Some(Ok(Message::Close(_)) | Err(_)) | None => return,
                Some(Ok(_)) => continue,
            },
        };
        let messages = match events {
            Ok(events) => written(events, &session),
            Err(error) => {
                let _ =
                    tokio::time::timeout(limits::LIVE_SEND_TIMEOUT, send.send(end(&error))).await;
                return;
            }
        };
        for message in messages {
            let sent = tokio::time::timeout(limits::LIVE_SEND_TIMEOUT, send.send(message)).await;
            if !matches!(sent, Ok(Ok(()))) {
                return;
            }
        }
    }
}

fn written(events: Vec<Event>, session: &Session) -> Vec<Message> {
    if events.is_empty() {
        return vec![Message::Ping(Vec::new().into())];
    }
    let last = events.len() - 1;
    let write = |(at, event)| {
        let (name, data) = told(event);
        let text = if at == last {
            let cursor = show(&session.cursor());
            format!("{{\"event\":\"{name}\",\"data\":{data},\"cursor\":\"{cursor}\"}}")
        } else {
            format!("{{\"event\":\"{name}\",\"data\":{data}}}")
        };
        Message::Text(text.into())
    };
    events.into_iter().enumerate().map(write).collect()
}

fn end(error: &Error) -> Message {
    let code = if matches!(error, Error::Busy) {
        AGAIN
    } else {
        ENDED
    };
    Message::Close(Some(CloseFrame {
        code,
        reason: end_code(error).into(),
    }))
}
