//! What must hold, whatever happens. Each check looks at bytes and rows, not at what the engine says of itself,
//! wherever it can.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use islet_sync::apply::RegisterKey;
use islet_sync::chain::Hash;
use islet_sync::change;
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::limits::CLOCK_AHEAD_MAX_MS;
use islet_sync::op::{Op, Value};
use islet_sync::register::Stamp;
use islet_sync::rules::{APPOINTMENT, QUEUE_DAY, QUEUE_ENTRY, QUEUE_RIGHT, READING};

use super::clinic::reading_key;
use super::logs::{Change, Log, Logs, Taken};
use super::node::Node;
use super::queue;
use super::replica::Replica;
use super::world::World;

/// The changes whose values a register of a reading has now, by the chain hashes after them.
pub(crate) fn shown_changes(replica: &Replica, reading: i64) -> Vec<Hash> {
    let siblings = replica
        .state
        .register(&reading_key(reading))
        .map_or(&[][..], |found| &found.0);
    let head = |stamp: Stamp| Some(replica.db.logs.head_at(stamp.replica, stamp.seq)?.hash);
    siblings
        .iter()
        .filter_map(|sibling| head(sibling.stamp))
        .collect()
}

/// A node's own stamps follow its own clock, however wrong those of others are.
pub(crate) fn stamp(node: &Node, change: &Change) -> Result<(), String> {
    let (stamp, latest) = (change.hlc.millis(), node.latest_wall_ms.max(0));
    if stamp > latest + CLOCK_AHEAD_MAX_MS + 1000 {
        return Err(format!(
            "a stamp of {stamp} at a node whose clock never was after {latest}"
        ));
    }
    Ok(())
}

/// Takes a log into the observer. Answers whether anything was new.
pub(crate) fn observe(observer: &mut Replica, logs: &Logs, log: &Log) -> bool {
    let number = log.who.number;
    let here = observer
        .db
        .logs
        .get(number)
        .filter(|here| here.base == log.base);
    let common = here.map_or(0, |here| here.head().seq.min(log.head().seq));
    let same = common > log.base.seq
        && observer.db.logs.head_at(number, common) == logs.head_at(number, common);
    let changes: Vec<Rc<Change>> = if same {
        log.changes()[(common - log.base.seq) as usize..].to_vec()
    } else {
        whole(logs, number)
    };
    if changes.is_empty() {
        return false;
    }
    let first_seq = if same { common + 1 } else { 1 };
    let who = if same { log.who } else { root(logs, log) };
    let taken = observer.db.logs.take(&who, first_seq, &changes, None);
    observer.settle_in(taken, &changes);
    matches!(taken, Taken::New | Taken::Forked)
}

fn root(logs: &Logs, log: &Log) -> islet_sync::exchange::Introduction {
    let parent = log.who.branch.and_then(|branch| logs.get(branch.of));
    parent.map_or(log.who, |parent| root(logs, parent))
}

/// A log from its first change on, with what a branch shares with those that it left.
fn whole(logs: &Logs, number: ReplicaNumber) -> Vec<Rc<Change>> {
    let Some(log) = logs.get(number) else {
        return Vec::new();
    };
    let mut changes = match log.who.branch {
        Some(branch) => {
            let mut shared = whole(logs, branch.of);
            shared.truncate(branch.after as usize);
            shared
        }
        None => Vec::new(),
    };
    changes.extend(log.changes().iter().cloned());
    changes
}

/// Operations on the queue by replicas of which there may be two, since there may be two, and by revoked ones after
/// they were cut off: others may have relied on them before they knew. Each may be a place too many, as the documentation
/// says. Nobody else may exceed anything.
fn allowance(world: &World) -> i64 {
    let mut allowed = 0;
    let cuts = super::membership::cuts(&world.observer.db.logs);
    for log in world.observer.db.logs.iter() {
        let doubted = world.suspects.get(&log.who.replica);
        let Some(since) = doubted.into_iter().chain(cuts.get(&log.who.number)).min() else {
            continue;
        };
        for (change, seq) in log.changes().iter().zip(log.base.seq + 1..) {
            if seq > *since {
                let ops = change::decode(&change.ops).unwrap_or_default();
                allowed += ops.iter().map(places_of).sum::<i64>();
            }
        }
    }
    allowed
}

