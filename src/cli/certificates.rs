//! The certificates of a node: the authority in its data directory, and what its listeners present.

use std::sync::Arc;
use std::time::SystemTime;

use super::data_dir::TLS;
use super::{DataDir, Failure};
use crate::config::{Address, Config};
use crate::http::tls::{CertificateAuthority, TlsError, TlsIdentity};

impl From<TlsError> for Failure {
    fn from(error: TlsError) -> Self {
        match &error {
            TlsError::Io { path, source, .. } => Self::io("use", path, source),
            _ => Self::new(error.to_string()),
        }
    }
}

/// What the listeners of a node present.
///
/// # Errors
/// When there is no authority that can be used, or it cannot vouch for a configured host.
pub(super) fn identity(data: &DataDir, config: &Config) -> Result<Arc<TlsIdentity>, Failure> {
    let authority = Arc::new(CertificateAuthority::open(&data.join(TLS))?);
    let identity = TlsIdentity::new(authority, &config.hosts, SystemTime::now())?;
    Ok(Arc::new(identity))
}

/// Configured hosts that the authority in the directory, if one can be used, was not made for.
pub(super) fn unvouched(data: &DataDir, config: &Config) -> Vec<String> {
    let Ok(authority) = CertificateAuthority::open(&data.join(TLS)) else {
        return Vec::new();
    };
    let refused = authority.refuses(&config.hosts);
    refused.iter().map(|why| format!("hosts: {why}")).collect()
}

/// What to say of this machine's addresses that no certificate of the authority can name, when
/// HTTPS is served at any.
pub(super) fn left_out(authority: &CertificateAuthority, https: Address) -> Option<String> {
    let listens = https.get()?.ip();
    let mut found = authority.left_out().ok()?;
    found.retain(|ip| listens.is_unspecified() || listens == *ip);
    if found.is_empty() {
        return None;
    }
    let found: Vec<_> = found.iter().map(ToString::to_string).collect();
    let found = found.join(", ");
    Some(format!(
        "no certificate of this node can name its address {found}, which is no private one: \
         phones and browsers that use it refuse. Have them use a name that ends in .local or \
         another address; or put it into hosts in config.toml and run `islet new-authority`"
    ))
}
