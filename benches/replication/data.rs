//! The log of a node that was away: patients, then made-up finger-sticks with a fixed seed, or the
//! sensor traces of `data/`. Must give the same log each time, apart from when it begins.

use std::io::Read;

use islet_sync::causality::{self, Sighting, mark};
use islet_sync::chain::{Head, ReplicaId, Signer, digest};
use islet_sync::change::Encoder;
use islet_sync::exchange::{Introduction, Seal};
use islet_sync::frame::{Frame, Kind};
use islet_sync::hlc::Hlc;
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::op::{Action, Value};
use islet_sync::segment::{self, Change};

/// Patients that measure, a third of whom were registered at another node than where their
/// readings come from.
pub(crate) const PATIENTS: u32 = 400;
/// Readings a day in the whole clinic.
const A_DAY: f64 = 300.0;
/// Changes in a run, as a node seals them.
const RUN: usize = 1_024;
const SENSOR_STEP_MS: i64 = 180_000;
/// Readings that a sensor hands over at once.
pub(crate) const UPLOAD: usize = 288;
const PATIENT: u8 = 1;
const READING: u8 = 3;
const DAY_MS: i64 = 86_400_000;

/// Which readings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    /// One change each.
    Sticks,
    /// Uploads of [`UPLOAD`].
    Sensor,
}

impl Load {
    /// How long before now a log of `count` readings begins.
    pub(crate) fn span_ms(self, count: usize) -> i64 {
        match self {
            Self::Sticks => (count as f64 / A_DAY * DAY_MS as f64 * 1.02) as i64 + 2 * DAY_MS,
            Self::Sensor => (count / 6 + 2 * UPLOAD) as i64 * SENSOR_STEP_MS + 2 * DAY_MS,
        }
    }
}

/// SplitMix64 (Steele, Lea and Flood 2014).
pub(crate) struct Dice(pub u64);

impl Dice {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub(crate) fn below(&mut self, bound: u64) -> u64 {
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

/// Who wrote a log.
pub(crate) struct Author {
    pub(crate) number: ReplicaNumber,
    pub(crate) replica: ReplicaId,
    pub(crate) signer: Signer,
    head: Head,
    rows: u32,
    seen: Vec<Sighting>,
}

impl Author {
    fn new(number: u32, name: u8) -> Self {
        let replica = ReplicaId([name; 16]);
        Self {
            number: ReplicaNumber::new(number).unwrap(),
            replica,
            signer: Signer::from_seed(&[name; 32]).unwrap(),
            head: Head::genesis(replica),
            rows: 0,
            seen: Vec::new(),
        }
    }

    fn introduction(&self) -> Frame {
        let who = Introduction {
            number: self.number,
            replica: self.replica,
            public_key: self.signer.public_key(),
            branch: None,
        };
        Frame::new(Kind::Replica, who.bytes())
    }

    fn row(&mut self) -> RowId {
        self.rows += 1;
        RowId::new(self.number, self.rows).unwrap()
    }

