//! Where this node and a peer look for the change after which their versions of a log differ.
//!
//! A peer that does not know the position of this node in a log tells where that log stood before
//! (`islet_sync::exchange::Trail`). From then on this node claims towards it to have no more than what is the same on
//! both, so that what differs is sent. Must never claim more than what is here.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use islet_sync::exchange::{Trail, Vector};
use islet_sync::id::ReplicaNumber;

use super::super::{App, Error};
use super::DAMAGED_FRAME;
use crate::store::{Read, StoreError, branches, logs, replica};

/// By peer and log: up to where both are known to be the same. Members times logs, and only of those that differ.
#[derive(Debug, Default)]
pub struct Meeting(Mutex<BTreeMap<(u32, ReplicaNumber), u64>>);

impl Meeting {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(u32, ReplicaNumber), u64>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Both have the log up to this seq.
    pub(super) fn set(&self, peer: u32, number: ReplicaNumber, seq: u64) {
        self.lock().insert((peer, number), seq);
    }

    /// Notes that one more run turned out to be the same, when it is being looked.
    pub(super) fn advance(&self, peer: u32, number: ReplicaNumber, seq: u64) {
        if let Some(known) = self.lock().get_mut(&(peer, number)) {
            *known = seq.max(*known);
        }
    }

    pub(super) fn is_looking(&self, peer: u32, number: ReplicaNumber) -> bool {
        self.lock().contains_key(&(peer, number))
    }

    /// The logs are other ones now.
    pub(super) fn forget(&self) {
        self.lock().clear();
    }

    fn of(&self, peer: u32) -> Vec<(ReplicaNumber, u64)> {
        let lowest = (peer, ReplicaNumber::FOUNDER);
        let lock = self.lock();
        let claims = lock.range(lowest..).take_while(|((it, _), _)| *it == peer);
        claims.map(|((_, number), seq)| (*number, *seq)).collect()
    }

    fn end(&self, peer: u32, number: ReplicaNumber) {
        self.lock().remove(&(peer, number));
    }
}

/// What this node knows, as it says it to a peer.
pub(super) async fn vector(app: &App, peer: u32) -> Result<Vector, Error> {
    let claims = app.meeting.of(peer);
    let (vector, over) = app
        .store
        .read(move |tx| Ok::<_, Error>(claimed(tx, &claims)?))
        .await?;
    for number in over {
        app.meeting.end(peer, number);
    }
    Ok(vector)
}

/// The vector with these claims, and the logs of which all turned out to be the same.
fn claimed(
    tx: &impl Read,
    claims: &[(ReplicaNumber, u64)],
) -> Result<(Vector, Vec<ReplicaNumber>), StoreError> {
    let (mut vector, mut over) = (logs::vector(tx)?, Vec::new());
    for (number, seq) in claims {
        let position = vector.get(*number);
        if position.is_none_or(|position| position.seq <= *seq) {
            over.push(*number);
            continue;
        }
        let id = match logs::known_log(tx, *number)? {
            Some(log) => log.introduction.replica,
            None => replica::get(tx)?.replica_id,
        };
        if let Some(head) = logs::hash_at(tx, *number, id, *seq)? {
            vector.insert(*number, &head);
        }
    }
    Ok((vector, over))
}

/// A peer tells where a log stood before, of which this node has another version.
pub(super) async fn follow(app: &App, peer: u32, payload: &[u8]) -> Result<(), Error> {
    let trail = Trail::read(payload).map_err(|_| DAMAGED_FRAME)?;
    let (number, key) = (trail.number, app.signer.public_key());
    let shared = app.store.read(move |tx| {
        let log = match logs::known_log(tx, trail.number)? {
            Some(log) => log,
            None if replica::number(tx)? == trail.number => branches::own_log(tx, key)?,
            None => return Ok::<_, Error>(None),
        };
        Ok(Some(branches::shared(tx, &log, &trail)?))
    });
    if let Some(seq) = shared.await? {
        app.meeting.set(peer, number, seq);
    }
    Ok(())
}
