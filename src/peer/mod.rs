//! How the nodes of one network find, trust and talk to each other.
//!
//! A node is its Ed25519 key ([`identity`]). Connections are mutual TLS in which only keys count
//! ([`tls`]); over them HTTP/2 carries streams of frames ([`stream`]). Must never trust a name, an
//! address, a date or a discovery record, nor look into the data that it carries: what the frames
//! mean is decided by the replication core behind [`crate::service`].

pub mod identity;
pub mod tls;

/// Lower-case hexadecimal.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
