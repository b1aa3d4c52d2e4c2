//! A change: the operations of one committed transaction, as bytes.
//!
//! ```text
//! change := version(1 byte, = 1) op*
//! op     := entity(1) action(1) length(varint) row(varint) field*
//! field  := number(1) value
//! value  := 00 | 01 int(zigzag) | 02 tenths(zigzag) | 03 ieee754(8, big endian)
//!         | 04 length(varint) utf8 | 05 length(varint, <= 1024) bytes
//! ```
//!
//! One change has one encoding. A decoder never allocates more than the input is long, times a
//! constant.

use thiserror::Error;

use crate::id::RowId;
use crate::op::{Action, Op, Value, put_op};

/// The first byte of every change.
const VERSION: u8 = 1;
/// Largest encoded change, bytes. A batch upload of 1,000 readings with long notes stays below.
pub const CHANGE_BYTES_MAX: usize = 4 << 20;

/// Why bytes are not a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum DecodeError {
    /// Over [`CHANGE_BYTES_MAX`].
    #[error("the change is longer than {CHANGE_BYTES_MAX} bytes")]
    TooLong,
    /// Written by a version that this one does not know.
    #[error("the change has an unknown version")]
    Version,
    /// Cut, not canonical, or not a change at all.
    #[error("the change is damaged at byte {0}")]
    Damaged(usize),
}

/// Gathers the operations of one transaction, in their order.
#[derive(Debug, Default)]
pub struct Encoder(Vec<u8>);

impl Encoder {
    /// Appends an operation. `fields` must be in ascending order of number.
    pub fn push(&mut self, entity: u8, action: Action, row: RowId, fields: &[(u8, Value<'_>)]) {
        debug_assert!(
            fields.windows(2).all(|pair| pair[0].0 < pair[1].0),
            "fields out of order"
        );
        if self.0.is_empty() {
            self.0.push(VERSION);
        }
        put_op(&mut self.0, entity, action, row, fields);
    }

    /// The bytes of the change so far; empty when nothing was pushed.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Starts another change, keeping the memory.
    pub fn clear(&mut self) {
        self.0.clear();
    }
}

/// # Errors
/// See [`DecodeError`]; never panics, whatever the bytes are.
pub fn decode(bytes: &[u8]) -> Result<Vec<Op<'_>>, DecodeError> {
    if bytes.len() > CHANGE_BYTES_MAX {
        return Err(DecodeError::TooLong);
    }
    let Some((&VERSION, mut input)) = bytes.split_first() else {
        return Err(DecodeError::Version);
    };
    let mut ops = Vec::new();
    while !input.is_empty() {
        let at = bytes.len() - input.len();
        ops.push(Op::take(&mut input).ok_or(DecodeError::Damaged(at))?);
    }
    Ok(ops)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::BYTES_MAX;
    use crate::varint::put_u64;
    use proptest::prelude::*;

    fn encode(ops: &[Op<'_>]) -> Vec<u8> {
        let mut encoder = Encoder::default();
        for op in ops {
            encoder.push(op.entity, op.action, op.row, &op.fields);
        }
        encoder.bytes().to_vec()
    }

    fn value() -> impl Strategy<Value = Value<'static>> {
        prop_oneof![
            Just(Value::Null),
            any::<i64>().prop_map(Value::Int),
            (-100_000i64..100_000).prop_map(|tenths| Value::Real(tenths as f64 / 10.0)),
            any::<f64>()
                .prop_filter("finite", |v| v.is_finite())
                .prop_map(Value::Real),
            ".{0,20}".prop_map(|text| Value::Text(text.into())),
            prop::collection::vec(any::<u8>(), 0..40).prop_map(|bytes| Value::Bytes(bytes.into())),
        ]
    }

    fn op() -> impl Strategy<Value = Op<'static>> {
        let action = prop_oneof![
            Just(Action::Create),
            Just(Action::Set),
            Just(Action::Add),
            Just(Action::Remove)
        ];
        let fields = prop::collection::btree_map(any::<u8>(), value(), 0..8);
        (any::<u8>(), action, 1..u32::MAX, fields).prop_map(|(entity, action, row, fields)| Op {
            entity,
            action,
            row: RowId::from_i64(row.into()).unwrap(),
            fields: fields.into_iter().collect(),
        })
    }

    #[test]
    fn a_reading_is_small_and_its_bytes_are_fixed() {
        let reading = Op {
            entity: 4,
            action: Action::Create,
            row: RowId::from_i64(41).unwrap(),
            fields: vec![
                (1, Value::Int(7)),
                (2, Value::Real(132.0)),
                (5, Value::Int(1_772_755_449_000)),
                (8, Value::Null),
            ],
        };
        let golden = "010401122901010e0202d0140501d0d2ab8798670800";
        let hex: String = encode(&[reading])
            .iter()
            .map(|b| format!("{b:02x}"))
            .collect();
        assert_eq!(hex, golden);
    }

    #[test]
    fn bytes_have_a_longest_length() {
        let with = |len: usize| {
            let mut body = vec![1, 1, 5];
            put_u64(&mut body, len as u64);
            body.resize(body.len() + len, 0xa5);
            let mut bytes = vec![VERSION, 70, 3];
            put_u64(&mut bytes, body.len() as u64);
            bytes.extend(body);
            bytes
        };
        let longest = Op {
            entity: 70,
            action: Action::Add,
            row: RowId::from_i64(1).unwrap(),
            fields: vec![(1, Value::from(&[0xa5; BYTES_MAX]))],
        };
        assert_eq!(encode(std::slice::from_ref(&longest)), with(BYTES_MAX));
        assert_eq!(decode(&with(BYTES_MAX)), Ok(vec![longest]));
        assert_eq!(decode(&with(BYTES_MAX + 1)), Err(DecodeError::Damaged(1)));
    }

    proptest! {
        #[test]
        fn changes_round_trip(ops in prop::collection::vec(op(), 1..6)) {
            let bytes = encode(&ops);
            prop_assert_eq!(decode(&bytes), Ok(ops));
        }

        #[test]
        fn any_bytes_decode_or_fail_and_have_one_encoding(bytes: Vec<u8>) {
            if let Ok(ops) = decode(&bytes) && !ops.is_empty() {
                prop_assert_eq!(encode(&ops), bytes);
            }
        }

        #[test]
        fn a_cut_change_is_never_taken_for_a_whole_op(ops in prop::collection::vec(op(), 1..4), cut in 1usize..200) {
            let bytes = encode(&ops);
            if cut < bytes.len() && let Ok(read) = decode(&bytes[..cut]) {
                prop_assert!(read.len() < ops.len());
                prop_assert_eq!(&ops[..read.len()], read.as_slice());
            }
        }
    }
}
