//! The arithmetic coder: binary decisions with adaptive odds, written in as little as they are
//! worth, a fraction of a bit when the odds are good.
//!
//! The range coder of LZMA (G. N. N. Martin, "Range encoding", 1979; carry propagation as in
//! Igor Pavlov's LZMA SDK, public domain), with odds that are counts at first and settle slowly.
//! [`Coder`] is implemented by writer and reader alike, so that a model is written once for both
//! and cannot disagree with itself.

/// Decisions after which the odds stop slowing down. Small enough to follow a day's change of
/// habits, large enough that a settled decision costs next to nothing.
const MEMORY: usize = 255;
/// How much of the error the odds take in after `n` decisions: `2^16 / (n + 1.5)`.
const STEP: [u32; MEMORY + 1] = steps();

const fn steps() -> [u32; MEMORY + 1] {
    let mut steps = [0; MEMORY + 1];
    let mut n = 0;
    while n <= MEMORY {
        steps[n] = (2 << 16) / (2 * n as u32 + 3);
        n += 1;
    }
    steps
}

/// The odds of one decision: 22 bits of probability that it is true, 10 bits of count.
#[derive(Clone, Copy, Debug)]
pub(super) struct Odds(u32);

impl Odds {
    /// Nothing known.
    pub(super) const EVEN: Self = Self::of(2_048);

    /// Nothing known but a guess: true in `of_4096` of 4,096 cases.
    pub(super) const fn of(of_4096: u32) -> Self {
        Self(of_4096 << 20)
    }

    /// 1 to 4095.
    const fn of_4096(self) -> u32 {
        let odds = self.0 >> 20;
        if odds == 0 { 1 } else { odds }
    }

    const fn learn(&mut self, truth: bool) {
        let count = self.0 & 0x3ff;
        let odds = self.0 >> 10;
        let step = STEP[count as usize] as u64;
        let odds = if truth {
            odds + (((0x3f_ffff - odds) as u64 * step) >> 16) as u32
        } else {
            odds - ((odds as u64 * step) >> 16) as u32
        };
        let count = if (count as usize) < MEMORY {
            count + 1
        } else {
            count
        };
        self.0 = (odds << 10) | count;
    }
}

/// One side of the coder. A writer codes what it is given and returns it; a reader ignores what it
/// is given and returns what was written.
pub(super) trait Coder {
    /// A decision with odds of its own.
    fn decide(&mut self, odds: &mut Odds, truth: bool) -> bool;
    /// The low `count` bits (at most 64) of a number whose bits are all as likely as not.
    fn bits(&mut self, value: u64, count: u32) -> u64;

    /// A number below `odds.len()`, a power of two, by a decision per bit.
    fn tree(&mut self, odds: &mut [Odds], value: usize) -> usize {
        let mut node = 1;
        let mut bit = odds.len() >> 1;
        while bit > 0 {
            let truth = self.decide(&mut odds[node], value & bit != 0);
            node = 2 * node + usize::from(truth);
            bit >>= 1;
        }
        node - odds.len()
    }
}

/// Teaches odds what to expect: goes through a model without writing anything.
#[derive(Debug)]
pub(super) struct Rehearsal;

impl Coder for Rehearsal {
    fn decide(&mut self, odds: &mut Odds, truth: bool) -> bool {
        odds.learn(truth);
        truth
    }

    fn bits(&mut self, value: u64, _: u32) -> u64 {
        value
    }
}

/// Below this the range takes in another byte.
const RANGE_MIN: u32 = 1 << 24;
/// The most zero bytes that a writer leaves off the end and a reader adds there.
const ZEROS_MAX: usize = 4;

/// Writes decisions to bytes.
#[derive(Debug)]
pub(super) struct Writer {
    out: Vec<u8>,
    low: u64,
    range: u32,
    /// The last byte, which a carry may still change, and the 0xff bytes after it.
    held: Option<u8>,
    held_ff: usize,
}

impl Writer {
    /// Appends to `out`.
    pub(super) const fn new(out: Vec<u8>) -> Self {
        Self {
            out,
            low: 0,
            range: u32::MAX,
            held: None,
            held_ff: 0,
        }
    }

