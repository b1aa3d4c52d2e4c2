//! No statement reads a whole table that grows: cost must not grow with the clinic's past.

use std::time::Duration;

use super::*;
use crate::auth::refresh::FamilyState;
use crate::domain::account::{Email, Username};
use crate::domain::actor::Role;
use crate::domain::appointment::{Form, Resolution};
use crate::domain::conflict::{ConflictId, Kind};
use crate::domain::glucose::{Glucose, NewReading, ReadingType, Source};
use crate::domain::patient::{Dni, NewPatient, PatientPatch};
use crate::domain::queue::QueueState;
use crate::store::patients::Unique;
use crate::store::sessions::Owner;
use crate::store::tx::SEEN;

/// Tables of a handful of rows, and those of which one row is read by its place.
/// The last three hold a row for each node, nothing but who was registered twice, and what people have not looked at yet.
const SMALL: [&str; 7] = [
    "replica",
    "setting",
    "queue_day",
    "staff_role",
    "log",
    "patient_link",
    "collision",
];
/// The whole of an index that holds nothing but what is live now, or open.
const LIVE: [&str; 2] = [
    "SCAN queue_entry USING INDEX queue_entry_live",
    "SCAN register USING COVERING INDEX register_conflict",
];

type Done = Result<(), StoreError>;

fn accounts(tx: &mut WriteTx<'_>) -> Result<(i64, i64), StoreError> {
    let email = Email::parse("ana@clinic.test").unwrap();
    let new = NewPatient {
        dni: Dni::parse("1001").unwrap(),
        name: "Ana".into(),
        surname: "Paz".into(),
        email: email.clone(),
        tidepool: None,
        hospital_account: "HC-1".into(),
        blocked: false,
        former_times_measured: 0,
        former_max_streak: 0,
    };
    let patient = patients::insert(tx, &new, "hash")?;
    let patch = PatientPatch {
        blocked: Some(false),
        ..PatientPatch::default()
    };
    patients::update(tx, patient, &patch)?;
    patients::set_password(tx, patient, "hash", false)?;
    patients::by_id(tx, patient)?;
    patients::by_dni(tx, "1001")?;
    patients::list(tx, 0, 10)?;
    patients::search(tx, 0, 10, |_, _, _| true)?;
    patients::login(tx, "1001")?;
    patients::login(tx, "a@b.c")?;
    patients::login_by_id(tx, patient)?;
    for field in [Unique::Dni, Unique::Email, Unique::HospitalAccount] {
        patients::taken(tx, field, "x", None)?;
    }
    let username = Username::parse("paz").unwrap();
    let member = staff::insert(tx, &username, &email, "hash", Role::Admin)?;
    staff::set_password(tx, member, "hash", false)?;
    staff::set_email(tx, member, &email)?;
    staff::set_blocked(tx, member, false)?;
    staff::by_id(tx, member)?;
    staff::by_name(tx, "paz")?;
    staff::by_name(tx, "a@b.c")?;
    staff::list(tx, 0, 10)?;
    staff::has_other_admin(tx, member)?;
    tx.set_role(member, "admin", false)?;
    Ok((patient, member))
}

fn measurements(tx: &mut WriteTx<'_>, patient_id: i64) -> Done {
    let new = NewReading {
        patient_id,
        glucose: Glucose::from_mg_dl(100.0).unwrap(),
        reading_type: ReadingType::Cena,
        source: Source::App,
        measured_at: None,
        notes: None,
    };
    for _ in 0..4 {
        let id = readings::insert(tx, &new, NOW)?;
        patients::count_reading(tx, patient_id, NOW.day())?;
        readings::by_id(tx, id)?;
    }
    readings::find_same(tx, &new, NOW)?;
    readings::newest(tx, patient_id, NOW.0..=NOW.0, 10)?;
    readings::newest_of_all(tx, 10)?;
    let part = reading_pages::Selection {
        since: Some(NOW),
        ..reading_pages::Selection::default()
    };
    reading_pages::page(tx, patient_id, &part, Some((NOW, 1)), 10)?;
    reading_pages::count(tx, patient_id, &part)?;
    reading_pages::count(tx, patient_id, &reading_pages::Selection::default())?;
    readings::mark_entered_in_error(tx, 1)?;
    readings::latest_change(tx)?;
    patients::counters(tx, patient_id)?;
    patients::readings_on(tx, patient_id, NOW.day())?;
    idempotency::find(tx, &KEY, Duration::from_secs(1))?;
    idempotency::remember(tx, &KEY, &entity::READING, 1)
}

