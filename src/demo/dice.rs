//! Chance that repeats: the same seed and label give the same throws, in every release and on
//! every machine. Must never make anything secret.

/// A stream of throws: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
pub(super) struct Dice(u64);

impl Dice {
    /// The stream of `label` number `number`. Streams do not depend on each other, so a change of
    /// one patient leaves the others as they were.
    pub(super) fn new(seed: u64, label: &str, number: usize) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(&seed.to_le_bytes());
        hasher.update(&(number as u64).to_le_bytes());
        hasher.update(label.as_bytes());
        let mut start = [0; 8];
        hasher.finalize_xof().fill(&mut start);
        Self(u64::from_le_bytes(start))
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From `low` to `high`, both included.
    pub(super) fn between(&mut self, low: i64, high: i64) -> i64 {
        let width = high.saturating_sub(low).max(0).cast_unsigned() + 1;
        let part = (u128::from(self.next()) * u128::from(width)) >> 64;
        low + (part as u64).cast_signed()
    }

    /// True in `percent` of 100 cases.
    pub(super) fn chance(&mut self, percent: i64) -> bool {
        self.between(0, 99) < percent
    }

    /// One of `from`, which must not be empty.
    pub(super) fn pick<T: Copy, const N: usize>(&mut self, from: &[T; N]) -> T {
        from[self.index(N)]
    }

    fn index(&mut self, length: usize) -> usize {
        ((u128::from(self.next()) * length as u128) >> 64) as usize
    }

    /// Around 0, mostly within 1 and never beyond 3: three uniform throws, no logarithms, whose
    /// last digit differs between machines.
    pub(super) fn spread(&mut self) -> f64 {
        (0..3)
            .map(|_| self.between(-1_000, 1_000) as f64 / 1_000.0)
            .sum()
    }

    /// Puts `items` into a random order (Fisher and Yates).
    pub(super) fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            let other = self.index(last + 1);
            items.swap(last, other);
        }
    }

    /// Letters and digits that are not taken for each other.
    pub(super) fn word(&mut self, length: usize) -> String {
        const LETTERS: &[u8; 31] = b"abcdefghjkmnpqrstuvwxyz23456789";
        (0..length).map(|_| self.pick(LETTERS) as char).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn throws_are_fixed_for_ever() {
        let mut dice = Dice::new(7, "test", 1);
        let throws: Vec<_> = (0..5).map(|_| dice.between(1, 6)).collect();
        assert_eq!(throws, [3, 4, 3, 1, 2]);
        assert_ne!(
            Dice::new(7, "test", 2).next(),
            Dice::new(7, "test", 1).next()
        );
        assert_ne!(
            Dice::new(8, "test", 1).next(),
            Dice::new(7, "test", 1).next()
        );
    }

    /// The first values that the authors' own program gives for this seed.
    #[test]
    fn it_is_splitmix64() {
        let mut dice = Dice(1_234_567);
        let expected = [
            6_457_827_717_110_365_317,
            3_203_168_211_198_807_973,
            9_817_491_932_198_370_423,
        ];
        assert_eq!([dice.next(), dice.next(), dice.next()], expected);
    }

    #[test]
    fn throws_stay_inside_and_reach_both_ends() {
        let mut dice = Dice::new(1, "ends", 0);
        let throws: Vec<_> = (0..1_000).map(|_| dice.between(-2, 2)).collect();
        assert_eq!(throws.iter().min(), Some(&-2));
        assert_eq!(throws.iter().max(), Some(&2));
        assert!((0..1_000).all(|_| dice.spread().abs() <= 3.0));
        let mut order: Vec<_> = (0..50).collect();
        dice.shuffle(&mut order);
        assert_ne!(order, (0..50).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..50).collect::<Vec<_>>());
    }
}
