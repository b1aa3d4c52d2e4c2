//! What a peer lacks, on its way: introductions and runs, in an order in which they can be applied as they come.
//!
//! Must never read further ahead than the peer takes.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap};
use std::sync::Arc;

use islet_sync::dot::VersionVector;
use islet_sync::exchange::{Introduction, Seal, Trail, Vector};
use islet_sync::frame::{Frame, Kind};
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::segment::{self, Change};
use tokio::sync::mpsc;

use super::super::{App, Error};
use super::{DAMAGED_FRAME, acknowledge};
use crate::limits;
use crate::store::logs::{self, KnownLog, Run};
use crate::store::{Read, branches, replica};

/// What a peer with this vector lacks, in an order in which it can be applied as it comes. A bounded channel: the
/// sender waits for the receiver. It closes without [`Kind::End`] when the sender failed.
///
/// # Errors
/// When the vector makes no sense, or the disk fails.
pub async fn outgoing(
    app: &Arc<App>,
    peer: u32,
    theirs: Vec<u8>,
) -> Result<mpsc::Receiver<Frame>, Error> {
    let theirs = Vector::read(&theirs).map_err(|_| DAMAGED_FRAME)?;
    let key = app.signer.public_key();
    let (plan, applied) = app.store.read(move |tx| plan(tx, key, &theirs)).await?;
    if let Some(applied) = applied {
        acknowledge(app, peer, applied);
    }
    let (sender, receiver) = mpsc::channel(limits::OUTGOING_FRAMES_MAX);
    let app = Arc::clone(app);
    tokio::spawn(async move {
        if let Err(error) = send_missing(&app, plan, &sender).await {
            tracing::warn!(%error, "cannot read what a peer lacks");
        }
    });
    Ok(receiver)
}

/// What is to be sent.
struct Plan {
    /// Where logs stood of which the peer has another version.
    trails: Vec<Trail>,
    /// From where each log is sent, and whose it is: of a branch, the replica.
    logs: Vec<(ReplicaNumber, u64, Introduction)>,
}

/// Looks what a peer with this vector lacks, and what it has applied, by its own word.
fn plan(
    tx: &impl Read,
    key: [u8; 32],
    vector: &Vector,
) -> Result<(Plan, Option<VersionVector>), Error> {
    let (own, known) = (branches::own_log(tx, key)?, logs::known(tx)?);
    let theirs = branches::theirs(tx, &own, &known, vector)?;
    let all: Vec<&KnownLog> = known.iter().chain([&own]).collect();
    let family = |log: &KnownLog| (log.introduction.replica, log.introduction.public_key);
    let (mut trails, mut unclear) = (Vec::new(), Vec::new());
    for (number, position) in &theirs.elsewhere {
        let log = all.iter().find(|log| log.introduction.number == *number);
        if let Some(log) = log {
            trails.push(branches::trail(tx, log, position.seq)?);
            unclear.push(family(log));
        }
    }
    let mut sent = Vec::new();
    for log in all.iter().filter(|log| !unclear.contains(&family(log))) {
        let number = log.introduction.number;
        let from = theirs.known.get(&number).copied().unwrap_or(log.base.seq);
        let is_root =
            |it: &&&KnownLog| it.introduction.branch.is_none() && family(it) == family(log);
        let root = all.iter().find(is_root).map(|root| root.introduction);
        if let Some(root) = root.filter(|_| from < log.head.seq) {
            sent.push((number, from, root));
        }
    }
    let applied = vector.settled.then(|| theirs.applied(vector));
    Ok((Plan { trails, logs: sent }, applied))
}

async fn send_missing(app: &App, plan: Plan, sender: &mpsc::Sender<Frame>) -> Result<(), Error> {
    for trail in plan.trails {
        if sender
            .send(Frame::new(Kind::Trail, trail.bytes()))
            .await
            .is_err()
        {
            return Ok(());
        }
    }
    // What is next in each log, the oldest stamp first: so each run mostly finds there what it needs.
    let (mut next, mut whose) = (BinaryHeap::new(), BTreeMap::new());
    for (number, from, who) in plan.logs {
        whose.insert(number, who);
        if let Some((hlc, run)) = run_after(app, number, from).await? {
            next.push(Reverse((hlc, run.number, run.seqs.1, ByTime(run))));
        }
    }
    let mut introduced = BTreeSet::new();
    while let Some(Reverse((_, number, last, ByTime(run)))) = next.pop() {
        let Some(who) = whose.get(&number) else {
            continue;
        };
        // Not before: the run by which its author became a member may have been the one before.
        if introduced.insert(who.number)
            && sender
                .send(Frame::new(Kind::Replica, who.bytes()))
                .await
                .is_err()
        {
            return Ok(());
        }
        let mut payload = Seal {
            number: who.number,
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
            let (seqs, new): (Vec<u64>, Vec<Change<'_>>) =
                logs::own_tail(tx, seq)?.into_iter().unzip();
            let (Some(first), Some(first_seq), Some(last_seq)) =
                (new.first(), seqs.first(), seqs.last())
            else {
                return Ok(None);
            };
            let me = replica::get(tx)?.replica_id;
            let Some(head) = logs::hash_at(tx, number, me, *last_seq)? else {
                return Ok(None);
            };
            let run = Run {
                number,
                seqs: (*first_seq, *last_seq),
                bytes: segment::encode(*first_seq, &new),
                signature: signer.sign(me, head).signature,
            };
            Ok(Some((first.hlc, run)))
        })
        .await
}
