//! Why a peer does not do what it was asked: a stable code and a text for people. Must never carry
//! what went on inside, nor show more of a stranger's text than a line.

use axum::Json;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use islet_sync::frame::{Frame, Kind};
use serde::{Deserialize, Serialize};

use super::stream::StreamError;
use crate::limits;
use crate::service::Error;

const REVOKED: &str = "revoked";

/// The body of an answer that is no success, and the payload of [`Kind::Error`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{detail}")]
pub struct Refusal {
    /// Stable name.
    pub code: String,
    /// What to do.
    pub detail: String,
}

impl Refusal {
    pub(super) fn new(code: &str, detail: &str) -> Self {
        Self {
            code: code.to_owned(),
            detail: detail.to_owned(),
        }
    }

    /// The key is nobody's here.
    pub(super) fn stranger() -> Self {
        let detail = "this node does not belong to the network: join it with an invitation";
        Self::new("not_a_member", detail)
    }

    /// The key was thrown out.
    pub(super) fn revoked() -> Self {
        Self::new(REVOKED, "this node was removed from the network")
    }

    /// Whether it says that whoever asked was thrown out.
    pub(super) fn is_revoked(&self) -> bool {
        self.code == REVOKED
    }

    /// Too much at once.
    pub(super) fn busy() -> Self {
        Self::new("busy", "the other node has too much to do: try again")
    }

    /// From another node's bytes, made fit to be shown.
    #[must_use]
    pub fn read(bytes: &[u8]) -> Self {
        let unknown = || Self::new("refused", "the other node gave no reason");
        let read: Self = serde_json::from_slice(bytes).unwrap_or_else(|_| unknown());
        let plain = |text: &str| -> String {
            let shown = text.chars().filter(|c| !c.is_control());
            shown.take(limits::REFUSAL_CHARS_MAX).collect()
        };
        Self {
            code: plain(&read.code),
            detail: plain(&read.detail),
        }
    }

    /// For a stream that has begun.
    pub(super) fn frame(&self) -> Frame {
        let payload = serde_json::to_vec(self).unwrap_or_default();
        Frame::new(Kind::Error, payload)
    }
}

impl From<Error> for Refusal {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Store(_) | Error::Internal(_)) {
            tracing::error!(code = error.code(), "a peer's request failed: {error}");
            let detail = "the other node could not do it: look at its log";
            return Self::new(error.code(), detail);
        }
        Self::new(error.code(), &error.to_string())
    }
}

impl From<StreamError> for Refusal {
    fn from(error: StreamError) -> Self {
        Self::new("bad_stream", &error.to_string())
    }
}

impl IntoResponse for Refusal {
    fn into_response(self) -> Response {
        let status = match self.code.as_str() {
            "busy" => StatusCode::SERVICE_UNAVAILABLE,
            "disk_full" => StatusCode::INSUFFICIENT_STORAGE,
            "internal" => StatusCode::INTERNAL_SERVER_ERROR,
            "bad_stream" => StatusCode::BAD_REQUEST,
            _ => StatusCode::FORBIDDEN,
        };
        (status, Json(self)).into_response()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_strangers_text_is_cut_to_a_plain_line() {
        let long = "x".repeat(9_000);
        let hostile = Refusal::new("\u{1b}[2Jbusy", &format!("a\nb\u{7}{long}"));
        let read = Refusal::read(&serde_json::to_vec(&hostile).unwrap());
        assert_eq!(read.code, "[2Jbusy");
        assert_eq!(read.detail.len(), limits::REFUSAL_CHARS_MAX);
        assert!(read.detail.starts_with("abx"));
        assert_eq!(Refusal::read(b"<html>").code, "refused");
    }
}
