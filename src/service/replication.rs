//! The replication core as peers use it: what this node knows, what another lacks, and what came in.
//!
//! A run of changes travels as one frame: the seal of its end, then the segment. It is decoded and checked
//! outside of the writer, stored in one transaction, and applied in the same one when nothing that it
//! depends on is missing; otherwise it waits in its log. Must never take what no member signed.

mod membership;
mod naming;
mod outgoing;
mod places;
mod removal;
mod renewal;
#[cfg(test)]
pub(crate) mod tests;

use std::sync::Arc;

use islet_sync::causality::{Mark, mark};
use islet_sync::chain::{Hash, Head, SignedHead};
use islet_sync::dot::VersionVector;
use islet_sync::exchange::{
    Hello, Introduction, PROTOCOL, Rejected, Seal, Vector, check_run, is_fork,
};
use islet_sync::frame::{Frame, Kind};
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::incarnation::{Decision, Reason, on_witness};
use islet_sync::segment::{self, Change};
use tokio::sync::watch;

pub use crate::store::removal::{Beyond, BeyondRow, Removal};
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
use crate::store::logs::{self, KnownLog, Run};
use crate::store::{Lane, Read, StoreError, incoming, members as member_rows, replica};

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

/// What this node knows: the payload of its [`Kind::Vector`].
///
/// # Errors
/// When the disk fails.
pub async fn vector(app: &App) -> Result<Vec<u8>, Error> {
    let vector = app
        .store
        .read(|tx| Ok::<_, Error>(logs::vector(tx)?))
        .await?;
    let mut bytes = Vec::new();
    vector.put(&mut bytes);
    Ok(bytes)
}

/// How many changes a node with the vector `theirs` has that this one lacks.
///
/// # Errors
/// When the vector makes no sense, or the disk fails.
pub async fn behind(app: &App, theirs: &[u8]) -> Result<u64, Error> {
    let theirs = Vector::read(theirs).map_err(|_| DAMAGED_FRAME)?.seqs();
    let ours = app
        .store
        .read(|tx| Ok::<_, Error>(logs::vector(tx)?.seqs()))
        .await?;
    Ok(theirs
        .iter()
        .map(|(of, seq)| seq.saturating_sub(ours.seq(of)))
        .sum())
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
    Ok(vec![Frame::new(Kind::Vector, vector(app).await?)])
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
            ingest_run(app, peer, frame.payload).await?;
            Ok(Some(Frame::new(Kind::Ack, vector(app).await?)))
        }
        _ => Err(Error::NotFound("no such frame is expected here")),
    }
}

