//! Checks of the directory, the disk, the configuration and the certificates.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::Finding;
use crate::cli::data_dir::{KEYS, TLS};
use crate::cli::{DataDir, files};
use crate::http::tls::{CertificateAuthority, TlsIdentity};
use crate::limits;
use crate::store::{DATABASE_FILE, space};

/// Nobody else may read or change the directory, the keys or the database.
pub(super) fn permissions(data: &DataDir) -> Finding {
    let check = "permissions";
    if let Ok((owner, foreign)) = foreign_files(data)
        && !foreign.is_empty()
    {
        let names: Vec<_> = foreign.iter().map(|it| it.display().to_string()).collect();
        let text = format!(
            "the directory belongs to the user with id {owner}, but not {}: run `chown -R {owner} {}` as root, and \
             commands as that user",
            names.join(", "),
            data.path().display()
        );
        return Finding::fail(check, text);
    }
    match open_to_others(data) {
        Ok(open) if open.is_empty() => Finding::ok(check, "only this user can use the files"),
        Ok(open) => {
            let names: Vec<_> = open.iter().map(|path| path.display().to_string()).collect();
            Finding::fail(
                check,
                format!(
                    "other users of this machine can use {}: run `chmod -R go= {}`",
                    names.join(", "),
                    data.path().display()
                ),
            )
        }
        Err(error) => Finding::fail(check, format!("cannot look at the files: {error}")),
    }
}

/// The owner of the directory, and files of others in it: the node may not be able to read or change them.
fn foreign_files(data: &DataDir) -> io::Result<(u32, Vec<PathBuf>)> {
    let owner = std::fs::metadata(data.path())?.uid();
    let mut foreign = Vec::new();
    for dir in [data.path().to_owned(), data.join(KEYS), data.join(TLS)] {
        for entry in std::fs::read_dir(dir)? {
            let entry = entry?;
            if entry.metadata()?.uid() != owner {
                foreign.push(entry.path());
            }
        }
    }
    Ok((owner, foreign))
}

/// The directory itself when it is open; else what in it is, which is bad only for keys: nobody
/// else gets to the rest.
fn open_to_others(data: &DataDir) -> io::Result<Vec<PathBuf>> {
    let mut paths = vec![data.path().to_owned(), data.join(KEYS), data.join(TLS)];
    for dir in [data.join(KEYS), data.join(TLS)] {
        for entry in std::fs::read_dir(dir)? {
            paths.push(entry?.path());
        }
    }
    paths.push(data.join(DATABASE_FILE));
    let mut open = Vec::new();
    for path in paths {
        if files::others_mode(&path)? != 0 {
            open.push(path);
        }
    }
    Ok(open)
}

/// There must be room for the write-ahead log and the next days.
pub(super) fn disk_space(data: &DataDir) -> Finding {
    let check = "disk space";
    let (fails, warns) = limits::DISK_FREE_MIN;
    match free_bytes(data.path()) {
        Err(error) => Finding::fail(check, format!("cannot be told: {error}")),
        Ok(free) => {
            let text = format!("{} MiB free", free >> 20);
            if free < space::ROOM_BYTES && !space::has_ballast(data.path()) {
                let room = space::ROOM_BYTES >> 20;
                Finding::fail(
                    check,
                    format!(
                        "{text}: writes are refused, or about to be, until {room} MiB are free"
                    ),
                )
            } else if free < fails {
                Finding::fail(
                    check,
                    format!("{text}: free some now, writes are about to fail"),
                )
            } else if free < warns {
                Finding::warn(check, format!("{text}: free some soon"))
            } else {
                Finding::ok(check, text)
            }
        }
    }
}

fn free_bytes(path: &Path) -> io::Result<u64> {
    let disk = rustix::fs::statvfs(path)?;
    Ok(disk.f_bavail.saturating_mul(disk.f_frsize))
}

/// The configuration can be used.
pub(super) fn config(data: &DataDir) -> Finding {
    match data.config(|_| {}) {
        Ok(config) if config.allow_plain_lan => Finding::warn(
            "configuration",
            "allow_plain_lan is on: passwords may cross the network for anyone to read",
        ),
        Ok(_) => Finding::ok("configuration", "no mistakes"),
        Err(failure) => Finding::fail("configuration", failure.text.replace('\n', "; ")),
    }
}

/// The certificate authority is there, vouches for the configured hosts and lives on.
pub(super) fn certificates(data: &DataDir) -> Finding {
    let check = "certificates";
    let authority = match CertificateAuthority::open(&data.join(TLS)) {
        Ok(authority) => Arc::new(authority),
        Err(error) => return Finding::fail(check, error.to_string()),
    };
    // A configuration with mistakes has a finding of its own.
    let hosts = data.config(|_| {}).map(|config| config.hosts);
    let now = SystemTime::now();
    let made = TlsIdentity::new(Arc::clone(&authority), &hosts.unwrap_or_default(), now);
    let names = match made {
        Ok(identity) => identity.names().join(", "),
        Err(error) => return Finding::fail(check, error.to_string()),
    };
    match days_left(authority.der(), now) {
        None => Finding::fail(check, "the authority has no readable dates"),
        Some(days) if days < 0 => Finding::fail(
            check,
            "the authority has ended: if the clock is right, make a new one and visit every phone",
        ),
        Some(days) if days < limits::CA_WARN_DAYS => Finding::warn(
            check,
            format!("the authority ends in {days} days: plan to visit every phone"),
        ),
        Some(days) => Finding::ok(
            check,
            format!(
                "the authority lives {} more years; this node is {names}",
                days / 365
            ),
        ),
    }
}

fn days_left(der: &[u8], now: SystemTime) -> Option<i64> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let since = now.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    let now_s = i64::try_from(since.as_secs()).ok()?;
    let end_s = certificate.validity().not_after.timestamp();
    Some((end_s - now_s).div_euclid(24 * 3600))
}
