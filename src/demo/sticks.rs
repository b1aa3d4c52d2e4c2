//! Finger-stick readings of patients without a sensor: a daily pattern around a level of their own.

use super::DemoError;
use super::calendar::{Calendar, SECOND_MS, later};
use super::dice::Dice;
use super::notes::note;
use super::people::Sticks;
use crate::domain::glucose::{Glucose, PastReading, ReadingType, Source};

/// Occasion, first minute of the day, and how far from the fasting level in mg/dL.
type Slot = (ReadingType, i64, f64);

const BREAKFAST: Slot = (ReadingType::Desayuno, 7 * 60, 0.0);
const SNACK: Slot = (ReadingType::OtrasComidas, 10 * 60 + 15, 32.0);
const LUNCH: Slot = (ReadingType::Almuerzo, 12 * 60 + 30, 12.0);
const TEA: Slot = (ReadingType::Merienda, 17 * 60, 20.0);
const SPORTS: Slot = (ReadingType::Ejercicio, 18 * 60 + 30, -18.0);
const DINNER: Slot = (ReadingType::Cena, 20 * 60 + 45, 24.0);
const BEDTIME: Slot = (ReadingType::Otro, 22 * 60 + 45, 35.0);
/// A reading comes at most this long after the start of its slot.
const SLOT_MINUTES: i64 = 45;

/// The slots of a day with `count` readings.
const fn slots(count: i64) -> &'static [Slot] {
    match count {
        ..=2 => &[BREAKFAST, DINNER],
        3 => &[BREAKFAST, LUNCH, DINNER],
        4 => &[BREAKFAST, LUNCH, TEA, DINNER],
        5 => &[BREAKFAST, LUNCH, TEA, DINNER, BEDTIME],
        _ => &[BREAKFAST, SNACK, LUNCH, SPORTS, DINNER, BEDTIME],
    }
}

/// The readings of one patient over at most the last `days_max` days, in the order in which they
/// were recorded.
pub(super) fn stick_readings(
    habit: &Sticks,
    days_max: i64,
    calendar: Calendar,
    dice: &mut Dice,
) -> Result<Vec<PastReading>, DemoError> {
    let fasting = dice.between(98, 160) as f64;
    let (first, last) = habit.days;
    let mut readings = Vec::new();
    for days_ago in (last..=first.min(last + days_max - 1)).rev() {
        if dice.chance(habit.lapses) {
            continue;
        }
        let today = fasting + dice.spread() * 14.0;
        for &(reading_type, minute, rise) in slots(dice.between(habit.a_day.0, habit.a_day.1)) {
            let value = match dice.between(1, 100) {
                ..=4 => dice.between(46, 69) as f64,
                95.. => today + rise + dice.between(70, 150) as f64,
                _ => today + rise + dice.spread() * 22.0,
            };
            let value = value.clamp(42.0, 420.0).round();
            let start = calendar.at(days_ago, minute);
            let measured_at = later(start, dice.between(0, SLOT_MINUTES * 60) * SECOND_MS);
            readings.push(PastReading {
                glucose: Glucose::from_mg_dl(value)?,
                reading_type,
                source: Source::App,
                measured_at,
                recorded_at: later(measured_at, dice.between(5, 90) * SECOND_MS),
                notes: note(dice, reading_type, value),
            });
        }
    }
    Ok(readings)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::people::PROFILES;

    #[test]
    fn days_counts_and_values_are_those_of_the_habit() {
        let calendar = Calendar::new(jiff::civil::date(2026, 3, 5));
        for (index, habit) in PROFILES.iter().enumerate() {
            let Some(habit) = &habit.sticks else { continue };
            let mut dice = Dice::new(7, "test", index);
            let readings = stick_readings(habit, 90, calendar, &mut dice).unwrap();
            assert!(readings.is_sorted_by_key(|reading| reading.recorded_at));
            let days: Vec<_> = readings
                .chunk_by(|a, b| a.recorded_at.day() == b.recorded_at.day())
                .collect();
            for day in &days {
                let count = day.len() as i64;
                assert!((habit.a_day.0..=habit.a_day.1).contains(&count), "{count}");
            }
            let all = (habit.days.0 - habit.days.1 + 1) as usize;
            assert!(days.len() <= all && days.len() * 10 > all * 5);
            assert!(habit.lapses > 0 || days.len() == all);
            let last = readings.last().unwrap();
            assert!(last.recorded_at.0 < calendar.end().0);
        }
    }
}
