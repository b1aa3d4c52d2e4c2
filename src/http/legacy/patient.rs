//! The patient gateway: port 8000, also under `/api`.

mod appointments;
mod glucose;
mod profile;
mod recovery;

pub(in crate::http) use glucose::Repeatable;
pub(super) use glucose::new_reading;
pub(super) use recovery::MAIL_ANSWER;

use std::sync::Arc;

use axum::{Extension, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Bearer, token};
use crate::auth::token::Audience;
use crate::http::app::HttpOptions;
use crate::http::reset::{self, Clinic};
use crate::service::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Islet: patients", description = "The API of the phone app. Times are Argentina wall time, glucose is mg/dL."),
    modifiers(&Bearer)
)]
struct Description;

/// All routes with their descriptions.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(token::token))
        .routes(routes!(token::revoke))
        .routes(routes!(recovery::forgot_password))
        .routes(routes!(recovery::reset_password))
        .routes(routes!(profile::me, profile::edit_me))
        .routes(routes!(profile::change_password))
        .routes(routes!(glucose::create))
        .routes(routes!(glucose::mine))
        .routes(routes!(glucose::latest))
        .routes(routes!(glucose::streak))
        .routes(routes!(glucose::achievements))
        .routes(routes!(appointments::state))
        .routes(routes!(appointments::submit))
        .routes(routes!(appointments::cancel))
        .routes(routes!(appointments::placement))
        .routes(routes!(appointments::open))
        .routes(routes!(appointments::create))
        .routes(routes!(appointments::mine))
        .routes(routes!(appointments::resolution))
        .merge(crate::http::v1::patient())
        .layer(Extension(Audience::Patient))
}

/// The router with its pages.
pub fn router(app: &Arc<App>, options: &HttpOptions) -> Router {
    super::build(app, options, routes())
        .layer(Extension(Clinic::of(options)))
        .merge(reset::router(options))
}
