//! Frames: what two nodes say to each other, cut into bounded pieces.
//!
//! ```text
//! frame := kind(1) length(varint) payload(length)
//! ```
//!
//! The payload is opaque here. Each kind has a bound of its own, which is looked at before a byte of
//! the payload is kept: a frame that claims more is refused, and so is one of an unknown kind,
//! unless its kind has the highest bit set. Those are additions that an older node may pass over.

use thiserror::Error;

use crate::limits::SEGMENT_BYTES_MAX;
use crate::varint::{put_u64, take_u64};

/// Kinds from here on are passed over by a node that does not know them.
const OPTIONAL: u8 = 0x80;
/// Most bytes of a frame that is passed over.
const OPTIONAL_BYTES_MAX: usize = 64 * 1024;
/// Most bytes before a payload: the kind, and a length that fits any bound.
const HEADER_BYTES_MAX: usize = 1 + 5;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// Who speaks, what it can do, and a digest of what it knows.
    Hello = 1,
    /// A version vector with heads.
    Vector = 2,
    /// A replica: its number, key and certificate.
    Replica = 3,
    /// Changes of one replica.
    Segment = 4,
    /// Where a log stood before, for a peer that has another version of it.
    Trail = 5,
    /// What was made durable.
    Ack = 6,
    /// Nothing follows. A stream that stops without it was cut. Empty, or one byte 1: there is more,
    /// and whoever wants it asks again.
    End = 7,
    /// The link lives; carries the sender's clock.
    Heartbeat = 8,
    /// Why the sender stops.
    Error = 9,
    /// Asks for queue rights, or grants them.
    Rights = 10,
}

impl Kind {
    /// The kind with this number, if there is one.
    #[must_use]
    pub const fn from_code(code: u8) -> Option<Self> {
        Some(match code {
            1 => Self::Hello,
            2 => Self::Vector,
            3 => Self::Replica,
            4 => Self::Segment,
            5 => Self::Trail,
            6 => Self::Ack,
            7 => Self::End,
            8 => Self::Heartbeat,
            9 => Self::Error,
            10 => Self::Rights,
            _ => return None,
        })
    }

    /// Most bytes of its payload.
    #[must_use]
    pub const fn bytes_max(self) -> usize {
        match self {
            Self::Hello | Self::Trail | Self::Error | Self::Heartbeat => 1024,
            // A thousand replicas of some 60 bytes.
            Self::Vector | Self::Ack => 64 * 1024,
            Self::Replica | Self::Rights => 4 * 1024,
            // The largest segment, after its seal.
            Self::Segment => SEGMENT_BYTES_MAX + 1024,
            Self::End => 1,
        }
    }
}

/// One frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Its bytes.
    pub payload: Vec<u8>,
}

/// Why bytes are not frames. The stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum FrameError {
    /// A kind that must be understood and is not.
    #[error("a frame of the unknown kind {0}: the other node may be of a newer version")]
    Unknown(u8),
    /// A payload over the bound of its kind.
    #[error("a frame of kind {0} claims to be longer than it may be")]
    TooLong(u8),
    /// The length is not a canonical varint.
    #[error("a frame of kind {0} has a damaged length")]
    Length(u8),
}

impl Frame {
    /// A frame of `kind`.
    #[must_use]
    pub const fn new(kind: Kind, payload: Vec<u8>) -> Self {
        Self { kind, payload }
    }

    /// The end of a stream.
    #[must_use]
    pub const fn end() -> Self {
        Self::new(Kind::End, Vec::new())
    }

    /// The end of a stream that was stopped so that others get their turn.
    #[must_use]
    pub fn more() -> Self {
        Self::new(Kind::End, vec![1])
    }

    /// Appends the bytes of the frame.
    ///
    /// # Errors
    /// [`FrameError::TooLong`] when no receiver would take it.
    pub fn encode(&self, out: &mut Vec<u8>) -> Result<(), FrameError> {
        let code = self.kind as u8;
        if self.payload.len() > self.kind.bytes_max() {
            return Err(FrameError::TooLong(code));
        }
        out.push(code);
        put_u64(out, self.payload.len() as u64);
        out.extend_from_slice(&self.payload);
        Ok(())
    }
}

/// Takes frames off a stream that arrives in pieces of any size.
///
/// Holds one unfinished frame at most, and of it only bytes that have arrived.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    /// Where the first byte that was not taken yet is.
    start: usize,
}

impl Decoder {
    /// Adds bytes. The caller takes every frame before it adds more, so that the buffer keeps to
    /// one frame and one piece.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame; `None` when more bytes are needed.
    ///
    /// # Errors
    /// [`FrameError`], as soon as the header shows it, and again at each further call.
    pub fn take(&mut self) -> Result<Option<Frame>, FrameError> {
        while let Some((code, header, length)) = header(&self.buffer[self.start..])? {
            let begin = self.start + header;
            let Some(payload) = self.buffer.get(begin..begin + length) else {
                return Ok(None);
            };
            self.start = begin + length;
            if let Some(kind) = Kind::from_code(code) {
                return Ok(Some(Frame::new(kind, payload.to_vec())));
            }
        }
        Ok(None)
    }

    /// Whether every byte was part of a frame that was taken.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.start == self.buffer.len()
    }

    /// Bytes that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.buffer.len() - self.start
    }
}

