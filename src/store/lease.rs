//! The file `replica.lease`: what is known of this replica outside its database.
//!
//! `islet_sync::incarnation` says why. One line: the replica's id, how often it was started, the seqs that are leased,
//! and digests of what identifies the machine. Must be durable before the seqs that it leases are used, and
//! never hold what identifies the machine itself.

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use islet_sync::chain::ReplicaId;
use islet_sync::incarnation::Outside;

use super::StoreError;

/// The file in a data directory.
pub const LEASE_FILE: &str = "replica.lease";
/// Version of the file, its first word.
const VERSION: &str = "1";
/// Where Linux says what machine this is: its own id, the board, the card.
const PARTS: [&str; 3] = [
    "/etc/machine-id",
    "/sys/firmware/devicetree/base/serial-number",
    "/sys/block/mmcblk0/device/cid",
];

/// The file, as it was read or last written.
#[derive(Clone, Debug)]
pub(super) struct Lease {
    path: PathBuf,
    pub(super) outside: Option<Outside>,
    same_machine: bool,
}

impl Lease {
    /// Reads the file in `dir`; one that cannot be understood counts as missing. One that cannot be read does not:
    /// a replica that is given up for a wrong owner or a passing fault gives up its places in the queue.
    pub(super) fn open(dir: &Path) -> Result<Self, StoreError> {
        let path = dir.join(LEASE_FILE);
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if [io::ErrorKind::NotFound, io::ErrorKind::InvalidData]
                    .contains(&error.kind()) =>
            {
                String::new()
            }
            Err(error) => return Err(StoreError::Io(path, error)),
        };
        let words: Vec<&str> = text.split_whitespace().collect();
        let read = parse(&words);
        let machine = machine();
        let same_machine = read
            .as_ref()
            .is_none_or(|(_, parts)| is_same(parts, &machine));
        Ok(Self {
            path,
            outside: read.map(|(outside, _)| outside),
            same_machine,
        })
    }

    /// Whether the machine is the one that the file was last written on, as far as can be told.
    pub(super) const fn same_machine(&self) -> bool {
        self.same_machine
    }

    /// Makes `outside` durable.
    pub(super) fn write(&mut self, outside: Outside) -> Result<(), StoreError> {
        let id = u128::from_be_bytes(outside.replica.0);
        let Outside {
            starts,
            leased_at,
            leased_to,
            ..
        } = outside;
        let text = format!(
            "{VERSION} {id:032x} {starts} {leased_at} {leased_to} {}\n",
            machine().join(" ")
        );
        let io = |error: io::Error| match error.kind() {
            io::ErrorKind::StorageFull => StoreError::DiskFull,
            _ => StoreError::Io(self.path.clone(), error),
        };
        let new = self.path.with_extension("lease.new");
        let mut file = fs::File::create(&new).map_err(io)?;
        file.write_all(text.as_bytes())
            .and_then(|()| file.sync_all())
            .map_err(io)?;
        fs::rename(&new, &self.path).map_err(io)?;
        let dir = self.path.parent().unwrap_or(&self.path);
        fs::File::open(dir)
            .and_then(|dir| dir.sync_all())
            .map_err(io)?;
        (self.outside, self.same_machine) = (Some(outside), true);
        Ok(())
    }
}

fn parse(words: &[&str]) -> Option<(Outside, Vec<String>)> {
    let [VERSION, id, starts, leased_at, leased_to, parts @ ..] = words else {
        return None;
    };
    let outside = Outside {
        replica: ReplicaId(u128::from_str_radix(id, 16).ok()?.to_be_bytes()),
        starts: starts.parse().ok()?,
        leased_at: leased_at.parse().ok()?,
        leased_to: leased_to.parse().ok()?,
    };
    Some((
        outside,
        parts.iter().map(|part| (*part).to_owned()).collect(),
    ))
}

/// Digests of what identifies this machine, in the order of [`PARTS`] and then the network cards; what it does not
/// have is left out.
fn machine() -> Vec<String> {
    let files = PARTS.iter().map(PathBuf::from);
    let cards = fs::read_dir("/sys/class/net")
        .into_iter()
        .flatten()
        .flatten();
    // A card on a bus; bridges and tunnels come and go.
    let cards = cards
        .map(|card| card.path())
        .filter(|card| card.join("device").exists());
    let mut cards: Vec<PathBuf> = cards.map(|card| card.join("address")).collect();
    cards.sort();
    let read = |path: PathBuf| fs::read(path).ok().filter(|bytes| !bytes.is_empty());
    files
        .chain(cards.into_iter().take(2))
        .filter_map(read)
        .map(|bytes| digest(&bytes))
        .collect()
}

fn digest(bytes: &[u8]) -> String {
    let mut hasher = blake3::Hasher::new_derive_key("islet 2026 machine part");
    hasher.update(bytes);
    hasher.finalize().to_hex()[..16].to_owned()
}

/// Half of the parts are enough: a card or an adapter may have been replaced. When one of both names none,
/// nothing can be told.
fn is_same(before: &[String], now: &[String]) -> bool {
    let common = before.iter().filter(|part| now.contains(part)).count();
    before.is_empty() || now.is_empty() || 2 * common >= before.len().min(now.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read_and_rubbish_is_no_file() {
        let dir = tempfile::tempdir().unwrap();
        let mut lease = Lease::open(dir.path()).unwrap();
        assert!(lease.outside.is_none() && lease.same_machine());
        let outside = Outside {
            replica: ReplicaId([9; 16]),
            starts: 3,
            leased_at: 7,
            leased_to: 1031,
        };
        lease.write(outside).unwrap();
        let again = Lease::open(dir.path()).unwrap();
        assert_eq!((again.outside, again.same_machine()), (Some(outside), true));
        for rubbish in ["", "2 00 1 1 1", "1 zz 1 1 1", "1 00 1 1", "\u{0}\u{0}"] {
            fs::write(dir.path().join(LEASE_FILE), rubbish).unwrap();
            assert!(
                Lease::open(dir.path()).unwrap().outside.is_none(),
                "{rubbish}"
            );
        }
    }

    #[test]
    fn a_machine_is_the_same_while_half_of_its_parts_are() {
        let parts = |text: &str| {
            text.split_whitespace()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert!(is_same(&parts("a b c d"), &parts("a b x y")));
        assert!(!is_same(&parts("a b c d"), &parts("a x y z")));
        assert!(!is_same(&parts("a"), &parts("b")));
        assert!(is_same(&parts(""), &parts("a")) && is_same(&parts("a"), &parts("")));
    }

    #[test]
    fn a_file_that_cannot_be_read_is_not_a_missing_one() {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join(LEASE_FILE)).unwrap();
        let unreadable = Lease::open(dir.path());
        assert!(
            matches!(unreadable, Err(StoreError::Io(..))),
            "{unreadable:?}"
        );
    }
}
