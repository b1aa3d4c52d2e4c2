//! A service error as an answer.
//!
//! One body: `application/problem+json` (RFC 9457) with a `detail` that people can read, a stable
//! `code` and the `request_id`. Validation keeps the list that the legacy clients know (see
//! [`super::fields`]). What went wrong inside goes to the log, never to the wire.

use axum::Json;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use super::context::RequestId;
use super::fields::{Fields, Issue, Unprocessable};
use super::listen::Instead;
use crate::auth::throttle::RetryAfter;
use crate::domain::actor::Actor;
use crate::domain::queue::QueueState;
use crate::service::Error;
use crate::store::StoreError;

/// Seconds after which a busy node is worth another try.
const RETRY_AFTER_BUSY_S: u64 = 1;

/// The body of an error (RFC 9457).
#[derive(Clone, Debug, Serialize, ToSchema)]
pub struct Problem {
    /// The HTTP status.
    pub status: u16,
    /// What went wrong and what to do, for people.
    pub detail: String,
    /// Stable name of the error, for programs.
    pub code: String,
    /// Id of the request, to be quoted when asking for help.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_id: Option<String>,
}

/// A service error on its way out.
#[derive(Debug)]
pub struct ApiError(Box<Answer>);

#[derive(Debug)]
struct Answer {
    status: StatusCode,
    detail: String,
    code: &'static str,
    request_id: Option<String>,
    retry_after_s: Option<u64>,
    /// For errors that name a field: the legacy list.
    issue: Option<Issue>,
}

/// The result of a handler.
pub type ApiResult<T> = Result<T, ApiError>;

impl ApiError {
    /// The answer to `error`, for the request of `actor`.
    #[must_use]
    pub fn new(error: Error, actor: &Actor) -> Self {
        let status = status(&error);
        if status.is_server_error() {
            let text = match &error {
                Error::Internal(text) => text.clone(),
                other => other.to_string(),
            };
            tracing::error!(
                request_id = actor.request_id.as_deref(),
                code = error.code(),
                "{text}"
            );
        }
        let retry_after_s = match &error {
            Error::Throttled(retry) => Some(retry.seconds),
            _ if status == StatusCode::SERVICE_UNAVAILABLE => Some(RETRY_AFTER_BUSY_S),
            _ => None,
        };
        let code = error.code();
        let detail = detail(&error, status);
        let issue = match error {
            Error::Invalid { field, reason } => {
                Some(Issue::value("body", field, &reason, Value::Null))
            }
            _ => None,
        };
        let request_id = actor.request_id.as_deref().map(str::to_owned);
        Self(Box::new(Answer {
            status,
            detail,
            code,
            request_id,
            retry_after_s,
            issue,
        }))
    }

    /// The same error with another status, where the legacy contract wants one.
    #[must_use]
    pub fn with_status(mut self, status: StatusCode) -> Self {
        self.0.status = status;
        self
    }

    /// The same error as a problem with one text, whatever it is about.
    #[must_use]
    pub fn into_problem(mut self) -> Self {
        self.0.issue = None;
        self
    }

    /// The same error on a page: `render` gets the status and the text for people.
    pub fn on_page(self, render: impl FnOnce(StatusCode, String) -> Response) -> Response {
        let answer = *self.0;
        let text = match answer.issue {
            Some(issue) => issue.text().to_owned(),
            None if answer.status == StatusCode::INTERNAL_SERVER_ERROR => FAILED.to_owned(),
            None => answer.detail,
        };
        let mut response = render(answer.status, text);
        retry_after(response.headers_mut(), answer.retry_after_s);
        response
    }

    /// The same error of a value that came in the query.
    #[must_use]
    pub fn in_query(mut self) -> Self {
        if let Some(issue) = &mut self.0.issue {
            issue.in_query();
        }
        self
    }

