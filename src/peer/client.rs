//! The end of a connection that calls: one TCP connection, one handshake, HTTP/2 streams. Must never
//! go on with another node than the one whose key it expects.

use std::sync::Arc;

use axum::body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use thiserror::Error;
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_util::task::AbortOnDropHandle;

use super::refusal::Refusal;
use super::stream::{FrameReader, StreamError};
use crate::limits;

/// Why a peer could not be asked.
#[derive(Debug, Error)]
pub enum ClientError {
    /// Nobody answers there.
    #[error("no node answers at {address}: {why}")]
    Unreachable {
        /// Where.
        address: String,
        /// What the system says.
        why: String,
    },
    /// Somebody answers there who has another key, or is no node at all.
    #[error("what answers at {address} is not the expected node: {why}")]
    NotTheNode {
        /// Where.
        address: String,
        /// What the handshake says.
        why: String,
    },
    /// The connection ended.
    #[error("the connection to the other node ended: {0}")]
    Ended(#[from] hyper::Error),
    /// The peer does not want to.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A stream went wrong.
    #[error(transparent)]
    Stream(#[from] StreamError),
    /// This node could not do its part.
    #[error("{0}")]
    Here(String),
}

impl ClientError {
    /// Whether the peer turned this node away because it was removed from the network.
    pub(super) fn is_revoked(&self) -> bool {
        match self {
            Self::Refused(refusal) | Self::Stream(StreamError::Refused(refusal)) => {
                refusal.is_revoked()
            }
            _ => false,
        }
    }
}

impl From<crate::service::Error> for ClientError {
    fn from(error: crate::service::Error) -> Self {
        match error {
            crate::service::Error::Internal(text) => Self::Here(text),
            other => Self::Here(other.to_string()),
        }
    }
}

/// An open connection to a peer.
pub struct Connection {
    sender: http2::SendRequest<Body>,
    driver: AbortOnDropHandle<()>,
    /// Where it leads.
    pub address: String,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Connection({})", self.address)
    }
}

impl Connection {
    /// Connects to `address` (`host:port`), where the node that `config` expects must be.
    ///
    /// # Errors
    /// [`ClientError::Unreachable`] or [`ClientError::NotTheNode`].
    pub async fn open(config: Arc<ClientConfig>, address: &str) -> Result<Self, ClientError> {
        let unreachable = |why: String| ClientError::Unreachable {
            address: address.to_owned(),
            why,
        };
        let opening = timeout(limits::PEER_CONNECT_TIMEOUT, Self::shake(config, address));
        let late = |_| unreachable("it takes too long".to_owned());
        opening.await.map_err(late)?
    }

    async fn shake(config: Arc<ClientConfig>, address: &str) -> Result<Self, ClientError> {
        let stream = TcpStream::connect(address).await;
        let stream = stream.map_err(|error| ClientError::Unreachable {
            address: address.to_owned(),
            why: error.to_string(),
        })?;
        let _ = stream.set_nodelay(true);
        let stranger = |why: String| ClientError::NotTheNode {
            address: address.to_owned(),
            why,
        };
        // Nobody reads the name; a TLS client has to have one.
        let name = ServerName::try_from("islet.invalid").map_err(|e| stranger(e.to_string()))?;
        let stream = TlsConnector::from(config).connect(name, stream).await;
        let stream = stream.map_err(|error| stranger(error.to_string()))?;
        let (sender, driver) = protocol().handshake(TokioIo::new(stream)).await?;
        let driver: JoinHandle<()> = tokio::spawn(async move {
            if let Err(error) = driver.await {
                tracing::debug!(%error, "a connection to a peer ended");
            }
        });
        Ok(Self {
            sender,
            driver: AbortOnDropHandle::new(driver),
            address: address.to_owned(),
        })
    }

    /// Whether it is of no more use.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.sender.is_closed() || self.driver.is_finished()
    }

    /// Sends `body` to `path`.
    ///
    /// # Errors
    /// When the connection ended, or the peer refuses.
    pub async fn call(&self, path: &str, body: Body) -> Result<Response<Incoming>, ClientError> {
        let mut request = Request::new(body);
        *request.method_mut() = Method::POST;
        let uri = format!("https://islet.invalid{path}");
        *request.uri_mut() = uri
            .parse()
            .map_err(|_| ClientError::Here("no such path".to_owned()))?;
        let answer = self.sender.clone().send_request(request);
        let answer = timeout(limits::PEER_ANSWER_TIMEOUT, answer).await;
        let answer = answer.map_err(|_| StreamError::Silent)??;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let body = bytes_of(answer).await.unwrap_or_default();
        Err(Refusal::read(&body).into())
    }

    /// Sends `body` to `path`, which answers with frames.
    ///
    /// # Errors
    /// As [`Connection::call`].
    pub async fn frames(&self, path: &str, body: Body) -> Result<FrameReader, ClientError> {
        let answer = self.call(path, body).await?;
        let patience = limits::PEER_ANSWER_TIMEOUT.max(limits::HEARTBEAT_PATIENCE);
        Ok(FrameReader::new(Body::new(answer.into_body()), patience))
    }
}

/// A bounded body, whole.
pub(super) async fn bytes_of(answer: Response<Incoming>) -> Result<Vec<u8>, ClientError> {
    let body = Limited::new(answer.into_body(), limits::JOIN_BYTES_MAX).collect();
    let body = timeout(limits::PEER_ANSWER_TIMEOUT, body).await;
    let body = body.map_err(|_| StreamError::Silent)?;
    Ok(body.map_err(|_| StreamError::Cut)?.to_bytes().to_vec())
}

fn protocol() -> http2::Builder<TokioExecutor> {
    let mut builder = http2::Builder::new(TokioExecutor::new());
    let (ping_interval, ping_timeout) = limits::PEER_PING;
    builder
        .timer(TokioTimer::new())
        .max_header_list_size(limits::HEADER_BYTES_MAX as u32)
        .initial_stream_window_size(limits::H2_STREAM_WINDOW)
        .initial_connection_window_size(limits::H2_CONNECTION_WINDOW)
        .max_send_buf_size(limits::H2_SEND_BYTES_MAX)
        .keep_alive_interval(ping_interval)
        .keep_alive_timeout(ping_timeout);
    builder
}
