//! The sum is bounded, and what was held is given back.

use axum::http::StatusCode;
use axum::http::header::{CONTENT_LENGTH, RETRY_AFTER};
use axum::middleware::from_fn_with_state;
use axum::routing::{get, post};
use axum::{Extension, Router};
use tower::ServiceExt as _;

use super::*;
use crate::http::fields::{FormBody, JsonBody};

/// Longer than what is free.
const LIST: usize = limits::ANSWER_BYTES_FREE + 1;

/// Room for 1,000 bytes of bodies and one list.
fn router() -> Router {
    let budget = Budget::new(1_000, LIST + 100);
    let list = || async { "x".repeat(LIST) };
    Router::new()
        .route(
            "/json",
            post(|JsonBody(fields): JsonBody| async { fields.finish().is_ok().to_string() }),
        )
        .route(
            "/form",
            post(|FormBody(fields): FormBody| async { fields.finish().is_ok().to_string() }),
        )
        .route("/list", get(list).post(list))
        .route("/small", get(|| async { "small" }))
        .layer(from_fn_with_state(budget.clone(), answers))
        .layer(Extension(budget))
}

async fn send(router: &Router, method: Method, path: &str, body: impl Into<Body>) -> Response {
    let request = Request::builder().method(method).uri(path);
    let request = request.body(body.into()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

#[track_caller]
fn refused_for_a_moment(answer: &Response) {
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()[RETRY_AFTER], "1");
}

/// A body of which 900 bytes have come.
fn half_sent(rest: tokio::sync::oneshot::Receiver<()>) -> Body {
    let first = format!("{{\"a\":\"{}", "x".repeat(894));
    let frames = futures_util::stream::unfold((Some(first), Some(rest)), |(first, rest)| async {
        if let Some(first) = first {
            return Some((Ok::<_, std::io::Error>(first), (None, rest)));
        }
        rest?.await.ok();
        Some((Ok("\"}".to_owned()), (None, None)))
    });
    Body::from_stream(frames)
}

#[rstest::rstest]
#[case::json("/json", "{\"a\": \"")]
#[case::form("/form", "a=")]
#[tokio::test]
async fn bodies_beyond_the_budget_are_refused_until_others_are_done(
    #[case] path: &str,
    #[case] start: &str,
) {
    let router = router();
    let (end, rest) = tokio::sync::oneshot::channel();
    let mut slow = std::pin::pin!(send(&router, Method::POST, "/json", half_sent(rest)));
    assert!(futures_util::poll!(slow.as_mut()).is_pending());
    let long = format!("{start}{}", "y".repeat(200));
    refused_for_a_moment(&send(&router, Method::POST, path, long.clone()).await);
    // What a refused one had taken is free again.
    refused_for_a_moment(&send(&router, Method::POST, path, long.clone()).await);
    let short = send(&router, Method::POST, "/json", "{}").await;
    assert_eq!(short.status(), StatusCode::OK);
    end.send(()).unwrap();
    assert_eq!(slow.await.status(), StatusCode::OK);
    let answer = send(&router, Method::POST, path, long).await;
    assert_ne!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
}

#[tokio::test]
async fn a_body_without_a_budget_is_refused() {
    let router = Router::new().route("/json", post(|_: JsonBody| async {}));
    refused_for_a_moment(&send(&router, Method::POST, "/json", "{}").await);
}

#[tokio::test]
async fn lists_beyond_the_budget_are_refused_until_one_was_sent() {
    let router = router();
    let get = |path| send(&router, Method::GET, path, Body::empty());
    let first = get("/list").await;
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(first.headers()[CONTENT_LENGTH], LIST.to_string());
    refused_for_a_moment(&get("/list").await);
    assert_eq!(get("/small").await.status(), StatusCode::OK);
    // It was done: saying otherwise would be wrong.
    let written = send(&router, Method::POST, "/list", Body::empty()).await;
    assert_eq!(written.status(), StatusCode::OK);
    drop(first);
    assert_eq!(get("/list").await.status(), StatusCode::OK);
}
