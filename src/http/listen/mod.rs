//! Connections: who may hold one, for how long, and what happens when there are too many.
//!
//! `axum::serve` bounds neither the number of connections nor the time that a header may take, so
//! the accept loop is our own over hyper-util. It must never let somebody who sends slowly keep
//! out somebody who sends at once, and never cut a request that a handler is working on.
//!
//! One rule does most of it. A connection either makes the *peer* wait (a handler is working) or
//! makes *us* wait (for a handshake, a header, the rest of a body, the next request, or for the
//! peer to read an answer). When a newcomer finds no place, the connection that has made us wait
//! longest gives up its own: first among those of the same address if that address is at its
//! bound, else among those of the address that holds most. A newcomer is refused only when every
//! place it could have is working. So a trickler can only push out other tricklers: an honest
//! request is the youngest of those that wait, and stops waiting with its first packet. To have
//! time for that when hundreds arrive at once, nobody is sent away in the first 100 ms of a wait;
//! the burst stays in the kernel's queue instead.
//!
//! Time-outs are kept by one task that looks at all connections four times a second.

mod accept;
mod bind;
mod body;
mod conn;
mod exchange;
mod plain;
mod serve;
mod table;
#[cfg(test)]
mod tests;
mod watched;

pub use bind::{BindError, Bound, PlainRefused, bind, check_plain};
pub use exchange::{Instead, Progress};
pub use serve::serve;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use crate::http::tls::TlsIdentity;
use crate::limits;

/// An address to listen on and what is served there.
pub struct Listener {
    /// Address and port; port 0 takes a free one, see [`Bound::addr`].
    pub addr: SocketAddr,
    /// Plain or TLS.
    pub kind: Kind,
    /// What answers.
    pub app: Router,
    /// The option that sets the address, such as `--https`: errors name it.
    pub option: &'static str,
}

/// How the bytes travel.
#[derive(Clone)]
pub enum Kind {
    /// As they are. See [`check_plain`].
    Plain,
    /// Inside TLS 1.2 or 1.3, with HTTP/2 or HTTP/1.1 by ALPN.
    Tls(Arc<TlsIdentity>),
    /// Inside TLS with settings of the caller's own, for nodes rather than people: its certificate
    /// is nobody's authority's. Requests carry the client's [`ClientCertificate`].
    Mutual(Arc<ServerConfig>),
}

/// Request extension: the certificate that the client of a [`Kind::Mutual`] listener showed, and
/// whose key it proved to have.
#[derive(Debug, Clone)]
pub struct ClientCertificate(pub CertificateDer<'static>);

/// Request extension: the other end of the TCP connection. IPv4 addresses that arrive on an IPv6
/// socket are given as IPv4. Headers such as `X-Forwarded-For` are not looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClientAddr(pub SocketAddr);

/// Request extension: whether the request came through TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// Plain TCP.
    Http,
    /// TLS.
    Https,
}

/// Response extension: this answer streams for as long as both sides like (server-sent events).
/// The total time-out does not apply and the connection is not given up for a newcomer, so whoever
/// sets it must bound the number of such streams itself. A `101 Switching Protocols` implies it.
#[derive(Debug, Clone, Copy)]
pub struct LongLived;

/// Bounds on connections. `Default` takes them from [`crate::limits`], which has the reasons.
#[derive(Debug, Clone, Copy)]
pub struct ConnectionLimits {
    /// Connections in all.
    pub total: usize,
    /// Connections of one IPv4 address or IPv6 /64.
    pub per_address: usize,
    /// Connections of all loopback addresses together.
    pub loopback: usize,
    /// Accepted socket to finished TLS handshake.
    pub handshake_timeout: Duration,
    /// First byte (or first chance to send one) to complete header.
    pub header_timeout: Duration,
    /// Pause between two requests.
    pub idle_timeout: Duration,
    /// Header to end of the answer.
    pub request_timeout: Duration,
    /// Waiting for body bytes that is free of charge.
    pub body_grace: Duration,
    /// Bytes of body per second of waiting beyond the grace.
    pub body_bytes_per_s: u64,
    /// How long a stop waits for accepted requests.
    pub stop_timeout: Duration,
}

impl Default for ConnectionLimits {
    fn default() -> Self {
        Self {
            total: limits::CONNECTIONS_MAX,
            per_address: limits::CONNECTIONS_PER_ADDRESS_MAX,
            loopback: limits::CONNECTIONS_LOOPBACK_MAX,
            handshake_timeout: limits::HANDSHAKE_TIMEOUT,
            header_timeout: limits::HEADER_TIMEOUT,
            idle_timeout: limits::IDLE_TIMEOUT,
            request_timeout: limits::REQUEST_TIMEOUT,
            body_grace: limits::BODY_GRACE,
            body_bytes_per_s: limits::BODY_BYTES_PER_SECOND_MIN,
            stop_timeout: limits::STOP_TIMEOUT,
        }
    }
}
