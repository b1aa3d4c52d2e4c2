//! Where the socket is. Its path may be longer than the 108 bytes that a socket address holds
//! (unix(7)); then it is reached through the open directory.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use crate::cli::DataDir;

/// Name of the socket in the data directory.
pub(super) const NAME: &str = "control.sock";
/// Longest path that is used as it is; a NUL and some room below the limit.
const PATH_BYTES_MAX: usize = 100;

/// A path for `bind` and `connect`, valid for as long as this lives.
pub(super) struct SocketPath {
    pub(super) path: PathBuf,
    _dir: Option<File>,
}

impl SocketPath {
    pub(super) fn of(data: &DataDir) -> io::Result<Self> {
        let path = data.join(NAME);
        if path.as_os_str().len() <= PATH_BYTES_MAX {
            return Ok(Self { path, _dir: None });
        }
        let dir = File::open(data.path())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", dir.as_raw_fd())).join(NAME);
        Ok(Self {
            path,
            _dir: Some(dir),
        })
    }
}
