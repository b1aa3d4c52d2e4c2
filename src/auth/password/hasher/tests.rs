//! The hashing threads: bounds, callers that go away, no randomness.

use std::sync::mpsc;

use super::*;
use crate::auth::random::testing::{NoRandom, SeededRandom};
use crate::auth::{RandomError, SystemRandom};

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn hasher(threads: usize, queue: usize, wait_s: u64) -> PasswordHasher {
    let limits = HasherLimits {
        threads,
        queue,
        wait: Duration::from_secs(wait_s),
    };
    PasswordHasher::start(limits, Arc::new(SeededRandom::new(1))).unwrap()
}

/// Occupies one thread until the returned sender is dropped; returns once it is occupied.
async fn occupy(hasher: &PasswordHasher) -> mpsc::Sender<()> {
    let (release, gate) = mpsc::channel::<()>();
    let (begun, begins) = oneshot::channel();
    let hasher = hasher.clone();
    tokio::spawn(async move {
        hasher
            .run(move |_memory| {
                let _ = begun.send(());
                let _ = gate.recv();
            })
            .await
    });
    begins.await.unwrap();
    release
}

/// Waits until `places` of the queue are taken.
async fn until_queued(hasher: &PasswordHasher, total: usize, places: usize) {
    while total - hasher.queue.available_permits() != places {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn hash_and_verify() {
    let hasher = PasswordHasher::start(HasherLimits::default(), Arc::new(SystemRandom)).unwrap();
    let stored = hasher.hash(&secret("correcta")).await.unwrap();
    assert!(
        hasher
            .verify(secret("correcta"), Some(stored.clone()))
            .await
            .unwrap()
    );
    assert!(
        !hasher
            .verify(secret("incorrecta"), Some(stored.clone()))
            .await
            .unwrap()
    );
    let again = hasher.hash(&secret("correcta")).await.unwrap();
    assert_ne!(again, stored, "every hash has its own salt");
}

#[tokio::test]
async fn an_unknown_user_costs_one_hash_and_is_false() {
    let hasher = hasher(1, 1, 60);
    assert!(!hasher.verify(secret("x"), None).await.unwrap());
    assert_eq!(hasher.hashes_started(), 1);
}

#[tokio::test]
async fn a_full_queue_is_busy_and_recovers() {
    let hasher = hasher(1, 2, 60);
    let release = occupy(&hasher).await;
    let waiting = tokio::spawn({
        let hasher = hasher.clone();
        async move { hasher.hash(&secret("waiting")).await }
    });
    until_queued(&hasher, 2, 2).await;
    assert_eq!(hasher.hash(&secret("third")).await, Err(HashError::Busy));
    drop(release);
    assert!(waiting.await.unwrap().is_ok());
    assert!(hasher.hash(&secret("third")).await.is_ok());
}

#[tokio::test]
async fn the_wait_is_bounded() {
    let hasher = hasher(1, 2, 0);
    let release = occupy(&hasher).await;
    assert_eq!(hasher.verify(secret("x"), None).await, Err(HashError::Busy));
    drop(release);
    assert_eq!(
        hasher.hashes_started(),
        1,
        "the refused attempt cost nothing"
    );
}

#[tokio::test]
async fn a_caller_that_leaves_while_waiting_costs_nothing() {
    let hasher = hasher(1, 2, 60);
    let release = occupy(&hasher).await;
    let leaving = tokio::spawn({
        let hasher = hasher.clone();
        async move { hasher.hash(&secret("leaving")).await }
    });
    until_queued(&hasher, 2, 2).await;
    leaving.abort();
    assert!(leaving.await.unwrap_err().is_cancelled());
    until_queued(&hasher, 2, 1).await;
    drop(release);
    assert!(hasher.hash(&secret("staying")).await.is_ok());
    assert_eq!(
        hasher.hashes_started(),
        2,
        "the gate and the caller that stayed"
    );
}

#[tokio::test]
async fn never_more_than_the_threads_at_once() {
    let hasher = hasher(2, 32, 60);
    let (running, highest) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let mut callers = tokio::task::JoinSet::new();
    for _ in 0..32 {
        let (hasher, running, highest) = (hasher.clone(), running.clone(), highest.clone());
        callers.spawn(async move {
            let work = move |_: &mut Memory| {
                let now = running.fetch_add(1, Ordering::SeqCst) + 1;
                highest.fetch_max(now, Ordering::SeqCst);
                thread::yield_now();
                running.fetch_sub(1, Ordering::SeqCst);
            };
            hasher.run(work).await
        });
    }
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert!((1..=2).contains(&highest.load(Ordering::SeqCst)));
}

#[tokio::test]
async fn a_defect_in_one_job_does_not_cost_a_thread() {
    let hasher = hasher(1, 1, 60);
    for _ in 0..3 {
        let failed = hasher.run(|_| -> () { panic!("defect") }).await;
        assert_eq!(failed, Err(HashError::Internal));
    }
    assert!(hasher.hash(&secret("after")).await.is_ok());
}

#[tokio::test]
async fn without_random_bytes_there_is_no_hash() {
    let hasher = PasswordHasher::start(HasherLimits::default(), Arc::new(NoRandom)).unwrap();
    let failed = hasher.hash(&secret("x")).await;
    assert_eq!(failed, Err(HashError::Random(RandomError)));
    assert_eq!(hasher.hashes_started(), 0);
}