/// How many places an operation can be about.
fn places_of(op: &Op<'_>) -> i64 {
    let count = op.fields.iter().find(|(number, _)| *number == 3);
    match (op.entity == QUEUE_RIGHT.code, count) {
        (true, Some((_, Value::Int(count)))) => *count,
        _ => i64::from([QUEUE_DAY.code, QUEUE_ENTRY.code, QUEUE_RIGHT.code].contains(&op.entity)),
    }
}

/// Over all that exists anywhere: no replica has used more rights than it had, and every entry that holds a place
/// holds a right to its day.
pub(crate) fn capacity(world: &World) -> Result<(), String> {
    let state = &world.observer.state;
    let mut whose: BTreeMap<i64, BTreeSet<ReplicaNumber>> = BTreeMap::new();
    let mut held: BTreeMap<(i64, i64), i64> = BTreeMap::new();
    for (id, row) in state.rows(&QUEUE_RIGHT) {
        let day = row.int(1).unwrap_or_default();
        whose.entry(day).or_default().insert(id.replica());
        if row.int(2) == Some(4) && queue::is_held(state, row, None) {
            *held
                .entry((day, row.int(5).unwrap_or_default()))
                .or_default() += 1;
        }
    }
    let mut excess = 0;
    let mut worst = String::new();
    for (day, replicas) in whose {
        let Ok(day) = RowId::from_i64(day) else {
            continue;
        };
        for replica in replicas {
            let rights = queue::rights(state, day, replica, None);
            if rights.available() < 0 {
                excess -= rights.available();
                worst = format!("{replica:?} has {rights:?} to {day:?}");
            }
        }
    }
    for (id, row) in state.rows(&QUEUE_ENTRY) {
        let day = row.int(1).unwrap_or_default();
        if queue::occupies(row.text(3)) && !held.contains_key(&(day, id.get())) {
            excess += 1;
            worst = format!("{id:?} is in {day} without a right");
        }
    }
    if excess > 0 && excess > allowance(world) {
        return Err(format!("capacity is exceeded by {excess}: {worst}"));
    }
    Ok(())
}

/// After healing, all of it.
pub(crate) fn everything(world: &mut World) -> Result<[u8; 32], String> {
    for i in 0..world.nodes.len() {
        if world.revoked.contains(&i) {
            world.forgive(i);
        }
    }
    let digest = agreement(world)?;
    history(world)?;
    all_applied(world)?;
    edits(world)?;
    conflicts(world)?;
    Ok(digest)
}

/// All states are identical, also to those made from the logs alone, and to what the observer has.
fn agreement(world: &World) -> Result<[u8; 32], String> {
    for i in world.honest() {
        let replica = world.nodes[i].live.as_ref().ok_or("a node is down")?;
        if replica.state
            != world.nodes[world.honest()[0]]
                .live
                .as_ref()
                .ok_or("down")?
                .state
        {
            return Err(format!(
                "the state of node {i} differs from that of the first node"
            ));
        }
        let again = Replica::open(
            replica.db.clone(),
            Rc::clone(&replica.signer),
            replica.newer,
            replica.mutation,
        );
        if again.state != replica.state {
            return Err(format!("the state of node {i} is not what its logs say"));
        }
        if again.refused != replica.refused {
            return Err(format!(
                "node {i} refused other operations than its logs say"
            ));
        }
        // Unless something was lost with the only disk that had it.
        let is_all = replica.vector() == world.observer.vector();
        if is_all && replica.state != world.observer.state {
            return Err(format!("the state of node {i} is not that of the observer"));
        }
    }
    let first = world.honest().first().copied().ok_or("nobody is left")?;
    Ok(world.nodes[first]
        .live
        .as_ref()
        .ok_or("a node is down")?
        .state
        .digest())
}

