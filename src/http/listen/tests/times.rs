//! Time-outs: each test shortens one limit and leaves the others out of reach, so only the limit
//! under test can end the connection before the client gives up.

use axum::extract::Extension;
use axum::response::IntoResponse;
use futures_util::StreamExt;

use super::*;

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn a_header_that_does_not_end_is_cut() {
    let server = start(short(|limits| limits.header_timeout = SHORT), app());
    for start in [
        "",
        "P",
        "PRI * HTTP/2.0\r\n",
        "GET / HTTP/1.1\r\nHost: x\r\n",
    ] {
        assert_eq!(
            read_all(server.send(start).await).await,
            "",
            "after {start:?}"
        );
    }
}

#[tokio::test]
async fn the_second_header_is_bounded_too() {
    let server = start(short(|limits| limits.header_timeout = SHORT), app());
    let mut stream = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_some(&mut stream).await.ends_with("hello"));
    // The pause between requests is another bound, out of reach here.
    tokio::time::sleep(SHORT * 3).await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    assert!(read_some(&mut stream).await.ends_with("hello"));
    stream.write_all(b"GET / HT").await.unwrap();
    assert_eq!(read_all(stream).await, "");
}

#[tokio::test]
async fn an_idle_connection_is_closed() {
    let server = start(short(|limits| limits.idle_timeout = SHORT), app());
    let stream = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_all(stream).await.ends_with("hello"));
}

#[tokio::test]
async fn a_body_that_stalls_is_answered_with_408() {
    let server = start(short(|limits| limits.body_grace = SHORT), app());
    let request = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc";
    let answer = read_all(server.send(request).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("\"code\":\"body_too_slow\""), "{answer}");
}

