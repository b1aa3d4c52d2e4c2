//! The authority on disk, its leaves before real clients, and the page.

mod disk;
mod page;
mod trust;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tempfile::TempDir;

use super::*;

fn authority_in(dir: &Path, hosts: &[&str]) -> Result<CertificateAuthority, TlsError> {
    let hosts: Vec<String> = hosts.iter().map(|&host| host.to_owned()).collect();
    CertificateAuthority::create(dir, &hosts, SystemTime::now())
}

/// The directory goes away with the first value.
fn authority(hosts: &[&str]) -> (TempDir, Arc<CertificateAuthority>) {
    let parent = tempfile::tempdir().unwrap();
    let authority = authority_in(&parent.path().join("tls"), hosts).unwrap();
    (parent, Arc::new(authority))
}
