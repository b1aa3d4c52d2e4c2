//! Frames over HTTP bodies. Must never hold more of a stream than one frame and one piece, nor take
//! a stream that was cut for one that is whole.

use std::time::Duration;

use axum::body::{Body, Bytes};
use futures_util::stream;
use http_body_util::BodyExt;
use islet_sync::frame::{Decoder, Frame, FrameError, Kind};
use thiserror::Error;
use tokio::sync::mpsc;

use super::refusal::Refusal;
use crate::limits;

/// Why a stream cannot be read on.
#[derive(Debug, Error)]
pub enum StreamError {
    /// It holds no frames.
    #[error(transparent)]
    Frame(#[from] FrameError),
    /// It stopped before its end.
    #[error("the connection was cut")]
    Cut,
    /// Nothing came for too long.
    #[error("the other node sent nothing for too long")]
    Silent,
    /// A frame came that does not belong there.
    #[error("the other node sent something that was not asked for")]
    Unexpected,
    /// Frames that are all passed over.
    #[error("the other node sent much that is of no use")]
    Useless,
    /// The other side says why it stops.
    #[error(transparent)]
    Refused(#[from] Refusal),
}

/// Takes frames off a body.
pub struct FrameReader {
    body: Body,
    decoder: Decoder,
    patience: Duration,
    ended: bool,
    /// Bytes since the last frame that was of use.
    idle_bytes: usize,
    /// Payload bytes so far.
    pub bytes: u64,
    /// At the end: the other side has more, for whoever asks again.
    pub more: bool,
}

impl std::fmt::Debug for FrameReader {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "FrameReader({} bytes)", self.bytes)
    }
}

impl FrameReader {
    /// Reads `body`, which may be silent for `patience` within a frame or before one.
    #[must_use]
    pub fn new(body: Body, patience: Duration) -> Self {
        Self {
            body,
            decoder: Decoder::default(),
            patience,
            ended: false,
            idle_bytes: 0,
            bytes: 0,
            more: false,
        }
    }

    /// The next frame; `None` once the other side has said that nothing follows.
    ///
    /// # Errors
    /// [`StreamError`]; the stream is of no more use then.
    pub async fn next(&mut self) -> Result<Option<Frame>, StreamError> {
        if self.ended {
            return Ok(None);
        }
        let frame = self.read().await?;
        match frame.kind {
            Kind::End => {
                (self.ended, self.more) = (true, !frame.payload.is_empty());
                Ok(None)
            }
            Kind::Error => Err(Refusal::read(&frame.payload).into()),
            _ => Ok(Some(frame)),
        }
    }

    /// The next frame, which must be of this kind.
    ///
    /// # Errors
    /// As [`FrameReader::next`], and [`StreamError::Unexpected`].
    pub async fn next_of(&mut self, kind: Kind) -> Result<Vec<u8>, StreamError> {
        match self.next().await? {
            Some(frame) if frame.kind == kind => Ok(frame.payload),
            _ => Err(StreamError::Unexpected),
        }
    }

    async fn read(&mut self) -> Result<Frame, StreamError> {
        loop {
            if let Some(frame) = self.decoder.take()? {
                self.idle_bytes = 0;
                return Ok(frame);
            }
            let piece = tokio::time::timeout(self.patience, self.body.frame()).await;
            let piece = piece.map_err(|_| StreamError::Silent)?;
            let piece = piece.ok_or(StreamError::Cut)?;
            let piece = piece.map_err(|_| StreamError::Cut)?;
            if let Some(data) = piece.data_ref() {
                self.bytes += data.len() as u64;
                self.idle_bytes += data.len();
                if self.idle_bytes > limits::BETWEEN_FRAMES_BYTES_MAX {
                    return Err(StreamError::Useless);
                }
                self.decoder.push(data);
            }
        }
    }
}

/// A few frames and the end, at once.
///
/// # Errors
/// When a payload is over the bound of its kind.
pub fn whole(frames: &[Frame]) -> Result<Body, FrameError> {
    let mut bytes = Vec::new();
    for frame in frames {
        frame.encode(&mut bytes)?;
    }
    Frame::end().encode(&mut bytes)?;
    Ok(Body::from(bytes))
}

/// Frames as they come out of a bounded channel. The channel's owner sends the end.
pub fn streamed(receiver: mpsc::Receiver<Frame>) -> Body {
    Body::from_stream(stream::unfold(receiver, |mut receiver| async move {
        let frame = receiver.recv().await?;
        Some((encoded(&frame), receiver))
    }))
}

/// The bytes of one frame.
pub(super) fn encoded(frame: &Frame) -> Result<Bytes, FrameError> {
    let mut bytes = Vec::with_capacity(frame.payload.len() + 8);
    frame.encode(&mut bytes)?;
    Ok(bytes.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn reader(bytes: &[u8]) -> FrameReader {
        FrameReader::new(Body::from(bytes.to_vec()), PATIENCE)
    }

    #[tokio::test]
    async fn a_stream_ends_with_its_end_only() {
        let mut whole = reader(&[1, 1, 9, 7, 0]);
        assert_eq!(whole.next_of(Kind::Hello).await.unwrap(), [9]);
        assert_eq!(whole.next().await.unwrap(), None);
        assert_eq!(whole.next().await.unwrap(), None);
        for cut in [&[][..], &[1, 1, 9], &[1, 1, 9, 7]] {
            let mut cut = reader(cut);
            let ended = loop {
                match cut.next().await {
                    Ok(Some(_)) => {}
                    other => break other,
                }
            };
            assert!(matches!(ended, Err(StreamError::Cut)), "{ended:?}");
        }
    }

    #[tokio::test]
    async fn channels_arrive_in_order() {
        let (sender, receiver) = mpsc::channel(2);
        let body = streamed(receiver);
        tokio::spawn(async move {
            for count in 0..50 {
                let frame = Frame::new(Kind::Segment, vec![count; 30_000]);
                sender.send(frame).await.unwrap();
            }
            sender.send(Frame::end()).await.unwrap();
        });
        let mut reader = FrameReader::new(body, PATIENCE);
        for count in 0..50 {
            assert_eq!(reader.next_of(Kind::Segment).await.unwrap()[0], count);
        }
        assert_eq!(reader.next().await.unwrap(), None);
    }

    #[tokio::test]
    async fn refusals_come_as_errors_and_surprises_too() {
        let refusal = Refusal::revoked();
        let body = whole(&[refusal.frame()]).unwrap();
        let refused = FrameReader::new(body, PATIENCE).next().await;
        assert!(matches!(refused, Err(StreamError::Refused(found)) if found == refusal));
        let surprise = reader(&[2, 0, 7, 0]).next_of(Kind::Hello).await;
        assert!(matches!(surprise, Err(StreamError::Unexpected)));
    }

    #[tokio::test]
    async fn silence_is_not_waited_out() {
        let (_sender, receiver) = mpsc::channel(1);
        let patience = Duration::from_millis(1);
        let silent = FrameReader::new(streamed(receiver), patience).next().await;
        assert!(matches!(silent, Err(StreamError::Silent)));
    }
}