#[tokio::test]
async fn a_body_in_pieces_is_taken_whole() {
    let server = start(ConnectionLimits::default(), app());
    let head = "POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 6\r\n\r\n";
    let mut stream = server.send(head).await;
    for piece in ["ab", "cd", "ef"] {
        tokio::time::sleep(Duration::from_millis(20)).await;
        stream.write_all(piece.as_bytes()).await.unwrap();
    }
    let answer = read_all(stream).await;
    assert!(
        answer.starts_with("HTTP/1.1 200 ") && answer.ends_with("abcdef"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_total_time_ends_a_body_with_408_and_a_handler_with_503() {
    let server = start(short(|limits| limits.request_timeout = SHORT), app());
    let request = "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nabc";
    let answer = read_all(server.send(request).await).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    let answer = server.get("/never").await;
    assert!(
        answer.starts_with("HTTP/1.1 503 ") && answer.contains("retry-after: 1"),
        "{answer}"
    );
}

/// The answers that the listener makes are like all others.
#[tokio::test]
async fn an_answer_about_time_has_the_form_and_the_headers_of_all() {
    let page = "http://page.test".to_owned();
    let random = Arc::new(crate::auth::SystemRandom);
    let app = crate::http::front::wrap(app(), random, &[page], Default::default());
    let limits = short(|limits| {
        limits.request_timeout = SHORT;
        limits.body_grace = SHORT / 3;
    });
    let server = start(limits, app);
    let head = "HTTP/1.1\r\nHost: x\r\nConnection: close\r\nOrigin: http://page.test\r\nX-Request-Id: mine-1\r\n";
    for (request, status, code) in [
        (format!("GET /never {head}\r\n"), 503, "took_too_long"),
        (
            format!("POST /echo {head}Content-Length: 100\r\n\r\nabc"),
            408,
            "body_too_slow",
        ),
    ] {
        let answer = read_all(server.send(&request).await).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status} ")),
            "{answer}"
        );
        for header in [
            "content-type: application/problem+json",
            "x-request-id: mine-1",
            "cache-control: no-store",
            "access-control-allow-origin: http://page.test",
        ] {
            assert!(answer.contains(header), "{header}: {answer}");
        }
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let body: serde_json::Value = serde_json::from_str(body).unwrap();
        assert_eq!(
            (&body["status"], &body["code"], &body["request_id"]),
            (&status.into(), &code.into(), &"mine-1".into())
        );
        assert!(body["title"].is_null() && body["detail"].is_string());
    }
    // The id that the node made is the one that the handler got.
    let never = "GET /never HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let answer = read_all(server.send(never).await).await;
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    let body: serde_json::Value = serde_json::from_str(body).unwrap();
    let id = body["request_id"].as_str().unwrap();
    assert!(head.contains(&format!("x-request-id: {id}")), "{answer}");
}

/// More than all buffers on the way hold, to a client that does not read.
#[tokio::test]
async fn an_answer_that_nobody_reads_is_cut() {
    let held = std::sync::Arc::new(());
    let watch = std::sync::Arc::downgrade(&held);
    let stream = futures_util::stream::repeat_with(move || {
        let _keep = &held;
        Ok::<_, std::io::Error>(bytes::Bytes::from_static(&[b'x'; 65536]))
    });
    let body = Arc::new(std::sync::Mutex::new(Some(axum::body::Body::from_stream(
        stream,
    ))));
    let app = Router::new().route(
        "/",
        get(move || {
            let body = body.lock().unwrap().take().unwrap();
            async move { body }
        }),
    );
    let server = start(short(|limits| limits.request_timeout = SHORT), app);
    let _unread = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    patient(async {
        while watch.strong_count() > 0 {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

#[tokio::test]
async fn a_long_lived_answer_outlives_the_total_time() {
    let ticks = || async {
        let ticks = futures_util::stream::unfold(0, |n| async move {
            tokio::time::sleep(Duration::from_millis(500)).await;
            Some((Ok::<_, std::io::Error>(format!("tick {n}\n")), n + 1))
        });
        let body = axum::body::Body::from_stream(ticks.take(8));
        (Extension(LongLived), body).into_response()
    };
    let server = start(
        short(|limits| limits.request_timeout = Duration::from_millis(10)),
        Router::new().route("/", get(ticks)),
    );
    // Eight half seconds are beyond the total time and its overrun.
    assert!(server.get("/").await.contains("tick 7"));
}

#[tokio::test]
async fn a_long_lived_answer_may_wait_for_more_of_the_request() {
    let echo = |body: axum::body::Body| async {
        let body = axum::body::Body::from_stream(body.into_data_stream());
        (Extension(LongLived), body).into_response()
    };
    let server = start(
        short(|limits| limits.request_timeout = Duration::from_millis(10)),
        Router::new().route("/", post(echo)),
    );
    let header = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\
                  Connection: close\r\n\r\n";
    let mut stream = server.send(header).await;
    for n in 0..8 {
        // As above, beyond the total time and its overrun.
        tokio::time::sleep(Duration::from_millis(500)).await;
        let chunk = format!("6\r\ntick {n}\r\n");
        stream.write_all(chunk.as_bytes()).await.unwrap();
    }
    stream.write_all(b"0\r\n\r\n").await.unwrap();
    assert!(read_all(stream).await.contains("tick 7"));
}

#[tokio::test]
async fn handlers_learn_who_asks_and_how() {
    let who = |Extension(peer): Extension<ClientAddr>, Extension(scheme): Extension<Scheme>| async move {
        format!("{} {scheme:?}", peer.0)
    };
    let server = start(
        ConnectionLimits::default(),
        Router::new().route("/", get(who)),
    );
    let request = "GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let stream = server.send(request).await;
    let own = stream.local_addr().unwrap();
    let answer = read_all(stream).await;
    assert!(answer.ends_with(&format!("{own} Http")), "{answer}");
}

#[tokio::test]
async fn http2_works_without_tls_for_those_who_know() {
    let server = start(ConnectionLimits::default(), app());
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = format!("http://{}/", server.addr);
    for _ in 0..3 {
        let answer = patient(client.get(&url).send()).await.unwrap();
        assert_eq!(answer.version(), reqwest::Version::HTTP_2);
        assert_eq!(answer.text().await.unwrap(), "hello");
    }
}

#[tokio::test]
async fn too_long_a_header_is_refused_with_431() {
    let server = start(ConnectionLimits::default(), app());
    let long = "x".repeat(crate::limits::HEADER_BYTES_MAX);
    let request = format!("GET / HTTP/1.1\r\nHost: x\r\nX-Long: {long}\r\n\r\n");
    let answer = read_all(server.send(&request).await).await;
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431 "),
        "{answer}"
    );
    assert!(server.get("/").await.ends_with("hello"));
}
