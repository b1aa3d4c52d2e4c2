//! Registers: some fields of a row that are written together, with every value that nobody has
//! replaced yet.
//!
//! A write replaces the values that its author had seen and no other: what was written elsewhere at the same
//! time stays beside it as a *sibling* (multi-value register: Shapiro et al., INRIA RR-7506, 2011).
//! Which sibling is shown is decided by [`Policy`], the same on every node, by the values and a total
//! order of the writes; whether people are told is part of the policy. No clock decides what is kept.
//!
//! Must never drop a value that no later write had seen.

use crate::dot::Context;
use crate::hlc::Hlc;
use crate::id::ReplicaNumber;
use crate::op::Value;

/// When and by whom something was written. The order is total: no two writes share replica and seq.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Stamp {
    /// Time of the author.
    pub hlc: Hlc,
    /// The author.
    pub replica: ReplicaNumber,
    /// Position in the author's log.
    pub seq: u64,
}

/// One value of a register.
#[derive(Clone, Debug, PartialEq)]
pub struct Sibling {
    /// Who wrote it.
    pub stamp: Stamp,
    /// Field numbers, ascending, and their values.
    pub fields: Vec<(u8, Value<'static>)>,
}

/// A value that a rank can be given to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Constant {
    /// An integer or code.
    Int(i64),
    /// A text.
    Text(&'static str),
}

/// Which of the siblings is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// The one with the greatest stamp.
    Latest,
    /// The one whose field has the value that comes last in this list, then the greatest stamp.
    /// Values that are not listed come before all others.
    Rank(u8, &'static [Constant]),
    /// The one whose field is the smallest integer, then the greatest stamp.
    Smallest(u8),
}

/// How a register merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// Which sibling is shown.
    pub order: Order,
    /// Whether siblings with different values are a conflict that people settle.
    pub report: bool,
}

impl Policy {
    /// The sibling that is shown; `None` when there is none.
    #[must_use]
    pub fn shown<'a>(&self, siblings: &'a [Sibling]) -> Option<&'a Sibling> {
        siblings
            .iter()
            .max_by_key(|sibling| (self.rank(sibling), sibling.stamp))
    }

    /// Whether people are to look at these siblings.
    #[must_use]
    pub fn is_conflict(&self, siblings: &[Sibling]) -> bool {
        self.report
            && siblings
                .windows(2)
                .any(|pair| pair[0].fields != pair[1].fields)
    }

    fn rank(&self, sibling: &Sibling) -> i64 {
        let value_of = |field| {
            sibling
                .fields
                .iter()
                .find(|(number, _)| *number == field)
                .map(|(_, value)| value)
        };
        match self.order {
            Order::Latest => 0,
            Order::Rank(field, values) => {
                let is = |constant: &Constant| match (constant, value_of(field)) {
                    (Constant::Int(a), Some(Value::Int(b))) => a == b,
                    (Constant::Text(a), Some(Value::Text(b))) => a == b,
                    _ => false,
                };
                values
                    .iter()
                    .position(is)
                    .map_or(-1, |position| position as i64)
            }
            Order::Smallest(field) => match value_of(field) {
                Some(Value::Int(value)) => value.checked_neg().unwrap_or(i64::MAX),
                _ => i64::MIN,
            },
        }
    }
}

