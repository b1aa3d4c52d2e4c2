//! The routers of a node: patients, back office, and both for the LAN.
//!
//! Layers, from the outside in: request id and answer headers, CORS, trailing slashes, then the
//! routes. Paths are answered with and without a trailing slash, never with a redirect that would
//! lose a token.

use std::sync::Arc;

use axum::Router;
use axum::http::{HeaderName, HeaderValue, Method, header};
use axum::middleware::{from_fn, from_fn_with_state};
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::cors::{AllowOrigin, CorsLayer};
use tower_http::normalize_path::NormalizePath;

use super::tls::{CertificateAuthority, ca_page};
use super::{context, docs, error, health, home, legacy, reset};
use crate::service::App;

/// What the routers need to know besides the services.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Name of the clinic, for pages.
    pub clinic: String,
    /// Origins of web pages that may call the API; nothing else may.
    pub cors_origins: Vec<String>,
    /// The node's certificate authority, to be shown at `/ca`.
    pub authority: Option<Arc<CertificateAuthority>>,
}

/// The routers of a node.
#[derive(Debug)]
pub struct Routers {
    /// Patients at the root and under `/api`: port 8000.
    pub patient: Router,
    /// The back office at the root and under `/backoffice`: port 8001.
    pub backoffice: Router,
    /// Patients at the root and under `/api`, the back office under `/backoffice`: the LAN port.
    pub lan: Router,
}

/// Builds the routers.
#[must_use]
pub fn routers(app: &Arc<App>, options: &HttpOptions) -> Routers {
    let mut common = health::router(app);
    if let Some(authority) = &options.authority {
        common = common.merge(ca_page(authority));
    }
    let patient = legacy::patient(app, options).merge(common.clone());
    let backoffice = legacy::backoffice(app).merge(common);
    let home = |prefix, reset| home::router(options, prefix, reset);
    let patients = Router::new()
        .merge(patient.clone().merge(home("", true)))
        .nest("/api", patient.merge(home("/api", true)));
    let under_prefix = backoffice.clone().merge(home("/backoffice", false));
    let lan = patients.clone().nest("/backoffice", under_prefix.clone());
    let office = backoffice
        .merge(home("", false))
        .nest("/backoffice", under_prefix);
    Routers {
        patient: finish(app, options, patients),
        backoffice: finish(app, options, office),
        lan: finish(app, options, lan),
    }
}

/// Adds the files that every port has, and the layers.
fn finish(app: &Arc<App>, options: &HttpOptions, routes: Router) -> Router {
    let routes = routes
        .merge(docs::assets())
        .merge(reset::style())
        .merge(home::style())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(CatchPanicLayer::custom(error::panicked))
        .layer(cors(&options.cors_origins))
        .layer(from_fn(context::answer_headers))
        .layer(from_fn_with_state(Arc::clone(app), context::request_id));
    // Normalising has to come before routing, so it wraps the whole router.
    Router::new().fallback_service(NormalizePath::trim_trailing_slash(routes))
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
            HeaderName::from_static("x-request-id"),
            HeaderName::from_static("idempotency-key"),
        ])
        .expose_headers([HeaderName::from_static("x-request-id"), header::RETRY_AFTER])
}
