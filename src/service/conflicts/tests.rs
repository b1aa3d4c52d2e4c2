//! Nodes that were cut off from each other: what contradicts is listed on each in the same words, and gone
//! everywhere once it was settled anywhere.

mod property;
mod waiting;

use super::*;
use crate::domain::account::Email;
use crate::domain::appointment::{Form, Resolution};
use crate::domain::queue::QueueAction;
use crate::service::replication::tests::{Network, at, digests, patient, pull, reading, staff};
use crate::service::{appointments as appointment_cases, queue as queue_cases, readings};
use crate::store::{Lane, StoreError, patients, staff as staff_rows};

fn decision(choice: Option<&str>, reason: &str) -> Decision {
    Decision {
        choice: choice.map(str::to_owned),
        reason: reason.into(),
        mg_dl: None,
        version: None,
    }
}

async fn write<T: Send + 'static>(
    app: &App,
    job: impl FnOnce(&mut WriteTx<'_>) -> Result<T, StoreError> + Send + 'static,
) -> T {
    let job = move |tx: &mut WriteTx<'_>| {
        let done = job(tx)?;
        Ok::<_, StoreError>(
            tx.audit(&Entry::new(&Actor::system(), "test.write"))?
                .with(done),
        )
    };
    app.store.write(Lane::Interactive, job).await.unwrap()
}

async fn correct(app: &App, id: i64, mg_dl: f64) {
    write(app, move |tx| {
        crate::store::readings::set_value(tx, id, mg_dl)
    })
    .await;
}

/// What every node lists, which must be the same.
async fn listed(net: &Network) -> Vec<Conflict> {
    let operator = Actor::operator();
    let first = list(&net.nodes[0], &operator, None, 200).await.unwrap();
    assert_eq!(first.total, first.items.len() as i64);
    for node in &net.nodes[1..] {
        let other = list(node, &operator, None, 200).await.unwrap();
        assert_eq!(other.items, first.items);
    }
    first.items
}

async fn only(net: &Network) -> Conflict {
    let mut all = listed(net).await;
    assert_eq!(all.len(), 1, "{all:#?}");
    all.remove(0)
}

async fn ids(net: &Network) -> Vec<String> {
    listed(net)
        .await
        .iter()
        .map(|it| it.id.to_string())
        .collect()
}

/// What each candidate says, with whether it is shown.
fn texts(conflict: &Conflict) -> Vec<(&str, bool)> {
    conflict
        .candidates
        .iter()
        .map(|it| (it.text.as_str(), it.shown))
        .collect()
}

fn candidate<'a>(conflict: &'a Conflict, text: &str) -> &'a str {
    let found = conflict.candidates.iter().find(|it| it.text == text);
    &found
        .unwrap_or_else(|| panic!("no {text} in {conflict:#?}"))
        .id
}

async fn meet(net: &Network) {
    net.heal().await;
    net.assert_same().await;
}

#[tokio::test]
async fn a_correction_and_a_deletion_that_crossed_are_settled_by_choosing() {
    let net = Network::of(3).await;
    let [a, b, c] = [0, 1, 2].map(|n| &net.nodes[n]);
    let doctor = staff(a, "dra.paz").await;
    let ana = patient(a, 30_111_222).await;
    let id = reading(a, &ana, 110.0, at(5)).await;
    meet(&net).await;
    correct(a, id, 120.0).await;
    readings::mark_entered_in_error(b, &doctor, id)
        .await
        .unwrap();
    meet(&net).await;
    let found = only(&net).await;
    assert_eq!(found.id.to_string(), format!("reading-{id}"));
    assert_eq!(
        texts(&found),
        [
            ("120 mg/dL, CENA", true),
            ("entered in error (110 mg/dL, CENA)", false)
        ]
    );
    assert_eq!(found.patient.as_ref().unwrap().dni, "30111222");
    let nodes: Vec<_> = found
        .candidates
        .iter()
        .map(|it| it.author.node.clone().unwrap())
        .collect();
    assert_eq!(nodes, ["A", "another"]);

    // The correction is shown and counts, until the other one is chosen.
    assert_eq!(readings::mine(c, &ana, false).await.unwrap().len(), 1);
    let wrong = candidate(&found, "entered in error (110 mg/dL, CENA)");
    let settled = settle(
        c,
        &doctor,
        found.id,
        decision(Some(wrong), "the meter was borrowed"),
    )
    .await;
    let settled = settled.unwrap();
    assert!(!settled.is_open());
    assert_eq!(settled.settlements[0].reason, "the meter was borrowed");
    assert_eq!(settled.settlements[0].staff.as_deref(), Some("dra.paz"));
    assert_eq!(settled.settlements[0].author.replica, 2);
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
    for node in &net.nodes {
        assert_eq!(readings::mine(node, &ana, false).await.unwrap(), vec![]);
        assert_eq!(get(node, &doctor, found.id).await.unwrap(), settled);
    }
    assert_eq!(
        digests(a).await["register"].len(),
        digests(b).await["register"].len()
    );
}

