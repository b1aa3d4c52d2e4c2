//! Strangers at the peer port, and members that misbehave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream;
use islet::limits;
use islet::peer::client::{ClientError, Connection};
use islet::peer::identity::{Identity, PublicKey};
use islet::peer::stream::{StreamError, whole};
use islet::peer::tls;
use islet_sync::frame::{Frame, Kind};

use super::support::Node;
use super::{Clinic, run};

fn identity_of(clinic: &Clinic, name: &str) -> Identity {
    let pkcs8 = std::fs::read(clinic.data(name).join("keys/node.key")).unwrap();
    Identity::from_pkcs8(pkcs8.into()).unwrap()
}

async fn connect(own: &Identity, node: &Node, key: &PublicKey) -> Connection {
    let config = tls::client_config(own, key).unwrap();
    Connection::open(config, &node.peer_address).await.unwrap()
}

fn code(error: &ClientError) -> &str {
    match error {
        ClientError::Refused(refusal) => &refusal.code,
        ClientError::Stream(StreamError::Refused(refusal)) => &refusal.code,
        other => panic!("{other}"),
    }
}

fn hello() -> Body {
    whole(&[Frame::new(Kind::Hello, vec![0; 32])]).unwrap()
}

const ROUTES: [&str; 5] = [
    "/sync/1/exchange",
    "/sync/1/pull",
    "/sync/1/push",
    "/sync/1/watch",
    "/sync/1/rights",
];

#[tokio::test]
async fn a_stranger_with_a_sound_key_gets_nothing() {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    let founder = identity_of(&clinic, "a");
    let stranger = Identity::from_pkcs8(Identity::generate().unwrap()).unwrap();
    let connection = connect(&stranger, &a, founder.public_key()).await;
    for route in ROUTES {
        let refused = connection.call(route, hello()).await.unwrap_err();
        assert_eq!(code(&refused), "not_a_member", "{route}");
    }
    let guess = format!(r#"{{"secret":"{}","name":"x"}}"#, "00".repeat(16));
    let refused = connection.call("/sync/1/join", guess.into()).await;
    assert_eq!(code(&refused.unwrap_err()), "invitation_unknown");
    for bad in ["", "{}", r#"{"secret":"0","name":"x"}"#] {
        let refused = connection.call("/sync/1/join", bad.into()).await;
        assert_eq!(code(&refused.unwrap_err()), "bad_request", "{bad}");
    }
    let refused = connection.call("/", Body::empty()).await.unwrap_err();
    assert_eq!(code(&refused), "unknown");
}

#[tokio::test]
async fn without_a_certificate_nothing_is_answered() {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    let client = reqwest::Client::builder()
        .no_proxy()
        .tls_danger_accept_invalid_certs(true)
        .build()
        .unwrap();
    let url = format!("https://{}/sync/1/exchange", a.peer_address);
    client.post(url).send().await.unwrap_err();
    let mut plain = TcpStream::connect(&a.peer_address).unwrap();
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!answer.starts_with(b"HTTP"), "{answer:?}");
}

/// A clinic with the members `a`, which serves, and `b`, whose place the test takes.
async fn member() -> (Clinic, Node, Connection) {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let (founder, own) = (identity_of(&clinic, "a"), identity_of(&clinic, "b"));
    let connection = connect(&own, &a, founder.public_key()).await;
    (clinic, a, connection)
}

/// Most memory that a process has had, in KiB.
fn peak_kib(node: &Node) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", node.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.unwrap().trim().trim_end_matches("kB").trim();
    kib.parse().unwrap()
}

