//! The writer thread: the only one that changes the database.
//!
//! It takes a batch of jobs, runs each inside a savepoint of one transaction, commits once, and
//! only then answers. A job that fails is rolled back to its savepoint and hurts no other. A
//! commit that fails undoes the whole batch, and each caller is told. After an I/O error, or when
//! SQLite finds its file damaged, the process ends: what the page cache holds can no longer be trusted (Rebello et al., "Can
//! Applications Recover from fsync Failures?", USENIX ATC 2020).

use std::collections::HashSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use islet_sync::incarnation::{Database, Decision, LEASE, Outside, Reason};
use rusqlite::Connection;
use tokio::sync::watch;

use super::audit_head::AuditHead;
use super::error::take_fault;
use super::lanes::{Access, Batch, Job, Lanes, Outcome};
use super::lease::Lease;
use super::log_state::{Acknowledged, LogState};
use super::sessions::{SessionUse, note_use};
use super::space::{Health, Space};
use super::tx::WriteTx;
use super::wal::Wal;
use super::{StoreError, connection, renewal};
use crate::clock::Clock;
use crate::limits;

/// Exit status after a defect of the writer itself: EX_SOFTWARE of sysexits.h.
const EXIT_DEFECT: i32 = 70;

/// What the writer thread works with.
pub(super) struct Writer {
    connection: Connection,
    state: LogState,
    audit_key: [u8; 32],
    lanes: Arc<Lanes>,
    space: Arc<Space>,
    session_epoch: Arc<AtomicU64>,
    clock: Arc<dyn Clock>,
    audit_head: AuditHead,
    wal: Wal,
    commits: watch::Sender<u64>,
    lease: Lease,
    /// Why this replica must not write any more, until it was renewed.
    renewal: Option<Reason>,
}

impl Writer {
    /// Opens the database at `path` for writing and brings its schema up to date.
    pub(super) fn open(
        path: &Path,
        audit_key: [u8; 32],
        lanes: Arc<Lanes>,
        space: Arc<Space>,
        session_epoch: Arc<AtomicU64>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let mut connection = connection::open_writer(path)?;
        super::migrate::migrate(&connection)?;
        let dir = path.parent().unwrap_or(path);
        let mut lease = Lease::open(dir)?;
        let renewal = start(&connection, &mut lease, &space)?;
        Ok(Self {
            lease,
            renewal,
            state: LogState::load(&connection, Arc::clone(&lanes))?,
            audit_head: AuditHead::open(dir, &connection)?,
            wal: Wal::watch(&mut connection, path, &space)?,
            connection,
            commits: watch::Sender::new(0),
            audit_key,
            lanes,
            space,
            session_epoch,
            clock,
        })
    }

    /// Where it is told that a log has moved.
    pub(super) fn commits(&self) -> watch::Sender<u64> {
        self.commits.clone()
    }

    /// Why this replica must become another one before it writes.
    pub(super) const fn renewal(&self) -> Option<Reason> {
        self.renewal
    }

    /// What the store tells the writer of the members.
    pub(super) fn acknowledged(&self) -> Acknowledged {
        self.state.acknowledged.clone()
    }

    /// Starts the thread. It ends when the lanes are closed and empty.
    pub(super) fn start(mut self) -> Result<JoinHandle<()>, StoreError> {
        let run = move || {
            if catch_unwind(AssertUnwindSafe(|| self.run())).is_err() {
                // Nobody else can write, and nobody must wait for ever.
                tracing::error!("the writer has a defect: stopping to start afresh");
                std::process::exit(EXIT_DEFECT);
            }
        };
        std::thread::Builder::new()
            .name("islet-writer".into())
            .spawn(run)
            .map_err(|error| StoreError::Io("writer thread".into(), error))
    }