#[tokio::test]
async fn the_right_value_may_be_none_of_the_candidates() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let ana = patient(a, 30_111_222).await;
    let id = reading(a, &ana, 110.0, at(5)).await;
    meet(&net).await;
    correct(a, id, 120.0).await;
    correct(b, id, 130.0).await;
    meet(&net).await;
    let found = only(&net).await;
    let choice = found.candidates[1].id.clone();
    let give = |mg_dl| Decision {
        mg_dl: Some(mg_dl),
        ..decision(Some(&choice), "measured again")
    };
    let operator = Actor::operator();
    let refused = settle(b, &operator, found.id, give(9_999.0))
        .await
        .unwrap_err();
    assert_eq!(refused.code(), "invalid");
    settle(b, &operator, found.id, give(125.0)).await.unwrap();
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
    for node in &net.nodes {
        assert_eq!(
            readings::mine(node, &ana, false).await.unwrap()[0].glucose_mg_dl,
            125.0
        );
    }
}

#[tokio::test]
async fn settling_twice_is_settling_once_and_somebody_else_comes_too_late() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let (doctor, other) = (staff(a, "dra.paz").await, staff(a, "dr.sosa").await);
    let ana = patient(a, 30_111_222).await;
    let id = reading(a, &ana, 110.0, at(5)).await;
    meet(&net).await;
    correct(a, id, 120.0).await;
    correct(b, id, 130.0).await;
    meet(&net).await;
    let found = only(&net).await;
    let [first, second] = [0, 1].map(|n| found.candidates[n].id.clone());
    let stale = Decision {
        version: Some("1.1".into()),
        ..decision(Some(&first), "mine")
    };
    assert_eq!(
        settle(a, &doctor, found.id, stale)
            .await
            .unwrap_err()
            .code(),
        "conflict_changed"
    );
    let nonsense = settle(a, &doctor, found.id, decision(Some("7.7"), "mine")).await;
    assert_eq!(nonsense.unwrap_err().code(), "invalid");
    let none = settle(a, &doctor, found.id, decision(None, "mine")).await;
    assert_eq!(none.unwrap_err().code(), "invalid");
    let silent = settle(a, &doctor, found.id, decision(Some(&first), " ")).await;
    assert_eq!(silent.unwrap_err().code(), "invalid");
    let patient_asks = settle(a, &ana, found.id, decision(Some(&first), "mine")).await;
    assert_eq!(patient_asks.unwrap_err().code(), "forbidden");

    let looked_at = Decision {
        version: Some(found.version()),
        ..decision(Some(&first), "mine")
    };
    let settled = settle(a, &doctor, found.id, looked_at.clone())
        .await
        .unwrap();
    let again = settle(a, &doctor, found.id, looked_at).await.unwrap();
    assert_eq!(again, settled);
    assert_eq!(again.settlements.len(), 1);
    let late = settle(a, &other, found.id, decision(Some(&second), "no, mine")).await;
    assert_eq!(late.unwrap_err().code(), "conflict_settled");
    let unknown = ConflictId {
        row_id: 99,
        ..found.id
    };
    let missing = settle(a, &doctor, unknown, decision(Some(&first), "mine")).await;
    assert_eq!(missing.unwrap_err().code(), "not_found");
}

#[tokio::test]
async fn two_nodes_that_settle_alike_agree_and_differently_ask_again() {
    for (choices, open) in [([0, 0], 0), ([0, 1], 1)] {
        let net = Network::of(2).await;
        let operator = Actor::operator();
        let ana = patient(&net.nodes[0], 30_111_222).await;
        let id = reading(&net.nodes[0], &ana, 110.0, at(5)).await;
        meet(&net).await;
        correct(&net.nodes[0], id, 120.0).await;
        correct(&net.nodes[1], id, 130.0).await;
        meet(&net).await;
        let found = only(&net).await;
        for (node, choice) in net.nodes.iter().zip(choices) {
            let choice = decision(Some(&found.candidates[choice].id), "so");
            settle(node, &operator, found.id, choice).await.unwrap();
        }
        meet(&net).await;
        let now = listed(&net).await;
        assert_eq!(now.len(), open);
        for again in now {
            assert_eq!((again.id, again.settlements.len()), (found.id, 2));
            let last = decision(Some(&again.candidates[1].id), "so it is");
            settle(&net.nodes[1], &operator, again.id, last)
                .await
                .unwrap();
            meet(&net).await;
            assert_eq!(ids(&net).await, Vec::<String>::new());
        }
    }
}

