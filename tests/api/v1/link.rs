//! What a bad link is spared: gzip both ways, and answers that the client has already.

use std::io::{Read, Write};

use flate2::Compression;
use flate2::read::GzDecoder;
use flate2::write::GzEncoder;
use reqwest::Method;

use super::{hand_in, stick};
use crate::support::Node;

#[tokio::test]
async fn answers_come_packed_to_who_takes_it() {
    let node = Node::seeded();
    let ana = node.patient().await;
    for minute in 0..20 {
        hand_in(&ana, &stick(minute, 100.0)).await;
    }
    let plain = ana.get("/v1/readings").await;
    assert_eq!(
        (plain.header("content-encoding"), plain.header("vary")),
        ("", "accept-encoding")
    );
    let request = ana
        .request(Method::GET, "/v1/readings")
        .header("accept-encoding", "br, gzip");
    let packed = request.send().await.unwrap();
    assert_eq!(packed.headers()["content-encoding"], "gzip");
    let packed = packed.bytes().await.unwrap();
    let mut unpacked = String::new();
    GzDecoder::new(&packed[..])
        .read_to_string(&mut unpacked)
        .unwrap();
    assert_eq!(unpacked, plain.text);
    assert!(
        packed.len() * 5 < unpacked.len(),
        "{} of {}",
        packed.len(),
        unpacked.len()
    );
}

#[tokio::test]
async fn a_packed_request_is_read_and_a_bomb_refused() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let send = async |body: &[u8]| {
        let mut packed = GzEncoder::new(Vec::new(), Compression::best());
        packed.write_all(body).unwrap();
        let request = ana
            .request(Method::POST, "/v1/readings")
            .header("content-encoding", "gzip")
            .header("content-type", "application/json");
        ana.send(request.body(packed.finish().unwrap())).await
    };
    let stored = send(stick(1, 111.0).to_string().as_bytes())
        .await
        .expect(201);
    assert_eq!(stored["glucose_mg_dl"], 111.0);
    let bomb = format!("{{\"notes\": \"{}\"}}", " ".repeat(4 << 20));
    super::problem(send(bomb.as_bytes()).await, 413, "body_too_large");
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let tag = ana.get("/v1/profile").await.header("etag").to_owned();
    let get = async || {
        let request = ana
            .request(Method::GET, "/v1/profile")
            .header("if-none-match", &tag);
        ana.send(request).await
    };
    let same = get().await;
    assert_eq!((same.status.as_u16(), same.text.as_str()), (304, ""));
    let edit = serde_json::json!({"name": "Anita"});
    ana.patch_json("/v1/profile", &edit).await.expect(200);
    assert_eq!(get().await.expect(200)["name"], "Anita");
}
