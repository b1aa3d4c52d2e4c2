//! Too many connections. Measured on two cores, the honest client waits 1 ms and, while a thousand
//! newcomers arrive at once, up to 400 ms; its own time-out here leaves room for a busy machine.

use axum::response::IntoResponse;
use hyper_util::rt::TokioIo;

use super::*;
use crate::http::tls::CertificateAuthority;

const CROWD: usize = 1000;
const HONEST_PATIENCE: Duration = Duration::from_secs(5);

/// Sends `start`, then one byte a second, and comes back whenever it is cut.
async fn trickle(addr: SocketAddr, start: &'static str) {
    loop {
        if let Ok(mut stream) = TcpStream::connect(addr).await {
            let mut sent = stream.write_all(start.as_bytes()).await;
            while sent.is_ok() {
                tokio::time::sleep(Duration::from_secs(1)).await;
                sent = stream.write_all(b"x").await;
            }
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A new connection for each request.
async fn get_over_tls(server: &Running, root: &reqwest::Certificate) -> String {
    let client = reqwest::Client::builder()
        .tls_certs_only([root.clone()])
        .build()
        .unwrap();
    let answer = client
        .get(format!("https://{}/", server.addr))
        .send()
        .await
        .unwrap();
    answer.text().await.unwrap()
}

async fn honest_request_is_answered_among(start_of_request: &'static str) {
    let server = start(ConnectionLimits::default(), app());
    honest_client_holds_out(&server, start_of_request, async || server.get("/").await).await;
}

async fn honest_client_holds_out(
    server: &Running,
    start_of_request: &'static str,
    get: impl AsyncFn() -> String,
) {
    static ONE_CROWD_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = ONE_CROWD_AT_A_TIME.lock().await;
    let mut crowd = tokio::task::JoinSet::new();
    for _ in 0..CROWD {
        crowd.spawn(trickle(server.addr, start_of_request));
    }
    // A few rounds of the crowd coming back, with honest requests all along.
    for round in 0..20 {
        let answer = tokio::time::timeout(HONEST_PATIENCE, get()).await;
        let answer = answer.unwrap_or_else(|_| panic!("no answer in round {round}"));
        assert!(answer.ends_with("hello"), "round {round}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert_eq!(crowd.len(), CROWD);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_trickling_headers_do_not_keep_out_an_honest_request() {
    honest_request_is_answered_among("GET / HTTP/1.1\r\nX: ").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_trickling_bodies_do_not_keep_out_an_honest_request() {
    honest_request_is_answered_among(
        "POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 9000\r\n\r\n",
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_silent_connections_do_not_keep_out_an_honest_request() {
    honest_request_is_answered_among("").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_handshakes_that_do_not_end_do_not_keep_out_an_honest_request() {
    let dir = tempfile::tempdir().unwrap();
    let now = std::time::SystemTime::now();
    let authority = CertificateAuthority::create(&dir.path().join("tls"), &[], now).unwrap();
    let root = reqwest::Certificate::from_der(authority.der()).unwrap();
    let identity = TlsIdentity::new(Arc::new(authority), &[], now).unwrap();
    let server = start_as(
        Kind::Tls(Arc::new(identity)),
        ConnectionLimits::default(),
        app(),
    );
    // The head of a TLS record whose content comes a byte at a time.
    let hello = "\x16\x03\x01\x02\x00";
    honest_client_holds_out(&server, hello, async || get_over_tls(&server, &root).await).await;
}

#[tokio::test]
async fn when_every_place_is_working_a_newcomer_is_told_to_come_back() {
    let (begun, mut seen) = tokio::sync::mpsc::channel(3);
    let work = move || async move {
        begun.send(()).await.unwrap();
        std::future::pending::<()>().await;
    };
    let server = start(
        short(|limits| limits.loopback = 3),
        app().route("/work", get(work)),
    );
    let mut working = Vec::new();
    for _ in 0..3 {
        working.push(server.send("GET /work HTTP/1.1\r\nHost: x\r\n\r\n").await);
        patient(seen.recv()).await.unwrap();
    }
    let refused = server.get("/").await;
    assert!(refused.starts_with("HTTP/1.1 503 "), "{refused}");
    assert!(refused.contains("Retry-After: 1"), "{refused}");
    working.pop();
    patient(async { while !server.get("/").await.ends_with("hello") {} }).await;
}

/// An upgraded connection keeps its place and is bound by no time-out of ours.
#[tokio::test]
async fn an_upgraded_connection_is_left_alone() {
    let echo = |mut request: axum::extract::Request| async move {
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            let (mut read, mut write) = tokio::io::split(TokioIo::new(upgrade.await.unwrap()));
            tokio::io::copy(&mut read, &mut write).await
        });
        let headers = [("connection", "upgrade"), ("upgrade", "echo")];
        (hyper::StatusCode::SWITCHING_PROTOCOLS, headers).into_response()
    };
    let short = short(|limits| {
        limits.loopback = 2;
        limits.idle_timeout = Duration::from_millis(100);
        limits.header_timeout = Duration::from_millis(100);
    });
    let server = start(short, app().route("/up", get(echo)));
    let request = "GET /up HTTP/1.1\r\nHost: x\r\nConnection: upgrade\r\nUpgrade: echo\r\n\r\n";
    let mut upgraded = server.send(request).await;
    assert!(read_some(&mut upgraded).await.starts_with("HTTP/1.1 101 "));
    for _ in 0..10 {
        let _ = server.send("GET").await;
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    upgraded.write_all(b"still here").await.unwrap();
    assert_eq!(read_some(&mut upgraded).await, "still here");
}

/// Runs [`short_of_files`] in a process that may open few files.
#[tokio::test]
async fn running_out_of_files_is_survived() {
    let child = "ulimit -n 48 && exec \"$0\" --exact --ignored --nocapture http::listen::tests::crowd::short_of_files";
    let program = std::env::current_exe().unwrap();
    let output = tokio::task::spawn_blocking(move || {
        std::process::Command::new("sh")
            .args(["-c", child])
            .arg(program)
            .output()
            .unwrap()
    });
    let output = patient(output).await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(
        output.status.success() && text.contains("1 passed"),
        "{text}"
    );
}

#[tokio::test]
#[ignore = "run by running_out_of_files_is_survived with few files allowed"]
async fn short_of_files() {
    let server = start(ConnectionLimits::default(), app());
    let mut hoard = Vec::new();
    let shortage = loop {
        match TcpStream::connect(server.addr).await {
            Ok(stream) => hoard.push(stream),
            Err(error) => break error,
        }
        assert!(hoard.len() < 48, "the limit on files does not hold");
        tokio::task::yield_now().await;
    };
    assert_eq!(shortage.raw_os_error(), Some(24), "EMFILE");
    // Let the server run into it as well, then come back.
    tokio::time::sleep(Duration::from_millis(200)).await;
    hoard.clear();
    assert!(server.get("/").await.ends_with("hello"));
}
