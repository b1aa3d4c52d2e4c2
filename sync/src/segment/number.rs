//! The model of a column of numbers: small ones cost little, frequent ones less.
//!
//! A number is "is it zero", a sign, the length of its magnitude in bits, the three bits after the
//! leading one, and the rest, which is taken for noise. All but the noise have odds that adapt.

use super::coder::{Coder, Odds};

/// Lengths of magnitudes: 1 to 64 bits, less one.
const LENGTHS: usize = 64;
/// Bits after the leading one that have odds.
const TOP_BITS: u32 = 3;
const TOPS: usize = 1 << TOP_BITS;

/// The statistics of one column.
#[derive(Clone, Debug)]
pub(super) struct Number {
    /// Whether a number is zero, by whether the two before it were.
    zero: [Odds; 4],
    /// Whether it is negative, by the sign before: none yet, positive, negative.
    negative: [Odds; 3],
    length: [Odds; LENGTHS],
    top: [[Odds; TOPS]; LENGTHS],
    zeros: usize,
    sign: usize,
}

impl Number {
    pub(super) fn new() -> Self {
        let mut length = [Odds::EVEN; LENGTHS];
        // Before anything is known, short is likelier than long.
        length[1] = Odds::of(700);
        length[2] = Odds::of(1_100);
        length[4] = Odds::of(1_500);
        length[8] = Odds::of(1_500);
        length[16] = Odds::of(1_700);
        Self {
            zero: [Odds::EVEN; 4],
            negative: [Odds::of(1_000); 3],
            length,
            top: [[Odds::EVEN; TOPS]; LENGTHS],
            zeros: 0,
            sign: 0,
        }
    }

    /// For what is nearly always zero.
    pub(super) fn rare() -> Self {
        Self {
            zero: [Odds::of(3_600); 4],
            ..Self::new()
        }
    }

    /// Codes `value`.
    pub(super) fn code<C: Coder>(&mut self, coder: &mut C, value: i64) -> i64 {
        if self.code_zero(coder, value == 0) {
            return 0;
        }
        let negative = coder.decide(&mut self.negative[self.sign], value < 0);
        self.sign = 1 + usize::from(negative);
        let magnitude = self
            .code_magnitude(coder, value.unsigned_abs())
            .cast_signed();
        if negative {
            magnitude.wrapping_neg()
        } else {
            magnitude
        }
    }

    /// Codes `value`, which is never negative: a count, an index, a length.
    pub(super) fn code_count<C: Coder>(&mut self, coder: &mut C, value: u64) -> u64 {
        if self.code_zero(coder, value == 0) {
            return 0;
        }
        self.code_magnitude(coder, value)
    }

    fn code_zero<C: Coder>(&mut self, coder: &mut C, zero: bool) -> bool {
        let zero = coder.decide(&mut self.zero[self.zeros], zero);
        self.zeros = (self.zeros << 1 | usize::from(zero)) & 3;
        zero
    }

    fn code_magnitude<C: Coder>(&mut self, coder: &mut C, value: u64) -> u64 {
        let length = coder.tree(&mut self.length, 63 - (value | 1).leading_zeros() as usize);
        let below = length as u32;
        let top_bits = below.min(TOP_BITS);
        let rest_bits = below - top_bits;
        // `tree` over the part of the odds that so many bits need: 1, 2, 4 or 8.
        let odds = &mut self.top[length][..1 << top_bits];
        let top = coder.tree(odds, (value >> rest_bits) as usize & ((1 << top_bits) - 1));
        let rest = coder.bits(value & ((1u64 << rest_bits) - 1), rest_bits);
        (1 << below) | ((top as u64) << rest_bits) | rest
    }
}
