//! What a phone gets from `/ca`.

use axum::body::Body;
use axum::http::{Request, Response, StatusCode};
use base64::Engine;
use http_body_util::BodyExt;
use tower::ServiceExt;

use super::*;

async fn get(authority: &Arc<CertificateAuthority>, path: &str) -> (Response<()>, Vec<u8>) {
    let request = Request::get(path).body(Body::empty()).unwrap();
    let answer = ca_page(authority).oneshot(request).await.unwrap();
    assert_eq!(answer.status(), StatusCode::OK, "{path}");
    let (parts, body) = answer.into_parts();
    (
        Response::from_parts(parts, ()),
        body.collect().await.unwrap().to_bytes().to_vec(),
    )
}

fn header<'a>(answer: &'a Response<()>, name: &str) -> &'a str {
    answer.headers().get(name).unwrap().to_str().unwrap()
}

#[tokio::test]
async fn the_page_shows_the_whole_fingerprint_and_runs_no_script() {
    let (_dir, authority) = authority(&[]);
    let (answer, html) = get(&authority, "/ca").await;
    let html = String::from_utf8(html).unwrap();
    assert_eq!(header(&answer, "content-type"), "text/html; charset=utf-8");
    let csp = header(&answer, "content-security-policy");
    assert!(
        csp.contains("default-src 'none'") && csp.contains("style-src 'self'"),
        "{csp}"
    );
    let groups: Vec<&str> = html
        .lines()
        .filter_map(|line| line.trim().strip_prefix("<li>")?.strip_suffix("</li>"))
        .filter(|item| item.len() == 11 && item.matches(':').count() == 3)
        .collect();
    assert_eq!(groups.join(":"), authority.fingerprint());
    let pin = authority.spki_pin().replace('+', "&#43;");
    assert!(html.contains(&authority.spki_pin()) || html.contains(&pin));
    for forbidden in ["<script", "style=", "<style", "onclick", "http://", "src="] {
        assert!(!html.contains(forbidden), "{forbidden}");
    }
    for system in [
        "Android", "iPhone", "Windows", "macOS", "Linux", "Firefox", "English",
    ] {
        assert!(html.contains(system), "{system}");
    }
}

/// Every link of the page leads somewhere within it or within the router.
#[tokio::test]
async fn the_page_has_no_dead_links() {
    let (_dir, authority) = authority(&[]);
    let (_, html) = get(&authority, "/ca").await;
    let html = String::from_utf8(html).unwrap();
    let links: Vec<&str> = html
        .split("href=\"")
        .skip(1)
        .filter_map(|rest| rest.split('"').next())
        .collect();
    assert!(links.len() > 10);
    for link in links {
        match link.strip_prefix('#') {
            Some(id) => assert!(html.contains(&format!("id=\"{id}\"")), "{link}"),
            None => assert!(!get(&authority, link).await.1.is_empty(), "{link}"),
        }
    }
}

#[tokio::test]
async fn the_certificate_comes_in_both_forms() {
    let (_dir, authority) = authority(&[]);
    let (answer, pem) = get(&authority, "/ca.crt").await;
    assert_eq!(
        header(&answer, "content-type"),
        "application/x-x509-ca-cert"
    );
    assert_eq!(pem, authority.pem().as_bytes());
    assert!(!String::from_utf8(pem).unwrap().contains("PRIVATE"));
    let (_, der) = get(&authority, "/ca.der").await;
    assert_eq!(der, authority.der());
}

#[tokio::test]
async fn the_profile_holds_the_certificate_under_ids_that_stay() {
    let (_dir, authority) = authority(&[]);
    let (answer, profile) = get(&authority, "/ca.mobileconfig").await;
    assert_eq!(
        header(&answer, "content-type"),
        "application/x-apple-aspen-config"
    );
    assert_eq!(get(&authority, "/ca.mobileconfig").await.1, profile);
    let profile = String::from_utf8(profile).unwrap();
    let between = |from: &str, to: &str| {
        let (_, rest) = profile.split_once(from).unwrap();
        rest.split_once(to).unwrap().0.to_owned()
    };
    let data = between("<data>", "</data>").replace("&#43;", "+");
    let der = base64::engine::general_purpose::STANDARD
        .decode(data)
        .unwrap();
    assert_eq!(der, authority.der());
    let id = between("<key>PayloadUUID</key><string>", "</string>");
    let lengths: Vec<usize> = id.split('-').map(str::len).collect();
    assert_eq!(lengths, [8, 4, 4, 4, 12], "{id}");
    let (_other_dir, other) = super::authority(&[]);
    let (_, other) = get(&other, "/ca.mobileconfig").await;
    assert!(!String::from_utf8(other).unwrap().contains(&id));
}
