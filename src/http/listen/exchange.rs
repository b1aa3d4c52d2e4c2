//! One request and its answer: tells the handler who asks, keeps the total time, and turns a body
//! that came too slowly into an answer that says so. Must never replace an answer that succeeded.

use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{Request, Response, StatusCode, Version};
use tower::ServiceExt;

use super::body::{Pace, RequestBody, ResponseBody};
use super::conn::{Conn, Stage};
use super::{ClientAddr, ClientCertificate, ConnectionLimits, LongLived, Scheme};

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
        let too_slow = Arc::new(AtomicBool::new(false));
        let mut request = request.map(|body| {
            let pace = Pace::new(self.limits.body_grace, self.limits.body_bytes_per_s);
            Body::new(RequestBody::new(body, pace, &guard, Arc::clone(&too_slow)))
        });
        let extensions = request.extensions_mut();
        extensions.insert(ClientAddr(self.peer));
        extensions.insert(self.scheme);
        if let Some(certificate) = &self.certificate {
            extensions.insert(certificate.clone());
        }

        let mut answer = pin!(self.app.clone().oneshot(request));
        let deadline = began + self.limits.request_timeout;
        let response = match tokio::time::timeout_at(deadline.into(), answer.as_mut()).await {
            Ok(Ok(response)) => {
                let failed =
                    response.status().is_client_error() || response.status().is_server_error();
                if failed && too_slow.load(Ordering::Relaxed) {
                    body_too_slow()
                } else {
                    response
                }
            }
            Err(_) if self.conn.stage(guard.key) == Some(Stage::Receiving) => body_too_slow(),
            Err(_) => took_too_long(),
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
}

fn body_too_slow() -> Response<Body> {
    let text = r#"{"title":"Request Timeout","status":408,"code":"body_too_slow","detail":"the request body came too slowly: send it again"}"#;
    problem(StatusCode::REQUEST_TIMEOUT, text)
}

fn took_too_long() -> Response<Body> {
    let text = r#"{"title":"Service Unavailable","status":503,"code":"took_too_long","detail":"the node did not finish in time: try again"}"#;
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, text);
    response
        .headers_mut()
        .insert(RETRY_AFTER, HeaderValue::from_static("1"));
    response
}

/// RFC 9457.
fn problem(status: StatusCode, text: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(text));
    *response.status_mut() = status;
    let kind = HeaderValue::from_static("application/problem+json");
    response.headers_mut().insert(CONTENT_TYPE, kind);
    response
}