    /// The same of a value that was sent among `fields`, none of which is a secret.
    #[must_use]
    pub fn with_sent(mut self, fields: &Fields) -> Self {
        if let Some(issue) = &mut self.0.issue {
            let sent = fields.raw(issue.name()).cloned();
            issue.with_input(sent.unwrap_or_default());
        }
        self
    }

    /// The same error with what was sent, which is no secret.
    #[must_use]
    pub fn with_input(mut self, input: impl Into<Value>) -> Self {
        if let Some(issue) = &mut self.0.issue {
            issue.with_input(input.into());
        }
        self
    }

    /// The same error with another text, where the legacy contract wants one.
    #[must_use]
    pub fn with_detail(mut self, detail: &str) -> Self {
        detail.clone_into(&mut self.0.detail);
        self
    }
}

/// Turns the error of a service call into an [`ApiError`] of the acting request.
pub trait OrApiError<T> {
    /// See [`ApiError::new`].
    ///
    /// # Errors
    /// The service's error.
    fn or_error(self, actor: &Actor) -> ApiResult<T>;
}

impl<T> OrApiError<T> for Result<T, Error> {
    fn or_error(self, actor: &Actor) -> ApiResult<T> {
        self.map_err(|error| ApiError::new(error, actor))
    }
}

/// The text for people. Spanish, but for those that the legacy clients look for.
fn detail(error: &Error, status: StatusCode) -> String {
    match error {
        Error::Store(StoreError::DiskFull) => {
            "El disco del servidor está lleno; no se cambió nada. Avise a la clínica.".to_owned()
        }
        Error::Busy => BUSY.to_owned(),
        Error::Store(_) if status == StatusCode::SERVICE_UNAVAILABLE => BUSY.to_owned(),
        Error::Store(_) | Error::Internal(_) => "Internal Server Error".to_owned(),
        Error::Taken(field) => {
            let what = match *field {
                "email" => "ese correo electrónico",
                "dni" => "ese DNI",
                "hospital_account" => "esa cuenta del hospital",
                "username" => "ese usuario",
                other => other,
            };
            format!("Otra cuenta ya tiene {what}.")
        }
        Error::WrongState(state) => match state {
            QueueState::Pending => "No se puede: el turno todavía está en espera.",
            QueueState::Accepted => "No se puede: el turno ya fue aceptado.",
            QueueState::Denied => "No se puede: el turno fue rechazado.",
            QueueState::Created => "No se puede: el formulario del turno ya fue enviado.",
            QueueState::Cancelled => "No se puede: el turno fue cancelado.",
            QueueState::NoShow => "No se puede: el paciente no se presentó.",
            QueueState::Cleared => "No se puede: el turno ya no está en la cola.",
        }
        .to_owned(),
        Error::LastAdmin => "Es el último administrador: primero nombre a otro.".to_owned(),
        Error::Throttled(retry) => too_many_attempts(*retry),
        other => other.to_string(),
    }
}

const FAILED: &str = "No se pudo: algo falló en el servidor. Avise a la clínica.";
const BUSY: &str = "El servidor está ocupado. Intente de nuevo en un momento.";

/// What the page says too.
fn too_many_attempts(retry: RetryAfter) -> String {
    let seconds = retry.seconds;
    format!("Demasiados intentos fallidos. Espere {seconds} segundos e intente de nuevo.")
}

