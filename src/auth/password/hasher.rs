//! [`PasswordHasher`]: a few threads that do nothing but hash, and an orderly queue before them.
//!
//! A hash takes 19 MiB and some 100 ms, so it must neither run on the async threads nor in any
//! number. A caller takes a place in the queue (none left: [`HashError::Busy`]), waits for a thread
//! for a bounded time (over: `Busy`), and only then hands its work over. A caller that goes away
//! while it waits (a closed connection) leaves nothing behind; work that has begun is finished.
//!
//! An unknown user costs one hash like a known one. What this cannot hide: stored hashes of
//! weaker or stronger parameters take another time until their owners' next log-in.

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
#[cfg(test)]
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};

use super::hash::SALT_BYTES;
use super::{HashError, Memory, PasswordHash};
use crate::auth::{Random, Secret};
use crate::limits::{PASSWORD_HASHES_AT_ONCE, PASSWORD_QUEUE_MAX, PASSWORD_WAIT_MAX};

/// Work for a hashing thread, run with that thread's memory.
type Job = Box<dyn FnOnce(&mut Memory) + Send>;

/// The bounds of a [`PasswordHasher`]; the default takes them from `limits`.
#[derive(Debug, Clone, Copy)]
pub struct HasherLimits {
    /// Threads, each with its own working memory.
    pub threads: usize,
    /// Callers that may wait or be served.
    pub queue: usize,
    /// Longest wait for a thread.
    pub wait: Duration,
}

impl Default for HasherLimits {
    fn default() -> Self {
        Self {
            threads: PASSWORD_HASHES_AT_ONCE,
            queue: PASSWORD_QUEUE_MAX,
            wait: PASSWORD_WAIT_MAX,
        }
    }
}

/// Hashes and checks passwords. Cheap to clone; the threads end with the last clone.
#[derive(Clone)]
pub struct PasswordHasher {
    jobs: Sender<Job>,
    queue: Arc<Semaphore>,
    idle_threads: Arc<Semaphore>,
    wait: Duration,
    #[cfg(test)]
    started: Arc<AtomicU64>,
    random: Arc<dyn Random>,
}

impl PasswordHasher {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system's error if a thread cannot be started.
    pub fn start(limits: HasherLimits, random: Arc<dyn Random>) -> io::Result<Self> {
        let (jobs, receiver) = channel();
        let receiver = Arc::new(Mutex::new(receiver));
        for number in 0..limits.threads {
            let receiver = Arc::clone(&receiver);
            thread::Builder::new()
                .name(format!("password-{number}"))
                .spawn(move || serve(&receiver))?;
        }
        Ok(Self {
            jobs,
            queue: Arc::new(Semaphore::new(limits.queue)),
            idle_threads: Arc::new(Semaphore::new(limits.threads)),
            wait: limits.wait,
            #[cfg(test)]
            started: Arc::default(),
            random,
        })
    }

    /// Hashes a new password (which [`super::PasswordPolicy`] has accepted).
    ///
    /// # Errors
    /// [`HashError::Busy`] if there is no thread in time.
    pub async fn hash(&self, password: &Secret) -> Result<PasswordHash, HashError> {
        let password = password.clone();
        let salt = self.salt()?;
        self.run(move |memory| PasswordHash::compute(&password, salt, memory))
            .await?
    }

    /// Whether `password` matches `stored`. `None` (no such user, or a damaged hash) costs the
    /// same and is false.
    ///
    /// # Errors
    /// [`HashError::Busy`] if there is no thread in time; the attempt then tells nothing about the
    /// password and must not count as a failure.
    pub async fn verify(
        &self,
        password: Secret,
        stored: Option<PasswordHash>,
    ) -> Result<bool, HashError> {
        self.run(move |memory| {
            let known = stored.is_some();
            let hash = stored.unwrap_or_else(PasswordHash::dummy);
            hash.matches(&password, memory).map(|same| same && known)
        })
        .await?
    }

    /// Number of hashes begun since the start.
    #[cfg(test)]
    pub(crate) fn hashes_started(&self) -> u64 {
        self.started.load(Ordering::Relaxed)
    }

    fn salt(&self) -> Result<[u8; SALT_BYTES], HashError> {
        let mut salt = [0; SALT_BYTES];
        self.random.fill(&mut salt)?;
        Ok(salt)
    }

    /// Runs `work` on a hashing thread.
    async fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Memory) -> T + Send + 'static,
    ) -> Result<T, HashError> {
        let _place = self.queue.try_acquire().map_err(|_| HashError::Busy)?;
        let idle = Arc::clone(&self.idle_threads).acquire_owned();
        let thread = tokio::time::timeout(self.wait, idle)
            .await
            .map_err(|_| HashError::Busy)?
            .map_err(|_| HashError::Internal)?;
        let (reply, answer) = oneshot::channel();
        #[cfg(test)]
        let started = Arc::clone(&self.started);
        let job: Job = Box::new(move |memory| {
            // The thread counts as busy until its work is done, even if the caller is gone.
            let _thread = thread;
            if !reply.is_closed() {
                #[cfg(test)]
                started.fetch_add(1, Ordering::Relaxed);
                let _ = reply.send(work(memory));
            }
        });
        self.jobs.send(job).map_err(|_| HashError::Internal)?;
        answer.await.map_err(|_| HashError::Internal)
    }
}

/// The life of one hashing thread.
fn serve(jobs: &Mutex<Receiver<Job>>) {
    let mut memory = Memory::new();
    loop {
        let next = jobs.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = next else { return };
        // A defect in one job must not cost the node a hashing thread; its caller gets an error.
        let _ = catch_unwind(AssertUnwindSafe(|| job(&mut memory)));
    }
}

#[cfg(test)]
mod tests;
