//! Rows 29 and 30: the places of a queue day. After every write in these tests, as in all others, the observer adds up
//! what exists anywhere.

use islet_sync::rules::QUEUE_RIGHT;

use crate::check;
use crate::fault::Faults;
use crate::logs::Taken;
use crate::mutation::Mutation;
use crate::queue::Step;
use crate::script::clinic_of;
use crate::world::World;

/// Cut off from each other, two nodes give out no more places than there are.
#[test]
fn nodes_that_are_cut_off_give_out_only_what_they_hold() {
    let mut world = clinic_of(2);
    let day = world.opens(0, 4);
    world.talk_all(1);
    assert!(world.submits(1, day).is_none(), "no rights, no place");
    world.hands(0, 1, day, 9).unwrap();
    assert!(
        world.submits(1, day).is_none(),
        "what is under way is nobody's yet"
    );
    world.talk_all(1);
    let places = [0, 0, 0, 1, 1, 1].map(|i| world.submits(i, day).is_some());
    assert_eq!(places, [true, true, false, true, true, false]);
    world.ends_well();
}

/// The giver dies after it sent rights; they were sent twice: they count once, for who got them.
#[test]
fn rights_that_were_handed_over_twice_count_once() {
    let mut world = clinic_of(3);
    let day = world.opens(0, 2);
    world.talk_all(2);
    world.hands(0, 1, day, 1).unwrap();
    world.talk(0, 1);
    world.talk(0, 1);
    world.crash(0);
    assert_eq!(
        [1, 1].map(|i| world.submits(i, day).is_some()),
        [true, false]
    );
    world.start(0);
    assert_eq!(
        [0, 0].map(|i| world.submits(i, day).is_some()),
        [true, false]
    );
    world.ends_well();
}

/// Two nodes cancel the same booking: one place comes free, not two.
#[test]
fn a_booking_that_was_cancelled_twice_frees_one_place() {
    let mut world = clinic_of(2);
    let day = world.opens(0, 1);
    let entry = world.submits(0, day).unwrap();
    world.talk_all(1);
    world.steps(0, entry, Step::Cancel).unwrap();
    world.steps(1, entry, Step::Cancel).unwrap();
    world.talk_all(2);
    assert_eq!(
        [0, 0, 1].map(|i| world.submits(i, day).is_some()),
        [true, false, false]
    );
    world.ends_well();
}

/// A denial frees its place when nobody can have accepted at the same time any more, and not before.
#[test]
fn a_denied_place_is_bound_until_all_have_seen_the_denial() {
    let run = |mutation| {
        let mut world = World::new(7, 3, Faults::default(), mutation);
        let day = world.opens(0, 1);
        let entry = world.submits(0, day).unwrap();
        world.talk_all(2);
        world.steps(0, entry, Step::Deny).unwrap();
        let early = world.submits(0, day).is_some();
        world.steps(1, entry, Step::Accept).unwrap();
        world.talk_all(2);
        (early, world.state_of(0, entry))
    };
    assert_eq!(run(Mutation::None), (false, "ACCEPTED".into()));
    let caught = std::panic::catch_unwind(|| run(Mutation::DenialFreesAtOnce));
    assert!(caught.is_err(), "the check must see it");

    let mut world = clinic_of(3);
    let day = world.opens(0, 1);
    let entry = world.submits(0, day).unwrap();
    world.talk_all(2);
    world.steps(0, entry, Step::Deny).unwrap();
    world.talk_all(1);
    assert!(
        world.submits(0, day).is_some(),
        "all have said that they have seen it"
    );
    world.ends_well();
}

/// A vector that names changes which are stored and not applied yet would free a denied place too early.
#[test]
fn what_is_stored_is_not_seen_yet() {
    let run = |mutation| {
        let mut world = World::new(7, 3, Faults::default(), mutation);
        let day = world.opens(0, 1);
        let entry = world.submits(0, day).unwrap();
        world.talk_all(2);
        // The denial is built on something of node 1 that node 2 does not have.
        world.reads(1, 100.0);
        world.talk(1, 0);
        world.steps(0, entry, Step::Deny).unwrap();
        let replica = world.replica_mut(0);
        replica.seal();
        let log = replica.db.logs.get(replica.me()).unwrap().clone();
        let seal = *log.seals.last_key_value().unwrap().1;
        let taken = world
            .replica_mut(2)
            .ingest(&log.who, 1, log.changes(), &seal, 0);
        assert_eq!(taken, Taken::New);
        world.commit(2);
        // Node 1 is told of all of it; node 2 only says where it stands.
        world.talk(0, 1);
        let vector = world.replica(2).vector();
        let (two, replica) = (world.replica(2).me(), world.replica_mut(0));
        crate::session::acknowledge(replica, two, &vector);
        let early = world.submits(0, day).is_some();
        world.steps(2, entry, Step::Accept).unwrap();
        early
    };
    assert!(!run(Mutation::None));
    let caught = std::panic::catch_unwind(|| run(Mutation::AckStored));
    assert!(caught.is_err(), "the check must see it");
}