/// Every answered write is in the history of every node, exactly once.
fn history(world: &World) -> Result<(), String> {
    for i in world.honest() {
        let replica = world.nodes[i].live.as_ref().ok_or("a node is down")?;
        let mut times: BTreeMap<Hash, usize> = BTreeMap::new();
        for log in replica.db.logs.iter() {
            for hash in log.hashes() {
                *times.entry(*hash).or_default() += 1;
            }
        }
        for digest in world.answered.difference(&world.forgiven) {
            let found = times.get(digest).copied().unwrap_or_default();
            if found != 1 {
                return Err(format!(
                    "an answered write is {found} times in the log of node {i}"
                ));
            }
        }
    }
    Ok(())
}

/// Nothing waits for ever, unless for the branch of a replica of which there were two, or of one that was cut off.
fn all_applied(world: &World) -> Result<(), String> {
    if !world.suspects.is_empty() || !world.revoked.is_empty() {
        return Ok(());
    }
    for i in world.honest() {
        let replica = world.nodes[i].live.as_ref().ok_or("a node is down")?;
        for log in replica.db.logs.iter() {
            let (number, head) = (log.who.number, log.head());
            let applied = replica.causality.applied().seq(number);
            if applied < head.seq {
                let all = head.seq;
                return Err(format!(
                    "node {i} applied {applied} of {all} changes of {number:?}"
                ));
            }
        }
    }
    Ok(())
}

/// No correction is gone unless somebody who had it before the eyes wrote another.
fn edits(world: &World) -> Result<(), String> {
    let first = world.honest().first().copied().ok_or("nobody is left")?;
    let replica = world.nodes[first].live.as_ref().ok_or("a node is down")?;
    let mut kept = BTreeSet::new();
    for (id, _) in replica.state.rows(&READING) {
        kept.extend(shown_changes(replica, id.get()));
    }
    // What waits for a branch that is lost has no effect yet; see `all_applied`.
    let mut written: BTreeSet<Hash> = BTreeSet::new();
    for log in replica.db.logs.iter() {
        let applied = replica.causality.applied().seq(log.who.number);
        let count = applied.saturating_sub(log.base.seq) as usize;
        written.extend(log.hashes().iter().take(count));
    }
    let in_history = || {
        world
            .edits
            .iter()
            .filter(|edit| written.contains(&edit.change))
    };
    let replaced: BTreeSet<Hash> = in_history()
        .flat_map(|edit| edit.saw.iter().copied())
        .collect();
    if !world.revoked.is_empty() || !world.hostile.is_empty() {
        return Ok(());
    }
    for edit in in_history() {
        match (kept.contains(&edit.change), replaced.contains(&edit.change)) {
            (false, false) => return Err("a correction is gone that nobody saw".into()),
            (true, true) => return Err("a correction stayed that was replaced".into()),
            _ => {}
        }
    }
    Ok(())
}

/// Values of a clinical register that differ are a conflict, and nothing else is.
fn conflicts(world: &World) -> Result<(), String> {
    let first = world.honest().first().copied().ok_or("nobody is left")?;
    let replica = world.nodes[first].live.as_ref().ok_or("a node is down")?;
    let is_reported = |key: &RegisterKey| {
        (key.entity == READING.code && key.group == 0)
            || (key.entity == QUEUE_ENTRY.code && key.group == 1)
            || (key.entity == APPOINTMENT.code && key.group == 1)
    };
    for (key, (siblings, conflict)) in replica.state.registers() {
        let differ = siblings
            .iter()
            .any(|sibling| sibling.fields != siblings[0].fields);
        if *conflict != (differ && is_reported(key)) {
            return Err(format!(
                "{key:?} has {} values and the flag {conflict}",
                siblings.len()
            ));
        }
    }
    Ok(())
}
