//! TLS of the node.

use std::sync::Arc;

/// What a TLS listener presents.
pub struct TlsIdentity(Arc<rustls::ServerConfig>);

impl TlsIdentity {
    /// Ciphers, certificate and protocols of the listener.
    pub fn server_config(&self) -> Arc<rustls::ServerConfig> {
        Arc::clone(&self.0)
    }
}
