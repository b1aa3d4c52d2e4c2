//! Placeholder until the columnar codec is merged: a count, then stamp and length-prefixed changes.

use std::borrow::Cow;

use thiserror::Error;

use crate::hlc::Hlc;
use crate::varint::{put_u64, take_u64};

/// One change of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// Its stamp.
    pub hlc: Hlc,
    /// Its operations.
    pub ops: Cow<'a, [u8]>,
}

/// A run of changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Seq of the first.
    pub first_seq: u64,
    /// In order.
    pub changes: Vec<Change<'static>>,
}

/// Not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("the segment is damaged")]
pub struct SegmentError;

/// The bytes of a run of changes.
#[must_use]
pub fn encode(first_seq: u64, changes: &[Change<'_>]) -> Vec<u8> {
    let mut out = Vec::new();
    put_u64(&mut out, first_seq);
    put_u64(&mut out, changes.len() as u64);
    for change in changes {
        put_u64(&mut out, change.hlc.to_i64().cast_unsigned());
        put_u64(&mut out, change.ops.len() as u64);
        out.extend(change.ops.iter());
    }
    out
}

/// # Errors
/// When these bytes are no segment.
pub fn decode(mut bytes: &[u8]) -> Result<Segment, SegmentError> {
    let input = &mut bytes;
    let first_seq = take_u64(input).ok_or(SegmentError)?;
    let count = take_u64(input).ok_or(SegmentError)?;
    let mut changes = Vec::new();
    for _ in 0..count {
        let hlc = Hlc::from_i64(take_u64(input).ok_or(SegmentError)?.cast_signed());
        let len =
            usize::try_from(take_u64(input).ok_or(SegmentError)?).map_err(|_| SegmentError)?;
        let (ops, rest) = input.split_at_checked(len).ok_or(SegmentError)?;
        *input = rest;
        changes.push(Change {
            hlc,
            ops: Cow::Owned(ops.to_vec()),
        });
    }
    Ok(Segment { first_seq, changes })
}
