//! Streaks and achievements: the app's encouragement to measure.
//!
//! A day counts once its fourth reading is recorded; a streak is a run of days that count. Both
//! are derived from readings, so they are the same on every node and can be rebuilt.

use jiff::civil::Date;

/// Readings that make a day count.
pub const READINGS_A_DAY: i64 = 4;

/// The counters of one patient, as stored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Readings that count.
    pub times_measured: i64,
    /// Days in a row up to `last_day`.
    pub streak: i64,
    /// The longest run ever.
    pub max_streak: i64,
    /// The last day that counted.
    pub last_day: Option<Date>,
}

impl Counters {
    /// Takes in a reading on `day`, which is reading number `readings_that_day` of it.
    pub fn record(&mut self, day: Date, readings_that_day: i64) {
        self.times_measured += 1;
        if readings_that_day == READINGS_A_DAY {
            self.count_day(day);
        }
    }

    /// The streak as of `today`: a run that ended before yesterday is over.
    #[must_use]
    pub fn streak_on(&self, today: Date) -> i64 {
        let alive = self
            .last_day
            .is_some_and(|last| last == today || is_next(last, today));
        // A last day in the future is a clock that was set back: the run is not over.
        if alive || self.last_day.is_some_and(|last| last > today) {
            self.streak
        } else {
            0
        }
    }

    /// Counts again from the days that reached [`READINGS_A_DAY`], in ascending order. `former_max`
    /// is what another system had counted.
    #[must_use]
    pub fn rebuild(
        times_measured: i64,
        former_max: i64,
        full_days: impl Iterator<Item = Date>,
    ) -> Self {
        let mut counters = Self {
            times_measured,
            max_streak: former_max,
            ..Self::default()
        };
        full_days.for_each(|day| counters.count_day(day));
        counters
    }

    /// Takes in a day that reached [`READINGS_A_DAY`] and comes after all that did so before.
    pub fn count_day(&mut self, day: Date) {
        let continues = self.last_day.is_some_and(|last| is_next(last, day));
        self.streak = if continues { self.streak + 1 } else { 1 };
        self.max_streak = self.max_streak.max(self.streak);
        self.last_day = Some(day);
    }
}

fn is_next(day: Date, next: Date) -> bool {
    day.tomorrow().is_ok_and(|tomorrow| tomorrow == next)
}

/// What an achievement looks at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attribute {
    /// How many readings there are.
    TimesMeasured,
    /// The longest streak.
    MaxStreak,
}

/// One achievement: reached when its attribute reaches `threshold`.
#[derive(Clone, Copy, Debug)]
pub struct Achievement {
    /// The id that the app has a text for.
    pub id: i64,
    /// The Spanish name.
    pub name: &'static str,
    /// What is looked at.
    pub attribute: Attribute,
    /// From which value on it is reached.
    pub threshold: i64,
}

const fn achievement(
    id: i64,
    name: &'static str,
    attribute: Attribute,
    threshold: i64,
) -> Achievement {
    Achievement {
        id,
        name,
        attribute,
        threshold,
    }
}

/// All achievements, in the app's order.
pub const ACHIEVEMENTS: [Achievement; 10] = [
    achievement(1, "Primera medición", Attribute::TimesMeasured, 1),
    achievement(2, "Principiante", Attribute::TimesMeasured, 10),
    achievement(3, "Experto", Attribute::TimesMeasured, 50),
    achievement(4, "As", Attribute::TimesMeasured, 100),
    achievement(5, "Primer día", Attribute::MaxStreak, 1),
    achievement(6, "Primera semana", Attribute::MaxStreak, 7),
    achievement(7, "Primer mes", Attribute::MaxStreak, 30),
    achievement(8, "Perseverante", Attribute::MaxStreak, 90),
    achievement(9, "Constante", Attribute::MaxStreak, 180),
    achievement(10, "Un año completo", Attribute::MaxStreak, 365),
];

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::civil::date;
    use proptest::prelude::*;

    #[test]
    fn the_fourth_reading_counts_the_day_once() {
        let mut counters = Counters::default();
        let day = date(2026, 3, 5);
        for number in 1..=9 {
            counters.record(day, number);
            assert_eq!(counters.streak, i64::from(number >= 4), "reading {number}");
        }
        assert_eq!(counters.times_measured, 9);
    }

    #[test]
    fn a_missed_day_ends_the_run_but_not_the_record() {
        let mut counters = Counters::default();
        for day in [5, 6, 7, 9] {
            counters.record(date(2026, 3, day), READINGS_A_DAY);
        }
        assert_eq!((counters.streak, counters.max_streak), (1, 3));
        assert_eq!(counters.streak_on(date(2026, 3, 9)), 1);
        assert_eq!(counters.streak_on(date(2026, 3, 10)), 1);
        assert_eq!(counters.streak_on(date(2026, 3, 11)), 0);
    }

    proptest! {
        #[test]
        fn counting_live_equals_rebuilding(readings in prop::collection::vec(0i64..9, 1..40)) {
            let first = date(2026, 1, 1);
            let mut live = Counters::default();
            let mut full = Vec::new();
            for (index, &count) in readings.iter().enumerate() {
                let day = first.checked_add(jiff::Span::new().days(index as i64)).unwrap();
                (1..=count).for_each(|number| live.record(day, number));
                if count >= READINGS_A_DAY { full.push(day); }
            }
            let total = readings.iter().sum();
            prop_assert_eq!(live, Counters::rebuild(total, 0, full.into_iter()));
        }
    }
}
