//! A member that means harm, with a valid key: it forges, replays, floods, writes nonsense, and tells two
//! peers two different things.

use std::rc::Rc;

use islet_sync::chain::SIGNATURE_LEN;
use islet_sync::op::{Action, Op, Value};

use super::logs::Change;
use super::rng::Rng;
use super::session;
use super::world::World;

pub(crate) fn act(world: &mut World, i: usize) {
    let j = world.rng.below(world.nodes.len());
    if i == j || !world.is_up(i) {
        return;
    }
    match world.rng.below(6) {
        0 => forge(world, i, j),
        1 => replay(world),
        2 => nonsense(world, i),
        3 => flood(world, i, j),
        4 => noise(world, i, j),
        _ => equivocate(world, i),
    }
}

/// Another's log with a changed value, under the true signature or a made-up one.
pub(crate) fn forge(world: &mut World, i: usize, j: usize) {
    let mut rng = world.rng.clone();
    let Some(replica) = &world.nodes[i].live else {
        return;
    };
    let logs: Vec<_> = replica
        .db
        .logs
        .iter()
        .filter(|log| log.head().seq > log.base.seq)
        .collect();
    let Some(log) = rng.pick(&logs) else { return };
    let mut changes = log.changes().to_vec();
    let at = rng.below(changes.len());
    let mut ops = changes[at].ops.clone();
    let byte = rng.below(ops.len());
    ops[byte] ^= 1 << rng.below(8);
    changes[at] = Change::new(changes[at].hlc, ops);
    let seal = log
        .seals
        .values()
        .next_back()
        .copied()
        .unwrap_or([7; SIGNATURE_LEN]);
    let mut packet = session::call(replica);
    session::put_run(&mut packet, &log.who, log.base.seq + 1, &changes, &seal);
    world.rng = rng;
    world.count("forgery");
    world.send(i, j, packet);
}

fn replay(world: &mut World) {
    let mut rng = world.rng.clone();
    if let Some(packet) = world.network.recorded(&mut rng) {
        world.rng = rng;
        world.count("replay");
        let now_ms = world.now_ms;
        world.network.send(
            &packet,
            &super::fault::Faults::default(),
            now_ms,
            &mut world.rng,
        );
    }
}

fn value(rng: &mut Rng) -> Value<'static> {
    match rng.below(6) {
        0 => Value::Null,
        1 => Value::Real(rng.between(-9, 9) as f64 + 0.25),
        2 => Value::Text("ACCEPTED".into()),
        3 => Value::Bytes(vec![1, 2].into()),
        4 => Value::Int(rng.between(-2, 5)),
        _ => Value::Int(rng.between(0, 4) << 32 | rng.between(1, 30)),
    }
}

/// Operations that make no sense: kinds that do not exist, rows of others or of nobody, values of the wrong type.
fn nonsense_op(rng: &mut Rng) -> Op<'static> {
    // Not of the queue, nor of members: a member that may write there may overbook and cut off whom it wants.
    let entity = *rng
        .pick(&[1, 2, 3, 6, 7, 12, 64, 65, 99, 200])
        .unwrap_or(&1);
    let action = [Action::Create, Action::Set, Action::Add, Action::Remove][rng.below(4)];
    let row = rng.between(0, 4) << 32 | rng.between(1, 30);
    let mut fields = Vec::new();
    for number in 0..17 {
        if rng.chance(30) {
            fields.push((number, value(rng)));
        }
    }
    Op {
        entity,
        action,
        row: islet_sync::id::RowId::from_i64(row).unwrap(),
        fields,
    }
}

/// Signed nonsense: every node must come to the same end with it.
pub(crate) fn nonsense(world: &mut World, i: usize) {
    let mut rng = world.rng.clone();
    let ops: Vec<_> = (0..1 + rng.below(4))
        .map(|_| nonsense_op(&mut rng))
        .collect();
    let is_damaged = rng.chance(20);
    world.rng = rng;
    let now_ms = world.now_ms;
    let wall_ms = world.nodes[i].wall_ms(now_ms);
    world.taint(i);
    if let Some(replica) = &mut world.nodes[i].live {
        if is_damaged {
            replica.write_bytes(wall_ms, vec![1, 3, 1, 200, 7]);
        } else {
            replica.write(wall_ms, &ops);
        }
        world.count("nonsense");
        world.note(|| format!("node {i} writes nonsense {ops:?}"));
        world.commit(i);
    }
}

/// More than anybody asked for.
fn flood(world: &mut World, i: usize, j: usize) {
    let Some(replica) = &world.nodes[i].live else {
        return;
    };
    let packet = session::call(replica);
    world.count("flood");
    for _ in 0..30 {
        world.send(i, j, packet.clone());
    }
}

fn noise(world: &mut World, i: usize, j: usize) {
    let Some(replica) = &world.nodes[i].live else {
        return;
    };
    let mut packet = session::call(replica);
    let noise: [u8; 40] = world.rng.bytes();
    packet.extend(noise);
    world.send(i, j, packet);
}

/// From now on there are two of it, and neither takes a hint.
fn equivocate(world: &mut World, i: usize) {
    if world.nodes.len() >= 6 || world.nodes[i].equivocates || !world.rng.chance(30) {
        return;
    }
    let disk = world.nodes[i].disk.clone();
    world.nodes[i].equivocates = true;
    world.clone_node(i, disk, true);
    let twin = world.nodes.len() - 1;
    world.nodes[twin].equivocates = true;
    world.count("equivocation");
}

/// A change with one bit of its operations turned.
pub(crate) fn altered(change: &Rc<Change>) -> Rc<Change> {
    let mut ops = change.ops.clone();
    if let Some(last) = ops.last_mut() {
        *last ^= 1;
    }
    Change::new(change.hlc, ops)
}
