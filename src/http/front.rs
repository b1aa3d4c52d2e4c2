//! What every request passes, once, before it is routed: an id, CORS, answer headers, a net for
//! panics. Wraps the whole router: layers inside it are copied for each request.
//!
//! The id of the client is kept when it is short and plain, so that one id follows a request from
//! the phone into the audit log; otherwise the node makes one. Every answer shows it.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, header};
use axum::response::Response;
use futures_util::FutureExt;
use tower::{Layer, Service, ServiceExt};
use tower_http::cors::{AllowOrigin, Cors, CorsLayer};
use tower_http::normalize_path::NormalizePath;

use super::budget::Budget;
use super::context::{REQUEST_ID, RequestId};
use super::error;
use super::listen::Progress;
use crate::auth::Random;

type Routes = NormalizePath<Router>;

/// Wraps `routes`. `origins` are those of web pages that may call them.
pub fn wrap(routes: Router, random: Arc<dyn Random>, origins: &[String], budget: Budget) -> Router {
    // Normalising has to come before routing, so it wraps the whole router.
    let routes = NormalizePath::trim_trailing_slash(routes);
    Router::new().fallback_service(Front {
        with_origin: Arc::new(cors(origins).layer(routes.clone())),
        routes,
        random,
        budget,
    })
}

#[derive(Clone)]
struct Front {
    routes: Routes,
    /// Copied only for requests of web pages: it holds all origins.
    with_origin: Arc<Cors<Routes>>,
    random: Arc<dyn Random>,
    budget: Budget,
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let id = self.name(&mut request);
        request.extensions_mut().insert(self.budget.clone());
        if request.headers().contains_key(header::ORIGIN) {
            let service = Cors::clone(&self.with_origin);
            return Box::pin(answer(service, request, id));
        }
        Box::pin(answer(self.routes.clone(), request, id))
    }
}

impl Front {
    /// Gives the request its id, unless it has one already.
    fn name(&self, request: &mut Request) -> Option<HeaderValue> {
        if request.extensions().get::<RequestId>().is_none() {
            let id = RequestId::of(request.headers(), &*self.random);
            request.extensions_mut().insert(id);
        }
        let id = request.extensions().get::<RequestId>()?;
        if let Some(progress) = request.extensions().get::<Arc<Progress>>() {
            progress.name(id);
        }
        HeaderValue::from_str(&id.id).ok()
    }
}

async fn answer<S>(
    service: S,
    request: Request,
    id: Option<HeaderValue>,
) -> Result<Response, Infallible>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    // Whatever a handler shares with others is either locked, which notices a panic, or atomic.
    let answer = AssertUnwindSafe(service.oneshot(request));
    let mut response = match answer.catch_unwind().await {
        Ok(response) => response?,
        Err(_) => error::panicked(id.as_ref().and_then(|id| id.to_str().ok())),
    };
    let headers = response.headers_mut();
    if let Some(id) = id {
        headers.insert(REQUEST_ID, id);
    }
    protect(headers);
    Ok(response)
}

/// Headers of every answer: health data is not to be stored on the way.
fn protect(headers: &mut HeaderMap) {
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
}

fn cors(origins: &[String]) -> CorsLayer {
    let origins = origins
        .iter()
        .filter_map(|origin| HeaderValue::from_str(origin).ok());
    CorsLayer::new()
        .allow_origin(AllowOrigin::list(origins))
        .allow_credentials(true)
        .allow_methods([
            Method::GET,
            Method::POST,
            Method::PUT,
            Method::PATCH,
            Method::DELETE,
        ])
        .allow_headers([
            header::AUTHORIZATION,
            header::CONTENT_TYPE,
            header::ACCEPT,
            REQUEST_ID,
            header::IF_MATCH,
            header::IF_NONE_MATCH,
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([REQUEST_ID, header::RETRY_AFTER, header::ETAG])
}
