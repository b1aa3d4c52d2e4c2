//! A segment: a run of changes of one replica, as it lies on the disk, in the cloud and on the
//! wire.
//!
//! Operations are taken apart into columns; each column guesses its next number, and only how far
//! the guess is off is written, by an arithmetic coder whose odds adapt. What a column means is
//! never known here, so that a segment with entities of a later version is coded as well as any.
//! `docs/SYNC.md`, section "Segment", gives the format to the byte.
//!
//! Lossless to the byte for whatever is called a change. It must never judge changes, hash, sign,
//! or set memory aside on the word of its input.

mod choose;
mod coder;
mod column;
mod layout;
mod model;
mod number;
mod parse;
mod plan;
mod predict;
mod read;
mod text;
mod write;

use std::borrow::Cow;

use thiserror::Error;

use crate::hlc::Hlc;
use crate::limits::{SEGMENT_BYTES_MAX, SEGMENT_CHANGES_MAX, SEGMENT_DECODED_BYTES_MAX};
use crate::varint::{put_u64, take_u64};
use write::Written;

/// The low two bits of a segment's first number. Above them, two bits say how texts are kept, and
/// the rest is the count of changes, less one.
const VERSION: u64 = 1;

/// A change without its dot: the replica is the segment's, the seq follows from the position.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change<'a> {
    /// When it was made.
    pub hlc: Hlc,
    /// Its operations, as [`crate::change::Encoder`] makes them.
    pub ops: Cow<'a, [u8]>,
}

/// Why bytes are not a segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum SegmentError {
    /// Made by a version that this one does not know.
    #[error("the segment has an unknown version")]
    Version,
    /// Over a bound of [`crate::limits`].
    #[error("the segment is longer than a segment may be")]
    TooLong,
    /// Cut, altered, or not a segment at all.
    #[error("the segment is damaged")]
    Damaged,
}

/// A decoded segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    /// The seq of the first change.
    pub first_seq: u64,
    ops: Vec<u8>,
    spans: Vec<Span>,
}

/// Where a change ends among the bytes of all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Span {
    hlc: Hlc,
    end: usize,
}

/// What a segment's first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// The seq of the first change.
    pub first_seq: u64,
    /// How many changes there are, 1 to [`SEGMENT_CHANGES_MAX`].
    pub count: usize,
}

impl Summary {
    /// The seq of the last change.
    #[must_use]
    pub const fn last_seq(&self) -> u64 {
        self.first_seq + (self.count as u64 - 1)
    }
}

impl Segment {
    /// How many changes there are; never 0.
    #[must_use]
    pub const fn count(&self) -> usize {
        self.spans.len()
    }

    /// The changes with their seqs, in order.
    pub fn changes(&self) -> impl Iterator<Item = (u64, Change<'_>)> {
        let mut start = 0;
        self.spans
            .iter()
            .zip(self.first_seq..)
            .map(move |(span, seq)| {
                let ops = Cow::Borrowed(&self.ops[start..span.end]);
                start = span.end;
                (seq, Change { hlc: span.hlc, ops })
            })
    }
}

/// How many of `changes`, from the first on, fit in one segment. At least 1 when there is one:
/// no change is longer than a segment.
#[must_use]
pub fn fitting(changes: &[Change<'_>]) -> usize {
    let mut bytes = 0;
    let fits = |change: &&Change<'_>| {
        bytes += change.ops.len();
        bytes <= SEGMENT_DECODED_BYTES_MAX
    };
    changes
        .iter()
        .take(SEGMENT_CHANGES_MAX)
        .take_while(fits)
        .count()
}

/// The segment of `changes`, of which the first has the seq `first_seq`. The same changes give the
/// same bytes on every computer.
///
/// There must be at least one and no more than [`fitting`] says; the segment of more is refused by
/// everybody's [`decode`].
#[must_use]
pub fn encode(first_seq: u64, changes: &[Change<'_>]) -> Vec<u8> {
    debug_assert!(
        !changes.is_empty() && fitting(changes) == changes.len(),
        "{}",
        changes.len()
    );
    assemble(first_seq, changes.len(), write::write(changes))
}

fn assemble(first_seq: u64, count: usize, written: Written) -> Vec<u8> {
    let mut out = Vec::with_capacity(written.text.len() + written.coded.len() + 16);
    let count = (count as u64).saturating_sub(1);
    put_u64(
        &mut out,
        VERSION | (written.text_form as u64) << 2 | count << 4,
    );
    put_u64(&mut out, first_seq);
    out.extend(written.text);
    out.extend(written.coded);
    out
}

/// # Errors
/// See [`SegmentError`]; never panics, whatever the bytes are. What comes out is what was put in
/// only if the chain of the changes says so: damage is noticed here often, but not always.
pub fn decode(bytes: &[u8]) -> Result<Segment, SegmentError> {
    let (summary, text_form, mut input) = head(bytes)?;
    let text = text::unpack(text_form, &mut input)?;
    let (ops, spans) = read::read(summary.count, &text, input)?;
    Ok(Segment {
        first_seq: summary.first_seq,
        ops,
        spans,
    })
}

/// What a segment holds, without decoding it.
///
/// # Errors
/// See [`SegmentError`]. A good summary does not promise that the rest can be decoded.
pub fn summary(bytes: &[u8]) -> Result<Summary, SegmentError> {
    head(bytes).map(|(summary, _, _)| summary)
}

fn head(bytes: &[u8]) -> Result<(Summary, text::Form, &[u8]), SegmentError> {
    if bytes.len() > SEGMENT_BYTES_MAX {
        return Err(SegmentError::TooLong);
    }
    let mut input = bytes;
    let head = take_u64(&mut input).ok_or(SegmentError::Damaged)?;
    if head & 3 != VERSION {
        return Err(SegmentError::Version);
    }
    let text_form = match head >> 2 & 3 {
        0 => text::Form::None,
        1 => text::Form::Plain,
        2 => text::Form::Zstd,
        _ => return Err(SegmentError::Damaged),
    };
    let count = usize::try_from((head >> 4) + 1).map_err(|_| SegmentError::TooLong)?;
    if count > SEGMENT_CHANGES_MAX {
        return Err(SegmentError::TooLong);
    }
    let first_seq = take_u64(&mut input).ok_or(SegmentError::Damaged)?;
    if first_seq.checked_add(count as u64).is_none() {
        return Err(SegmentError::Damaged);
    }
    Ok((Summary { first_seq, count }, text_form, input))
}

#[cfg(test)]
mod bounds_tests;
#[cfg(test)]
mod tests;
