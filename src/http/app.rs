//! The routers of the node.

use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use super::tls::{CertificateAuthority, ca_page};
use crate::service::App;

/// What the routers are told about the node.
pub struct HttpOptions {
    /// Name of the clinic.
    pub clinic: String,
    /// Origins of browser pages that may call the API.
    pub cors_origins: Vec<String>,
    /// Served at `/ca`, when there is one.
    pub authority: Option<Arc<CertificateAuthority>>,
}

/// One router for each kind of listener.
pub struct Routers {
    /// Patients.
    pub patient: Router,
    /// Staff.
    pub backoffice: Router,
    /// Both, for HTTPS.
    pub lan: Router,
}

/// Makes the routers.
pub fn routers(app: Arc<App>, options: &HttpOptions) -> Routers {
    let health = r#"{"status":"ok"}"#;
    let base = Router::new().route("/health", get(move || async move { health }));
    let base = match &options.authority {
        Some(authority) => base.merge(ca_page(authority)),
        None => base,
    };
    let router = base.layer(axum::Extension(app));
    Routers {
        patient: router.clone(),
        backoffice: router.clone(),
        lan: router,
    }
}
