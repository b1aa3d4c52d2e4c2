//! What a client hears that speaks plain HTTP to a port of TLS, such as a browser that was given an
//! address without `https://`. Must never serve anything else there: whatever it sent was for anyone
//! to read.

use axum::Router;
use axum::extract::Request;
use axum::http::uri::Authority;
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::net::TcpStream;

/// Whether the first byte is that of a request, not of a handshake (22, RFC 8446). Takes nothing
/// from the stream.
pub(super) async fn speaks_http(stream: &TcpStream) -> bool {
    let mut first = [0];
    matches!(stream.peek(&mut first).await, Ok(1)) && first[0].is_ascii_uppercase()
}

/// Shows the way to HTTPS, whatever is asked for.
pub(super) fn app() -> Router {
    Router::new().fallback(show_the_way)
}

async fn show_the_way(request: Request) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let headers = [
        (header::CONNECTION, "close"),
        (header::CACHE_CONTROL, "no-store"),
    ];
    match there(&request).filter(|_| reads) {
        Some(there) => {
            let status = StatusCode::TEMPORARY_REDIRECT;
            (status, headers, [(header::LOCATION, there)]).into_response()
        }
        None => {
            let text = "Este puerto habla HTTPS: use una dirección que empiece con https://\n\
                        This port speaks HTTPS: use an address that begins with https://\n";
            (StatusCode::BAD_REQUEST, headers, text).into_response()
        }
    }
}

/// The same address with `https`, by the name that the client uses for this node.
fn there(request: &Request) -> Option<String> {
    let host = request.headers().get(header::HOST)?.to_str().ok()?;
    let host: Authority = host.parse().ok()?;
    let path = request.uri().path_and_query()?;
    let bare = !host.as_str().contains('@');
    bare.then(|| format!("https://{host}{path}"))
}
