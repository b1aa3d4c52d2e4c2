//! Runs the listeners until told to stop, then lets accepted requests finish. Must never take a
//! new connection after the stop, nor end while an accepted request has time left.

use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::accept::accept;
use super::conn::Conn;
use super::exchange::Exchange;
use super::table::{Admission, Table, Ticket};
use super::watched::Watched;
use super::{Bound, ClientCertificate, ConnectionLimits, Kind, Scheme, plain};
use crate::limits;

/// What the accept loops and the connections share.
#[derive(Clone)]
struct Server {
    limits: ConnectionLimits,
    table: Arc<Table>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// Serves until `stop` is cancelled, then closes the listeners and idle connections at once and
/// waits for accepted requests, at most `limits.stop_timeout`. Dropping the future stops too.
///
/// Returns how many connections had to be cut at the end: 0 is a clean stop. Upgraded connections
/// (WebSocket) belong to whoever upgraded them and are not waited for.
pub async fn serve(
    listeners: Vec<Bound>,
    limits: ConnectionLimits,
    stop: CancellationToken,
) -> usize {
    let server = Server {
        limits,
        table: Table::new(limits),
        stop: stop.child_token(),
        tasks: TaskTracker::new(),
    };
    let _stop_when_dropped = server.stop.clone().drop_guard();
    let mut loops = JoinSet::new();
    loops.spawn(reap(server.clone()));
    for bound in listeners {
        loops.spawn(accept_loop(server.clone(), bound));
    }
    stop.cancelled().await;
    loops.shutdown().await;
    server.tasks.close();
    let patience = limits.stop_timeout + limits::STOP_FLUSH_TIMEOUT;
    let _ = tokio::time::timeout(patience, server.tasks.wait()).await;
    server.tasks.len()
}

async fn reap(server: Server) {
    let mut ticks = tokio::time::interval(limits::REAP_EVERY);
    loop {
        ticks.tick().await;
        server.table.reap(Instant::now());
    }
}

async fn accept_loop(server: Server, bound: Bound) {
    let Bound { socket, listener } = bound;
    let for_people = matches!(listener.kind, Kind::Tls(_));
    let (scheme, tls) = match &listener.kind {
        Kind::Plain => (Scheme::Http, None),
        Kind::Tls(identity) => (
            Scheme::Https,
            Some(TlsAcceptor::from(identity.server_config())),
        ),
        Kind::Mutual(config) => (Scheme::Https, Some(TlsAcceptor::from(Arc::clone(config)))),
    };
    loop {
        let (stream, peer) = accept(&socket).await;
        let Some(ticket) = admit(&server.table, peer, tls.is_some()).await else {
            refuse(&stream, peer, scheme);
            continue;
        };
        let conn = Arc::clone(&ticket.conn);
        let exchange = Exchange {
            app: listener.app.clone(),
            peer,
            scheme,
            certificate: None,
            limits: server.limits,
            conn,
        };
        let io = Watched { stream, ticket };
        let (server, tls) = (server.clone(), tls.clone());
        let tasks = server.tasks.clone();
        tasks.spawn(async move {
            match tls {
                None => Box::pin(converse(&server, io, exchange)).await,
                Some(_) if for_people && is_plain(&server, &io).await => {
                    Box::pin(show_the_way(&server, io, exchange)).await;
                }
                Some(tls) => Box::pin(shake_hands(&server, &tls, io, exchange)).await,
            }
        });
    }
}

async fn admit(table: &Arc<Table>, peer: SocketAddr, tls: bool) -> Option<Ticket> {
    loop {
        match table.admit(peer.ip(), tls, Instant::now()) {
            Admission::Admitted(ticket) => return Some(ticket),
            Admission::Wait(until) => tokio::time::sleep_until(until.into()).await,
            Admission::Refused => return None,
        }
    }
}

/// Over plain TCP there is a way to say when to come back. The few bytes fit the socket's buffer;
/// if not, the peer learns it from the closed connection.
fn refuse(stream: &TcpStream, peer: SocketAddr, scheme: Scheme) {
    const BUSY: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\n\
        Content-Length: 0\r\nConnection: close\r\n\r\n";
    tracing::debug!(client = %peer.ip(), "connection refused: no place to give up for it");
    if scheme == Scheme::Http {
        let _ = stream.try_write(BUSY);
    }
}

/// Whether somebody forgot to write `https`. The time-out of the handshake holds meanwhile.
async fn is_plain(server: &Server, io: &Watched) -> bool {
    tokio::select! {
        plain = plain::speaks_http(&io.stream) => plain,
        () = io.ticket.conn.evicted.cancelled() => false,
        () = server.stop.cancelled() => false,
    }
}

async fn show_the_way(server: &Server, io: Watched, exchange: Exchange) {
    exchange.conn.handshake_done(Instant::now());
    let exchange = Exchange {
        app: plain::app(),
        scheme: Scheme::Http,
        ..exchange
    };
    converse(server, io, exchange).await;
}

async fn shake_hands(server: &Server, tls: &TlsAcceptor, io: Watched, mut exchange: Exchange) {
    let conn = Arc::clone(&exchange.conn);
    let stream = tokio::select! {
        stream = tls.accept(io) => stream,
        () = conn.evicted.cancelled() => return,
        () = server.stop.cancelled() => return,
    };
    match stream {
        Ok(stream) => {
            conn.handshake_done(Instant::now());
            let chain = stream.get_ref().1.peer_certificates();
            exchange.certificate = chain
                .and_then(|chain| chain.first())
                .map(|first| ClientCertificate(first.clone()));
            Box::pin(converse(server, stream, exchange)).await;
        }
        Err(error) => tracing::debug!(client = %exchange.peer, %error, "TLS handshake failed"),
    }
}

/// HTTP/1 or HTTP/2 on one connection, until either side ends it.
async fn converse<S>(server: &Server, stream: S, exchange: Exchange)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let conn = Arc::clone(&exchange.conn);
    let ping = match exchange.certificate {
        None => limits::H2_PING,
        Some(_) => limits::PEER_PING,
    };
    let exchange = Arc::new(exchange);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let exchange = Arc::clone(&exchange);
        async move { Ok::<_, std::convert::Infallible>(exchange.answer(request).await) }
    });
    let builder = protocol(&server.limits, ping);
    let connection = builder.serve_connection_with_upgrades(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = conn.evicted.cancelled() => return,
        () = server.stop.cancelled() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            finish(&conn, &server.limits, connection).await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "connection ended with an error");
    }
}

