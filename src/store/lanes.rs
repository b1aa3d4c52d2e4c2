//! What waits for the writer thread: two bounded lanes of writes, access entries, and which sessions
//! were used.
//!
//! People wait in the interactive lane. The bulk lane is for imports and changes of peers: it gets
//! a turn when nobody waits, or after a number of batches so that it cannot starve.

use std::collections::{HashSet, VecDeque};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::sessions::SessionUse;
use super::{StoreError, WriteTx};
use crate::domain::audit::Entry;
use crate::domain::time::Timestamp;
use crate::limits;

/// Who waits for a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lane {
    /// A person.
    Interactive,
    /// A person, and it must be possible with a full disk too: logging in and out, putting somebody out, another
    /// password, refusals. Small writes only.
    Essential,
    /// A machine with much to write.
    Bulk,
}

/// A queued write.
pub(super) struct Job {
    /// Whether it is let through when the disk is full.
    pub(super) essential: bool,
    /// Runs it, or answers its caller with the reason why not.
    pub(super) run: Run,
}

/// What a [`Job`] does.
pub(super) type Run = Box<dyn FnOnce(Result<&mut WriteTx<'_>, StoreError>) -> Outcome + Send>;

/// Something that was seen, and when.
pub(super) type Access = (Timestamp, Entry);

/// What a job left: whether its changes stand, and how to answer once the batch is durable.
pub(super) struct Outcome {
    pub(super) keep: bool,
    pub(super) reply: Box<dyn FnOnce(Result<(), StoreError>) + Send>,
}

/// What the writer commits together.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) jobs: Vec<Job>,
    /// The job is of the bulk lane.
    pub(super) bulk: bool,
    pub(super) access: Vec<Access>,
    pub(super) uses: HashSet<SessionUse>,
}

#[derive(Default)]
struct Waiting {
    interactive: VecDeque<Job>,
    bulk: VecDeque<Job>,
    access: Vec<Access>,
    /// Written before the jobs of the next batch, so that each job knows of every use before it. No
    /// reason for a commit of their own: one that a crash takes is noted again at the next request.
    uses: HashSet<SessionUse>,
    /// When the oldest access entry came.
    access_since: Option<Instant>,
    batches_since_bulk: u32,
    /// When a person last came.
    person_at: Option<Instant>,
    /// The writer sleeps until it is woken. To wake one that does not is a system call for nothing.
    asleep: bool,
    closed: bool,
}

/// The queues in front of the writer thread.
#[derive(Default)]
pub(super) struct Lanes {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

impl std::fmt::Debug for Lanes {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Lanes")
    }
}

