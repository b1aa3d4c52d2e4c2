//! What the wearers of a sensor also type into the app: a reading at each meal that their trace
//! shows, some after it, and some at sports.

use super::DemoError;
use super::calendar::{Calendar, SECOND_MS, later};
use super::dice::Dice;
use super::notes::note;
use super::traces::{STEP_MINUTES, Sample, time_of};
use crate::domain::glucose::{Glucose, PastReading, ReadingType, Source};

/// Values of a day.
const A_DAY: usize = (24 * 60 / STEP_MINUTES) as usize;
/// Less carbohydrate in an interval than this is a snack.
const SNACK_CARBS_G: f64 = 8.0;
/// Values from a meal to the check two hours later.
const TWO_HOURS: usize = (120 / STEP_MINUTES) as usize;
/// Minutes of the day at which people do sports.
const SPORTS: [i64; 3] = [9 * 60, 17 * 60 + 30, 19 * 60];

/// The occasion of a meal at `minute` of the day.
fn occasion(minute: i64, carbs_g: f64) -> ReadingType {
    match minute / 60 {
        5..=9 if carbs_g >= SNACK_CARBS_G => ReadingType::Desayuno,
        10..=13 if carbs_g >= SNACK_CARBS_G => ReadingType::Almuerzo,
        14..=16 => ReadingType::Merienda,
        17..=23 if carbs_g >= SNACK_CARBS_G => ReadingType::Cena,
        _ => ReadingType::OtrasComidas,
    }
}

/// The readings of one patient, in the order in which they were recorded.
pub(super) fn meal_readings(
    trace: &[Sample],
    calendar: Calendar,
    dice: &mut Dice,
) -> Result<Vec<PastReading>, DemoError> {
    let mut readings = Vec::new();
    let mut add = |index: usize, reading_type, dice: &mut Dice| {
        let sample = trace.get(index);
        sample.map_or(Ok(()), |sample| {
            // Between two values of the sensor, and never after the last one.
            let taken = time_of(index, trace.len(), calendar);
            let measured_at = later(taken, -dice.between(1, 170) * SECOND_MS);
            readings.push(PastReading {
                glucose: Glucose::from_mg_dl(sample.glucose.mg_dl().round())?,
                reading_type,
                source: Source::App,
                measured_at,
                recorded_at: later(measured_at, dice.between(4, 50) * SECOND_MS),
                notes: note(dice, reading_type, sample.glucose.mg_dl()),
            });
            Ok::<_, DemoError>(())
        })
    };
    for (index, sample) in trace.iter().enumerate() {
        let minute = (index % A_DAY) as i64 * STEP_MINUTES;
        // One in twelve meals is forgotten.
        if sample.carbs_g > 0.0 && !dice.chance(8) {
            add(index, occasion(minute, sample.carbs_g), dice)?;
            if dice.chance(20) {
                add(index + TWO_HOURS, ReadingType::Otro, dice)?;
            }
        }
        if index % A_DAY == 0 && dice.chance(35) {
            let start = dice.pick(&SPORTS) / STEP_MINUTES;
            add(index + start as usize, ReadingType::Ejercicio, dice)?;
        }
    }
    readings.sort_by_key(|reading| reading.recorded_at);
    Ok(readings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::traces;

    #[test]
    fn meals_have_the_glucose_of_the_trace_and_every_occasion() {
        let calendar = Calendar::new(jiff::civil::date(2026, 3, 5));
        let trace = &traces::read().unwrap()[2];
        let readings = meal_readings(trace, calendar, &mut Dice::new(7, "test", 0)).unwrap();
        for kind in ReadingType::ALL {
            assert!(
                readings.iter().any(|it| it.reading_type == kind),
                "{kind:?}"
            );
        }
        for reading in &readings {
            let before_end = calendar.end().0 - reading.measured_at.0;
            let index = trace.len() - 1 - (before_end / (STEP_MINUTES * 60_000)) as usize;
            assert_eq!(
                reading.glucose.mg_dl(),
                trace[index].glucose.mg_dl().round()
            );
            assert!(reading.recorded_at > reading.measured_at);
            assert!(reading.recorded_at.0 < calendar.end().0 + 60_000);
        }
        assert!(readings.iter().any(|reading| reading.notes.is_some()));
    }

    #[test]
    fn occasions_follow_the_hour_and_the_size() {
        for (minute, carbs_g, expected) in [
            (7 * 60, 15.0, ReadingType::Desayuno),
            (9 * 60 + 30, 3.0, ReadingType::OtrasComidas),
            (12 * 60, 24.0, ReadingType::Almuerzo),
            (15 * 60, 2.0, ReadingType::Merienda),
            (18 * 60, 30.0, ReadingType::Cena),
            (22 * 60, 3.0, ReadingType::OtrasComidas),
        ] {
            assert_eq!(occasion(minute, carbs_g), expected, "{minute}");
        }
    }
}
