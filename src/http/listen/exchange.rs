//! One request and its answer: tells the handler who asks, keeps the total time, and turns a body
//! that came too slowly into an answer that says so. Must never replace an answer that succeeded.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{HOST, HeaderValue, ORIGIN};
use hyper::{Request, Response, StatusCode, Uri, Version};
use tower::ServiceExt;

use super::body::{Pace, RequestBody, ResponseBody};
use super::conn::{Conn, Stage};
use super::{ClientAddr, ClientCertificate, ConnectionLimits, LongLived, Scheme};
use crate::http::context::RequestId;

/// What all requests of one connection share.
pub(super) struct Exchange {
    pub(super) app: Router,
    pub(super) peer: SocketAddr,
    pub(super) scheme: Scheme,
    pub(super) certificate: Option<ClientCertificate>,
    pub(super) limits: ConnectionLimits,
    pub(super) conn: Arc<Conn>,
}

impl Exchange {
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<ResponseBody> {
        let began = Instant::now();
        let guard = self.conn.begin(request.version() == Version::HTTP_2, began);
        let progress = Arc::<Progress>::default();
        let origin = request.headers().get(ORIGIN).cloned();
        let mut request = request.map(|body| {
            let pace = Pace::new(self.limits.body_grace, self.limits.body_bytes_per_s);
            Body::new(RequestBody::new(body, pace, &guard, Arc::clone(&progress)))
        });
        let extensions = request.extensions_mut();
        extensions.insert(Arc::clone(&progress));
        extensions.insert(ClientAddr(self.peer));
        extensions.insert(self.scheme);
        if let Some(certificate) = &self.certificate {
            extensions.insert(certificate.clone());
        }

        if !names_one_host(&request) {
            // The rest of what was sent is not read: where it ends is as doubtful as whom it is for.
            let response = self
                .answer_instead(Instead::NotOneHost, &progress, origin)
                .await;
            guard.set_stage(Stage::Sending);
            return response.map(|body| ResponseBody::new(body, guard));
        }
        let mut answer = pin!(self.app.clone().oneshot(request));
        let deadline = began + self.limits.request_timeout;
        let response = match tokio::time::timeout_at(deadline.into(), answer.as_mut()).await {
            Ok(Ok(response)) => {
                let failed =
                    response.status().is_client_error() || response.status().is_server_error();
                if failed && progress.too_slow.load(Ordering::Relaxed) {
                    self.answer_instead(Instead::BodyTooSlow, &progress, origin)
                        .await
                } else {
                    response
                }
            }
            Err(_) if self.conn.stage(guard.key) == Some(Stage::Receiving) => {
                self.answer_instead(Instead::BodyTooSlow, &progress, origin)
                    .await
            }
            Err(_) => {
                self.answer_instead(Instead::TookTooLong, &progress, origin)
                    .await
            }
        };

        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            self.conn.upgrade();
        }
        let long_lived = response.extensions().get::<LongLived>().is_some();
        guard.set_stage(if long_lived {
            Stage::LongLived
        } else {
            Stage::Sending
        });
        response.map(|body| ResponseBody::new(body, guard))
    }

    /// The answer to a request that ran out of time, or is none: made by the fallback of the same app, so that
    /// it has the form and the headers of all others, and the id of the request.
    async fn answer_instead(
        &self,
        instead: Instead,
        progress: &Progress,
        origin: Option<HeaderValue>,
    ) -> Response<Body> {
        let mut request = Request::new(Body::empty());
        // No route has this path, and no client can send the extension.
        *request.uri_mut() = Uri::from_static("*");
        if let Some(origin) = origin {
            request.headers_mut().insert(ORIGIN, origin);
        }
        let extensions = request.extensions_mut();
        extensions.insert(instead);
        if let Some(id) = progress.id.get() {
            extensions.insert(id.clone());
        }
        let Ok(response) = self.app.clone().oneshot(request).await;
        response
    }
}

/// HTTP/1.1 wants one `Host`, no more and no less (RFC 9112, 3.2): two programs on the way could take
/// a request with two for two different ones.
fn names_one_host<B>(request: &Request<B>) -> bool {
    let hosts = request.headers().get_all(HOST).iter().count();
    match request.version() {
        Version::HTTP_11 => hosts == 1,
        _ => hosts <= 1,
    }
}

/// Request extension: instead of a route, [`crate::http::error::not_found`] answers this.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Instead {
    /// The body did not come, or far too slowly.
    BodyTooSlow,
    /// The handler did not finish in time.
    TookTooLong,
    /// It does not say for which host it is, or says two.
    NotOneHost,
}

/// Request extension: what is known of a request while it is answered.
#[derive(Debug, Default)]
pub struct Progress {
    pub(super) too_slow: AtomicBool,
    id: OnceLock<RequestId>,
}

impl Progress {
    /// Notes the id that the request was given.
    pub(in crate::http) fn name(&self, id: &RequestId) {
        self.id.get_or_init(|| id.clone());
    }
}
