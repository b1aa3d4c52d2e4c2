//! Joining: a node shows the secret of an invitation and becomes a member. Both ends.
//!
//! The secret travels inside TLS to the node whose key stands in the invitation, so nobody on the way
//! can take it. Must never answer anything secret before the secret was found good.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::State;
use axum::{Json, body};
use serde::{Deserialize, Serialize, Serializer};
use thiserror::Error;
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
use crate::service::InvitationFault;
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

/// Why a node has not joined.
#[derive(Debug, Error)]
#[error("{error}")]
pub struct NotJoined {
    /// What went wrong last.
    #[source]
    pub error: ClientError,
    /// It was asked and its answer did not come: it may have let this node in.
    pub unsure: bool,
}

impl NotJoined {
    /// Whether the node was thrown out under the key that it has, which is of no more use.
    #[must_use]
    pub fn is_key_removed(&self) -> bool {
        let code = crate::service::Error::from(InvitationFault::KeyRemoved).code();
        matches!(&self.error, ClientError::Refused(refusal) if refusal.code == code)
    }
}

impl From<ClientError> for NotJoined {
    fn from(error: ClientError) -> Self {
        Self {
            error,
            unsure: false,
        }
    }
}

/// Joins by `invitation`, at the first of its addresses that answers. Asked again with the same key, the other node
/// gives the same answer.
///
/// # Errors
/// [`ClientError::Refused`] when the invitation is not good, else the last address's trouble.
pub async fn join(
    identity: &Identity,
    invitation: &Invitation,
    name: &str,
    token_key: &[u8],
) -> Result<Welcome, NotJoined> {
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
    let mut unsure = false;
    // The answer may be lost; the same key is let in again.
    for _ in 0..limits::JOIN_ATTEMPTS {
        for address in &invitation.addresses {
            let connection = match Connection::open(Arc::clone(&config), address).await {
                Ok(connection) => connection,
                Err(error) => {
                    trouble = error;
                    continue;
                }
            };
            match ask(&connection, &request).await {
                Ok(welcome) => return Ok(welcome),
                Err(error @ ClientError::Refused(_)) => return Err(NotJoined { error, unsure }),
                Err(error) => (trouble, unsure) = (error, true),
            }
        }
        if matches!(trouble, ClientError::NotTheNode { .. }) {
            break;
        }
    }
    Err(NotJoined {
        error: trouble,
        unsure,
    })
}

async fn ask(connection: &Connection, request: &[u8]) -> Result<Welcome, ClientError> {
    let answer = connection.call(PATH, Body::from(request.to_vec())).await?;
    let bytes = Zeroizing::new(bytes_of(answer).await?);
    serde_json::from_slice(&bytes)
        .map_err(|_| ClientError::Here("the answer to the invitation cannot be read".to_owned()))
}
