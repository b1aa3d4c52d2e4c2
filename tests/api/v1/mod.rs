//! `/v1`, the API for new clients.

mod accounts;
mod clinic;
mod link;
mod live;
mod offline;
mod readings;

use serde_json::{Value, json};

use crate::support::{Answer, Client};

/// The problem with this status and code.
#[track_caller]
pub(super) fn problem(answer: Answer, status: u16, code: &str) -> String {
    assert_eq!(
        answer.header("content-type"),
        "application/problem+json",
        "{answer:?}"
    );
    let request_id = answer.header("x-request-id").to_owned();
    let body = answer.expect(status);
    assert_eq!(
        (&body["code"], &body["status"]),
        (&json!(code), &json!(status))
    );
    assert_eq!(body["request_id"], request_id.as_str());
    body["detail"].as_str().unwrap().to_owned()
}

/// A finger-stick at this minute of a day.
pub(super) fn stick(minute: u32, mg_dl: f64) -> Value {
    let (hour, minute) = (minute / 60, minute % 60);
    json!({"glucose_mg_dl": mg_dl, "reading_type": "CENA",
           "measured_at": format!("2026-03-05T{hour:02}:{minute:02}:00Z")})
}

/// Hands in a reading.
pub(super) async fn hand_in(client: &Client, reading: &Value) -> Value {
    client.post_json("/v1/readings", reading).await.expect(201)
}

/// A request that goes by an earlier answer's tag.
pub(super) async fn with_tag(
    client: &Client,
    (method, path): (&str, &str),
    (header, tag): (&str, &str),
    body: &Value,
) -> Answer {
    let method = reqwest::Method::from_bytes(method.as_bytes()).unwrap();
    let request = client.request(method, path).header(header, tag);
    client.send(request.json(body)).await
}