#[tokio::test]
async fn accept_and_deny_that_crossed() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let (doctor, ana) = (staff(a, "dra.paz").await, patient(a, 30_111_222).await);
    queue_cases::open(a, &doctor).await.unwrap();
    let placement = queue_cases::submit(a, &ana).await.unwrap().placement;
    meet(&net).await;
    queue_cases::decide(a, &doctor, placement, QueueAction::Accept)
        .await
        .unwrap();
    queue_cases::decide(b, &doctor, placement, QueueAction::Deny)
        .await
        .unwrap();
    meet(&net).await;
    let found = only(&net).await;
    assert_eq!(found.id.kind, Kind::QueueState);
    assert_eq!(texts(&found), [("ACCEPTED", true), ("DENIED", false)]);
    let deny = decision(Some(candidate(&found, "DENIED")), "comes next week");
    settle(b, &doctor, found.id, deny).await.unwrap();
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
    for node in &net.nodes {
        assert_eq!(
            queue_cases::state(node, &ana).await.unwrap(),
            Some(QueueState::Denied)
        );
    }
}

#[tokio::test]
async fn a_place_that_was_given_up_is_given_back_only_when_there_is_one() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let doctor = staff(a, "dra.paz").await;
    let (ana, ben) = (patient(a, 30_111_222).await, patient(a, 30_111_333).await);
    queue_cases::resize(a, &doctor, 1).await.unwrap();
    queue_cases::open(a, &doctor).await.unwrap();
    let placement = queue_cases::submit(a, &ana).await.unwrap().placement;
    meet(&net).await;
    queue_cases::decide(a, &doctor, placement, QueueAction::Accept)
        .await
        .unwrap();
    queue_cases::cancel(b, &ana).await.unwrap();
    meet(&net).await;
    let found = only(&net).await;
    assert_eq!(texts(&found), [("ACCEPTED", false), ("CANCELLED", true)]);
    let accept = || decision(Some(candidate(&found, "ACCEPTED")), "she is here");
    // The place is somebody else's by now.
    let taken = queue_cases::submit(a, &ben).await.unwrap().placement;
    let full = settle(a, &doctor, found.id, accept()).await.unwrap_err();
    assert_eq!(full.code(), "queue_full");
    queue_cases::decide(a, &doctor, taken, QueueAction::NoShow)
        .await
        .unwrap();
    settle(a, &doctor, found.id, accept()).await.unwrap();
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
    assert_eq!(
        queue_cases::state(b, &ana).await.unwrap(),
        Some(QueueState::Accepted)
    );
    let none_left = queue_cases::submit(a, &ben).await.unwrap_err();
    assert_eq!(none_left.code(), "queue_full");
}

#[tokio::test]
async fn a_patient_who_has_another_place_does_not_get_the_former_one_back() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let (doctor, ana) = (staff(a, "dra.paz").await, patient(a, 30_111_222).await);
    queue_cases::open(a, &doctor).await.unwrap();
    let placement = queue_cases::submit(a, &ana).await.unwrap().placement;
    meet(&net).await;
    queue_cases::decide(a, &doctor, placement, QueueAction::Accept)
        .await
        .unwrap();
    queue_cases::cancel(b, &ana).await.unwrap();
    meet(&net).await;
    let found = only(&net).await;
    queue_cases::submit(a, &ana).await.unwrap();
    let accept = decision(Some(candidate(&found, "ACCEPTED")), "she is here");
    let refused = settle(a, &doctor, found.id, accept).await.unwrap_err();
    assert_eq!(refused.code(), "another_place");
}

fn form(dose: f64) -> Form {
    Form {
        glucose_objective: 110.0,
        insulin_type: "slow".into(),
        dose,
        fast_insulin: "lispro".into(),
        fixed_dose: 2.0,
        ratio: 12.0,
        sensitivity: 40.0,
        pump_type: "none".into(),
        control_data: String::new(),
        motives: vec!["AJUSTE".into()],
        another_treatment: None,
        other_motive: None,
    }
}

fn resolution(appointment_id: i64, dose: f64) -> Resolution {
    Resolution {
        appointment_id,
        change_basal_type: None,
        change_basal_dose: Some(dose),
        change_basal_time: None,
        change_fast_type: None,
        change_ratio: None,
        change_sensitivity: None,
        emergency_care: false,
        needed_physical_appointment: true,
        glucose_scale: None,
    }
}

