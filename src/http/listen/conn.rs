//! What one connection is doing: whom it keeps waiting, since when, and when that becomes too long.
//! No I/O and no clock here: the time comes in as a parameter.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio_util::sync::CancellationToken;

use super::ConnectionLimits;
use crate::limits::REQUEST_OVERRUN;

/// Connections that share one bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Group {
    /// All of 127.0.0.0/8 and `::1`.
    Loopback,
    /// One IPv4 address.
    V4(Ipv4Addr),
    /// One IPv6 /64, the upper half of the address.
    V6(u64),
}

impl Group {
    pub(super) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V4(ip) => Self::V4(ip),
            IpAddr::V6(ip) => Self::V6((ip.to_bits() >> 64) as u64),
        }
    }
}

/// Between requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Quiet {
    /// TLS is being agreed on.
    Handshake,
    /// A header has begun, or the first one is due.
    Header,
    /// The last answer is out.
    Idle,
}

/// Within a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// A handler is working: the peer waits for us.
    Working,
    /// A handler waits for more of the body.
    Receiving,
    /// The answer is being read by the peer.
    Sending,
    /// The answer is a stream without an end.
    LongLived,
}

struct Request {
    began: Instant,
    stage: Stage,
}

struct State {
    quiet: Quiet,
    since: Instant,
    http2: bool,
    upgraded: bool,
    /// Several at once only in HTTP/2.
    requests: BTreeMap<u64, Request>,
    next_key: u64,
}

/// One connection, shared by its task and the table.
pub(super) struct Conn {
    pub(super) id: u64,
    pub(super) group: Group,
    /// Cancelled when the connection has to end at once.
    pub(super) evicted: CancellationToken,
    /// The next byte from the peer begins a header. Outside the lock because every read asks.
    expects_header: AtomicBool,
    state: Mutex<State>,
}

impl Conn {
    pub(super) fn new(id: u64, group: Group, tls: bool, now: Instant) -> Self {
        Self {
            id,
            group,
            evicted: CancellationToken::new(),
            expects_header: AtomicBool::new(false),
            state: Mutex::new(State {
                quiet: if tls { Quiet::Handshake } else { Quiet::Header },
                since: now,
                http2: false,
                upgraded: false,
                requests: BTreeMap::new(),
                next_key: 0,
            }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The TLS handshake is done and the first header is due.
    pub(super) fn handshake_done(&self, now: Instant) {
        let mut state = self.state();
        (state.quiet, state.since) = (Quiet::Header, now);
    }

    /// Bytes came from the peer.
    pub(super) fn received(&self, now: impl FnOnce() -> Instant) {
        if self.expects_header.swap(false, Ordering::Relaxed) {
            let mut state = self.state();
            if state.requests.is_empty() {
                (state.quiet, state.since) = (Quiet::Header, now());
            }
        }
    }

    /// A header is complete; the request lasts as long as the returned value.
    pub(super) fn begin(self: &Arc<Self>, http2: bool, now: Instant) -> RequestGuard {
        self.expects_header.store(false, Ordering::Relaxed);
        let mut state = self.state();
        state.http2 |= http2;
        let key = state.next_key;
        state.next_key += 1;
        let request = Request {
            began: now,
            stage: Stage::Working,
        };
        state.requests.insert(key, request);
        RequestGuard {
            conn: Arc::clone(self),
            key,
        }
    }

    /// Does nothing when the request is over, or its answer is a stream without an end: that may
    /// well wait for more of the request.
    pub(super) fn set_stage(&self, key: u64, stage: Stage) {
        if let Some(request) = self.state().requests.get_mut(&key)
            && request.stage != Stage::LongLived
        {
            request.stage = stage;
        }
    }

    pub(super) fn stage(&self, key: u64) -> Option<Stage> {
        self.state().requests.get(&key).map(|request| request.stage)
    }

    /// From here on the connection belongs to another protocol, which keeps its own bounds.
    pub(super) fn upgrade(&self) {
        self.state().upgraded = true;
    }

    fn end(&self, key: u64, now: Instant) {
        let mut state = self.state();
        state.requests.remove(&key);
        if state.requests.is_empty() {
            (state.quiet, state.since) = (Quiet::Idle, now);
            // In HTTP/2 a byte may be a ping: only the idle bound holds there.
            self.expects_header.store(!state.http2, Ordering::Relaxed);
        }
    }

    /// A request is under way.
    pub(super) fn busy(&self) -> bool {
        !self.state().requests.is_empty()
    }

    /// Since when the peer has kept us waiting; `None` while we work for it.
    pub(super) fn waits_since(&self) -> Option<Instant> {
        let state = self.state();
        let waits = |request: &Request| matches!(request.stage, Stage::Receiving | Stage::Sending);
        if state.upgraded || !state.requests.values().all(waits) {
            return None;
        }
        let oldest = state.requests.values().map(|request| request.began).min();
        Some(oldest.unwrap_or(state.since))
    }

    /// The peer has used up its time.
    pub(super) fn overdue(&self, limits: &ConnectionLimits, now: Instant) -> bool {
        let state = self.state();
        if state.upgraded {
            return false;
        }
        if state.requests.is_empty() {
            let allowed = match state.quiet {
                Quiet::Handshake => limits.handshake_timeout,
                Quiet::Header => limits.header_timeout,
                Quiet::Idle => limits.idle_timeout,
            };
            return now.saturating_duration_since(state.since) >= allowed;
        }
        let allowed = limits.request_timeout + REQUEST_OVERRUN;
        state.requests.values().any(|request| {
            request.stage != Stage::LongLived
                && now.saturating_duration_since(request.began) >= allowed
        })
    }
}

/// One request; ends when dropped.
pub(super) struct RequestGuard {
    pub(super) conn: Arc<Conn>,
    pub(super) key: u64,
}

impl RequestGuard {
    pub(super) fn set_stage(&self, stage: Stage) {
        self.conn.set_stage(self.key, stage);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        self.conn.end(self.key, Instant::now());
    }
}
