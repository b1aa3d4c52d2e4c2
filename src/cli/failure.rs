//! Why a command did not do its work, with its exit code. Texts go to standard error.

use std::io::{self, ErrorKind};
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::service;
use crate::store::StoreError;

/// What to do where this user may not.
const AS_ANOTHER_USER: &str =
    "run this as the user that the node belongs to, such as `sudo -u islet islet ...`";

/// What the process ends with.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Exit {
    /// Nobody reads the output any more, which is no error.
    Ended = 0,
    /// It could not be done.
    Failure = 1,
    /// The command line makes no sense.
    Usage = 2,
    /// It was done and found problems.
    Problems = 3,
    /// The database or the disk failed: EX_IOERR of sysexits.h.
    Storage = 74,
    /// This user may not: EX_NOPERM of sysexits.h.
    Permission = 77,
}

/// A command that ended badly.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What went wrong and what to do; nothing more is said when it is empty.
    pub text: String,
}

impl Failure {
    /// It could not be done.
    pub fn new(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Failure,
            text: text.into(),
        }
    }

    /// The command line makes no sense.
    pub fn usage(text: impl Into<String>) -> Self {
        Self {
            exit: Exit::Usage,
            text: text.into(),
        }
    }

    /// It was done and found problems, which were printed.
    #[must_use]
    pub const fn problems() -> Self {
        Self {
            exit: Exit::Problems,
            text: String::new(),
        }
    }

    /// Nobody reads the output any more.
    #[must_use]
    pub const fn ended() -> Self {
        Self {
            exit: Exit::Ended,
            text: String::new(),
        }
    }

    /// A file could not be read or written.
    #[must_use]
    pub fn io(what: &str, path: &Path, error: &io::Error) -> Self {
        Self::of_io(format!("cannot {what} {}: {error}", path.display()), error)
    }

    /// Whose fault an error of the file system is: the user's, who may not, or the disk's.
    fn of_io(text: String, error: &io::Error) -> Self {
        if error.kind() == ErrorKind::PermissionDenied {
            return Self {
                exit: Exit::Permission,
                text: format!("{text}; {AS_ANOTHER_USER}"),
            };
        }
        Self {
            exit: Exit::Storage,
            text,
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        if let StoreError::Io(_, source) = &error {
            return Self::of_io(error.to_string(), source);
        }
        let storage = matches!(
            error,
            StoreError::Damaged(_) | StoreError::DiskFull | StoreError::Sqlite(_)
        );
        let exit = match &error {
            _ if storage => Exit::Storage,
            StoreError::NotOwner { .. } => Exit::Permission,
            _ => Exit::Failure,
        };
        Self {
            exit,
            text: error.to_string(),
        }
    }
}

impl From<service::Error> for Failure {
    fn from(error: service::Error) -> Self {
        match error {
            service::Error::Store(error) => error.into(),
            service::Error::Internal(text) => Self::new(text),
            other => Self::new(other.to_string()),
        }
    }
}

impl From<ConfigError> for Failure {
    fn from(error: ConfigError) -> Self {
        Self::new(error.to_string())
    }
}
