//! What the tests of the wire format share: inputs that never change, and a generator.

use islet_sync::change::Encoder;
use islet_sync::hlc::Hlc;
use islet_sync::id::RowId;
use islet_sync::op::{Action, Value};
use islet_sync::segment::Change;

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// A number below `bound`.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % bound
    }
}

const OWN: i64 = 0x0a_bcde << 32;
const OTHER: i64 = 0x12_3456 << 32;
const START_MS: i64 = 1_772_449_200_000;

fn row(id: i64) -> RowId {
    RowId::from_i64(id).unwrap()
}

fn change(ms: i64, ops: &[u8]) -> Change<'static> {
    let hlc = Hlc::default().tick(ms);
    Change {
        hlc,
        ops: ops.to_vec().into(),
    }
}

/// The named inputs of the golden files: first seq and changes.
pub(crate) fn inputs() -> Vec<(&'static str, u64, Vec<Change<'static>>)> {
    vec![
        ("lone-reading", 40_000, sticks(1)),
        ("finger-sticks", 1, sticks(32)),
        ("sensor-upload", 1 << 40, vec![sensor(96)]),
        ("everything", 7, everything()),
        ("long-texts", 300, long_texts()),
    ]
}

/// Readings of a few patients of two replicas, one in four with a note.
fn sticks(count: i64) -> Vec<Change<'static>> {
    let mut dice = Dice(1);
    let mut now = START_MS;
    (0..count)
        .map(|index| {
            now += 1 + dice.below(600_000).cast_signed();
            let replica = if dice.below(3) == 0 { OTHER } else { OWN };
            let note = ["Antes de dormir", "Comí afuera"].get(dice.below(8) as usize);
            let mut encoder = Encoder::default();
            encoder.push(
                3,
                Action::Create,
                row(OWN + 4_000 + index),
                &[
                    (1, Value::Int(replica + 1 + dice.below(40).cast_signed())),
                    (2, Value::Real(60.0 + dice.below(200) as f64)),
                    (3, Value::Int(dice.below(7).cast_signed())),
                    (4, Value::Int(1)),
                    (5, Value::Int(1)),
                    (6, Value::Int(now)),
                    (7, Value::Int(now)),
                    (8, Value::from(note.copied())),
                ],
            );
            change(now, encoder.bytes())
        })
        .collect()
}

/// One upload of a sensor: a value every three minutes, in tenths.
fn sensor(count: i64) -> Change<'static> {
    let mut dice = Dice(2);
    let mut tenths = 1_200;
    let mut encoder = Encoder::default();
    for index in 0..count {
        tenths += dice.below(61).cast_signed() - 30;
        encoder.push(
            3,
            Action::Create,
            row(OWN + 9_000 + index),
            &[
                (1, Value::Int(OWN + 17)),
                (2, Value::Real(tenths as f64 / 10.0)),
                (3, Value::Int(6)),
                (4, Value::Int(3)),
                (5, Value::Int(1)),
                (6, Value::Int(START_MS + 4_321 + 180_000 * index)),
                (7, Value::Int(START_MS + 100_000_000)),
                (8, Value::Null),
            ],
        );
    }
    change(START_MS + 100_000_000, encoder.bytes())
}

/// Every kind of value and action, extreme numbers, and what this version does not understand.
fn everything() -> Vec<Change<'static>> {
    let mut encoder = Encoder::default();
    let key: Vec<u8> = (0..32).collect();
    encoder.push(
        200,
        Action::Create,
        row((1 << 53) - 1),
        &[
            (0, Value::Null),
            (1, Value::Int(i64::MIN)),
            (2, Value::Int(i64::MAX)),
            (9, Value::Real(-0.1)),
            (10, Value::Real(std::f64::consts::PI)),
            (11, Value::Real(-0.0)),
            (200, Value::from("ñandú")),
            (254, Value::from("")),
            (255, Value::from(key.as_slice())),
        ],
    );
    encoder.push(1, Action::Set, row(5), &[(2, Value::from("ñandú"))]);
    encoder.push(64, Action::Add, row(5), &[(1, Value::from("ADMIN"))]);
    encoder.push(64, Action::Remove, row(5), &[(1, Value::from("ADMIN"))]);
    encoder.push(2, Action::Set, row(5), &[]);
    let good = encoder.bytes().to_vec();
    let unknown_action = [1, 3, 77, 3, 1, 9, 9];
    let unknown_version = [2, 1, 2, 3, 250, 0, 0, 0, 255];
    let unknown_kind = [1, 3, 1, 4, 1, 1, 6, 41, 4, 1, 1, 1];
    let stamps = [0, i64::MAX, -1, 65_535, 65_536];
    let bytes: [&[u8]; 5] = [&good, &unknown_action, &[], &unknown_version, &unknown_kind];
    stamps
        .into_iter()
        .zip(bytes)
        .map(|(stamp, ops)| Change {
            hlc: Hlc::from_i64(stamp),
            ops: ops.to_vec().into(),
        })
        .collect()
}

/// Texts that zstd makes shorter.
fn long_texts() -> Vec<Change<'static>> {
    let change = |index: i64| {
        let text =
            format!("El paciente {index} trajo el medidor y la libreta; se revisó la dosis.");
        let mut encoder = Encoder::default();
        encoder.push(6, Action::Create, row(index), &[(14, Value::from(&text))]);
        change(START_MS, encoder.bytes())
    };
    (1..=20).map(change).collect()
}
