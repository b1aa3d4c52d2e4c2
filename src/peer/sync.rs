//! One round with a peer over an open connection: compare, fetch what is missing, and give what the
//! peer does not fetch by itself. Must never hold more than a few frames, nor go on after the peer
//! has sent what it should not.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::body::Body;
use futures_util::future::select_ok;
use islet_sync::frame::{Frame, Kind};
use tokio::sync::{MutexGuard, mpsc};
use tokio::time::{Instant, timeout};

use super::client::{ClientError, Connection};
use super::node::PeerNode;
use super::server::{EXCHANGE, PULL, PUSH, WATCH};
use super::stream::{FrameReader, StreamError, streamed, whole};
use super::{clock_of, tls};
use crate::limits;
use crate::service::replication::{self, Member};

/// How far a sync has come, for whoever watches it.
#[derive(Debug, Default)]
pub struct Progress {
    /// Changes that were missing when it began; 0 before that is known.
    pub expected: AtomicU64,
    /// Changes that are still missing.
    pub missing: AtomicU64,
    /// Payload bytes that came.
    pub received_bytes: AtomicU64,
    /// Frames that came and are durable.
    pub received_frames: AtomicU64,
    /// Frames that went and are durable there.
    pub sent_frames: AtomicU64,
}

/// What follows a portion.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Portion {
    /// Nothing.
    Last,
    /// The peer has more.
    More,
    /// The peer told where to ask from, since its version of a log is another one.
    Met,
}

/// Whether a round gives as well as it takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Giving {
    /// Yes.
    Always,
    /// Only if the peer does not watch this node: else it fetches by itself.
    Unwatched,
}

/// An open connection to a member.
#[derive(Debug)]
pub(super) struct Link<'a> {
    pub(super) node: &'a Arc<PeerNode>,
    pub(super) member: &'a Member,
    pub(super) connection: Arc<Connection>,
}

impl<'a> Link<'a> {
    /// Connects to the member at whichever of `addresses` it is found first. All are tried together:
    /// one that leads nowhere, perhaps announced by somebody who wishes no good, delays nothing.
    pub(super) async fn open(
        node: &'a Arc<PeerNode>,
        member: &'a Member,
        addresses: &[String],
    ) -> Result<Self, ClientError> {
        let here = |error: tls::TlsError| ClientError::Here(error.to_string());
        let config = tls::client_config(&node.identity, &member.public_key).map_err(here)?;
        if addresses.is_empty() {
            let text = "it has told no address, and is not seen on the LAN";
            return Err(ClientError::Here(text.to_owned()));
        }
        let tries = addresses
            .iter()
            .map(|address| Box::pin(Connection::open(Arc::clone(&config), address)));
        let (connection, _) = select_ok(tries).await?;
        Ok(Self {
            node,
            member,
            connection: Arc::new(connection),
        })
    }

    /// Compares in one round trip; `None` when both know the same, else the peer's vector.
    pub(super) async fn exchange(&self) -> Result<Option<Vec<u8>>, ClientError> {
        let app = &self.node.app;
        let hello = replication::hello(app).await?;
        let began = app.clock.now();
        let mut answer = self.ask(EXCHANGE, Frame::new(Kind::Hello, hello)).await?;
        let mut vector = None;
        while let Some(frame) = answer.next().await? {
            match frame.kind {
                Kind::Vector => vector = Some(frame.payload),
                Kind::Heartbeat => self.note_clock(&frame.payload, began.0),
                _ => return Err(StreamError::Unexpected.into()),
            }
        }
        if let Some(vector) = &vector {
            self.note_behind(replication::behind(app, vector).await?);
        } else {
            self.note_in_sync();
        }
        Ok(vector)
    }

    /// A whole round.
    pub(super) async fn round(
        &self,
        giving: Giving,
        progress: &Progress,
    ) -> Result<(), ClientError> {
        for _ in 0..limits::MEETINGS_MAX {
            let Some(theirs) = self.exchange().await? else {
                return Ok(());
            };
            let behind = self.node.status.of(&self.member.public_key).behind;
            progress.expected.fetch_max(behind, Ordering::Relaxed);
            progress.missing.store(behind, Ordering::Relaxed);
            self.pull(Some(&theirs), progress).await?;
            let watched = self.node.is_watched_by(&self.member.public_key);
            if giving == Giving::Unwatched && watched {
                return Ok(());
            }
            // Where both have other versions of a log, the peer now says from where on it has to be given.
            if !self.push(theirs, progress).await? {
                return Ok(());
            }
        }
        Ok(())
    }

    /// Fetches what the peer has and this node lacks, a portion at a time. With the peer's vector it
    /// tells how much that still is.
    ///
    /// Links take turns, so that several peers do not all send the same; each portion starts from
    /// what is known by then. A peer that is slow or silent loses its turn and goes on without.
    pub(super) async fn pull(
        &self,
        theirs: Option<&[u8]>,
        progress: &Progress,
    ) -> Result<(), ClientError> {
        let (mut more, mut met) = (true, 0);
        while more {
            let turn = self.node.turn.lock().await;
            if let Some(theirs) = theirs
                && replication::behind(&self.node.app, theirs).await? == 0
            {
                // Another peer was faster.
                break;
            }
            let portion = self.portion(turn, theirs, progress).await?;
            // Now it is known from where on the versions of a log differ: that is asked for.
            met += usize::from(portion == Portion::Met);
            more = match portion {
                Portion::Last => false,
                Portion::More => true,
                Portion::Met => met <= limits::MEETINGS_MAX,
            };
        }
        if theirs.is_some() {
            progress.missing.store(0, Ordering::Relaxed);
            self.note_in_sync();
        }
        Ok(())
    }