fn waiting(tx: &mut WriteTx<'_>, patient_id: i64, staff_id: i64) -> Done {
    queue::set_size(tx, 7)?;
    let day = queue::open_day(tx)?;
    let place = queue::insert_entry(tx, day, patient_id)?;
    queue::occupied(tx)?;
    queue::set_priority(tx, place, 1, Some("x"))?;
    queue::set_state(tx, place, QueueState::Accepted)?;
    let entry = queue::by_placement(tx, place)?.unwrap();
    queue::by_patient(tx, patient_id)?;
    queue::live_entries(tx, None)?;
    queue::rank(tx, &entry)?;
    queue::prioritized(tx)?;
    queue::pace(tx, &queue::current_day(tx)?)?;
    queue::close_day(tx, day)?;
    let form = Form {
        glucose_objective: 1.0,
        insulin_type: String::new(),
        dose: 1.0,
        fast_insulin: String::new(),
        fixed_dose: 1.0,
        ratio: 1.0,
        sensitivity: 1.0,
        pump_type: String::new(),
        control_data: String::new(),
        motives: Vec::new(),
        another_treatment: None,
        other_motive: None,
    };
    let id = appointments::insert(tx, patient_id, Some(place), &form)?;
    appointments::by_id(tx, id)?;
    appointments::by_queue_entry(tx, place)?;
    appointments::of_patient(tx, patient_id, 1)?;
    appointments::before(tx, patient_id, 9, 1)?;
    appointments::detach(tx, id)?;
    let resolution = Resolution {
        appointment_id: id,
        change_basal_type: None,
        change_basal_dose: None,
        change_basal_time: None,
        change_fast_type: None,
        change_ratio: None,
        change_sensitivity: None,
        emergency_care: false,
        needed_physical_appointment: false,
        glucose_scale: None,
    };
    appointments::insert_resolution(tx, &resolution, Some(staff_id))?;
    appointments::resolution(tx, id).map(|_| ())
}

fn log_ins(tx: &mut WriteTx<'_>, patient_id: i64, staff_id: i64) -> Done {
    for owner in [Owner::Patient(patient_id), Owner::Staff(staff_id)] {
        let id = format!("{owner:?}");
        let digest = *blake3::hash(id.as_bytes()).as_bytes();
        sessions::begin(tx, &id, owner, &digest, NOW)?;
        sessions::status(tx, &id)?;
        let found = sessions::presented(tx, &digest)?.unwrap();
        let family = FamilyState::begin(NOW.0);
        let next = *blake3::hash(&digest).as_bytes();
        sessions::advance(tx, &found, &family, &next, NOW)?;
        sessions::replace_siblings(tx, found.session, &family, 1)?;
        sessions::revoke(tx, found.session)?;
        sessions::revoke_all(tx, owner, None)?;
        recovery::add_link(tx, owner, &digest, NOW)?;
        recovery::add_code(tx, owner, &digest, NOW)?;
        recovery::find(tx, &next)?;
    }
    Ok(())
}

