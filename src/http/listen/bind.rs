//! Takes the addresses before anything is served, so that the caller knows the real ports and can
//! tell the operator what is wrong. Must never fall back to another address or port in silence.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, SocketAddr};

use rustix::io::Errno;
use rustix::net::sockopt::set_ipv6_v6only;
use thiserror::Error;
use tokio::net::{TcpListener, TcpSocket};

use super::{Kind, Listener};
use crate::limits::ACCEPT_QUEUE_MAX;

/// A [`Listener`] that holds its port.
pub struct Bound {
    pub(super) socket: TcpListener,
    pub(super) listener: Listener,
}

impl Bound {
    /// The address in use, with the real port where 0 was asked for.
    #[must_use]
    pub fn addr(&self) -> SocketAddr {
        self.listener.addr
    }

    /// `https://host:port` or `http://host:port` of the address in use.
    #[must_use]
    pub fn url(&self) -> String {
        let scheme = match self.listener.kind {
            Kind::Plain => "http",
            Kind::Tls(_) | Kind::Mutual(_) => "https",
        };
        format!("{scheme}://{}", self.listener.addr)
    }
}

/// Why an address could not be taken, with what to do about it.
#[derive(Debug, Error)]
pub enum BindError {
    /// Another program listens there.
    #[error("address {addr} is in use: choose another with {option}")]
    InUse {
        /// What was asked for.
        addr: SocketAddr,
        /// The option that sets it.
        option: &'static str,
    },
    /// The system reserves the port.
    #[error("no permission to listen on {addr}: choose a port above 1023 with {option}")]
    Forbidden {
        /// What was asked for.
        addr: SocketAddr,
        /// The option that sets it.
        option: &'static str,
    },
    /// The address belongs to another machine.
    #[error("{addr} is not an address of this machine: choose another with {option}")]
    NotOurs {
        /// What was asked for.
        addr: SocketAddr,
        /// The option that sets it.
        option: &'static str,
    },
    /// Anything else.
    #[error("cannot listen on {addr} ({option}): {source}")]
    Other {
        /// What was asked for.
        addr: SocketAddr,
        /// The option that sets it.
        option: &'static str,
        /// What the system said.
        source: io::Error,
    },
}

/// Takes the listener's address, within a Tokio runtime. Connections wait in the kernel until
/// [`super::serve`] runs.
///
/// # Errors
/// [`BindError`], whose text names the option to change.
pub fn bind(mut listener: Listener) -> Result<Bound, BindError> {
    let (addr, option) = (listener.addr, listener.option);
    let explain = |source: io::Error| match source.kind() {
        ErrorKind::AddrInUse => BindError::InUse { addr, option },
        ErrorKind::PermissionDenied => BindError::Forbidden { addr, option },
        ErrorKind::AddrNotAvailable => BindError::NotOurs { addr, option },
        _ => BindError::Other {
            addr,
            option,
            source,
        },
    };
    let socket = listen(addr).map_err(explain)?;
    listener.addr = socket.local_addr().map_err(explain)?;
    Ok(Bound { socket, listener })
}

/// `[::]` means every address: IPv4 comes in at the same socket. Where the system has no IPv6 at all,
/// what is left of "every address" is `0.0.0.0`, and [`Bound::addr`] says so.
fn listen(addr: SocketAddr) -> io::Result<TcpListener> {
    match listen_at(addr) {
        Err(error) if is_every_address(addr) && is_for_want_of_ipv6(&error) => {
            tracing::info!(%addr, "this machine has no IPv6: listening on IPv4 only");
            listen_at((Ipv4Addr::UNSPECIFIED, addr.port()).into())
        }
        taken => taken,
    }
}

fn is_every_address(addr: SocketAddr) -> bool {
    addr.is_ipv6() && addr.ip().is_unspecified()
}

/// No such sockets, or no such address even for the one that every machine has.
fn is_for_want_of_ipv6(error: &io::Error) -> bool {
    let none = [Errno::AFNOSUPPORT, Errno::ADDRNOTAVAIL].map(Errno::raw_os_error);
    error
        .raw_os_error()
        .is_some_and(|code| none.contains(&code))
}

fn listen_at(addr: SocketAddr) -> io::Result<TcpListener> {
    let socket = if addr.is_ipv4() {
        TcpSocket::new_v4()?
    } else {
        TcpSocket::new_v6()?
    };
    // A restart must not wait for the connections of the last run to be forgotten.
    #[cfg(unix)]
    socket.set_reuseaddr(true)?;
    if is_every_address(addr) {
        // The system's default can be configured.
        set_ipv6_v6only(&socket, false)?;
    }
    socket.bind(addr)?;
    socket.listen(ACCEPT_QUEUE_MAX)
}

/// Plain HTTP was asked for on an address that other machines can reach.
#[derive(Debug, Error, PartialEq, Eq)]
#[error(
    "plain HTTP on {0} would send passwords and readings over the network unencrypted: \
     use a loopback address such as 127.0.0.1, or serve TLS with --https, \
     or accept the risk with --allow-plain-lan"
)]
pub struct PlainRefused(pub SocketAddr);

/// Plain HTTP is for loopback, unless the operator says otherwise.
///
/// # Errors
/// [`PlainRefused`] for an address that is not loopback when `allow_plain_lan` is false.
pub fn check_plain(addr: SocketAddr, allow_plain_lan: bool) -> Result<(), PlainRefused> {
    if allow_plain_lan || addr.ip().to_canonical().is_loopback() {
        Ok(())
    } else {
        Err(PlainRefused(addr))
    }
}