/// Kind, bytes of the header, bytes of the payload; `None` when the header is not whole.
fn header(bytes: &[u8]) -> Result<Option<(u8, usize, usize)>, FrameError> {
    let Some((&code, rest)) = bytes.split_first() else {
        return Ok(None);
    };
    let most = match Kind::from_code(code) {
        Some(kind) => kind.bytes_max(),
        None if code & OPTIONAL != 0 => OPTIONAL_BYTES_MAX,
        None => return Err(FrameError::Unknown(code)),
    };
    let mut input = rest;
    let Some(length) = take_u64(&mut input) else {
        // Without an end within the bytes that any bound needs, it never has one.
        let unfinished = rest.len() < HEADER_BYTES_MAX - 1 && rest.iter().all(|b| b & 0x80 != 0);
        return if unfinished {
            Ok(None)
        } else {
            Err(FrameError::Length(code))
        };
    };
    match usize::try_from(length) {
        Ok(length) if length <= most => Ok(Some((code, bytes.len() - input.len(), length))),
        _ => Err(FrameError::TooLong(code)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// All that must be understood.
    fn kinds() -> Vec<Kind> {
        (0..OPTIONAL).filter_map(Kind::from_code).collect()
    }

    fn frame() -> impl Strategy<Value = Frame> {
        let payload = prop::collection::vec(any::<u8>(), 0..300);
        (prop::sample::select(kinds()), payload).prop_map(|(kind, mut payload)| {
            payload.truncate(kind.bytes_max());
            Frame::new(kind, payload)
        })
    }

    fn read_all(decoder: &mut Decoder) -> Result<Vec<Frame>, FrameError> {
        let mut frames = Vec::new();
        while let Some(frame) = decoder.take()? {
            frames.push(frame);
        }
        Ok(frames)
    }

    fn bytes_of(frames: &[Frame]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for frame in frames {
            frame.encode(&mut bytes).unwrap();
        }
        bytes
    }

    #[test]
    fn the_bytes_are_fixed() {
        let frames = [Frame::new(Kind::Hello, vec![0xab; 2]), Frame::end()];
        assert_eq!(bytes_of(&frames), [1, 2, 0xab, 0xab, 7, 0]);
    }

    #[test]
    fn a_length_over_the_bound_is_refused_before_the_payload_comes() {
        let known = kinds().into_iter().map(|kind| kind as u8);
        for code in known.chain([OPTIONAL]) {
            let mut bytes = vec![code];
            put_u64(&mut bytes, 1 << 34);
            let mut decoder = Decoder::default();
            decoder.push(&bytes);
            assert_eq!(decoder.take(), Err(FrameError::TooLong(code)));
            assert_eq!(decoder.take(), Err(FrameError::TooLong(code)));
        }
        let long = Frame::new(Kind::End, vec![0; 2]);
        assert_eq!(long.encode(&mut Vec::new()), Err(FrameError::TooLong(7)));
    }

    #[test]
    fn a_length_without_an_end_is_refused() {
        let mut decoder = Decoder::default();
        decoder.push(&[1, 0x80, 0x80]);
        assert_eq!(decoder.take(), Ok(None));
        decoder.push(&[0x80, 0x80, 0x80]);
        assert_eq!(decoder.take(), Err(FrameError::Length(1)));
        let mut decoder = Decoder::default();
        decoder.push(&[1, 0x80, 0x00]);
        assert_eq!(decoder.take(), Err(FrameError::Length(1)), "a longer form");
    }

    #[test]
    fn unknown_kinds_are_passed_over_only_when_they_say_so() {
        let mut decoder = Decoder::default();
        decoder.push(&[0x91, 3, 1, 2, 3, 7, 0]);
        assert_eq!(read_all(&mut decoder), Ok(vec![Frame::end()]));
        for code in [0, 11, 0x7f] {
            let mut decoder = Decoder::default();
            decoder.push(&[code]);
            assert_eq!(decoder.take(), Err(FrameError::Unknown(code)));
        }
    }

    proptest! {
        #[test]
        fn frames_survive_any_cutting(frames in prop::collection::vec(frame(), 0..6), piece in 1usize..40) {
            let mut decoder = Decoder::default();
            let mut read = Vec::new();
            for piece in bytes_of(&frames).chunks(piece) {
                decoder.push(piece);
                read.extend(read_all(&mut decoder).unwrap());
            }
            prop_assert_eq!(read, frames);
            prop_assert!(decoder.is_empty());
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes: Vec<u8>, cut in 0usize..300) {
            let cut = cut.min(bytes.len());
            let mut whole = Decoder::default();
            whole.push(&bytes);
            let all = read_all(&mut whole);
            prop_assert!(whole.waiting() <= bytes.len());
            // Where the pieces end changes nothing.
            let mut pieces = Decoder::default();
            let mut read = Vec::new();
            let mut failed = None;
            for piece in [&bytes[..cut], &bytes[cut..]] {
                pieces.push(piece);
                loop {
                    match pieces.take() {
                        Ok(Some(frame)) => read.push(frame),
                        Ok(None) => break,
                        Err(error) => { failed = Some(error); break; }
                    }
                }
                if failed.is_some() { break; }
            }
            match all {
                Ok(frames) => { prop_assert_eq!(failed, None); prop_assert_eq!(frames, read); }
                Err(error) => prop_assert_eq!(failed, Some(error)),
            }
        }
    }
}
