//! The bodies of answers that last: what is sent, what is taken in, and the watch. Each works only
//! when the peer reads, holds one frame at a time, and ends when the node stops or the peer was
//! thrown out.

use std::sync::Arc;

use axum::body::{Body, Bytes};
use futures_util::stream;
use islet_sync::frame::{Frame, FrameError, Kind};
use tokio::sync::{mpsc, watch};

use super::clock_frame;
use super::node::{PeerNode, Watcher};
use super::refusal::Refusal;
use super::server::Peer;
use super::stream::{FrameReader, StreamError, encoded};
use crate::limits;
use crate::service::replication;

/// What a stream has at hand.
struct Session {
    node: Arc<PeerNode>,
    peer: Peer,
    commits: watch::Receiver<u64>,
    over: bool,
}

impl Session {
    fn new(node: Arc<PeerNode>, peer: Peer) -> Self {
        let commits = replication::commits(&node.app);
        Self {
            node,
            peer,
            commits,
            over: false,
        }
    }

    /// Whether the peer is still a member, looked up when something was committed since.
    async fn still_welcome(&mut self) -> Result<(), Refusal> {
        if self.commits.has_changed().unwrap_or(false) {
            self.commits.mark_unchanged();
            self.node.member(&self.peer.key).await?;
        }
        Ok(())
    }

    /// The bytes of the last frame, whatever it is.
    fn last(&mut self, frame: &Frame) -> Result<Bytes, FrameError> {
        self.over = true;
        encoded(frame)
    }
}

/// Sends what comes out of the channel, up to a bound.
pub(super) fn sending(node: Arc<PeerNode>, peer: Peer, frames: mpsc::Receiver<Frame>) -> Body {
    let state = (Session::new(node, peer), frames, 0);
    Body::from_stream(stream::unfold(
        state,
        |(mut session, mut frames, sent)| async move {
            if session.over {
                return None;
            }
            let stop = session.node.stop.clone();
            let frame = tokio::select! {
                () = stop.cancelled() => return None,
                frame = frames.recv() => frame?,
            };
            let bytes = match session.still_welcome().await {
                Err(refusal) => session.last(&refusal.frame()),
                Ok(()) if frame.kind == Kind::End => session.last(&frame),
                Ok(()) if sent >= limits::PULL_BYTES_MAX => session.last(&Frame::more()),
                Ok(()) => encoded(&frame),
            };
            let sent = sent + bytes.as_ref().map_or(0, Bytes::len);
            Some((bytes, (session, frames, sent)))
        },
    ))
}

/// Takes in what the peer sends, and answers with what was made durable.
pub(super) fn receiving(node: Arc<PeerNode>, peer: Peer, reader: FrameReader) -> Body {
    let state = (Session::new(node, peer), reader);
    Body::from_stream(stream::unfold(state, |(mut session, mut reader)| async {
        if session.over {
            return None;
        }
        let stop = session.node.stop.clone();
        let taken = tokio::select! {
            () = stop.cancelled() => return None,
            taken = take(&mut session, &mut reader) => taken,
        };
        let bytes = match taken {
            Ok(Some(frame)) => encoded(&frame),
            Ok(None) => session.last(&Frame::end()),
            Err(refusal) => session.last(&refusal.frame()),
        };
        Some((bytes, (session, reader)))
    }))
}

/// The next answer; `None` when the peer has sent everything.
async fn take(session: &mut Session, reader: &mut FrameReader) -> Result<Option<Frame>, Refusal> {
    loop {
        let frame = match reader.next().await {
            Ok(Some(frame)) => frame,
            Ok(None) => return Ok(None),
            // The peer gave up; nobody reads a refusal of that.
            Err(StreamError::Refused(_) | StreamError::Cut) => return Ok(None),
            Err(error) => return Err(error.into()),
        };
        session.still_welcome().await?;
        let number = session.peer.number;
        let answer = replication::ingest(&session.node.app, number, frame).await?;
        if answer.is_some() {
            return Ok(answer);
        }
    }
}

/// Says hello now and after each commit, and in between that the node lives. Commits that come while
/// the peer does not read are told as one.
pub(super) fn watching(node: Arc<PeerNode>, peer: Peer) -> Body {
    let watcher = node.watched(peer.key);
    let mut session = Session::new(node, peer);
    session.commits.mark_changed();
    let state = (session, watcher);
    Body::from_stream(stream::unfold(state, |(mut session, watcher)| async {
        if session.over {
            return None;
        }
        let bytes = match news(&mut session, &watcher).await {
            Ok(Some(frame)) => encoded(&frame),
            Ok(None) => session.last(&Frame::end()),
            Err(refusal) => session.last(&refusal.frame()),
        };
        Some((bytes, (session, watcher)))
    }))
}

/// `None` when the node stops.
async fn news(session: &mut Session, _watcher: &Watcher) -> Result<Option<Frame>, Refusal> {
    let node = Arc::clone(&session.node);
    let committed = tokio::select! {
        () = node.stop.cancelled() => return Ok(None),
        changed = session.commits.changed() => changed.is_ok(),
        () = tokio::time::sleep(limits::HEARTBEAT_EVERY) => false,
    };
    node.member(&session.peer.key).await?;
    if committed {
        let hello = replication::hello(&node.app).await?;
        return Ok(Some(Frame::new(Kind::Hello, hello)));
    }
    Ok(Some(clock_frame(&node.app)))
}
