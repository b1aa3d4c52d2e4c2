//! The node's own certificate authority and the certificate that its listeners present.
//!
//! A clinic's LAN has no public names, so no public authority can vouch for the node. It makes its
//! own, once, and every phone is told to trust it once. Because that trust is dear, the authority
//! is held in by name constraints (RFC 5280, 4.2.1.10): even with its key stolen, nobody can
//! pretend to be a bank in front of those phones. It must never be replaced in silence (`islet new-authority` replaces it aloud), and its
//! key never leaves its file but for a node that joins the network.
//!
//! The certificate that listeners present (the leaf) lives in memory only. It is made anew at each
//! start and whenever its time or the machine's addresses ask for it, without a restart.

mod authority;
mod error;
mod files;
mod identity;
mod leaf;
mod names;
mod page;
#[cfg(test)]
mod tests;

pub use authority::CertificateAuthority;
pub use error::TlsError;
pub use identity::TlsIdentity;
pub use names::check_host;
pub use page::router as ca_page;
