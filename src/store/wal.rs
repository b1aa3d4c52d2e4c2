//! Keeps the write-ahead log short.
//!
//! SQLite's own automatic checkpoint runs inside of a commit, where a caller waits for it, and says
//! nothing when its fsync fails. Here the writer checkpoints after its callers were answered.
//!
//! Must never: swallow an error of the disk.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::Connection;

use super::StoreError;
use crate::limits;

/// The length of the log, as SQLite told at the last commit.
#[derive(Debug)]
pub(super) struct Wal {
    pages: Arc<AtomicU32>,
    /// From this length on the log is to begin anew.
    restart_at: u32,
}

impl Wal {
    /// Watches the log of the writer's connection.
    pub(super) fn watch(connection: &mut Connection) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut _, length: std::ffi::c_int| {
            seen.store(length.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            pages,
            restart_at: limits::WAL_RESTART_PAGES,
        })
    }

    /// Copies the log back into the database when it is long; waits for readers only when it is
    /// very long.
    pub(super) fn checkpoint_if_due(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < limits::WAL_CHECKPOINT_PAGES {
            self.restart_at = limits::WAL_RESTART_PAGES;
            return Ok(());
        }
        if pages < self.restart_at {
            return checkpoint(connection, "PASSIVE");
        }
        self.restart_at = pages.saturating_add(limits::WAL_CHECKPOINT_PAGES);
        connection.busy_timeout(limits::WAL_RESTART_WAIT)?;
        let result = checkpoint(connection, "RESTART");
        connection.busy_timeout(limits::BUSY_TIMEOUT)?;
        result
    }

    /// Copies everything back and empties the log.
    pub(super) fn fold(&self, connection: &Connection) -> Result<(), StoreError> {
        checkpoint(connection, "TRUNCATE")
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> Result<(), StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    // Its answer is whether readers were in the way; the next one goes on where they were.
    Ok(connection.query_row(&sql, [], |_| Ok(()))?)
}
