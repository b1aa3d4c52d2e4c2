//! Replica numbers and row ids.
//!
//! A row id is `replica << 32 | counter`: 21 bits of replica and 32 bits of counter make 53, the
//! integers that a JavaScript number holds exactly (ECMA-262, `Number.MAX_SAFE_INTEGER`). Ids of
//! one replica are ordered; ids of two replicas never collide.

use thiserror::Error;

/// Bits of a row id that hold the counter.
pub const COUNTER_BITS: u32 = 32;
/// Largest replica number: 21 bits.
pub const REPLICA_NUMBER_MAX: u32 = (1 << 21) - 1;

/// The number of a replica, `0..=`[`REPLICA_NUMBER_MAX`]. The founding replica is 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaNumber(u32);

/// Why a number is not an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum IdError {
    /// The replica number has more than 21 bits.
    #[error("replica number {0} is over {REPLICA_NUMBER_MAX}")]
    Replica(u32),
    /// The replica has used all its 2^32 - 1 ids of one kind.
    #[error("replica {0} has no ids left")]
    Exhausted(u32),
    /// The value is not positive or has more than 53 bits.
    #[error("{0} is not a row id")]
    Row(i64),
}

impl ReplicaNumber {
    /// The replica that founded the network.
    pub const FOUNDER: Self = Self(0);

    /// # Errors
    /// [`IdError::Replica`] when the number has more than 21 bits.
    pub const fn new(number: u32) -> Result<Self, IdError> {
        if number > REPLICA_NUMBER_MAX {
            return Err(IdError::Replica(number));
        }
        Ok(Self(number))
    }

    /// The plain number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The range of row ids that belong to this replica, both ends included. Counter 0 is unused.
    #[must_use]
    pub const fn row_ids(self) -> (i64, i64) {
        let base = (self.0 as i64) << COUNTER_BITS;
        (base + 1, base + u32::MAX as i64)
    }
}

/// The id of a replicated row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(i64);

impl RowId {
    /// # Errors
    /// [`IdError::Exhausted`] for counter 0, which is what a counter that wrapped around shows.
    pub const fn new(replica: ReplicaNumber, counter: u32) -> Result<Self, IdError> {
        if counter == 0 {
            return Err(IdError::Exhausted(replica.0));
        }
        Ok(Self(((replica.0 as i64) << COUNTER_BITS) | counter as i64))
    }

    /// # Errors
    /// [`IdError::Row`] when no replica can have made this value.
    pub const fn from_i64(value: i64) -> Result<Self, IdError> {
        let counter = value as u64 & u32::MAX as u64;
        if value <= 0 || counter == 0 || value >> COUNTER_BITS > REPLICA_NUMBER_MAX as i64 {
            return Err(IdError::Row(value));
        }
        Ok(Self(value))
    }

    /// The value as SQLite and JSON hold it.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The replica that made the row.
    #[must_use]
    pub const fn replica(self) -> ReplicaNumber {
        ReplicaNumber((self.0 >> COUNTER_BITS) as u32)
    }

    /// What distinguishes the row from others of its replica; never 0.
    #[must_use]
    pub const fn counter(self) -> u32 {
        (self.0 & u32::MAX as i64) as u32
    }

    /// The next id of the same replica.
    ///
    /// # Errors
    /// [`IdError::Exhausted`] after 2^32 - 1 rows.
    pub const fn next(self) -> Result<Self, IdError> {
        if self.counter() == u32::MAX {
            return Err(IdError::Exhausted(self.replica().0));
        }
        Ok(Self(self.0 + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_founder_counts_from_one() {
        assert_eq!(RowId::new(ReplicaNumber::FOUNDER, 1).unwrap().get(), 1);
        assert_eq!(ReplicaNumber::FOUNDER.row_ids(), (1, 4_294_967_295));
    }

    #[test]
    fn the_largest_id_is_exact_in_javascript() {
        let (_, last) = ReplicaNumber::new(REPLICA_NUMBER_MAX).unwrap().row_ids();
        assert_eq!(last, (1 << 53) - 1);
    }

    #[test]
    fn impossible_values_are_refused() {
        for value in [0, -1, i64::MIN, 1 << 32, 1 << 53, i64::MAX] {
            assert_eq!(RowId::from_i64(value), Err(IdError::Row(value)), "{value}");
        }
        assert!(ReplicaNumber::new(REPLICA_NUMBER_MAX + 1).is_err());
        assert!(RowId::from_i64(u32::MAX.into()).unwrap().next().is_err());
    }

    proptest! {
        #[test]
        fn ids_round_trip(replica in 0..=REPLICA_NUMBER_MAX, counter in 1..=u32::MAX) {
            let replica = ReplicaNumber::new(replica).unwrap();
            let id = RowId::new(replica, counter).unwrap();
            prop_assert_eq!(RowId::from_i64(id.get()), Ok(id));
            prop_assert_eq!(id.replica(), replica);
            let (first, last) = replica.row_ids();
            prop_assert!((first..=last).contains(&id.get()));
        }
    }
}
