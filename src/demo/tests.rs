//! The demo is repeatable, whole and consistent.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::civil::{Date, date};

use super::*;
use crate::auth::token::Audience;
use crate::clock::Clock;
use crate::domain::actor::Role;
use crate::domain::queue::QueueState;
use crate::domain::streak::{Counters, READINGS_A_DAY};
use crate::domain::time::start_of_day;
use crate::service::{Error, sessions, testing};
use crate::store::{ReadTx, entity};

const TODAY: Date = date(2026, 3, 6);
const SMALL: Plan = Plan {
    seed: 7,
    today: TODAY,
    size: DemoSize {
        sensor_days: 1,
        stick_days: 9,
    },
};

struct Demo {
    app: Arc<App>,
    clock: Arc<ManualClock>,
    _dir: tempfile::TempDir,
}

async fn load_plan(plan: Plan) -> Demo {
    let clock = Arc::new(ManualClock::at(plan.founded()));
    let (app, dir) = testing::app(Arc::clone(&clock) as Arc<dyn Clock>);
    load(&app, &clock, &plan, &|_, _| {}).await.unwrap();
    // As somebody sees it who comes at eight.
    clock.set(calendar::Calendar::new(plan.today).at(0, 8 * 60));
    Demo {
        app: Arc::new(app),
        clock,
        _dir: dir,
    }
}

impl Demo {
    async fn read<T: Send + 'static>(
        &self,
        job: impl FnOnce(&ReadTx<'_>) -> Result<T, StoreError> + Send + 'static,
    ) -> T {
        self.app.store.read(job).await.unwrap()
    }

    async fn count(&self, sql: &'static str) -> i64 {
        self.read(move |tx| Ok(tx.connection().query_row(sql, [], |row| row.get(0))?))
            .await
    }

    /// A digest of each replicated table, without password hashes.
    async fn digests(&self) -> BTreeMap<&'static str, String> {
        self.read(|tx| {
            let mut tables: Vec<(&str, Vec<&str>)> = entity::rows()
                .map(|entity| {
                    let fields = entity.fields.iter().map(|field| field.name);
                    (entity.name, std::iter::once("id").chain(fields).collect())
                })
                .collect();
            tables.push(("staff_role", vec!["staff_id", "role"]));
            tables.push(("setting", vec!["name", "value"]));
            let mut digests = BTreeMap::new();
            for (table, columns) in tables {
                let columns: Vec<_> = columns
                    .iter()
                    .filter(|name| **name != "password_hash")
                    .map(|name| format!("quote({name})"))
                    .collect();
                let columns = columns.join(" || ',' || ");
                let sql = format!("SELECT {columns} FROM {table} ORDER BY 1");
                let mut statement = tx.connection().prepare(&sql)?;
                let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
                let mut hasher = blake3::Hasher::new();
                for row in rows {
                    hasher.update(row?.as_bytes());
                    hasher.update(b"\n");
                }
                digests.insert(table, hasher.finalize().to_string());
            }
            Ok(digests)
        })
        .await
    }

    /// Every derived counter, stored and counted again from the readings.
    async fn check_counters(&self) {
        let days = self
            .read(|tx| {
                let sql =
                    "SELECT patient_id, date(recorded_at / 1000 - 3 * 3600, 'unixepoch'), count(*)
                           FROM reading WHERE status = 1 GROUP BY 1, 2 ORDER BY 1, 2";
                let mut statement = tx.connection().prepare(sql)?;
                let rows = statement.query_map([], |row| {
                    Ok((row.get(0)?, row.get::<_, String>(1)?, row.get(2)?))
                })?;
                Ok(rows.collect::<Result<Vec<(i64, String, i64)>, _>>()?)
            })
            .await;
        let stored = self.count("SELECT count(*) FROM patient_day").await;
        assert_eq!(stored, days.len() as i64);
        let all = self.read(|tx| patients::list(tx, 0, 100)).await;
        assert_eq!(all.len(), people::PATIENTS);
        for patient in all {
            let id = patient.id;
            let own = || days.iter().filter(move |(of, ..)| *of == id);
            let full = own()
                .filter(|(.., readings)| *readings >= READINGS_A_DAY)
                .map(|(_, day, _)| day.parse::<Date>().unwrap());
            let total = own().map(|(.., readings)| readings).sum();
            let counted = Counters::rebuild(total, 0, full);
            let stored = self.read(move |tx| patients::counters(tx, id)).await;
            assert_eq!(stored, counted, "{}", patient.dni);
            for &(_, ref day, readings) in own() {
                let day = day.parse().unwrap();
                let stored = self
                    .read(move |tx| patients::readings_on(tx, id, day))
                    .await;
                assert_eq!(stored, readings, "{} on {day}", patient.dni);
            }
        }
    }

    async fn check_log(&self) {
        let report = self.app.store.verify_audit().await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }

    async fn log_in(&self, login: &Login) -> Result<(), Error> {
        let audience = match login.role {
            Role::Patient => Audience::Patient,
            _ => Audience::Staff,
        };
        let password = login.password.clone();
        let operator = Actor::operator();
        sessions::log_in(&self.app, &operator, audience, &login.name, password)
            .await
            .map(drop)
    }
}

