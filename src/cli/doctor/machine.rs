//! Checks of the directory, the disk, the configuration and the certificates.

use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use x509_parser::prelude::{FromDer, X509Certificate};

use super::Finding;
use crate::cli::certificates::left_out;
use crate::cli::config::problems;
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
        match std::fs::read_dir(dir) {
            // What is missing has a finding of its own.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            entries => {
                for entry in entries? {
                    paths.push(entry?.path());
                }
            }
        }
    }
    paths.push(data.join(DATABASE_FILE));
    let mut open = Vec::new();
    for path in paths {
        match files::others_mode(&path) {
            Ok(0) => {}
            Ok(_) => open.push(path),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
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
    let check = "configuration";
    let loaded = data.config(|_| {});
    let plain = loaded.as_ref().is_ok_and(|config| config.allow_plain_lan);
    let problems = problems(loaded, data);
    if !problems.is_empty() {
        return Finding::fail(check, problems.join("; "));
    }
    if plain {
        let text = "allow_plain_lan is on: passwords may cross the network for anyone to read";
        return Finding::warn(check, text);
    }
    Finding::ok(check, "no mistakes")
}

/// The certificate authority is there, vouches for the configured hosts and lives on.
pub(super) fn certificates(data: &DataDir) -> Finding {
    let check = "certificates";
    let authority = match CertificateAuthority::open(&data.join(TLS)) {
        Ok(authority) => Arc::new(authority),
        Err(error) => return Finding::fail(check, error.to_string()),
    };
    // A configuration with mistakes, and a host that cannot be vouched for, have a finding of their own.
    let config = data.config(|_| {}).unwrap_or_default();
    let mut hosts = config.hosts;
    hosts.retain(|host| authority.refuses(std::slice::from_ref(host)).is_empty());
    let now = SystemTime::now();
    let made = TlsIdentity::new(Arc::clone(&authority), &hosts, now);
    let names = match made {
        Ok(identity) => identity.names().join(", "),
        Err(error) => return Finding::fail(check, error.to_string()),
    };
    match days_left(authority.der(), now) {
        None => Finding::fail(check, "the authority has no readable dates"),
        Some(days) if days < 0 => Finding::fail(
            check,
            "the authority has ended: if the clock is right, run `islet new-authority` and visit \
             every phone",
        ),
        Some(days) if days < limits::CA_WARN_DAYS => Finding::warn(
            check,
            format!(
                "the authority ends in {days} days: plan `islet new-authority` and a visit to every phone"
            ),
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

/// People use the addresses of the machine, so a certificate should name them.
pub(super) fn addresses(data: &DataDir) -> Finding {
    let check = "addresses";
    let config = data.config(|_| {}).unwrap_or_default();
    let authority = CertificateAuthority::open(&data.join(TLS)).ok();
    match authority.and_then(|authority| left_out(&authority, config.https)) {
        Some(text) => Finding::warn(check, text),
        None => Finding::ok(
            check,
            "there is none that a certificate should name and cannot",
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
