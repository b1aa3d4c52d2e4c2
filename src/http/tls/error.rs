//! What can go wrong with certificates, in words that say what to do. Must never hold key material.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

/// Why there is no certificate authority or no certificate.
#[derive(Debug, Error)]
pub enum TlsError {
    /// The file system refused.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The key can be read, or replaced, by others.
    #[error(
        "{path} is open to other users of this machine (mode {mode:o}): \
         run `chmod {wanted:o} {path}`; if they are not to be trusted, make a new authority with \
         `islet new-authority`"
    )]
    Exposed {
        /// File or directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
        /// What they should be.
        wanted: u32,
    },
    /// There is no authority yet.
    #[error(
        "there is no certificate authority in {0}: restore it from a backup, or copy it from \
         another node of the network; only when there is none, make another with `islet \
         new-authority`, and set up every phone and computer again"
    )]
    Absent(PathBuf),
    /// There is one already, or half of one.
    #[error("{0} exists already: a certificate authority is never written over")]
    Exists(PathBuf),
    /// One of the two files is gone.
    #[error(
        "{0} is missing: restore it from a backup, or copy tls/ from another node of the network; \
         only when there is none, make another authority with `islet new-authority`, and set up \
         every phone and computer again"
    )]
    Missing(PathBuf),
    /// A file does not hold what it should.
    #[error(
        "{path} is damaged ({why}): restore it from a backup, or copy tls/ from another node of \
         the network. A new authority (`islet new-authority`) would have to be trusted by hand on \
         every phone and computer"
    )]
    Damaged {
        /// Which file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The authority may not vouch for this name.
    #[error(
        "the certificate authority cannot vouch for {host}, only for names in {permitted} and for \
         private addresses: use one of those, or make a new authority with `islet new-authority` \
         and have every phone and computer trust it"
    )]
    NotPermitted {
        /// The configured name.
        host: String,
        /// Domains that it may vouch for.
        permitted: String,
    },
    /// Not a name of a host.
    #[error("{0:?} is neither a host name nor an address")]
    BadHost(String),
    /// The certificate could not be made.
    #[error("cannot make a certificate: {0}")]
    Making(#[from] rcgen::Error),
    /// The certificate could not be used.
    #[error("cannot use the certificate: {0}")]
    Using(#[from] rustls::Error),
    /// The system has no randomness.
    #[error("the system gives no random numbers")]
    NoRandomness,
}
