//! PLACEHOLDER, to be replaced by the replication core. The signatures are what [`crate::peer`]
//! calls; behind them is a toy that keeps the list of members in a file beside the database and
//! replicates nothing but that list.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, LazyLock, Mutex, MutexGuard, PoisonError};

use islet_sync::frame::{Frame, Kind};
use serde::{Deserialize, Serialize};
use tokio::sync::{mpsc, watch};

use super::{App, Error, invitations, policy};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::store::{Lane, replica};

/// A node of the network.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Number of its replica.
    pub number: u32,
    /// Id of its replica.
    pub replica_id: [u8; 16],
    /// Its Ed25519 key: what it is trusted by.
    pub public_key: [u8; 32],
    /// What people call it.
    pub name: String,
    /// `host:port`, where it may be reached.
    pub addresses: Vec<String>,
    /// It was thrown out.
    pub revoked: bool,
    /// Rises when its addresses change.
    #[serde(default)]
    pub revision: u32,
}

/// What a node says about itself.
#[derive(Clone, Debug)]
pub struct NewMember {
    /// Its Ed25519 key.
    pub public_key: [u8; 32],
    /// What people call it.
    pub name: String,
    /// `host:port`, where it may be reached.
    pub addresses: Vec<String>,
    /// Digest of the invitation that it shows; spent in the transaction that admits it.
    pub invitation: [u8; 32],
}

/// What an admitted node needs to know before its first sync.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Admission {
    /// The network.
    pub network: [u8; 16],
    /// The number of the new replica.
    pub number: u32,
    /// The id of the new replica.
    pub replica_id: [u8; 16],
    /// Name of the clinic.
    pub clinic: String,
    /// Who is trusted at first.
    pub members: Vec<Member>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct State {
    network: [u8; 16],
    members: Vec<Member>,
}

impl State {
    fn digest(&self) -> [u8; 32] {
        let mut members = self.members.clone();
        members.sort_by_key(|member| member.public_key);
        let bytes = serde_json::to_vec(&members).unwrap_or_default();
        *blake3::hash(&bytes).as_bytes()
    }
}

type Ticks = BTreeMap<PathBuf, watch::Sender<u64>>;
static TICKS: LazyLock<Mutex<Ticks>> = LazyLock::new(Mutex::default);

fn ticks() -> MutexGuard<'static, Ticks> {
    TICKS.lock().unwrap_or_else(PoisonError::into_inner)
}

fn path(app: &App) -> PathBuf {
    // A node that is being built is moved to the directory above, and this file would be left.
    let dir = app.store.path().parent().unwrap_or(app.store.path());
    let built = dir.ends_with(".init").then(|| dir.parent()).flatten();
    built.unwrap_or(dir).join("placeholder-members.json")
}

fn load(app: &App) -> Result<State, Error> {
    match std::fs::read(path(app)) {
        Ok(bytes) => {
            serde_json::from_slice(&bytes).map_err(|error| Error::Internal(error.to_string()))
        }
        Err(_) => Ok(State::default()),
    }
}

fn change<T>(app: &App, job: impl FnOnce(&mut State) -> T) -> Result<T, Error> {
    let mut ticks = ticks();
    let mut state = load(app)?;
    let before = state.digest();
    let value = job(&mut state);
    if state.digest() == before && path(app).exists() {
        return Ok(value);
    }
    let internal = |error: &dyn std::fmt::Display| Error::Internal(error.to_string());
    let bytes = serde_json::to_vec(&state).map_err(|error| internal(&error))?;
    let temporary = path(app).with_extension("tmp");
    std::fs::write(&temporary, bytes).map_err(|error| internal(&error))?;
    std::fs::rename(temporary, path(app)).map_err(|error| internal(&error))?;
    let sender = ticks
        .entry(path(app))
        .or_insert_with(|| watch::channel(0).0);
    sender.send_modify(|tick| *tick += 1);
    Ok(value)
}

/// Every node of the network, this one too. Empty before [`announce`].
///
/// # Errors
/// When the disk fails.
pub async fn members(app: &App) -> Result<Vec<Member>, Error> {
    Ok(load(app)?.members)
}

