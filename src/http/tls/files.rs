//! Files of the authority: private from the first byte, and either whole or not there. Must never
//! write over a file in place.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use super::TlsError;

const DIR_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

fn failed<'a>(action: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> TlsError + 'a {
    move |source| TlsError::Io {
        action,
        path: path.to_owned(),
        source,
    }
}

/// Makes the directory for us alone; one that exists must already be.
pub(super) fn private_dir(dir: &Path) -> Result<(), TlsError> {
    let mut builder = DirBuilder::new();
    builder.recursive(true).mode(DIR_MODE);
    builder.create(dir).map_err(failed("create", dir))?;
    if let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        // The new entry, not only what will be in it, must survive a power cut.
        File::open(parent)
            .and_then(|dir| dir.sync_all())
            .map_err(failed("sync", parent))?;
    }
    check_private(dir, DIR_MODE)
}

/// Refuses what other users may read or change.
pub(super) fn check_private(path: &Path, wanted: u32) -> Result<(), TlsError> {
    let metadata = fs::metadata(path).map_err(failed("look at", path))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 == 0 {
        Ok(())
    } else {
        Err(TlsError::Exposed {
            path: path.to_owned(),
            mode,
            wanted,
        })
    }
}

/// The text of a file, or `None` when there is none.
pub(super) fn read_private(path: &Path) -> Result<Option<String>, TlsError> {
    let bytes = match fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed("read", path)(error)),
    };
    check_private(path, FILE_MODE)?;
    let damaged = |_| TlsError::Damaged {
        path: path.to_owned(),
        why: "not text".to_owned(),
    };
    String::from_utf8(bytes).map(Some).map_err(damaged)
}

/// Writes a file that survives a power cut whole or not at all: temporary file, fsync, rename,
/// fsync of the directory.
pub(super) fn write_private(dir: &Path, name: &str, text: &str) -> Result<(), TlsError> {
    let (path, temporary) = (dir.join(name), dir.join(format!(".{name}.tmp")));
    // Left by a run that was cut off, perhaps with other permissions.
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            return Err(failed("remove", &temporary)(error));
        }
        _ => {}
    }
    let write = || {
        let mut options = OpenOptions::new();
        let mut file = options
            .write(true)
            .create_new(true)
            .mode(FILE_MODE)
            .open(&temporary)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&temporary, &path)?;
        File::open(dir)?.sync_all()
    };
    write().map_err(failed("write", &path))
}
