//! The page where a new password is chosen, with the link of a mail or the code of the desk. Works
//! without a script.

use std::sync::Arc;

use axum::Router;
use axum::extract::Query;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use askama::Template;
use serde::Deserialize;

use super::app::HttpOptions;
use super::error::ApiError;
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

/// The name of the clinic, for the answer to the form.
#[derive(Clone, Debug)]
pub struct Clinic(Arc<str>);

impl Clinic {
    /// As the options have it.
    #[must_use]
    pub fn of(options: &HttpOptions) -> Self {
        Self(options.clinic.as_str().into())
    }
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
pub(super) async fn submit(
    app: &Arc<App>,
    actor: &Actor,
    clinic: &Clinic,
    mut form: Fields,
) -> Response {
    let token = form.secret("token").unwrap_or_default();
    let password = form.secret("new_password").unwrap_or_default();
    let repeated = form.secret("repeated_password").unwrap_or_default();
    let mut page = Page {
        clinic: clinic.0.to_string(),
        token,
        problem: String::new(),
        done: false,
    };
    if password != repeated {
        page.problem = "Las dos contraseñas no son iguales.".to_owned();
        return show(StatusCode::BAD_REQUEST, &page);
    }
    let error = match recovery::reset(app, actor, &page.token, Secret::new(password)).await {
        Ok(()) => {
            page.done = true;
            return show(StatusCode::OK, &page);
        }
        Err(error) => error,
    };
    let own_words = match &error {
        Error::RecoveryInvalid => Some("El código no es válido o ya fue usado."),
        Error::RecoveryExpired => Some("El código venció. Pida otro."),
        _ => None,
    };
    ApiError::new(error, actor).on_page(|status, text| {
        page.problem = own_words.map_or(text, str::to_owned);
        show(status, &page)
    })
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::throttle::RetryAfter;
    use crate::store::StoreError;

    /// What the page answers to this error: status, Retry-After, text.
    fn answer(error: Error) -> (u16, Option<String>, String) {
        let mut said = String::new();
        let response = ApiError::new(error, &Actor::system()).on_page(|status, text| {
            said = text;
            status.into_response()
        });
        let later = response.headers().get(header::RETRY_AFTER);
        let later = later.map(|later| later.to_str().unwrap().to_owned());
        (response.status().as_u16(), later, said)
    }

    #[test]
    fn errors_have_the_status_of_the_api_and_words_for_people() {
        let (status, _, said) = answer(Error::Store(StoreError::DiskFull));
        assert_eq!(status, 507);
        assert!(said.contains("disco"), "{said}");
        let (status, later, said) = answer(Error::Throttled(RetryAfter { seconds: 9 }));
        assert_eq!((status, later.as_deref()), (429, Some("9")));
        assert!(said.contains("9 segundos"), "{said}");
        let (status, later, _) = answer(Error::Busy);
        assert_eq!((status, later.as_deref()), (503, Some("1")));
        let (status, _, said) = answer(Error::Internal("secret".into()));
        assert_eq!(status, 500);
        assert!(!said.contains("secret") && said.contains("Avise"), "{said}");
    }
}
