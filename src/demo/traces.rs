//! The sensor traces that the demo ships: six simulated people with type 1 diabetes, 14 days, one
//! value every three minutes (data/README.md says where they come from).

use std::io::Read;

use super::DemoError;

const TRACES: &[u8] = include_bytes!("../../data/cgm-t1d-14d.csv.gz");
/// Minutes between two values.
pub(super) const STEP_MIN: i64 = 3;

/// One value of a trace.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Sample {
    pub(super) glucose_mg_dl: f64,
    /// Eaten in the interval.
    pub(super) carbs_g: f64,
}

/// The traces, each from midnight of its first day.
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
            glucose_mg_dl: number(2)?,
            carbs_g: number(3)?,
        };
        if let Some((_, trace)) = traces.last_mut() {
            trace.push(sample);
        }
    }
    Ok(traces.into_iter().map(|(_, trace)| trace).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn six_people_two_weeks() {
        let traces = read().unwrap();
        assert_eq!(traces.len(), 6);
        assert_eq!(traces.iter().map(Vec::len).sum::<usize>(), 40_326);
        assert!(
            traces
                .iter()
                .all(|trace| trace.iter().any(|sample| sample.carbs_g > 0.0))
        );
    }
}