const fn status(error: &Error) -> StatusCode {
    match error {
        Error::Unauthenticated
        | Error::TokenExpired
        | Error::BadCredentials
        | Error::Blocked
        | Error::BadRefreshToken => StatusCode::UNAUTHORIZED,
        Error::Forbidden | Error::PasswordResetRequired => StatusCode::FORBIDDEN,
        Error::NotFound(_) => StatusCode::NOT_FOUND,
        Error::Invalid { .. } => StatusCode::UNPROCESSABLE_ENTITY,
        // The phone app shows the text of a 400 and no other.
        Error::WrongPassword
        | Error::RecoveryExpired
        | Error::RecoveryInvalid
        | Error::Invitation(_)
        | Error::Taken(_)
        | Error::QueueClosed
        | Error::QueueFull
        | Error::PlacesElsewhere(_)
        | Error::PlacesStranded
        | Error::NotInQueue
        | Error::NotAccepted(_)
        | Error::WrongState(_)
        | Error::LastAdmin => StatusCode::BAD_REQUEST,
        Error::Conflict(_) => StatusCode::CONFLICT,
        Error::Changed => StatusCode::PRECONDITION_FAILED,
        Error::StartAfresh => StatusCode::GONE,
        Error::Throttled(_) => StatusCode::TOO_MANY_REQUESTS,
        Error::Busy
        | Error::Store(StoreError::Overloaded | StoreError::TimedOut | StoreError::Closed) => {
            StatusCode::SERVICE_UNAVAILABLE
        }
        Error::Store(StoreError::DiskFull) => StatusCode::INSUFFICIENT_STORAGE,
        Error::Store(_) | Error::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let answer = *self.0;
        if let Some(issue) = answer.issue {
            return Unprocessable(vec![issue]).into_response();
        }
        let problem = Problem {
            status: answer.status.as_u16(),
            detail: answer.detail,
            code: answer.code.to_owned(),
            request_id: answer.request_id,
        };
        let mut response = problem.into_response();
        let headers = response.headers_mut();
        if answer.status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        retry_after(headers, answer.retry_after_s);
        response
    }
}

fn retry_after(headers: &mut HeaderMap, seconds: Option<u64>) {
    if let Some(seconds) = seconds {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self)).into_response();
        let kind = HeaderValue::from_static("application/problem+json");
        response.headers_mut().insert(header::CONTENT_TYPE, kind);
        response
    }
}

fn plain(status: StatusCode, detail: &str, code: &str, request: &Request) -> Response {
    let request_id = request
        .extensions()
        .get::<RequestId>()
        .map(|id| id.id.to_string());
    let (detail, code) = (detail.to_owned(), code.to_owned());
    Problem {
        status: status.as_u16(),
        detail,
        code,
        request_id,
    }
    .into_response()
}

/// No such route, or a request that is answered in place of one.
pub async fn not_found(request: Request) -> Response {
    if let Some(instead) = request.extensions().get::<Instead>() {
        return instead_of_a_route(*instead, &request);
    }
    plain(StatusCode::NOT_FOUND, "Not Found", "not_found", &request)
}

fn instead_of_a_route(instead: Instead, request: &Request) -> Response {
    match instead {
        Instead::BodyTooSlow => plain(
            StatusCode::REQUEST_TIMEOUT,
            "Los datos llegaron demasiado lento. Intente de nuevo.",
            "body_too_slow",
            request,
        ),
        Instead::NotOneHost => plain(
            StatusCode::BAD_REQUEST,
            "The request must have one Host header",
            "not_one_host",
            request,
        ),
        Instead::TookTooLong => {
            let status = StatusCode::SERVICE_UNAVAILABLE;
            let mut response = plain(
                status,
                "El servidor no terminó a tiempo. Intente de nuevo.",
                "took_too_long",
                request,
            );
            retry_after(response.headers_mut(), Some(RETRY_AFTER_BUSY_S));
            response
        }
    }
}

/// A route, but not with this method.
pub async fn method_not_allowed(request: Request) -> Response {
    plain(
        StatusCode::METHOD_NOT_ALLOWED,
        "Method Not Allowed",
        "method_not_allowed",
        &request,
    )
}

/// A handler panicked. The panic is in the log already.
#[must_use]
pub fn panicked(request_id: Option<&str>) -> Response {
    let status = StatusCode::INTERNAL_SERVER_ERROR;
    let (detail, code) = ("Internal Server Error".to_owned(), "internal".to_owned());
    Problem {
        status: status.as_u16(),
        detail,
        code,
        request_id: request_id.map(str::to_owned),
    }
    .into_response()
}
