//! A run of changes that came from a peer: checked, placed, stored, applied.
//!
//! A run goes by the name of its replica, and finds its place in that replica's logs by its content. One that goes on
//! otherwise than what is here becomes a log of its own (`store/fork.rs`), and people are told. Must never take
//! what its author did not sign.

use std::sync::Arc;

use islet_sync::causality::mark;
use islet_sync::chain::{Head, SignedHead};
use islet_sync::exchange::Seal;
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::incarnation::{Decision, Reason, on_witness};
use islet_sync::segment::{self, Segment};

use super::super::{App, Error};
use super::{DAMAGED_FRAME, apply_rest, catch_up, digest, renew};
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::limits;
use crate::store::branches::{self, New, Placed};
use crate::store::fork::{self, Done, Forked};
use crate::store::incoming::{self, Decoded};
use crate::store::logs::{self, Run};
use crate::store::{Lane, Read, StoreError, WriteTx, replica};

/// A run as it came.
struct Incoming {
    peer: u32,
    seal: Seal,
    bytes: Vec<u8>,
    segment: Arc<Segment>,
    digests: Vec<[u8; 32]>,
}

/// Takes in the payload of a Segment frame.
pub(super) async fn take(app: &App, peer: u32, payload: Vec<u8>) -> Result<(), Error> {
    let decode = move || {
        let (seal, bytes) = Seal::split(&payload).map_err(|_| DAMAGED_FRAME)?;
        let segment = segment::decode(bytes).map_err(|_| DAMAGED_FRAME)?;
        let digests = segment.changes().map(|(_, change)| digest(&change));
        Ok::<_, Error>(Incoming {
            peer,
            seal,
            digests: digests.collect(),
            bytes: bytes.to_vec(),
            segment: Arc::new(segment),
        })
    };
    let run = tokio::task::spawn_blocking(decode).await;
    let run = Arc::new(run.map_err(|error| Error::Internal(error.to_string()))??);
    if let Some(reason) = own_log_elsewhere(app, &run).await? {
        // What the peer knows more is taken from now on like anybody's changes.
        renew(app, reason).await?;
    }
    for _ in 0..limits::INGEST_ATTEMPTS {
        let placed = {
            let run = Arc::clone(&run);
            let place = app.store.read(move |tx| Ok::<_, Error>(place(tx, &run)?));
            place.await?
        };
        let is_taken = match placed {
            // What comes before it was not taken: this cannot be either, and other logs go on.
            None | Some(Placed::Gap) => true,
            Some(Placed::Known(number, head)) => note_known(app, &run, number, head).await?,
            // Or it follows a continuation whose beginning was not taken.
            Some(Placed::Forged(family)) if is_in_doubt(app, peer, &family) => true,
            Some(Placed::Forged(_)) => {
                let replica = run.seal.number.get();
                tracing::warn!(peer, replica, "a run of changes was refused");
                return Err(Error::NotFound(
                    "the changes are not what their author signed",
                ));
            }
            Some(Placed::New(new)) if new.forks() => fork(app, &run, *new).await?,
            Some(Placed::New(new)) => store(app, &run, *new).await?,
        };
        if is_taken {
            return Ok(());
        }
    }
    // Another conversation keeps bringing the same log: nothing is lost.
    Ok(())
}

/// Whether there may be more versions of a log than are here, so that what does not fit is not known to be forged.
fn is_in_doubt(app: &App, peer: u32, family: &[ReplicaNumber]) -> bool {
    family.len() > 1 || family.iter().any(|it| app.meeting.is_looking(peer, *it))
}

/// Whether a run of this replica's own log, signed by its own key, shows that it was restored: the peer knows
/// more, or something else.
async fn own_log_elsewhere(app: &App, run: &Arc<Incoming>) -> Result<Option<Reason>, Error> {
    let (key, shown) = (app.signer.public_key(), Arc::clone(run));
    let compared = app.store.read(move |tx| compare_own(tx, &key, &shown));
    match compared.await? {
        Some(Own::Other(reason)) => Ok(Some(reason)),
        Some(Own::Same(seq)) => {
            app.meeting.advance(run.peer, run.seal.number, seq);
            Ok(None)
        }
        None => Ok(None),
    }
}

/// What a run of this replica's own log shows.
enum Own {
    Same(u64),
    Other(Reason),
}

fn compare_own(tx: &impl Read, key: &[u8; 32], run: &Incoming) -> Result<Option<Own>, Error> {
    let number = run.seal.number;
    if replica::number(tx)? != number {
        return Ok(None);
    }
    let me = replica::get(tx)?.replica_id;
    let before = run.segment.first_seq.saturating_sub(1);
    let Some(before) = logs::hash_at(tx, number, me, before)? else {
        return Ok(None);
    };
    let head = run.digests.iter().fold(before, |head, it| head.append(it));
    let witness = SignedHead {
        head,
        signature: run.seal.signature,
    };
    let there = logs::hash_at(tx, number, me, head.seq)?;
    let decision = on_witness(&witness, me, key, logs::own_head(tx)?.seq, |_| there);
    Ok(match decision {
        Decision::NewReplica(reason) => Some(Own::Other(reason)),
        Decision::GoOn => (there == Some(head)).then_some(Own::Same(head.seq)),
    })
}

/// Where a run belongs; `None` when nothing of its log is taken.
fn place(tx: &impl Read, run: &Incoming) -> Result<Option<Placed>, StoreError> {
    let family = branches::family(tx, run.seal.number)?;
    if family.is_empty() || family.iter().any(|log| log.stopped.is_some()) {
        return Ok(None);
    }
    let (first_seq, signature) = (run.segment.first_seq, &run.seal.signature);
    branches::place(tx, &family, first_seq, &run.digests, signature).map(Some)
}

