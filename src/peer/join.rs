//! Joining: a node shows the secret of an invitation and becomes a member. Both ends.
//!
//! The secret travels inside TLS to the node whose key stands in the invitation, so nobody on the way
//! can take it. Must never answer anything secret before the secret was found good.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::{Json, body};
use serde::{Deserialize, Serialize, Serializer};
use zeroize::Zeroizing;

use super::client::{ClientError, Connection, bytes_of};
use super::identity::Identity;
use super::invitation::{Invitation, SECRET_BYTES, digest};
use super::node::PeerNode;
use super::refusal::Refusal;
use super::server::Caller;
use super::tls;
use crate::auth::Secret;
use crate::domain::text;
use crate::limits;
use crate::service::replication::{self, Admission, NewMember};

/// Where to ask.
pub(super) const PATH: &str = "/sync/1/join";

/// What every node of a network has alike, besides the data.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Inheritance {
    /// Certificate of the authority that the phones trust, PEM.
    pub ca_certificate: String,
    /// Its key, PEM.
    #[serde(serialize_with = "expose")]
    pub ca_key: Secret,
    /// Part of a configuration file: the lives of tokens.
    pub settings: String,
}

/// What a node that joins is told.
#[derive(Debug, Serialize, Deserialize)]
pub struct Welcome {
    /// Its place in the network.
    pub admission: Admission,
    /// What it has alike with the others.
    pub inheritance: Inheritance,
}

#[derive(Debug, Serialize, Deserialize)]
struct Request {
    #[serde(serialize_with = "expose")]
    secret: Secret,
    name: String,
    token_key: [u8; 32],
}

/// Both ends have proved who they are when this is written.
fn expose<S: Serializer>(secret: &Secret, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(secret.expose())
}

/// `POST /sync/1/join`.
pub(super) async fn answer(
    State(node): State<Arc<PeerNode>>,
    caller: Caller,
    body: Body,
) -> Result<Json<Welcome>, Refusal> {
    let _place = Arc::clone(&node.joins)
        .try_acquire_owned()
        .map_err(|_| Refusal::busy())?;
    let malformed = || Refusal::new("bad_request", "the request to join cannot be read");
    let bytes = body::to_bytes(body, limits::JOIN_BYTES_MAX).await;
    let bytes = Zeroizing::new(Vec::from(bytes.map_err(|_| malformed())?));
    let request: Request = serde_json::from_slice(&bytes).map_err(|_| malformed())?;
    let secret = parse_secret(&request.secret).ok_or_else(malformed)?;
    let name = text::line(&request.name).map_err(|_| malformed())?;
    let inheritance = node.inheritance.clone().ok_or_else(|| {
        let detail = "this node serves no HTTPS, so it has no authority to share: \
                      switch https on, or join at another node";
        Refusal::new("no_authority", detail)
    })?;
    let new = NewMember {
        public_key: caller.key,
        token_key: request.token_key,
        name,
        addresses: Vec::new(),
        invitation: digest(&secret),
    };
    let admission = replication::admit(&node.app, new).await?;
    tracing::info!(number = admission.number, "a node has joined the network");
    Ok(Json(Welcome {
        admission,
        inheritance,
    }))
}

fn parse_secret(text: &Secret) -> Option<Zeroizing<[u8; SECRET_BYTES]>> {
    let text = text.expose().as_bytes();
    if text.len() != 2 * SECRET_BYTES {
        return None;
    }
    let mut secret = Zeroizing::new([0; SECRET_BYTES]);
    for (byte, pair) in secret.iter_mut().zip(text.chunks(2)) {
        let pair = str::from_utf8(pair).ok()?;
        *byte = u8::from_str_radix(pair, 16).ok()?;
    }
    Some(secret)
}

/// Joins by `invitation`, at the first of its addresses that answers.
///
/// # Errors
/// [`ClientError::Refused`] when the invitation is not good, else the last address's trouble.
pub async fn join(
    identity: &Identity,
    invitation: &Invitation,
    name: &str,
    token_key: &[u8],
) -> Result<Welcome, ClientError> {
    let here = |error: &dyn std::fmt::Display| ClientError::Here(error.to_string());
    let config = tls::client_config(identity, &invitation.public_key);
    let config = config.map_err(|error| here(&error))?;
    let request = Request {
        secret: Secret::new(super::hex(&invitation.secret[..])),
        name: name.to_owned(),
        token_key: token_key
            .try_into()
            .map_err(|_| ClientError::Here("the token key is damaged".to_owned()))?,
    };
    let request = serde_json::to_vec(&request).map_err(|error| here(&error))?;
    let request = Zeroizing::new(request);
    let mut trouble = ClientError::Here("the invitation has no address".to_owned());
    // The answer may be lost; the same key is let in again.
    for _ in 0..limits::JOIN_ATTEMPTS {
        for address in &invitation.addresses {
            match ask(Arc::clone(&config), address, &request).await {
                Ok(welcome) => return Ok(welcome),
                Err(refused @ ClientError::Refused(_)) => return Err(refused),
                Err(error) => trouble = error,
            }
        }
        if matches!(trouble, ClientError::NotTheNode { .. }) {
            break;
        }
    }
    Err(trouble)
}

async fn ask(
    config: Arc<rustls::ClientConfig>,
    address: &str,
    request: &[u8],
) -> Result<Welcome, ClientError> {
    let connection = Connection::open(config, address).await?;
    let answer = connection.call(PATH, Body::from(request.to_vec())).await?;
    let bytes = Zeroizing::new(bytes_of(answer).await?);
    serde_json::from_slice(&bytes)
        .map_err(|_| ClientError::Here("the answer to the invitation cannot be read".to_owned()))
}
