//! The API that the phone app and the back office of the clinic speak, byte for byte where they
//! look: date forms, bare scalars, status codes, trailing slashes.
//!
//! Where the system before had faults (500 on a repeated submit, 403 for business errors that make
//! the app wipe its data, tokens of patients accepted from staff), this one does what its clients
//! need; docs/API.md lists each difference. A route must never decide by itself who may do what:
//! it says which kind of account it is for ([`auth`]), the service decides the rest.

pub(super) mod auth;
mod backoffice;
mod dto;
pub(super) mod patient;
mod token;

pub use backoffice::router as backoffice;
pub use patient::router as patient;

use std::sync::Arc;

use axum::middleware::from_fn_with_state;
use axum::{Extension, Router};
use utoipa::Modify;
use utoipa::openapi::OpenApi;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;

use super::app::HttpOptions;
use super::budget;
use super::v1::Origins;
use crate::service::App;

/// Turns documented routes into a router with the description beside it.
fn build(app: &Arc<App>, options: &HttpOptions, routes: OpenApiRouter<Arc<App>>) -> Router {
    let (router, description) = routes.with_state(Arc::clone(app)).split_for_parts();
    let budget = options.budget.clone();
    router
        .layer(from_fn_with_state(budget, budget::answers))
        .layer(Extension(Origins::of(options)))
        .merge(super::docs::router(&description))
}

/// The description alone, for the committed copy.
fn description(routes: OpenApiRouter<Arc<App>>) -> OpenApi {
    routes.into_openapi()
}

/// The two descriptions, patient first.
#[must_use]
pub fn descriptions() -> [OpenApi; 2] {
    [
        description(patient::routes()),
        description(backoffice::routes()),
    ]
}

/// Adds the bearer scheme to a description.
struct Bearer;

impl Modify for Bearer {
    fn modify(&self, description: &mut OpenApi) {
        let scheme = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .bearer_format("JWT")
            .build();
        let components = description.components.get_or_insert_default();
        components.add_security_scheme("bearer", SecurityScheme::Http(scheme));
    }
}