/// The network's id.
///
/// # Errors
/// When the disk fails.
pub async fn network(app: &App) -> Result<[u8; 16], Error> {
    Ok(load(app)?.network)
}

/// Makes this node a member of its own network where it is none yet (it founds it), or notes where
/// it may be reached now.
///
/// # Errors
/// When the disk fails, or the network has this replica under another key.
pub async fn announce(
    app: &App,
    public_key: [u8; 32],
    name: String,
    addresses: Vec<String>,
) -> Result<(), Error> {
    let number = app.store.read(|tx| replica::get(tx)).await?.number;
    let mut id = [0; 16];
    app.random.fill(&mut id)?;
    change(app, |state| {
        let founds = state.members.is_empty();
        let own = |member: &&mut Member| member.public_key == public_key;
        match state.members.iter_mut().find(own) {
            Some(own) if addresses.is_empty() || own.addresses == addresses => Ok(()),
            Some(own) => {
                own.addresses = addresses;
                own.revision += 1;
                Ok(())
            }
            None if founds => {
                state.network = id;
                state.members.push(Member {
                    number,
                    replica_id: id,
                    public_key,
                    name,
                    addresses,
                    revoked: false,
                    revision: 0,
                });
                Ok(())
            }
            None => Err(Error::NotFound(
                "this node's key is not a member's: restore keys/node.key from a backup",
            )),
        }
    })?
}

/// Lets a node in that shows a good invitation. Asking twice is answered the same way.
///
/// # Errors
/// When the invitation is not good.
pub async fn admit(app: &App, new: NewMember) -> Result<Admission, Error> {
    let (digest, key) = (new.invitation, new.public_key);
    let spent = app.store.write(Lane::Interactive, move |tx| {
        invitations::spend(tx, &digest, &key)?;
        let entry = Entry::new(&Actor::system(), "peer.admit").on(Object::Node, 0);
        Ok::<_, Error>(tx.audit(&entry)?)
    });
    spent.await?;
    let clinic = app.store.read(|tx| replica::get(tx)).await?.clinic;
    let mut bytes = [0; 20];
    app.random.fill(&mut bytes)?;
    change(app, |state| {
        let known = |member: &&Member| member.public_key == new.public_key;
        let member = if let Some(member) = state.members.iter().find(known) {
            member.clone()
        } else {
            let [a, b, c, d, id @ ..] = bytes;
            let member = Member {
                number: u32::from_le_bytes([a, b, c, d]) & 0x1f_ffff | 1,
                replica_id: id,
                public_key: new.public_key,
                name: new.name,
                addresses: new.addresses,
                revoked: false,
                revision: 0,
            };
            state.members.push(member.clone());
            member
        };
        Admission {
            network: state.network,
            number: member.number,
            replica_id: member.replica_id,
            clinic,
            members: state.members.clone(),
        }
    })
}

/// The other end of [`admit`]: makes the database of a new node part of the network.
///
/// # Errors
/// When the disk fails.
pub async fn adopt(app: &App, admission: &Admission) -> Result<(), Error> {
    change(app, |state| {
        state.network = admission.network;
        state.members.clone_from(&admission.members);
    })
}

/// Throws a member out.
///
/// # Errors
/// When the actor is not an admin, or there is no such member.
pub async fn revoke(app: &App, actor: &Actor, number: u32) -> Result<(), Error> {
    policy::admin(app, actor, "peer.revoke")?;
    let entry = Entry::new(actor, "peer.revoke").on(Object::Node, number.into());
    app.store.note_access(entry)?;
    change(app, |state| {
        let member = |member: &&mut Member| member.number == number;
        let member = state.members.iter_mut().find(member);
        let member = member.ok_or(Error::NotFound("there is no such node"))?;
        member.revoked = true;
        member.revision += 1;
        Ok(())
    })?
}

/// The payload of this node's [`Kind::Hello`].
///
/// # Errors
/// When the disk fails.
pub async fn hello(app: &App) -> Result<Vec<u8>, Error> {
    let state = load(app)?;
    Ok([&state.network[..], &state.digest()[..16]].concat())
}