/// Begins the log of a replica that nothing was known of, when its key is or was a member's.
///
/// That of a node that was thrown out is taken too, and has no effect beyond its cut ([`member_rows::cut`]): others
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
    if own {
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

/// A run that was decoded and checked.
struct Checked {
    log: KnownLog,
    run: Run,
    hlc: Hlc,
    decoded: Arc<Decoded>,
    end: SignedHead,
}

async fn ingest_run(app: &App, peer: u32, payload: Vec<u8>) -> Result<(), Error> {
    let (seal, bytes) = split(&payload)?;
    let number = seal.number;
    if let Some(reason) = own_log_elsewhere(app, seal, Arc::clone(&bytes)).await? {
        // What the peer knows more is taken from now on like anybody's changes.
        renew(app, reason).await?;
    }
    let first_seq = segment::summary(&bytes)
        .map_err(|_| DAMAGED_FRAME)?
        .first_seq;
    for _ in 0..limits::INGEST_ATTEMPTS {
        let log = app
            .store
            .read(move |tx| Ok::<_, Error>(open_log(tx, number, first_seq)?))
            .await?;
        let Some((log, before)) = log else {
            return Ok(());
        };
        let bytes = Arc::clone(&bytes);
        let checked = tokio::task::spawn_blocking(move || check(log, before, &seal, &bytes)).await;
        let checked = match checked.map_err(|error| Error::Internal(error.to_string()))? {
            Err(Refused::Rejected(Rejected::Known)) => return Ok(()),
            Err(Refused::Fork(seq)) => return note_fork(app, number, seq).await,
            // What comes before it was not taken: this cannot be either, and other logs go on.
            Err(Refused::Rejected(Rejected::Gap(..))) => return Ok(()),
            Err(Refused::Rejected(rejected)) => {
                tracing::warn!(peer, replica = number.get(), %rejected, "a run of changes was refused");
                return Err(Error::NotFound(
                    "the changes are not what their author signed, or some are missing",
                ));
            }
            Err(Refused::Damaged) => return Err(DAMAGED_FRAME),
            Ok(checked) => checked,
        };
        let (decoded, seqs) = (Arc::clone(&checked.decoded), checked.run.seqs);
        if let Some(applied) = store_checked(app, checked).await? {
            let new = usize::try_from(seqs.1 + 1 - seqs.0).unwrap_or_default();
            if applied > 0 {
                apply_rest(app, number, &decoded, new.saturating_sub(applied)).await?;
            }
            return catch_up(app).await;
        }
    }
    // Another conversation keeps bringing the same log: nothing is lost.
    Ok(())
}

/// Whether a run of this replica's own log, signed by its own key, shows that it was restored: the peer knows
/// more, or something else.
async fn own_log_elsewhere(
    app: &App,
    seal: Seal,
    bytes: Arc<[u8]>,
) -> Result<Option<Reason>, Error> {
    let key = app.signer.public_key();
    app.store
        .read(move |tx| {
            if replica::number(tx)? != seal.number {
                return Ok(None);
            }
            let me = replica::get(tx)?.replica_id;
            let segment = segment::decode(&bytes).map_err(|_| DAMAGED_FRAME)?;
            let before = logs::hash_at(tx, seal.number, me, segment.first_seq.saturating_sub(1))?;
            let Some(before) = before else {
                return Ok(None);
            };
            let changes = segment.changes();
            let head = changes.fold(before, |head, (_, change)| head.append(&digest(&change)));
            let witness = SignedHead {
                head,
                signature: seal.signature,
            };
            let there = logs::hash_at(tx, seal.number, me, head.seq)?;
            let decision = on_witness(&witness, me, &key, logs::own_head(tx)?.seq, |_| there);
            Ok(match decision {
                Decision::NewReplica(reason) => Some(reason),
                Decision::GoOn => None,
            })
        })
        .await
}

/// A log of which more is taken, not one that was stopped; with its head before `first_seq` when that
/// overlaps with what is here.
fn open_log(
    tx: &impl Read,
    number: ReplicaNumber,
    first_seq: u64,
) -> Result<Option<(KnownLog, Option<Head>)>, StoreError> {
    let Some(log) = logs::known_log(tx, number)?.filter(|log| log.stopped.is_none()) else {
        return Ok(None);
    };
    let before = match first_seq
        .checked_sub(1)
        .filter(|before| *before < log.head.seq)
    {
        Some(before) => logs::hash_at(tx, number, log.introduction.replica, before)?,
        None => None,
    };
    Ok(Some((log, before)))
}

/// Tells people once that two versions of a log were signed.
async fn note_fork(app: &App, number: ReplicaNumber, seq: u64) -> Result<(), Error> {
    let known = app
        .store
        .read(move |tx| Ok::<_, Error>(logs::is_forked(tx, number)?))
        .await?;
    if known {
        return Ok(());
    }
    tracing::error!(
        replica = number.get(),
        "its node signed two versions of one log: it was copied or restored"
    );
    app.store
        .write(Lane::Bulk, move |tx| {
            logs::note_fork(tx, number, seq)?;
            let entry = Entry::new(&Actor::system(), "sync.fork");
            let entry = entry.detail(format!("replica {}, by change {seq}", number.get()));
            Ok::<_, Error>(tx.audit(&entry)?)
        })
        .await
}

enum Refused {
    Rejected(Rejected),
    /// Its author signed another version of the log than the one that is here; the run ends with this seq.
    Fork(u64),
    Damaged,
}

fn split(payload: &[u8]) -> Result<(Seal, Arc<[u8]>), Error> {
    let (seal, bytes) = Seal::split(payload).map_err(|_| DAMAGED_FRAME)?;
    Ok((seal, bytes.into()))
}

/// Checks a run; `before` is the head in our version of the log before its first change, when that is here.
fn check(
    log: KnownLog,
    before: Option<Head>,
    seal: &Seal,
    bytes: &[u8],
) -> Result<Checked, Refused> {
    let segment = segment::decode(bytes).map_err(|_| Refused::Damaged)?;
    let digests: Vec<_> = segment
        .changes()
        .map(|(_, change)| digest(&change))
        .collect();
    let checked = check_run(
        &log.introduction,
        &log.head,
        segment.first_seq,
        &digests,
        &seal.signature,
    );
    let (known, end) = checked.map_err(|rejected| {
        let signed_otherwise = before
            .is_some_and(|before| is_fork(&log.introduction, &before, &digests, &seal.signature));
        match rejected {
            Rejected::Forged if signed_otherwise => {
                Refused::Fork(segment.first_seq + digests.len() as u64 - 1)
            }
            rejected => Refused::Rejected(rejected),
        }
    })?;
    let first_seq = segment.first_seq + known as u64;
    let (bytes, hlc) = {
        let mut new = segment
            .changes()
            .skip(known)
            .map(|(_, change)| change)
            .peekable();
        let hlc = new.peek().map(|change| change.hlc).unwrap_or_default();
        // What is known already is stored already.
        let bytes = if known == 0 {
            bytes.to_vec()
        } else {
            segment::encode(first_seq, &new.collect::<Vec<_>>())
        };
        (bytes, hlc)
    };
    let run = Run {
        number: seal.number,
        seqs: (first_seq, end.head.seq),
        bytes,
        signature: seal.signature,
    };
    let marks = (first_seq, marks(&log.head, &digests[known..]));
    let decoded = Arc::new(Decoded { segment, marks });
    Ok(Checked {
        log,
        run,
        hlc,
        decoded,
        end,
    })
}

/// Marks of a log that follows `at`.
fn marks(at: &Head, digests: &[Hash]) -> Vec<Mark> {
    let heads = digests.iter().scan(*at, |head, digest| {
        *head = head.append(digest);
        Some(mark(&head.hash))
    });
    heads.collect()
}

/// Stores a run, and applies it at once as far as that goes. Answers with how many changes those were;
/// `None` when its log has moved on since.
async fn store_checked(app: &App, checked: Checked) -> Result<Option<usize>, Error> {
    app.store
        .write(Lane::Bulk, move |tx| {
            let Checked {
                log,
                run,
                hlc,
                decoded,
                end,
            } = checked;
            let number = run.number;
            let detail = format!(
                "replica {}, changes {} to {}",
                number.get(),
                run.seqs.0,
                run.seqs.1
            );
            let stored = incoming::store_run(tx, &log, hlc, &run, &end)?;
            let applied = match stored {
                true => Some(incoming::apply_run(tx, number, &decoded)?),
                false => None,
            };
            let entry = Entry::new(&Actor::system(), "sync.store").detail(detail);
            Ok::<_, Error>(tx.audit(&entry)?.with(applied))
        })
        .await
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

/// Applies what is left of a run that came just now, as far as that goes.
async fn apply_rest(
    app: &App,
    number: ReplicaNumber,
    run: &Arc<Decoded>,
    mut left: usize,
) -> Result<(), Error> {
    let _alone = app.applying.lock().await;
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
