//! Members that lie, members that were cut off, and programs of other versions.

use islet_sync::op::{Action, Op, Value};
use islet_sync::rules::{PATIENT, READING, SETTLEMENT};

use crate::hostile::altered;
use crate::net::Packet;
use crate::script::clinic_of;
use crate::world::World;

fn packet(world: &World, from: usize, to: usize, bytes: Vec<u8>) -> Packet {
    Packet {
        from,
        to,
        key: world.nodes[from].signer.public_key(),
        bytes,
    }
}

/// A peer that carries a third node's log alters, drops, swaps or cuts it: nothing of it is taken.
#[test]
fn a_carrier_cannot_alter_what_it_carries() {
    let mut world = clinic_of(3);
    for value in 0..3 {
        world.reads(0, 100.0 + f64::from(value));
    }
    world.talk(0, 1);
    let zero = world.replica(0).me();
    let before = world.replica(2).vector();
    let changed = [
        world.run_packet(1, zero, |changes| {
            let last = changes.pop().unwrap();
            changes.push(altered(&last));
        }),
        world.run_packet(1, zero, |changes| {
            changes.pop();
        }),
        world.run_packet(1, zero, |changes| {
            let at = changes.len() - 2;
            changes.remove(at);
        }),
        world.run_packet(1, zero, |changes| {
            let at = changes.len();
            changes.swap(at - 1, at - 2);
        }),
    ];
    for bytes in changed {
        world.arrive(&packet(&world, 1, 2, bytes));
        assert_eq!(world.replica(2).vector(), before);
    }
    assert!(world.counts["forged"] >= 4);
    world.ends_well();
}

/// Row 18. A revoked node writes on, with old dates, and through a third node: what it wrote before stays, what
/// comes after counts nowhere, whoever carried it (morango has no revocation).
#[test]
fn a_revoked_node_is_cut_off_everywhere_at_one_change() {
    let mut world = clinic_of(4);
    let before = world.reads(3, 100.0);
    world.talk_all(2);
    world.revoke(0, 3);
    world.nodes[3].clock.offset_ms = -365 * 24 * 3600 * 1000;
    let after = world.reads(3, 200.0);
    // Node 2 has not heard yet: it takes the change, builds on it, and hands it on.
    world.talk(3, 2);
    world.corrects(2, after, 201.0, 1);
    world.ends_well();
    for i in 0..3 {
        assert!(world.replica(i).state.row(&READING, before.get()).is_some());
        assert!(world.replica(i).state.row(&READING, after.get()).is_none());
    }
    // From now on nobody listens.
    let vector = world.replica(2).vector();
    world.reads(3, 300.0);
    world.talk(3, 2);
    assert_eq!(world.replica(2).vector(), vector);
}

/// Row 18. Nor can it come back under a new name.
#[test]
fn a_revoked_node_cannot_return_as_a_new_replica() {
    let mut world = clinic_of(3);
    world.talk_all(1);
    world.revoke(0, 2);
    let backup = world.nodes[2].back_up().unwrap();
    world.restores(2, backup);
    let reading = world.reads(2, 100.0);
    world.talk(2, 1);
    world.ends_well();
    for i in 0..2 {
        assert!(
            world
                .replica(i)
                .state
                .row(&READING, reading.get())
                .is_none()
        );
    }
}

/// Row 20. A member tells two peers two things under one seq (Kleppmann, "Making CRDTs Byzantine fault tolerant",
/// PaPoC 2022): both are kept apart and seen by all, what others built on either holds, and the proof is two
/// signatures of one key.
#[test]
fn whoever_says_two_things_is_heard_twice_and_believed_by_none() {
    let mut world = clinic_of(4);
    let disk = world.nodes[3].disk.clone();
    world.nodes[3].equivocates = true;
    world.clone_node(3, disk, true);
    world.nodes[4].equivocates = true;
    let first = world.reads(3, 100.0);
    let second = world.reads(4, 200.0);
    assert_eq!(first, second);
    world.talk(3, 0);
    world.talk(4, 1);
    world.corrects(0, first, 101.0, 1);
    world.corrects(1, second, 201.0, 1);
    world.talk(0, 1);
    world.ends_well();
    for i in 0..3 {
        assert_eq!(world.replica(i).state.rows(&READING).count(), 2);
        let author = world
            .replica(i)
            .db
            .logs
            .get(first.replica())
            .unwrap()
            .who
            .replica;
        let branches = world
            .replica(i)
            .db
            .logs
            .iter()
            .filter(|log| log.who.replica == author);
        assert_eq!(branches.count(), 2, "the proof is kept");
    }
}