#[tokio::test]
async fn two_forms_for_one_place_and_two_resolutions_of_one_form() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let (doctor, ana) = (staff(a, "dra.paz").await, patient(a, 30_111_222).await);
    queue_cases::open(a, &doctor).await.unwrap();
    let placement = queue_cases::submit(a, &ana).await.unwrap().placement;
    queue_cases::decide(a, &doctor, placement, QueueAction::Accept)
        .await
        .unwrap();
    meet(&net).await;
    let first = appointment_cases::create(a, &ana, form(10.0))
        .await
        .unwrap()
        .id;
    let second = appointment_cases::create(b, &ana, form(12.0))
        .await
        .unwrap()
        .id;
    meet(&net).await;
    let found = only(&net).await;
    assert_eq!(found.id.to_string(), format!("appointment-{second}"));
    assert!(found.candidates[0].shown && found.candidates[0].text.contains("slow 10"));
    assert_eq!(
        found.candidates[1].fact("appointment_id"),
        Some(&Fact::Integer(second))
    );
    let chosen = settle(a, &doctor, found.id, decision(Some("1"), "so")).await;
    assert_eq!(chosen.unwrap_err().code(), "invalid");
    settle(a, &doctor, found.id, decision(None, "asked her: 10 units"))
        .await
        .unwrap();
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());

    for (node, dose) in [(a, 14.0), (b, 16.0)] {
        appointment_cases::resolve(node, &doctor, resolution(first, dose))
            .await
            .unwrap();
    }
    meet(&net).await;
    let found = only(&net).await;
    assert_eq!(found.id.to_string(), format!("resolution-{first}"));
    let former = candidate(&found, "basal dose 14, come to the clinic").to_owned();
    assert_eq!(
        found.candidates[0].fact("staff"),
        Some(&Fact::Text("dra.paz".into()))
    );
    settle(b, &doctor, found.id, decision(Some(&former), "14 is right"))
        .await
        .unwrap();
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
    let holds = appointment_cases::resolution(a, &doctor, first)
        .await
        .unwrap();
    assert_eq!(holds.change_basal_dose, Some(14.0));
}

#[tokio::test]
async fn one_person_registered_twice_is_reported_until_somebody_acknowledges_it() {
    let net = Network::of(3).await;
    let [a, b, c] = [0, 1, 2].map(|n| &net.nodes[n]);
    // The same address and hospital account are no conflicts of their own: it is one person.
    let (one, two) = (patient(b, 30_111_222).await, patient(c, 30_111_222).await);
    let ids_of_both = [&one, &two].map(|actor| actor.patient_id().unwrap());
    meet(&net).await;
    let found = only(&net).await;
    assert_eq!(
        found.id.to_string(),
        format!("patient_dni-{}", ids_of_both[1])
    );
    assert_eq!(found.patient.as_ref().unwrap().id, ids_of_both[0]);
    assert_eq!(found.candidates.iter().filter(|it| it.shown).count(), 1);
    settle(
        a,
        &Actor::operator(),
        found.id,
        decision(None, "same person"),
    )
    .await
    .unwrap();
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
    assert_eq!(
        get(c, &Actor::operator(), found.id)
            .await
            .unwrap()
            .settlements
            .len(),
        1
    );
    // Somebody finds the same card a third time.
    patient(a, 30_111_333).await;
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
}

#[tokio::test]
async fn the_same_reading_corrected_differently_before_its_patient_was_one() {
    let net = Network::of(3).await;
    let [_, b, c] = [0, 1, 2].map(|n| &net.nodes[n]);
    let (one, two) = (patient(b, 30_111_222).await, patient(c, 30_111_222).await);
    let here = reading(b, &one, 110.0, at(5)).await;
    let there = reading(c, &two, 110.0, at(5)).await;
    correct(b, here, 120.0).await;
    correct(c, there, 130.0).await;
    meet(&net).await;
    let found = listed(&net).await;
    let names: Vec<_> = found.iter().map(|it| it.id.to_string()).collect();
    assert_eq!(names[0], format!("reading-{here}"), "{names:?}");
    assert_eq!(texts(&found[0]).len(), 2);
    // By the id that it had before, too.
    let former = ConflictId {
        kind: Kind::Reading,
        row_id: there,
    };
    assert_eq!(get(b, &Actor::operator(), former).await.unwrap(), found[0]);
    let shown = found[0].candidates.iter().find(|it| it.shown).unwrap();
    let mine = readings::mine(b, &one, false).await.unwrap();
    assert_eq!(
        shown.fact("glucose_mg_dl"),
        Some(&Fact::Number(mine[0].glucose_mg_dl))
    );
}

