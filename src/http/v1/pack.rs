//! Answers on a bad link: compressed for who takes it, and not sent again to who has them.
//!
//! An answer is packed as a whole and then counts in the budget as what it has become. A stream passes untouched.

use std::io::{Read, Write};

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::middleware::Next;
use axum::response::Response;
use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use http_body::Body as _;
use http_body_util::BodyExt;

use super::etag;
use crate::limits;

/// Packs answers, and says 304 to who has what was asked for.
pub(super) async fn answers(request: Request, next: Next) -> Response {
    let gzip = accepts_gzip(request.headers());
    let is_read = request.method() == Method::GET;
    let had = request.headers().get(header::IF_NONE_MATCH).cloned();
    let mut response = next.run(request).await;
    let tag = response.headers().get(header::ETAG);
    if let (true, Some(had), Some(tag)) = (is_read, had, tag)
        && let (Ok(had), Ok(tag)) = (had.to_str(), tag.to_str())
        && etag::matches(had, tag)
    {
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        *response.body_mut() = Body::empty();
        response.headers_mut().remove(header::CONTENT_TYPE);
        return response;
    }
    let bytes = response.body().size_hint().exact().unwrap_or(0);
    let headers = response.headers_mut();
    headers.append(header::VARY, HeaderValue::from_static("accept-encoding"));
    if gzip && bytes >= limits::COMPRESSED_BYTES_MIN as u64 {
        return pack(response).await;
    }
    response
}

/// Whether `Accept-Encoding` names gzip, not with a weight of none.
fn accepts_gzip(headers: &HeaderMap) -> bool {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter();
    let mut codings = values
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','));
    codings.any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let weight = weight.trim().trim_start_matches("q=");
        name.trim().eq_ignore_ascii_case("gzip") && weight.parse() != Ok(0.0_f32)
    })
}

async fn pack(response: Response) -> Response {
    let (mut parts, body) = response.into_parts();
    // It lies in memory as a whole already.
    let whole = body.collect().await.map(|body| body.to_bytes());
    let whole = whole.unwrap_or_default();
    let Ok(packed) = gzip(&whole) else {
        return Response::from_parts(parts, Body::from(whole));
    };
    parts.headers.remove(header::CONTENT_LENGTH);
    let coding = HeaderValue::from_static("gzip");
    parts.headers.insert(header::CONTENT_ENCODING, coding);
    Response::from_parts(parts, Body::from(packed))
}

fn gzip(bytes: &[u8]) -> std::io::Result<Bytes> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(bytes)?;
    encoder.finish().map(Bytes::from)
}

/// What a client packed, when it unpacks to at most `most` bytes.
pub(super) fn unpack(packed: &[u8], most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    let one_more = u64::try_from(most).ok()? + 1;
    let mut decoder = GzDecoder::new(packed).take(one_more);
    decoder.read_to_end(&mut bytes).ok()?;
    (bytes.len() <= most).then_some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bomb_is_not_unpacked() {
        let packed = gzip(&vec![0; 100_000]).unwrap();
        assert_eq!(unpack(&packed, 100_000).map(|it| it.len()), Some(100_000));
        assert_eq!(unpack(&packed, 99_999), None);
        assert_eq!(unpack(b"no gzip", 100), None);
    }

    #[test]
    fn gzip_is_asked_for_by_name() {
        let asks = |value: &'static str| {
            let value = HeaderValue::from_static(value);
            accepts_gzip(&HeaderMap::from_iter([(header::ACCEPT_ENCODING, value)]))
        };
        assert!(asks("gzip") && asks("br, GZIP;q=0.5, *;q=0") && asks("gzip; q=1"));
        assert!(!asks("br") && !asks("gzip;q=0") && !asks("gzip; q=0.0"));
    }
}
