//! What a node needs to speak with its peers: its key, the use cases, and the bounds on what each
//! peer may have open.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use islet_sync::frame::{Frame, Kind};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::client::{ClientError, Connection};
use super::discovery::Discovered;
use super::identity::{Identity, PublicKey};
use super::join::Inheritance;
use super::manual::{self, ManualSync};
use super::refusal::Refusal;
use super::server::RIGHTS;
use super::status::Status;
use super::stream::{StreamError, whole};
use crate::limits;
use crate::service::replication::{self, Member};
use crate::service::{App, Error};

/// This node, as its peers know it.
#[derive(Debug)]
pub struct PeerNode {
    /// The use cases.
    pub app: Arc<App>,
    /// Its key.
    pub identity: Arc<Identity>,
    /// What people call it.
    pub name: String,
    addresses: Mutex<Vec<String>>,
    /// What a node that joins gets; without it nobody can join here.
    pub inheritance: Option<Inheritance>,
    /// Ends every stream and link.
    pub stop: CancellationToken,
    /// How each peer does.
    pub status: Status,
    /// The last sync that the operator asked for.
    manual: Mutex<Option<Arc<ManualSync>>>,
    pub(super) discovered: Discovered,
    pub(super) joins: Arc<Semaphore>,
    /// Whose turn it is to fetch.
    pub(super) turn: tokio::sync::Mutex<()>,
    /// The links that are up.
    connections: Mutex<BTreeMap<PublicKey, Arc<Connection>>>,
    places: Mutex<BTreeMap<PublicKey, Arc<Semaphore>>>,
    watchers: Mutex<BTreeMap<PublicKey, usize>>,
}

impl PeerNode {
    /// A node that knows nobody yet.
    #[must_use]
    pub fn new(
        app: Arc<App>,
        identity: Identity,
        name: String,
        inheritance: Option<Inheritance>,
        stop: CancellationToken,
    ) -> Arc<Self> {
        Arc::new(Self {
            app,
            identity: Arc::new(identity),
            name,
            addresses: Mutex::default(),
            inheritance,
            stop,
            status: Status::default(),
            manual: Mutex::default(),
            discovered: Discovered::default(),
            joins: Arc::new(Semaphore::new(limits::JOINS_AT_ONCE)),
            turn: tokio::sync::Mutex::default(),
            connections: Mutex::default(),
            places: Mutex::default(),
            watchers: Mutex::default(),
        })
    }

    /// `host:port`, where peers reach it; empty when it does not listen.
    #[must_use]
    pub fn addresses(&self) -> Vec<String> {
        lock(&self.addresses).clone()
    }

    /// From now on peers reach it there.
    pub fn set_addresses(&self, addresses: Vec<String>) {
        *lock(&self.addresses) = addresses;
    }

    /// Makes this node a member of its network and notes where it is reached.
    ///
    /// # Errors
    /// When its key is not the one that the network knows.
    pub async fn announce(&self) -> Result<(), Error> {
        let (key, name) = (*self.identity.public_key(), self.name.clone());
        replication::announce(&self.app, key, name, self.addresses()).await
    }

    /// Begins a sync, by name, number, id or address of a peer.
    ///
    /// # Errors
    /// When there is no such peer, or another such sync is under way.
    pub async fn begin_sync(self: &Arc<Self>, which: &str) -> Result<Arc<ManualSync>, Error> {
        if self.manual_sync().is_some_and(|sync| !sync.report().done) {
            return Err(Error::NotFound(
                "another sync is under way: wait for its end",
            ));
        }
        let sync = manual::begin(self, which).await?;
        *lock(&self.manual) = Some(Arc::clone(&sync));
        Ok(sync)
    }

    /// The sync that was asked for last.
    #[must_use]
    pub fn manual_sync(&self) -> Option<Arc<ManualSync>> {
        lock(&self.manual).clone()
    }

    /// Where a member may be: where it announces itself, and where it said that it is.
    #[must_use]
    pub fn places_of(&self, member: &Member) -> Vec<String> {
        let mut places = self.discovered.of(&member.public_key);
        for address in &member.addresses {
            if !places.contains(address) {
                places.push(address.clone());
            }
        }
        places.truncate(limits::PEER_TRIES_MAX);
        places
    }

