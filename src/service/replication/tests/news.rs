//! A phone that asks one node after the other what is new ends with what all of them have.

use std::collections::BTreeMap;

use super::*;
use crate::domain::appointment::{Form, Resolution};
use crate::domain::patient::PatientPatch;
use crate::domain::queue::QueueAction;
use crate::service::changes::{self, Cursor, How, Item};
use crate::service::{appointments, patients as people};

/// What a phone keeps: the things by kind and id, and how far it was told.
#[derive(Clone, Default)]
struct Phone {
    things: BTreeMap<(&'static str, i64), Item>,
    cursor: Option<Vec<u8>>,
    afresh: usize,
}

impl Phone {
    /// Asks once, and keeps what it is told together with the cursor.
    async fn ask(&mut self, node: &App, patient: &Actor, limit: u32) -> (bool, bool) {
        let cursor = self.cursor.as_deref();
        let after = cursor.map(|bytes| Cursor::from_bytes(bytes).unwrap());
        let news = match changes::list(node, patient, None, after, limit).await {
            Err(Error::StartAfresh) => {
                *self = Self {
                    afresh: self.afresh + 1,
                    ..Self::default()
                };
                changes::list(node, patient, None, None, limit)
                    .await
                    .unwrap()
            }
            news => news.unwrap(),
        };
        for change in news.changes {
            let key = key(&change.item);
            match change.how {
                How::Removed => self.things.remove(&key),
                How::Created | How::Changed => self.things.insert(key, told(change.item)),
            };
        }
        self.cursor = Some(news.cursor.to_bytes());
        (news.more, news.behind)
    }

    async fn ask_until_done(&mut self, node: &App, patient: &Actor, limit: u32) -> bool {
        loop {
            let (more, behind) = self.ask(node, patient, limit).await;
            if !more {
                return behind;
            }
        }
    }

    fn readings(&self) -> Vec<(i64, f64)> {
        let readings = self.things.values().filter_map(|item| match item {
            Item::Reading(Ok(reading)) => Some((reading.id, reading.glucose_mg_dl)),
            _ => None,
        });
        readings.collect()
    }
}

/// Counters follow from the readings and are not told.
fn told(item: Item) -> Item {
    match item {
        Item::Profile(patient) => Item::Profile(crate::domain::patient::Patient {
            times_measured: 0,
            streak: 0,
            max_streak: 0,
            ..patient
        }),
        item => item,
    }
}

fn key(item: &Item) -> (&'static str, i64) {
    match item {
        Item::Reading(Ok(it)) => ("reading", it.id),
        Item::Reading(Err(id)) => ("reading", *id),
        Item::QueueEntry(Ok(it)) => ("queue_entry", it.placement),
        Item::QueueEntry(Err(id)) => ("queue_entry", *id),
        Item::Appointment(it) => ("appointment", it.id),
        Item::Resolution(it) => ("resolution", it.appointment_id),
        Item::Profile(it) => ("profile", it.id),
    }
}

async fn held(node: &App, patient: &Actor) -> Vec<(i64, f64)> {
    let mut mine: Vec<_> = readings::mine(node, patient, false)
        .await
        .unwrap()
        .into_iter()
        .map(|it| (it.id, it.glucose_mg_dl))
        .collect();
    mine.sort_by_key(|(id, _)| *id);
    mine
}

/// Numbers from a seed.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (self.0 >> 33) as usize % sides
    }
}

fn form(dose: f64) -> Form {
    Form {
        glucose_objective: 110.0,
        insulin_type: "rapid".into(),
        dose,
        fast_insulin: "rapid".into(),
        fixed_dose: 4.0,
        ratio: 12.0,
        sensitivity: 40.0,
        pump_type: "none".into(),
        control_data: String::new(),
        motives: Vec::new(),
        another_treatment: None,
        other_motive: None,
    }
}

fn decision(appointment_id: i64, ratio: f64) -> Resolution {
    Resolution {
        appointment_id,
        change_basal_type: None,
        change_basal_dose: None,
        change_basal_time: None,
        change_fast_type: None,
        change_ratio: Some(ratio),
        change_sensitivity: None,
        emergency_care: false,
        needed_physical_appointment: false,
        glucose_scale: None,
    }
}

