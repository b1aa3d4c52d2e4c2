//! Too many connections. Measured on two cores, the honest client waits 1 ms and, while a thousand
//! newcomers arrive at once, up to 400 ms; its own time-out here leaves room for a busy machine.

use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::response::IntoResponse;
use hyper_util::rt::TokioIo;

use super::*;
use crate::http::tls::CertificateAuthority;

const CROWD: usize = 1000;
const HONEST_PATIENCE: Duration = Duration::from_secs(5);
/// How often the phone app sends a request before it gives up. Where a busy machine starves the
/// client's own side of a handshake, its connection is taken for one of the crowd's.
const HONEST_TRIES: usize = 4;

/// As many as this process may have sockets for, besides those of the node and of other tests.
fn crowd_size() -> usize {
    let limits = std::fs::read_to_string("/proc/self/limits").unwrap();
    let files = limits
        .lines()
        .find(|line| line.starts_with("Max open files"));
    let soft = files.and_then(|line| line.split_whitespace().nth(3)?.parse().ok());
    // Not a number where there is no limit.
    let files: usize = soft.unwrap_or(usize::MAX);
    let size = CROWD.min(files.saturating_sub(400));
    assert!(
        size > 2 * ConnectionLimits::default().loopback,
        "{files} open files are too few"
    );
    size
}

/// Who is there.
#[derive(Default)]
struct Crowd {
    /// Sockets that are connected now.
    live: AtomicUsize,
    /// The most that ever were.
    most: AtomicUsize,
    /// Of how many the first connection came about.
    came: AtomicUsize,
    /// What kept the others from it.
    hindered: Mutex<Option<std::io::Error>>,
}

impl Crowd {
    fn live(&self) -> usize {
        self.live.load(Ordering::SeqCst)
    }

    fn enter(&self) {
        let live = self.live.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(live, Ordering::SeqCst);
    }

    fn leave(&self) {
        self.live.fetch_sub(1, Ordering::SeqCst);
    }

    /// Until there are more than the node has places for.
    async fn has_filled_the_node(&self) {
        patient(async {
            while self.live() <= ConnectionLimits::default().loopback {
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
        .await;
    }
}

/// Sends `start`, then one byte a second, and comes back whenever it is cut.
async fn trickle(addr: SocketAddr, start: &'static str, crowd: Arc<Crowd>) {
    let mut new = true;
    loop {
        match TcpStream::connect(addr).await {
            Ok(mut stream) => {
                crowd.enter();
                if std::mem::take(&mut new) {
                    crowd.came.fetch_add(1, Ordering::SeqCst);
                }
                let mut sent = stream.write_all(start.as_bytes()).await;
                while sent.is_ok() {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    sent = stream.write_all(b"x").await;
                }
                crowd.leave();
            }
            Err(error) => *crowd.hindered.lock().unwrap() = Some(error),
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// A new connection for each request; what went wrong when it was cut.
async fn get_over_tls(server: &Running, root: &reqwest::Certificate) -> String {
    let client = reqwest::Client::builder()
        .tls_certs_only([root.clone()])
        .build()
        .unwrap();
    let url = format!("https://{}/", server.addr);
    let answer = async { client.get(url).send().await?.text().await };
    answer.await.unwrap_or_else(|error| format!("{error:?}"))
}

/// The same without TLS.
async fn get_plainly(server: &Running) -> String {
    let request = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let mut stream = server.connect().await;
    match stream.write_all(request).await {
        Ok(()) => read_all(stream).await,
        Err(error) => error.to_string(),
    }
}

async fn honest_request_is_answered_among(start_of_request: &'static str) {
    let server = start(ConnectionLimits::default(), app());
    honest_client_holds_out(&server, start_of_request, async || {
        get_plainly(&server).await
    })
    .await;
}

async fn honest_client_holds_out(
    server: &Running,
    start_of_request: &'static str,
    get: impl AsyncFn() -> String,
) {
    static ONE_CROWD_AT_A_TIME: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());
    let _turn = ONE_CROWD_AT_A_TIME.lock().await;
    let crowd = Arc::<Crowd>::default();
    let mut people = tokio::task::JoinSet::new();
    let size = crowd_size();
    for _ in 0..size {
        people.spawn(trickle(server.addr, start_of_request, Arc::clone(&crowd)));
    }
    crowd.has_filled_the_node().await;
    // A few rounds of the crowd coming back, with honest requests all along.
    for round in 0..20 {
        let mut answers = Vec::new();
        let answered = async {
            while !answers
                .last()
                .is_some_and(|it: &String| it.ends_with("hello"))
            {
                answers.push(get().await);
                if answers.len() == HONEST_TRIES {
                    break;
                }
            }
        };
        let in_time = tokio::time::timeout(HONEST_PATIENCE, answered).await;
        assert!(in_time.is_ok(), "no answer in round {round}: {answers:?}");
        let last = answers.last().unwrap();
        assert!(last.ends_with("hello"), "round {round}: {answers:?}");
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    let hindered = crowd.hindered.lock().unwrap().take();
    let came = crowd.came.load(Ordering::SeqCst);
    assert_eq!(came, size, "the others were hindered: {hindered:?}");
    let most = crowd.most.load(Ordering::SeqCst);
    assert!(most > size / 2, "only {most} were there at once");
    crowd.has_filled_the_node().await;
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