#[tokio::test]
async fn one_address_for_two_accounts_is_gone_once_one_has_another() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let (one, two) = (patient(a, 30_111_222).await, patient(a, 30_111_333).await);
    let [one, two] = [&one, &two].map(|actor| actor.patient_id().unwrap());
    meet(&net).await;
    move_to(a, one, "Both@clinic.test").await;
    move_to(b, two, "both@clinic.test").await;
    staff(a, "dra.paz").await;
    staff(b, "dra.paz").await;
    meet(&net).await;
    let found = listed(&net).await;
    let names: Vec<_> = found.iter().map(|it| it.id.kind).collect();
    assert_eq!(
        names,
        [Kind::PatientEmail, Kind::StaffUsername, Kind::StaffEmail]
    );
    assert_eq!(found[0].id.row_id, two);
    // Acknowledged it stays quiet, whatever else changes, and comes again for another account.
    settle(
        a,
        &Actor::operator(),
        found[1].id,
        decision(None, "blocked one"),
    )
    .await
    .unwrap();
    settle(
        b,
        &Actor::operator(),
        found[2].id,
        decision(None, "blocked one"),
    )
    .await
    .unwrap();
    move_to(b, two, "p2@clinic.test").await;
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
    move_to(a, one, "p3@clinic.test").await;
    let paz = write(b, |tx| Ok(staff_rows::by_name(tx, "dra.paz")?.unwrap().id)).await;
    let email = Email::parse("paz2@clinic.test").unwrap();
    write(b, move |tx| staff_rows::set_email(tx, paz, &email)).await;
    meet(&net).await;
    assert_eq!(ids(&net).await, Vec::<String>::new());
}

async fn move_to(app: &App, patient: i64, email: &str) {
    let patch = crate::domain::patient::PatientPatch {
        email: Some(Email::parse(email).unwrap()),
        ..Default::default()
    };
    write(app, move |tx| patients::update(tx, patient, &patch)).await;
}

#[tokio::test]
async fn the_queue_opened_on_two_nodes() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let doctor = staff(a, "dra.paz").await;
    meet(&net).await;
    queue_cases::open(a, &doctor).await.unwrap();
    queue_cases::open(b, &doctor).await.unwrap();
    meet(&net).await;
    let found = only(&net).await;
    assert_eq!(found.id.kind, Kind::QueueDay);
    assert_eq!(found.patient, None);
    let here = Fact::Integer(found.id.row_id);
    let opened_here = |it: &Candidate| it.fact("queue_day_id") == Some(&here);
    assert!(
        found
            .candidates
            .iter()
            .all(|it| it.shown == opened_here(it))
    );
    settle(b, &doctor, found.id, decision(None, "two doors"))
        .await
        .unwrap();
    meet(&net).await;
    // The next days are opened one after the other, by whoever.
    for (hours, node) in (1..).zip([a, b, a]) {
        net.clock.set(at(-60 * hours));
        queue_cases::close(node, &doctor).await.unwrap();
        meet(&net).await;
        net.clock.set(at(-60 * hours - 1));
        queue_cases::open(node, &doctor).await.unwrap();
        meet(&net).await;
    }
    assert_eq!(ids(&net).await, Vec::<String>::new());
}

#[tokio::test]
async fn pages_follow_each_other_over_registers_and_pairs() {
    let net = Network::of(2).await;
    let [a, b] = [0, 1].map(|n| &net.nodes[n]);
    let ana = patient(a, 30_111_222).await;
    let mut made = Vec::new();
    for n in 0..5 {
        made.push(reading(a, &ana, 110.0, at(n)).await);
    }
    meet(&net).await;
    for id in &made {
        correct(a, *id, 120.0).await;
        correct(b, *id, 130.0).await;
    }
    for dni in 30_222_000..30_222_003 {
        patient(a, dni).await;
        patient(b, dni).await;
    }
    meet(&net).await;
    let all = ids(&net).await;
    assert_eq!(all.len(), 8);
    let operator = Actor::operator();
    for limit in 1..=9 {
        let (mut paged, mut after) = (Vec::new(), None);
        loop {
            let page = list(b, &operator, after, limit).await.unwrap();
            assert!(page.items.len() <= limit as usize);
            assert_eq!(page.total, 8);
            paged.extend(page.items.iter().map(|it| it.id.to_string()));
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        assert_eq!(paged, all);
    }
}
