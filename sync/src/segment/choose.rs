//! Picks the predictor of each column: each is tried on all values, the cheapest is taken.
//!
//! Counts in 256ths of a bit with whole numbers only, so that every computer picks the same.

use super::layout::Fresh;
use super::parse::Kind;
use super::plan::Plan;
use super::predict::{Around, History, Predictor};
use crate::id::COUNTER_BITS;
use crate::limits::{SEGMENT_KEYED_COLUMNS_MAX, SEGMENT_REPLICAS_MAX};

/// A bit.
const BIT: u64 = 256;
/// What naming a unit costs.
const UNIT_COST: u64 = 12 * BIT;
/// What naming a key or a field costs.
const POSITION_COST: u64 = 7 * BIT;
/// What the first number of some length costs until its odds are learnt.
const FIRST_COST: u64 = 7 * BIT;
/// Fields before this one that it may be like.
const FIELDS_TRIED: usize = 3;
/// Columns shorter than this have no unit: naming it costs more.
const UNIT_FROM: usize = 8;

/// What a change of replica from one id to the next costs.
const SWITCH_COST: u64 = 6 * BIT;
/// What a replica costs that was not named before.
const REPLICA_COST: u64 = 30 * BIT;

/// A predictor and the unit of its column.
pub(super) type Choice = (Predictor, i64);

/// Tries predictors on columns, with buffers that are used again.
#[derive(Debug)]
pub(super) struct Chooser {
    off: Vec<i64>,
    counts: Vec<u32>,
    keyed: usize,
    best: (u64, Choice),
}

impl Chooser {
    pub(super) fn new() -> Self {
        Self {
            off: Vec::new(),
            counts: vec![0; BUCKETS],
            keyed: 0,
            best: START,
        }
    }

    /// For the milliseconds of the stamps.
    pub(super) fn stamps(&mut self, stamps: &[i64]) -> Choice {
        self.best = START;
        let around = Around {
            stamp_ms: 0,
            fields: &[],
        };
        for predictor in [Predictor::Last, Predictor::Line] {
            self.attempt(predictor, stamps.iter().map(|ms| (*ms, around)));
        }
        self.best.1
    }

    /// For a new column of numbers.
    pub(super) fn column(&mut self, plan: &Plan<'_>, fresh: &Fresh) -> Choice {
        self.best = START;
        let users = &plan.users[fresh.column];
        let ops = || users.iter().map(|op| &plan.ops[*op as usize]);
        let Some((position, kind)) = fresh.field else {
            self.attempt_id(Predictor::Id, ops().map(|op| op.row));
            self.attempt_id(Predictor::NextId, ops().map(|op| op.row));
            return self.best.1;
        };
        let values = || ops().map(|op| plan.number(op, position));
        for predictor in [
            Predictor::Zero,
            Predictor::Last,
            Predictor::Stamp,
            Predictor::Line,
        ] {
            self.attempt(predictor, values());
        }
        let Some(form) = ops().next().and_then(|op| op.form) else {
            return self.best.1;
        };
        let before = &plan.layout.forms[form].fields[..position];
        let of_kind = |wanted: Kind| {
            (0..)
                .zip(before)
                .filter(move |(_, (kind, _))| *kind == wanted)
                .map(|(at, _)| at)
        };
        let like: Vec<u8> = of_kind(kind).collect();
        for at in like.iter().rev().take(FIELDS_TRIED) {
            self.attempt(Predictor::Field(*at), values());
        }
        if let Some(key) = of_kind(Kind::Int).next()
            && self.keyed < SEGMENT_KEYED_COLUMNS_MAX
            && users.len() > 1
        {
            self.attempt(Predictor::KeyLast(key), values());
            self.attempt(Predictor::KeyLine(key), values());
            self.attempt(Predictor::KeyHalf(key), values());
        }
        let numbers = || values().map(|(value, _)| value.cast_unsigned());
        if kind == Kind::Int && numbers().any(|value| value >> COUNTER_BITS != 0) {
            self.attempt_id(Predictor::Id, numbers());
            self.attempt_id(Predictor::NextId, numbers());
        }
        self.keyed += usize::from(self.best.1.0.is_keyed());
        self.best.1
    }

