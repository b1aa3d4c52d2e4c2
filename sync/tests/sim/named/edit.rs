//! Two people at two nodes who do not know of each other.

use islet_sync::op::Value;
use islet_sync::rules::READING;

use crate::script::clinic_of;

/// Two corrections that crossed are both kept and shown, until somebody who saw both settles it.
#[test]
fn corrections_that_crossed_are_shown_until_they_are_settled() {
    let mut world = clinic_of(3);
    let reading = world.reads(0, 100.0);
    world.talk_all(2);
    world.corrects(0, reading, 110.0, 1);
    world.corrects(1, reading, 120.0, 1);
    world.talk_all(2);
    assert_eq!([0, 1, 2].map(|i| world.crossed(i, reading)), [2, 2, 2]);
    world.corrects(2, reading, 120.0, 1);
    world.ends_well();
    assert_eq!([0, 1, 2].map(|i| world.crossed(i, reading)), [0, 0, 0]);
    assert_eq!(world.glucose(0, reading), Value::Real(120.0));
}

/// Row 13. One deletes, one corrects: elsewhere the correction is dropped (Simple, ADR 006
/// <https://github.com/simpledotorg/simple-android/tree/master/doc/arch>). It survives here, and both are shown.
#[test]
fn a_correction_survives_a_deletion_that_did_not_know_of_it() {
    let mut world = clinic_of(2);
    let reading = world.reads(0, 100.0);
    world.talk_all(1);
    world.corrects(0, reading, 100.0, 2);
    world.corrects(1, reading, 130.0, 1);
    world.ends_well();
    for i in 0..2 {
        assert_eq!(world.glucose(i, reading), Value::Real(130.0));
        let row = world.replica(i).state.row(&READING, reading.get()).unwrap();
        assert_eq!(row.int(5), Some(1));
        assert_eq!(world.crossed(i, reading), 2);
    }
}

/// Row 14. Both delete: no conflict, and no second deletion undoes the first
/// (<https://github.com/superfly/corrosion/issues/352>, <https://github.com/apache/couchdb/issues/1418>).
#[test]
fn two_deletions_are_one_and_what_is_entered_again_is_new() {
    let mut world = clinic_of(2);
    let reading = world.reads(0, 100.0);
    world.talk_all(1);
    world.corrects(0, reading, 100.0, 2);
    world.corrects(1, reading, 100.0, 2);
    let again = world.reads(1, 100.0);
    assert_ne!(reading, again);
    world.ends_well();
    for i in 0..2 {
        let status = |id: islet_sync::id::RowId| {
            world
                .replica(i)
                .state
                .row(&READING, id.get())
                .unwrap()
                .int(5)
        };
        assert_eq!((status(reading), status(again)), (Some(2), Some(1)));
        assert_eq!(world.crossed(i, reading), 0);
    }
}
