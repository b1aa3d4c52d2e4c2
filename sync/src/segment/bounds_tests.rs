//! What honest writers may send in full, and what nobody may send at all.

use super::tests::{change, of_ops, round_trip};
use super::*;
use crate::id::RowId;
use crate::limits::{
    SEGMENT_COLUMNS_MAX, SEGMENT_FORMS_MAX, SEGMENT_KEYED_COLUMNS_MAX, SEGMENT_REPLICAS_MAX,
    SEGMENT_TEXTS_MAX,
};
use crate::op::{Action, Op, Value};

fn op(entity: u8, row: i64, fields: Vec<(u8, Value<'_>)>) -> Op<'_> {
    let row = RowId::from_i64(row).unwrap();
    Op {
        entity,
        action: Action::Set,
        row,
        fields,
    }
}

#[test]
fn a_full_segment_round_trips_and_no_more_fit() {
    let changes: Vec<_> = (0..=SEGMENT_CHANGES_MAX as i64)
        .map(|index| change(index << 20, of_ops(&[op(3, index + 1, vec![])])))
        .collect();
    assert_eq!(fitting(&changes), SEGMENT_CHANGES_MAX);
    round_trip(1, &changes[..SEGMENT_CHANGES_MAX]);
    let written = write::write(&changes);
    let bytes = assemble(1, changes.len(), written);
    assert_eq!(decode(&bytes), Err(SegmentError::TooLong));
    assert_eq!(summary(&bytes), Err(SegmentError::TooLong));
}

#[test]
fn more_forms_columns_and_keys_than_there_is_room_for_round_trip() {
    let mut ops = Vec::new();
    let forms = (SEGMENT_FORMS_MAX + 20) as i64;
    for round in 1..3 {
        for form in 0..forms {
            // The field numbers tell the forms apart; twelve fields fill the columns first.
            let first = (form % 128) as u8;
            let fields = (first..first + 12).map(|at| (at, Value::Int(form + i64::from(at))));
            ops.push(op((form / 128) as u8, round, fields.collect()));
            ops.push(op((form / 128) as u8, round, vec![(first, Value::Null)]));
        }
    }
    assert!(12 * forms as usize > SEGMENT_COLUMNS_MAX);
    round_trip(1, &[change(0, of_ops(&ops))]);

    // Each column goes on from its own past, per key.
    let columns = SEGMENT_KEYED_COLUMNS_MAX as i64 + 10;
    let keyed = |index: i64| {
        let key = index % 7;
        let mut fields = vec![(0, Value::Int(key))];
        let value = |at: i64| Value::Int((key * 7_919 + at * 104_729) << 20 | (index * at));
        fields.extend((1..).zip((0..columns).map(value)));
        op(9, index + 1, fields)
    };
    let ops: Vec<_> = (0..60).map(keyed).collect();
    round_trip(1, &[change(0, of_ops(&ops))]);
}

#[test]
fn more_texts_and_replicas_than_there_is_room_for_round_trip() {
    let texts: Vec<String> = (0..SEGMENT_TEXTS_MAX + 9)
        .map(|n| format!("text {n}"))
        .collect();
    let replicas = SEGMENT_REPLICAS_MAX as i64 + 9;
    let ops: Vec<_> = (0..)
        .zip(texts.iter().chain(&texts))
        .map(|(index, text)| {
            let row = ((index % replicas) << 32) + 1 + index;
            op(6, row, vec![(14, text.as_str().into())])
        })
        .collect();
    round_trip(1, &[change(0, of_ops(&ops))]);
}

#[test]
fn a_segment_that_grows_beyond_the_bound_is_refused() {
    let text = "x".repeat(SEGMENT_DECODED_BYTES_MAX / 8);
    let ops = of_ops(&[op(6, 1, vec![(14, text.as_str().into())])]);
    let changes: Vec<_> = (0..8).map(|index| change(index, ops.clone())).collect();
    assert_eq!(fitting(&changes), 7, "the framing is over the bound");
    round_trip(1, &changes[..7]);
    let bytes = assemble(1, 8, write::write(&changes));
    // Eight times the same text, written once.
    assert!(bytes.len() < SEGMENT_DECODED_BYTES_MAX / 7);
    assert_eq!(decode(&bytes), Err(SegmentError::TooLong));
}

fn with_text(length: u64, frame: &[u8]) -> Vec<u8> {
    let mut bytes = vec![VERSION as u8 | (text::Form::Zstd as u8) << 2, 1];
    put_u64(&mut bytes, length);
    put_u64(&mut bytes, frame.len() as u64);
    bytes.extend(frame);
    bytes
}

#[test]
fn text_that_lies_about_its_length_is_refused() {
    let zeros = |length: usize| zstd::bulk::compress(&vec![0; length], 19).unwrap();
    let bomb = zeros(SEGMENT_DECODED_BYTES_MAX);
    let refused = |length: u64, frame: &[u8]| decode(&with_text(length, frame)).unwrap_err();
    assert_eq!(
        refused(SEGMENT_DECODED_BYTES_MAX as u64, &bomb),
        SegmentError::TooLong
    );
    assert_eq!(refused(u64::MAX, &bomb), SegmentError::TooLong);
    assert_eq!(refused(1_000, &bomb), SegmentError::Damaged);
    assert_eq!(refused(1_001, &zeros(1_000)), SegmentError::Damaged);
    assert_eq!(refused(0, &[]), SegmentError::Damaged);
}

#[test]
fn other_versions_are_told_apart_from_damage() {
    let mut bytes = encode(1, &[change(0, [1, 4, 1, 1, 1])]);
    assert_eq!(decode(&[]), Err(SegmentError::Damaged));
    bytes[0] ^= 3;
    assert_eq!(decode(&bytes), Err(SegmentError::Version));
    assert_eq!(summary(&bytes), Err(SegmentError::Version));
}

#[test]
fn bytes_after_the_end_are_noticed() {
    for end in [0, 1, 255] {
        let mut bytes = encode(1, &[change(1 << 40, [1, 4, 1, 1, 1])]);
        bytes.extend([end; 6]);
        assert_eq!(decode(&bytes), Err(SegmentError::Damaged));
    }
}