/// What is new for one, some and all, in few rows and in many.
fn told(tx: &impl Read, patient_id: i64) -> Done {
    let marks = Marks::default();
    for whose in [Some(&[patient_id][..]), None] {
        let scope = feed::Scope::of(tx, whose)?;
        let first = feed::news(tx, &marks, &scope, None, 1)?.unwrap();
        feed::news(tx, &marks, &scope, Some(&first.cursor), 100)?.unwrap();
        feed::rows_of_many(tx, &scope)?;
    }
    Ok(())
}

fn audit_pages(tx: &impl Read) -> Done {
    let all = || audit::AuditFilter {
        limit: 10,
        ..audit::AuditFilter::default()
    };
    let filters = [
        all(),
        audit::AuditFilter {
            patient_id: Some(1),
            ..all()
        },
        audit::AuditFilter {
            actor: Some(("staff".into(), Some(1))),
            ..all()
        },
        audit::AuditFilter {
            actor: Some(("patient".into(), Some(1))),
            ..all()
        },
        audit::AuditFilter {
            action: Some("reading.".into()),
            outcome: Some("denied".into()),
            since: Some(NOW),
            until: Some(NOW),
            before: Some(9),
            ..all()
        },
    ];
    filters
        .iter()
        .try_for_each(|filter| audit::list(tx, filter).map(|_| ()))
}

/// Two registrations that share an address, and a reading with siblings, settled.
fn contradictions(tx: &mut WriteTx<'_>, patient_id: i64, staff_id: i64) -> Done {
    let id = |kind, row_id| ConflictId { kind, row_id };
    let patch = PatientPatch {
        email: Some(Email::parse("ben@clinic.test").unwrap()),
        ..PatientPatch::default()
    };
    patients::update(tx, patient_id, &patch)?;
    staff::set_email(tx, staff_id, &Email::parse("ben@clinic.test").unwrap())?;
    for kind in Kind::ALL {
        conflicts::open(tx, Some(id(kind, 1)), 10)?;
        conflicts::get(tx, id(kind, 1))?;
        conflicts::insert_settlement(tx, id(kind, 1), "so", Some(staff_id))?;
        conflicts::get(tx, id(kind, 1))?;
    }
    conflicts::open(tx, None, 10)?;
    conflicts::count(tx).map(|_| ())
}

/// The plans of all statements that this thread has run, with the statements.
fn plans(tx: &impl Read) -> rusqlite::Result<Vec<(String, String)>> {
    let mut plans = Vec::new();
    for sql in SEEN.take() {
        let mut statement = tx
            .connection()
            .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))?;
        // Nothing is bound: the plan does not depend on the values.
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next()? {
            plans.push((row.get(3)?, sql.clone()));
        }
    }
    Ok(plans)
}

#[tokio::test]
async fn no_statement_reads_a_table_that_grows_from_end_to_end() {
    let node = Node::new();
    let write = node.store().write(Lane::Interactive, |tx| {
        SEEN.take();
        let (patient, member) = accounts(tx)?;
        measurements(tx, patient)?;
        waiting(tx, patient, member)?;
        log_ins(tx, patient, member)?;
        audit_pages(tx)?;
        contradictions(tx, patient, member)?;
        told(tx, patient)?;
        let done = tx.audit(&Entry::new(&Actor::system(), "test.plans"))?;
        Ok::<_, StoreError>(done.with(plans(tx)?))
    });
    let plans = write.await.unwrap();
    assert!(plans.len() > 60, "only {} steps", plans.len());
    let whole = plans.iter().filter(|(step, _)| {
        let table = step
            .strip_prefix("SCAN ")
            .and_then(|rest| rest.split(' ').next());
        table.is_some_and(|table| !SMALL.contains(&table) && !table.starts_with('('))
            && !LIVE.contains(&step.as_str())
    });
    assert_eq!(whole.collect::<Vec<_>>(), Vec::<&(String, String)>::new());
}

