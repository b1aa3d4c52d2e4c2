//! What happens when the disk is full.
//!
//! A ballast file takes up [`limits::BALLAST_BYTES`]. When SQLite finds the disk full, the ballast
//! is deleted, ordinary writes are refused, and log-outs, blocks and audit entries go on in the space that
//! it leaves. Once there is room again, the ballast is put back first.
//!
//! Must never: stop the node because the ballast cannot be made; delete anything else.

use std::fs::{File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use crate::limits::BALLAST_BYTES;

/// The ballast in a data directory.
const BALLAST_FILE: &str = "ballast";

/// Free bytes that a disk which was full must have before ordinary writes go on: the ballast and as much again.
pub const ROOM_BYTES: u64 = 2 * BALLAST_BYTES;

/// Whether the ballast of a data directory is there: without it, the disk was full and still is, or the
/// ballast could not be made.
#[must_use]
pub fn has_ballast(dir: &Path) -> bool {
    std::fs::metadata(dir.join(BALLAST_FILE))
        .is_ok_and(|found| found.is_file() && found.len() >= BALLAST_BYTES)
}

/// Whether writes find room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// They do.
    Normal,
    /// They do not: only [`super::Lane::Essential`] writes are taken.
    DiskFull,
}

/// The disk that the data directory is on.
#[derive(Debug)]
pub(super) struct Space {
    dir: PathBuf,
    full: AtomicBool,
}

impl Space {
    /// Looks after the disk of `dir`, with a ballast when there is room for one.
    pub(super) fn open(dir: &Path) -> Self {
        let space = Self {
            dir: dir.to_owned(),
            full: AtomicBool::new(false),
        };
        if !has_ballast(dir) && space.has_room() {
            space.put_ballast();
        }
        space
    }

    /// Whether ordinary writes have to be refused. Looks at the disk only when it was full before.
    pub(super) fn health(&self) -> Health {
        if self.full.load(Ordering::Acquire) && !self.has_room() {
            Health::DiskFull
        } else {
            Health::Normal
        }
    }

    /// The same, for the writer: puts the ballast back first when there is room again.
    pub(super) fn recover(&self) -> Health {
        let health = self.health();
        if health == Health::Normal && self.full.load(Ordering::Acquire) {
            if !self.put_ballast() {
                return Health::DiskFull;
            }
            self.full.store(false, Ordering::Release);
            tracing::info!("there is room on the disk again: writes go on");
        }
        health
    }

    /// A write did not fit.
    pub(super) fn note_full(&self) {
        if !self.full.swap(true, Ordering::AcqRel) {
            tracing::error!(
                dir = %self.dir.display(),
                "the disk is full: nothing is stored until there is room; free some space"
            );
        }
        match std::fs::remove_file(self.ballast()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                tracing::error!(%error, "the ballast could not be deleted");
            }
            _ => {}
        }
    }

    fn ballast(&self) -> PathBuf {
        self.dir.join(BALLAST_FILE)
    }

    fn has_room(&self) -> bool {
        rustix::fs::statvfs(&self.dir)
            .is_ok_and(|disk| disk.f_bavail.saturating_mul(disk.f_frsize) >= ROOM_BYTES)
    }

    fn put_ballast(&self) -> bool {
        let path = self.ballast();
        match allocate(&path) {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(%error, "no space could be set aside for a full disk");
                let _ = std::fs::remove_file(path);
                false
            }
        }
    }
}

/// Makes a file whose bytes are really taken from the disk.
fn allocate(path: &Path) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .create(true)
        .write(true)
        .truncate(true)
        .open(path)?;
    let flags = rustix::fs::FallocateFlags::empty();
    match rustix::fs::fallocate(&file, flags, 0, BALLAST_BYTES) {
        Ok(()) => Ok(()),
        // FAT, NFS and the like cannot; writing takes the space too.
        Err(rustix::io::Errno::OPNOTSUPP) => fill(&mut file),
        Err(error) => Err(error.into()),
    }
}

fn fill(file: &mut File) -> io::Result<()> {
    io::copy(&mut io::Read::take(io::repeat(0x5a), BALLAST_BYTES), file)?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn either_way_of_making_it_takes_the_space() {
        let dir = tempfile::tempdir().unwrap();
        let (allocated, filled) = (dir.path().join("a"), dir.path().join("b"));
        allocate(&allocated).unwrap();
        fill(&mut File::create(&filled).unwrap()).unwrap();
        for path in [allocated, filled] {
            let found = std::fs::metadata(&path).unwrap();
            assert_eq!(found.len(), BALLAST_BYTES);
            assert!(found.blocks() * 512 >= BALLAST_BYTES, "{path:?} is sparse");
        }
    }

    #[test]
    fn a_full_disk_costs_the_ballast_and_room_brings_it_back() {
        let dir = tempfile::tempdir().unwrap();
        let space = Space::open(dir.path());
        let ballast = space.ballast();
        assert!(ballast.exists());
        space.note_full();
        assert!(!ballast.exists());
        // There is room: it was something else that filled up.
        assert_eq!(space.recover(), Health::Normal);
        assert!(ballast.exists());
        assert!(!space.full.load(Ordering::Acquire));
    }

    #[test]
    fn a_directory_that_cannot_be_written_stops_nothing() {
        let space = Space::open(Path::new("/nowhere/at/all"));
        assert_eq!(space.health(), Health::Normal);
        space.note_full();
        assert_eq!(space.health(), Health::DiskFull);
        assert_eq!(space.recover(), Health::DiskFull);
    }
}
