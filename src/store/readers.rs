//! The reader threads: a connection each, a bounded queue in front, a bounded time for each read.
//!
//! Must never: go on after the disk failed or SQLite found its file damaged.

use std::collections::VecDeque;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::oneshot;

use super::error::take_fault;
use super::{ReadTx, StoreError, connection};
use crate::clock::Clock;
use crate::limits;

type Job = Box<dyn FnOnce(&mut Connection, &dyn Clock) + Send>;

#[derive(Default)]
struct Queue {
    jobs: Mutex<(VecDeque<Job>, bool)>,
    changed: Condvar,
}

/// A handle on the reader threads.
pub(super) struct Readers {
    queue: Arc<Queue>,
    threads: Vec<JoinHandle<()>>,
    timeout: Duration,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Readers({})", self.threads.len())
    }
}

impl Readers {
    pub(super) fn start(
        path: &Path,
        count: usize,
        timeout: Duration,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, StoreError> {
        let queue = Arc::new(Queue::default());
        let mut threads = Vec::with_capacity(count);
        for number in 0..count {
            let mut connection = connection::open_reader(path)?;
            let (queue, clock) = (Arc::clone(&queue), Arc::clone(clock));
            let thread = std::thread::Builder::new()
                .name(format!("islet-reader-{number}"))
                .spawn(move || {
                    while let Some(job) = queue.take() {
                        job(&mut connection, &*clock);
                        if let Some(error) = take_fault() {
                            error.stop_if_fatal();
                        }
                    }
                })
                .map_err(|error| StoreError::Io("reader thread".into(), error))?;
            threads.push(thread);
        }
        Ok(Self {
            queue,
            threads,
            timeout,
        })
    }

    pub(super) async fn run<T, E, F>(&self, job: F) -> Result<T, E>
    where
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        let (answer, answered) = oneshot::channel();
        let timeout = self.timeout;
        self.queue.push(Box::new(move |connection, clock| {
            if answer.is_closed() {
                return; // Nobody waits any more.
            }
            let work = std::panic::AssertUnwindSafe(|| snapshot(connection, timeout, clock, job));
            let result = std::panic::catch_unwind(work);
            let _ = answer.send(result.unwrap_or_else(|_| Err(StoreError::Panicked.into())));
        }))?;
        answered
            .await
            .unwrap_or_else(|_| Err(StoreError::Closed.into()))
    }

    /// Ends the threads after what is queued.
    pub(super) fn stop(&mut self) {
        self.queue
            .jobs
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .1 = true;
        self.queue.changed.notify_all();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// Runs `job` inside one read transaction with a deadline.
fn snapshot<T, E, F>(
    connection: &mut Connection,
    timeout: Duration,
    clock: &dyn Clock,
    job: F,
) -> Result<T, E>
where
    F: FnOnce(&ReadTx<'_>) -> Result<T, E>,
    E: From<StoreError>,
{
    let deadline = Instant::now() + timeout;
    let late = move || Instant::now() >= deadline;
    connection
        .progress_handler(limits::READ_TIMEOUT_CHECK_STEPS, Some(late))
        .map_err(StoreError::from)?;
    let tx = connection
        .unchecked_transaction()
        .map_err(StoreError::from)?;
    job(&ReadTx::new(&tx, clock.now()))
}

impl Queue {
    fn push(&self, job: Job) -> Result<(), StoreError> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if jobs.1 {
            return Err(StoreError::Closed);
        }
        if jobs.0.len() >= limits::READS_MAX {
            return Err(StoreError::Overloaded);
        }
        jobs.0.push_back(job);
        drop(jobs);
        self.changed.notify_one();
        Ok(())
    }

    fn take(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(job) = jobs.0.pop_front() {
                return Some(job);
            }
            if jobs.1 {
                return None;
            }
            jobs = self
                .changed
                .wait(jobs)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }
}
