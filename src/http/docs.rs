//! The pages that describe the API: `/openapi.json`, made from the code, and `/docs`, a Swagger
//! page whose files come from this binary. Nothing is loaded from another host.

use std::sync::Arc;

use axum::Router;
use axum::extract::Path;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use utoipa::openapi::OpenApi;
use utoipa_swagger_ui::Config;

/// The page. The script finds the description beside it, under whatever prefix it is served.
const PAGE: &str = include_str!("../../web/docs.html");
const SCRIPT: &str = include_str!("../../web/docs.js");
/// Swagger UI sets styles from its script and draws icons from data URLs.
const POLICY: &str = "default-src 'self'; img-src 'self' data:; style-src 'self' 'unsafe-inline'; \
                      frame-ancestors 'none'; base-uri 'none'";

/// `/docs` and `/openapi.json` of one API.
pub fn router(description: &OpenApi) -> Router {
    let json: Arc<str> = description.to_json().unwrap_or_default().into();
    let page = (
        [
            (header::CONTENT_TYPE, "text/html; charset=utf-8"),
            (header::CONTENT_SECURITY_POLICY, POLICY),
        ],
        PAGE,
    );
    Router::new()
        .route("/docs", get(move || async move { page }))
        .route(
            "/openapi.json",
            get(move || async move {
                (
                    [(header::CONTENT_TYPE, "application/json")],
                    json.to_string(),
                )
            }),
        )
}

/// The files of the page, at the root of every port.
pub fn assets() -> Router {
    Router::new().route("/docs/assets/{file}", get(asset))
}

async fn asset(Path(file): Path<String>) -> Response {
    if file == "docs.js" {
        return (
            [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")],
            SCRIPT,
        )
            .into_response();
    }
    match utoipa_swagger_ui::serve(&file, Arc::new(Config::from("/openapi.json"))) {
        Ok(Some(found)) => {
            let kind = HeaderValue::from_str(&found.content_type);
            let kind = kind.unwrap_or(HeaderValue::from_static("application/octet-stream"));
            ([(header::CONTENT_TYPE, kind)], found.bytes.into_owned()).into_response()
        }
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}