/// One thing that somebody does at a node. What the state does not allow is refused, as in life.
async fn happen(dice: &mut Dice, node: &App, patient: &Actor, doctor: &Actor) {
    let known = held(node, patient).await;
    let any = known
        .get(dice.throw(known.len().max(1)))
        .map_or(1, |(id, _)| *id);
    let value = f64::from(u32::try_from(dice.throw(4)).unwrap());
    let place = queue::standing(node, patient).await.unwrap().entry;
    let place = place.map_or(0, |entry| entry.placement);
    match dice.throw(12) {
        // So few values that two nodes often get the same.
        0..=4 => {
            let minute = i64::try_from(dice.throw(30)).unwrap();
            reading(node, patient, 100.0 + value, at(minute)).await;
        }
        5 => {
            let glucose = Glucose::from_mg_dl(200.0 + value).unwrap();
            let _ = readings::correct(node, doctor, any, glucose, "so", None).await;
        }
        6 => {
            let _ = readings::withdraw(node, doctor, any, Some("so"), None).await;
        }
        7 => {
            let _ = queue::open(node, doctor).await;
            let _ = queue::submit(node, patient).await;
        }
        8 => {
            let actions = [
                QueueAction::Accept,
                QueueAction::PutBack,
                QueueAction::NoShow,
            ];
            let _ = queue::decide(node, doctor, place, actions[dice.throw(3)]).await;
        }
        9 => {
            let _ = appointments::create(node, patient, form(value)).await;
        }
        10 => {
            let mine = appointments::mine(node, patient).await.unwrap();
            if let Some(last) = mine.last() {
                let _ = appointments::resolve(node, doctor, decision(last.id, value)).await;
            }
        }
        _ => {
            let patch = PatientPatch {
                name: Some(format!("Ana {value}")),
                ..PatientPatch::default()
            };
            people::edit_me(node, patient, patch, None).await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_phone_that_roams_ends_with_what_every_node_has() {
    for seed in 0..12_u64 {
        let net = Network::of(3).await;
        let mut dice = Dice((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let patient = patient(&net.nodes[0], 30_111_222).await;
        let other = super::patient(&net.nodes[0], 30_111_223).await;
        let doctor = staff(&net.nodes[0], "dra.paz").await;
        net.heal().await;
        let mut phone = Phone::default();
        for _ in 0..120 {
            let node = dice.throw(3);
            match dice.throw(10) {
                0..=4 => happen(&mut dice, &net.nodes[node], &patient, &doctor).await,
                5 => happen(&mut dice, &net.nodes[node], &other, &doctor).await,
                6..=7 => {
                    let from = (node + 1 + dice.throw(2)) % 3;
                    pull(&net.nodes[node], &net.nodes[from]).await;
                }
                _ => {
                    let limit = 1 + u32::try_from(dice.throw(6)).unwrap();
                    phone.ask(&net.nodes[node], &patient, limit).await;
                }
            }
        }
        net.heal().await;
        for node in &net.nodes {
            let mut phone = phone.clone();
            let behind = phone.ask_until_done(node, &patient, 3).await;
            let mut fresh = Phone::default();
            fresh.ask_until_done(node, &patient, 1000).await;
            assert_eq!(phone.things, fresh.things, "seed {seed}");
            assert_eq!(phone.readings(), held(node, &patient).await, "seed {seed}");
            assert!(!behind && phone.afresh == 0, "seed {seed}");
            // And there is nothing more.
            let before = phone.cursor.clone();
            phone.ask(node, &patient, 3).await;
            assert_eq!(phone.cursor, before);
        }
    }
}

#[tokio::test]
async fn a_node_that_knows_less_says_so_and_takes_nothing_away() {
    let net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    reading(&net.nodes[0], &ana, 100.0, at(9)).await;
    let mut phone = Phone::default();
    assert!(!phone.ask_until_done(&net.nodes[0], &ana, 100).await);
    let second = reading(&net.nodes[1], &ana, 200.0, at(5)).await;
    assert!(phone.ask_until_done(&net.nodes[1], &ana, 100).await);
    assert_eq!(phone.readings().len(), 2);
    // What was corrected where the phone was before comes when that node knows both.
    correct(&net.nodes[1], second, 210.0).await;
    net.heal().await;
    assert!(!phone.ask_until_done(&net.nodes[0], &ana, 100).await);
    assert_eq!(phone.readings(), held(&net.nodes[0], &ana).await);
}

#[tokio::test]
async fn a_cursor_holds_after_a_backup_was_restored() {
    let mut net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    reading(&net.nodes[0], &ana, 100.0, at(9)).await;
    net.heal().await;
    let dir = net.dirs[0].path().to_owned();
    let backup = net.stop(0, |dir| std::fs::read(dir.join("islet.db")).unwrap());
    net.start(0).await;
    reading(&net.nodes[0], &ana, 200.0, at(5)).await;
    let mut phone = Phone::default();
    phone.ask_until_done(&net.nodes[0], &ana, 100).await;
    pull(&net.nodes[1], &net.nodes[0]).await;
    net.stop(0, |_| ());
    std::fs::write(dir.join("islet.db"), backup).unwrap();
    net.start(0).await.unwrap();
    reading(&net.nodes[0], &ana, 300.0, at(1)).await;
    // The restored node lacks what the phone has seen of it.
    assert!(phone.ask_until_done(&net.nodes[0], &ana, 100).await);
    assert_eq!(phone.readings().len(), 3);
    net.heal().await;
    for node in &net.nodes {
        assert!(!phone.ask_until_done(node, &ana, 100).await);
        assert_eq!(phone.readings(), held(node, &ana).await);
        assert_eq!(phone.afresh, 0);
    }
}

#[tokio::test]
async fn another_branch_of_a_log_is_not_taken_for_the_one_that_was_told() {
    let mut net = Network::of(1).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    let dir = net.dirs[0].path().to_owned();
    let copy = net.stop(0, |dir| {
        let read = |name: &str| std::fs::read(dir.join(name)).unwrap();
        ["islet.db", crate::store::LEASE_FILE].map(|name| (name, read(name)))
    });
    net.start(0).await;
    reading(&net.nodes[0], &ana, 100.0, at(9)).await;
    let mut phone = Phone::default();
    phone.ask_until_done(&net.nodes[0], &ana, 100).await;
    net.stop(0, |_| ());
    // Database and lease together, as by an image of the whole card: the node cannot notice by itself.
    for (name, bytes) in copy {
        std::fs::write(dir.join(name), bytes).unwrap();
    }
    assert_eq!(net.start(0).await, None);
    for minute in 1..4 {
        reading(&net.nodes[0], &ana, 300.0, at(minute)).await;
    }
    phone.ask_until_done(&net.nodes[0], &ana, 100).await;
    assert_eq!(phone.afresh, 1);
    assert_eq!(phone.readings(), held(&net.nodes[0], &ana).await);
}

#[tokio::test]
async fn whoever_turns_out_to_be_registered_twice_begins_afresh() {
    let net = Network::of(2).await;
    let here = patient(&net.nodes[0], 30_111_222).await;
    let there = patient(&net.nodes[1], 30_111_222).await;
    reading(&net.nodes[0], &here, 100.0, at(9)).await;
    reading(&net.nodes[1], &there, 200.0, at(5)).await;
    let (mut one, mut two) = (Phone::default(), Phone::default());
    one.ask_until_done(&net.nodes[0], &here, 100).await;
    two.ask_until_done(&net.nodes[1], &there, 100).await;
    net.heal().await;
    for (phone, who) in [(&mut one, &here), (&mut two, &there)] {
        phone.ask_until_done(&net.nodes[1], who, 100).await;
        assert_eq!(phone.afresh, 1);
        assert_eq!(phone.readings(), held(&net.nodes[0], &here).await);
    }
}

#[tokio::test]
async fn a_cursor_of_one_is_of_no_use_to_another() {
    let net = Network::of(1).await;
    let node = &net.nodes[0];
    let (ana, eva) = (patient(node, 1001).await, patient(node, 1002).await);
    reading(node, &ana, 100.0, at(9)).await;
    let mut phone = Phone::default();
    phone.ask_until_done(node, &ana, 100).await;
    phone.ask_until_done(node, &eva, 100).await;
    assert_eq!((phone.afresh, phone.readings()), (1, Vec::new()));
}
