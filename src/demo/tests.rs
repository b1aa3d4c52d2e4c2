//! The demo is repeatable, whole and consistent.

use std::collections::BTreeMap;

use super::*;
use crate::clock::Clock;
use crate::domain::queue::QueueState;
use crate::service::testing;
use crate::store::{audit, entity, queue as queue_store};

const NOW: Timestamp = Timestamp(1_772_755_449_000);

struct Demo {
    app: App,
    _dir: tempfile::TempDir,
}

async fn load_plan(plan: Plan) -> Demo {
    let clock = Arc::new(ManualClock::at(plan.start()));
    let (app, dir) = testing::app(Arc::clone(&clock) as Arc<dyn Clock>);
    load(&app, &clock, plan, &|_, _| {}).await.unwrap();
    Demo { app, _dir: dir }
}

const SMALL: Plan = Plan {
    seed: 7,
    now: NOW,
    trace_days: 1,
    history_days: 3,
};

impl Demo {
    async fn count(&self, sql: &'static str) -> i64 {
        let read = move |tx: &crate::store::ReadTx<'_>| {
            tx.connection()
                .query_row(sql, [], |row| row.get(0))
                .map_err(StoreError::from)
        };
        self.app.store.read(read).await.unwrap()
    }

    /// A digest of each replicated table, without password hashes.
    async fn digests(&self) -> BTreeMap<&'static str, String> {
        let read = |tx: &crate::store::ReadTx<'_>| {
            let mut digests = BTreeMap::new();
            for entity in entity::ALL {
                let columns: Vec<_> = entity
                    .columns
                    .iter()
                    .filter(|name| **name != "password_hash")
                    .map(|name| format!("quote({name})"))
                    .collect();
                let sql = format!(
                    "SELECT id || {} FROM {} ORDER BY id",
                    columns.join(" || "),
                    entity.table
                );
                let mut statement = tx.connection().prepare(&sql)?;
                let mut hasher = blake3::Hasher::new();
                let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
                for row in rows {
                    hasher.update(row?.as_bytes());
                }
                digests.insert(entity.table, hasher.finalize().to_string());
            }
            Ok::<_, StoreError>(digests)
        };
        self.app.store.read(read).await.unwrap()
    }
}

#[tokio::test]
async fn the_same_seed_and_moment_give_the_same_clinic() {
    let (a, b) = (
        load_plan(SMALL).await.digests().await,
        load_plan(SMALL).await.digests().await,
    );
    assert_eq!(a, b);
    let other = load_plan(Plan { seed: 8, ..SMALL }).await.digests().await;
    assert_ne!(a["reading"], other["reading"]);
}

#[tokio::test]
async fn everything_is_there_and_adds_up() {
    let demo = load_plan(SMALL).await;
    let seed = demo.app.store.read(|tx| seed_of(tx)).await.unwrap();
    assert_eq!(seed, Some(7));
    assert_eq!(demo.count("SELECT count(*) FROM patient").await, 24);
    assert_eq!(demo.count("SELECT count(*) FROM staff").await, 4);
    assert_eq!(
        demo.count("SELECT count(*) FROM patient WHERE blocked")
            .await,
        1
    );
    // A trace day runs up to the moment.
    let samples = demo
        .count("SELECT count(*) FROM reading WHERE source = 3")
        .await;
    let expected = 6 * ((NOW.0 - start_of_day(NOW.day()).0) / (3 * MINUTE_MS) + 1);
    assert_eq!(samples, expected);
    assert!(
        demo.count("SELECT count(*) FROM reading WHERE source = 1")
            .await
            > 100
    );
    let later = "SELECT count(*) FROM reading WHERE measured_at > 1772755449000 OR recorded_at > 1772755449000";
    assert_eq!(demo.count(later).await, 0);
    let miscounted = "SELECT count(*) FROM patient_counter c WHERE times_measured <>
                      (SELECT count(*) FROM reading r WHERE r.patient_id = c.patient_id)";
    assert_eq!(demo.count(miscounted).await, 0);
    assert!(
        demo.count("SELECT max(max_streak) FROM patient_counter")
            .await
            >= 2
    );
    assert_eq!(demo.count("SELECT count(*) FROM resolution").await, 5);
    let states = demo
        .app
        .store
        .read(|tx| queue_store::live_entries(tx, None))
        .await
        .unwrap();
    for (state, count) in [
        (QueueState::Pending, 5),
        (QueueState::Accepted, 2),
        (QueueState::Denied, 1),
        (QueueState::Created, 2),
    ] {
        assert_eq!(
            states.iter().filter(|entry| entry.state == state).count(),
            count,
            "{state:?}"
        );
    }
    let report = demo
        .app
        .store
        .read(|tx| audit::verify(tx, &testing::AUDIT_KEY))
        .await
        .unwrap();
    assert_eq!(report.problems, Vec::<String>::new());
}

#[tokio::test]
async fn every_log_in_works_but_the_blocked_one() {
    use crate::auth::Secret;
    use crate::auth::token::Audience;
    let demo = load_plan(SMALL).await;
    for login in logins(7).into_iter().step_by(9).chain(logins(7).pop()) {
        let audience = if login.role == Role::Patient {
            Audience::Patient
        } else {
            Audience::Staff
        };
        let password = Secret::new(login.password);
        let result = service::sessions::log_in(
            &demo.app,
            &Actor::operator(),
            audience,
            &login.name,
            password,
        )
        .await;
        assert_eq!(result.is_ok(), !login.blocked, "{}", login.name);
    }
}

#[tokio::test]
async fn a_node_with_people_is_refused() {
    let demo = load_plan(SMALL).await;
    let clock = Arc::new(ManualClock::at(NOW));
    let again = load(&demo.app, &clock, SMALL, &|_, _| {}).await;
    assert!(matches!(again, Err(DemoError::NotEmpty)));
}