/// Takes a write into the siblings of a register. `context` is what its author had seen. The
/// result does not depend on the order in which concurrent writes come in, and taking a write in
/// again changes nothing.
pub fn write(siblings: &mut Vec<Sibling>, context: &impl Context, new: Sibling) {
    let is_same =
        |old: &Sibling| (old.stamp.replica, old.stamp.seq) == (new.stamp.replica, new.stamp.seq);
    siblings.retain(|old| !context.contains(old.stamp.replica, old.stamp.seq) && !is_same(old));
    let at = siblings.partition_point(|old| old.stamp < new.stamp);
    siblings.insert(at, new);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use crdts::{CmRDT, MVReg, VClock};
    use proptest::prelude::*;

    use super::*;
    use crate::dot::VersionVector;

    fn number(n: u32) -> ReplicaNumber {
        ReplicaNumber::new(n).unwrap()
    }

    fn sibling(replica: u32, seq: u64, wall_ms: i64, value: i64) -> Sibling {
        let stamp = Stamp {
            hlc: Hlc::default().tick(wall_ms),
            replica: number(replica),
            seq,
        };
        Sibling {
            stamp,
            fields: vec![(1, Value::Int(value))],
        }
    }

    /// A history of writes to one register by three authors who hear of each other now and then:
    /// in an order that respects causality, each write with its context.
    fn history() -> impl Strategy<Value = Vec<(VersionVector, Sibling)>> {
        let step = (0u32..3, 0u32..3, any::<bool>(), 0i64..5, -3i64..3);
        prop::collection::vec(step, 0..14).prop_map(|steps| {
            let mut known = vec![VersionVector::default(); 3];
            let mut made = Vec::new();
            for (author, other, hear, value, wall_ms) in steps {
                if hear {
                    let heard = known[other as usize].clone();
                    known[author as usize].merge(&heard);
                } else {
                    let me = &mut known[author as usize];
                    let context = me.clone();
                    let seq = me.seq(number(author)) + 1;
                    me.raise(number(author), seq);
                    made.push((context, sibling(author, seq, wall_ms + 10, value)));
                }
            }
            made
        })
    }

    /// Another order of the same history in which every write comes after what its author had seen.
    fn reorder(history: &[(VersionVector, Sibling)], dice: &[u8]) -> Vec<(VersionVector, Sibling)> {
        let (mut left, mut out) = (history.to_vec(), Vec::new());
        let mut applied = VersionVector::default();
        let mut dice = dice.iter().cycle();
        while !left.is_empty() {
            let ready: Vec<usize> = (0..left.len())
                .filter(|i| applied.covers(&left[*i].0))
                .collect();
            let pick = ready[usize::from(*dice.next().unwrap_or(&0)) % ready.len()];
            let (context, write) = left.remove(pick);
            applied.raise(write.stamp.replica, write.stamp.seq);
            out.push((context, write));
        }
        out
    }

    fn play(history: &[(VersionVector, Sibling)]) -> Vec<Sibling> {
        let mut siblings = Vec::new();
        for (context, new) in history {
            write(&mut siblings, context, new.clone());
        }
        siblings
    }

    proptest! {
        #[test]
        fn every_causal_order_ends_in_the_same_siblings(history in history(), dice: Vec<u8>) {
            prop_assert_eq!(play(&history), play(&reorder(&history, &dice)));
        }

        #[test]
        fn a_write_taken_in_again_changes_nothing(history in history()) {
            let once = play(&history);
            let mut twice = once.clone();
            if let Some((context, new)) = history.last() {
                write(&mut twice, context, new.clone());
            }
            prop_assert_eq!(once, twice);
        }

        /// The `crdts` crate's register is the oracle: the same writes leave the same values.
        #[test]
        fn the_values_are_those_of_the_crdts_crate(history in history()) {
            let mut oracle: MVReg<(u32, u64), u32> = MVReg::default();
            for (context, new) in &history {
                let mut clock: VClock<u32> = context.iter().map(|(of, seq)| crdts::Dot::new(of.get(), seq)).collect();
                clock.apply(crdts::Dot::new(new.stamp.replica.get(), new.stamp.seq));
                oracle.apply(crdts::mvreg::Op::Put { clock, val: (new.stamp.replica.get(), new.stamp.seq) });
            }
            let expected: BTreeSet<_> = oracle.read().val.into_iter().collect();
            let ours: BTreeSet<_> = play(&history).iter().map(|s| (s.stamp.replica.get(), s.stamp.seq)).collect();
            prop_assert_eq!(ours, expected);
        }

        /// No value vanishes unless a later write had seen it.
        #[test]
        fn what_nobody_saw_is_kept(history in history()) {
            let end = play(&history);
            for (_, old) in &history {
                let kept = end.iter().any(|s| s.stamp == old.stamp);
                let seen = history.iter().any(|(context, _)| context.contains(old.stamp.replica, old.stamp.seq));
                prop_assert_eq!(kept, !seen);
            }
        }
    }

    #[test]
    fn a_rank_beats_time_and_time_beats_nothing() {
        let siblings = [sibling(0, 1, 90, 2), sibling(1, 1, 10, 1)];
        let latest = Policy {
            order: Order::Latest,
            report: true,
        };
        assert_eq!(latest.shown(&siblings).unwrap().fields[0].1, Value::Int(2));
        let ranked = Policy {
            order: Order::Rank(1, &[Constant::Int(2), Constant::Int(1)]),
            report: false,
        };
        assert_eq!(ranked.shown(&siblings).unwrap().fields[0].1, Value::Int(1));
        let smallest = Policy {
            order: Order::Smallest(1),
            report: false,
        };
        assert_eq!(
            smallest.shown(&siblings).unwrap().fields[0].1,
            Value::Int(1)
        );
        assert!(latest.is_conflict(&siblings) && !ranked.is_conflict(&siblings));
        assert!(!latest.is_conflict(&siblings[..1]));
        assert!(!latest.is_conflict(&[sibling(0, 1, 1, 5), sibling(1, 1, 2, 5)]));
        assert_eq!(latest.shown(&[]), None);
    }
}
