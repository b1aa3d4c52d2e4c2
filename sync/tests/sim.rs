//! A seeded simulator of the replication engine: some nodes with their disks, clocks and a bad network, random work
//! and random faults, all from one seed. After healing everything is checked; see `sim/check.rs`.
//!
//! `ISLET_SIM_SEEDS` is how many seeds are run, `ISLET_SIM_SEED` the first of them. A failing seed is
//! printed with the command that replays it, and with what happened.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "sim/check.rs"]
mod check;
#[path = "sim/clinic.rs"]
mod clinic;
#[path = "sim/fault.rs"]
mod fault;
#[path = "sim/hostile.rs"]
mod hostile;
#[path = "sim/logs.rs"]
mod logs;
#[path = "sim/membership.rs"]
mod membership;
#[path = "sim/mutation.rs"]
mod mutation;
#[path = "sim/net.rs"]
mod net;
#[path = "sim/node.rs"]
mod node;
#[path = "sim/queue.rs"]
mod queue;
#[path = "sim/replica.rs"]
mod replica;
#[path = "sim/rng.rs"]
mod rng;
#[path = "sim/run.rs"]
mod run;
#[path = "sim/session.rs"]
mod session;
#[path = "sim/state.rs"]
mod state;
#[path = "sim/world.rs"]
mod world;

use mutation::Mutation;

#[test]
fn whatever_happens_nothing_is_lost_and_all_agree() {
    let report = run::many(Mutation::None, run::first_seed(), run::seed_count());
    if let Some(failure) = report.failure {
        panic!("{failure}");
    }
    println!("{}", report.summary);
}

#[test]
fn a_seed_replays() {
    for seed in 0..20 {
        let once = run::one(seed, Mutation::None, false);
        let again = run::one(seed, Mutation::None, true);
        assert_eq!(once.result, again.result, "seed {seed}");
        assert!(once.result.is_ok(), "{:?}", once.result);
    }
}

#[test]
#[ignore]
fn survey() {
    let m = [
        Mutation::None,
        Mutation::NoEscrow,
        Mutation::DenialFreesAtOnce,
        Mutation::NoContext,
        Mutation::NoMarks,
        Mutation::AckEarly,
        Mutation::ClockUnbounded,
        Mutation::NoIncarnation,
        Mutation::RelyOnAnybody,
        Mutation::AckStored,
    ];
    let which: usize = std::env::var("M")
        .ok()
        .and_then(|m| m.parse().ok())
        .unwrap_or(0);
    let mut seen: std::collections::BTreeMap<String, (u64, u64)> = Default::default();
    for seed in run::first_seed()..run::first_seed() + run::seed_count() {
        if let Err(error) = run::one(seed, m[which], false).result {
            let key: String = error.chars().take(60).collect();
            let e = seen.entry(key).or_insert((seed, 0));
            e.1 += 1;
        }
    }
    println!("SURVEY {:?}", m[which]);
    for (k, v) in seen {
        println!("SURVEY {} x first seed {}: {k:?}", v.1, v.0);
    }
}
