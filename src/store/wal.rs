//! Keeps the write-ahead log short.
//!
//! SQLite's own automatic checkpoint runs inside of a commit, where a caller waits for it, and says
//! nothing when its fsync fails. Here a thread of its own copies pages back while the writer goes on; only to begin
//! the log anew the writer takes its turn, after its callers were answered.
//!
//! Must never: swallow an error of the disk.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::space::Space;
use super::{StoreError, connection};
use crate::limits;

/// The length of the log, as SQLite told at the last commit.
#[derive(Debug)]
pub(super) struct Wal {
    pages: Arc<AtomicU32>,
    /// From this length on it is to be copied back.
    copy_at: u32,
    /// From this length on the log is to begin anew.
    restart_at: u32,
    copier: Copier,
}

impl Wal {
    /// Watches the log of the writer's connection to the database at `path`.
    pub(super) fn watch(
        connection: &mut Connection,
        path: &Path,
        space: &Arc<Space>,
    ) -> Result<Self, StoreError> {
        let pages = Arc::new(AtomicU32::new(0));
        let seen = Arc::clone(&pages);
        connection.wal_hook(Some(move |_: &mut _, length: std::ffi::c_int| {
            seen.store(length.unsigned_abs(), Ordering::Relaxed);
            Ok(())
        }))?;
        Ok(Self {
            pages,
            copy_at: limits::WAL_CHECKPOINT_PAGES,
            restart_at: limits::WAL_RESTART_PAGES,
            copier: Copier::start(path, Arc::clone(space))?,
        })
    }

    /// Has the log copied back into the database when it is long; waits for readers only when it is
    /// very long.
    pub(super) fn checkpoint_if_due(&mut self, connection: &Connection) -> Result<(), StoreError> {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < limits::WAL_CHECKPOINT_PAGES {
            (self.copy_at, self.restart_at) =
                (limits::WAL_CHECKPOINT_PAGES, limits::WAL_RESTART_PAGES);
            return Ok(());
        }
        if pages < self.restart_at {
            if pages >= self.copy_at && self.copier.ask() {
                self.copy_at = pages.saturating_add(limits::WAL_COPY_PAGES);
            }
            return Ok(());
        }
        if self.copier.is_busy() {
            // Two cannot copy at once. It is asked for nothing more until the log began anew.
            return Ok(());
        }
        self.restart_at = pages.saturating_add(limits::WAL_CHECKPOINT_PAGES);
        connection.busy_timeout(limits::WAL_RESTART_WAIT)?;
        let result = checkpoint(connection, "RESTART");
        connection.busy_timeout(limits::BUSY_TIMEOUT)?;
        result
    }

    /// Copies everything back and empties the log.
    pub(super) fn fold(&mut self, connection: &Connection) -> Result<(), StoreError> {
        self.copier.stop();
        checkpoint(connection, "TRUNCATE")
    }
}

/// The thread that copies pages back.
#[derive(Debug)]
struct Copier {
    asks: Option<SyncSender<()>>,
    busy: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Copier {
    fn start(path: &Path, space: Arc<Space>) -> Result<Self, StoreError> {
        let connection = connection::open_copier(path)?;
        let (asks, asked) = sync_channel(1);
        let busy = Arc::new(AtomicBool::new(false));
        let is_busy = Arc::clone(&busy);
        let thread = std::thread::Builder::new()
            .name("islet-copier".into())
            .spawn(move || copy(&connection, &asked, &is_busy, &space))
            .map_err(|error| StoreError::Io("copier thread".into(), error))?;
        Ok(Self {
            asks: Some(asks),
            busy,
            thread: Some(thread),
        })
    }

    fn is_busy(&self) -> bool {
        self.busy.load(Ordering::Acquire)
    }

    /// Whether it was free to begin.
    fn ask(&self) -> bool {
        let Some(asks) = &self.asks else {
            return false;
        };
        if self.busy.swap(true, Ordering::AcqRel) {
            return false;
        }
        // Nobody is there only when the thread panicked; then the writer copies when it must.
        let asked = asks.try_send(()).is_ok();
        if !asked {
            self.busy.store(false, Ordering::Release);
        }
        asked
    }

    fn stop(&mut self) {
        self.asks = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the copier thread ended with a panic");
        }
    }
}

impl Drop for Copier {
    fn drop(&mut self) {
        self.stop();
    }
}

fn copy(connection: &Connection, asked: &Receiver<()>, busy: &AtomicBool, space: &Space) {
    while asked.recv().is_ok() {
        if let Err(error) = checkpoint(connection, "PASSIVE") {
            tracing::error!(%error, "a checkpoint failed");
            if matches!(error, StoreError::DiskFull) {
                space.note_full();
            }
            error.stop_if_fatal();
        }
        busy.store(false, Ordering::Release);
    }
}

fn checkpoint(connection: &Connection, mode: &str) -> Result<(), StoreError> {
    let sql = format!("PRAGMA wal_checkpoint({mode})");
    // Its answer is whether readers were in the way; the next one goes on where they were.
    Ok(connection.query_row(&sql, [], |_| Ok(()))?)
}
