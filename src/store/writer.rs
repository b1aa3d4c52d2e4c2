//! The writer thread: the only one that changes the database.
//!
//! It takes a batch of jobs, runs each inside a savepoint of one transaction, commits once, and
//! only then answers. A job that fails is rolled back to its savepoint and hurts no other. A
//! commit that fails undoes the whole batch, and each caller is told. After an I/O error the
//! process ends: what the page cache holds can no longer be trusted (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use rusqlite::Connection;

use super::StoreError;
use super::lanes::{Batch, Lanes, Outcome};
use super::tx::{LogState, WriteTx};
use crate::clock::Clock;
use crate::domain::audit::Entry;

/// Exit status after a storage failure: EX_IOERR of sysexits.h.
const EXIT_STORAGE: i32 = 74;

struct Writer {
    connection: Connection,
    state: LogState,
    audit_key: [u8; 32],
    lanes: Arc<Lanes>,
    session_epoch: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
}

/// Starts the thread. It ends when the lanes are closed and empty.
pub(super) fn start(
    connection: Connection,
    state: LogState,
    audit_key: [u8; 32],
    lanes: Arc<Lanes>,
    session_epoch: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
) -> Result<JoinHandle<()>, StoreError> {
    let mut writer = Writer {
        connection,
        state,
        audit_key,
        lanes,
        session_epoch,
        clock,
    };
    std::thread::Builder::new()
        .name("islet-writer".into())
        .spawn(move || writer.run())
        .map_err(|error| StoreError::Io("writer thread".into(), error))
}

impl Writer {
    fn run(&mut self) {
        while let Some(batch) = self.lanes.take() {
            self.commit_batch(batch);
        }
        // Fold the log into the database, so that a stopped node is one file.
        if let Err(error) = self
            .connection
            .pragma_update(None, "wal_checkpoint", "TRUNCATE")
        {
            tracing::warn!(%error, "the last checkpoint did not finish; the next start continues it");
        }
    }

    fn commit_batch(&mut self, batch: Batch) {
        let before = self.state;
        let mut replies = Vec::with_capacity(batch.jobs.len());
        let result = self.try_batch(batch.jobs, &batch.access, &mut replies);
        if let Err(error) = &result {
            self.state = before;
            if !self.connection.is_autocommit() {
                // A failed ROLLBACK leaves nothing that could be committed either.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            tracing::error!(%error, writes = replies.len(), "a commit failed; its writes were undone");
            self.lanes.restore_access(batch.access);
        }
        if self.state.session_epoch != before.session_epoch {
            self.session_epoch
                .store(self.state.session_epoch, Ordering::Release);
        }
        let fatal = result.as_ref().is_err_and(StoreError::is_fatal);
        for outcome in replies {
            (outcome.reply)(match &result {
                Ok(()) => Ok(()),
                Err(StoreError::DiskFull) => Err(StoreError::DiskFull),
                Err(error) => Err(StoreError::Damaged(error.to_string())),
            });
        }
        if fatal {
            tracing::error!("storage can no longer be trusted: stopping to start afresh");
            std::process::exit(EXIT_STORAGE);
        }
    }

    fn try_batch(
        &mut self,
        jobs: Vec<super::lanes::Job>,
        access: &[Entry],
        replies: &mut Vec<Outcome>,
    ) -> Result<(), StoreError> {
        // Jobs that an early failure leaves behind are dropped, and their callers told to retry.
        self.execute("BEGIN IMMEDIATE")?;
        for job in jobs {
            self.run_prepared("SAVEPOINT job")?;
            let before = self.state;
            let now = self.clock.now();
            let mut tx = WriteTx::new(&self.connection, &mut self.state, &self.audit_key, now);
            let mut outcome = job(&mut tx);
            if self.connection.is_autocommit() {
                // SQLite undoes the whole transaction by itself when the disk is full or fails.
                replies.push(outcome);
                return Err(self.diagnose());
            }
            if outcome.keep
                && let Err(error) = tx.finish()
            {
                outcome = outcome.fail(error);
            }
            if outcome.keep {
                self.run_prepared("RELEASE job")?;
            } else {
                self.state = before;
                self.execute("ROLLBACK TO job; RELEASE job")?;
            }
            replies.push(outcome);
        }
        let now = self.clock.now();
        let mut tx = WriteTx::new(&self.connection, &mut self.state, &self.audit_key, now);
        for entry in access {
            tx.append_audit(entry)?;
        }
        self.state.save(&self.connection)?;
        self.execute("COMMIT")
    }

    /// What is wrong with the disk: tries the smallest write there is.
    fn diagnose(&self) -> StoreError {
        let probe = self
            .execute("BEGIN IMMEDIATE")
            .and_then(|()| self.state.save(&self.connection));
        let result = probe.and_then(|()| self.execute("ROLLBACK"));
        result.err().unwrap_or(StoreError::DiskFull)
    }

    /// For what every job does: compiled once.
    fn run_prepared(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), StoreError> {
        Ok(self.connection.execute_batch(sql)?)
    }
}

impl Outcome {
    /// The job itself went well, but its transaction could not be closed: answer with `error`.
    fn fail(self, error: StoreError) -> Self {
        let reply = self.reply;
        Self {
            keep: false,
            reply: Box::new(move |_| reply(Err(error))),
        }
    }
}
