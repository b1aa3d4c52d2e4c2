//! Query parameters, form bodies and ids in paths.

use std::borrow::Cow;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use percent_encoding::percent_decode_str;
use serde_json::map::Entry;
use serde_json::{Map, Value};

use super::{Fields, Issue, Unprocessable, body};
use crate::domain::text::Invalid;

/// The query of a request.
#[derive(Debug)]
pub struct QueryFields(pub Fields);

/// A form body (`application/x-www-form-urlencoded`).
#[derive(Debug)]
pub struct FormBody(pub Fields);

/// A row id at the end of a path.
#[derive(Clone, Copy, Debug)]
pub struct PathId(pub i64);

impl<S: Sync> FromRequestParts<S> for QueryFields {
    type Rejection = Unprocessable;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Unprocessable> {
        pairs("query", parts.uri.query().unwrap_or_default()).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for FormBody {
    type Rejection = Response;

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let is_json = says_json(&request);
        let (bytes, _held) = body::bytes(request).await?;
        if is_json {
            return Err(wants_a_form().into_response());
        }
        let text = str::from_utf8(&bytes).map_err(|_| not_utf8("body").into_response())?;
        pairs("body", text)
            .map(Self)
            .map_err(IntoResponse::into_response)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Unprocessable;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Unprocessable> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        let text = text.map(|Path(text)| text).unwrap_or_default();
        text.parse().map(Self).map_err(|_| {
            let msg = "Input should be a valid integer, unable to parse string as an integer";
            let loc = vec!["path".into(), "id".into()];
            Unprocessable(vec![Issue {
                kind: "int_parsing",
                loc,
                msg: msg.into(),
                input: text.into(),
            }])
        })
    }
}

fn says_json(request: &Request) -> bool {
    let kind = request.headers().get(CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    kind.to_ascii_lowercase().starts_with("application/json")
}

/// Else the answer would be that fields are missing that the client did send, in its way.
fn wants_a_form() -> Unprocessable {
    let msg = "Input should be a form (application/x-www-form-urlencoded), not JSON";
    Unprocessable(vec![Issue {
        kind: "form_type",
        loc: vec!["body".into()],
        msg: msg.into(),
        input: Value::Null,
    }])
}

/// Decodes `a=b&c=d` (WHATWG URL, section 5.1), strictly: UTF-8, each name once.
fn pairs(place: &'static str, text: &str) -> Result<Fields, Unprocessable> {
    let mut values = Map::new();
    let mut issues = Vec::new();
    for pair in text.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decode(name), decode(value)) else {
            return Err(not_utf8(place));
        };
        match values.entry(name) {
            Entry::Vacant(free) => {
                free.insert(Value::String(value.into_owned()));
            }
            Entry::Occupied(taken) => {
                let reason = Invalid::new("is given twice", "está dos veces");
                issues.push(Issue::value(place, taken.key(), &reason, Value::Null));
            }
        }
    }
    if issues.is_empty() {
        Ok(Fields::new(place, values))
    } else {
        Err(Unprocessable(issues))
    }
}

fn decode(text: &str) -> Option<Cow<'_, str>> {
    if text.contains('+') {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8().ok()?;
        return Some(Cow::Owned(decoded.into_owned()));
    }
    percent_decode_str(text).decode_utf8().ok()
}

fn not_utf8(place: &'static str) -> Unprocessable {
    let (kind, msg) = ("string_unicode", "Input should be valid UTF-8".to_owned());
    Unprocessable(vec![Issue {
        kind,
        loc: vec![place.into()],
        msg,
        input: Value::Null,
    }])
}
