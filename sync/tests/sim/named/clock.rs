//! Wrong clocks, and writes that no clock can order.

use islet_sync::hlc::Hlc;
use islet_sync::op::{Action, Op, Value};
use islet_sync::rules::SETTING;

use crate::node::Clock;
use crate::script::clinic_of;
use crate::world::World;

const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

fn sets(world: &mut World, i: usize, value: &str) -> Hlc {
    let fields = vec![
        (1, Value::Text("name".into())),
        (2, Value::Text(value.to_owned().into())),
    ];
    let row = islet_sync::id::RowId::from_i64(1).unwrap();
    let op = Op {
        entity: SETTING.code,
        action: Action::Set,
        row,
        fields,
    };
    world.does(i, |_| Some(vec![op])).unwrap();
    world.replica(i).db.hlc
}

fn is_set(world: &World, i: usize) -> String {
    world
        .replica(i)
        .state
        .element(&SETTING, 1, "name")
        .unwrap_or_default()
}

/// Row 6. One clock is ten years ahead: elsewhere all nodes follow it, refuse, or stop (Corrosion refuses at 300 ms).
#[test]
fn a_clock_ten_years_ahead_moves_nobody_and_loses_to_whoever_saw_its_write() {
    let mut world = clinic_of(2);
    world.nodes[0].clock = Clock {
        offset_ms: 10 * YEAR_MS,
        frozen_at: None,
    };
    let ahead = sets(&mut world, 0, "ahead");
    world.talk_all(1);
    assert_eq!(
        is_set(&world, 1),
        "ahead",
        "nothing is refused because of a clock"
    );
    let here = sets(&mut world, 1, "later");
    assert!(
        here < ahead,
        "the wrong clock has spoilt its own stamps only"
    );
    world.talk_all(1);
    assert_eq!(
        is_set(&world, 0),
        "later",
        "what was seen and replaced is gone, whatever clocks say"
    );
    world.ends_well();
}

/// Row 6. A clock that starts in 1970, stands still, or is set back: stamps go on growing.
#[test]
fn a_clock_without_battery_never_takes_a_stamp_back() {
    let mut world = clinic_of(2);
    let before = sets(&mut world, 0, "a");
    world.nodes[0].clock = Clock {
        offset_ms: -50 * YEAR_MS,
        frozen_at: None,
    };
    let back = sets(&mut world, 0, "b");
    world.crash(0);
    world.start(0);
    let after_start = sets(&mut world, 0, "c");
    world.nodes[0].clock = Clock {
        offset_ms: 0,
        frozen_at: Some(0),
    };
    let frozen = sets(&mut world, 0, "d");
    assert!(before < back && back < after_start && after_start < frozen);
    world.ends_well();
    assert_eq!(is_set(&world, 1), "d");
}

/// Row 7. More writes in one millisecond than the counter holds.
#[test]
fn a_full_counter_carries_into_the_milliseconds() {
    let full = (0..0x1_0000).fold(Hlc::default().tick(1000), |hlc, _| hlc.tick(1000));
    assert_eq!(full.millis(), 1001);
    assert!(full > Hlc::default().tick(1000));
}

/// Row 15. The same stamp at two nodes and other values: elsewhere they stay apart for ever
/// (<https://github.com/superfly/corrosion/issues/136>).
#[test]
fn equal_stamps_end_in_one_value_everywhere() {
    let mut world = clinic_of(3);
    for i in 0..3 {
        world.nodes[i].clock = Clock {
            offset_ms: YEAR_MS,
            frozen_at: Some(1_767_225_600_000),
        };
    }
    let stamps: Vec<Hlc> = ["a", "b", "c"]
        .iter()
        .enumerate()
        .map(|(i, value)| sets(&mut world, i, value))
        .collect();
    assert!(stamps.windows(2).all(|pair| pair[0] == pair[1]));
    world.ends_well();
    assert_eq!([0, 1, 2].map(|i| is_set(&world, i)), ["c", "c", "c"]);
}
