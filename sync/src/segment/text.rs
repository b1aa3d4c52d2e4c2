//! The texts of a segment, one after the other, compressed where that helps.

use zstd::bulk;

use super::SegmentError;
use crate::limits::{SEGMENT_DECODED_BYTES_MAX, SEGMENT_TEXT_RATIO_MAX};
use crate::varint::{put_u64, take_u64};

/// zstd's own default: more costs a small computer time and hardly shrinks short texts.
const LEVEL: i32 = 3;
/// Below this zstd has nothing to win over its own framing.
const COMPRESSED_FROM_BYTES: usize = 64;

/// How texts are kept; a segment's first byte says it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    /// There are none.
    None,
    /// As they are.
    Plain,
    /// As one zstd frame.
    Zstd,
}

/// Chooses how to keep `text`, and the bytes to keep.
pub(super) fn pack(text: &[u8]) -> (Form, Vec<u8>) {
    if text.is_empty() {
        return (Form::None, Vec::new());
    }
    let mut plain = Vec::new();
    put_u64(&mut plain, text.len() as u64);
    plain.extend(text);
    if text.len() >= COMPRESSED_FROM_BYTES
        && let Ok(frame) = bulk::compress(text, LEVEL)
        && text.len() / frame.len() < SEGMENT_TEXT_RATIO_MAX
    {
        let mut packed = Vec::new();
        put_u64(&mut packed, text.len() as u64);
        put_u64(&mut packed, frame.len() as u64);
        packed.extend(frame);
        if packed.len() < plain.len() {
            return (Form::Zstd, packed);
        }
    }
    (Form::Plain, plain)
}

/// Takes the texts off the front of `input`.
pub(super) fn unpack(form: Form, input: &mut &[u8]) -> Result<Vec<u8>, SegmentError> {
    if form == Form::None {
        return Ok(Vec::new());
    }
    let length = take_length(input)?;
    if length > SEGMENT_DECODED_BYTES_MAX {
        return Err(SegmentError::TooLong);
    }
    if form == Form::Plain {
        return Ok(take(input, length)?.to_vec());
    }
    let frame_length = take_length(input)?;
    let frame = take(input, frame_length)?;
    if length / frame.len().max(1) >= SEGMENT_TEXT_RATIO_MAX {
        return Err(SegmentError::TooLong);
    }
    // In one call: zstd then writes straight into the buffer and needs no window of its own, and
    // a frame that holds more than it should fails when the buffer is full.
    let mut text = vec![0; length];
    let written = bulk::decompress_to_buffer(frame, text.as_mut_slice());
    if written.ok() != Some(length) {
        return Err(SegmentError::Damaged);
    }
    Ok(text)
}

fn take_length(input: &mut &[u8]) -> Result<usize, SegmentError> {
    let length = take_u64(input).ok_or(SegmentError::Damaged)?;
    usize::try_from(length).map_err(|_| SegmentError::TooLong)
}

fn take<'a>(input: &mut &'a [u8], length: usize) -> Result<&'a [u8], SegmentError> {
    let (head, tail) = input
        .split_at_checked(length)
        .ok_or(SegmentError::Damaged)?;
    *input = tail;
    Ok(head)
}
