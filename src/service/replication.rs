//! The replication core as peers use it: what this node knows, what another lacks, and what came in.
//!
//! A run of changes travels as one frame: the seal of its end, then the segment. It is decoded and checked
//! outside of the writer, stored in one transaction, and applied in the same one when nothing that it
//! depends on is missing; otherwise it waits in its log. Must never take what no member signed.

mod meeting;
mod membership;
mod naming;
mod outgoing;
mod places;
mod removal;
mod renewal;
mod taking;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use islet_sync::dot::VersionVector;
use islet_sync::exchange::{Hello, Introduction, PROTOCOL, Vector};
use islet_sync::frame::{Frame, Kind};
use islet_sync::id::ReplicaNumber;
use islet_sync::segment::Change;
use tokio::sync::watch;

pub use crate::store::removal::{Beyond, BeyondRow, Removal};
pub use meeting::Meeting;
pub use membership::{
    Admission, Member, NewMember, admit, adopt, announce, members, network, revoke,
};
pub use naming::rename;
pub use outgoing::outgoing;
pub use places::{holders, rights, rights_request, take_rights};
pub(super) use removal::refuse_outside;
pub use removal::{beyond, note_turned_away, removal, turned_away_by};
pub use renewal::renew;

use super::{App, Error};
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::limits;
use crate::store::incoming::Decoded;
use crate::store::logs::{self, KnownLog};
use crate::store::{Lane, branches, incoming, members as member_rows, replica};

const DAMAGED_FRAME: Error = Error::NotFound("a frame does not hold what its kind says");

/// The payload of this node's [`Kind::Hello`].
///
/// # Errors
/// When the disk fails.
pub async fn hello(app: &App) -> Result<Vec<u8>, Error> {
    let now_ms = app.clock.now().0;
    app.store
        .read(move |tx| {
            let me = replica::get(tx)?;
            let vector = logs::vector(tx)?;
            let hello = Hello {
                protocols: (PROTOCOL, PROTOCOL),
                network: me.network,
                replica: me.replica_id,
                number: replica::number(tx)?,
                digest: vector.digest(),
                settled: vector.settled,
                wall_ms: now_ms,
            };
            Ok(hello.bytes())
        })
        .await
}

/// What this node knows, as it says it to a peer: the payload of its [`Kind::Vector`].
///
/// # Errors
/// When the disk fails.
pub async fn vector(app: &App, peer: u32) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    meeting::vector(app, peer).await?.put(&mut bytes);
    Ok(bytes)
}

/// How many changes a node with the vector `theirs` has that this one lacks.
///
/// # Errors
/// When the vector makes no sense, or the disk fails.
pub async fn behind(app: &App, theirs: &[u8]) -> Result<u64, Error> {
    let theirs = Vector::read(theirs).map_err(|_| DAMAGED_FRAME)?;
    let key = app.signer.public_key();
    app.store
        .read(move |tx| {
            let (own, known) = (branches::own_log(tx, key)?, logs::known(tx)?);
            Ok(branches::theirs(tx, &own, &known, &theirs)?.ahead)
        })
        .await
}

/// The answer to a peer's hello: nothing when both know the same, else this node's vector.
///
/// # Errors
/// When the hello is of another network or makes no sense.
pub async fn answer_exchange(app: &App, peer: u32, theirs: &[u8]) -> Result<Vec<Frame>, Error> {
    let theirs = Hello::read(theirs).map_err(|_| DAMAGED_FRAME)?;
    let ours = Hello::read(&hello(app).await?).map_err(|_| DAMAGED_FRAME)?;
    if theirs.network != ours.network {
        return Err(Error::NotFound("this node belongs to another network"));
    }
    if !theirs.speaks() {
        return Err(Error::NotFound(
            "this node speaks another version: update the older of both",
        ));
    }
    if theirs.digest == ours.digest {
        if theirs.settled {
            let known = app
                .store
                .read(|tx| Ok::<_, Error>(logs::vector(tx)?.seqs()))
                .await?;
            acknowledge(app, peer, known);
        }
        return Ok(Vec::new());
    }
    Ok(vec![Frame::new(Kind::Vector, vector(app, peer).await?)])
}

/// Notes what a member has applied, by its own word.
fn acknowledge(app: &App, peer: u32, seqs: VersionVector) {
    if let Ok(number) = ReplicaNumber::new(peer) {
        app.store.acknowledge(number, seqs);
    }
}

fn digest(change: &Change<'_>) -> [u8; 32] {
    islet_sync::chain::digest(change.hlc, &change.ops)
}

/// Takes in one frame of a peer; durable when it answers. The answer goes back to the peer.
///
/// # Errors
/// When the frame cannot be taken: the stream ends there.
pub async fn ingest(app: &App, peer: u32, frame: Frame) -> Result<Option<Frame>, Error> {
    match frame.kind {
        Kind::Replica => {
            let who = Introduction::read(&frame.payload).map_err(|_| DAMAGED_FRAME)?;
            introduce(app, who).await?;
            Ok(None)
        }
        Kind::Segment => {
            taking::take(app, peer, frame.payload).await?;
            Ok(Some(Frame::new(Kind::Ack, vector(app, peer).await?)))
        }
        Kind::Trail => {
            meeting::follow(app, peer, &frame.payload).await?;
            Ok(None)
        }
        _ => Err(Error::NotFound("no such frame is expected here")),
    }
}

