//! A clinic that looks real: people, two weeks of sensor traces with meals, months of appointments
//! and resolutions, a queue with people in every state. For trying Islet out, for pictures and for
//! tests.
//!
//! Everything goes through the same use cases as real data, with a clock that is moved from event
//! to event, so streaks, change log and audit entries are what they would be. The same seed and the
//! same day give the same rows (but for password salts and keys). Must never be loaded into a node
//! that holds anybody, nor leave one unmarked.

mod calendar;
mod dice;
mod forms;
mod meals;
mod notes;
mod people;
mod plan;
mod play;
mod queue;
mod sticks;
mod traces;

use thiserror::Error;

use crate::clock::ManualClock;
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::domain::text::Invalid;
use crate::service::{self, App};
use crate::store::{Lane, Read, StoreError, patients, settings, staff};
use plan::Event;
use play::Player;

pub use people::Login;
pub use plan::{DemoSize, Plan, last_day};

/// The setting that marks a demo and holds its seed.
const SETTING: &str = "demo";

/// Why no demo was loaded.
#[derive(Debug, Error)]
pub enum DemoError {
    /// Somebody is registered here.
    #[error("a demo needs an empty node, and this one has people: use a new data directory")]
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

/// The log-ins of the demo with this seed, staff first.
///
/// # Errors
/// [`DemoError::Data`]: a mistake of ours.
pub fn logins(seed: u64) -> Result<Vec<Login>, DemoError> {
    Ok(people::logins(seed)?)
}

/// Loads the demo. `clock` is the store's clock, and is left at the last event; `progress` is told
/// what is done, from 0 to 1.
///
/// # Errors
/// [`DemoError::NotEmpty`]; anything else is a mistake of ours or a disk that fails.
pub async fn load(
    app: &App,
    clock: &ManualClock,
    plan: &Plan,
    progress: &(dyn Fn(&str, f64) + Sync),
) -> Result<(), DemoError> {
    progress("people", 0.0);
    clock.set(plan.founded());
    mark(app, plan.seed).await?;
    let mut player = Player::new(app, clock, plan, people::people(plan.seed)?).await?;
    let steps = plan::steps(plan)?;
    let rows = |event: &Event| match event {
        Event::Readings(_, batch) => batch.len(),
        _ => 1,
    };
    let total: usize = steps.iter().map(|step| rows(&step.event)).sum();
    let mut done = 0;
    for step in steps {
        done += rows(&step.event);
        player.play(step).await?;
        progress("readings and appointments", done as f64 / total as f64);
    }
    Ok(())
}

/// Marks the node as a demo before anything else is in it.
async fn mark(app: &App, seed: u64) -> Result<(), DemoError> {
    app.store
        .write(Lane::Interactive, move |tx| {
            if !patients::list(tx, 0, 1)?.is_empty() || !staff::list(tx, 0, 1)?.is_empty() {
                return Err(DemoError::NotEmpty);
            }
            tx.set_setting(SETTING, &seed.to_string())?;
            let entry = Entry::new(&Actor::operator(), "node.demo").on(Object::Node, 0);
            Ok(tx.audit(&entry.detail("invented people: not for real patients"))?)
        })
        .await
}

#[cfg(test)]
mod tests;
