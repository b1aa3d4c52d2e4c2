//! Databases that went back in time, and databases that there are two of.

use islet_sync::incarnation::Reason;
use islet_sync::rules::{PATIENT, READING};

use crate::mutation::Mutation;
use crate::queue::Step;
use crate::script::clinic_of;
use crate::{check, world::World};

/// Row 1. A backup is restored and new writes use seqs again that others have: elsewhere they never leave the node
/// (<https://github.com/syncthing/syncthing/issues/6335>, <https://github.com/basho/riak_kv/issues/679>).
#[test]
fn a_restored_backup_becomes_a_new_replica_and_gets_its_own_changes_back() {
    let mut world = clinic_of(2);
    let backup = world.nodes[0].back_up().unwrap();
    let before = world.reads(0, 100.0);
    world.talk_all(2);
    world.restores(0, backup);
    assert_eq!(world.last_reason(0), Some(Reason::Starts));
    let after = world.reads(0, 200.0);
    assert_ne!(before.replica(), after.replica());
    world.ends_well();
    for i in [0, 1] {
        assert!(world.replica(i).state.row(&READING, before.get()).is_some());
        assert!(world.replica(i).state.row(&READING, after.get()).is_some());
    }
}

/// Row 1, when the backup fits the file: only a peer can tell.
#[test]
fn a_restore_that_fits_the_identity_file_is_noticed_by_the_first_peer() {
    let mut world = clinic_of(2);
    let image = world.nodes[0].disk.clone();
    world.reads(0, 100.0);
    world.talk_all(1);
    world.puts_back(0, image);
    assert_eq!(world.last_reason(0), None);
    world.talk(0, 1);
    assert!(matches!(
        world.last_reason(0),
        Some(Reason::PeerKnowsMore(_, _))
    ));
    world.ends_well();
}

fn two_of_one(world: &mut World) -> usize {
    let disk = world.nodes[0].disk.clone();
    world.clone_node(0, disk, true);
    world.nodes.len() - 1
}

/// Row 2. A card is copied and both run: elsewhere one of them loses what it wrote
/// (<https://github.com/learningequality/kolibri/issues/8824>), or all diverge for ever.
#[test]
fn both_copies_of_a_card_keep_all_that_they_wrote() {
    let mut world = clinic_of(3);
    let twin = two_of_one(&mut world);
    let here = world.reads(0, 100.0);
    let there = world.reads(twin, 200.0);
    assert_eq!(
        here, there,
        "one id for two readings is what makes this hard"
    );
    world.talk(0, 1);
    world.talk(twin, 2);
    // Each copy's reading is corrected by somebody who has seen that one only.
    world.corrects(1, here, 101.0, 1);
    world.corrects(2, there, 201.0, 1);
    world.ends_well();
    let mut values: Vec<f64> = Vec::new();
    for (_, row) in world.replica(1).state.rows(&READING) {
        if let islet_sync::op::Value::Real(value) = row.value(2) {
            values.push(*value);
        }
    }
    values.sort_by(f64::total_cmp);
    assert_eq!(values, [101.0, 201.0]);
    assert_ne!(world.replica(0).me(), world.replica(twin).me());
}

/// The same without marks: the correction of one patient's reading lands on another's.
#[test]
fn a_seq_without_a_hash_would_correct_the_wrong_reading() {
    let mut world = World::new(7, 3, crate::fault::Faults::default(), Mutation::NoMarks);
    let twin = two_of_one(&mut world);
    let here = world.reads(0, 100.0);
    let there = world.reads(twin, 200.0);
    world.talk(0, 1);
    world.talk(twin, 2);
    world.corrects(1, here, 101.0, 1);
    world.corrects(2, there, 201.0, 1);
    let ends = world
        .heal()
        .and_then(|()| check::everything(&mut world).map(|_| ()));
    assert!(ends.is_err());
}

