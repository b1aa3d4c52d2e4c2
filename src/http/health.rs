//! Is the node alive, and can it work? For load balancers, systemd and shell scripts.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::{Json, Router};
use serde_json::json;

use crate::service::{App, Error, replication};
use crate::store::{Health, queue};

/// `GET /health` (the legacy body), `/health/live`, `/health/ready`.
pub fn router(app: &Arc<App>) -> Router {
    Router::new()
        .route("/health", get(|| async { Json(json!({"status": "ok"})) }))
        .route(
            "/health/live",
            get(|| async { Json(json!({"status": "ok"})) }),
        )
        .route("/health/ready", get(ready))
        .with_state(Arc::clone(app))
}

/// 200 when the database answers and takes writes, 503 when it does not. A node that was removed from its network
/// says so; it goes on taking what patients measure.
async fn ready(State(app): State<Arc<App>>) -> Response {
    if app.store.health() == Health::DiskFull {
        return unavailable("disk_full");
    }
    let look = async {
        app.store
            .read(|tx| Ok::<_, Error>(queue::current_day(tx)?))
            .await?;
        replication::removal(&app).await
    };
    match look.await {
        Ok(None) => Json(json!({"status": "ok"})).into_response(),
        Ok(Some(_)) => Json(json!({"status": "ok", "removed_from_network": true})).into_response(),
        Err(error) => {
            tracing::warn!(code = error.code(), "not ready: {error}");
            unavailable(error.code())
        }
    }
}

fn unavailable(code: &str) -> Response {
    let body = Json(json!({"status": "unavailable", "code": code}));
    (StatusCode::SERVICE_UNAVAILABLE, body).into_response()
}