/// Begins the log of a replica that nothing was known of, when its key is or was a member's.
///
/// That of a node that was thrown out is taken too, and has no effect beyond its cut (`branches::Cuts`): others
/// may have seen it before they heard of that, and what they wrote since can be applied only after it.
async fn introduce(app: &App, who: Introduction) -> Result<(), Error> {
    let (own, known, trust) = app
        .store
        .read(move |tx| {
            let own = replica::number(tx)? == who.number;
            let known = logs::known_log(tx, who.number)?;
            let members = member_rows::list(tx)?;
            let member = members.iter().any(|it| it.public_key == who.public_key);
            let trust = member.then(|| !member_rows::is_out(&members, &who.public_key));
            Ok::<_, Error>((own, known, trust))
        })
        .await?;
    // A branch has the name of its replica; which log it is follows from what it holds.
    if own || who.branch.is_some() {
        return Ok(());
    }
    match (known, trust) {
        (Some(log), _) if log.introduction == who => Ok(()),
        (Some(_), _) => Err(Error::NotFound(
            "two replicas have one number: one of them must join again",
        )),
        // Its runs are passed over until the change that makes it a member has come.
        (None, None) => Ok(()),
        (None, Some(trusted)) => {
            let of = if trusted { "" } else { " of a removed node" };
            let entry = Entry::new(&Actor::system(), "sync.introduce")
                .detail(format!("replica {}{of}", who.number.get()));
            app.store
                .write(Lane::Bulk, move |tx| {
                    logs::introduce(tx, &who)?;
                    Ok::<_, Error>(tx.audit(&entry)?)
                })
                .await
        }
    }
}

/// Applies what waits in the logs, as far as its contexts are here.
///
/// # Errors
/// When the disk fails.
pub async fn catch_up(app: &App) -> Result<(), Error> {
    let _alone = app.applying.lock().await;
    loop {
        let waiting = app
            .store
            .read(|tx| Ok::<_, Error>(logs::known(tx)?))
            .await?;
        let mut moved = false;
        for log in waiting.into_iter().filter(|log| log.applied < log.head.seq) {
            moved |= catch_up_log(app, &log).await?;
        }
        if !moved {
            return Ok(());
        }
    }
}

/// Applies one log until something that it needs is missing. True when it got anywhere.
async fn catch_up_log(app: &App, log: &KnownLog) -> Result<bool, Error> {
    let (number, mut at, mut moved) = (log.introduction.number, log.applied, false);
    loop {
        let run = app
            .store
            .read(move |tx| Ok::<_, Error>(logs::run_after(tx, number, at)?))
            .await?;
        let Some((_, run)) = run else {
            return Ok(moved);
        };
        let decoded = Arc::new(Decoded::read(&run.bytes)?);
        while at < run.seqs.1 {
            match apply_more(app, number, &decoded).await? {
                0 => return Ok(moved),
                done => at += done as u64,
            }
            moved = true;
        }
    }
}

/// Applies what is left of a run that came just now, as far as that goes. The caller holds [`App::applying`].
async fn apply_rest(
    app: &App,
    number: ReplicaNumber,
    run: &Arc<Decoded>,
    mut left: usize,
) -> Result<(), Error> {
    while left > 0 {
        match apply_more(app, number, run).await? {
            0 => break,
            done => left = left.saturating_sub(done),
        }
    }
    Ok(())
}

/// One transaction's worth of a run. Answers with how many changes were applied.
async fn apply_more(app: &App, number: ReplicaNumber, run: &Arc<Decoded>) -> Result<usize, Error> {
    let run = Arc::clone(run);
    let applied = app.store.write(Lane::Bulk, move |tx| {
        let done = incoming::apply_run(tx, number, &run)?;
        if done == 0 {
            return Err(Error::NotFound("nothing can be applied yet"));
        }
        let detail = format!("replica {}, {done} changes", number.get());
        let entry = Entry::new(&Actor::system(), "sync.apply").detail(detail);
        Ok(tx.audit(&entry)?.with(done))
    });
    match applied.await {
        Err(Error::NotFound(_)) => Ok(0),
        other => other,
    }
}

/// Keeps the logs small and quick to read: moves this replica's changes into segments, and joins
/// small runs of others, while there is more than a little to do.
///
/// # Errors
/// When the disk fails.
pub async fn tidy(app: &App) -> Result<(), Error> {
    loop {
        let look = app.store.read(|tx| {
            let unsealed = logs::own_head(tx)?.seq - logs::sealed_head(tx)?.seq;
            Ok::<_, Error>((unsealed, logs::scattered(tx)?))
        });
        let (unsealed, scattered) = look.await?;
        let signer = (unsealed >= limits::SEAL_CHANGES).then(|| Arc::clone(&app.signer));
        if signer.is_none() && scattered.is_empty() {
            return Ok(());
        }
        let done = app.store.write(Lane::Bulk, move |tx| {
            let mut done = signer.map_or(Ok(0), |signer| logs::seal(tx, &signer))?;
            for number in scattered {
                done += logs::join_runs(tx, number)?;
            }
            if done == 0 {
                return Err(Error::NotFound("nothing can be joined"));
            }
            let entry = Entry::new(&Actor::system(), "sync.tidy");
            Ok::<_, Error>(tx.audit(&entry)?)
        });
        match done.await {
            Err(Error::NotFound(_)) => return Ok(()),
            other => other?,
        }
    }
}

/// Changes after each commit that peers should hear of.
#[must_use]
pub fn commits(app: &App) -> watch::Receiver<u64> {
    app.store.commits()
}
