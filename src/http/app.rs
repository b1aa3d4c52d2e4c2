//! The routers of a node: patients, back office, and both for the LAN.
//!
//! Before the routes comes [`super::front`]. Paths are answered with and without a trailing slash, never with a redirect that would
//! lose a token.

use std::sync::Arc;

use axum::Router;

use super::budget::Budget;
use super::tls::{CertificateAuthority, ca_page};
use super::{docs, error, front, health, home, legacy, reset};
use crate::service::App;

/// What the routers need to know besides the services.
#[derive(Clone, Debug, Default)]
pub struct HttpOptions {
    /// Name of the clinic, for pages.
    pub clinic: String,
    /// Origins of web pages that may call the API; nothing else may.
    pub cors_origins: Vec<String>,
    /// What requests and answers may take of the memory.
    pub budget: Budget,
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
    let backoffice = legacy::backoffice(app, options).merge(common);
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

/// Adds the files that every port has, and what is in front of all routes.
fn finish(app: &Arc<App>, options: &HttpOptions, routes: Router) -> Router {
    let routes = routes
        .merge(docs::assets())
        .merge(reset::style())
        .merge(home::style())
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed);
    let (origins, budget) = (&options.cors_origins, options.budget.clone());
    front::wrap(routes, Arc::clone(&app.random), origins, budget)
}