    fn run(&mut self) {
        while let Some(batch) = self.lanes.take() {
            self.commit_batch(batch);
        }
        self.audit_head.write(self.state.audit_head());
        // Fold the log into the database, so that a stopped node is one file.
        if let Err(error) = self.wal.fold(&self.connection) {
            tracing::warn!(%error, "the last checkpoint did not finish; the next start continues it");
        }
    }

    fn commit_batch(&mut self, batch: Batch) {
        let before = self.state.clone();
        let mut replies = Vec::with_capacity(batch.jobs.len());
        let mut jobs = batch.jobs.into_iter();
        let room = if batch.bulk {
            limits::BATCH_WRITES_MAX
        } else {
            0
        };
        let result = self.try_batch(&mut jobs, room, &batch.access, &batch.uses, &mut replies);
        let epoch_before = before.session_epoch;
        let logs_before = before.logs_at();
        if let Err(error) = &result {
            self.state.undo_to(before);
            if !self.connection.is_autocommit() {
                // A failed ROLLBACK leaves nothing that could be committed either.
                let _ = self.connection.execute_batch("ROLLBACK");
            }
            replies.extend(jobs.map(|job| (job.run)(Err(error.again()))));
            tracing::error!(%error, writes = replies.len(), "a commit failed; its writes were undone");
            self.note_error(error);
            self.lanes.restore_access(batch.access);
        }
        if !matches!(result, Ok(true)) {
            self.lanes.restore_uses(batch.uses);
        }
        if self.state.session_epoch != epoch_before {
            self.session_epoch
                .store(self.state.session_epoch, Ordering::Release);
        }
        for outcome in replies {
            (outcome.reply)(result.as_ref().map(|_| ()).map_err(StoreError::again));
        }
        if let Err(error) = &result {
            error.stop_if_fatal();
        }
        if let Ok(true) = result {
            if self.state.logs_moved(logs_before) {
                self.commits.send_modify(|commits| *commits += 1);
            }
            if let Err(error) = &self.wal.checkpoint_if_due(&self.connection) {
                tracing::error!(%error, "a checkpoint failed");
                self.note_error(error);
                error.stop_if_fatal();
            }
            self.audit_head.note(self.state.audit_head());
        }
    }

    /// Runs and commits a batch, with up to `room` people who came meanwhile: they need not wait for
    /// another fsync. `Ok(false)` when there was nothing to commit.
    fn try_batch(
        &mut self,
        jobs: &mut dyn Iterator<Item = Job>,
        room: usize,
        access: &[Access],
        uses: &HashSet<SessionUse>,
        replies: &mut Vec<Outcome>,
    ) -> Result<bool, StoreError> {
        self.execute("BEGIN IMMEDIATE")?;
        let before = self.state.audit_head();
        let health = self.space.recover();
        self.note_uses(uses)?;
        let lanes = Arc::clone(&self.lanes);
        let joined = std::iter::repeat_with(|| lanes.pop_interactive()).take(room);
        for job in jobs.chain(joined.map_while(std::convert::identity)) {
            if health == Health::DiskFull && !job.essential {
                replies.push((job.run)(Err(StoreError::DiskFull)));
            } else {
                self.run_job(job, replies)?;
            }
        }
        for (at, entry) in access {
            let (connection, key) = (&self.connection, &self.audit_key);
            WriteTx::new(connection, &mut self.state, key, *at).append_audit(entry)?;
        }
        if self.state.audit_head() == before {
            // Nothing that stands is without an audit entry: all were refused, and an fsync for
            // nothing is what an attacker would like.
            self.execute("ROLLBACK")?;
            return Ok(false);
        }
        self.lease_seqs()?;
        self.state.save(&self.connection)?;
        self.execute("COMMIT")?;
        self.note_renewal()?;
        Ok(true)
    }