    fn normalise(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.shift();
        }
    }

    fn shift(&mut self) {
        let carry = (self.low >> 32) as u8;
        if carry != 0 || self.low < 0xff00_0000 {
            // The first byte held is always 0, and a reader knows.
            if let Some(byte) = self.held {
                self.out.push(byte.wrapping_add(carry));
            }
            let ff = 0xffu8.wrapping_add(carry);
            self.out.extend(std::iter::repeat_n(ff, self.held_ff));
            self.held = Some((self.low >> 24) as u8);
            self.held_ff = 0;
        } else {
            self.held_ff += 1;
        }
        self.low = (self.low & 0x00ff_ffff) << 8;
    }

    /// The bytes: of all numbers that mean the same, the one that ends in the most zeros, without
    /// these.
    pub(super) fn finish(mut self) -> Vec<u8> {
        let start = self.out.len();
        let last = self.low + u64::from(self.range) - 1;
        for zeros in (0..32).rev() {
            let mask = (1u64 << zeros) - 1;
            let round = (self.low + mask) & !mask;
            if round <= last {
                self.low = round;
                break;
            }
        }
        for _ in 0..5 {
            self.shift();
        }
        for _ in 0..ZEROS_MAX {
            if self.out.len() == start || self.out.last() != Some(&0) {
                break;
            }
            self.out.pop();
        }
        self.out
    }
}

impl Coder for Writer {
    fn decide(&mut self, odds: &mut Odds, truth: bool) -> bool {
        let bound = (self.range >> 12) * odds.of_4096();
        if truth {
            self.range = bound;
        } else {
            self.low += u64::from(bound);
            self.range -= bound;
        }
        odds.learn(truth);
        self.normalise();
        truth
    }

    fn bits(&mut self, value: u64, mut count: u32) -> u64 {
        while count > 0 {
            let take = count.min(16);
            count -= take;
            self.range >>= take;
            let part = (value >> count) & ((1 << take) - 1);
            self.low += part * u64::from(self.range);
            self.normalise();
        }
        value
    }
}

/// Reads decisions back. Beyond the end it reads zeros and says so in [`Reader::ended_well`].
#[derive(Debug)]
pub(super) struct Reader<'a> {
    input: &'a [u8],
    at: usize,
    code: u32,
    range: u32,
}

impl<'a> Reader<'a> {
    pub(super) fn new(input: &'a [u8]) -> Self {
        let mut reader = Self {
            input,
            at: 0,
            code: 0,
            range: u32::MAX,
        };
        for _ in 0..4 {
            reader.shift();
        }
        reader
    }

    fn shift(&mut self) {
        let byte = self.input.get(self.at).copied().unwrap_or(0);
        self.at += 1;
        self.code = (self.code << 8) | u32::from(byte);
    }

    fn normalise(&mut self) {
        while self.range < RANGE_MIN {
            self.range <<= 8;
            self.shift();
        }
    }

    /// Whether more was read than was written: the input is cut or was never a segment.
    pub(super) const fn overran(&self) -> bool {
        self.at > self.input.len() + ZEROS_MAX
    }

    /// Whether all of the input was read and nothing beyond.
    pub(super) const fn ended_well(&self) -> bool {
        self.at >= self.input.len() && !self.overran()
    }
}

impl Coder for Reader<'_> {
    fn decide(&mut self, odds: &mut Odds, _: bool) -> bool {
        let bound = (self.range >> 12) * odds.of_4096();
        let truth = self.code < bound;
        if truth {
            self.range = bound;
        } else {
            self.code -= bound;
            self.range -= bound;
        }
        odds.learn(truth);
        self.normalise();
        truth
    }

    fn bits(&mut self, _: u64, mut count: u32) -> u64 {
        let mut value = 0;
        while count > 0 {
            let take = count.min(16);
            count -= take;
            self.range >>= take;
            let part = (self.code / self.range).min((1 << take) - 1);
            self.code -= part * self.range;
            value = (value << take) | u64::from(part);
            self.normalise();
        }
        value
    }
}
