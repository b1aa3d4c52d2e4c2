//! The sensor traces that the demo ships: six simulated people with type 1 diabetes, 14 days, one
//! value every three minutes (data/README.md says where they come from).
//!
//! Times of day stay what they are and are taken for the clinic's: the people of the traces eat at
//! the hours of people here. The traces end at the midnight at which today began.

use std::io::Read;

use super::DemoError;
use super::calendar::{Calendar, MINUTE_MS};
use crate::domain::glucose::{Glucose, PastReading, ReadingType, Source};
use crate::domain::time::Timestamp;

const TRACES: &[u8] = include_bytes!("../../data/cgm-t1d-14d.csv.gz");
/// Minutes between two values.
pub(super) const STEP_MINUTES: i64 = 3;

/// One value of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) glucose: Glucose,
    /// Eaten in the interval.
    pub(super) carbs_g: f64,
}

/// The traces, each from a midnight to a midnight.
pub(super) fn read() -> Result<Vec<Vec<Sample>>, DemoError> {
    let broken = |error: &dyn std::fmt::Display| DemoError::Data(error.to_string());
    let mut text = String::new();
    flate2::read::GzDecoder::new(TRACES)
        .read_to_string(&mut text)
        .map_err(|error| broken(&error))?;
    let mut traces: Vec<(String, Vec<Sample>)> = Vec::new();
    for record in csv::Reader::from_reader(text.as_bytes()).records() {
        let record = record.map_err(|error| broken(&error))?;
        let number = |column: usize| {
            let text = record.get(column).unwrap_or_default();
            text.parse::<f64>()
                .map_err(|_| broken(&format!("{text:?} is not a number")))
        };
        let name = record.get(0).unwrap_or_default();
        if traces.last().is_none_or(|(last, _)| last != name) {
            traces.push((name.to_owned(), Vec::new()));
        }
        let sample = Sample {
            glucose: Glucose::from_mg_dl(number(2)?)?,
            carbs_g: number(3)?,
        };
        if let Some((_, trace)) = traces.last_mut() {
            trace.push(sample);
        }
    }
    Ok(traces.into_iter().map(|(_, trace)| trace).collect())
}

/// When value `index` of a trace of `length` values was taken.
pub(super) fn time_of(index: usize, length: usize, calendar: Calendar) -> Timestamp {
    let before_end = length.saturating_sub(index + 1) as i64;
    Timestamp(calendar.end().0 - before_end * STEP_MINUTES * MINUTE_MS)
}

/// What the sensor itself sends: every value, a minute after it was taken.
pub(super) fn sensor_readings(trace: &[Sample], calendar: Calendar) -> Vec<PastReading> {
    let reading = |(index, sample): (usize, &Sample)| {
        let measured_at = time_of(index, trace.len(), calendar);
        PastReading {
            glucose: sample.glucose,
            reading_type: ReadingType::Otro,
            source: Source::Sensor,
            measured_at,
            recorded_at: Timestamp(measured_at.0 + MINUTE_MS),
            notes: None,
        }
    };
    trace.iter().enumerate().map(reading).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_people_two_weeks() {
        let traces = read().unwrap();
        assert_eq!(traces.len(), 6);
        assert!(traces.iter().all(|trace| trace.len() == 14 * 480 + 1));
        let meals = |trace: &Vec<Sample>| trace.iter().filter(|it| it.carbs_g > 0.0).count();
        assert!(traces.iter().all(|trace| meals(trace) > 40));
    }

    /// The loader counts on it: no gaps, and from midnight to midnight.
    #[test]
    fn a_value_every_three_minutes() {
        let mut reader = csv::Reader::from_reader(flate2::read::GzDecoder::new(TRACES));
        let records: Vec<_> = reader.records().map(Result::unwrap).collect();
        assert_eq!(records.len(), 40_326);
        for trace in records.chunk_by(|a, b| a[0] == b[0]) {
            let time = |index: usize| Timestamp::parse(&trace[index][1]).unwrap().0;
            let first = Timestamp::parse("2025-10-01T00:00:00Z").unwrap().0;
            for index in 0..trace.len() {
                assert_eq!(time(index), first + index as i64 * STEP_MINUTES * MINUTE_MS);
            }
        }
    }

    #[test]
    fn they_end_today_and_keep_their_hours() {
        let calendar = Calendar::new(jiff::civil::date(2026, 3, 5));
        let trace = &read().unwrap()[0];
        let readings = sensor_readings(trace, calendar);
        let at = |index: usize| readings[index].measured_at.to_argentina();
        assert_eq!(at(readings.len() - 1), "05/03/2026 00:00:00");
        assert_eq!(at(0), "19/02/2026 00:00:00");
        // The first meal of the first trace: 2025-10-01T08:21.
        let meal = trace
            .iter()
            .position(|sample| sample.carbs_g > 0.0)
            .unwrap();
        assert_eq!(at(meal), "19/02/2026 08:21:00");
    }
}