#[tokio::test]
async fn a_flood_of_frames_is_bounded() {
    let (clinic, a, connection) = member().await;
    let before = peak_kib(&a);
    // Some 100 MiB if anybody kept it: frames of a kind that is passed over, without an end.
    let mut frame = vec![0x80];
    islet_sync::varint::put_u64(&mut frame, 60_000);
    frame.resize(frame.len() + 60_000, 7);
    let frame = Bytes::from(frame);
    let pieces = (0..1_700).map(move |_| Ok::<_, std::io::Error>(frame.clone()));
    let sent = connection.frames("/sync/1/push", Body::from_stream(stream::iter(pieces)));
    let mut answers = sent.await.unwrap();
    let ended = ClientError::from(answers.next().await.unwrap_err());
    assert_eq!(code(&ended), "bad_stream", "{ended}");
    let grown = peak_kib(&a).saturating_sub(before);
    assert!(grown < 32 * 1024, "it took {grown} KiB");
    run(&clinic.data("a"), &["peers"]).ok();
}

#[tokio::test]
async fn what_is_not_a_frame_or_does_not_belong_is_refused() {
    let (_clinic, _a, connection) = member().await;
    let refused = async |route: &str, bytes: &[u8]| {
        let body = Body::from(bytes.to_vec());
        match connection.frames(route, body).await {
            Ok(mut answers) => ClientError::from(answers.next().await.unwrap_err()),
            Err(error) => error,
        }
    };
    for route in [
        "/sync/1/exchange",
        "/sync/1/pull",
        "/sync/1/push",
        "/sync/1/rights",
    ] {
        // An unknown kind; a segment of 16 GiB; a length that never ends.
        let hostile: [&[u8]; 3] = [
            &[0x7f, 0],
            &[4, 0x80, 0x80, 0x80, 0x80, 0x40],
            &[1, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80],
        ];
        for bytes in hostile {
            let error = refused(route, bytes).await;
            assert_eq!(code(&error), "bad_stream", "{route} {bytes:?}");
        }
    }
    // A frame of the right form in the wrong place.
    let error = refused("/sync/1/exchange", &[2, 0, 7, 0]).await;
    assert_eq!(code(&error), "bad_stream");
    // A hello of another network.
    let error = refused(
        "/sync/1/exchange",
        &[&[1, 32][..], &[9; 32], &[7, 0]].concat(),
    )
    .await;
    assert!(error.to_string().contains("another network"), "{error}");
}

#[tokio::test]
async fn a_member_has_few_places_and_others_keep_theirs() {
    let (clinic, a, connection) = member().await;
    let connection = Arc::new(connection);
    let mut open = Vec::new();
    for _ in 0..limits::PEER_REQUESTS_MAX {
        open.push(
            connection
                .frames("/sync/1/watch", Body::empty())
                .await
                .unwrap(),
        );
    }
    let refused = connection.call("/sync/1/watch", Body::empty()).await;
    assert_eq!(code(&refused.unwrap_err()), "busy");
    clinic.join("c", &clinic.invite("a")).ok();
    let other = connect(
        &identity_of(&clinic, "c"),
        &a,
        identity_of(&clinic, "a").public_key(),
    )
    .await;
    other.call("/sync/1/watch", Body::empty()).await.unwrap();
    // A place that is given up is free again.
    drop(open);
    for _ in 0..super::LOOKS {
        if connection
            .call("/sync/1/watch", Body::empty())
            .await
            .is_ok()
        {
            return;
        }
        tokio::time::sleep(super::PAUSE).await;
    }
    panic!("the places were not given back");
}

#[tokio::test]
async fn a_watch_says_hello_and_ends_when_the_member_is_thrown_out() {
    let (clinic, _a, connection) = member().await;
    let mut watch = connection
        .frames("/sync/1/watch", Body::empty())
        .await
        .unwrap();
    assert_eq!(watch.next().await.unwrap().unwrap().kind, Kind::Hello);
    run(&clinic.data("a"), &["peers", "revoke", "b"]).ok();
    let ended = loop {
        match watch.next().await {
            Ok(Some(frame)) => assert_eq!(frame.kind, Kind::Heartbeat),
            Ok(None) => panic!("it ended without a reason"),
            Err(error) => break ClientError::from(error),
        }
    };
    assert_eq!(code(&ended), "revoked");
    let refused = connection.call("/sync/1/exchange", hello()).await;
    assert_eq!(code(&refused.unwrap_err()), "revoked");
}
