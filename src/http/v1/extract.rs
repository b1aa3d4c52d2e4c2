//! Reading a request, with mistakes answered as a problem with one text.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::pack;
use crate::http::context::RequestId;
use crate::http::error::Problem;
use crate::http::fields::{Fields, QueryFields, Unprocessable, body};
use crate::limits;
use crate::service::App;

/// Fields out of a request, and its id for the answer when something is wrong with them.
#[derive(Debug)]
pub(super) struct Reading {
    pub(super) fields: Fields,
    request_id: Option<Arc<str>>,
}

impl Reading {
    /// Refuses when anything was wrong.
    pub(super) fn finish(self) -> Result<(), Box<Response>> {
        let refuse = |wrong| Box::new(refuse(&wrong, self.request_id));
        self.fields.finish().map_err(refuse)
    }
}

/// The query.
#[derive(Debug)]
pub(super) struct Query(pub(super) Reading);

/// A JSON object.
#[derive(Debug)]
pub(super) struct Body(pub(super) Reading);

impl Body {
    /// The body of a request of which something else was to be asked first: who may not do a thing hears so, whatever
    /// the body is.
    pub(super) async fn of(request: Request, app: &Arc<App>) -> Result<Self, Box<Response>> {
        Self::from_request(request, app).await.map_err(Box::new)
    }
}

/// The last part of a path that is a name.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

fn refuse(wrong: &Unprocessable, request_id: Option<Arc<str>>) -> Response {
    let status = StatusCode::UNPROCESSABLE_ENTITY;
    problem(status, "invalid", wrong.text(), request_id)
}

fn problem(
    status: StatusCode,
    code: &str,
    detail: String,
    request_id: Option<Arc<str>>,
) -> Response {
    let problem = Problem {
        status: status.as_u16(),
        detail,
        code: code.to_owned(),
        request_id: request_id.map(|id| id.to_string()),
    };
    problem.into_response()
}

fn request_id(extensions: &axum::http::Extensions) -> Option<Arc<str>> {
    extensions.get::<RequestId>().map(|id| id.id.clone())
}

impl FromRequestParts<Arc<App>> for Query {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let request_id = request_id(&parts.extensions);
        match QueryFields::from_request_parts(parts, app).await {
            Ok(QueryFields(fields)) => Ok(Self(Reading { fields, request_id })),
            Err(wrong) => Err(refuse(&wrong, request_id)),
        }
    }
}

impl FromRequest<Arc<App>> for Body {
    type Rejection = Response;

    async fn from_request(request: Request, _app: &Arc<App>) -> Result<Self, Response> {
        let request_id = request_id(request.extensions());
        let packed = is_packed(&request);
        let (mut bytes, _held) = body::bytes(request).await?;
        if packed {
            bytes = pack::unpack(&bytes, limits::BODY_BYTES_MAX).ok_or_else(|| {
                let most = limits::BODY_BYTES_MAX / 1024;
                problem(
                    StatusCode::PAYLOAD_TOO_LARGE,
                    "body_too_large",
                    format!(
                        "Lo enviado no es gzip, o es demasiado grande: se aceptan hasta {most} KiB."
                    ),
                    request_id.clone(),
                )
            })?;
        }
        match body::parse(&bytes) {
            Ok(fields) => Ok(Self(Reading { fields, request_id })),
            Err(wrong) => Err(refuse(&wrong, request_id)),
        }
    }
}

fn is_packed(request: &Request) -> bool {
    let coding = request.headers().get(header::CONTENT_ENCODING);
    coding.is_some_and(|coding| coding.as_bytes().eq_ignore_ascii_case(b"gzip"))
}

impl FromRequestParts<Arc<App>> for Name {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let name = Path::<String>::from_request_parts(parts, app).await;
        Ok(Self(name.map(|Path(name)| name).unwrap_or_default()))
    }
}
