//! What can go wrong in the store, as the rest of the node sees it.
//!
//! Must never: take a disk error for something that can be tried again; an fsync that failed once
//! may succeed the next time without having written anything.

use std::cell::RefCell;

use thiserror::Error;

/// Exit status after a storage failure: EX_IOERR of sysexits.h.
const EXIT_STORAGE: i32 = 74;

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
    /// The data directory is another user's, who could not use what this one would write there.
    #[error(
        "{dir} belongs to the user with id {owner}: run this command as that user, `sudo -u '#{owner}' islet ...`"
    )]
    NotOwner {
        /// The directory.
        dir: std::path::PathBuf,
        /// Id of its user.
        owner: u32,
    },
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
    /// The disk reported an error.
    #[error("the disk failed: {0}")]
    Storage(String),
    /// The commit that a write was part of failed; nothing of it was changed.
    #[error("nothing was changed: {0}")]
    Undone(String),
    /// SQLite reported something else.
    #[error("database: {0}")]
    Sqlite(rusqlite::Error),
    /// The file system reported something.
    #[error("{0}: {1}")]
    Io(std::path::PathBuf, std::io::Error),
}

impl StoreError {
    /// Whether the schema refused a value.
    pub(super) fn is_constraint(&self) -> bool {
        let Self::Sqlite(error) = self else {
            return false;
        };
        error.sqlite_error_code() == Some(rusqlite::ErrorCode::ConstraintViolation)
    }
}

impl From<rusqlite::Error> for StoreError {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::{ErrorCode, ffi};
        let extended = error.sqlite_error().map(|error| error.extended_code);
        let error = match error.sqlite_error_code() {
            // No room for the index of the write-ahead log is a full disk, not a broken one.
            Some(ErrorCode::SystemIoFailure) if extended == Some(ffi::SQLITE_IOERR_SHMSIZE) => {
                Self::DiskFull
            }
            Some(ErrorCode::SystemIoFailure) => Self::Storage(error.to_string()),
            Some(ErrorCode::DiskFull) => Self::DiskFull,
            Some(ErrorCode::OperationInterrupted) => Self::TimedOut,
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => Self::Overloaded,
            Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
                Self::Damaged(error.to_string())
            }
            _ => Self::Sqlite(error),
        };
        if error.is_fatal() || matches!(error, Self::DiskFull) {
            note_fault(&error);
        }
        error
    }
}

thread_local! {
    /// The worst error of the disk or the file on this thread. A job turns errors into its caller's
    /// type, so the thread that runs it would not see them otherwise.
    static FAULT: RefCell<Option<StoreError>> = const { RefCell::new(None) };
}

fn note_fault(error: &StoreError) {
    let worst = FAULT.take().filter(StoreError::is_fatal);
    FAULT.set(worst.or_else(|| Some(error.again())));
}

/// Takes the worst error that SQLite reported of the disk or of its file on this thread since the
/// last call, if it did. What [`StoreError::Damaged`] says of rows that contradict each other is not
/// among them: only one row is wrong then.
pub(super) fn take_fault() -> Option<StoreError> {
    FAULT.take()
}

impl StoreError {
    /// Whether the disk can no longer be trusted: the process must end and start afresh.
    #[must_use]
    pub(super) const fn is_fatal(&self) -> bool {
        matches!(self, Self::Damaged(_) | Self::Storage(_))
    }

    /// Ends the process if the disk can no longer be trusted. Called by the threads of the store once
    /// they have answered whom they could.
    pub(super) fn stop_if_fatal(&self) {
        if self.is_fatal() {
            tracing::error!(error = %self, "storage can no longer be trusted: stopping to start afresh");
            std::process::exit(EXIT_STORAGE);
        }
    }

    /// The same for another caller whose write was undone together with the one that failed.
    pub(super) fn again(&self) -> Self {
        match self {
            Self::DiskFull => Self::DiskFull,
            Self::Overloaded => Self::Overloaded,
            Self::Storage(text) => Self::Storage(text.clone()),
            Self::Damaged(text) => Self::Damaged(text.clone()),
            other => Self::Undone(other.to_string()),
        }
    }
}
