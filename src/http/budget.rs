//! How much of requests and answers the node holds in memory at once, over all connections.
//!
//! Bounds on one body and on the number of connections multiply to more than a small computer has;
//! this is the bound on the sum. Whoever would exceed it is told to come back in a moment. Must
//! never: turn an answer about something that was written into a refusal.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Method;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http_body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::context::Anonymous;
use super::error::ApiError;
use crate::limits;
use crate::service::Error;

/// The bytes that are left, shared by all routers of the node.
#[derive(Clone, Debug)]
pub struct Budget {
    bodies: Arc<Semaphore>,
    answers: Arc<Semaphore>,
}

impl Default for Budget {
    fn default() -> Self {
        Self::new(limits::BODIES_BYTES_MAX, limits::ANSWERS_BYTES_MAX)
    }
}

/// Bytes that are taken until this is dropped.
#[derive(Debug, Default)]
pub struct Held(Option<OwnedSemaphorePermit>);

impl Held {
    /// Adds what another holds.
    fn merge(&mut self, more: OwnedSemaphorePermit) {
        match &mut self.0 {
            Some(permit) => permit.merge(more),
            None => self.0 = Some(more),
        }
    }
}

impl Budget {
    /// A budget of so many bytes of request bodies and of answers.
    #[must_use]
    pub fn new(bodies_bytes: usize, answers_bytes: usize) -> Self {
        Self {
            bodies: Arc::new(Semaphore::new(bodies_bytes)),
            answers: Arc::new(Semaphore::new(answers_bytes)),
        }
    }

    /// Takes `bytes` more of a request body, or says that there is no room.
    pub(super) fn take_body(&self, bytes: usize, held: &mut Held) -> bool {
        let more = take(&self.bodies, bytes);
        more.map(|more| held.merge(more)).is_some()
    }
}

fn take(budget: &Arc<Semaphore>, bytes: usize) -> Option<OwnedSemaphorePermit> {
    let bytes = u32::try_from(bytes).ok()?;
    Arc::clone(budget).try_acquire_many_owned(bytes).ok()
}

/// Holds the bytes of a list until it was sent, however slowly its client reads.
pub async fn answers(State(budget): State<Budget>, request: Request, next: Next) -> Response {
    if request.method() != Method::GET {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    let Anonymous(actor) = Anonymous::of(&parts);
    let response = next.run(Request::from_parts(parts, body)).await;
    let bytes = response.body().size_hint().exact();
    let bytes = bytes.and_then(|bytes| usize::try_from(bytes).ok());
    let bytes = bytes.unwrap_or(0);
    if bytes <= limits::ANSWER_BYTES_FREE {
        return response;
    }
    match take(&budget.answers, bytes) {
        Some(held) => response.map(|inner| {
            Body::new(HeldBody {
                inner,
                rest: Bytes::new(),
                _held: held,
            })
        }),
        None => ApiError::new(Error::Busy, &actor).into_response(),
    }
}

/// Hands its bytes out in small pieces: over HTTP/1 hyper takes as much as a piece into its own buffer at once,
/// and with the last one the budget is free again.
struct HeldBody {
    inner: Body,
    /// What came out of `inner` and was not handed out yet.
    rest: Bytes,
    _held: OwnedSemaphorePermit,
}

impl HttpBody for HeldBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            let next = match Pin::new(&mut self.inner).poll_frame(cx) {
                Poll::Ready(Some(Ok(frame))) => frame,
                other => return other,
            };
            match next.into_data() {
                Ok(data) => self.rest = data,
                Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
            }
        }
        let piece = self.rest.len().min(limits::ANSWER_PIECE_BYTES);
        let piece = self.rest.split_to(piece);
        Poll::Ready(Some(Ok(Frame::data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let inner = self.inner.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(rest + inner.lower());
        if let Some(upper) = inner.upper() {
            hint.set_upper(rest + upper);
        }
        hint
    }
}

#[cfg(test)]
mod tests;
