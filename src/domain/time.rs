//! Instants and the clinic's calendar days.
//!
//! An instant is integer milliseconds in UTC. Local time exists only at the edges: the legacy API
//! speaks Argentina wall time, and streaks count Argentina days. Argentina has been at UTC-03:00
//! without daylight saving since 2009, so the offset is a constant and needs no time-zone data.

use jiff::civil::{Date, DateTime};
use jiff::tz::{Offset, TimeZone};

use super::text::Invalid;

/// Argentina: UTC-03:00, all year.
pub const ARGENTINA: Offset = Offset::constant(-3);

const DAY_MS: i64 = 24 * 3600 * 1000;

/// Milliseconds since 1970 in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(pub i64);

/// 1900-01-01 and 2200-01-01: outside of these a year is a typing error.
const RANGE_MS: std::ops::Range<i64> = -2_208_988_800_000..7_258_118_400_000;

impl Timestamp {
    /// Parses ISO 8601 with an offset or `Z`; without one, the clinic's wall time is meant.
    ///
    /// # Errors
    /// When the text is no date and time, or the year is outside 1900 to 2199.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let zoned = text.parse::<jiff::Timestamp>();
        let wall = || {
            text.parse::<DateTime>()
                .and_then(|wall| ARGENTINA.to_timestamp(wall))
        };
        let instant = zoned
            .or_else(|_| wall())
            .or_else(|_| with_plus(text).parse());
        let ms = instant
            .map(jiff::Timestamp::as_millisecond)
            .map_err(|_| not_a_time(text))?;
        if !RANGE_MS.contains(&ms) {
            return Err(out_of_range());
        }
        Ok(Self(ms))
    }

    /// `DD/MM/YYYY HH:mm:ss` in Argentina, the only form that the phone app reads.
    #[must_use]
    pub fn to_argentina(self) -> String {
        let wall = self.wall();
        let (date, time) = (wall.date(), wall.time());
        format!(
            "{:02}/{:02}/{:04} {:02}:{:02}:{:02}",
            date.day(),
            date.month(),
            date.year(),
            time.hour(),
            time.minute(),
            time.second()
        )
    }

    /// RFC 3339 in UTC with milliseconds.
    #[must_use]
    pub fn to_rfc3339(self) -> String {
        format!("{:.3}", self.instant())
    }

    /// The day in Argentina.
    #[must_use]
    pub fn day(self) -> Date {
        self.wall().date()
    }

    /// The number of that day, counted from 1970-01-01.
    #[must_use]
    pub fn day_number(self) -> i64 {
        let ms = self.0.clamp(RANGE_MS.start, RANGE_MS.end - 1);
        (ms + i64::from(ARGENTINA.seconds()) * 1_000).div_euclid(DAY_MS)
    }

    fn wall(self) -> DateTime {
        ARGENTINA.to_datetime(self.instant())
    }

    fn instant(self) -> jiff::Timestamp {
        // Clamped to the range of years that `parse` takes, so it cannot fail.
        let ms = self.0.clamp(RANGE_MS.start, RANGE_MS.end - 1);
        jiff::Timestamp::from_millisecond(ms).unwrap_or(jiff::Timestamp::UNIX_EPOCH)
    }
}

/// In a URL `+` means a space, and many clients send a time in one without escaping it: in front of an offset nothing else
/// can have been meant.
fn with_plus(text: &str) -> String {
    match text.rsplit_once(' ') {
        Some((time, offset)) => format!("{time}+{offset}"),
        None => text.to_owned(),
    }
}

/// Instants end a few days before the year 9999 does; what is written like a time beyond that is
/// well formed.
fn not_a_time(text: &str) -> Invalid {
    let wall = text.get(..19).map(str::parse::<DateTime>);
    if matches!(wall, Some(Ok(wall)) if !(1900..=2199).contains(&wall.year())) {
        return out_of_range();
    }
    Invalid::new(
        "must be a date and time such as 2026-03-06T00:04:09Z",
        "debe ser una fecha y hora como 2026-03-06T00:04:09Z",
    )
}

fn out_of_range() -> Invalid {
    Invalid::new(
        "must be a year from 1900 to 2199",
        "el año debe ser de 1900 a 2199",
    )
}

/// The number of a day, counted from 1970-01-01; see [`Timestamp::day_number`].
#[must_use]
pub fn number_of(day: Date) -> i64 {
    start_of_day(day).day_number()
}

/// The inverse of [`number_of`].
#[must_use]
pub fn day_of(number: i64) -> Date {
    Timestamp(number.saturating_mul(DAY_MS) - i64::from(ARGENTINA.seconds()) * 1_000).day()
}

/// Midnight at the start of `day` in Argentina.
#[must_use]
pub fn start_of_day(day: Date) -> Timestamp {
    let midnight = day.at(0, 0, 0, 0);
    let zone = TimeZone::fixed(ARGENTINA);
    Timestamp(
        zone.to_timestamp(midnight)
            .map_or(0, jiff::Timestamp::as_millisecond),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_have_numbers() {
        for (text, number) in [
            ("1970-01-01T02:59:59.999Z", -1),
            ("1970-01-01T03:00:00Z", 0),
            ("2026-03-06T02:59:59.999Z", 20_517),
            ("2026-03-06T03:00:00Z", 20_518),
            ("1900-01-02T00:00:00Z", -25_567),
        ] {
            let at = Timestamp::parse(text).unwrap();
            assert_eq!(at.day_number(), number, "{text}");
            assert_eq!(
                (number_of(at.day()), day_of(number)),
                (number, at.day()),
                "{text}"
            );
        }
    }

    #[test]
    fn the_app_form_is_argentina_wall_time() {
        let at = Timestamp::parse("2026-03-06T00:04:09Z").unwrap();
        assert_eq!(at.to_argentina(), "05/03/2026 21:04:09");
        assert_eq!(at.to_rfc3339(), "2026-03-06T00:04:09.000Z");
        assert_eq!(at.day(), jiff::civil::date(2026, 3, 5));
    }

    #[test]
    fn offsets_naive_times_and_fractions() {
        let instant = Timestamp::parse("2026-03-06T00:04:09.123Z").unwrap();
        assert_eq!(instant.0 % 1000, 123);
        for same in [
            "2026-03-05T21:04:09.123",
            "2026-03-05 21:04:09.123",
            "2026-03-06T02:04:09.123+02:00",
            "2026-03-06T02:04:09.123 02:00",
        ] {
            assert_eq!(Timestamp::parse(same), Ok(instant), "{same}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "now",
            "05/03/2026 21:04:09",
            "2026-13-01T00:00:00Z",
            "2026-02-30T00:00:00Z",
            "1772755449",
            "1899-12-31T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "2026-03-06T25:00:00Z",
        ] {
            assert!(Timestamp::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_year_out_of_range_is_told_from_nonsense() {
        for text in [
            "1899-12-31T00:00:00Z",
            "2200-01-02T00:00:00Z",
            "9999-12-31T23:59:59Z",
            "9999-12-31T23:59:59+03:00",
            "9999-12-31T23:59:59",
        ] {
            let why = Timestamp::parse(text).unwrap_err().to_string();
            assert!(why.contains("1900 to 2199"), "{text}: {why}");
        }
        let why = Timestamp::parse("06/03/2026").unwrap_err().to_string();
        assert!(why.contains("such as"), "{why}");
    }

    #[test]
    fn a_day_starts_at_three_in_utc() {
        let start = start_of_day(jiff::civil::date(2026, 3, 5));
        assert_eq!(start.to_rfc3339(), "2026-03-05T03:00:00.000Z");
    }
}
