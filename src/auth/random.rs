//! [`Random`]: the one door to random bytes, so that tests can be deterministic.
//!
//! Production uses [`SystemRandom`] only: a predictable source would let anyone mint tokens.

use thiserror::Error;

/// The system gave no random bytes; nothing secret may be made now.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("the system has no random bytes to give; try again")]
pub struct RandomError;

/// A source of random bytes.
pub trait Random: Send + Sync {
    /// Fills `out`.
    ///
    /// # Errors
    /// [`RandomError`] if the source failed; `out` must not be used then.
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError>;
}

/// The cryptographic generator of AWS-LC, seeded by the operating system.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemRandom;

impl Random for SystemRandom {
    fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
        aws_lc_rs::rand::fill(out).map_err(|_| RandomError)
    }
}

#[cfg(test)]
pub(crate) mod testing {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::{Random, RandomError};

    /// A reproducible stream of bytes for tests: BLAKE3 in counter mode.
    pub(crate) struct SeededRandom(AtomicU64);

    impl SeededRandom {
        pub(crate) fn new(seed: u64) -> Self {
            Self(AtomicU64::new(seed << 32))
        }
    }

    impl Random for SeededRandom {
        fn fill(&self, out: &mut [u8]) -> Result<(), RandomError> {
            let block = self.0.fetch_add(1, Ordering::Relaxed);
            blake3::Hasher::new()
                .update(&block.to_le_bytes())
                .finalize_xof()
                .fill(out);
            Ok(())
        }
    }

    /// A source that always fails.
    pub(crate) struct NoRandom;

    impl Random for NoRandom {
        fn fill(&self, _out: &mut [u8]) -> Result<(), RandomError> {
            Err(RandomError)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Random, SystemRandom};

    #[test]
    fn two_draws_differ() {
        let (mut a, mut b) = ([0; 32], [0; 32]);
        SystemRandom.fill(&mut a).unwrap();
        SystemRandom.fill(&mut b).unwrap();
        assert_ne!(a, b);
    }
}
