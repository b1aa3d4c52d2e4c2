//! Who begins a live session, and from which page.
//!
//! Browsers send the origin of the page with a WebSocket whatever the page, and CORS does not hold them back: the node has
//! to look itself.

use std::sync::Arc;

use axum::extract::{Extension, FromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Uri, header};

use super::super::extract::Query;
use super::super::refusal::{Done, Refusal, answer};
use crate::auth::Secret;
use crate::auth::token::Audience;
use crate::domain::actor::Actor;
use crate::http::app::HttpOptions;
use crate::http::context::Anonymous;
use crate::service::live::{self, Pass};
use crate::service::{App, Error};

/// The word before a token in the list of sub-protocols.
const BEARER: &str = "bearer.";

/// Pages that may listen.
#[derive(Clone, Debug)]
pub struct Origins(Arc<[String]>);

impl Origins {
    /// Those that may call the API too.
    #[must_use]
    pub fn of(options: &HttpOptions) -> Self {
        Self(options.cors_origins.as_slice().into())
    }
}

/// What is known of a request before its token was looked at.
#[derive(Debug)]
pub(in crate::http::v1) struct Sender {
    pub(super) anonymous: Actor,
    pub(super) headers: HeaderMap,
    foreign: bool,
}

impl FromRequestParts<Arc<App>> for Sender {
    type Rejection = std::convert::Infallible;

    async fn from_request_parts(
        parts: &mut Parts,
        app: &Arc<App>,
    ) -> Result<Self, Self::Rejection> {
        let origins = Extension::<Origins>::from_request_parts(parts, app).await;
        let allowed = origins
            .map(|Extension(origins)| origins.0)
            .unwrap_or_default();
        let Anonymous(anonymous) = Anonymous::of(parts);
        let host = parts.uri.authority().map(|it| it.as_str().to_owned());
        Ok(Self {
            anonymous,
            foreign: is_foreign(&parts.headers, host, &allowed),
            headers: parts.headers.clone(),
        })
    }
}

/// Whether a page of somebody else asks.
fn is_foreign(headers: &HeaderMap, host: Option<String>, allowed: &[String]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else {
        return false;
    };
    let origin = origin.to_str().unwrap_or_default();
    if allowed.iter().any(|it| it == origin) {
        return false;
    }
    let host = host.or_else(|| {
        let host = headers.get(header::HOST)?.to_str().ok()?;
        Some(host.to_owned())
    });
    let own = origin.parse::<Uri>().ok();
    let own = own.as_ref().and_then(Uri::authority).map(|it| it.as_str());
    own.is_none() || own != host.as_deref()
}

impl Sender {
    /// The token in the header.
    pub(super) fn bearer(&self) -> Option<Secret> {
        let value = self.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
        let (scheme, token) = value.split_once(' ')?;
        let is_bearer = scheme.eq_ignore_ascii_case("bearer");
        is_bearer.then(|| Secret::new(token.trim().to_owned()))
    }

    /// The token among the sub-protocols.
    fn in_protocols(&self) -> Option<Secret> {
        let values = self.headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let mut protocols = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','));
        protocols.find_map(|it| {
            let token = it.trim().strip_prefix(BEARER)?;
            Some(Secret::new(token.to_owned()))
        })
    }

    /// By what the session is to go on. `in_address` is where a token may stand in the address.
    pub(super) fn pass(
        &self,
        app: &App,
        audience: Audience,
        query: &Query,
        in_address: bool,
    ) -> Done<Pass> {
        if self.foreign {
            return Err(self.refuse(Error::Forbidden));
        }
        let fields = &query.0.fields;
        if let Some(token) = self.bearer().or_else(|| self.in_protocols()) {
            return Ok(Pass { audience, token });
        }
        if fields.has("ticket") {
            let pass = live::redeem(app, audience, &fields.text("ticket"));
            return pass.map_err(|error| self.refuse(error));
        }
        if in_address && fields.has("token") {
            let token = Secret::new(fields.text("token"));
            return Ok(Pass { audience, token });
        }
        Err(self.refuse(Error::Unauthenticated))
    }

    pub(super) fn refuse(&self, error: Error) -> Refusal {
        answer(error, &self.anonymous).into()
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn only_known_pages_and_programs_may_listen() {
        let allowed = ["https://app.clinic.test".to_owned()];
        let foreign = |origin: Option<&'static str>, host: &'static str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::HOST, HeaderValue::from_static(host));
            if let Some(origin) = origin {
                headers.insert(header::ORIGIN, HeaderValue::from_static(origin));
            }
            is_foreign(&headers, None, &allowed)
        };
        assert!(!foreign(None, "islet.local:8443"));
        assert!(!foreign(
            Some("https://app.clinic.test"),
            "islet.local:8443"
        ));
        assert!(!foreign(
            Some("https://islet.local:8443"),
            "islet.local:8443"
        ));
        assert!(foreign(Some("https://evil.test"), "islet.local:8443"));
        assert!(foreign(Some("https://islet.local:1"), "islet.local:8443"));
        assert!(foreign(
            Some("https://app.clinic.test.evil.test"),
            "islet.local:8443"
        ));
        assert!(foreign(Some("null"), "islet.local:8443"));
    }
}
