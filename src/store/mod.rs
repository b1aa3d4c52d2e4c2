//! The only place that knows SQLite.
//!
//! One writer thread holds the only connection that commits; another copies its log back. It takes writes from
//! two bounded lanes and commits many of them with one fsync (group commit). Reader threads have
//! a connection each and see the last commit. Nobody else may open the database of a running node
//! for writing: the lock file keeps a second process out.
//!
//! Must never: answer a write before its commit is durable; write a replicated row without its
//! operation in the change log; commit anything without an audit entry; go on after an fsync
//! failed.
//!
//! How a write flows: [`Store::write`] queues a job, [`writer`] runs it inside a savepoint with a
//! [`WriteTx`], the job returns an [`Audited`] value (which only [`WriteTx::audit`] can make, so a
//! write without an audit entry does not compile), the batch commits, the caller is answered.

pub mod appointments;
pub mod audit;
mod audit_head;
pub mod branches;
mod collisions;
pub mod conflicts;
mod connection;
pub mod entity;
mod error;
mod families;
pub mod feed;
pub mod fork;
pub mod idempotency;
pub mod incoming;
pub mod invitations;
mod lanes;
mod lease;
mod lock;
mod log_state;
pub mod logs;
mod marks;
pub mod members;
mod migrate;
mod newest;
mod overspent;
pub mod patients;
pub mod queue;
mod readers;
pub mod reading_pages;
mod reading_rows;
pub mod readings;
mod rebuild;
mod reconcile;
pub mod recovery;
pub mod removal;
pub mod renewal;
pub mod replica;
pub mod rights;
mod rows;
mod schema;
pub mod sessions;
pub mod settings;
mod snapshot;
pub mod space;
pub mod staff;
mod twins;
mod tx;
pub mod waiting;
mod wal;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use islet_sync::dot::VersionVector;
use islet_sync::id::ReplicaNumber;
use islet_sync::incarnation::Reason;
use tokio::sync::{oneshot, watch};

pub use error::StoreError;
pub use lanes::Lane;
pub use lease::LEASE_FILE;
pub use lock::DirLock;
pub use marks::Marks;
pub use migrate::NewReplica;
pub use snapshot::Snapshot;
pub use space::Health;
pub use tx::{Audited, Read, ReadTx, WriteTx};

use crate::clock::Clock;
use crate::domain::actor::Actor;
use crate::domain::audit::Entry;
use crate::limits;
use lanes::{Lanes, Outcome, Run};
use log_state::Acknowledged;
use readers::Readers;
use space::Space;
use writer::Writer;

/// The database file in a data directory.
pub const DATABASE_FILE: &str = "islet.db";

/// The database of a node, with its threads.
pub struct Store {
    lanes: Arc<Lanes>,
    session_epoch: Arc<AtomicU64>,
    acknowledged: Acknowledged,
    commits: watch::Sender<u64>,
    /// Marks of logs that clients were told of.
    told_marks: Marks,
    renewal: Option<Reason>,
    readers: Readers,
    writer: Option<JoinHandle<()>>,
    path: PathBuf,
    space: Arc<Space>,
    clock: Arc<dyn Clock>,
    audit_key: [u8; 32],
    // Held until the threads have ended.
    _lock: DirLock,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Store({})", self.path.display())
    }
}

impl Store {
    /// Makes the database of a new node in `dir`, which must exist and hold none.
    ///
    /// # Errors
    /// When there is one already, or the disk cannot be written.
    pub fn create(
        dir: &Path,
        replica: &NewReplica,
        audit_key: &[u8; 32],
    ) -> Result<(), StoreError> {
        let _lock = DirLock::take(dir)?;
        migrate::create(&dir.join(DATABASE_FILE), replica, audit_key)
    }

    /// Opens the database in `dir` and starts the writer and the readers.
    ///
    /// # Errors
    /// When there is none, it belongs to a newer version, it is damaged, or another process has it.
    pub fn open(
        dir: &Path,
        audit_key: [u8; 32],
        clock: Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let lock = DirLock::take(dir)?;
        let path = dir.join(DATABASE_FILE);
        let session_epoch = Arc::<AtomicU64>::default();
        let (lanes, space) = (Arc::new(Lanes::default()), Arc::new(Space::open(dir)));
        let (queue, disk, time) = (Arc::clone(&lanes), Arc::clone(&space), Arc::clone(&clock));
        let writer = Writer::open(
            &path,
            audit_key,
            queue,
            disk,
            Arc::clone(&session_epoch),
            time,
        )?;
        let acknowledged = writer.acknowledged();
        let commits = writer.commits();
        let renewal = writer.renewal();
        let readers = Readers::start(&path, limits::READERS, limits::READ_TIMEOUT, &clock)?;
        Ok(Self {
            lanes,
            session_epoch,
            acknowledged,
            commits,
            told_marks: Marks::default(),
            renewal,
            readers,
            writer: Some(writer.start()?),
            path,
            space,
            clock,
            audit_key,
            _lock: lock,
        })
    }

