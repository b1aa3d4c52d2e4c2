//! Readings: what repeats what, and counters that always equal a recount.

use std::collections::BTreeMap;

use jiff::civil::Date;
use proptest::prelude::*;

use super::*;
use crate::domain::glucose::{Glucose, NewReading, Reading, ReadingType, Source};
use crate::service::{patients, readings};

fn reading(patient: &Actor, mg_dl: f64, measured_at: Option<Timestamp>) -> NewReading {
    NewReading {
        patient_id: patient.patient_id().unwrap(),
        glucose: Glucose::from_mg_dl(mg_dl).unwrap(),
        reading_type: ReadingType::Cena,
        source: Source::App,
        measured_at,
        notes: None,
    }
}

impl Clinic {
    async fn hand_in(&self, actor: &Actor, new: NewReading) -> Reading {
        readings::create(&self.app, actor, new, None).await.unwrap()
    }

    async fn hand_in_keyed(&self, actor: &Actor, new: NewReading, key: u8) -> Reading {
        let created = readings::create(&self.app, actor, new, Some([key; 32])).await;
        created.unwrap()
    }

    async fn readings(&self) -> i64 {
        self.number("SELECT count(*) FROM reading").await
    }
}

#[tokio::test]
async fn a_reading_with_a_time_is_stored_once() {
    let clinic = Clinic::new();
    let (ana, eva) = (clinic.patient(1).await, clinic.patient(2).await);
    let at = Some(Timestamp(NOW.0 - 60_000));
    let first = clinic.hand_in(&ana, reading(&ana, 132.0, at)).await;
    // Seconds or days later.
    for pause in [0, 1_000, 3 * DAY_MS] {
        clinic.pass(pause);
        assert_eq!(clinic.hand_in(&ana, reading(&ana, 132.0, at)).await, first);
    }
    assert_eq!(clinic.readings().await, 1);
    assert_eq!(
        patients::me(&clinic.app, &ana)
            .await
            .unwrap()
            .times_measured,
        1
    );
    // Anything that differs makes it another reading.
    let others = [
        reading(&ana, 132.5, at),
        reading(&ana, 132.0, Some(Timestamp(NOW.0 - 60_001))),
        NewReading {
            reading_type: ReadingType::Otro,
            ..reading(&ana, 132.0, at)
        },
        NewReading {
            notes: Some(String::new()),
            ..reading(&ana, 132.0, at)
        },
        NewReading {
            source: Source::Sensor,
            ..reading(&ana, 132.0, at)
        },
    ];
    for other in others {
        assert_ne!(clinic.hand_in(&ana, other).await.id, first.id);
    }
    assert_ne!(
        clinic.hand_in(&eva, reading(&eva, 132.0, at)).await.id,
        first.id
    );
    assert_eq!(clinic.readings().await, 7);
    assert_eq!(clinic.log("reading.create").await.len(), 7 + 3);
    clinic.assert_logs_whole().await;
}

#[tokio::test]
async fn readings_without_a_time_are_all_stored_unless_a_key_says_otherwise() {
    let clinic = Clinic::new();
    let ana = clinic.patient(1).await;
    let same = || reading(&ana, 120.0, None);
    let parallel = (0..10).map(|_| clinic.hand_in(&ana, same()));
    let mut ids: Vec<_> = futures_util::future::join_all(parallel)
        .await
        .iter()
        .map(|r| r.id)
        .collect();
    ids.dedup();
    assert_eq!(ids.len(), 10);

    let keyed = clinic.hand_in_keyed(&ana, same(), 1).await;
    clinic.pass(23 * HOUR_MS);
    assert_eq!(clinic.hand_in_keyed(&ana, same(), 1).await, keyed);
    assert_ne!(clinic.hand_in_keyed(&ana, same(), 2).await.id, keyed.id);
    // The key is kept for a day and may be used again after it.
    clinic.pass(2 * HOUR_MS);
    let later = clinic.hand_in_keyed(&ana, same(), 1).await;
    assert_ne!(later.id, keyed.id);
    assert_eq!(clinic.hand_in_keyed(&ana, same(), 1).await, later);
    assert_eq!(clinic.readings().await, 13);
    clinic.assert_logs_whole().await;
}