    /// One portion; answers what follows.
    async fn portion(
        &self,
        turn: MutexGuard<'_, ()>,
        theirs: Option<&[u8]>,
        progress: &Progress,
    ) -> Result<Portion, ClientError> {
        let app = &self.node.app;
        let (mut turn, began) = (Some(turn), Instant::now());
        let vector = replication::vector(app, self.member.number).await?;
        let ask = self.ask(PULL, Frame::new(Kind::Vector, vector));
        let mut frames = in_turn(&mut turn, ask).await?;
        let (mut counted, mut met) = (0, false);
        while let Some(frame) = in_turn(&mut turn, frames.next()).await? {
            met |= frame.kind == Kind::Trail;
            replication::ingest(app, self.member.number, frame).await?;
            self.count(frames.bytes - counted, progress);
            counted = frames.bytes;
            if let Some(theirs) = theirs {
                let behind = replication::behind(app, theirs).await?;
                progress.missing.store(behind, Ordering::Relaxed);
                self.note_behind(behind);
            }
            if began.elapsed() > limits::TURN_MAX {
                turn = None;
            }
        }
        Ok(match (frames.more, met) {
            (true, _) => Portion::More,
            (false, true) => Portion::Met,
            (false, false) => Portion::Last,
        })
    }

    /// A frame of `bytes` came and is durable.
    fn count(&self, bytes: u64, progress: &Progress) {
        progress.received_frames.fetch_add(1, Ordering::Relaxed);
        progress.received_bytes.fetch_add(bytes, Ordering::Relaxed);
        let key = &self.member.public_key;
        self.node.status.note(key, |seen| seen.bytes.0 += bytes);
        self.seen();
    }

    /// Gives what the peer, which knows `theirs`, lacks. Answers whether it was told where to ask from.
    pub(super) async fn push(
        &self,
        theirs: Vec<u8>,
        progress: &Progress,
    ) -> Result<bool, ClientError> {
        let number = self.member.number;
        let mut frames = replication::outgoing(&self.node.app, number, theirs).await?;
        let Some(first) = frames.recv().await else {
            return Err(ClientError::Here("there is nothing to send".to_owned()));
        };
        if first.kind == Kind::End {
            return Ok(false);
        }
        // Before all else, when there is one.
        let met = first.kind == Kind::Trail;
        let (sender, receiver) = mpsc::channel(limits::PUSH_FRAMES_MAX);
        let forward = async {
            let mut next = Some(first);
            while let Some(frame) = next {
                let bytes = frame.payload.len() as u64;
                let key = &self.member.public_key;
                self.node.status.note(key, |seen| seen.bytes.1 += bytes);
                if sender.send(frame).await.is_err() {
                    break;
                }
                next = frames.recv().await;
            }
            drop(sender);
        };
        let acknowledged = async {
            let mut answers = self.connection.frames(PUSH, streamed(receiver)).await?;
            while let Some(frame) = answers.next().await? {
                if frame.kind != Kind::Ack {
                    return Err(StreamError::Unexpected.into());
                }
                progress.sent_frames.fetch_add(1, Ordering::Relaxed);
                self.seen();
            }
            Ok(())
        };
        // When the peer stops, nothing more is read from the channel, and the sender ends too.
        let (acknowledged, ()): (Result<(), ClientError>, ()) = tokio::join!(acknowledged, forward);
        acknowledged.map(|()| met)
    }

    /// Whether both know the same, by the peer's hello.
    pub(super) async fn compare(&self, hello: &[u8]) -> Result<bool, ClientError> {
        let (app, number) = (&self.node.app, self.member.number);
        let same = replication::answer_exchange(app, number, hello)
            .await?
            .is_empty();
        if same {
            self.note_in_sync();
        }
        Ok(same)
    }

    /// Hears of each commit there.
    pub(super) async fn watch(&self) -> Result<FrameReader, ClientError> {
        self.connection.frames(WATCH, Body::empty()).await
    }

    async fn ask(&self, path: &str, frame: Frame) -> Result<FrameReader, ClientError> {
        let body = whole(&[frame]).map_err(StreamError::from)?;
        self.connection.frames(path, body).await
    }

    pub(super) fn seen(&self) {
        let now = self.node.app.clock.now();
        self.node.status.seen(&self.member.public_key, now);
    }

    fn note_behind(&self, changes: u64) {
        let key = &self.member.public_key;
        self.node.status.note(key, |seen| seen.behind = changes);
    }

    pub(super) fn note_in_sync(&self) {
        let now = self.node.app.clock.now();
        self.node.status.note(&self.member.public_key, |seen| {
            (seen.behind, seen.in_sync_at, seen.seen_at) = (0, Some(now), Some(now));
        });
    }

    /// The peer read its clock about halfway between the question and its answer (RFC 5905, 8).
    fn note_clock(&self, payload: &[u8], asked_at_ms: i64) {
        let now_ms = self.node.app.clock.now().0;
        if let Some(theirs_ms) = clock_of(payload) {
            let here_ms = asked_at_ms + (now_ms - asked_at_ms) / 2;
            self.node.status.note(&self.member.public_key, |seen| {
                seen.clock_offset_ms = Some(theirs_ms.saturating_sub(here_ms));
            });
        }
    }
}

/// Waits for the peer. When that takes too long, its turn is over.
async fn in_turn<T>(turn: &mut Option<MutexGuard<'_, ()>>, answer: impl Future<Output = T>) -> T {
    let mut answer = pin!(answer);
    match timeout(limits::TURN_SILENCE, answer.as_mut()).await {
        Ok(answer) => answer,
        Err(_) => {
            *turn = None;
            answer.await
        }
    }
}
