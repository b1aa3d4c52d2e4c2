//! One process per data directory.

use std::fs::{File, TryLockError};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use super::StoreError;

/// An exclusive lock on a data directory, let go when dropped or when the process ends, however
/// it ends.
#[derive(Debug)]
pub struct DirLock(#[expect(dead_code, reason = "holds the lock")] File);

impl DirLock {
    /// Takes the lock on `dir`, which must exist.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another process has it, [`StoreError::Missing`] when there is
    /// no such directory, [`StoreError::NotOwner`] when it is another user's.
    pub fn take(dir: &Path) -> Result<Self, StoreError> {
        let metadata = match std::fs::metadata(dir) {
            Ok(metadata) if metadata.is_dir() => metadata,
            _ => return Err(StoreError::Missing(dir.to_owned())),
        };
        let owner = metadata.uid();
        if owner != rustix::process::geteuid().as_raw() {
            let dir = dir.to_owned();
            return Err(StoreError::NotOwner { dir, owner });
        }
        let path = dir.join("lock");
        let file = File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path);
        let file = file.map_err(|error| StoreError::Io(path.clone(), error))?;
        match file.try_lock() {
            Ok(()) => Ok(Self(file)),
            Err(TryLockError::WouldBlock) => Err(StoreError::Locked(dir.to_owned())),
            Err(TryLockError::Error(error)) => Err(StoreError::Io(path, error)),
        }
    }
}
