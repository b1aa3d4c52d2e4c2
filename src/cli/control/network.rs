//! Requests about the network, carried out.

use std::sync::Arc;
use std::time::Duration;

use super::Response;
use crate::cli::Failure;
use crate::domain::actor::Actor;
use crate::limits;
use crate::peer::invitation::{Invitation, split_address};
use crate::peer::{PeerNode, manual};
use crate::service::{invitations, replication};

pub(super) async fn invite(
    node: &Arc<PeerNode>,
    valid_s: u64,
    address: Option<String>,
) -> Result<Response, Failure> {
    let valid = Duration::from_secs(valid_s);
    if valid.is_zero() || valid > limits::INVITATION_VALID_MAX {
        let days = limits::INVITATION_VALID_MAX.as_secs() / (24 * 3600);
        return Err(Failure::usage(format!(
            "--valid must be over 0 and at most {days} days"
        )));
    }
    if let Some(address) = &address {
        split_address(address).map_err(|why| Failure::usage(format!("--address: {why}")))?;
    }
    let mut addresses: Vec<String> = address.into_iter().collect();
    for address in node.addresses() {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    addresses.truncate(limits::PEER_ADDRESSES_MAX);
    if addresses.is_empty() {
        return Err(Failure::new(
            "other nodes cannot reach this one: set `peer` in the configuration to an address, \
             or say --address HOST:PORT",
        ));
    }
    node.announce().await?;
    let network = replication::network(&node.app).await?;
    let key = *node.identity.public_key();
    let random = &*node.app.random;
    let invitation = Invitation::new(network, key, addresses, random)
        .map_err(|error| Failure::new(error.to_string()))?;
    let code = invitation
        .code()
        .map_err(|error| Failure::new(error.to_string()))?;
    let operator = Actor::operator();
    let until = invitations::create(&node.app, &operator, invitation.digest(), valid).await?;
    Ok(Response::Invitation {
        code,
        expires_at_ms: until.0,
        addresses: invitation.addresses,
    })
}

pub(super) async fn list(node: &Arc<PeerNode>) -> Result<Response, Failure> {
    Ok(Response::Peers(manual::report(node).await?))
}

pub(super) async fn revoke(node: &Arc<PeerNode>, which: &str) -> Result<Response, Failure> {
    let member = manual::revoke(node, &Actor::operator(), which).await?;
    Ok(Response::PeerRevoked {
        number: member.number,
        name: member.name,
    })
}

pub(super) async fn rename(
    node: &Arc<PeerNode>,
    which: &str,
    name: &str,
) -> Result<Response, Failure> {
    // A node that was never served has no row of its own yet.
    node.announce().await?;
    let member = manual::rename(node, &Actor::operator(), which, name).await?;
    Ok(Response::PeerRenamed {
        number: member.number,
        name: member.name,
    })
}

pub(super) async fn begin_sync(node: &Arc<PeerNode>, which: &str) -> Result<Response, Failure> {
    Ok(Response::Sync(node.begin_sync(which).await?.report()))
}

pub(super) fn show_sync(node: &Arc<PeerNode>) -> Result<Response, Failure> {
    let sync = node.manual_sync();
    let sync = sync.ok_or_else(|| Failure::new("no sync was asked for"))?;
    Ok(Response::Sync(sync.report()))
}
