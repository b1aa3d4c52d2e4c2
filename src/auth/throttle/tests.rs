//! The throttle under many attempts at once.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::task::JoinSet;

use super::*;

const HOME: &str = "10.0.0.1";

fn throttle(limits: ThrottleLimits) -> Throttle {
    Throttle::new(ThrottleLimits {
        wait: Duration::from_secs(60),
        ..limits
    })
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Many attempts at once from one address; each takes a few turns of the scheduler, as a hash
/// would, and ends as `right` says. Returns how many were admitted and the most at once.
async fn storm(throttle: &Throttle, accounts: Vec<String>, right: bool) -> (usize, usize) {
    let (now, most) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let mut tasks = JoinSet::new();
    for account in accounts {
        let (throttle, now, most) = (throttle.clone(), now.clone(), most.clone());
        tasks.spawn(async move {
            let attempt = throttle.check(&account, address(HOME), || 0).await?;
            most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            for _ in 0..3 {
                tokio::task::yield_now().await;
            }
            now.fetch_sub(1, Ordering::SeqCst);
            if right {
                attempt.record_success();
            } else {
                let _ = attempt.record_failure(0);
            }
            Ok::<_, RetryAfter>(())
        });
    }
    let results = tasks.join_all().await;
    (
        results.iter().filter(|result| result.is_ok()).count(),
        most.load(Ordering::SeqCst),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_waiting_room_that_logs_in_at_once_gets_in() {
    let throttle = throttle(ThrottleLimits::default());
    let accounts = (0..67).map(|number| format!("patient:{number}")).collect();
    let (admitted, most) = storm(&throttle, accounts, true).await;
    assert_eq!(admitted, 67);
    assert!((1..=5).contains(&most), "{most} at once");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_a_hundred_guesses_at_once_five_are_tried() {
    let throttle = throttle(ThrottleLimits::default());
    let (admitted, _) = storm(&throttle, vec!["patient:1".to_owned(); 100], false).await;
    assert_eq!(admitted, 5);
    let refused = throttle
        .check("patient:1", address("10.0.0.2"), || 1_000)
        .await;
    assert_eq!(refused.err(), Some(RetryAfter { seconds: 59 }));
    assert!(
        throttle
            .check("patient:1", address("10.0.0.2"), || 60_000)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn an_attempt_that_is_dropped_counts_for_nothing() {
    let throttle = throttle(ThrottleLimits::default());
    for _ in 0..100 {
        drop(
            throttle
                .check("patient:1", address(HOME), || 0)
                .await
                .unwrap(),
        );
    }
}

#[tokio::test]
async fn the_wait_and_the_waiting_are_bounded() {
    let limits = ThrottleLimits {
        waiters: 1,
        wait: Duration::ZERO,
        ..ThrottleLimits::default()
    };
    let throttle = Throttle::new(limits);
    let mut under_way = Vec::new();
    for _ in 0..5 {
        under_way.push(
            throttle
                .check("patient:1", address(HOME), || 0)
                .await
                .unwrap(),
        );
    }
    let crowded = Some(RetryAfter { seconds: 1 });
    assert_eq!(
        throttle.check("patient:1", address(HOME), || 0).await.err(),
        crowded
    );

    let place = throttle.waiters.clone().try_acquire_owned().unwrap();
    let throttle = Throttle {
        wait: Duration::from_secs(3_600),
        ..throttle
    };
    assert_eq!(
        throttle.check("patient:1", address(HOME), || 0).await.err(),
        crowded
    );
    drop(place);
    drop(under_way);
    assert!(
        throttle
            .check("patient:1", address(HOME), || 0)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn a_waiter_that_leaves_gives_its_place_back() {
    let throttle = throttle(ThrottleLimits {
        waiters: 1,
        ..ThrottleLimits::default()
    });
    let mut under_way = Vec::new();
    for _ in 0..5 {
        under_way.push(
            throttle
                .check("patient:1", address(HOME), || 0)
                .await
                .unwrap(),
        );
    }
    let waiting = tokio::spawn({
        let throttle = throttle.clone();
        async move {
            throttle
                .check("patient:1", address(HOME), || 0)
                .await
                .is_ok()
        }
    });
    while throttle.waiters.available_permits() == 1 {
        tokio::task::yield_now().await;
    }
    waiting.abort();
    assert!(waiting.await.unwrap_err().is_cancelled());
    assert_eq!(throttle.waiters.available_permits(), 1);
    drop(under_way);
    assert!(
        throttle
            .check("patient:1", address(HOME), || 0)
            .await
            .is_ok()
    );
}

#[tokio::test]
async fn the_failure_that_closes_an_account_or_address_says_so() {
    let throttle = throttle(ThrottleLimits::default());
    let fail = async |account: &str, from: &str, now: u64| {
        let attempt = throttle.check(account, address(from), || now).await;
        attempt.unwrap().record_failure(now)
    };
    let (open, account) = (
        Closed::default(),
        Closed {
            account: true,
            address: false,
        },
    );
    for number in 1..=4 {
        let from = format!("10.0.1.{number}");
        assert_eq!(fail("patient:1", &from, number).await, open);
    }
    assert_eq!(fail("patient:1", "10.0.1.5", 5).await, account);
    // Once the oldest is forgotten, one more attempt is let in; its failure closes again.
    assert_eq!(fail("patient:1", "10.0.1.6", 60_001).await, account);
    assert_eq!(fail("patient:1", "10.0.1.6", 120_000).await, open);
}
