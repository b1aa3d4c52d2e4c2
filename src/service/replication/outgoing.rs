//! What a peer lacks, on its way: introductions and runs, in an order in which they can be applied as they come.
//!
//! Must never read further ahead than the peer takes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::sync::Arc;

use islet_sync::exchange::{Introduction, Position, Seal, Vector};
use islet_sync::frame::{Frame, Kind};
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::segment::{self, Change};
use tokio::sync::mpsc;

use super::super::{App, Error};
use super::{DAMAGED_FRAME, acknowledge, digest};
use crate::limits;
use crate::store::logs::{self, Run};
use crate::store::replica;

/// What a peer with this vector lacks, in an order in which it can be applied as it comes. A bounded channel: the
/// sender waits for the receiver. It closes without [`Kind::End`] when the sender failed.
///
/// # Errors
/// When the vector makes no sense.
pub async fn outgoing(
    app: &Arc<App>,
    peer: u32,
    theirs: Vec<u8>,
) -> Result<mpsc::Receiver<Frame>, Error> {
    let theirs = Vector::read(&theirs).map_err(|_| DAMAGED_FRAME)?;
    if theirs.settled {
        acknowledge(app, peer, theirs.seqs());
    }
    let (sender, receiver) = mpsc::channel(limits::OUTGOING_FRAMES_MAX);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(error) = send_missing(&app, peer, &theirs, &sender).await {
            tracing::warn!(%error, "cannot read what a peer lacks");
        }
    });
    Ok(receiver)
}

async fn send_missing(
    app: &App,
    peer: u32,
    theirs: &Vector,
    sender: &mpsc::Sender<Frame>,
) -> Result<(), Error> {
    let public_key = app.signer.public_key();
    let (own, known) = app
        .store
        .read(move |tx| Ok::<_, Error>((introduction(public_key, tx)?, logs::known(tx)?)))
        .await?;
    // What is next in each log, the oldest stamp first: so each run mostly finds there what it needs.
    let (mut next, mut introductions) = (BinaryHeap::new(), BTreeMap::new());
    for who in known.iter().map(|log| log.introduction).chain([own]) {
        let Some(from) = starting_point(app, peer, &who, theirs).await? else {
            continue;
        };
        if let Some((hlc, run)) = run_after(app, who.number, from).await? {
            introductions.insert(who.number, Frame::new(Kind::Replica, who.bytes()));
            next.push(Reverse((hlc, run.number, run.seqs.1, ByTime(run))));
        }
    }
    while let Some(Reverse((_, number, last, ByTime(run)))) = next.pop() {
        // Not before: the run by which its author became a member may have been the one before.
        if let Some(frame) = introductions.remove(&number)
            && sender.send(frame).await.is_err()
        {
            return Ok(());
        }
        let mut payload = Seal {
            number,
            signature: run.signature,
        }
        .bytes();
        payload.extend(run.bytes);
        if sender
            .send(Frame::new(Kind::Segment, payload))
            .await
            .is_err()
        {
            return Ok(());
        }
        if let Some((hlc, run)) = run_after(app, number, last).await? {
            next.push(Reverse((hlc, run.number, run.seqs.1, ByTime(run))));
        }
    }
    let _ = sender.send(Frame::end()).await;
    Ok(())
}

/// From where a log is sent to a peer. Not at all when the peer has another version of it; the replica itself gets
/// all of it then, as the proof that it was copied or restored.
async fn starting_point(
    app: &App,
    peer: u32,
    who: &Introduction,
    theirs: &Vector,
) -> Result<Option<u64>, Error> {
    let (number, replica) = (who.number, who.replica);
    let Some(position) = theirs.get(number) else {
        return Ok(Some(0));
    };
    let (ours, forked) = app
        .store
        .read(move |tx| {
            let ours = logs::hash_at(tx, number, replica, position.seq)?;
            Ok::<_, Error>((ours, logs::is_forked(tx, number)?))
        })
        .await?;
    let differs = ours.is_some_and(|head| Position::from(&head) != position);
    Ok(match (differs || forked, number.get() == peer) {
        (false, _) => Some(position.seq),
        (true, true) => Some(0),
        (true, false) => (!differs).then_some(position.seq),
    })
}

/// A run whose place in the order is given by what stands before it.
struct ByTime(Run);

impl PartialEq for ByTime {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for ByTime {}

impl PartialOrd for ByTime {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for ByTime {
    fn cmp(&self, _: &Self) -> std::cmp::Ordering {
        std::cmp::Ordering::Equal
    }
}

/// Who this replica is.
fn introduction(public_key: [u8; 32], tx: &impl crate::store::Read) -> Result<Introduction, Error> {
    let me = replica::get(tx)?;
    Ok(Introduction {
        number: replica::number(tx)?,
        replica: me.replica_id,
        public_key,
        branch: None,
    })
}

/// The next run of a log after `seq`: a stored segment, or this replica's newest changes, signed now.
pub(super) async fn run_after(
    app: &App,
    number: ReplicaNumber,
    seq: u64,
) -> Result<Option<(Hlc, Run)>, Error> {
    let signer = Arc::clone(&app.signer);
    app.store
        .read(move |tx| {
            if let Some(run) = logs::run_after(tx, number, seq)? {
                return Ok(Some(run));
            }
            if number != replica::number(tx)? {
                return Ok(None);
            }
            let sealed = logs::sealed_head(tx)?;
            let tail = logs::own_tail(tx, sealed.seq)?;
            let head = tail
                .iter()
                .fold(sealed, |head, (_, change)| head.append(&digest(change)));
            let new: Vec<Change<'_>> = tail
                .into_iter()
                .filter(|(at, _)| *at > seq)
                .map(|(_, change)| change)
                .collect();
            let Some(first) = new.first() else {
                return Ok(None);
            };
            let first_seq = head.seq + 1 - new.len() as u64;
            let run = Run {
                number,
                seqs: (first_seq, head.seq),
                bytes: segment::encode(first_seq, &new),
                signature: signer.sign(replica::get(tx)?.replica_id, head).signature,
            };
            Ok(Some((first.hlc, run)))
        })
        .await
}