/// All of a run is here. When it is looked for where two versions part, its end becomes one of a run here, so
/// that the log can be cut wherever the peer's runs end.
async fn note_known(
    app: &App,
    run: &Arc<Incoming>,
    number: ReplicaNumber,
    head: Head,
) -> Result<bool, Error> {
    if !app.meeting.is_looking(run.peer, number) {
        return Ok(true);
    }
    let signature = run.seal.signature;
    let split = app.store.write(Lane::Bulk, move |tx| {
        // Mostly one ends there: neither a commit nor an audit entry for nothing.
        if !fork::split(tx, number, &head, &signature)? {
            return Err(Error::NotFound("nothing to split"));
        }
        Ok(tx.audit(&Entry::new(&Actor::system(), "sync.tidy"))?)
    });
    match split.await {
        Err(Error::NotFound(_)) => {}
        other => other?,
    }
    app.meeting.advance(run.peer, number, head.seq);
    Ok(true)
}

/// Stores what is new of a run that follows a log, and applies it at once as far as that goes. False when the log has
/// moved on since.
async fn store(app: &App, run: &Arc<Incoming>, new: New) -> Result<bool, Error> {
    let (number, count, end) = (new.log.introduction.number, new.heads.len(), new.end.head);
    let decoded = Arc::new(Decoded {
        segment: Arc::clone(&run.segment),
        marks: (
            run.segment.first_seq + new.from as u64,
            new.heads.iter().map(|head| mark(&head.hash)).collect(),
        ),
    });
    let (incoming, run_decoded) = (Arc::clone(run), Arc::clone(&decoded));
    let job = move |tx: &mut WriteTx<'_>| {
        let (hlc, run) = new_part(&incoming, &new);
        let (first, last) = run.seqs;
        let detail = format!("replica {}, changes {first} to {last}", number.get());
        let applied = match incoming::store_run(tx, &new.log, hlc, &run, &new.end)? {
            true => Some(incoming::apply_run(tx, number, &run_decoded)?),
            false => None,
        };
        let entry = Entry::new(&Actor::system(), "sync.store").detail(detail);
        Ok::<_, Error>(tx.audit(&entry)?.with(applied))
    };
    // Until all of it is applied, the log must not become another one.
    let alone = app.applying.lock().await;
    let Some(applied) = app.store.write(Lane::Bulk, job).await? else {
        return Ok(false);
    };
    app.meeting.advance(run.peer, number, end.seq);
    if applied > 0 {
        apply_rest(app, number, &decoded, count.saturating_sub(applied)).await?;
    }
    drop(alone);
    catch_up(app).await?;
    Ok(true)
}

/// What of a run is to be stored, with the stamp of its first change.
fn new_part(run: &Incoming, new: &New) -> (Hlc, Run) {
    let first_seq = run.segment.first_seq + new.from as u64;
    let mut changes = run
        .segment
        .changes()
        .skip(new.from)
        .map(|(_, change)| change)
        .peekable();
    let hlc = changes.peek().map(|change| change.hlc).unwrap_or_default();
    // What is known already is stored already.
    let bytes = match new.from {
        0 => run.bytes.clone(),
        _ => segment::encode(first_seq, &changes.collect::<Vec<_>>()),
    };
    let run = Run {
        number: new.log.introduction.number,
        seqs: (first_seq, new.end.head.seq),
        bytes,
        signature: run.seal.signature,
    };
    (hlc, run)
}

/// Why a continuation was not taken.
enum NotTaken {
    Failed(Error),
    Because(Forked),
}

impl From<StoreError> for NotTaken {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

/// Takes in a continuation of a log that goes on otherwise here, and tells people. False when the log has moved on
/// since.
async fn fork(app: &App, run: &Arc<Incoming>, new: New) -> Result<bool, Error> {
    let (peer, of) = (run.peer, new.log.introduction.number);
    let (incoming, signer) = (Arc::clone(run), Arc::clone(&app.signer));
    let taken = app.store.write(Lane::Bulk, move |tx| {
        let (segment, signature) = (&incoming.segment, &incoming.seal.signature);
        match fork::fork(tx, &signer, &new, segment, signature)? {
            Forked::Done(done) => {
                let entry = Entry::new(&Actor::system(), "sync.fork").detail(told(&done));
                Ok(tx.audit(&entry)?.with(done))
            }
            other => Err(NotTaken::Because(other)),
        }
    });
    let taken = {
        let _alone = app.applying.lock().await;
        taken.await
    };
    match taken {
        Ok(done) => {
            tracing::error!("{}", told(&done));
            app.meeting.forget();
            catch_up(app).await?;
            Ok(true)
        }
        Err(NotTaken::Failed(error)) => Err(error),
        Err(NotTaken::Because(Forked::SendFrom(seq))) => {
            app.meeting.set(peer, of, seq);
            Ok(true)
        }
        Err(NotTaken::Because(Forked::TooMany)) => {
            let replica = of.get();
            tracing::warn!(
                replica,
                "its node contradicts itself again and again: remove it from the network"
            );
            Ok(true)
        }
        Err(NotTaken::Because(_)) => Ok(false),
    }
}

/// What happened, for people.
fn told(done: &Done) -> String {
    let (of, after, number) = (done.of.get(), done.after, done.number.get());
    let known_as = if done.renamed {
        "what this node knew of it until now"
    } else {
        "what is new here"
    };
    format!(
        "replica {of} was written on in two ways after change {after}, since it was copied or restored: both are kept, \
         {known_as} as replica {number}"
    )
}