/// What is asked for by patient or person is found by them, not by going through the others.
#[tokio::test]
async fn lists_are_served_by_the_index_made_for_them() {
    let node = Node::new();
    let read = node.store().read(|tx| {
        SEEN.take();
        audit_pages(tx)?;
        readings::newest(tx, 1, NOW.0..=NOW.0, 10)?;
        let all = reading_pages::Selection::default();
        reading_pages::page(tx, 1, &all, None, 10)?;
        appointments::of_patient(tx, 1, 10)?;
        appointments::resolution(tx, 1)?;
        queue::by_patient(tx, 1)?;
        conflicts::open(tx, None, 10)?;
        Ok::<_, StoreError>(plans(tx)?)
    });
    let plans = read.await.unwrap();
    for (index, column) in [
        ("audit_by_patient", "patient_id = ?2"),
        ("audit_of_many", "patient_id = ?2"),
        ("audit_by_staff", "actor_kind = 'staff'"),
        ("audit_by_patient", "patient_id = ?4"),
        ("audit_by_stranger", "patient_id IS NOT actor_id"),
        ("reading_by_patient", "FROM reading"),
        ("appointment_by_patient", "FROM appointment"),
        ("queue_entry_live", "FROM queue_entry"),
        ("register_conflict", "FROM register"),
    ] {
        let steps: Vec<_> = plans
            .iter()
            .filter(|(_, sql)| sql.contains(column))
            .collect();
        let sorts = steps.iter().find(|(step, _)| step.contains("TEMP B-TREE"));
        let pages = sorts.filter(|(_, sql)| sql.contains("ORDER BY measured_at DESC, id DESC"));
        assert_eq!(pages, None, "a page is to come out of the index in order");
        let served = |(step, _): &&&(String, String)| step.contains(&format!("INDEX {index}"));
        assert!(steps.iter().any(|step| served(&step)), "{index}: {steps:?}");
    }
}

/// The check above can fail.
#[tokio::test]
async fn a_scan_is_seen() {
    let node = Node::new();
    let read = node.store().read(|tx| {
        SEEN.take();
        let sql = "SELECT count(*) FROM queue_entry WHERE state = 'PENDING' AND priority > 3";
        tx::one(tx, sql, [], |_| Ok(()))?;
        Ok::<_, StoreError>(plans(tx)?)
    });
    let plans = read.await.unwrap();
    assert!(
        plans.iter().any(|(step, _)| step == "SCAN queue_entry"),
        "{plans:?}"
    );
}

/// Nothing is built for a reading only to be thrown away: SQLite makes a table of a list of more than two in a check
/// or in the condition of an index, and of what it must sort, anew for each row.
#[tokio::test]
async fn a_reading_is_stored_without_a_table_made_for_it() {
    let node = Node::new();
    let write = node.store().write(Lane::Interactive, |tx| {
        let (patient_id, _) = accounts(tx)?;
        let new = NewReading {
            patient_id,
            glucose: Glucose::from_mg_dl(100.0).unwrap(),
            reading_type: ReadingType::Cena,
            source: Source::App,
            measured_at: None,
            notes: None,
        };
        SEEN.take();
        readings::insert(tx, &new, NOW)?;
        patients::count_reading(tx, patient_id, NOW.day())?;
        let done = tx.audit(&Entry::new(&Actor::system(), "test.plans"))?;
        let mut made = Vec::new();
        let seen = SEEN.take();
        for sql in &seen {
            let mut explained = tx.connection().prepare(&format!("EXPLAIN {sql}"))?;
            let mut steps = explained.raw_query();
            while let Some(step) = steps.next()? {
                let operation: String = step.get(1)?;
                if ["OpenEphemeral", "OpenAutoindex", "SorterOpen"].contains(&&*operation) {
                    made.push((operation, sql.clone()));
                }
            }
        }
        Ok::<_, StoreError>(done.with((seen.len(), made)))
    });
    let (statements, made) = write.await.unwrap();
    assert!(statements >= 6, "only {statements} statements");
    assert_eq!(made, []);
}
