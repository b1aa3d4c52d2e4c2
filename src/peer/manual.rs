//! What the operator asks of the network: who is in it and how they do, throw one out, sync now.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};

use serde::{Deserialize, Serialize};

use super::client::ClientError;
use super::identity::node_id;
use super::node::{PeerNode, lock};
use super::status::{BeyondReport, PeerReport};
use super::sync::{Giving, Link, Progress};
use crate::domain::actor::Actor;
use crate::domain::node_name::node_name;
use crate::service::Error;
use crate::service::replication::{self, Member};

/// How far a sync that was asked for has come.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SyncReport {
    /// What people call the peer.
    pub peer: String,
    /// It is over.
    pub done: bool,
    /// Why it ended early.
    pub error: Option<String>,
    /// Changes that were missing when it began.
    pub expected_changes: u64,
    /// Changes that are missing still.
    pub missing_changes: u64,
    /// Payload bytes that came.
    pub received_bytes: u64,
    /// Pieces that came.
    pub received_frames: u64,
    /// Pieces that went.
    pub sent_frames: u64,
}

/// A sync that was asked for.
#[derive(Debug, Default)]
pub struct ManualSync {
    peer: String,
    progress: Progress,
    ended: Mutex<Option<Option<String>>>,
}

impl ManualSync {
    /// How far it has come.
    #[must_use]
    pub fn report(&self) -> SyncReport {
        let read = |count: &std::sync::atomic::AtomicU64| count.load(Ordering::Relaxed);
        let (ended, progress) = (lock(&self.ended).clone(), &self.progress);
        SyncReport {
            peer: self.peer.clone(),
            done: ended.is_some(),
            error: ended.flatten(),
            expected_changes: read(&progress.expected),
            missing_changes: read(&progress.missing),
            received_bytes: read(&progress.received_bytes),
            received_frames: read(&progress.received_frames),
            sent_frames: read(&progress.sent_frames),
        }
    }
}

/// Every node of the network.
///
/// # Errors
/// When the disk fails.
pub async fn report(node: &PeerNode) -> Result<Vec<PeerReport>, Error> {
    let members = replication::members(&node.app).await?;
    let (own, now) = (node.identity.public_key(), node.app.clock.now());
    let turned_away = replication::turned_away_by(&node.app).await?;
    let beyond = replication::beyond(&node.app).await?;
    let line = |member: Member| {
        let key = member.public_key;
        let (seen, places) = (node.status.of(&key), node.places_of(&member));
        PeerReport {
            turned_away_at_ms: turned_away.get(&key).map(|at| at.0),
            beyond: BeyondReport::of(&key, &beyond),
            ..PeerReport::new(member, places, seen, own, now)
        }
    };
    Ok(members.into_iter().map(line).collect())
}

/// Throws a node out, by name, number or id.
///
/// # Errors
/// When there is no such node, or the actor may not.
pub async fn revoke(node: &PeerNode, actor: &Actor, which: &str) -> Result<Member, Error> {
    let members = replication::members(&node.app).await?;
    let member = pick(&members, which)?.clone();
    if member.public_key == *node.identity.public_key() {
        return Err(Error::NotFound(
            "that is this node: remove it at another node of the network",
        ));
    }
    replication::revoke(&node.app, actor, member.number).await?;
    Ok(member)
}

/// Calls a node, which is named by name, number or id, by another name.
///
/// # Errors
/// When there is no such node, the name is no good or another node's, or the actor may not.
pub async fn rename(
    node: &PeerNode,
    actor: &Actor,
    which: &str,
    name: &str,
) -> Result<Member, Error> {
    let name = node_name(name).map_err(Error::invalid("name"))?;
    let members = replication::members(&node.app).await?;
    let member = pick(&members, which)?.clone();
    replication::rename(&node.app, actor, member.public_key, name.clone()).await?;
    Ok(Member { name, ..member })
}

/// The member that somebody means. A name means a node that belongs to the network, if there is one.
fn pick<'a>(members: &'a [Member], which: &str) -> Result<&'a Member, Error> {
    let exact = |member: &&Member| {
        member.number.to_string() == which || node_id(&member.public_key) == which
    };
    if let Some(member) = members.iter().find(exact) {
        return Ok(member);
    }
    let named = |revoked: bool| {
        let named = members.iter().filter(move |it| it.revoked == revoked);
        named.filter(|member| member.name == which)
    };
    let removed = named(false).next().is_none();
    let mut named = named(removed);
    match (named.next(), named.next()) {
        (Some(member), None) => Ok(member),
        (Some(_), Some(_)) => Err(Error::NotFound(
            "several nodes have this name: say the number that `islet peers` shows",
        )),
        _ => Err(Error::NotFound(
            "there is no such node: `islet peers` lists them",
        )),
    }
}

/// Begins a sync with a peer, by name, number, id or address.
///
/// # Errors
/// When there is no such peer.
pub async fn begin(node: &Arc<PeerNode>, which: &str) -> Result<Arc<ManualSync>, Error> {
    let members = replication::members(&node.app).await?;
    let own = node.identity.public_key();
    let others: Vec<Member> = members
        .into_iter()
        .filter(|it| it.public_key != *own && !it.revoked)
        .collect();
    let (candidates, address) = if super::invitation::split_address(which).is_ok() {
        let at = |member: &&Member| member.addresses.iter().any(|it| it == which);
        let known: Vec<_> = others.iter().filter(at).cloned().collect();
        let candidates = if known.is_empty() { others } else { known };
        (candidates, Some(which.to_owned()))
    } else {
        (vec![pick(&others, which)?.clone()], None)
    };
    let peer = match candidates.as_slice() {
        [] => return Err(Error::NotFound("this node has no peers: invite one")),
        [one] => one.name.clone(),
        _ => which.to_owned(),
    };
    let sync = Arc::new(ManualSync {
        peer,
        ..ManualSync::default()
    });
    let (task, node) = (Arc::clone(&sync), Arc::clone(node));
    tokio::spawn(async move {
        let ended = tokio::select! {
            () = node.stop.cancelled() => Some("the node has stopped".to_owned()),
            ended = run(&node, &candidates, address, &task.progress) => {
                ended.err().map(|error| error.to_string())
            }
        };
        *lock(&task.ended) = Some(ended);
    });
    Ok(sync)
}

/// With the first of the candidates that answers: at an address it may be any of them.
async fn run(
    node: &Arc<PeerNode>,
    candidates: &[Member],
    address: Option<String>,
    progress: &Progress,
) -> Result<(), ClientError> {
    let mut trouble = ClientError::Here("this node has no peers".to_owned());
    for member in candidates {
        let addresses = match &address {
            Some(address) => vec![address.clone()],
            None => node.places_of(member),
        };
        match Link::open(node, member, &addresses).await {
            Ok(link) => {
                let ended = link.round(Giving::Always, progress).await;
                node.note_standing(&member.public_key, &ended).await;
                return ended;
            }
            Err(error) => trouble = error,
        }
    }
    Err(trouble)
}
