//! Finding each other on a LAN by multicast DNS (RFC 6762, RFC 6763), service `_islet._tcp`.
//!
//! What is announced: the id of the node, a digest of the network's id, a port. No name of anybody or
//! of the clinic. What is heard is a hint where a member may be, no more: anybody on the LAN can
//! announce anything, so the key decides, and what is remembered is bounded.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use mdns_sd::{IfKind, ResolvedService, ServiceDaemon, ServiceEvent, ServiceInfo};
use thiserror::Error;
use tokio::sync::watch;

use super::identity::{PublicKey, node_id};
use super::node::{PeerNode, lock};
use crate::limits;
use crate::service::replication;

const SERVICE: &str = "_islet._tcp.local.";
const NODE: &str = "node";
const NETWORK: &str = "net";

/// Discovery does not work; the links to known addresses do.
#[derive(Debug, Error)]
pub enum DiscoveryError {
    /// Multicast DNS.
    #[error("nodes on the LAN are not found by themselves: {0}")]
    Mdns(#[from] mdns_sd::Error),
    /// This node.
    #[error(transparent)]
    Node(#[from] crate::service::Error),
}

/// Where nodes announce themselves, by id.
#[derive(Debug)]
pub(super) struct Discovered {
    places: Mutex<BTreeMap<String, Vec<String>>>,
    changes: watch::Sender<u64>,
}

impl Default for Discovered {
    fn default() -> Self {
        Self {
            places: Mutex::default(),
            changes: watch::channel(0).0,
        }
    }
}

impl Discovered {
    /// Where the node with this key announces itself.
    pub(super) fn of(&self, key: &PublicKey) -> Vec<String> {
        let places = lock(&self.places);
        places.get(&node_id(key)).cloned().unwrap_or_default()
    }

    /// Changes with every announcement that says something new.
    pub(super) fn changes(&self) -> watch::Receiver<u64> {
        self.changes.subscribe()
    }

    fn put(&self, id: String, addresses: Vec<String>) {
        let mut places = lock(&self.places);
        let known = places.contains_key(&id);
        if places.get(&id) == Some(&addresses)
            || (!known && places.len() >= limits::DISCOVERED_NODES_MAX)
        {
            return;
        }
        places.insert(id, addresses);
        drop(places);
        self.changes.send_modify(|count| *count += 1);
    }

    fn remove(&self, id: &str) {
        lock(&self.places).remove(id);
    }
}

/// Announces the node, which listens at `listens`, and hears of others until it stops.
///
/// # Errors
/// When the machine has no way to do so.
pub async fn run(node: Arc<PeerNode>, listens: SocketAddr) -> Result<(), DiscoveryError> {
    let daemon = ServiceDaemon::new()?;
    restrict(&daemon, listens.ip())?;
    let network = replication::network(&node.app).await?;
    daemon.register(announcement(&node, &network, listens)?)?;
    let events = daemon.browse(SERVICE)?;
    let wanted = network_digest(&network);
    loop {
        let event = tokio::select! {
            () = node.stop.cancelled() => break,
            event = events.recv_async() => event,
        };
        match event {
            Ok(ServiceEvent::ServiceResolved(service)) => {
                if let Some((id, addresses)) = heard(&service, &wanted) {
                    node.discovered.put(id, addresses);
                }
            }
            Ok(ServiceEvent::ServiceRemoved(_, name)) => {
                let id = name.split('.').next().unwrap_or_default();
                node.discovered.remove(id);
            }
            Ok(_) => {}
            Err(_) => break,
        }
    }
    // Says goodbye to the others on the LAN.
    let _ = daemon.shutdown();
    Ok(())
}

/// Only where this node listens.
fn restrict(daemon: &ServiceDaemon, listens: IpAddr) -> Result<(), mdns_sd::Error> {
    if listens.is_unspecified() {
        return daemon.disable_interface(vec![IfKind::LoopbackV4, IfKind::LoopbackV6]);
    }
    daemon.disable_interface(IfKind::All)?;
    daemon.enable_interface(IfKind::Addr(listens))
}

fn announcement(
    node: &PeerNode,
    network: &[u8; 16],
    listens: SocketAddr,
) -> Result<ServiceInfo, mdns_sd::Error> {
    let (id, net) = (node.identity.node_id(), network_digest(network));
    let host = format!("{id}.local.");
    let txt = [(NODE, id.as_str()), (NETWORK, net.as_str())];
    let ip = if listens.ip().is_unspecified() {
        String::new()
    } else {
        listens.ip().to_string()
    };
    let automatic = ip.is_empty();
    let info = ServiceInfo::new(SERVICE, &id, &host, ip.as_str(), listens.port(), &txt[..])?;
    Ok(if automatic {
        info.enable_addr_auto()
    } else {
        info
    })
}

/// The network's id is in invitations, so its digest is announced.
fn network_digest(network: &[u8; 16]) -> String {
    let digest = blake3::derive_key("islet 2026-11 network discovery digest", network);
    super::hex(&digest[..8])
}

/// Id and addresses of a node of this network, if that is what was announced.
fn heard(service: &ResolvedService, network: &str) -> Option<(String, Vec<String>)> {
    let id = service.get_property_val_str(NODE)?;
    let ours = service.get_property_val_str(NETWORK)? == network;
    let sound = id.len() == 32 && id.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !ours || !sound || service.get_port() == 0 {
        return None;
    }
    let usable = |ip: &IpAddr| match ip {
        IpAddr::V4(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_broadcast(),
        // A link-local address says nothing without its interface.
        IpAddr::V6(ip) => !ip.is_unspecified() && !ip.is_multicast() && !ip.is_unicast_link_local(),
    };
    let ips = service
        .get_addresses()
        .iter()
        .map(mdns_sd::ScopedIp::to_ip_addr);
    let mut ips: Vec<IpAddr> = ips.filter(usable).collect();
    ips.sort_unstable();
    ips.truncate(limits::PEER_ADDRESSES_MAX);
    let at = |ip: IpAddr| SocketAddr::new(ip, service.get_port()).to_string();
    Some((id.to_owned(), ips.into_iter().map(at).collect()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(id: &str, net: &str, ips: &str, port: u16) -> ResolvedService {
        let txt = [(NODE, id), (NETWORK, net)];
        ServiceInfo::new(SERVICE, "x", "x.local.", ips, port, &txt[..])
            .unwrap()
            .as_resolved_service()
    }

    #[test]
    fn only_sound_announcements_of_the_network_are_heard() {
        let (id, net) = ("0123456789abcdef0123456789abcdef", network_digest(&[1; 16]));
        let heard = |id: &str, net: &str, ips: &str, port| {
            heard(&service(id, net, ips, port), &network_digest(&[1; 16]))
        };
        let found = heard(id, &net, "10.0.0.7,0.0.0.0,fe80::1,fd00::1", 8444);
        let addresses = vec!["10.0.0.7:8444".to_owned(), "[fd00::1]:8444".to_owned()];
        assert_eq!(found, Some((id.to_owned(), addresses)));
        assert_eq!(heard(id, &network_digest(&[2; 16]), "10.0.0.7", 8444), None);
        assert_eq!(heard(id, &net, "10.0.0.7", 0), None);
        assert_eq!(heard("../../etc/passwd", &net, "10.0.0.7", 8444), None);
        let many = "10.0.0.1,10.0.0.2,10.0.0.3,10.0.0.4,10.0.0.5,10.0.0.6";
        let (_, addresses) = heard(id, &net, many, 8444).unwrap();
        assert_eq!(addresses.len(), limits::PEER_ADDRESSES_MAX);
    }

    #[test]
    fn what_is_remembered_is_bounded_and_news_are_told_once() {
        let discovered = Discovered::default();
        let changes = discovered.changes();
        for number in 0..2 * limits::DISCOVERED_NODES_MAX {
            discovered.put(format!("{number:032x}"), vec!["10.0.0.7:1".to_owned()]);
            discovered.put(format!("{number:032x}"), vec!["10.0.0.7:1".to_owned()]);
        }
        assert_eq!(lock(&discovered.places).len(), limits::DISCOVERED_NODES_MAX);
        assert_eq!(*changes.borrow(), limits::DISCOVERED_NODES_MAX as u64);
        discovered.put(format!("{:032x}", 0), vec!["10.0.0.8:1".to_owned()]);
        assert_eq!(*changes.borrow(), limits::DISCOVERED_NODES_MAX as u64 + 1);
    }
}