#[tokio::test]
async fn the_same_seed_and_day_give_the_same_clinic() {
    let (a, b) = (load_plan(SMALL).await, load_plan(SMALL).await);
    assert_eq!(a.digests().await, b.digests().await);
    let other = load_plan(Plan { seed: 8, ..SMALL }).await.digests().await;
    for (table, digest) in a.digests().await {
        let same = digest == other[table];
        // The demo has no peers and no conflicts, nobody has logged in, and its queue has the same places.
        let log_ins = ["session", "refresh_token", "desk_code"];
        let others = ["staff_role", "member", "settlement", "queue_right"];
        let empty_or_same = [others.as_slice(), &log_ins].concat();
        assert_eq!(same, empty_or_same.contains(&table), "{table}");
    }
}

#[tokio::test]
async fn everything_is_there_and_adds_up() {
    let demo = load_plan(SMALL).await;
    assert_eq!(demo.read(|tx| seed_of(tx)).await, Some(7));
    for (expected, sql) in [
        (24, "SELECT count(*) FROM patient"),
        (4, "SELECT count(*) FROM staff"),
        (1, "SELECT count(*) FROM staff_role WHERE role = 'admin'"),
        (1, "SELECT count(*) FROM patient WHERE blocked"),
        (
            1,
            "SELECT count(*) FROM patient WHERE password_reset_required",
        ),
        (
            1,
            "SELECT count(*) FROM patient_counter WHERE times_measured = 0",
        ),
        (6, "SELECT count(*) FROM queue_day"),
        (1, "SELECT count(*) FROM queue_day WHERE closed_at IS NULL"),
        (21, "SELECT count(*) FROM appointment"),
        (20, "SELECT count(*) FROM resolution"),
        (2, "SELECT count(DISTINCT staff_id) FROM resolution"),
        (1, "SELECT count(*) FROM queue_entry WHERE priority > 0"),
        // A day of the sensor from midnight to midnight, both included.
        (6 * 481, "SELECT count(*) FROM reading WHERE source = 3"),
        (
            0,
            "SELECT count(*) FROM reading WHERE source = 3 AND reading_type <> 7",
        ),
        (
            7,
            "SELECT count(DISTINCT reading_type) FROM reading WHERE source = 1",
        ),
        (
            0,
            "SELECT count(*) FROM reading WHERE recorded_at < measured_at",
        ),
        (
            0,
            "SELECT count(*) FROM reading WHERE source = 1 AND glucose_mg_dl <> round(glucose_mg_dl)",
        ),
    ] {
        assert_eq!(demo.count(sql).await, expected, "{sql}");
    }
    demo.check_counters().await;
    demo.check_log().await;
}

