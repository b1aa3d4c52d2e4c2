//! How the nodes of one network find, trust and talk to each other.
//!
//! A node is its Ed25519 key ([`identity`]). It becomes a member by an [`invitation`], which it
//! shows when it [`join`]s. Connections are mutual TLS in which only keys count ([`tls`]); over them
//! HTTP/2 carries streams of frames ([`stream`]). [`server`] answers, [`client`] asks, [`sync`] is
//! one round of asking, and [`links`] keeps at it; [`discovery`] finds addresses. Must never trust a name, an address, a date or a
//! discovery record, nor look into the data that it carries: what the frames mean is decided by the
//! replication core behind [`crate::service::replication`].

pub mod client;
pub mod discovery;
pub mod identity;
pub mod invitation;
pub mod join;
pub mod links;
pub mod manual;
pub mod node;
pub mod places;
mod pump;
mod refusal;
pub mod server;
pub mod status;
pub mod stream;
pub mod sync;
pub mod tls;

use islet_sync::frame::{Frame, Kind};

pub use node::PeerNode;
pub use refusal::Refusal;

use crate::service::App;

/// Lower-case hexadecimal.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A [`Kind::Heartbeat`]: milliseconds since 1970, big-endian.
fn clock_frame(app: &App) -> Frame {
    Frame::new(Kind::Heartbeat, app.clock.now().0.to_be_bytes().to_vec())
}

/// What [`clock_frame`] says.
fn clock_of(payload: &[u8]) -> Option<i64> {
    payload
        .first_chunk()
        .map(|bytes| i64::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests;