/// Lets the request under way finish. A connection without one only gets time to flush.
async fn finish<E>(
    conn: &Conn,
    limits: &ConnectionLimits,
    mut connection: Pin<&mut impl Future<Output = Result<(), E>>>,
) -> Result<(), E> {
    let flushed = tokio::time::timeout(limits::STOP_FLUSH_TIMEOUT, connection.as_mut()).await;
    match flushed {
        Ok(ended) => ended,
        Err(_) if conn.busy() => tokio::time::timeout(limits.stop_timeout, connection)
            .await
            .unwrap_or(Ok(())),
        Err(_) => Ok(()),
    }
}

fn protocol(
    limits: &ConnectionLimits,
    (ping_interval, ping_timeout): (Duration, Duration),
) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        // hyper counts from the end of the last answer, so this is the idle bound once more; the
        // bound on the header itself is kept by the table.
        .header_read_timeout(limits.idle_timeout + limits.header_timeout)
        .max_buf_size(limits::HEADER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits::H2_STREAMS_MAX)
        .max_header_list_size(limits::HEADER_BYTES_MAX as u32)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
        .max_send_buf_size(limits::H2_SEND_BYTES_MAX)
        .keep_alive_interval(ping_interval)
        .keep_alive_timeout(ping_timeout);
    builder
}