/// Row 2, on another machine: noticed at once, before a seq is used twice.
#[test]
fn a_card_in_another_machine_is_a_new_replica() {
    let mut world = clinic_of(2);
    let disk = world.nodes[0].disk.clone();
    world.clone_node(0, disk, false);
    assert_eq!(world.last_reason(2), Some(Reason::OtherMachine));
    world.reads(2, 100.0);
    world.reads(0, 200.0);
    world.ends_well();
    assert!(!world.replica(0).is_forked());
}

/// Row 3. The whole card goes back, the file with it, and writes go on in the same seqs. Whoever restores loses nothing that
/// it wrote before or after.
#[test]
fn a_card_that_went_back_and_wrote_on_keeps_both_histories() {
    let mut world = clinic_of(3);
    let image = world.nodes[0].disk.clone();
    let before = world.reads(0, 100.0);
    world.talk(0, 1);
    world.puts_back(0, image);
    let after = world.reads(0, 200.0);
    assert_eq!(before, after);
    world.talk(0, 2);
    world.ends_well();
    assert_eq!(world.replica(2).state.rows(&READING).count(), 2);
    assert!(world.last_reason(0).is_some());
}

/// Row 4. A peer was rolled back: it is fed again, without being asked
/// (<https://github.com/medic/cht-core/issues/8093> loses since 2017).
#[test]
fn a_peer_that_was_rolled_back_is_fed_again() {
    let mut world = clinic_of(3);
    let backup = world.nodes[1].back_up().unwrap();
    let reading = world.reads(0, 100.0);
    world.talk_all(2);
    world.restores(1, backup);
    assert!(
        world
            .replica(1)
            .state
            .row(&READING, reading.get())
            .is_none()
    );
    world.talk(0, 1);
    assert!(
        world
            .replica(1)
            .state
            .row(&READING, reading.get())
            .is_some()
    );
    world.ends_well();
}

/// Row 5. There is no checkpoint to lose: a node that has nothing but its name gets all of it
/// (<https://github.com/pouchdb/pouchdb/issues/3999>).
#[test]
fn there_is_no_checkpoint_that_could_be_lost() {
    let mut world = clinic_of(2);
    world.reads(0, 100.0);
    world.talk_all(1);
    // All that a node remembers of others is gone with its memory.
    world.crash(0);
    world.crash(1);
    world.start(0);
    world.start(1);
    world.reads(1, 200.0);
    let before = world.replica(0).db.seq();
    world.ends_well();
    assert_eq!(world.replica(0).state.rows(&READING).count(), 2);
    assert_eq!(world.replica(0).db.seq(), before);
}

/// A restored node that is cut off may not accept, on rights of others, what they may have denied long ago.
#[test]
fn a_new_replica_does_not_accept_what_may_have_been_denied() {
    let run = |mutation| {
        let mut world = World::new(7, 2, crate::fault::Faults::default(), mutation);
        let day = world.opens(1, 1);
        let entry = world.submits(1, day).unwrap();
        world.talk_all(2);
        let backup = world.nodes[0].back_up().unwrap();
        world.steps(1, entry, Step::Deny).unwrap();
        world.talk_all(3);
        // Everybody has seen the denial, so the place is given to another.
        assert!(world.submits(1, day).is_some());
        world.restores(0, backup);
        std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            world.steps(0, entry, Step::Accept)
        }))
    };
    assert!(matches!(run(Mutation::None), Ok(None)));
    assert!(
        run(Mutation::RelyOnAnybody).is_err(),
        "the check must see it"
    );
}

/// A new replica that others know accepts like anybody.
#[test]
fn a_new_replica_that_is_known_accepts_like_anybody() {
    let mut world = clinic_of(2);
    let backup = world.nodes[0].back_up().unwrap();
    world.restores(0, backup);
    world.talk_all(2);
    let day = world.opens(1, 1);
    let entry = world.submits(1, day).unwrap();
    world.talk_all(1);
    assert!(world.steps(0, entry, Step::Accept).is_some());
    assert!(world.replica(0).state.rows(&PATIENT).count() > 0);
    world.ends_well();
}
