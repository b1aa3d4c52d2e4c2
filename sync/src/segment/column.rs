//! A column of numbers: a predictor and the statistics of how far it is off.

use super::coder::{Coder, Odds};
use super::number::Number;
use super::predict::{Around, History, Predictor};
use crate::id::{COUNTER_BITS, REPLICA_NUMBER_MAX};
use crate::limits::SEGMENT_REPLICAS_MAX;

const REPLICA_BITS: u32 = (REPLICA_NUMBER_MAX + 1).trailing_zeros();
const COUNTER_MASK: u64 = (1 << COUNTER_BITS) - 1;

/// The replicas whose ids a segment has named so far, in order of their first mention.
#[derive(Debug)]
pub(super) struct Replicas {
    known: Vec<u32>,
    recent: Replica,
    index: Number,
    /// Whether a number is one that a replica can have.
    proper: Odds,
}

/// A replica, and its position among those known; beyond the bound it has none.
#[derive(Clone, Copy, Debug)]
struct Replica {
    number: u32,
    index: Option<usize>,
}

impl Replicas {
    pub(super) fn new() -> Self {
        let founder = Replica {
            number: 0,
            index: Some(0),
        };
        Self {
            known: vec![0],
            recent: founder,
            index: Number::rare(),
            proper: Odds::of(4_000),
        }
    }

    /// Codes one that is not the one before: its position among those known, or in full.
    fn code<C: Coder>(&mut self, coder: &mut C, number: u32) -> Replica {
        let index = self.known.iter().position(|known| *known == number);
        let code = index.map_or(0, |index| index + 1);
        let code = self.index.code_count(coder, code as u64);
        let index = usize::try_from(code)
            .ok()
            .and_then(|code| code.checked_sub(1));
        if let Some(index) = index
            && let Some(&number) = self.known.get(index)
        {
            return Replica {
                number,
                index: Some(index),
            };
        }
        let proper = number <= REPLICA_NUMBER_MAX;
        let bits = if coder.decide(&mut self.proper, proper) {
            REPLICA_BITS
        } else {
            32
        };
        let number = coder.bits(u64::from(number), bits) as u32;
        let index = (self.known.len() < SEGMENT_REPLICAS_MAX).then_some(self.known.len());
        if index.is_some() {
            self.known.push(number);
        }
        Replica { number, index }
    }
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct Column {
    predictor: Predictor,
    /// Every difference is a multiple of this, and written divided by it.
    unit: i64,
    history: History,
    number: Number,
    ids: Ids,
}

/// What a column of row ids remembers.
#[derive(Clone, Debug)]
struct Ids {
    /// Whether the replica is the one before, by whether it was so the time before.
    same: [Odds; 2],
    was_same: bool,
    replica: Option<Replica>,
    /// The counter after the last one, per known replica.
    next: Vec<u64>,
}

/// Whether a column's replica is the one before. It usually is.
const SAME: [Odds; 2] = [Odds::of(1_500), Odds::of(3_000)];

impl Column {
    /// `unit` is at least 1.
    pub(super) fn new(predictor: Predictor, unit: i64) -> Self {
        let ids = Ids {
            same: SAME,
            was_same: true,
            replica: None,
            next: Vec::new(),
        };
        Self {
            predictor,
            unit,
            history: History::new(predictor),
            number: Number::new(),
            ids,
        }
    }

    /// Codes the next number of the column.
    pub(super) fn code<C: Coder>(
        &mut self,
        coder: &mut C,
        around: &Around<'_>,
        replicas: &mut Replicas,
        value: i64,
    ) -> i64 {
        if self.predictor.is_id() {
            return self
                .code_id(coder, replicas, value.cast_unsigned())
                .cast_signed();
        }
        let guess = self.history.guess(around);
        let off = value.wrapping_sub(guess);
        let off = if self.unit == 1 {
            off
        } else {
            off.wrapping_div(self.unit)
        };
        let off = self.number.code(coder, off).wrapping_mul(self.unit);
        let value = guess.wrapping_add(off);
        self.history.push(around, value);
        value
    }

    fn code_id<C: Coder>(&mut self, coder: &mut C, replicas: &mut Replicas, value: u64) -> u64 {
        let ids = &mut self.ids;
        let (number, counter) = ((value >> COUNTER_BITS) as u32, value & COUNTER_MASK);
        let before = ids.replica.unwrap_or(replicas.recent);
        let odds = &mut ids.same[usize::from(ids.was_same)];
        ids.was_same = coder.decide(odds, number == before.number);
        let replica = if ids.was_same {
            before
        } else {
            replicas.code(coder, number)
        };
        ids.replica = Some(replica);
        replicas.recent = replica;
        let guess = match replica.index {
            Some(index) if self.predictor == Predictor::NextId => {
                ids.next.get(index).copied().unwrap_or(1)
            }
            _ => 0,
        };
        let off = counter.wrapping_sub(guess).cast_signed();
        let off = self.number.code(coder, off).cast_unsigned();
        let counter = guess.wrapping_add(off) & COUNTER_MASK;
        if let Some(index) = replica.index {
            if index >= ids.next.len() {
                ids.next.resize(index + 1, 1);
            }
            ids.next[index] = counter + 1;
        }
        (u64::from(replica.number) << COUNTER_BITS) | counter
    }
}