#[tokio::test]
async fn expired_keys_do_not_pile_up() {
    let clinic = Clinic::new();
    let ana = clinic.patient(1).await;
    for key in 0..40 {
        clinic
            .hand_in_keyed(&ana, reading(&ana, 120.0, None), key)
            .await;
    }
    clinic.pass(2 * DAY_MS);
    for key in 100..106 {
        clinic
            .hand_in_keyed(&ana, reading(&ana, 120.0, None), key)
            .await;
    }
    assert_eq!(clinic.number("SELECT count(*) FROM idempotency").await, 6);
}

#[tokio::test]
async fn a_key_is_worth_nothing_to_another_patient() {
    let clinic = Clinic::new();
    let (ana, eva) = (clinic.patient(1).await, clinic.patient(2).await);
    let hers = clinic
        .hand_in_keyed(&ana, reading(&ana, 301.0, None), 1)
        .await;
    let other = clinic
        .hand_in_keyed(&eva, reading(&eva, 90.0, None), 1)
        .await;
    assert_ne!(other.id, hers.id);
    assert_eq!(
        (other.patient_id, other.glucose_mg_dl),
        (eva.patient_id().unwrap(), 90.0)
    );
}

#[tokio::test]
async fn what_staff_marked_as_an_error_stays_one_when_the_phone_sends_it_again() {
    let clinic = Clinic::new();
    let (ana, staff) = (
        clinic.patient(1).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let timed = clinic.hand_in(&ana, reading(&ana, 600.0, Some(NOW))).await;
    let keyed = clinic
        .hand_in_keyed(&ana, reading(&ana, 601.0, None), 1)
        .await;
    for id in [timed.id, keyed.id] {
        readings::mark_entered_in_error(&clinic.app, &staff, id)
            .await
            .unwrap();
    }
    assert_eq!(
        clinic.hand_in(&ana, reading(&ana, 600.0, Some(NOW))).await,
        timed
    );
    assert_eq!(
        clinic
            .hand_in_keyed(&ana, reading(&ana, 601.0, None), 1)
            .await,
        keyed
    );
    assert_eq!(readings::mine(&clinic.app, &ana, false).await.unwrap(), []);
    // Staff who type it in once more mean it, once.
    let typed = || NewReading {
        source: Source::BackOffice,
        ..reading(&ana, 600.0, Some(NOW))
    };
    let first = clinic.hand_in(&staff, typed()).await;
    readings::mark_entered_in_error(&clinic.app, &staff, first.id)
        .await
        .unwrap();
    let second = clinic.hand_in(&staff, typed()).await;
    assert_ne!(second.id, first.id);
    assert_eq!(clinic.hand_in(&staff, typed()).await, second);
    assert_eq!(
        readings::mine(&clinic.app, &ana, false).await.unwrap(),
        [second]
    );
    clinic.assert_logs_whole().await;
}

#[tokio::test]
async fn another_patients_readings_are_refused_and_that_is_in_the_log() {
    let clinic = Clinic::new();
    let (ana, eva) = (clinic.patient(1).await, clinic.patient(2).await);
    let app = &clinic.app;
    let hers = clinic.hand_in(&ana, reading(&ana, 132.0, None)).await;
    let of_ana = ana.patient_id().unwrap();
    assert_eq!(
        code(&readings::create(app, &eva, reading(&ana, 40.0, None), None).await),
        "forbidden"
    );
    assert_eq!(
        code(&readings::of_patient(app, &eva, of_ana, false).await),
        "forbidden"
    );
    assert_eq!(code(&readings::all(app, &eva).await), "forbidden");
    assert_eq!(
        code(&readings::mark_entered_in_error(app, &eva, hers.id).await),
        "forbidden"
    );
    assert_eq!(
        code(&readings::mine(app, &anonymous(), false).await),
        "unauthenticated"
    );
    assert_eq!(clinic.readings().await, 1);
    let by_eva = clinic.log_by("patient", eva.patient_id()).await;
    let said = |row: &AuditRow| (row.action.clone(), row.patient_id);
    let of_others = by_eva.iter().filter(|row| row.patient_id == Some(of_ana));
    assert_eq!(of_others.count(), 2, "{by_eva:?}");
    let all: Vec<_> = by_eva.iter().map(said).collect();
    assert!(
        all.contains(&("reading.list_all".into(), eva.patient_id())),
        "{all:?}"
    );
    assert!(by_eva.is_sorted_by(|a, b| a.seq > b.seq), "newest first");
    for action in ["reading.create", "reading.list"] {
        let denied: Vec<_> = clinic.log(action).await;
        let denied: Vec<_> = denied
            .iter()
            .filter(|row| row.outcome == "denied")
            .collect();
        let who = |row: &&AuditRow| (row.actor_id, row.patient_id);
        let expected = (eva.patient_id(), Some(of_ana));
        assert!(
            denied.iter().any(|row| who(row) == expected),
            "{action}: {denied:?}"
        );
    }
    assert_eq!(readings::mine(app, &ana, false).await.unwrap(), [hers]);
    assert_eq!(readings::mine(app, &eva, false).await.unwrap(), []);
}

#[tokio::test]
async fn unknown_patients_and_readings_are_not_found() {
    let clinic = Clinic::new();
    let staff = clinic.staff("dra.paz", Role::Staff).await;
    let nobody = actor(Who::Patient(77));
    let app = &clinic.app;
    assert_eq!(
        code(&readings::create(app, &staff, reading(&nobody, 99.0, None), None).await),
        "not_found"
    );
    assert_eq!(
        code(&readings::of_patient(app, &staff, 77, true).await),
        "not_found"
    );
    assert_eq!(
        code(&readings::mark_entered_in_error(app, &staff, 77).await),
        "not_found"
    );
    // The two refused writes are in the log; nothing was shown, so that is not.
    assert_eq!(clinic.log("reading.").await.len(), 2);
}

#[tokio::test]
async fn marking_an_error_twice_counts_once() {
    let clinic = Clinic::new();
    let (ana, staff) = (
        clinic.patient(1).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let wrong = clinic.hand_in(&ana, reading(&ana, 500.0, None)).await;
    clinic.hand_in(&ana, reading(&ana, 100.0, None)).await;
    for _ in 0..3 {
        readings::mark_entered_in_error(&clinic.app, &staff, wrong.id)
            .await
            .unwrap();
    }
    assert_eq!(
        patients::me(&clinic.app, &ana)
            .await
            .unwrap()
            .times_measured,
        1
    );
    clinic.assert_logs_whole().await;
}

#[tokio::test]
async fn a_streak_grows_with_the_fourth_reading_and_falls_with_an_error() {
    let clinic = Clinic::new();
    let (ana, staff) = (
        clinic.patient(1).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let mut last = 0;
    for day in 1..=3 {
        for nth in 1..=5 {
            last = clinic.hand_in(&ana, reading(&ana, 100.0, None)).await.id;
            let shown = readings::streak(&clinic.app, &ana).await.unwrap();
            assert_eq!(shown.four_times_today, nth % 4);
            assert_eq!(shown.streak, if nth < 4 { day - 1 } else { day });
        }
        clinic.pass(DAY_MS);
    }
    // Yesterday had five: the first error costs nothing, the second the whole day.
    for (id, streak) in [(last, 3), (last - 1, 0)] {
        readings::mark_entered_in_error(&clinic.app, &staff, id)
            .await
            .unwrap();
        let me = patients::me(&clinic.app, &ana).await.unwrap();
        assert_eq!(me.streak, streak);
    }
    let me = patients::me(&clinic.app, &ana).await.unwrap();
    assert_eq!((me.times_measured, me.max_streak), (13, 2));
    let reached: Vec<_> = readings::achievements(&clinic.app, &ana).await.unwrap();
    assert!(
        reached
            .iter()
            .all(|(achievement, progress)| *progress <= achievement.threshold)
    );
}

#[tokio::test]
async fn latest_is_fifteen_days_by_the_time_of_the_reading() {
    let clinic = Clinic::new();
    let ana = clinic.patient(1).await;
    for days in [16, 15, 1, 0] {
        let at = Timestamp(NOW.0 - days * DAY_MS);
        clinic.hand_in(&ana, reading(&ana, 100.0, Some(at))).await;
    }
    let latest = readings::mine(&clinic.app, &ana, true).await.unwrap();
    assert_eq!(
        latest.iter().map(|reading| reading.id).collect::<Vec<_>>(),
        [2, 3, 4]
    );
    assert_eq!(
        readings::mine(&clinic.app, &ana, false)
            .await
            .unwrap()
            .len(),
        4
    );
}

#[derive(Clone, Debug)]
enum Step {
    /// Without a time.
    Now,
    /// With a time some minutes ago: may be a repeat.
    Timed(i64),
    Keyed(u8),
    /// Marks the nth reading as an error.
    Error(usize),
    /// The clock moves on, or back.
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        6 => Just(Step::Now),
        3 => (0..4i64).prop_map(Step::Timed),
        2 => (0..4u8).prop_map(Step::Keyed),
        3 => (0..40usize).prop_map(Step::Error),
        3 => prop::sample::select(vec![HOUR_MS, 5 * HOUR_MS, DAY_MS, DAY_MS, 2 * DAY_MS, -DAY_MS])
            .prop_map(Step::Pass),
    ]
}

/// Streak, longest streak and last day that counted, from the bare rows.
fn recount(rows: &[i64], former_max: i64) -> (i64, i64, i64, Option<Date>) {
    let mut days = BTreeMap::<Date, i64>::new();
    for recorded_at in rows {
        *days.entry(Timestamp(*recorded_at).day()).or_default() += 1;
    }
    let (mut run, mut longest, mut last) = (0, former_max, None::<Date>);
    for day in days
        .iter()
        .filter(|(_, count)| **count >= 4)
        .map(|(day, _)| *day)
    {
        let follows = last.is_some_and(|last| last.tomorrow().unwrap() == day);
        run = if follows { run + 1 } else { 1 };
        longest = longest.max(run);
        last = Some(day);
    }
    (rows.len() as i64, run, longest, last)
}

async fn run(steps: Vec<Step>) {
    let clinic = Clinic::new();
    let (ana, staff) = (
        clinic.patient(1).await,
        clinic.staff("dra.paz", Role::Staff).await,
    );
    let id = ana.patient_id().unwrap();
    for step in steps {
        match step {
            Step::Now => drop(clinic.hand_in(&ana, reading(&ana, 100.0, None)).await),
            Step::Timed(minutes) => {
                let at = Timestamp(NOW.0 - minutes * 60_000);
                clinic.hand_in(&ana, reading(&ana, 110.0, Some(at))).await;
            }
            Step::Keyed(key) => drop(
                clinic
                    .hand_in_keyed(&ana, reading(&ana, 120.0, None), key)
                    .await,
            ),
            Step::Error(nth) => {
                let marked =
                    readings::mark_entered_in_error(&clinic.app, &staff, nth as i64 + 1).await;
                assert!(["ok", "not_found"].contains(&code(&marked)));
            }
            Step::Pass(ms) => clinic.pass(ms),
        }
        let sql = "SELECT recorded_at FROM reading WHERE patient_id = ? AND status = 1";
        let rows = clinic.read(move |tx| {
            let mut statement = tx.connection().prepare(sql)?;
            statement
                .query_map([id], |row| row.get(0))?
                .collect::<Result<Vec<i64>, _>>()
        });
        let rows = rows.await;
        let shown = readings::streak(&clinic.app, &ana).await.unwrap();
        let counters = shown.counters;
        let stored = (
            counters.times_measured,
            counters.streak,
            counters.max_streak,
            counters.last_day,
        );
        assert_eq!(stored, recount(&rows, 0));
        let today = clinic.clock.now().day();
        let today = rows
            .iter()
            .filter(|at| Timestamp(**at).day() == today)
            .count() as i64;
        assert_eq!(shown.four_times_today, today % 4);
    }
    clinic.assert_logs_whole().await;
}

#[test]
fn counters_always_equal_a_recount() {
    let runtime = runtime();
    let config = ProptestConfig {
        failure_persistence: None,
        max_shrink_iters: 200,
        ..ProptestConfig::with_cases(40)
    };
    proptest!(config, |(steps in prop::collection::vec(step(), 1..60))| {
        runtime.block_on(run(steps));
    });
}

#[tokio::test]
async fn a_reading_of_the_future_is_refused_unless_the_clock_was_set_back() {
    let clinic = Clinic::new();
    let ana = clinic.patient(1).await;
    let hand_in = async |ahead: i64| {
        let at = Some(Timestamp(NOW.0 + ahead));
        code(&readings::create(&clinic.app, &ana, reading(&ana, 100.0, at), None).await)
    };
    assert_eq!(hand_in(DAY_MS).await, "ok");
    assert_eq!(hand_in(DAY_MS + 1).await, "invalid");
    clinic.pass(-30 * DAY_MS);
    assert_eq!(hand_in(0).await, "ok", "phones know the time");
    assert_eq!(hand_in(DAY_MS + 1).await, "invalid");
    // What is stored so far ahead anyway is not among the latest.
    clinic.pass(DAY_MS);
    let latest = readings::mine(&clinic.app, &ana, true).await.unwrap();
    assert_eq!(latest, []);
}