    /// Before a seq is used, the file outside the database says that it may be.
    fn lease_seqs(&mut self) -> Result<(), StoreError> {
        let seq = self.state.head.seq;
        let ours = self
            .lease
            .outside
            .filter(|outside| outside.replica == self.state.id);
        match ours.and_then(|outside| outside.lease(seq, LEASE)) {
            Some(raised) => self.lease.write(raised),
            None => Ok(()),
        }
    }

    /// After this replica became another one, the file is the new one's.
    fn note_renewal(&mut self) -> Result<(), StoreError> {
        let id = self.state.id;
        if self
            .lease
            .outside
            .is_some_and(|outside| outside.replica == id)
        {
            return Ok(());
        }
        let fresh = Outside {
            starts: 1,
            ..Outside::new(id)
        };
        self.renewal = None;
        let outside = fresh.lease(self.state.head.seq + 1, LEASE).unwrap_or(fresh);
        // It is committed, and nobody may be told that it was undone and go on: the next start finds the file of
        // another replica, and becomes a new one once more.
        let written = self.lease.write(outside);
        written.map_err(|error| StoreError::Storage(error.to_string()))
    }

    fn note_uses(&mut self, uses: &HashSet<SessionUse>) -> Result<(), StoreError> {
        let now = self.clock.now();
        let tx = WriteTx::new(&self.connection, &mut self.state, &self.audit_key, now);
        uses.iter().try_for_each(|used| note_use(&tx, used))
    }

    fn run_job(&mut self, job: Job, replies: &mut Vec<Outcome>) -> Result<(), StoreError> {
        if let Err(error) = self.run_prepared("SAVEPOINT job") {
            replies.push((job.run)(Err(error.again())));
            return Err(error);
        }
        let before = self.state.clone();
        take_fault();
        let now = self.clock.now();
        let mut tx = WriteTx::new(&self.connection, &mut self.state, &self.audit_key, now);
        let mut outcome = (job.run)(Ok(&mut tx));
        if outcome.keep
            && let Err(error) = tx.finish()
        {
            outcome = outcome.fail(error);
        }
        let keep = outcome.keep;
        replies.push(outcome);
        match take_fault() {
            Some(error) if error.is_fatal() || self.connection.is_autocommit() => {
                return Err(error);
            }
            Some(error) => self.note_error(&error),
            None if self.connection.is_autocommit() => {
                let text = "SQLite undid the whole transaction";
                return Err(StoreError::Undone(text.into()));
            }
            None => {}
        }
        if keep {
            return self.run_prepared("RELEASE job");
        }
        self.state.undo_to(before);
        self.execute("ROLLBACK TO job; RELEASE job")
    }

    fn note_error(&self, error: &StoreError) {
        if matches!(error, StoreError::DiskFull) {
            self.space.note_full();
        }
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

/// Looks whether the database may go on as the replica that it is, and counts the start.
fn start(
    connection: &Connection,
    lease: &mut Lease,
    space: &Space,
) -> Result<Option<Reason>, StoreError> {
    let database = renewal::database(connection)?;
    if let Decision::NewReplica(reason) = renewal::decide(&database, lease) {
        return Ok(Some(reason));
    }
    match count_start(connection, lease, &database) {
        // A full disk must not keep people from what is stored. What is leased may be used, and no more.
        Err(StoreError::DiskFull) if lease.outside.is_some() => space.note_full(),
        counted => counted?,
    }
    Ok(None)
}

/// In the database first: a power cut between both leaves it ahead by one, which no restore does.
fn count_start(
    connection: &Connection,
    lease: &mut Lease,
    database: &Database,
) -> Result<(), StoreError> {
    let before = lease.outside.unwrap_or(Outside::new(database.replica));
    let outside = Outside {
        starts: before.starts + 1,
        ..before
    };
    // Not one more than the database has: it may have been counted there before, and not in the file.
    let starts = outside.starts.cast_signed();
    connection.execute("UPDATE replica SET starts = ?", [starts])?;
    lease.write(outside.lease(database.seq + 1, LEASE).unwrap_or(outside))
}