impl Lanes {
    pub(super) fn push(&self, lane: Lane, run: Run) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        let (queue, most) = match lane {
            Lane::Interactive | Lane::Essential => {
                (&mut waiting.interactive, limits::INTERACTIVE_WRITES_MAX)
            }
            Lane::Bulk => (&mut waiting.bulk, limits::BULK_WRITES_MAX),
        };
        if queue.len() >= most {
            return Err(StoreError::Overloaded);
        }
        let essential = lane == Lane::Essential;
        queue.push_back(Job { essential, run });
        if lane != Lane::Bulk {
            waiting.person_at = Some(Instant::now());
        }
        self.wake(waiting);
        Ok(())
    }

    pub(super) fn note_access(&self, entry: Access) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        if waiting.access.len() >= limits::ACCESS_ENTRIES_MAX {
            return Err(StoreError::Overloaded);
        }
        waiting.access.push(entry);
        let first = waiting.access_since.is_none();
        if first {
            waiting.access_since = Some(Instant::now());
        }
        if first {
            self.wake(waiting);
        }
        Ok(())
    }

    pub(super) fn note_use(&self, used: SessionUse) -> Result<(), StoreError> {
        let mut waiting = self.lock();
        if waiting.closed {
            return Err(StoreError::Closed);
        }
        if waiting.uses.len() >= limits::SESSION_USES_MAX {
            return Err(StoreError::Overloaded);
        }
        waiting.uses.insert(used);
        Ok(())
    }

    /// Puts uses back that were not committed.
    pub(super) fn restore_uses(&self, uses: HashSet<SessionUse>) {
        self.lock().uses.extend(uses);
    }

    /// Puts access entries back whose commit failed, in front of those that came since. When the
    /// node stops there is no next time.
    pub(super) fn restore_access(&self, mut entries: Vec<Access>) {
        let mut waiting = self.lock();
        if waiting.closed {
            if !entries.is_empty() {
                tracing::error!(
                    entries = entries.len(),
                    "access entries could not be written"
                );
            }
            return;
        }
        entries.append(&mut waiting.access);
        waiting.access_since = (!entries.is_empty()).then(Instant::now);
        waiting.access = entries;
    }

    /// The next batch; blocks until there is work. `None` once closed and empty.
    pub(super) fn take(&self) -> Option<Batch> {
        let mut waiting = self.lock();
        loop {
            if let Some((bulk, jobs)) = waiting.take_jobs() {
                return Some(Batch {
                    jobs,
                    bulk,
                    access: waiting.take_access(),
                    uses: std::mem::take(&mut waiting.uses),
                });
            }
            let due = waiting
                .access_since
                .map(|since| since + limits::ACCESS_DELAY);
            let now = Instant::now();
            match due {
                Some(due) if due <= now || waiting.closed => {
                    return Some(Batch {
                        jobs: Vec::new(),
                        bulk: false,
                        access: waiting.take_access(),
                        uses: std::mem::take(&mut waiting.uses),
                    });
                }
                None if waiting.closed => return None,
                Some(due) => {
                    waiting.asleep = true;
                    let wait = self.changed.wait_timeout(waiting, due - now);
                    waiting = wait.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => {
                    waiting.asleep = true;
                    waiting = self
                        .changed
                        .wait(waiting)
                        .unwrap_or_else(PoisonError::into_inner);
                }
            }
            waiting.asleep = false;
        }
    }

    /// Something was put in.
    fn wake(&self, mut waiting: MutexGuard<'_, Waiting>) {
        let asleep = std::mem::take(&mut waiting.asleep);
        drop(waiting);
        if asleep {
            self.changed.notify_one();
        }
    }

    /// Whether a person waits.
    pub(super) fn somebody_waits(&self) -> bool {
        !self.lock().interactive.is_empty()
    }

    /// Whether a person came not long ago: more may follow.
    pub(super) fn people_are_about(&self) -> bool {
        let person_at = self.lock().person_at;
        person_at.is_some_and(|at| at.elapsed() < limits::PEOPLE_ABOUT)
    }

    /// One who waits, without waiting for one.
    pub(super) fn pop_interactive(&self) -> Option<Job> {
        self.lock().interactive.pop_front()
    }

    /// Nothing is taken in any more; what waits is still handed out.
    pub(super) fn close(&self) {
        self.lock().closed = true;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs under this lock, and a queue is never half changed.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    /// And whether they are of the bulk lane.
    fn take_jobs(&mut self) -> Option<(bool, Vec<Job>)> {
        let bulk_turn =
            self.interactive.is_empty() || self.batches_since_bulk >= limits::BULK_TURN_BATCHES;
        if bulk_turn && let Some(job) = self.bulk.pop_front() {
            self.batches_since_bulk = 0;
            return Some((true, vec![job]));
        }
        if self.interactive.is_empty() {
            return None;
        }
        self.batches_since_bulk = self.batches_since_bulk.saturating_add(1);
        let count = self.interactive.len().min(limits::BATCH_WRITES_MAX);
        Some((false, self.interactive.drain(..count).collect()))
    }

    fn take_access(&mut self) -> Vec<Access> {
        self.access_since = None;
        std::mem::take(&mut self.access)
    }
}
