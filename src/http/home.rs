//! The bare address of a node: what this is, and where to go on. For whoever types the address
//! into a browser. Must never show more than anybody may know.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::app::HttpOptions;

/// The pages that people meet first look the same.
const STYLE: &str = include_str!("../../web/ca.css");
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'none'; \
                      frame-ancestors 'none'; base-uri 'none'";

#[derive(Template)]
#[template(path = "home.html")]
struct Page {
    clinic: String,
    /// Where the description is, without its name.
    prefix: &'static str,
    /// Whether there are pages for certificates, and for passwords.
    ca: bool,
    reset: bool,
}

/// `GET /` of an API that is served under `prefix`.
pub fn router(options: &HttpOptions, prefix: &'static str, reset: bool) -> Router {
    let page = Page {
        clinic: options.clinic.clone(),
        prefix,
        ca: options.authority.is_some(),
        reset,
    };
    // Rendered once: nothing in it changes while the node runs.
    let html: Option<Arc<str>> = match page.render() {
        Ok(html) => Some(html.into()),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            None
        }
    };
    Router::new().route("/", get(move || async move { show(html.as_deref()) }))
}

/// `GET /home.css`, at the root of every port.
pub fn style() -> Router {
    let style = ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE);
    Router::new().route("/home.css", get(move || async move { style }))
}

fn show(html: Option<&str>) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    match html {
        Some(html) => (headers, html.to_owned()).into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}