    /// Makes the triggers and indexes again that somebody has removed or changed since the database
    /// was made, and says so in the audit log. Returns what is odd and left as it is.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] when tables are not what they should be, or there are triggers that
    /// do not belong here: nobody knows what a write would do.
    pub async fn restore_schema(&self) -> Result<Vec<String>, StoreError> {
        let found = self.read(|tx| schema::differences(tx.connection())).await?;
        if !found.serious.is_empty() {
            let what = found.serious.join("; ");
            return Err(StoreError::Damaged(format!("{what}: see `islet doctor`")));
        }
        if found.restorable.is_empty() {
            return Ok(found.harmless);
        }
        let names: Vec<_> = found
            .restorable
            .iter()
            .map(|((_, name), _)| name.clone())
            .collect();
        let names = names.join(", ");
        tracing::error!(
            "SOMEBODY REMOVED OR CHANGED PARTS OF THE DATABASE'S SCHEMA, which are made again: {names}"
        );
        let entry = Entry::new(&Actor::system(), "node.restore_schema").detail(names);
        self.write(Lane::Essential, move |tx| {
            for (_, sql) in &found.restorable {
                tx.connection().execute_batch(sql)?;
            }
            tx.audit(&entry)
        })
        .await?;
        Ok(found.harmless)
    }

    /// Runs `job` in a write transaction and answers once it is durable.
    ///
    /// The job's changes are kept when it returns `Ok`, and undone without a trace when it
    /// returns an error or panics; either way the other writes of its batch are untouched.
    /// A job that was queued runs even when the caller has gone.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`]: the lane is full, the disk is full, the node stops.
    pub async fn write<T, E, F>(&self, lane: Lane, job: F) -> Result<T, E>
    where
        F: FnOnce(&mut WriteTx<'_>) -> Result<Audited<T>, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        if lane != Lane::Essential && self.health() == Health::DiskFull {
            return Err(StoreError::DiskFull.into());
        }
        let (answer, answered) = oneshot::channel();
        self.lanes.push(lane, erase(job, answer))?;
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Runs `job` on a reader thread, in one consistent snapshot that holds every write that was
    /// acknowledged before.
    ///
    /// # Errors
    /// The job's own, or a [`StoreError`]: too many reads wait, the read took too long.
    pub async fn read<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        self.readers.run(job).await
    }

    /// Notes that data was seen. Durable within a second, in the audit log, without a commit of
    /// its own when a write passes by.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too many wait: data must not be shown without a trace.
    pub fn note_access(&self, entry: Entry) -> Result<(), StoreError> {
        self.lanes.note_access((self.clock.now(), entry))
    }

    /// Notes that an access token of this generation of a session was accepted: whoever presents an
    /// older refresh token after that is not its owner who lost an answer. Every later write sees it.
    ///
    /// # Errors
    /// [`StoreError::Overloaded`] when too many wait.
    pub fn note_session_use(&self, session_id: String, generation: u64) -> Result<(), StoreError> {
        self.lanes.note_use(sessions::SessionUse {
            session_id,
            generation,
        })
    }

    /// Whether ordinary writes find room on the disk.
    #[must_use]
    pub fn health(&self) -> Health {
        self.space.health()
    }

    /// Reads the whole audit log and tells what is wrong with it; writes go on meanwhile.
    ///
    /// # Errors
    /// When the disk fails or the node stops.
    pub async fn verify_audit(&self) -> Result<audit::AuditReport, StoreError> {
        let dir = self.path.parent().unwrap_or(&self.path);
        let mut verifier = audit::Verifier::new(self.audit_key, dir);
        loop {
            let step = self.read(move |tx| {
                let done = verifier.step(tx)?;
                Ok::<_, StoreError>((verifier, done))
            });
            let (next, done) = step.await?;
            if done {
                return Ok(next.report);
            }
            verifier = next;
        }
    }

    /// Rises with every commit that ended a session or took a right away, before it is
    /// acknowledged. What was known of sessions at an earlier epoch must be read again.
    #[must_use]
    pub fn session_epoch(&self) -> u64 {
        self.session_epoch.load(Ordering::Acquire)
    }

    /// Why this replica must become another one before anything is written: it was restored or copied.
    #[must_use]
    pub const fn renewal(&self) -> Option<Reason> {
        self.renewal
    }

    /// Changes after each commit that moved a log.
    #[must_use]
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    /// Marks of stored logs, for [`feed::news`].
    #[must_use]
    pub fn told_marks(&self) -> Marks {
        self.told_marks.clone()
    }

    /// Notes how far a member has come, by its own word.
    pub fn acknowledge(&self, member: ReplicaNumber, vector: VersionVector) {
        self.acknowledged.lock().insert(member, vector);
    }

    /// Where the database file is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes what was accepted, writes what waits, folds the write-ahead log into the database
    /// and ends the threads. Blocks; call it when nothing else is sent any more.
    pub fn close(mut self) {
        self.stop();
    }

    fn stop(&mut self) {
        self.readers.stop();
        self.lanes.close();
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the writer thread ended with a panic");
        }
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        self.stop();
    }
}

/// Turns a typed job into one that the writer can queue: run it, then answer after the commit.
fn erase<T, E, F>(job: F, answer: oneshot::Sender<Result<T, E>>) -> Run
where
    F: FnOnce(&mut WriteTx<'_>) -> Result<Audited<T>, E> + Send + 'static,
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
{
    Box::new(move |tx| {
        let work = std::panic::AssertUnwindSafe(|| job(tx?));
        let result =
            std::panic::catch_unwind(work).unwrap_or_else(|_| Err(StoreError::Panicked.into()));
        let (keep, result) = match result.map(Audited::into_inner) {
            Ok(value) => (true, Ok(value)),
            Err(error) => (false, Err(error)),
        };
        let reply = move |commit: Result<(), StoreError>| {
            let result = result.and_then(|value| commit.map(|()| value).map_err(E::from));
            // The caller may have gone; the write stands.
            let _ = answer.send(result);
        };
        Outcome {
            keep,
            reply: Box::new(reply),
        }
    })
}

#[cfg(test)]
mod tests;
