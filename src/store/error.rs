//! What can go wrong in the store, as the rest of the node sees it.

use thiserror::Error;

/// Why the store could not do something. Texts are for operators; callers map them to answers.
#[derive(Debug, Error)]
pub enum StoreError {
    /// A bounded queue is full. Nothing was done; try again in a moment.
    #[error("too much work is waiting")]
    Overloaded,
    /// A read ran longer than its limit.
    #[error("the read took too long and was cut off")]
    TimedOut,
    /// The disk is full. Nothing was changed.
    #[error("the disk is full: nothing was changed; free some space")]
    DiskFull,
    /// The node is stopping.
    #[error("the node is stopping")]
    Closed,
    /// A job panicked; its changes were undone.
    #[error("an internal error occurred; the change was undone")]
    Panicked,
    /// There is no database here.
    #[error("{0} holds no node: make one with `islet init`")]
    Missing(std::path::PathBuf),
    /// There is a database here already.
    #[error("{0} already holds a node")]
    Exists(std::path::PathBuf),
    /// Another process has the data directory.
    #[error("{0} is in use by another islet process")]
    Locked(std::path::PathBuf),
    /// The database was written by a newer version.
    #[error("the database has schema {found}, this version knows {known}: install a newer islet")]
    Newer {
        /// Version found.
        found: i64,
        /// Newest version known.
        known: i64,
    },
    /// What is stored contradicts itself.
    #[error("the database is damaged: {0}")]
    Damaged(String),
    /// SQLite or the disk reported something else.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
    /// The file system reported something.
    #[error("{0}: {1}")]
    Io(std::path::PathBuf, std::io::Error),
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode;
        match error.sqlite_error_code() {
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::OperationInterrupted) => Self::TimedOut,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        }
    }
}

impl StoreError {
    /// Whether the disk can no longer be trusted: the process must end and start afresh.
    #[must_use]
    pub(super) fn is_fatal(&self) -> bool {
        use rusqlite::ErrorCode;
        match self {
            Self::Damaged(_) => true,
            Self::Sqlite(error) => {
                matches!(error.sqlite_error_code(), Some(ErrorCode::SystemIoFailure))
            }
            _ => false,
        }
    }
}
