//! The end of a connection that answers: the routes of the peer port.
//!
//! Every route but the one to join is for members alone, and looks it up anew for each request;
//! streams look again whenever something was committed, so that a node that is thrown out hears
//! nothing more. Must never wait for a peer without a bound.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use islet_sync::frame::{Frame, Kind};
use tokio::sync::OwnedSemaphorePermit;
use tower_http::catch_panic::CatchPanicLayer;

use super::identity::PublicKey;
use super::node::PeerNode;
use super::refusal::Refusal;
use super::stream::{FrameReader, whole};
use super::{clock_frame, join, pump, tls};
use crate::http::listen::{ClientAddr, ClientCertificate, LongLived};
use crate::limits;
use crate::service::replication;

pub(super) const EXCHANGE: &str = "/sync/1/exchange";
pub(super) const PULL: &str = "/sync/1/pull";
pub(super) const PUSH: &str = "/sync/1/push";
pub(super) const WATCH: &str = "/sync/1/watch";
pub(super) const RIGHTS: &str = "/sync/1/rights";

/// What the peer port answers.
pub fn router(node: &Arc<PeerNode>) -> Router {
    Router::new()
        .route(join::PATH, post(join::answer))
        .route(EXCHANGE, post(exchange))
        .route(PULL, post(pull))
        .route(PUSH, post(push))
        .route(WATCH, post(watch))
        .route(RIGHTS, post(rights))
        .fallback(|| async { Refusal::new("unknown", "this node knows no such request") })
        .layer(CatchPanicLayer::new())
        .with_state(Arc::clone(node))
}

/// Whoever connected, by the key that it has proved to have.
pub(super) struct Caller {
    pub(super) key: PublicKey,
    pub(super) address: SocketAddr,
}

impl<S: Sync> FromRequestParts<S> for Caller {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, _state: &S) -> Result<Self, Refusal> {
        let certificate = parts.extensions.get::<ClientCertificate>();
        let key = certificate.and_then(|it| tls::key_of(&it.0));
        let address = parts.extensions.get::<ClientAddr>();
        match (key, address) {
            (Some(key), Some(address)) => Ok(Self {
                key,
                address: address.0,
            }),
            _ => Err(Refusal::stranger()),
        }
    }
}

/// A member with one of its places.
pub(super) struct Peer {
    pub(super) number: u32,
    pub(super) key: PublicKey,
    _place: OwnedSemaphorePermit,
}

impl FromRequestParts<Arc<PeerNode>> for Peer {
    type Rejection = Refusal;

    async fn from_request_parts(parts: &mut Parts, node: &Arc<PeerNode>) -> Result<Self, Refusal> {
        let Caller { key, address } = Caller::from_request_parts(parts, node).await?;
        let member = node.member(&key).await;
        let member = member.inspect_err(|refusal| {
            tracing::debug!(client = %address, code = refusal.code, "a node was turned away");
        })?;
        let place = node.place(&key)?;
        node.status.seen(&key, node.app.clock.now());
        Ok(Self {
            number: member.number,
            key,
            _place: place,
        })
    }
}

fn reader(body: Body) -> FrameReader {
    FrameReader::new(body, limits::PEER_ANSWER_TIMEOUT)
}

/// The one frame that a request consists of.
async fn only(body: Body, kind: Kind) -> Result<Vec<u8>, Refusal> {
    let mut reader = reader(body);
    let payload = reader.next_of(kind).await?;
    match reader.next().await? {
        None => Ok(payload),
        Some(_) => Err(super::stream::StreamError::Unexpected.into()),
    }
}

fn answer(frames: &[Frame]) -> Result<Response, Refusal> {
    let body = whole(frames).map_err(|error| Refusal::new("internal", &error.to_string()))?;
    Ok(Response::new(body))
}

/// Streams may last: members are few, and each has few places.
fn lasting(body: Body) -> Response {
    let mut response = body.into_response();
    response.extensions_mut().insert(LongLived);
    response
}

async fn exchange(
    State(node): State<Arc<PeerNode>>,
    peer: Peer,
    body: Body,
) -> Result<Response, Refusal> {
    let hello = only(body, Kind::Hello).await?;
    let mut frames = replication::answer_exchange(&node.app, peer.number, &hello).await?;
    frames.push(clock_frame(&node.app));
    answer(&frames)
}

async fn pull(
    State(node): State<Arc<PeerNode>>,
    peer: Peer,
    body: Body,
) -> Result<Response, Refusal> {
    let vector = only(body, Kind::Vector).await?;
    let frames = replication::outgoing(&node.app, peer.number, vector).await?;
    Ok(lasting(pump::sending(node, peer, frames)))
}

async fn push(
    State(node): State<Arc<PeerNode>>,
    peer: Peer,
    body: Body,
) -> Result<Response, Refusal> {
    Ok(lasting(pump::receiving(node, peer, reader(body))))
}

async fn watch(State(node): State<Arc<PeerNode>>, peer: Peer) -> Result<Response, Refusal> {
    Ok(lasting(pump::watching(node, peer)))
}

async fn rights(
    State(node): State<Arc<PeerNode>>,
    peer: Peer,
    body: Body,
) -> Result<Response, Refusal> {
    let asked = only(body, Kind::Rights).await?;
    let given = replication::rights(&node.app, peer.number, asked).await?;
    answer(&[Frame::new(Kind::Rights, given)])
}
