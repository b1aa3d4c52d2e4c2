//! A node as its network knows it: made from the data directory and the configuration.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::data_dir::TLS;
use super::{DataDir, Failure};
use crate::auth::Secret;
use crate::config::{Config, Tokens};
use crate::limits;
use crate::peer::PeerNode;
use crate::peer::join::Inheritance;
use crate::service::App;

/// The node, reached where the configuration says, unless it listens elsewhere in the end.
///
/// # Errors
/// When its key cannot be used.
pub(super) fn node(
    data: &DataDir,
    config: &Config,
    app: Arc<App>,
    stop: CancellationToken,
) -> Result<Arc<PeerNode>, Failure> {
    let identity = data.identity()?;
    let node = PeerNode::new(app, identity, host_name(), inheritance(data, config), stop);
    if let Some(addr) = config.peer.get().filter(|addr| addr.port() != 0) {
        node.set_addresses(reached_at(addr));
    }
    Ok(node)
}

/// What people call a node that was not given a name.
pub(super) fn host_name() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let plain = |c: &char| c.is_ascii_alphanumeric() || "-._".contains(*c);
    let name: String = name.chars().filter(plain).take(63).collect();
    if name.is_empty() {
        "islet".to_owned()
    } else {
        name
    }
}

/// `host:port` for other machines. A listener on all addresses is reached at those of the LAN.
pub(super) fn reached_at(listens: SocketAddr) -> Vec<String> {
    if !listens.ip().is_unspecified() {
        return vec![listens.to_string()];
    }
    let interfaces = if_addrs::get_if_addrs().unwrap_or_default();
    let own = interfaces.iter().map(if_addrs::Interface::ip);
    let mut found: Vec<IpAddr> = own
        .filter(|ip| match ip {
            IpAddr::V4(ip) => !ip.is_loopback() && !ip.is_link_local(),
            IpAddr::V6(ip) => listens.is_ipv6() && ip.is_unique_local(),
        })
        .collect();
    found.sort_unstable();
    found.truncate(limits::PEER_ADDRESSES_MAX);
    let at = |ip: IpAddr| SocketAddr::new(ip, listens.port()).to_string();
    found.into_iter().map(at).collect()
}

/// What a node that joins gets; `None` when there is no authority here.
fn inheritance(data: &DataDir, config: &Config) -> Option<Inheritance> {
    let read = |name: &str| fs::read_to_string(data.join(TLS).join(name)).ok();
    Some(Inheritance {
        ca_certificate: read("ca.crt")?,
        ca_key: Secret::new(read("ca.key")?),
        settings: toml::to_string(&config.tokens).ok()?,
    })
}

/// The settings in an [`Inheritance`]. What a newer node wrote and this one does not know is left at
/// its default.
pub(super) fn settings(inheritance: &Inheritance) -> Tokens {
    toml::from_str(&inheritance.settings).unwrap_or_default()
}
