//! The back-office gateway: port 8001, also under `/backoffice`. For staff.

mod admin;
mod appointments;
mod glucose;
mod queue;
mod users;

use std::sync::Arc;

use axum::{Extension, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::{Bearer, token};
use crate::auth::token::Audience;
use crate::http::app::HttpOptions;
use crate::service::App;

#[derive(OpenApi)]
#[openapi(
    info(title = "Islet: back office", description = "The API of the clinic's back office. Times are Argentina wall time, glucose is mg/dL."),
    modifiers(&Bearer)
)]
struct Description;

/// All routes with their descriptions.
pub(super) fn routes() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::with_openapi(Description::openapi())
        .routes(routes!(token::token))
        .routes(routes!(token::revoke))
        .routes(routes!(admin::recover))
        .routes(routes!(admin::me))
        .routes(routes!(admin::change_mail))
        .routes(routes!(admin::change_password))
        .routes(routes!(admin::create))
        .routes(routes!(users::list, users::create))
        .routes(routes!(users::get, users::edit))
        .routes(routes!(users::toggle_blocked))
        .routes(routes!(users::desk_code))
        .routes(routes!(queue::all))
        .routes(routes!(queue::pending))
        .routes(routes!(queue::accepted))
        .routes(routes!(queue::created))
        .routes(routes!(queue::size, queue::resize))
        .routes(routes!(queue::is_open, queue::open))
        .routes(routes!(queue::close))
        .routes(routes!(queue::accept))
        .routes(routes!(queue::deny))
        .routes(routes!(queue::no_show))
        .routes(routes!(queue::put_back))
        .routes(routes!(queue::prioritized))
        .routes(routes!(queue::prioritize))
        .routes(routes!(queue::clear))
        .routes(routes!(appointments::of_user))
        .routes(routes!(appointments::latest_of_user))
        .routes(routes!(appointments::resolution))
        .routes(routes!(appointments::create_resolution))
        .routes(routes!(glucose::of_user))
        .routes(routes!(glucose::latest_of_user))
        .routes(routes!(glucose::all))
        .routes(routes!(glucose::create))
        .routes(routes!(glucose::delete))
        .merge(crate::http::v1::backoffice())
        .layer(Extension(Audience::Staff))
}

/// The router with its pages.
pub fn router(app: &Arc<App>, options: &HttpOptions) -> Router {
    super::build(app, options, routes())
}

/// For values that are missing although their reading noted no issue: a mistake of ours.
fn unread() -> axum::response::Response {
    use axum::response::IntoResponse;
    tracing::error!("a field was neither read nor refused");
    axum::http::StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
