//! The listener under clients that misbehave, over real sockets on loopback.

mod crowd;
mod decide;
mod stop;
mod times;

use std::net::SocketAddr;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;

/// How long a test's client waits for what must come: far longer than any limit under test, so
/// that it only passes by on a failure.
const PATIENCE: Duration = Duration::from_secs(20);

struct Running {
    addr: SocketAddr,
    stop: CancellationToken,
    task: JoinHandle<usize>,
}

impl Running {
    /// Stops and answers how many connections were cut.
    async fn stop(self) -> usize {
        self.stop.cancel();
        patient(self.task).await.unwrap()
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.addr).await.unwrap()
    }

    /// Sends raw bytes on a new connection.
    async fn send(&self, bytes: &str) -> TcpStream {
        let mut stream = self.connect().await;
        stream.write_all(bytes.as_bytes()).await.unwrap();
        stream
    }

    async fn get(&self, path: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
        read_all(self.send(&request).await).await
    }
}

fn start(limits: ConnectionLimits, app: Router) -> Running {
    start_as(Kind::Plain, limits, app)
}

fn start_as(kind: Kind, limits: ConnectionLimits, app: Router) -> Running {
    let addr = SocketAddr::from(([127, 0, 0, 1], 0));
    let listener = Listener {
        addr,
        kind,
        app,
        option: "--http",
    };
    let bound = bind(listener).unwrap();
    let (addr, stop) = (bound.addr(), CancellationToken::new());
    let task = tokio::spawn(serve(vec![bound], limits, stop.clone()));
    Running { addr, stop, task }
}

fn app() -> Router {
    Router::new()
        .route("/", get(|| async { "hello" }))
        .route("/echo", post(|body: String| async { body }))
        .route("/never", get(std::future::pending::<()>))
        .fallback(crate::http::error::not_found)
}

async fn patient<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(PATIENCE, future)
        .await
        .expect("nothing came in time")
}

/// Everything until the other side closes. A reset counts as closed.
async fn read_all(mut stream: TcpStream) -> String {
    let mut bytes = Vec::new();
    let _ = patient(stream.read_to_end(&mut bytes)).await;
    String::from_utf8(bytes).unwrap()
}

/// Exactly one chunk of what the other side sends.
async fn read_some(stream: &mut TcpStream) -> String {
    let mut buffer = [0; 4096];
    let read = patient(stream.read(&mut buffer)).await.unwrap();
    String::from_utf8_lossy(&buffer[..read]).into_owned()
}

/// Short enough to see a time-out at work, and nothing else times out.
fn short(change: impl FnOnce(&mut ConnectionLimits)) -> ConnectionLimits {
    let mut limits = ConnectionLimits {
        handshake_timeout: PATIENCE * 2,
        header_timeout: PATIENCE * 2,
        idle_timeout: PATIENCE * 2,
        request_timeout: PATIENCE * 2,
        body_grace: PATIENCE * 2,
        ..ConnectionLimits::default()
    };
    change(&mut limits);
    limits
}