#[tokio::test]
async fn the_queue_has_people_in_every_state() {
    let demo = load_plan(SMALL).await;
    for (state, expected) in [
        (QueueState::Pending, 4),
        (QueueState::Accepted, 2),
        (QueueState::Denied, 1),
        (QueueState::Created, 2),
        (QueueState::Cancelled, 1),
        (QueueState::NoShow, 1),
    ] {
        let found = demo
            .read(move |tx| {
                let sql = "SELECT count(*) FROM queue_entry WHERE state = ? AND queue_day_id = 6";
                let count: i64 = tx
                    .connection()
                    .query_row(sql, [state.as_str()], |row| row.get(0))?;
                Ok(count)
            })
            .await;
        assert_eq!(found, expected, "{state:?}");
    }
    let cleared = "SELECT count(*) FROM queue_entry WHERE state = 'CLEARED' AND queue_day_id < 6";
    assert!(demo.count(cleared).await > 15);
}

#[tokio::test]
async fn who_may_log_in_can() {
    let demo = load_plan(SMALL).await;
    let logins = logins(7).unwrap();
    assert_eq!(logins.len(), 28);
    let patient = |number: usize| &logins[4 + number];
    for login in logins[..4].iter().chain([patient(0), patient(23)]) {
        assert!(demo.log_in(login).await.is_ok(), "{}", login.name);
    }
    let blocked = demo.log_in(patient(people::BLOCKED.0)).await;
    assert!(matches!(blocked, Err(Error::Blocked)), "{blocked:?}");
    let reset = demo.log_in(patient(people::RESET)).await;
    assert!(
        matches!(reset, Err(Error::PasswordResetRequired)),
        "{reset:?}"
    );
}

#[tokio::test]
async fn a_node_with_people_is_refused() {
    let demo = load_plan(SMALL).await;
    let before = demo.digests().await;
    let again = load(&demo.app, &demo.clock, &SMALL, &|_, _| {}).await;
    assert!(matches!(again, Err(DemoError::NotEmpty)), "{again:?}");
    assert_eq!(demo.digests().await, before);
}

#[tokio::test]
async fn the_whole_demo() {
    let plan = Plan {
        size: DemoSize::FULL,
        ..SMALL
    };
    let demo = load_plan(plan).await;
    assert_eq!(
        demo.count("SELECT count(*) FROM reading WHERE source = 3")
            .await,
        40_326
    );
    let typed = demo
        .count("SELECT count(*) FROM reading WHERE source = 1")
        .await;
    assert!((1_800..3_000).contains(&typed), "{typed}");
    // Nothing is later than the sensor's last value, which is of midnight and a minute on its way.
    let end = start_of_day(TODAY).0;
    let latest = "SELECT max(measured_at) FROM reading";
    assert_eq!(demo.count(latest).await, end);
    for sql in [
        "SELECT max(recorded_at) FROM reading",
        "SELECT max(updated_at) FROM queue_entry",
        "SELECT max(created_at) FROM resolution",
        "SELECT max(at) FROM audit_entry",
        "SELECT max(hlc >> 16) FROM change",
    ] {
        let latest = demo.count(sql).await;
        assert!(latest <= end + 60_000, "{sql}: {latest}");
    }
    assert_eq!(last_day(plan.founded()), TODAY.yesterday().unwrap());
    let streaks: Vec<_> = demo
        .read(|tx| patients::list(tx, 0, 100))
        .await
        .iter()
        .map(|patient| (patient.streak, patient.max_streak))
        .collect();
    assert_eq!(streaks[6..10], [(60, 60), (30, 30), (12, 12), (0, 21)]);
    assert!(
        streaks[..people::SENSORS]
            .iter()
            .all(|streak| *streak == (14, 14))
    );
    // Written in the order of time, by and large: no batch spans more than a week.
    let back = "SELECT max(before - recorded_at) FROM (SELECT recorded_at, max(recorded_at)
                OVER (ORDER BY id ROWS UNBOUNDED PRECEDING) AS before FROM reading)";
    assert!(demo.count(back).await <= 8 * calendar::DAY_MS);
    demo.check_counters().await;
    demo.check_log().await;
}
