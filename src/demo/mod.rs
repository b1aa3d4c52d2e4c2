//! A clinic that looks real: people, two weeks of sensor traces with meals, a queue, appointments
//! and resolutions. For trying Islet out, for pictures and for tests.
//!
//! Everything goes through the same use cases as real data, with a clock that is moved from event
//! to event, so streaks, change log and audit entries are what they would be. The same seed and the
//! same moment give the same clinic (but for password salts and keys). Must never be loaded into a
//! node that holds anybody, nor leave one unmarked.

mod people;
mod queue;
mod readings;
mod traces;

use std::sync::Arc;

use thiserror::Error;

use crate::clock::ManualClock;
use crate::domain::actor::{Actor, Role, Who};
use crate::domain::audit::{Entry, Object};
use crate::domain::text::Invalid;
use crate::domain::time::{Timestamp, start_of_day};
use crate::service::{self, App};
use crate::store::{Lane, Read, StoreError, patients, settings};

pub use people::{Login, logins};

/// The setting that marks a demo and holds its seed.
const SETTING: &str = "demo_seed";
const DAY_MS: i64 = 24 * 3600 * 1000;
const MINUTE_MS: i64 = 60 * 1000;

/// How much to load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The moment at which the demo is looked at: nothing is later.
    pub now: Timestamp,
    /// Days of sensor traces, at most 14.
    pub trace_days: i64,
    /// Days of finger-stick readings before the moment.
    pub history_days: i64,
}

impl Plan {
    /// The whole demo.
    #[must_use]
    pub const fn full(seed: u64, now: Timestamp) -> Self {
        Self {
            seed,
            now,
            trace_days: 14,
            history_days: 60,
        }
    }

    /// When the clinic opened.
    #[must_use]
    pub fn start(&self) -> Timestamp {
        Timestamp(self.day(-self.history_days).0 + 7 * 60 * MINUTE_MS)
    }

    /// Midnight in the clinic, `offset` days from today.
    fn day(&self, offset: i64) -> Timestamp {
        Timestamp(start_of_day(self.now.day()).0 + offset * DAY_MS)
    }

    /// The moment, or `at` when that is earlier.
    fn until_now(&self, at: i64) -> Timestamp {
        Timestamp(at.min(self.now.0))
    }
}

/// Why no demo was loaded.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Somebody is registered here.
    #[error("a demo needs an empty node, and this one has patients: use a new data directory")]
    NotEmpty,
    /// The embedded data cannot be read, or a value of the demo is refused: a mistake of ours.
    #[error("the demo data cannot be used: {0}")]
    Data(String),
    /// A use case failed.
    #[error(transparent)]
    Failed(#[from] service::Error),
}

impl From<StoreError> for DemoError {
    fn from(error: StoreError) -> Self {
        Self::Failed(error.into())
    }
}

impl From<Invalid> for DemoError {
    fn from(error: Invalid) -> Self {
        Self::Data(error.to_string())
    }
}

/// The seed of a demo; `None` when this is no demo.
///
/// # Errors
/// When the disk fails.
pub fn seed_of(tx: &impl Read) -> Result<Option<u64>, StoreError> {
    Ok(settings::get(tx, SETTING)?.and_then(|seed| seed.parse().ok()))
}

/// Everything that the parts of the loader share.
struct Loader<'a> {
    app: &'a App,
    clock: &'a ManualClock,
    plan: Plan,
    random: fastrand::Rng,
    admin: Actor,
    doctor: Actor,
}

/// Loads the demo. `clock` is the store's clock; `progress` is told what is done, from 0 to 1.
///
/// # Errors
/// [`DemoError::NotEmpty`]; anything else is a mistake of ours or a disk that fails.
pub async fn load(
    app: &App,
    clock: &Arc<ManualClock>,
    plan: Plan,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<(), DemoError> {
    clock.set(plan.start());
    mark(app, plan.seed).await?;
    progress("people", 0.0);
    let random = fastrand::Rng::with_seed(plan.seed);
    let operator = Actor::operator();
    let (admin, doctor) = (operator.clone(), operator);
    let mut loader = Loader {
        app,
        clock,
        plan,
        random,
        admin,
        doctor,
    };
    let people = loader.register_everyone().await?;
    loader
        .record_readings(&people, &|share| progress("readings", 0.05 + 0.9 * share))
        .await?;
    progress("queue and appointments", 0.95);
    loader.run_queue(&people).await?;
    clock.set(plan.now);
    progress("done", 1.0);
    Ok(())
}

/// Marks the node as a demo before anything else is in it.
async fn mark(app: &App, seed: u64) -> Result<(), DemoError> {
    app.store
        .write(Lane::Interactive, move |tx| {
            if !patients::list(tx, 0, 1)?.is_empty() {
                return Err(DemoError::NotEmpty);
            }
            tx.set_setting(SETTING, &seed.to_string())?;
            let entry = Entry::new(&Actor::operator(), "node.demo").on(Object::Node, 0);
            Ok(tx.audit(&entry.detail("invented people: not for real patients"))?)
        })
        .await
}

/// A member of staff who acts.
fn staff(id: i64, role: Role) -> Actor {
    Actor {
        who: Who::Staff(id, role),
        ..Actor::operator()
    }
}

/// A patient who acts.
fn patient(id: i64) -> Actor {
    Actor {
        who: Who::Patient(id),
        ..Actor::operator()
    }
}

#[cfg(test)]
mod tests;
