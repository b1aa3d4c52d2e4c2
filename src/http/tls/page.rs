//! `/ca`: how to trust the node, for people who have never heard of certificates. Served over
//! plain HTTP too, since nobody can come through TLS before they trust it. Must never show more
//! than the certificate, which is public.

use std::sync::Arc;

use askama::Template;
use axum::Router;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::StatusCode;
use hyper::header::{CACHE_CONTROL, CONTENT_DISPOSITION, CONTENT_TYPE};

use super::CertificateAuthority;

const STYLE: &str = include_str!("../../../web/ca.css");

#[derive(Template)]
#[template(path = "ca.html")]
struct Page {
    /// Eight groups of four bytes: short enough to be read aloud.
    fingerprint: Vec<String>,
    pin: String,
}

#[derive(Template)]
#[template(path = "ca.mobileconfig.xml")]
struct Profile {
    certificate: String,
    certificate_id: String,
    profile_id: String,
    fingerprint: String,
}

/// `GET /ca`, `/ca/style.css`, `/ca.crt` (PEM), `/ca.der` and `/ca.mobileconfig` (iOS profile).
pub fn router(authority: &Arc<CertificateAuthority>) -> Router {
    let page = Arc::clone(authority);
    let pem = Arc::clone(authority);
    let der = Arc::clone(authority);
    let profile = Arc::clone(authority);
    Router::new()
        .route("/ca", get(move || async move { show(&page) }))
        .route(
            "/ca/style.css",
            get(|| async { answer("text/css; charset=utf-8", STYLE) }),
        )
        .route(
            "/ca.crt",
            get(move || async move {
                let kind = "application/x-x509-ca-cert";
                download(kind, "islet-ca.crt", pem.pem().to_owned())
            }),
        )
        .route(
            "/ca.der",
            get(move || async move {
                download("application/pkix-cert", "islet-ca.der", der.der().to_vec())
            }),
        )
        .route(
            "/ca.mobileconfig",
            get(move || async move { offer_profile(&profile) }),
        )
}

fn show(authority: &CertificateAuthority) -> Response {
    let bytes = authority.sha256();
    let group = |bytes: &[u8]| {
        bytes
            .iter()
            .map(|byte| format!("{byte:02X}"))
            .collect::<Vec<_>>()
            .join(":")
    };
    let page = Page {
        fingerprint: bytes.chunks(4).map(group).collect(),
        pin: authority.spki_pin(),
    };
    let csp = "default-src 'none'; style-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    match page.render() {
        Ok(html) => {
            let headers = [
                ("content-security-policy", csp),
                ("referrer-policy", "no-referrer"),
            ];
            (headers, answer("text/html; charset=utf-8", html)).into_response()
        }
        Err(error) => broken(&error),
    }
}

fn offer_profile(authority: &CertificateAuthority) -> Response {
    let sum = authority.sha256();
    let profile = Profile {
        certificate: STANDARD.encode(authority.der()),
        certificate_id: uuid(&sum[..16]),
        profile_id: uuid(&sum[16..]),
        fingerprint: authority.fingerprint(),
    };
    match profile.render() {
        Ok(xml) => download(
            "application/x-apple-aspen-config",
            "islet.mobileconfig",
            xml,
        ),
        Err(error) => broken(&error),
    }
}

/// A UUID of version 8 (RFC 9562, 5.8) from 16 bytes: the same certificate is the same profile,
/// so that installing it again replaces it.
fn uuid(bytes: &[u8]) -> String {
    let mut hex: Vec<char> = bytes
        .iter()
        .flat_map(|byte| format!("{byte:02X}").chars().collect::<Vec<_>>())
        .collect();
    hex[12] = '8';
    hex[16] = 'A';
    for at in [20, 16, 12, 8] {
        hex.insert(at, '-');
    }
    hex.into_iter().collect()
}

fn answer(kind: &'static str, body: impl IntoResponse) -> Response {
    let headers = [
        (CONTENT_TYPE.as_str(), kind),
        ("x-content-type-options", "nosniff"),
        (CACHE_CONTROL.as_str(), "no-cache"),
    ];
    (headers, body).into_response()
}

fn download(kind: &'static str, name: &'static str, body: impl IntoResponse) -> Response {
    let disposition = format!("attachment; filename=\"{name}\"");
    ([(CONTENT_DISPOSITION, disposition)], answer(kind, body)).into_response()
}

fn broken(error: &askama::Error) -> Response {
    tracing::error!(%error, "the page of the certificate authority cannot be shown");
    StatusCode::INTERNAL_SERVER_ERROR.into_response()
}
