//! Readings of the demo: sensor traces with meals for six patients, finger sticks for the others.

use super::traces::{self, STEP_MIN, Sample};
use super::{DemoError, Loader, MINUTE_MS, patient};
use crate::domain::glucose::{Glucose, NewReading, ReadingType, Source};
use crate::domain::time::Timestamp;
use crate::service;

/// The last patients never measured.
const SILENT: usize = 2;
/// Carbohydrate that is worth a note.
const NOTED_CARBS_G: f64 = 60.0;
const NOTES: [&str; 6] = [
    "después de caminar",
    "comí de más",
    "me sentí mareado",
    "antes de dormir",
    "olvidé la dosis",
    "con fiebre",
];
/// Hours at which finger-stick patients measure, and how likely they do.
const HABITS: [(i64, ReadingType, f64); 6] = [
    (8, ReadingType::Desayuno, 0.9),
    (13, ReadingType::Almuerzo, 0.9),
    (17, ReadingType::Merienda, 0.7),
    (19, ReadingType::Ejercicio, 0.2),
    (21, ReadingType::Cena, 0.85),
    (23, ReadingType::Otro, 0.25),
];

impl Loader<'_> {
    /// Records the readings of all patients, day by day, as they would have come in.
    pub(super) async fn record_readings(
        &mut self,
        people: &[i64],
        progress: &(dyn Fn(f64) + Sync),
    ) -> Result<(), DemoError> {
        let traces = traces::read()?;
        let days = self.plan.history_days;
        for offset in -days..=0 {
            for (index, &id) in people.iter().enumerate() {
                let batch = match traces.get(index) {
                    Some(trace) => self.sensor_day(id, trace, offset)?,
                    None if index + SILENT >= people.len() => Vec::new(),
                    None => self.finger_day(id, index, offset)?,
                };
                // What is measured today has been seen by now, and not more.
                let now = self.plan.now;
                let batch: Vec<_> = batch
                    .into_iter()
                    .filter(|reading| reading.measured_at <= Some(now))
                    .collect();
                self.clock
                    .set(self.plan.until_now(self.plan.day(offset + 1).0 - MINUTE_MS));
                service::readings::import(self.app, &patient(id), id, batch).await?;
            }
            progress((offset + days + 1) as f64 / (days + 1) as f64);
        }
        Ok(())
    }

    fn sensor_day(
        &mut self,
        id: i64,
        trace: &[Sample],
        offset: i64,
    ) -> Result<Vec<NewReading>, DemoError> {
        let per_day = (24 * 60 / STEP_MIN) as usize;
        let Ok(day) = usize::try_from(offset + self.plan.trace_days - 1) else {
            return Ok(Vec::new());
        };
        let midnight = self.plan.day(offset).0;
        let mut batch = Vec::with_capacity(per_day + 8);
        for (index, sample) in trace.iter().skip(day * per_day).take(per_day).enumerate() {
            let minute = index as i64 * STEP_MIN;
            let at = midnight + minute * MINUTE_MS;
            let glucose = Glucose::from_mg_dl(sample.glucose_mg_dl)?;
            batch.push(NewReading {
                patient_id: id,
                glucose,
                reading_type: ReadingType::Otro,
                source: Source::Sensor,
                measured_at: Some(Timestamp(at)),
                notes: None,
            });
            if sample.carbs_g > 0.0 && !eats_already(trace, day * per_day + index) {
                batch.push(self.meal(id, *sample, minute, at)?);
            }
        }
        Ok(batch)
    }

    /// The reading that the app asks for at a meal: whole mg/dL, typed in a minute later.
    fn meal(
        &mut self,
        id: i64,
        sample: Sample,
        minute: i64,
        at: i64,
    ) -> Result<NewReading, DemoError> {
        let reading_type = match minute / 60 {
            5..=10 => ReadingType::Desayuno,
            11..=15 => ReadingType::Almuerzo,
            16..=18 => ReadingType::Merienda,
            19..=23 => ReadingType::Cena,
            _ => ReadingType::OtrasComidas,
        };
        let noted = sample.carbs_g >= NOTED_CARBS_G && self.random.f64() < 0.4;
        Ok(NewReading {
            patient_id: id,
            glucose: Glucose::from_mg_dl(sample.glucose_mg_dl.round())?,
            reading_type,
            source: Source::App,
            measured_at: Some(Timestamp(at + MINUTE_MS)),
            notes: noted.then(|| format!("{:.0} g de hidratos", sample.carbs_g)),
        })
    }

    fn finger_day(
        &mut self,
        id: i64,
        index: usize,
        offset: i64,
    ) -> Result<Vec<NewReading>, DemoError> {
        // Everyone has a level and a discipline of their own, and some lapse for days.
        let level = 110.0 + (index * 37 % 70) as f64;
        let discipline = 0.45 + (index * 53 % 60) as f64 / 100.0;
        let lapses = (offset + index as i64 * 5).rem_euclid(17) < 3 && discipline < 0.8;
        let midnight = self.plan.day(offset).0;
        let mut batch = Vec::new();
        for (hour, reading_type, likely) in HABITS {
            if lapses || self.random.f64() > likely * (discipline + 0.2) {
                continue;
            }
            let rise = if matches!(reading_type, ReadingType::Ejercicio) {
                -25.0
            } else {
                15.0
            };
            let noise = (self.random.f64() + self.random.f64() - 1.0) * 70.0;
            let value = (level + rise + noise).clamp(45.0, 380.0).round();
            let at = midnight
                + (hour * 60 + self.random.i64(0..50)) * MINUTE_MS
                + self.random.i64(0..60) * 1_000;
            let noted = self.random.f64() < 0.08;
            batch.push(NewReading {
                patient_id: id,
                glucose: Glucose::from_mg_dl(value)?,
                reading_type,
                source: Source::App,
                measured_at: Some(Timestamp(at)),
                notes: noted.then(|| NOTES[self.random.usize(0..NOTES.len())].to_owned()),
            });
        }
        Ok(batch)
    }
}

/// Whether the sample before belongs to the same meal.
fn eats_already(trace: &[Sample], index: usize) -> bool {
    index
        .checked_sub(1)
        .and_then(|before| trace.get(before))
        .is_some_and(|sample| sample.carbs_g > 0.0)
}
