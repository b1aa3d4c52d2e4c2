//! Reading a request, with mistakes answered as a problem with one text.

use std::sync::Arc;

use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::StatusCode;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};

use crate::http::context::RequestId;
use crate::http::error::Problem;
use crate::http::fields::{Fields, QueryFields, Unprocessable, body};
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

/// The last part of a path that is a name.
#[derive(Debug)]
pub(super) struct Name(pub(super) String);

fn refuse(wrong: &Unprocessable, request_id: Option<Arc<str>>) -> Response {
    let problem = Problem {
        status: StatusCode::UNPROCESSABLE_ENTITY.as_u16(),
        detail: wrong.text(),
        code: "invalid".to_owned(),
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
        let (bytes, _held) = body::bytes(request).await?;
        match body::parse(&bytes) {
            Ok(fields) => Ok(Self(Reading { fields, request_id })),
            Err(wrong) => Err(refuse(&wrong, request_id)),
        }
    }
}

impl FromRequestParts<Arc<App>> for Name {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, Response> {
        let name = Path::<String>::from_request_parts(parts, app).await;
        Ok(Self(name.map(|Path(name)| name).unwrap_or_default()))
    }
}