/// A conflict is settled in favour of a denial, over a state that had freed the place for good: an acceptance that
/// nobody has heard of yet would then hold the place again. (Found by seed 166576.)
#[test]
fn settling_for_a_denial_does_not_take_back_a_place_that_was_given_away() {
    let mut world = clinic_of(3);
    let day = world.opens(0, 1);
    let entry = world.submits(0, day).unwrap();
    world.talk_all(2);
    world.steps(0, entry, Step::NoShow).unwrap();
    world.steps(1, entry, Step::Deny).unwrap();
    world.steps(2, entry, Step::Accept).unwrap();
    world.talk(0, 1);
    assert_eq!(world.state_of(0, entry), "NO_SHOW");
    world.submits(0, day).unwrap();
    assert!(
        world
            .does(0, |replica| replica.settle_entry(entry, "DENIED"))
            .is_none()
    );
    assert!(
        world
            .does(0, |replica| replica.settle_entry(entry, "NO_SHOW"))
            .is_some()
    );
    world.ends_well();
}

/// Cancelling and booking again race with an acceptance at another node.
#[test]
fn who_left_does_not_come_back_by_an_acceptance_that_did_not_know() {
    let mut world = clinic_of(2);
    let day = world.opens(0, 1);
    let entry = world.submits(0, day).unwrap();
    world.talk_all(1);
    world.steps(0, entry, Step::Cancel).unwrap();
    let again = world.submits(0, day).unwrap();
    world.steps(1, entry, Step::Accept).unwrap();
    world.ends_well();
    assert_eq!(
        (world.state_of(1, entry), world.state_of(1, again)),
        ("CANCELLED".into(), "PENDING".into())
    );
}

/// Capacity is cut below what is booked: what is booked stays, nothing more is given out.
#[test]
fn a_day_made_smaller_than_what_is_booked_keeps_what_is_booked() {
    let mut world = clinic_of(2);
    let day = world.opens(0, 4);
    for _ in 0..3 {
        world.submits(0, day).unwrap();
    }
    world.talk_all(1);
    world.does(1, |replica| replica.resize(day, 1)).unwrap();
    world.talk_all(1);
    world.does(0, |replica| replica.reconcile(day)).unwrap();
    assert!(world.submits(0, day).is_none());
    world.does(1, |replica| replica.resize(day, 5)).unwrap();
    world.talk_all(1);
    world.does(0, |replica| replica.reconcile(day)).unwrap();
    assert_eq!(
        [0, 0, 0].map(|i| world.submits(i, day).is_some()),
        [true, true, false]
    );
    world.ends_well();
}

/// A node is restored after it gave out places: it has no rights any more, and those places stay given out.
#[test]
fn a_restored_node_gives_out_nothing_twice() {
    let mut world = clinic_of(2);
    let day = world.opens(0, 2);
    world.talk_all(1);
    let backup = world.nodes[0].back_up().unwrap();
    world.submits(0, day).unwrap();
    world.submits(0, day).unwrap();
    world.restores(0, backup);
    assert!(world.submits(0, day).is_none());
    world.ends_well();
}

/// Row 30. A node is retired with rights: they lapse with the day, and nobody else takes them.
#[test]
fn the_rights_of_a_node_that_is_gone_lapse() {
    let mut world = clinic_of(3);
    let day = world.opens(0, 2);
    world.talk_all(1);
    world.hands(0, 1, day, 1).unwrap();
    world.talk_all(2);
    world.revoke(0, 1);
    world.talk_all(1);
    assert_eq!(
        [0, 0, 2].map(|i| world.submits(i, day).is_some()),
        [true, false, false]
    );
    world.ends_well();
    assert!(world.replica(0).state.rows(&QUEUE_RIGHT).count() > 2);
}

/// A patient is moved to another day at two nodes at once: each has spent a right of its own.
#[test]
fn whoever_is_moved_twice_holds_two_rights_until_somebody_sees_both() {
    let mut world = clinic_of(3);
    let days = [0, 1, 2].map(|i| world.opens(i, 1));
    let entry = world.submits(0, days[0]).unwrap();
    world.talk_all(2);
    world
        .does(1, |replica| replica.move_to(entry, days[1]))
        .unwrap();
    world
        .does(2, |replica| replica.move_to(entry, days[2]))
        .unwrap();
    world.talk_all(2);
    assert_eq!(
        [0, 1, 2].map(|i| world.submits(i, days[i]).is_some()),
        [true, false, false]
    );
    check::capacity(&world).unwrap();
    world.ends_well();
}
