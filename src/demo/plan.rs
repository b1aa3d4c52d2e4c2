//! Everything that happens in the demo, in the order of time.

use jiff::civil::Date;

use super::calendar::{Calendar, DAY_MS};
use super::dice::Dice;
use super::people::{BLOCKED, FOUNDED, PROFILES};
use super::{DemoError, meals, queue, sticks, traces};
use crate::domain::glucose::PastReading;
use crate::domain::queue::QueueAction;
use crate::domain::time::Timestamp;
use crate::limits;

/// Longest time that one batch of readings spans: they are stored in the order in which they were
/// recorded, by and large.
const BATCH_DAYS: i64 = 7;

/// What to load.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Decides everything that is left to chance.
    pub seed: u64,
    /// The day on which the demo is looked at: all happens before it.
    pub today: Date,
    /// How much.
    pub size: DemoSize,
}

/// How much history there is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DemoSize {
    /// Days of sensor traces, at most 14.
    pub sensor_days: i64,
    /// Days of finger-stick readings of one patient.
    pub stick_days: i64,
}

impl DemoSize {
    /// All that there is.
    pub const FULL: Self = Self {
        sensor_days: 14,
        stick_days: 90,
    };
}

impl Plan {
    /// When the clinic began.
    #[must_use]
    pub fn founded(&self) -> Timestamp {
        Calendar::new(self.today).at(FOUNDED, 8 * 60)
    }
}

/// The last day of the data in a demo that began at `founded`: the inverse of [`Plan::founded`].
#[must_use]
pub fn last_day(founded: Timestamp) -> Date {
    Timestamp(founded.0 + (FOUNDED - 1) * DAY_MS).day()
}

/// Something that happens. Patients are meant by their place in the list, staff by theirs.
pub(super) enum Event {
    Register(usize),
    Block(usize),
    Readings(usize, Vec<PastReading>),
    OpenQueue,
    CloseQueue,
    Submit(usize),
    Decide(usize, QueueAction),
    GoFirst(usize),
    Cancel(usize),
    SendForm {
        patient: usize,
        visit: usize,
    },
    Resolve {
        patient: usize,
        visit: usize,
        doctor: usize,
    },
}

/// Something that happens, with its time.
pub(super) struct Step {
    pub(super) at: Timestamp,
    pub(super) event: Event,
}

/// All steps, in the order of time.
pub(super) fn steps(plan: &Plan) -> Result<Vec<Step>, DemoError> {
    let calendar = Calendar::new(plan.today);
    let mut steps = queue::steps(plan.seed, calendar);
    let traces = traces::read()?;
    for (patient, profile) in PROFILES.iter().enumerate() {
        let at = calendar.at(profile.registered, 9 * 60 + patient as i64);
        let event = Event::Register(patient);
        steps.push(Step { at, event });
        let readings = match (traces.get(patient), &profile.sticks) {
            (Some(trace), _) => worn(plan, calendar, patient, trace)?,
            (None, Some(habit)) => {
                let mut dice = Dice::new(plan.seed, "sticks", patient);
                sticks::stick_readings(habit, plan.size.stick_days, calendar, &mut dice)?
            }
            (None, None) => Vec::new(),
        };
        steps.extend(batches(patient, readings));
    }
    let (patient, days_ago) = BLOCKED;
    steps.push(Step {
        at: calendar.at(days_ago, 11 * 60),
        event: Event::Block(patient),
    });
    // Stable: what happens at the same moment stays as it was put in.
    steps.sort_by_key(|step| step.at);
    Ok(steps)
}

/// What the wearer of a sensor has recorded, by the sensor and by hand.
fn worn(
    plan: &Plan,
    calendar: Calendar,
    patient: usize,
    trace: &[traces::Sample],
) -> Result<Vec<PastReading>, DemoError> {
    let mut dice = Dice::new(plan.seed, "meals", patient);
    let mut readings = traces::sensor_readings(trace, calendar);
    readings.extend(meals::meal_readings(trace, calendar, &mut dice)?);
    let first = calendar.at(plan.size.sensor_days, 0);
    readings.retain(|reading| reading.measured_at >= first);
    readings.sort_by_key(|reading| reading.recorded_at);
    Ok(readings)
}

/// Cuts readings, in the order in which they were recorded, into what one import takes.
fn batches(patient: usize, readings: Vec<PastReading>) -> Vec<Step> {
    let mut batches = Vec::new();
    let mut batch: Vec<PastReading> = Vec::new();
    let mut finish = |batch: &mut Vec<PastReading>| {
        if let Some(last) = batch.last() {
            batches.push(Step {
                at: last.recorded_at,
                event: Event::Readings(patient, std::mem::take(batch)),
            });
        }
    };
    for reading in readings {
        let since = batch
            .first()
            .map_or(reading.recorded_at, |it| it.recorded_at);
        let too_long = reading.recorded_at.0 - since.0 >= BATCH_DAYS * DAY_MS;
        if too_long || batch.len() >= limits::IMPORT_READINGS_MAX {
            finish(&mut batch);
        }
        batch.push(reading);
    }
    finish(&mut batch);
    batches
}