/// What this node knows: the payload of its [`Kind::Vector`].
///
/// # Errors
/// When the disk fails.
pub async fn vector(app: &App) -> Result<Vec<u8>, Error> {
    let state = load(app)?;
    let mut vector = Vec::new();
    for member in &state.members {
        vector.extend(member.public_key);
        vector.extend(member.revision.to_be_bytes());
    }
    Ok(vector)
}

/// How many changes a node with the vector `theirs` has that this one lacks.
///
/// # Errors
/// When the vector makes no sense, or the disk fails.
pub async fn behind(app: &App, theirs: &[u8]) -> Result<u64, Error> {
    let ours = vector(app).await?;
    let known: Vec<_> = ours.chunks(36).collect();
    let lacking = theirs.chunks(36).filter(|entry| !known.contains(entry));
    Ok(lacking.count() as u64)
}

/// The answer to a peer's hello: nothing when both know the same, else this node's vector.
///
/// # Errors
/// When the hello is of another network or makes no sense.
pub async fn answer_exchange(app: &App, _peer: u32, theirs: &[u8]) -> Result<Vec<Frame>, Error> {
    let ours = hello(app).await?;
    if theirs.get(..16) != ours.get(..16) {
        return Err(Error::NotFound("this node belongs to another network"));
    }
    if theirs == ours {
        return Ok(Vec::new());
    }
    Ok(vec![Frame::new(Kind::Vector, vector(app).await?)])
}

/// What a peer with this vector lacks, in order. A bounded channel: the sender waits for the
/// receiver. It closes without [`Kind::End`] when the sender failed.
///
/// # Errors
/// When the vector makes no sense.
pub async fn outgoing(
    app: &Arc<App>,
    _peer: u32,
    theirs: Vec<u8>,
) -> Result<mpsc::Receiver<Frame>, Error> {
    let mut known = BTreeMap::new();
    for entry in theirs.chunks(36) {
        if let Some((key, revision)) = entry.split_at_checked(32) {
            known.insert(key.to_vec(), revision.to_vec());
        }
    }
    let lacks = |member: &Member| {
        let revision = known.get(&member.public_key[..]);
        revision.is_none_or(|revision| *revision < member.revision.to_be_bytes().to_vec())
    };
    let members: Vec<Member> = load(app)?.members.into_iter().filter(lacks).collect();
    let (sender, receiver) = mpsc::channel(2);
    tokio::spawn(async move {
        for member in members {
            let payload = serde_json::to_vec(&member).unwrap_or_default();
            if sender
                .send(Frame::new(Kind::Replica, payload))
                .await
                .is_err()
            {
                return;
            }
        }
        let _ = sender.send(Frame::end()).await;
    });
    Ok(receiver)
}

/// Takes in one frame of a peer; durable when it answers. The answer goes back to the peer.
///
/// # Errors
/// When the frame cannot be taken: the stream ends there.
pub async fn ingest(app: &App, _peer: u32, frame: Frame) -> Result<Option<Frame>, Error> {
    if frame.kind != Kind::Replica {
        return Err(Error::NotFound("no such frame is expected here"));
    }
    let member: Member = serde_json::from_slice(&frame.payload)
        .map_err(|_| Error::NotFound("a frame does not hold a replica"))?;
    change(app, |state| {
        let key = member.public_key;
        match state
            .members
            .iter_mut()
            .find(|known| known.public_key == key)
        {
            Some(known) if known.revision < member.revision => *known = member,
            Some(_) => {}
            None => state.members.push(member),
        }
    })?;
    Ok(Some(Frame::new(Kind::Ack, Vec::new())))
}

/// A peer asks for queue rights; the payloads of [`Kind::Rights`]. The toy gives back what it gets.
///
/// # Errors
/// Never, as yet.
pub async fn rights(_app: &App, _peer: u32, request: Vec<u8>) -> Result<Vec<u8>, Error> {
    Ok(request)
}

/// Changes after each commit that peers should hear of.
#[must_use]
pub fn commits(app: &App) -> watch::Receiver<u64> {
    let mut ticks = ticks();
    let sender = ticks
        .entry(path(app))
        .or_insert_with(|| watch::channel(0).0);
    sender.subscribe()
}
