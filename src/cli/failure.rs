//! Why a command did not do its work, with its exit code. Texts go to standard error.

use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::config::ConfigError;
use crate::service;
use crate::store::StoreError;

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
        Self {
            exit: Exit::Storage,
            text: format!("cannot {what} {}: {error}", path.display()),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        let storage = matches!(
            error,
            StoreError::Damaged(_)
                | StoreError::DiskFull
                | StoreError::Sqlite(_)
                | StoreError::Io(..)
        );
        Self {
            exit: if storage {
                Exit::Storage
            } else {
                Exit::Failure
            },
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