    /// A change of new rows.
    fn change(&mut self, at_ms: i64, rows: &[(u8, Vec<Value<'_>>)]) -> (i64, Change<'static>) {
        let mut encoder = Encoder::default();
        for (row, action, fields) in causality::seen_ops(&std::mem::take(&mut self.seen)) {
            encoder.push(causality::SEEN, action, row, &fields);
        }
        for (entity, values) in rows {
            let row = self.row();
            let fields: Vec<_> = (1..).zip(values.iter().cloned()).collect();
            encoder.push(*entity, Action::Create, row, &fields);
        }
        let hlc = Hlc::from_i64(at_ms << 16);
        let ops = encoder.bytes().to_vec().into();
        (at_ms, Change { hlc, ops })
    }

    /// Signs and packs a run.
    fn run(&mut self, changes: &[Change<'_>]) -> Frame {
        let first_seq = self.head.seq + 1;
        for change in changes {
            self.head = self.head.append(&digest(change.hlc, &change.ops));
        }
        let seal = Seal {
            number: self.number,
            signature: self.signer.sign(self.replica, self.head).signature,
        };
        let mut payload = seal.bytes();
        payload.extend(segment::encode(first_seq, changes));
        Frame::new(Kind::Segment, payload)
    }
}

/// The logs of two nodes: the first registered a third of the patients, the second the others, and
/// then took in `count` readings.
pub(crate) struct Logs {
    pub(crate) authors: [Author; 2],
    /// What makes the patients known.
    pub(crate) patients: Vec<Frame>,
    /// The readings.
    pub(crate) readings: Vec<Frame>,
    /// Ids of the patients.
    pub(crate) ids: Vec<i64>,
}

/// Without any readings: who writes.
pub(crate) fn authors() -> [Author; 2] {
    [Author::new(0x3456, 11), Author::new(0x5bcd, 12)]
}

pub(crate) fn logs(load: Load, count: usize, now_ms: i64) -> Logs {
    let [mut other, mut own] = authors();
    let start_ms = now_ms - load.span_ms(count);
    let third = PATIENTS / 3;
    let (_, change) = other.change(start_ms, &people(0..third, start_ms));
    let first = other.run(&[change]);
    own.seen = vec![Sighting {
        of: other.number,
        seq: 1,
        mark: mark(&other.head.hash),
    }];
    let (_, change) = own.change(start_ms + 1, &people(third..PATIENTS, start_ms));
    let second = own.run(&[change]);
    let of = |author: &Author, count: u32| {
        let number = author.number;
        (1..=count).map(move |row| RowId::new(number, row).unwrap().get())
    };
    let ids: Vec<i64> = of(&other, third)
        .chain(of(&own, PATIENTS - third))
        .collect();
    let patients = vec![other.introduction(), first, own.introduction(), second];
    let changes: Box<dyn Iterator<Item = (i64, Vec<Reading>)>> = match load {
        Load::Sticks => Box::new(sticks(count, start_ms + DAY_MS, ids.clone())),
        Load::Sensor => Box::new(uploads(count, start_ms + DAY_MS, &ids)),
    };
    let mut readings = Vec::new();
    let mut waiting: Vec<Change<'static>> = Vec::new();
    for (at_ms, of_change) in changes {
        let rows: Vec<_> = of_change
            .iter()
            .map(|it| (READING, it.values(at_ms)))
            .collect();
        waiting.push(own.change(at_ms, &rows).1);
        if waiting.len() > RUN || segment::fitting(&waiting) < waiting.len() {
            let last = waiting.pop();
            readings.push(own.run(&waiting));
            waiting = last.into_iter().collect();
        }
    }
    readings.push(own.run(&waiting));
    Logs {
        authors: [other, own],
        patients,
        readings,
        ids,
    }
}

fn people(numbers: std::ops::Range<u32>, at_ms: i64) -> Vec<(u8, Vec<Value<'static>>)> {
    let text = |text: String| Value::Text(text.into());
    let person = |number: u32| {
        let values = vec![
            text(format!("{}", 30_000_000 + number)),
            text("Ana".into()),
            text("Paz".into()),
            text(format!("p{number}@clinic.test")),
            Value::Null,
            text(format!("h{number}")),
            Value::Int(0),
            text("hash".into()),
            Value::Int(0),
            Value::Int(0),
            Value::Int(0),
            Value::Int(at_ms),
            Value::Int(at_ms),
            Value::Int(0),
        ];
        (PATIENT, values)
    };
    numbers.map(person).collect()
}

struct Reading {
    patient_id: i64,
    glucose_mg_dl: f64,
    reading_type: i64,
    source: i64,
    measured_at: i64,
}

impl Reading {
    fn values(&self, recorded_at: i64) -> Vec<Value<'static>> {
        vec![
            Value::Int(self.patient_id),
            Value::Real(self.glucose_mg_dl),
            Value::Int(self.reading_type),
            Value::Int(self.source),
            Value::Int(1),
            Value::Int(self.measured_at),
            Value::Int(recorded_at),
            Value::Null,
            Value::Int(0),
        ]
    }
}

/// At irregular milliseconds, any patient after any other.
fn sticks(count: usize, start_ms: i64, ids: Vec<i64>) -> impl Iterator<Item = (i64, Vec<Reading>)> {
    let (mut dice, mut now) = (Dice(7), start_ms);
    (0..count).map(move |_| {
        now += (-dice.unit().ln() * DAY_MS as f64 / A_DAY) as i64 + 1;
        let patient = dice.below(ids.len() as u64);
        let level = 98.0 + (patient * 2_654_435_761 % 63) as f64;
        let reading = Reading {
            patient_id: ids[patient as usize],
            glucose_mg_dl: (level + 15.0 + dice.spread() * 26.0)
                .clamp(42.0, 420.0)
                .round(),
            reading_type: dice.below(7).cast_signed() + 1,
            source: 1,
            measured_at: now,
        };
        (now, vec![reading])
    })
}

/// The traces of `data/cgm-t1d-14d.csv.gz`, in mg/dL, one every three minutes.
fn traces() -> Vec<Vec<f64>> {
    let bytes = include_bytes!("../../data/cgm-t1d-14d.csv.gz");
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

/// Uploaded [`UPLOAD`] at a time, patient after patient; a trace that is through begins again.
fn uploads(
    count: usize,
    start_ms: i64,
    ids: &[i64],
) -> impl Iterator<Item = (i64, Vec<Reading>)> + use<> {
    let (traces, mut dice) = (traces(), Dice(11));
    let worn: Vec<i64> = ids.iter().step_by(61).copied().take(traces.len()).collect();
    let mut stored = start_ms;
    (0..count.div_ceil(UPLOAD)).map(move |upload| {
        let (patient, round) = (upload % traces.len(), upload / traces.len());
        let end = start_ms + ((round + 1) * UPLOAD) as i64 * SENSOR_STEP_MS;
        stored = (end + dice.below(3_600_000).cast_signed()).max(stored + 1);
        let steps = round * UPLOAD..(round + 1) * UPLOAD;
        let readings = steps.take(count - upload * UPLOAD).map(|step| Reading {
            patient_id: worn[patient],
            glucose_mg_dl: traces[patient][step % traces[patient].len()],
            reading_type: 7,
            source: 3,
            measured_at: start_ms + 17_123 * patient as i64 + step as i64 * SENSOR_STEP_MS,
        });
        (stored, readings.collect())
    })
}
