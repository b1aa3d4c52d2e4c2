//! JSON bodies.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{Fields, Issue, Unprocessable};
use crate::http::error::Problem;

/// Deepest nesting of a JSON body. The deepest legitimate one has three levels.
const DEPTH_MAX: usize = 16;

/// A JSON object that must be there.
#[derive(Debug)]
pub struct JsonBody(pub Fields);

/// A JSON object, or nothing at all.
#[derive(Debug)]
pub struct OptionalJsonBody(pub Fields);

impl<S: Send + Sync> FromRequest<S> for JsonBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = bytes(request, state).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            let (kind, msg) = ("missing", "Field required".to_owned());
            let issue = Issue {
                kind,
                loc: vec!["body".into()],
                msg,
                input: Value::Null,
            };
            return Err(Unprocessable(vec![issue]).into_response());
        }
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

impl<S: Send + Sync> FromRequest<S> for OptionalJsonBody {
    type Rejection = Response;

    async fn from_request(request: Request, state: &S) -> Result<Self, Response> {
        let bytes = bytes(request, state).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) || bytes.as_ref() == b"null" {
            return Ok(Self(Fields::new("body", Map::new())));
        }
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

/// The whole body, up to the router's limit.
pub(super) async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Result<Bytes, Response> {
    Bytes::from_request(request, state)
        .await
        .map_err(|rejection| {
            let status = rejection.status();
            let too_large = status == StatusCode::PAYLOAD_TOO_LARGE;
            let (code, detail) = if too_large {
                ("body_too_large", "The body is too large".to_owned())
            } else {
                ("body_unreadable", "The body could not be read".to_owned())
            };
            let problem = Problem {
                status: status.as_u16(),
                detail,
                code: code.into(),
                request_id: None,
            };
            problem.into_response()
        })
}

fn parse(bytes: &[u8]) -> Result<Fields, Unprocessable> {
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }
        .deserialize(&mut input)
        .and_then(|value| {
            input.end()?;
            Ok(value)
        });
    match value {
        Ok(Value::Object(values)) => Ok(Fields::new("body", values)),
        Ok(_) => Err(issue(
            "model_attributes_type",
            "Input should be a valid dictionary or object to extract fields from".into(),
        )),
        Err(error) => Err(issue("json_invalid", format!("JSON decode error: {error}"))),
    }
}

fn issue(kind: &'static str, msg: String) -> Unprocessable {
    Unprocessable(vec![Issue {
        kind,
        loc: vec!["body".into()],
        msg,
        input: json!({}),
    }])
}

/// Reads JSON and refuses what JSON parsers differ about: names given twice, and deep nesting.
#[derive(Clone, Copy)]
struct Strict {
    depth: usize,
}

impl<'de> DeserializeSeed<'de> for Strict {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, input: D) -> Result<Value, D::Error> {
        if self.depth > DEPTH_MAX {
            return Err(D::Error::custom("nested too deeply"));
        }
        input.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strict {
    type Value = Value;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("JSON")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = items.next_element_seed(Self {
            depth: self.depth + 1,
        })? {
            values.push(value);
        }
        Ok(Value::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut values = Map::new();
        while let Some(name) = entries.next_key::<String>()? {
            let value = entries.next_value_seed(Self {
                depth: self.depth + 1,
            })?;
            if values.insert(name.clone(), value).is_some() {
                return Err(A::Error::custom(format_args!("{name:?} is given twice")));
            }
        }
        Ok(Value::Object(values))
    }
}
