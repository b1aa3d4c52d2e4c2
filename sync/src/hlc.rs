//! The hybrid logical clock (Kulkarni et al., "Logical Physical Clocks", OPODIS 2014).
//!
//! 48 bits of milliseconds since 1970 and 16 bits of counter. A stamp is always greater than every
//! stamp made or seen before, whatever the wall clock does. It breaks ties between concurrent
//! writes; causality is carried by dots, never by time.

use crate::limits::CLOCK_AHEAD_MAX_MS;

/// Bits of a stamp that hold the counter.
const COUNTER_BITS: u32 = 16;

/// One stamp. Ordered; the bytes of the number are its order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Hlc(u64);

impl Hlc {
    /// The stamp after `self` when the wall clock shows `wall_ms`.
    ///
    /// A wall clock that stands still or runs backwards only raises the counter; a counter that
    /// is full carries into the milliseconds.
    #[must_use]
    pub const fn tick(self, wall_ms: i64) -> Self {
        let wall_ms = if wall_ms < 0 { 0 } else { wall_ms as u64 };
        let wall = (wall_ms & ((1 << 48) - 1)) << COUNTER_BITS;
        if wall > self.0 {
            Self(wall)
        } else {
            Self(self.0.saturating_add(1))
        }
    }

    /// The local clock after a stamp from elsewhere came in: it moves on to that stamp, unless that lies
    /// more than [`CLOCK_AHEAD_MAX_MS`] ahead of the wall clock. One wrong clock then spoils its own
    /// stamps only, and nobody else's.
    #[must_use]
    pub const fn observe(self, remote: Self, wall_ms: i64) -> Self {
        if remote.0 > self.0 && remote.millis() <= wall_ms.saturating_add(CLOCK_AHEAD_MAX_MS) {
            remote
        } else {
            self
        }
    }

    /// Milliseconds since 1970.
    #[must_use]
    pub const fn millis(self) -> i64 {
        (self.0 >> COUNTER_BITS) as i64
    }

    /// The stamp as SQLite holds it: positive for every year before 6429.
    #[must_use]
    pub const fn to_i64(self) -> i64 {
        self.0.cast_signed()
    }

    /// The inverse of [`Hlc::to_i64`].
    #[must_use]
    pub const fn from_i64(value: i64) -> Self {
        Self(value.cast_unsigned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_full_counter_carries() {
        let full = Hlc((5 << COUNTER_BITS) | 0xffff);
        assert_eq!(full.tick(5), Hlc(6 << COUNTER_BITS));
    }

    #[test]
    fn a_stamp_of_next_year_does_not_move_the_clock() {
        let now_ms = 1_772_755_449_000;
        let here = Hlc::default().tick(now_ms);
        let near = Hlc::default().tick(now_ms + CLOCK_AHEAD_MAX_MS);
        let far = Hlc::default().tick(now_ms + CLOCK_AHEAD_MAX_MS + 1);
        assert_eq!(here.observe(near, now_ms), near);
        assert_eq!(here.observe(far, now_ms), here);
        assert_eq!(near.observe(here, now_ms), near);
    }

    proptest! {
        #[test]
        fn stamps_only_grow(walls in prop::collection::vec(-1_000i64..4_000_000_000_000, 1..50)) {
            let mut last = Hlc::default();
            for wall_ms in walls {
                let next = last.tick(wall_ms);
                prop_assert!(next > last);
                prop_assert!(next.millis() >= wall_ms);
                prop_assert_eq!(Hlc::from_i64(next.to_i64()), next);
                last = next;
            }
        }
    }
}
