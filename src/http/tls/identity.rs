//! The certificate that listeners present, replaced while they run. Must never interrupt an open
//! connection, nor leave the listeners without a certificate because a new one could not be made.

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use rustls::crypto::CryptoProvider;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, version};
use tokio_util::sync::CancellationToken;

use super::leaf::{self, Validity};
use super::names::{Host, Names};
use super::{CertificateAuthority, TlsError};
use crate::limits::LEAF_CHECK_EVERY;

/// What a TLS listener presents: a leaf of the node's authority, TLS 1.3 and 1.2, HTTP/2 and
/// HTTP/1.1. New connections see a new leaf as soon as there is one.
pub struct TlsIdentity {
    authority: Arc<CertificateAuthority>,
    hosts: Vec<Host>,
    provider: Arc<CryptoProvider>,
    current: Arc<Current>,
    config: Arc<ServerConfig>,
}

struct Leaf {
    certified: Arc<CertifiedKey>,
    names: Names,
    validity: Validity,
}

/// The leaf in use, read at each handshake.
struct Current(RwLock<Arc<Leaf>>);

impl Current {
    fn get(&self) -> Arc<Leaf> {
        Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn set(&self, leaf: Leaf) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(leaf);
    }
}

impl fmt::Debug for Current {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_tuple("Current").field(&self.get().names).finish()
    }
}

impl ResolvesServerCert for Current {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.get().certified))
    }
}

impl TlsIdentity {
    /// Makes the first leaf, for `hosts` (names or addresses), `<hostname>.local`, `localhost` and
    /// the machine's private addresses.
    ///
    /// # Errors
    /// [`TlsError::BadHost`], or [`TlsError::NotPermitted`] for a host that the authority was not
    /// made for; [`TlsError::Io`] if the machine does not tell its addresses.
    pub fn new(
        authority: Arc<CertificateAuthority>,
        hosts: &[String],
        now: SystemTime,
    ) -> Result<Self, TlsError> {
        let hosts = hosts
            .iter()
            .map(|host| Host::parse(host))
            .collect::<Result<Vec<_>, _>>()?;
        for host in &hosts {
            authority.permitted().check(host)?;
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let names = Names::of_machine(&hosts, authority.permitted())?;
        let first = make(&authority, &provider, names, now)?;
        let current = Arc::new(Current(RwLock::new(Arc::new(first))));
        let config = server_config(
            &provider,
            Arc::clone(&current) as Arc<dyn ResolvesServerCert>,
        )?;
        Ok(Self {
            authority,
            hosts,
            provider,
            current,
            config: Arc::new(config),
        })
    }

    /// For a TLS acceptor; it stays valid through renewals.
    #[must_use]
    pub fn server_config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }

    /// The authority that vouches for the leaf.
    #[must_use]
    pub fn authority(&self) -> &Arc<CertificateAuthority> {
        &self.authority
    }

    /// Names and addresses under which clients accept the leaf in use, names first.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.current.get().names.to_strings()
    }

    /// Makes a new leaf if a third of the life of the one in use is left, or if the machine's name
    /// or addresses changed. Answers whether it did.
    ///
    /// # Errors
    /// As [`TlsIdentity::new`]; the old leaf stays in use.
    pub fn refresh(&self, now: SystemTime) -> Result<bool, TlsError> {
        let names = Names::of_machine(&self.hosts, self.authority.permitted())?;
        self.refresh_for(names, now)
    }

    pub(super) fn refresh_for(&self, names: Names, now: SystemTime) -> Result<bool, TlsError> {
        let leaf = self.current.get();
        let due = leaf.names != names || leaf.validity.wants_renewal(now);
        if due {
            self.replace(names, now)?;
        }
        Ok(due)
    }

    fn replace(&self, names: Names, now: SystemTime) -> Result<(), TlsError> {
        self.current
            .set(make(&self.authority, &self.provider, names, now)?);
        Ok(())
    }

    /// Calls [`TlsIdentity::refresh`] once a minute until `stop` is cancelled.
    pub async fn keep_fresh(self: Arc<Self>, stop: CancellationToken) {
        let mut ticks = tokio::time::interval(LEAF_CHECK_EVERY);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = ticks.tick() => {}
            }
            match self.refresh(SystemTime::now()) {
                Ok(true) => tracing::info!(names = ?self.names(), "certificate renewed"),
                Ok(false) => {}
                Err(error) => {
                    tracing::error!(%error, "certificate not renewed: keeping the old one");
                }
            }
        }
    }
}

fn make(
    authority: &CertificateAuthority,
    provider: &CryptoProvider,
    names: Names,
    now: SystemTime,
) -> Result<Leaf, TlsError> {
    let validity = Validity::of_leaf(now);
    let (chain, key) = authority.issue(&leaf::leaf(names.to_san()?, validity)?)?;
    let certified = Arc::new(CertifiedKey::from_der(chain, key, provider)?);
    Ok(Leaf {
        certified,
        names,
        validity,
    })
}

fn server_config(
    provider: &Arc<CryptoProvider>,
    certificates: Arc<dyn ResolvesServerCert>,
) -> Result<ServerConfig, TlsError> {
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(certificates);
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // Keys that live in memory for hours, then change: a phone that comes back saves a signature.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    Ok(config)
}
