//! Dots and version vectors, on the `crdts` crate's types.
//!
//! A dot is (replica, seq): the name of a change. A version vector holds the highest contiguous
//! seq known of each replica (Preguica et al., "Dotted version vectors", arXiv 1011.5808). Seqs
//! are dense and start at 1; a vector never has gaps, so it says all that a node knows.

use crate::id::ReplicaNumber;

/// The name of a change.
pub type Dot = crdts::Dot<u32>;

/// What the author of a write had seen.
pub trait Context {
    /// Whether the change (replica, seq) was among it.
    fn contains(&self, replica: ReplicaNumber, seq: u64) -> bool;
}

/// The context of a write of this node: everything that is applied here.
#[derive(Clone, Copy, Debug)]
pub struct Everything;

impl Context for Everything {
    fn contains(&self, _: ReplicaNumber, _: u64) -> bool {
        true
    }
}

impl Context for VersionVector {
    fn contains(&self, replica: ReplicaNumber, seq: u64) -> bool {
        self.seq(replica) >= seq
    }
}

/// The highest contiguous seq known, per replica.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct VersionVector(crdts::VClock<u32>);

impl VersionVector {
    /// The highest contiguous seq of `replica`; 0 when nothing is known of it.
    #[must_use]
    pub fn seq(&self, replica: ReplicaNumber) -> u64 {
        self.0.get(&replica.get())
    }

    /// Takes in the change `dot`. Returns false, and changes nothing, when it is not the next one
    /// of its replica: a duplicate, or one that came before its predecessors.
    pub fn advance(&mut self, dot: Dot) -> bool {
        let next = self.0.get(&dot.actor).checked_add(1) == Some(dot.counter);
        if next {
            crdts::CmRDT::apply(&mut self.0, dot);
        }
        next
    }

    /// Notes that `replica` is known up to `seq`; never lowers what was known.
    pub fn raise(&mut self, replica: ReplicaNumber, seq: u64) {
        crdts::CmRDT::apply(&mut self.0, Dot::new(replica.get(), seq));
    }

    /// Replicas and seqs, in the order of the replicas' numbers.
    pub fn iter(&self) -> impl Iterator<Item = (ReplicaNumber, u64)> {
        self.0
            .iter()
            .filter_map(|dot| Some((ReplicaNumber::new(*dot.actor).ok()?, dot.counter)))
    }

    /// Greatest lower bound: what both nodes know.
    pub fn meet(&mut self, other: &Self) {
        self.0.glb(&other.0);
    }

    /// Least upper bound: what two nodes know together. Commutative, associative, idempotent.
    pub fn merge(&mut self, other: &Self) {
        crdts::CvRDT::merge(&mut self.0, other.0.clone());
    }

    /// Whether everything that `other` knows is known here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        self.0 >= other.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn vector() -> impl Strategy<Value = VersionVector> {
        prop::collection::vec((0u32..4, 0u64..5), 0..6).prop_map(|seen| {
            let mut vector = VersionVector::default();
            for (replica, count) in seen {
                let first = vector.0.get(&replica) + 1;
                for seq in first..first + count {
                    assert!(vector.advance(Dot::new(replica, seq)));
                }
            }
            vector
        })
    }

    proptest! {
        #[test]
        fn merge_is_a_join(a in vector(), b in vector(), c in vector()) {
            let join = |x: &VersionVector, y: &VersionVector| { let mut x = x.clone(); x.merge(y); x };
            prop_assert_eq!(join(&a, &b), join(&b, &a));
            prop_assert_eq!(join(&join(&a, &b), &c), join(&a, &join(&b, &c)));
            prop_assert_eq!(join(&a, &a), a.clone());
            prop_assert!(join(&a, &b).covers(&a));
        }

        #[test]
        fn only_the_next_seq_is_taken(a in vector(), replica in 0u32..4, seq in 0u64..8) {
            let number = ReplicaNumber::new(replica).unwrap();
            let mut after = a.clone();
            let taken = after.advance(Dot::new(replica, seq));
            prop_assert_eq!(taken, seq == a.seq(number) + 1);
            prop_assert_eq!(after.seq(number), if taken { seq } else { a.seq(number) });
        }
    }
}
