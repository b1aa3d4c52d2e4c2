//! The API for new clients: plural nouns, snake_case, RFC 3339 in UTC, pages with an opaque cursor.
//!
//! Every error is `application/problem+json` with one text, mistakes in the request included. A route must never
//! decide by itself who may do what: it says which kind of account it is for, the service decides the rest.

mod appointments;
mod audit;
mod changes;
mod clinic;
pub mod conflicts;
mod etag;
mod extract;
mod live;
mod pack;
mod page;
mod patients;
mod profile;
mod queue;
mod readings;
mod refusal;
mod sessions;
mod staff;

use std::sync::Arc;

pub use live::Origins;

use axum::middleware::from_fn;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::App;

/// What patients use. Served beside the phone app's routes, under `/v1`.
pub(super) fn patient() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(sessions())
        .routes(routes!(profile::get, profile::edit))
        .routes(routes!(profile::change_password))
        .routes(routes!(profile::counters))
        .routes(routes!(readings::mine, readings::create))
        .routes(routes!(readings::get_mine))
        .routes(routes!(changes::upload))
        .routes(routes!(changes::mine))
        .routes(routes!(queue::mine))
        .routes(routes!(queue::submit, queue::cancel))
        .routes(routes!(appointments::mine, appointments::create))
        .routes(routes!(appointments::get_mine))
        .routes(routes!(appointments::my_resolution))
        .layer(from_fn(pack::answers))
        .merge(live())
}

/// What staff use. Served beside the back office, under `/v1`.
pub(super) fn backoffice() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .merge(sessions())
        .routes(routes!(staff::profile, staff::edit_profile))
        .routes(routes!(staff::change_password))
        .routes(routes!(staff::list, staff::create))
        .routes(routes!(staff::edit))
        .routes(routes!(patients::list, patients::create))
        .routes(routes!(patients::get, patients::edit))
        .routes(routes!(patients::desk_code))
        .routes(routes!(readings::of_patient, readings::create_for))
        .routes(routes!(
            readings::get,
            readings::correct,
            readings::withdraw
        ))
        .routes(routes!(changes::of_patients))
        .routes(routes!(appointments::of_patient))
        .routes(routes!(appointments::get))
        .routes(routes!(appointments::resolution, appointments::resolve))
        .routes(routes!(queue::get, queue::change))
        .routes(routes!(queue::clear))
        .routes(routes!(queue::decide))
        .routes(routes!(queue::prioritize))
        .routes(routes!(conflicts::list))
        .routes(routes!(conflicts::get))
        .routes(routes!(conflicts::settle))
        .routes(routes!(audit::list))
        .routes(routes!(clinic::peers))
        .routes(routes!(clinic::settings, clinic::change_settings))
        .layer(from_fn(pack::answers))
        .merge(live())
}

fn live() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(live::ticket))
        .routes(routes!(live::events))
        .routes(routes!(live::socket))
}

fn sessions() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(sessions::begin))
        .routes(routes!(sessions::refresh))
        .routes(routes!(sessions::end))
}
