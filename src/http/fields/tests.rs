//! What is refused, and what the answer says.

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Request};
use serde_json::json;

use super::*;
use crate::domain::glucose::ReadingType;
use crate::http::budget::Budget;

async fn json_body(bytes: &[u8]) -> Result<Fields, Response> {
    let mut request = Request::new(Body::from(bytes.to_vec()));
    request.extensions_mut().insert(KnownSender);
    request.extensions_mut().insert(Budget::default());
    JsonBody::from_request(request, &())
        .await
        .map(|body| body.0)
}

async fn query(text: &str) -> Result<Fields, Unprocessable> {
    let request = Request::builder()
        .uri(format!("/?{text}"))
        .body(())
        .unwrap();
    let (mut parts, ()) = request.into_parts();
    QueryFields::from_request_parts(&mut parts, &())
        .await
        .map(|query| query.0)
}

fn issues(fields: Fields) -> Value {
    serde_json::to_value(fields.finish().unwrap_err().0).unwrap()
}

#[tokio::test]
async fn a_missing_parameter_has_the_legacy_form() {
    let mut fields = query("glucose_level=120").await.unwrap();
    assert_eq!(fields.number("glucose_level"), Some(120.0));
    fields.one_of("reading_type", &["CENA"], ReadingType::parse);
    let expected = json!([{
        "type": "missing", "loc": ["query", "reading_type"], "msg": "Field required", "input": null
    }]);
    assert_eq!(issues(fields), expected);
}

#[tokio::test]
async fn all_mistakes_come_in_one_answer() {
    let mut fields = query("a=x&b=inf&c=LUNCH&d=%20").await.unwrap();
    fields.number("a");
    fields.number("b");
    fields.one_of("c", &["CENA", "OTRO"], ReadingType::parse);
    fields.line("d");
    let found = issues(fields);
    let kinds: Vec<_> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|issue| &issue["type"])
        .collect();
    assert_eq!(
        kinds,
        ["float_parsing", "finite_number", "enum", "value_error"]
    );
    assert_eq!(found[2]["msg"], "Input should be 'CENA', 'OTRO'");
}

#[tokio::test]
async fn queries_are_decoded_strictly() {
    let mut fields = query("notes=a+b%2Bc%20%C3%B1&empty").await.unwrap();
    assert_eq!(fields.paragraph("notes").unwrap(), "a b+c ñ");
    assert_eq!(fields.paragraph("empty").unwrap(), "");
    assert!(query("notes=%ff").await.is_err());
    assert!(query("a=1&a=2").await.is_err());
}

#[tokio::test]
async fn bodies_are_parsed_strictly() {
    let mut fields = json_body(br#"{"dose": "12.5", "ok": true}"#).await.unwrap();
    assert_eq!(fields.number("dose"), Some(12.5));
    assert_eq!(fields.boolean("ok"), Some(true));
    let deep = [b"{\"a\":".as_slice(), &[b'['; 40], &[b']'; 40], b"}"].concat();
    for bytes in [
        b"".as_slice(),
        b"[1]",
        b"{",
        b"{\"a\":1,\"a\":2}",
        b"{\"a\":NaN}",
        b"{\"a\":\"\xff\"}",
        &deep,
        b"{} {}",
    ] {
        let response = json_body(bytes).await.unwrap_err();
        assert_eq!(
            response.status(),
            StatusCode::UNPROCESSABLE_ENTITY,
            "{bytes:?}"
        );
    }
}

#[tokio::test]
async fn secrets_are_never_repeated() {
    let mut fields = json_body(br#"{"password": ["hunter2"]}"#).await.unwrap();
    fields.secret("password");
    assert!(!issues(fields).to_string().contains("hunter2"));
}