    /// The member with this key, which was not thrown out.
    pub(super) async fn member(&self, key: &PublicKey) -> Result<Member, Refusal> {
        let members = replication::members(&self.app).await?;
        let found = members.into_iter().find(|it| it.public_key == *key);
        match found {
            Some(member) if member.revoked => Err(Refusal::revoked()),
            Some(member) => Ok(member),
            None => Err(Refusal::stranger()),
        }
    }

    /// Notes whether a member turns this node away as removed, and says so aloud when it does.
    pub(super) async fn note_standing(&self, key: &PublicKey, answer: &Result<(), ClientError>) {
        let away = match answer {
            Ok(()) => false,
            Err(error) if error.is_revoked() => true,
            // The network may be down, or the peer: that says nothing.
            Err(_) => return,
        };
        let noted = replication::note_turned_away(&self.app, *key, away).await;
        if let Err(error) = noted {
            tracing::warn!(%error, "what a peer says of this node was not noted");
        }
    }

    /// One of the places for requests of a member.
    pub(super) fn place(&self, key: &PublicKey) -> Result<OwnedSemaphorePermit, Refusal> {
        let mut places = lock(&self.places);
        let place = places.entry(*key);
        let place = place.or_insert_with(|| Arc::new(Semaphore::new(limits::PEER_REQUESTS_MAX)));
        Arc::clone(place)
            .try_acquire_owned()
            .map_err(|_| Refusal::busy())
    }

    /// Asks a member for queue rights, over the link that is up. Somebody waits for the answer, so it
    /// has to come soon.
    ///
    /// # Errors
    /// When there is no link, or the member refuses or is too slow.
    pub async fn ask_rights(&self, number: u32, request: Vec<u8>) -> Result<Vec<u8>, ClientError> {
        let members = replication::members(&self.app).await?;
        let member = members.iter().find(|it| it.number == number);
        let connection = member.and_then(|it| lock(&self.connections).get(&it.public_key).cloned());
        let connection =
            connection.ok_or_else(|| ClientError::Here("there is no link to it".to_owned()))?;
        let answer = async {
            let body = whole(&[Frame::new(Kind::Rights, request)]).map_err(StreamError::from)?;
            let mut answer = connection.frames(RIGHTS, body).await?;
            Ok(answer.next_of(Kind::Rights).await?)
        };
        let answer = tokio::time::timeout(limits::RIGHTS_TIMEOUT, answer).await;
        answer.map_err(|_| StreamError::Silent)?
    }

    /// Numbers of the members to which a link is up.
    ///
    /// # Errors
    /// When the disk fails.
    pub async fn linked(&self) -> Result<Vec<u32>, Error> {
        let members = replication::members(&self.app).await?;
        let connections = lock(&self.connections);
        let up = |member: &&Member| connections.contains_key(&member.public_key);
        Ok(members.iter().filter(up).map(|it| it.number).collect())
    }

    /// Notes that a link is up, until the result is dropped.
    pub(super) fn up(self: &Arc<Self>, key: PublicKey, connection: Arc<Connection>) -> Up {
        lock(&self.connections).insert(key, connection);
        Up {
            node: Arc::clone(self),
            key,
        }
    }

    /// Whether a peer watches this node, and so fetches by itself what is new here.
    pub(super) fn is_watched_by(&self, key: &PublicKey) -> bool {
        lock(&self.watchers).contains_key(key)
    }

    /// Notes that a peer watches, until the result is dropped.
    pub(super) fn watched(self: &Arc<Self>, key: PublicKey) -> Watcher {
        *lock(&self.watchers).entry(key).or_default() += 1;
        Watcher {
            node: Arc::clone(self),
            key,
        }
    }
}

/// A link that is up.
pub(super) struct Up {
    node: Arc<PeerNode>,
    key: PublicKey,
}

impl Drop for Up {
    fn drop(&mut self) {
        lock(&self.node.connections).remove(&self.key);
    }
}

/// A peer that watches this node.
pub(super) struct Watcher {
    node: Arc<PeerNode>,
    key: PublicKey,
}

impl Drop for Watcher {
    fn drop(&mut self) {
        let mut watchers = lock(&self.node.watchers);
        if let Some(count) = watchers.get_mut(&self.key) {
            *count -= 1;
            if *count == 0 {
                watchers.remove(&self.key);
            }
        }
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
