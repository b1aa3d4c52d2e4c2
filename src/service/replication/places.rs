//! Rights to places of the current queue day, asked for and handed over between peers.
//!
//! Must never count a right before the change that hands it over has arrived.

use islet_sync::id::ReplicaNumber;
use islet_sync::varint::{put_i64, put_u64, take_i64, take_u64};

use super::super::{App, Error};
use super::DAMAGED_FRAME;
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::limits;
use crate::store::{Lane, logs, queue, replica, rights};

/// The payload of [`Kind::Rights`] by which this node asks for rights to places of the current queue day: day
/// and count.
///
/// # Errors
/// When the disk fails.
pub async fn rights_request(app: &App, wanted: i64) -> Result<Vec<u8>, Error> {
    let day = app
        .store
        .read(|tx| Ok::<_, Error>(queue::current_day(tx)?))
        .await?;
    let mut payload = Vec::new();
    put_i64(&mut payload, day.id);
    put_i64(&mut payload, wanted);
    Ok(payload)
}

/// A peer asks for rights: hands over what this node can spare, and answers with how many. The peer has
/// them once the change has arrived.
///
/// # Errors
/// When the request makes no sense or the disk fails.
pub async fn rights(app: &App, peer: u32, request: Vec<u8>) -> Result<Vec<u8>, Error> {
    let input = &mut request.as_slice();
    let (day, wanted) = take_i64(input).zip(take_i64(input)).ok_or(DAMAGED_FRAME)?;
    let peer = ReplicaNumber::new(peer).map_err(|_| DAMAGED_FRAME)?;
    let handed = app
        .store
        .write(Lane::Interactive, move |tx| {
            let current = queue::current_day(tx)?;
            let handed = if current.id == day {
                rights::hand_over(tx, &current, peer, wanted)?
            } else {
                0
            };
            let entry = Entry::new(&Actor::system(), "queue.hand_over").on(Object::QueueDay, day);
            let detail = format!("{handed} of {wanted} places to replica {}", peer.get());
            let written = tx.audit(&entry.detail(detail))?;
            Ok::<_, Error>(written.with((handed, logs::own_head_of(tx))))
        })
        .await?;
    let mut answer = Vec::new();
    let (handed, head) = handed;
    put_i64(&mut answer, handed);
    put_u64(&mut answer, head.seq);
    Ok(answer)
}

/// How many rights an answer of [`rights`] speaks of, once they are here.
///
/// # Errors
/// When it makes no sense, or the change did not come in time.
pub async fn take_rights(app: &App, peer: u32, mut answer: &[u8]) -> Result<i64, Error> {
    let handed = take_i64(&mut answer).ok_or(DAMAGED_FRAME)?;
    let seq = take_u64(&mut answer).ok_or(DAMAGED_FRAME)?;
    if handed <= 0 {
        return Ok(0);
    }
    // The link to the peer fetches what it commits; this waits for it.
    let peer = ReplicaNumber::new(peer).map_err(|_| DAMAGED_FRAME)?;
    let mut commits = app.store.commits();
    let arrived = async {
        loop {
            commits.mark_unchanged();
            let log = app
                .store
                .read(move |tx| Ok::<_, Error>(logs::known_log(tx, peer)?))
                .await?;
            let here = log.is_some_and(|log| log.applied >= seq);
            if here || commits.changed().await.is_err() {
                return Ok(handed);
            }
        }
    };
    let arrived = tokio::time::timeout(limits::RIGHTS_TIMEOUT, arrived).await;
    arrived.map_err(|_| Error::NotFound("the places that a peer handed over have not arrived"))?
}

/// Other replicas that may have places of the current queue day, the most first.
///
/// # Errors
/// When the disk fails.
pub async fn holders(app: &App) -> Result<Vec<u32>, Error> {
    app.store
        .read(|tx| {
            let day = queue::current_day(tx)?;
            let (holders, _) = rights::other_holders(tx, replica::number(tx)?, &day)?;
            Ok(holders.into_iter().map(|(number, _)| number).collect())
        })
        .await
}
