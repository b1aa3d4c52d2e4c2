//! The readings: made-up finger-sticks with a fixed seed, and the sensor traces of `data/`.

use std::io::Read;

/// Milliseconds of the first reading: 2026-03-02T11:00:00Z, a Monday morning in Argentina.
const START_MS: i64 = 1_772_449_200_000;
/// A clinic has this many patients that measure, and this many readings a day.
const PATIENTS: u64 = 400;
const A_DAY: f64 = 300.0;
/// Every third patient was registered at another node.
const OTHER_REPLICA: u64 = 0x12_3456;
/// The node that the changes come from.
const OWN_REPLICA: u64 = 0x0a_bcde;
const SENSOR_STEP_MS: i64 = 180_000;
/// Readings that a sensor hands over at once.
pub const UPLOAD: usize = 288;

/// A reading as the node stores it.
#[derive(Clone, Debug)]
pub struct Reading {
    /// Its row id.
    pub id: i64,
    /// Whose it is.
    pub patient_id: i64,
    /// mg/dL.
    pub glucose_mg_dl: f64,
    /// Code of the occasion.
    pub reading_type: i64,
    /// Code of where it came from.
    pub source: i64,
    /// When taken.
    pub measured_at: i64,
    /// When stored.
    pub recorded_at: i64,
    /// What the patient wrote.
    pub notes: Option<String>,
}

/// A committed transaction: its stamp in milliseconds and its readings.
pub type Change = (i64, Vec<Reading>);

/// How finger-stick readings come in.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Habit {
    /// The app sends a value at once; `measured_at` is when it came.
    Plain,
    /// As plain, and one in six has a note.
    Notes,
    /// The meter's clock says when it was measured, to the second, up to 90 s before.
    Meter,
}

/// SplitMix64 (Steele, Lea and Flood 2014).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    /// Above 0, up to 1.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) + 1) as f64 / (1u64 << 53) as f64
    }

    /// About -3 to 3, as a bell.
    fn spread(&mut self) -> f64 {
        (0..12).map(|_| self.unit()).sum::<f64>() - 6.0
    }
}

/// An id as a node makes it; the patients of one in three come from another.
fn patient_id(patient: u64) -> i64 {
    let replica = if patient % 3 == 0 {
        OTHER_REPLICA
    } else {
        OWN_REPLICA
    };
    ((replica << 32) | (patient + 1)).cast_signed()
}

fn row_id(index: usize) -> i64 {
    ((OWN_REPLICA << 32) | (40_000 + index as u64)).cast_signed()
}

/// `count` finger-stick readings, a change each, at irregular milliseconds.
pub fn sticks(count: usize, habit: Habit) -> Vec<Change> {
    const NOTES: [&str; 8] = [
        "Dos tostadas con queso y mate",
        "Milanesa con ensalada",
        "Me olvidé de la corrección",
        "Caminé 40 minutos",
        "Antes de dormir",
        "Tomé un jugo de naranja",
        "Comí afuera, calculé a ojo",
        "Dos horas después de comer",
    ];
    let mut dice = Dice(7);
    let mut now = START_MS;
    (0..count)
        .map(|index| {
            now += (-dice.unit().ln() * 86_400_000.0 / A_DAY) as i64;
            let patient = dice.below(PATIENTS);
            let level = 98.0 + (patient * 2_654_435_761 % 63) as f64;
            let measured_at = match habit {
                Habit::Meter => (now - 5_000 - dice.below(85_000).cast_signed()) / 1_000 * 1_000,
                _ => now,
            };
            let written = habit == Habit::Notes && dice.below(6) == 0;
            let note = NOTES[dice.below(8) as usize];
            let reading = Reading {
                id: row_id(index),
                patient_id: patient_id(patient),
                glucose_mg_dl: (level + 15.0 + dice.spread() * 26.0)
                    .clamp(42.0, 420.0)
                    .round(),
                reading_type: dice.below(7).cast_signed(),
                source: 1,
                measured_at,
                recorded_at: now,
                notes: written.then(|| note.to_owned()),
            };
            (now, vec![reading])
        })
        .collect()
}

/// The traces of `data/cgm-t1d-14d.csv.gz`, in mg/dL, one every three minutes.
fn traces() -> Vec<Vec<f64>> {
    let bytes = include_bytes!("../../../data/cgm-t1d-14d.csv.gz");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&bytes[..])
        .read_to_string(&mut text)
        .unwrap();
    let mut traces: Vec<(String, Vec<f64>)> = Vec::new();
    for record in csv::Reader::from_reader(text.as_bytes()).records() {
        let record = record.unwrap();
        if traces.last().is_none_or(|(name, _)| *name != record[0]) {
            traces.push((record[0].to_owned(), Vec::new()));
        }
        traces
            .last_mut()
            .unwrap()
            .1
            .push(record[2].parse().unwrap());
    }
    traces.into_iter().map(|(_, trace)| trace).collect()
}

fn sensor_reading(index: usize, patient: usize, value: f64, taken: i64, stored: i64) -> Reading {
    Reading {
        id: row_id(index),
        patient_id: patient_id(11 * patient as u64 + 5),
        glucose_mg_dl: value,
        reading_type: 6,
        source: 3,
        measured_at: taken,
        recorded_at: stored,
        notes: None,
    }
}

/// `count` sensor readings, uploaded [`UPLOAD`] at a time, patient after patient.
pub fn uploads(count: usize) -> Vec<Change> {
    let traces = traces();
    let mut dice = Dice(11);
    let mut changes: Vec<Change> = Vec::new();
    for index in 0..count {
        let upload = index / UPLOAD;
        let (patient, round) = (upload % traces.len(), upload / traces.len());
        let step = round * UPLOAD + index % UPLOAD;
        if index % UPLOAD == 0 {
            let end = START_MS + ((round + 1) * UPLOAD) as i64 * SENSOR_STEP_MS;
            changes.push((end + dice.below(3_600_000).cast_signed(), Vec::new()));
        }
        let (stored, readings) = changes.last_mut().unwrap();
        let phase = 17_123 * patient as i64;
        let taken = START_MS + phase + step as i64 * SENSOR_STEP_MS;
        readings.push(sensor_reading(
            index,
            patient,
            traces[patient][step],
            taken,
            *stored,
        ));
    }
    changes.sort_by_key(|(stored, _)| *stored);
    for (index, reading) in changes
        .iter_mut()
        .flat_map(|(_, readings)| readings)
        .enumerate()
    {
        reading.id = row_id(index);
    }
    changes
}

/// `count` sensor readings, each sent when it is taken, all patients in turn.
pub fn live(count: usize) -> Vec<Change> {
    let traces = traces();
    let mut dice = Dice(13);
    let mut changes: Vec<Change> = (0..count)
        .map(|index| {
            let (patient, step) = (index % traces.len(), index / traces.len());
            let taken = START_MS + 17_123 * patient as i64 + step as i64 * SENSOR_STEP_MS;
            let stored = taken + 200 + dice.below(1_500).cast_signed();
            let value = traces[patient][step];
            (
                stored,
                vec![sensor_reading(index, patient, value, taken, stored)],
            )
        })
        .collect();
    changes.sort_by_key(|(stored, _)| *stored);
    changes
}
