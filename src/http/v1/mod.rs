//! The API for new clients: plural nouns, snake_case, RFC 3339 in UTC, pages with an opaque cursor.
//!
//! Every error is `application/problem+json` with one text, mistakes in the request included. A route must never
//! decide by itself who may do what: it says which kind of account it is for, the service decides the rest.

pub mod conflicts;
mod extract;

use std::sync::Arc;

use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::service::App;

/// What staff use. Served beside the back office, under `/v1`.
pub(super) fn backoffice() -> OpenApiRouter<Arc<App>> {
    OpenApiRouter::new()
        .routes(routes!(conflicts::list))
        .routes(routes!(conflicts::get))
        .routes(routes!(conflicts::settle))
}
