//! The page where a new password is chosen, with the link of a mail or the code of the desk. Works
//! without a script.

use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use askama::Template;
use serde::Deserialize;

use super::app::HttpOptions;
use super::fields::Fields;
use crate::auth::Secret;
use crate::domain::actor::Actor;
use crate::service::{App, Error, recovery};

const STYLE: &str = include_str!("../../web/reset.css");
const POLICY: &str = "default-src 'none'; style-src 'self'; form-action 'self'; \
                      frame-ancestors 'none'; base-uri 'none'";

#[derive(Template)]
#[template(path = "reset.html")]
struct Page {
    clinic: String,
    token: String,
    /// What went wrong; empty when nothing did.
    problem: String,
    done: bool,
}

#[derive(Deserialize)]
struct Link {
    #[serde(default)]
    token: String,
}

/// `GET /reset-password`. The form is sent to the API route of the same path.
pub fn router(options: &HttpOptions) -> Router {
    let clinic = options.clinic.clone();
    Router::new().route(
        "/reset-password",
        get(move |Query(link): Query<Link>| async move {
            let page = Page {
                clinic,
                token: link.token,
                problem: String::new(),
                done: false,
            };
            show(StatusCode::OK, &page)
        }),
    )
}

/// `GET /reset-password.css`, at the root of every port.
pub fn style() -> Router {
    let style = ([(header::CONTENT_TYPE, "text/css; charset=utf-8")], STYLE);
    Router::new().route("/reset-password.css", get(move || async move { style }))
}

/// The form was sent.
pub(super) async fn submit(app: &App, actor: &Actor, mut form: Fields) -> Response {
    let token = form.secret("token").unwrap_or_default();
    let password = form.secret("new_password").unwrap_or_default();
    let repeated = form.secret("repeated_password").unwrap_or_default();
    let mut page = Page {
        clinic: String::new(),
        token,
        problem: String::new(),
        done: false,
    };
    if password != repeated {
        page.problem = "Las dos contraseñas no son iguales.".to_owned();
        return show(StatusCode::BAD_REQUEST, &page);
    }
    let (status, problem) =
        match recovery::reset(app, actor, &page.token, Secret::new(password)).await {
            Ok(()) => {
                page.done = true;
                return show(StatusCode::OK, &page);
            }
            Err(Error::RecoveryInvalid) => (
                StatusCode::BAD_REQUEST,
                "El código no es válido o ya fue usado.".to_owned(),
            ),
            Err(Error::RecoveryExpired) => (
                StatusCode::BAD_REQUEST,
                "El código venció. Pida otro.".to_owned(),
            ),
            Err(Error::Invalid { reason, .. }) => (StatusCode::BAD_REQUEST, reason.0),
            Err(Error::Throttled(retry)) => (
                StatusCode::TOO_MANY_REQUESTS,
                format!("Demasiados intentos. Espere {} segundos.", retry.seconds),
            ),
            Err(error) => {
                tracing::error!(
                    code = error.code(),
                    request_id = actor.request_id,
                    "{error}"
                );
                (
                    StatusCode::SERVICE_UNAVAILABLE,
                    "No se pudo ahora. Intente de nuevo en un momento.".to_owned(),
                )
            }
        };
    page.problem = problem;
    show(status, &page)
}

fn show(status: StatusCode, page: &Page) -> Response {
    let headers = [
        (header::CONTENT_TYPE, "text/html; charset=utf-8"),
        (header::CONTENT_SECURITY_POLICY, POLICY),
    ];
    match page.render() {
        Ok(html) => (status, headers, html).into_response(),
        Err(error) => {
            tracing::error!(%error, "a page could not be made");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
