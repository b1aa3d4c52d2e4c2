//! Runs seeds, on two threads, and says what failed so that it can be replayed.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::check;
use super::fault::{Faults, Shelf};
use super::mutation::Mutation;
use super::rng::Rng;
use super::world::World;

/// Seeds of an ordinary run of the tests.
const SEEDS: u64 = 10_000;
/// Seeds in which a fault of the program has to show.
const SEEDS_OF_A_FAULT: u64 = 2_000;
const THREADS: usize = 2;
/// Lines of a trace that are shown.
const TRACE_LINES: usize = 400;

pub(crate) struct Run {
    /// The digest of the state that all agreed on, or what went wrong.
    pub(crate) result: Result<[u8; 32], String>,
    pub(crate) counts: BTreeMap<&'static str, usize>,
    trace: Vec<String>,
}

pub(crate) struct Report {
    pub(crate) failure: Option<String>,
    pub(crate) summary: String,
}

fn environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

pub(crate) fn seed_count() -> u64 {
    environment("ISLET_SIM_SEEDS").unwrap_or(SEEDS)
}

pub(crate) fn first_seed() -> u64 {
    environment("ISLET_SIM_SEED").unwrap_or(0)
}

/// One history from its seed.
pub(crate) fn one(seed: u64, mutation: Mutation, trace: bool) -> Run {
    let mut rng = Rng::new(seed ^ 0x15_1e7);
    let faults = Faults::drawn(&mut rng);
    let (count, steps) = (2 + rng.below(4), 60 + rng.below(160));
    let mut world = World::new(seed, count, faults, mutation);
    if trace {
        world.trace = Some(vec![format!("{count} nodes, {steps} steps, {faults:?}")]);
    }
    let played = catch_unwind(AssertUnwindSafe(|| {
        let mut shelf = Shelf::default();
        for _ in 0..steps {
            world.step(&mut shelf);
        }
        world.heal()?;
        check::everything(&mut world)
    }));
    let result = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(format!("panic: {}", text.unwrap_or_default()))
    });
    Run {
        result,
        counts: world.counts,
        trace: world.trace.unwrap_or_default(),
    }
}

fn describe(seed: u64, mutation: Mutation, error: &str) -> String {
    let again = one(seed, mutation, true);
    let from = again.trace.len().saturating_sub(TRACE_LINES);
    format!(
        "seed {seed}: {error}\n{}\nreplay: ISLET_SIM_SEED={seed} ISLET_SIM_SEEDS=1 \
         cargo test -p islet-sync --test sim whatever",
        again.trace[from..].join("\n")
    )
}

/// Whether a fault of the program shows in this way, in one of some seeds.
pub(crate) fn is_seen(mutation: Mutation, expected: &str) -> bool {
    (0..SEEDS_OF_A_FAULT).any(|seed| {
        one(seed, mutation, false)
            .result
            .is_err_and(|error| error.contains(expected))
    })
}

/// Seeds `first` to `first + count`; stops at the first that fails.
pub(crate) fn many(mutation: Mutation, first: u64, count: u64) -> Report {
    let next = AtomicU64::new(first);
    let failed: Mutex<Option<(u64, String)>> = Mutex::new(None);
    let counts: Mutex<BTreeMap<&'static str, usize>> = Mutex::new(BTreeMap::new());
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + count || failed.lock().unwrap().is_some() {
                return;
            }
            let run = one(seed, mutation, false);
            if let Err(error) = run.result {
                let mut failed = failed.lock().unwrap();
                if failed.as_ref().is_none_or(|(other, _)| seed < *other) {
                    *failed = Some((seed, error));
                }
            }
            for (what, times) in run.counts {
                *counts.lock().unwrap().entry(what).or_default() += times;
            }
        }
    };
    std::thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(work);
        }
    });
    let failure = failed.into_inner().unwrap();
    Report {
        failure: failure.map(|(seed, error)| describe(seed, mutation, &error)),
        summary: format!("{count} seeds; {:?}", counts.into_inner().unwrap()),
    }
}
