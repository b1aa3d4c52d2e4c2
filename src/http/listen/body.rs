//! The two bodies of an exchange. The request's is held to a pace while somebody waits for it; the
//! answer's marks the end of the request. Neither may change a byte.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use axum::body::Body as AxumBody;
use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use thiserror::Error;
use tokio::time::Sleep;

use super::conn::{Conn, RequestGuard, Stage};
use super::exchange::Progress;

/// How long a body may keep us waiting: a grace, and a second per so many bytes received. Time in
/// which nobody asked for more does not count.
pub(super) struct Pace {
    grace: Duration,
    bytes_per_s: u64,
    received_bytes: u64,
    waited: Duration,
    waits_since: Option<Instant>,
}

impl Pace {
    pub(super) fn new(grace: Duration, bytes_per_s: u64) -> Self {
        let (received_bytes, waited, waits_since) = (0, Duration::ZERO, None);
        Self {
            grace,
            bytes_per_s: bytes_per_s.max(1),
            received_bytes,
            waited,
            waits_since,
        }
    }

    /// Nothing is there yet; answers when that becomes too long.
    pub(super) fn waiting(&mut self, now: Instant) -> Instant {
        let since = *self.waits_since.get_or_insert(now);
        let earned_ms = self.received_bytes.saturating_mul(1000) / self.bytes_per_s;
        let allowed = self.grace + Duration::from_millis(earned_ms);
        since + allowed.saturating_sub(self.waited)
    }

    /// Bytes came.
    pub(super) fn received(&mut self, bytes: usize, now: Instant) {
        if let Some(since) = self.waits_since.take() {
            self.waited += now.saturating_duration_since(since);
        }
        self.received_bytes = self.received_bytes.saturating_add(bytes as u64);
    }
}

/// Why a request body ended early.
#[derive(Debug, Error)]
pub(super) enum RequestBodyError {
    #[error("the request body came too slowly")]
    TooSlow,
    #[error(transparent)]
    Connection(#[from] hyper::Error),
}

/// The body that handlers see.
pub(super) struct RequestBody {
    inner: Incoming,
    pace: Pace,
    timer: Option<Pin<Box<Sleep>>>,
    conn: Arc<Conn>,
    key: u64,
    progress: Arc<Progress>,
}

impl RequestBody {
    /// `progress.too_slow` is set when the body is given up.
    pub(super) fn new(
        inner: Incoming,
        pace: Pace,
        guard: &RequestGuard,
        progress: Arc<Progress>,
    ) -> Self {
        let conn = Arc::clone(&guard.conn);
        Self {
            inner,
            pace,
            timer: None,
            conn,
            key: guard.key,
            progress,
        }
    }

    fn poll_overdue(&mut self, cx: &mut Context<'_>) -> bool {
        let deadline = self.pace.waiting(Instant::now());
        let timer = self.timer.get_or_insert_with(|| {
            self.conn.set_stage(self.key, Stage::Receiving);
            Box::pin(tokio::time::sleep_until(deadline.into()))
        });
        timer.as_mut().poll(cx).is_ready()
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBodyError>>> {
        let this = &mut *self;
        if this.progress.too_slow.load(Ordering::Relaxed) {
            return Poll::Ready(None);
        }
        match Pin::new(&mut this.inner).poll_frame(cx) {
            Poll::Ready(frame) => {
                if this.timer.take().is_some() {
                    this.conn.set_stage(this.key, Stage::Working);
                }
                let data = frame
                    .as_ref()
                    .and_then(|frame| frame.as_ref().ok()?.data_ref());
                this.pace
                    .received(data.map_or(0, Bytes::len), Instant::now());
                Poll::Ready(frame.map(|frame| frame.map_err(RequestBodyError::from)))
            }
            Poll::Pending if this.poll_overdue(cx) => {
                this.progress.too_slow.store(true, Ordering::Relaxed);
                Poll::Ready(Some(Err(RequestBodyError::TooSlow)))
            }
            Poll::Pending => Poll::Pending,
        }
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        if self.timer.is_some() && self.conn.stage(self.key) == Some(Stage::Receiving) {
            self.conn.set_stage(self.key, Stage::Working);
        }
    }
}

/// The body that the peer sees; the request is over when it is dropped.
pub(super) struct ResponseBody {
    inner: AxumBody,
    _guard: RequestGuard,
}

impl ResponseBody {
    pub(super) fn new(inner: AxumBody, guard: RequestGuard) -> Self {
        Self {
            inner,
            _guard: guard,
        }
    }
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.inner).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