    fn attempt<'a>(
        &mut self,
        predictor: Predictor,
        values: impl Iterator<Item = (i64, Around<'a>)>,
    ) {
        self.off.clear();
        let mut history = History::new(predictor);
        for (value, around) in values {
            self.off.push(value.wrapping_sub(history.guess(&around)));
            history.push(&around, value);
        }
        let position = if predictor.code().1.is_some() {
            POSITION_COST
        } else {
            0
        };
        self.offer(position, (predictor, 1));
        if self.off.len() < UNIT_FROM {
            return;
        }
        let unit = unit(&self.off);
        if unit > 1 {
            self.offer(position + UNIT_COST, (predictor, unit));
        }
    }

    fn attempt_id(&mut self, predictor: Predictor, ids: impl Iterator<Item = u64>) {
        self.off.clear();
        let mut next: Vec<(u64, u64)> = Vec::new();
        let (mut last, mut extra) = (None, 0);
        for id in ids {
            let (replica, counter) = (id >> COUNTER_BITS, id & u64::from(u32::MAX));
            let known = next.iter().position(|(known, _)| *known == replica);
            let guess = match known {
                Some(at) => std::mem::replace(&mut next[at].1, counter + 1),
                None => {
                    extra += REPLICA_COST;
                    // A list as long as a segment has room for; beyond it, ids are dear anyway.
                    if next.len() < SEGMENT_REPLICAS_MAX {
                        next.push((replica, counter + 1));
                    }
                    1
                }
            };
            extra += if last.is_some_and(|last| last != replica) {
                SWITCH_COST
            } else {
                0
            };
            last = Some(replica);
            let guess = if predictor == Predictor::NextId {
                guess
            } else {
                0
            };
            self.off.push(counter.wrapping_sub(guess).cast_signed());
        }
        self.offer(extra, (predictor, 1));
    }

    fn offer(&mut self, extra: u64, choice: Choice) {
        let cost = extra + self.cost(choice.1);
        if cost < self.best.0 {
            self.best = (cost, choice);
        }
    }

    /// The entropy of the differences' buckets, what it costs to learn them, and the noise.
    fn cost(&mut self, unit: i64) -> u64 {
        let (mut cost, mut distinct) = (0, 0);
        for off in &self.off {
            let (bucket, noise_bits) = bucket_of(off.wrapping_div(unit));
            let count = &mut self.counts[bucket];
            distinct += u64::from(*count == 0);
            *count += 1;
            cost += noise_bits * BIT;
        }
        let total = log2(self.off.len() as u64 + distinct);
        for off in &self.off {
            let (bucket, _) = bucket_of(off.wrapping_div(unit));
            let count = u64::from(std::mem::take(&mut self.counts[bucket]));
            if count > 0 {
                cost += count * (total.saturating_sub(log2(count)));
                cost += if bucket == 0 { BIT } else { FIRST_COST };
            }
        }
        cost
    }
}

/// No choice yet.
const START: (u64, Choice) = (u64::MAX, (Predictor::Zero, 1));
/// Zero, and per sign and length in bits the first bits after the leading one.
const BUCKETS: usize = 2 * 65 * 8;

/// The bucket of a difference and how many bits say where in the bucket it is; as in
/// [`super::number`].
const fn bucket_of(off: i64) -> (usize, u64) {
    if off == 0 {
        return (0, 0);
    }
    let magnitude = off.unsigned_abs();
    let length = 64 - magnitude.leading_zeros() as usize;
    let noise_bits = length.saturating_sub(4);
    let top = (magnitude >> noise_bits) as usize & 7;
    let sign = if off < 0 { 65 * 8 } else { 0 };
    (sign + length * 8 + top, noise_bits as u64)
}

/// The greatest common divisor of all differences; 1 when there is none.
fn unit(off: &[i64]) -> i64 {
    let mut divisor = 0;
    for off in off {
        let (mut a, mut b) = (divisor, off.unsigned_abs());
        while b != 0 {
            (a, b) = (b, a % b);
        }
        divisor = a;
        if divisor == 1 {
            break;
        }
    }
    i64::try_from(divisor).unwrap_or(1).max(1)
}

/// The binary logarithm in 256ths, straight between powers of two.
const fn log2(value: u64) -> u64 {
    if value == 0 {
        return 0;
    }
    let whole = value.ilog2() as u64;
    let fraction = if whole >= 8 {
        value >> (whole - 8)
    } else {
        value << (8 - whole)
    };
    whole * BIT + (fraction - BIT)
}
