//! JSON bodies.

use axum::extract::{FromRequest, Request};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use http_body_util::BodyExt;
use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value, json};

use super::{Fields, Issue, Unprocessable};
use crate::http::budget::{Budget, Held};
use crate::http::context::Anonymous;
use crate::http::error::{ApiError, Problem};
use crate::limits;

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

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let (bytes, _held) = bytes(request).await?;
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

    async fn from_request(request: Request, _state: &S) -> Result<Self, Response> {
        let (bytes, _held) = bytes(request).await?;
        if bytes.iter().all(u8::is_ascii_whitespace) || bytes == b"null" {
            return Ok(Self(Fields::new("body", Map::new())));
        }
        parse(&bytes).map(Self).map_err(IntoResponse::into_response)
    }
}

/// Request extension: it is known who sends the body, so it may be as long as a form.
#[derive(Clone, Copy, Debug)]
pub struct KnownSender;

/// The whole body, and the room that it takes up until it was parsed.
///
/// What goes beyond a bound is read and thrown away up to a further one: an answer while the client
/// still sends would reach it as a broken connection, not as a text that says what is wrong.
pub(in crate::http) async fn bytes(request: Request) -> Result<(Vec<u8>, Held), Response> {
    let (parts, mut body) = request.into_parts();
    let Anonymous(sender) = Anonymous::of(&parts);
    let budget = parts.extensions.get::<Budget>();
    let most = match parts.extensions.get::<KnownSender>() {
        Some(KnownSender) => limits::BODY_BYTES_MAX,
        None => limits::UNKNOWN_BODY_BYTES_MAX,
    };
    let (mut bytes, mut held, mut seen) = (Vec::new(), Held::default(), 0);
    let mut room = true;
    while let Some(frame) = body.frame().await {
        let Ok(frame) = frame else {
            return Err(refuse(
                StatusCode::BAD_REQUEST,
                "body_unreadable",
                "No se pudo leer lo enviado. Intente de nuevo.",
                sender.request_id.as_deref(),
            ));
        };
        let Ok(data) = frame.into_data() else {
            continue;
        };
        seen += data.len();
        if seen > limits::BODY_BYTES_DRAINED_MAX {
            break;
        }
        let mut take = |budget: &Budget| budget.take_body(data.len(), &mut held);
        room = room && (seen > most || budget.is_some_and(&mut take));
        if seen <= most && room {
            bytes.extend_from_slice(&data);
        } else {
            (bytes, held) = (Vec::new(), Held::default());
        }
    }
    if seen > most {
        let detail = format!(
            "Lo enviado es demasiado grande: se aceptan hasta {} KiB.",
            most / 1024
        );
        return Err(refuse(
            StatusCode::PAYLOAD_TOO_LARGE,
            "body_too_large",
            &detail,
            sender.request_id.as_deref(),
        ));
    }
    if !room {
        return Err(ApiError::new(crate::service::Error::Busy, &sender).into_response());
    }
    Ok((bytes, held))
}

fn refuse(status: StatusCode, code: &str, detail: &str, request_id: Option<&str>) -> Response {
    let (code, detail) = (code.to_owned(), detail.to_owned());
    Problem {
        status: status.as_u16(),
        detail,
        code,
        request_id: request_id.map(str::to_owned),
    }
    .into_response()
}

/// The object in a body.
pub(in crate::http) fn parse(bytes: &[u8]) -> Result<Fields, Unprocessable> {
    let mut input = serde_json::Deserializer::from_slice(bytes);
    let value = Strict { depth: 0 }
        .deserialize(&mut input)
        .and_then(|value| {
            input.end()?;
            Ok(value)
        });
    match value {
        Ok(Value::Object(values)) => Ok(Fields::new("body", values)),
        Ok(other) => Err(issue(
            "model_attributes_type",
            "Input should be a valid dictionary or object to extract fields from".into(),
            without_secrets(other),
        )),
        Err(error) => {
            let msg = format!("JSON decode error: {error}");
            Err(issue("json_invalid", msg, json!({})))
        }
    }
}

/// What was sent instead of an object, as far as no password can be in it.
fn without_secrets(value: Value) -> Value {
    match value {
        Value::String(_) => Value::Null,
        Value::Array(items) if !items.is_empty() => Value::Null,
        other => other,
    }
}

fn issue(kind: &'static str, msg: String, input: Value) -> Unprocessable {
    Unprocessable(vec![Issue {
        kind,
        loc: vec!["body".into()],
        msg,
        input,
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
