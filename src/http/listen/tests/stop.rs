//! Taking addresses and stopping.

use tokio::sync::mpsc;

use super::*;

/// A handler that says when it has begun and answers when allowed to.
fn gated() -> (Router, mpsc::Receiver<tokio::sync::oneshot::Sender<()>>) {
    let (begun, seen) = mpsc::channel(1);
    let handler = move || async move {
        let (go, wait) = tokio::sync::oneshot::channel();
        begun.send(go).await.unwrap();
        wait.await.unwrap();
        "done"
    };
    (Router::new().route("/", get(handler)), seen)
}

#[tokio::test]
async fn an_accepted_request_is_finished_and_nothing_new_is_taken() {
    let (app, mut seen) = gated();
    let server = start(short(|_| ()), app);
    let (addr, stop) = (server.addr, server.stop.clone());
    let pending = tokio::spawn(read_all(
        server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await,
    ));
    let go = patient(seen.recv()).await.unwrap();
    stop.cancel();
    patient(async { while TcpStream::connect(addr).await.is_ok() {} }).await;
    go.send(()).unwrap();
    assert!(patient(pending).await.unwrap().ends_with("done"));
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn idle_and_half_begun_connections_do_not_delay_the_stop() {
    let server = start(short(|_| ()), app());
    let mut idle = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_some(&mut idle).await.ends_with("hello"));
    let (silent, half) = (server.connect().await, server.send("GET / HT").await);
    assert_eq!(server.stop().await, 0);
    for stream in [idle, silent, half] {
        assert_eq!(read_all(stream).await, "");
    }
}

#[tokio::test]
async fn http2_connections_stop_too() {
    let server = start(short(|_| ()), app());
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .build()
        .unwrap();
    let url = format!("http://{}/", server.addr);
    assert!(
        patient(client.get(&url).send())
            .await
            .unwrap()
            .status()
            .is_success()
    );
    assert_eq!(server.stop().await, 0);
}

#[tokio::test]
async fn a_request_that_does_not_end_is_cut_and_counted() {
    let (app, mut seen) = gated();
    let limits = short(|limits| limits.stop_timeout = Duration::from_millis(200));
    let server = start(limits, app);
    let _pending = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let _go = patient(seen.recv()).await.unwrap();
    assert_eq!(server.stop().await, 1);
}

#[tokio::test]
async fn dropping_the_server_closes_its_connections() {
    let server = start(short(|_| ()), app());
    let mut idle = server.send("GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
    assert!(read_some(&mut idle).await.ends_with("hello"));
    server.task.abort();
    assert_eq!(read_all(idle).await, "");
}

#[tokio::test]
async fn an_address_in_use_is_explained() {
    let server = start(ConnectionLimits::default(), app());
    let addr = server.addr;
    let listener = Listener {
        addr,
        kind: Kind::Plain,
        app: app(),
        option: "--https",
    };
    let text = bind(listener).err().unwrap().to_string();
    assert_eq!(
        text,
        format!("address {addr} is in use: choose another with --https")
    );
}

#[tokio::test]
async fn an_address_of_another_machine_is_explained() {
    let addr = SocketAddr::from(([192, 0, 2, 1], 0));
    let listener = Listener {
        addr,
        kind: Kind::Plain,
        app: app(),
        option: "--http",
    };
    let text = bind(listener).err().unwrap().to_string();
    assert!(text.contains("is not an address of this machine"), "{text}");
}

#[test]
fn plain_http_stays_on_loopback_unless_allowed() {
    for own in [
        "127.0.0.1:8000",
        "127.9.9.9:1",
        "[::1]:8000",
        "[::ffff:127.0.0.1]:80",
    ] {
        assert_eq!(check_plain(own.parse().unwrap(), false), Ok(()), "{own}");
    }
    for open in [
        "0.0.0.0:8000",
        "192.168.1.5:8000",
        "[::]:8000",
        "[fe80::1]:80",
    ] {
        let addr = open.parse().unwrap();
        assert_eq!(check_plain(addr, true), Ok(()));
        let text = check_plain(addr, false).unwrap_err().to_string();
        assert!(
            text.contains("--allow-plain-lan") && text.contains(open),
            "{text}"
        );
    }
}

#[tokio::test]
async fn every_address_is_ipv4_and_ipv6() {
    let taken = |addr: &str| {
        let addr = addr.parse().unwrap();
        let (kind, app, option) = (Kind::Plain, app(), "--http");
        bind(Listener {
            addr,
            kind,
            app,
            option,
        })
    };
    let bound = taken("[::]:0").unwrap();
    let port = bound.addr().port();
    let stop = CancellationToken::new();
    let ipv6 = bound.addr().is_ipv6();
    let task = tokio::spawn(serve(vec![bound], short(|_| ()), stop.clone()));
    assert!(TcpStream::connect(("127.0.0.1", port)).await.is_ok());
    // A machine without IPv6 falls back, and says so by its address.
    assert_eq!(TcpStream::connect(("::1", port)).await.is_ok(), ipv6);
    stop.cancel();
    patient(task).await.unwrap();
    // What is asked for by name is not replaced.
    assert!(taken("[2001:db8::7]:0").is_err());
}
