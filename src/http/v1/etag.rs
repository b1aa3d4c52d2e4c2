//! `ETag`, `If-Match`: nobody overwrites what they have not seen.
//!
//! A tag is the digest of what the client sees, so it is the same on every node.

use std::convert::Infallible;

use axum::Json;
use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use crate::service::Expectation;

/// What the client saw, by the header `If-Match`.
#[derive(Debug)]
pub(super) struct IfMatch(Option<String>);

impl<S: Sync> FromRequestParts<S> for IfMatch {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Infallible> {
        let values = parts.headers.get_all(header::IF_MATCH).iter();
        let values: Vec<_> = values
            .map(|value| value.to_str().unwrap_or_default())
            .collect();
        Ok(Self((!values.is_empty()).then(|| values.join(","))))
    }
}

impl IfMatch {
    /// Whether what is found is still what the client saw as a `D`.
    pub(super) fn expectation<T, D>(self) -> Option<Expectation<T>>
    where
        T: Clone,
        D: From<T> + Serialize,
    {
        let tags = self.0?;
        Some(Box::new(move |found: &T| {
            matches(&tags, &tag(&D::from(found.clone())))
        }))
    }
}

/// Whether one of these tags is this one, or they are `*`.
pub(super) fn matches(tags: &str, tag: &str) -> bool {
    let mut tags = tags.split(',').map(str::trim);
    tags.any(|it| it == "*" || it == tag)
}

fn tag(shown: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(shown).unwrap_or_default();
    let digest = blake3::hash(&bytes).to_hex();
    format!("\"{}\"", &digest[..16])
}

/// The answer with its tag.
pub(super) fn tagged(shown: &(impl Serialize + Sync)) -> Response {
    let tag = HeaderValue::from_str(&tag(shown));
    let mut response = Json(shown).into_response();
    if let Ok(tag) = tag {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_follows_what_is_shown() {
        assert_eq!(tag(&[1, 2]), tag(&[1, 2]));
        assert_ne!(tag(&[1, 2]), tag(&[1, 3]));
        let it = tag(&1);
        assert!(matches(&it, &it) && matches("*", &it) && matches(&format!("\"x\", {it}"), &it));
        assert!(!matches("\"x\"", &it) && !matches(&format!("W/{it}"), &it));
    }
}
