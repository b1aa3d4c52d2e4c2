//! Counters of a patient, whatever the order of the days in which readings become known.

use std::collections::BTreeMap;

use super::*;
use crate::domain::account::Email;
use crate::domain::patient::{Dni, NewPatient};
use crate::domain::streak::{Counters, READINGS_A_DAY};
use crate::domain::time::day_of;
use proptest::prelude::*;

/// Days and how many readings of each, batch after batch.
fn batches() -> impl Strategy<Value = Vec<BTreeMap<i64, i64>>> {
    let batch = prop::collection::btree_map(20_000_i64..20_012, 1_i64..6, 1..4);
    prop::collection::vec(batch, 1..12)
}

fn patient() -> NewPatient {
    NewPatient {
        dni: Dni::parse("30111222").unwrap(),
        name: "Ana".into(),
        surname: "Paz".into(),
        email: Email::parse("ana@clinic.test").unwrap(),
        tidepool: None,
        hospital_account: "1".into(),
        blocked: false,
        former_times_measured: 7,
        former_max_streak: 2,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn counting_on_is_counting_again(batches in batches()) {
        let node = Node::new();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let mut all: BTreeMap<i64, i64> = BTreeMap::new();
        let id = runtime.block_on(node.store().write(Lane::Interactive, |tx| {
            let id = patients::insert(tx, &patient(), "hash")?;
            Ok::<_, StoreError>(tx.audit(&Entry::new(&Actor::system(), "test.patient"))?.with(id))
        }));
        let id = id.unwrap();
        for batch in batches {
            for (day, readings) in &batch {
                *all.entry(*day).or_default() += readings;
            }
            let counted = runtime.block_on(node.store().write(Lane::Interactive, move |tx| {
                patients::count_past_readings(tx, id, &batch)?;
                let counters = patients::counters(tx, id)?;
                Ok::<_, StoreError>(tx.audit(&Entry::new(&Actor::system(), "test.count"))?.with(counters))
            }));
            let full = all.iter().filter(|(_, readings)| **readings >= READINGS_A_DAY);
            let full = full.map(|(day, _)| day_of(*day));
            let again = Counters::rebuild(7 + all.values().sum::<i64>(), 2, full);
            prop_assert_eq!(counted.unwrap(), again);
        }
    }
}
