//! Takes connections off a socket. Must never end or spin because one `accept` failed.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};

use crate::limits::ACCEPT_PAUSE;

/// The next connection. Waits out errors; safe to drop at any point.
pub(super) async fn accept(socket: &TcpListener) -> (TcpStream, SocketAddr) {
    let mut pause = Pause::default();
    loop {
        match socket.accept().await {
            Ok((stream, peer)) => {
                // Answers are written whole: waiting to fill a packet only delays them.
                if let Err(error) = stream.set_nodelay(true) {
                    tracing::debug!(%error, "cannot switch off Nagle's algorithm");
                }
                return (
                    stream,
                    SocketAddr::new(peer.ip().to_canonical(), peer.port()),
                );
            }
            Err(error) if is_the_peers(&error) => {
                tracing::debug!(%error, "a connection ended before it was accepted");
            }
            Err(error) => {
                let wait = pause.next();
                tracing::warn!(%error, wait_ms = wait.as_millis(), "cannot accept connections");
                tokio::time::sleep(wait).await;
            }
        }
    }
}

/// Errors of the one connection that was next; Linux reports those from `accept` (accept(2)).
fn is_the_peers(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ConnectionAborted
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionRefused
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::NetworkDown
            | ErrorKind::TimedOut
            | ErrorKind::Interrupted
    )
}

/// Doubles from the first pause to the longest.
#[derive(Default)]
struct Pause(Option<Duration>);

impl Pause {
    fn next(&mut self) -> Duration {
        let (first, longest) = ACCEPT_PAUSE;
        let wait = self.0.map_or(first, |last| (last * 2).min(longest));
        self.0 = Some(wait);
        wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shortage_is_waited_out_ever_longer_up_to_a_bound() {
        let mut pause = Pause::default();
        let waits: Vec<_> = (0..10).map(|_| pause.next()).collect();
        assert_eq!((waits[0], waits[9]), ACCEPT_PAUSE);
        assert!(waits.is_sorted());
    }

    #[test]
    fn only_errors_of_the_peer_are_passed_over_without_a_pause() {
        assert!(is_the_peers(&ErrorKind::ConnectionAborted.into()));
        let (enfile, emfile, enobufs, enomem) = (23, 24, 105, 12);
        for code in [enfile, emfile, enobufs, enomem] {
            assert!(!is_the_peers(&io::Error::from_raw_os_error(code)));
        }
    }
}
