//! Times of the demo, counted backwards from the midnight at which today began. Nothing is later
//! than that, so the hour at which the demo is loaded does not matter.

use jiff::civil::Date;

use crate::domain::time::{Timestamp, start_of_day};

pub(super) const SECOND_MS: i64 = 1_000;
pub(super) const MINUTE_MS: i64 = 60 * SECOND_MS;
pub(super) const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

/// Where in time the demo lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Calendar {
    midnight: Timestamp,
}

impl Calendar {
    pub(super) fn new(today: Date) -> Self {
        Self {
            midnight: start_of_day(today),
        }
    }

    /// The midnight at which today began.
    pub(super) const fn end(self) -> Timestamp {
        self.midnight
    }

    /// `minute` of the day in the clinic, `days_ago` before today; 1 is yesterday.
    pub(super) const fn at(self, days_ago: i64, minute: i64) -> Timestamp {
        Timestamp(self.midnight.0 - days_ago * DAY_MS + minute * MINUTE_MS)
    }
}

/// The same moment, `ms` later.
pub(super) const fn later(at: Timestamp, ms: i64) -> Timestamp {
    Timestamp(at.0 + ms)
}