/// Row 21. Operations of a later release pass through an older node and count after its upgrade
/// (<https://github.com/superfly/corrosion/issues/261>: the whole stream stops).
#[test]
fn an_older_node_keeps_and_forwards_what_it_does_not_know() {
    let mut world = clinic_of(3);
    world.nodes[1].newer = false;
    world.crash(1);
    world.start(1);
    world.does(0, |replica| {
        let fields = vec![(1, Value::Int(3)), (2, Value::Int(1)), (3, Value::Int(1))];
        let row = replica.next_row();
        Some(vec![Op {
            entity: SETTLEMENT.code,
            action: Action::Create,
            row,
            fields,
        }])
    });
    let after = world.reads(0, 100.0);
    world.talk(0, 1);
    assert_eq!(world.replica(1).refused.len(), 1);
    assert!(
        world.replica(1).state.row(&READING, after.get()).is_some(),
        "the rest goes on"
    );
    world.talk(1, 2);
    assert_eq!(
        world.replica(2).state.rows(&SETTLEMENT).count(),
        1,
        "it was forwarded as it was"
    );
    world.ends_well();
    assert_eq!(world.replica(1).state.rows(&SETTLEMENT).count(), 1);
    assert!(world.replica(1).refused.is_empty());
}

/// Row 22. An operation that makes no sense is set aside, the same on all nodes, and what follows goes on.
#[test]
fn nonsense_is_set_aside_and_the_rest_goes_on() {
    let mut world = clinic_of(3);
    world.hostile.insert(0);
    let foreign = islet_sync::id::RowId::from_i64(1 << 32 | 77).unwrap();
    let ops = |replica: &mut crate::replica::Replica| {
        let row = replica.next_row();
        let op = |entity, action, row, fields| Op {
            entity,
            action,
            row,
            fields,
        };
        vec![
            op(200, Action::Create, row, vec![]),
            op(PATIENT.code, Action::Add, row, vec![]),
            op(PATIENT.code, Action::Create, foreign, vec![]),
            op(PATIENT.code, Action::Set, foreign, vec![(2, Value::Null)]),
            op(
                READING.code,
                Action::Create,
                row,
                vec![(1, Value::Text("x".into()))],
            ),
            op(READING.code, Action::Set, row, vec![(5, Value::Int(2))]),
            op(READING.code, Action::Set, row, vec![(99, Value::Int(2))]),
        ]
    };
    let now_ms = world.now_ms;
    let replica = world.replica_mut(0);
    let made = ops(replica);
    replica.write(now_ms, &made);
    world.commit(0);
    assert_eq!(world.replica(0).refused.len(), made.len());
    let after = world.reads(0, 100.0);
    world.ends_well();
    for i in 1..3 {
        assert!(world.replica(i).state.row(&READING, after.get()).is_some());
        assert_eq!(world.replica(i).refused, world.replica(0).refused);
    }
}

/// A node of another network, and one whose key nobody knows, get no answer.
#[test]
fn strangers_get_nothing() {
    let mut world = clinic_of(2);
    world.reads(0, 100.0);
    let hello = crate::session::call(world.replica(0));
    let stranger = Packet {
        from: 0,
        to: 1,
        key: [9; 32],
        bytes: hello.clone(),
    };
    let (now_ms, mut rng) = (world.now_ms, world.rng.clone());
    let mut answers = |key: &[u8; 32], bytes: &[u8]| {
        crate::session::handle(&mut world.nodes[1], key, bytes, now_ms, &mut rng)
            .replies
            .len()
    };
    assert_eq!(answers(&stranger.key, &hello), 0);
    let mut other = hello.clone();
    other[5] ^= 1;
    let key = crate::script::clinic_of(1).nodes[0].signer.public_key();
    assert_eq!((answers(&key, &hello), answers(&key, &other)), (1, 0));
}
