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
#[path = "sim/named/mod.rs"]
mod named;
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
#[path = "sim/script.rs"]
mod script;
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

/// Each of these faults in the program is seen by the checks, or nothing they say is worth anything.
#[test]
fn the_checks_see_faults_of_the_program() {
    let seen = [
        (Mutation::NoEscrow, "capacity is exceeded"),
        (Mutation::DenialFreesAtOnce, "capacity is exceeded"),
        (Mutation::NoContext, "a correction is gone that nobody saw"),
        (Mutation::NoMarks, ""),
        (Mutation::LatestOnly, "a correction is gone that nobody saw"),
        (Mutation::AckEarly, "an answered write is 0 times"),
        (Mutation::ClockUnbounded, "a stamp of"),
        (Mutation::NoIncarnation, "a node refuses its own write"),
    ];
    for (mutation, expected) in seen {
        assert!(
            run::is_seen(mutation, expected),
            "{mutation:?} does not show: {expected}"
        );
    }
}
