//! Packets that are lost, doubled, cut or repeated, and power cuts in the middle of it.

use std::collections::BTreeMap;

use islet_sync::rules::READING;

use crate::logs::Taken;
use crate::net::Packet;
use crate::script::clinic_of;
use crate::session;
use crate::world::World;

fn packet(world: &World, from: usize, to: usize, bytes: Vec<u8>) -> Packet {
    Packet {
        from,
        to,
        key: world.nodes[from].signer.public_key(),
        bytes,
    }
}

/// Rows 8 and 16. A packet that is cut at any byte is taken up to its last whole run, and the rest comes later.
#[test]
fn a_packet_cut_anywhere_does_no_harm() {
    let mut world = clinic_of(2);
    world.reads(0, 100.0);
    world.reads(0, 101.0);
    let me = world.replica(0).me();
    let whole = world.run_packet(0, me, |_| {});
    for cut in 0..whole.len() {
        world.arrive(&packet(&world, 0, 1, whole[..cut].to_vec()));
        assert_eq!(
            world.replica(1).state.rows(&READING).count(),
            0,
            "cut at {cut}"
        );
    }
    world.arrive(&packet(&world, 0, 1, whole));
    assert_eq!(world.replica(1).state.rows(&READING).count(), 2);
    world.ends_well();
}

/// Row 9. The power goes after a run was taken in and before it was durable: nothing was acknowledged, and it comes
/// again. Or after: it is there.
#[test]
fn a_power_cut_around_a_commit_loses_nothing_and_doubles_nothing() {
    let mut world = clinic_of(2);
    world.reads(0, 100.0);
    let me = world.replica(0).me();
    let run = world.run_packet(0, me, |_| {});
    let key = world.nodes[0].signer.public_key();
    let (now_ms, mut rng) = (world.now_ms, world.rng.clone());
    session::handle(&mut world.nodes[1], &key, &run, now_ms, &mut rng);
    assert_eq!(world.replica(1).state.rows(&READING).count(), 1);
    world.crash(1);
    world.start(1);
    assert_eq!(world.replica(1).state.rows(&READING).count(), 0);
    world.arrive(&packet(&world, 0, 1, run.clone()));
    world.crash(1);
    world.start(1);
    assert_eq!(world.replica(1).state.rows(&READING).count(), 1);
    world.arrive(&packet(&world, 0, 1, run));
    world.ends_well();
}

/// Row 16. Runs that come twice, late, or are played again by somebody who recorded them: elsewhere a counter is
/// counted twice, or an out-of-order change is lost (the `crdts` crate's `Orswot`).
#[test]
fn runs_in_any_order_and_number_are_taken_once() {
    let mut world = clinic_of(2);
    let me = world.replica(0).me();
    let mut packets = Vec::new();
    for value in 0..4 {
        world.reads(0, 100.0 + f64::from(value));
        packets.push(world.run_packet(0, me, |_| {}));
    }
    for bytes in packets
        .iter()
        .rev()
        .chain(&packets)
        .cloned()
        .collect::<Vec<_>>()
    {
        world.arrive(&packet(&world, 0, 1, bytes));
    }
    assert_eq!(world.replica(1).state.rows(&READING).count(), 4);
    world.ends_well();
    // An old conversation, played again a year later.
    for bytes in packets {
        world.arrive(&packet(&world, 0, 1, bytes));
    }
    world.ends_well();
}

/// Row 17. A log with a hole whose author is dead: only what was built on it waits; everything else goes on
/// (<https://github.com/superfly/corrosion/issues/366> waits for ever), and what waits goes on once an operator gives up what
/// is lost.
#[test]
fn a_hole_that_is_never_filled_stops_nobody_else() {
    let mut world = clinic_of(4);
    // Node 3 writes; node 2 sees it, writes on it, and both lose their cards, but what node 2 wrote came through.
    let seen = world.reads(3, 100.0);
    world.talk(3, 2);
    world.corrects(2, seen, 101.0, 1);
    let two = world.replica(2).me();
    let run = world.run_packet(2, two, |_| {});
    world.revoked.extend([2, 3]);
    world.crash(2);
    world.crash(3);
    world.arrive(&packet(&world, 2, 0, run));
    assert!(world.replica(0).state.row(&READING, seen.get()).is_none());
    assert!(
        world.replica(0).causality.applied().seq(two)
            < world.replica(0).db.logs.get(two).unwrap().head().seq
    );
    let own = world.reads(0, 200.0);
    let other = world.reads(1, 201.0);
    world.ends_well();
    for i in 0..2 {
        assert!(world.replica(i).state.row(&READING, own.get()).is_some());
        assert!(world.replica(i).state.row(&READING, other.get()).is_some());
    }
    let replica = world.replica(1);
    let stored = replica.db.logs.get(two).unwrap().head().seq;
    assert_eq!(replica.causality.applied().seq(two), stored);
}

/// Row 24, in part. A log that is far ahead of what can be applied is not taken without end; once it can be, it is.
#[test]
fn what_cannot_be_applied_yet_is_kept_within_bounds() {
    let mut world = clinic_of(3);
    world.reads(1, 1.0);
    world.talk(1, 0);
    // All that node 0 writes from now on waits for node 1's reading at node 2.
    for value in 0..600 {
        world.reads(0, 100.0 + f64::from(value));
    }
    let zero = world.replica(0).me();
    let run = world.run_packet(0, zero, |_| {});
    world.arrive(&packet(&world, 0, 2, run));
    let stored: BTreeMap<u32, u64> = world
        .replica(2)
        .db
        .logs
        .iter()
        .map(|log| (log.who.number.get(), log.head().seq))
        .collect();
    assert!(stored[&zero.get()] < 450, "{stored:?}");
    world.ends_well();
    assert_eq!(world.replica(2).state.rows(&READING).count(), 601);
}

/// Row 12, in part. A node whose disk is full takes nothing in, goes on writing what its own people enter, and catches
/// up when there is space (<https://github.com/superfly/corrosion/issues/456> stops).
#[test]
fn a_full_disk_stops_catching_up_and_nothing_else() {
    let mut world = clinic_of(2);
    world.nodes[1].disk_full = true;
    let there = world.reads(0, 100.0);
    world.talk_all(2);
    assert!(world.replica(1).state.row(&READING, there.get()).is_none());
    let here = world.reads(1, 200.0);
    world.talk_all(1);
    assert!(world.replica(0).state.row(&READING, here.get()).is_some());
    world.ends_well();
    assert!(world.replica(1).state.row(&READING, there.get()).is_some());
}

/// A run with a gap before it, and one that is known, change nothing.
#[test]
fn a_gap_is_not_filled_by_guessing() {
    let mut world = clinic_of(2);
    world.reads(0, 100.0);
    world.reads(0, 101.0);
    let replica = world.replica_mut(0);
    replica.seal();
    let log = replica.db.logs.get(replica.me()).unwrap().clone();
    let last = log.changes().last().unwrap().clone();
    let seal = *log.seals.last_key_value().unwrap().1;
    let at = log.head().seq;
    let node = world.replica_mut(1);
    assert_eq!(node.ingest(&log.who, at, &[last], &seal, 0), Taken::Gap);
    let all = log.changes().to_vec();
    assert_eq!(node.ingest(&log.who, 1, &all, &seal, 0), Taken::New);
    assert_eq!(node.ingest(&log.who, 1, &all, &seal, 0), Taken::Known);
}
