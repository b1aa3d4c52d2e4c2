//! Round trips, damage, and what a segment must not grow beyond.

use super::*;
use crate::change::Encoder;
use crate::id::RowId;
use crate::op::{Action, Op, Value};
use proptest::prelude::*;

pub(super) fn change(hlc: i64, ops: impl Into<Vec<u8>>) -> Change<'static> {
    Change {
        hlc: Hlc::from_i64(hlc),
        ops: Cow::Owned(ops.into()),
    }
}

pub(super) fn of_ops(ops: &[Op<'_>]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for op in ops {
        encoder.push(op.entity, op.action, op.row, &op.fields);
    }
    encoder.bytes().to_vec()
}

/// Encodes and decodes; fails unless all that went in comes out.
#[track_caller]
pub(super) fn round_trip(first_seq: u64, changes: &[Change<'_>]) -> usize {
    let bytes = encode(first_seq, changes);
    assert_eq!(bytes, encode(first_seq, changes), "same input, other bytes");
    let segment = decode(&bytes).unwrap();
    let (seqs, read): (Vec<u64>, Vec<Change<'_>>) = segment.changes().unzip();
    assert!(read == changes, "read otherwise than written: {changes:?}");
    let expected: Vec<u64> = (first_seq..).take(changes.len()).collect();
    assert_eq!(seqs, expected);
    let summary = summary(&bytes).unwrap();
    assert_eq!(
        (summary.first_seq, summary.count),
        (first_seq, changes.len())
    );
    assert_eq!(segment.count(), changes.len());
    bytes.len()
}

fn int() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        -3i64..4,
        (0i64..1 << 21, 1i64..500).prop_map(|(replica, counter)| (replica << 32) | counter),
        1_700_000_000_000i64..1_700_000_900_000,
        Just(i64::MIN),
        Just(i64::MAX),
    ]
}

fn value() -> impl Strategy<Value = Value<'static>> {
    prop_oneof![
        Just(Value::Null),
        int().prop_map(Value::Int),
        (-5_000i64..5_000).prop_map(|tenths| Value::Real(tenths as f64 / 10.0)),
        any::<f64>()
            .prop_filter("finite", |v| v.is_finite())
            .prop_map(Value::Real),
        "[a-c]{0,2}|.{0,60}".prop_map(|text| Value::Text(text.into())),
        prop::collection::vec(any::<u8>(), 0..140).prop_map(|bytes| Value::Bytes(bytes.into())),
    ]
}

fn op() -> impl Strategy<Value = Op<'static>> {
    let action = prop::sample::select(vec![
        Action::Create,
        Action::Set,
        Action::Add,
        Action::Remove,
    ]);
    let entity = prop_oneof![1u8..4, any::<u8>()];
    let fields = prop::collection::btree_map(prop_oneof![1u8..5, any::<u8>()], value(), 0..8);
    let row = (0i64..1 << 21, 1i64..u32::MAX.into());
    (entity, action, row, fields).prop_map(|(entity, action, (replica, counter), fields)| Op {
        entity,
        action,
        row: RowId::from_i64((replica << 32) | counter).unwrap(),
        fields: fields.into_iter().collect(),
    })
}

/// Canonical changes, and bytes that are none.
fn any_change() -> impl Strategy<Value = Change<'static>> {
    let canonical = || prop::collection::vec(op(), 0..6).prop_map(|ops| of_ops(&ops));
    let ops = prop_oneof![
        8 => canonical(),
        1 => prop::collection::vec(any::<u8>(), 0..40),
        // An unknown action, version or tag in what else is canonical.
        2 => (canonical(), any::<prop::sample::Index>(), any::<u8>()).prop_map(|(mut ops, at, byte)| {
            if !ops.is_empty() {
                let at = at.index(ops.len());
                ops[at] = byte;
            }
            ops
        }),
    ];
    let hlc = prop_oneof![any::<i64>(), (0i64..1_000).prop_map(|ms| ms << 16), 0i64..4];
    (hlc, ops).prop_map(|(hlc, ops)| change(hlc, ops))
}

#[test]
fn the_least_changes_round_trip() {
    let cases = [
        &[][..],
        &[1],
        &[0],
        &[1, 4, 1, 0],
        &[1, 0, 0, 1, 0],
        &[1, 4, 1, 1, 41],
        &[2, 1],
    ];
    for ops in cases {
        round_trip(1, &[change(0, ops)]);
        round_trip(u64::MAX - 2, &[change(-1, ops), change(i64::MIN, ops)]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]
    #[test]
    fn changes_round_trip(
        first_seq in 0u64..u64::MAX >> 1,
        changes in prop::collection::vec(any_change(), 1..12),
    ) {
        round_trip(first_seq, &changes);
    }

    #[test]
    fn regular_columns_round_trip(
        columns in prop::collection::vec((0u8..6, any::<i32>(), 1i64..200_000), 1..6),
        rows in prop::collection::vec((0i64..50, 0i64..4, any::<u16>()), 1..80),
        start_ms in 0i64..1 << 47,
        unit in prop::sample::select(vec![0i64, 1, 10, 1_000, 180_000]),
    ) {
        let mut ms = start_ms;
        let changes: Vec<_> = (0..).zip(&rows).map(|(index, (wait, key, noise))| {
            ms += wait * unit;
            let mut fields = vec![(1, Value::Int(*key))];
            for (number, (pattern, base, step)) in (2..).zip(&columns) {
                let (base, noise) = (i64::from(*base), i64::from(*noise));
                fields.push((number, match pattern {
                    0 => Value::Int(base + step * index),
                    1 => Value::Int(base + key * 1_000_000_000 + step * index),
                    2 => Value::Int(ms + base),
                    3 => Value::Int(noise * unit),
                    4 => Value::Int(((key * step) << 32) + index),
                    _ => Value::Real((noise * unit % 9_000) as f64 / 10.0),
                }));
            }
            let row = RowId::from_i64(((key * 7) << 32) + 1 + index).unwrap();
            let op = Op { entity: 3, action: Action::Create, row, fields };
            change(ms << 16, of_ops(&[op]))
        }).collect();
        round_trip(7, &changes);
    }

    #[test]
    fn any_bytes_decode_or_fail(bytes: Vec<u8>, form in 0u64..3, count in 0u64..100) {
        let _ = decode(&bytes);
        let mut framed = Vec::new();
        put_u64(&mut framed, VERSION | form << 2 | count << 4);
        framed.push(1);
        framed.extend(&bytes);
        let _ = decode(&framed);
    }
}
