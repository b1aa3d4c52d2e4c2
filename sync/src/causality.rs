//! Who had seen what: the causal context of every change, and the order in which changes may be
//! applied.
//!
//! A change that is the first of its replica after changes of others arrived there begins with
//! operations of entity [`SEEN`], one for each log that has moved: "I had applied that replica up
//! to this seq". Folding them over a log gives the version vector that its author had at each change: its
//! *context*. So causality costs some bytes only when something was really seen, and an author's
//! context cannot be forged after the fact, since it is part of the signed log.
//!
//! A change is applied when its whole context is (causal delivery: Birman, Schiper, Stephenson,
//! 1991). Within a log the order is that of its seqs. Must never apply a change early: the merge rules
//! rely on it.

use std::collections::BTreeMap;

use crate::dot::VersionVector;
use crate::id::{ReplicaNumber, RowId};
use crate::op::{Action, Op, Value};

/// The entity number of "I have seen". The row's replica is whose log, field 1 up to where.
pub const SEEN: u8 = 66;

/// What a change says its author had seen since the one before.
pub type Seen = Vec<(ReplicaNumber, u64)>;

/// Reads the leading `SEEN` operations. They are no rows.
#[must_use]
pub fn seen(ops: &[Op<'_>]) -> Seen {
    let seen_of = |op: &Op<'_>| match (op.entity, op.fields.as_slice()) {
        (SEEN, [(1, Value::Int(seq))]) => Some((op.row.replica(), u64::try_from(*seq).ok()?)),
        _ => None,
    };
    ops.iter().map_while(seen_of).collect()
}

/// Where this node stands in every log, and where every author stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causality {
    applied: VersionVector,
    contexts: BTreeMap<ReplicaNumber, VersionVector>,
}

impl Causality {
    /// What is applied here.
    #[must_use]
    pub const fn applied(&self) -> &VersionVector {
        &self.applied
    }

    /// Takes up a stored state: `author` (or this node, as `None`) had `of` up to `seq`.
    pub fn restore(&mut self, author: Option<ReplicaNumber>, of: ReplicaNumber, seq: u64) {
        match author {
            None => self.applied.raise(of, seq),
            Some(author) => self.contexts.entry(author).or_default().raise(of, seq),
        }
    }

    /// Whether everything that the author of a change had seen is applied here.
    #[must_use]
    pub fn is_ready(&self, seen: &[(ReplicaNumber, u64)]) -> bool {
        seen.iter().all(|(of, seq)| self.applied.seq(*of) >= *seq)
    }

    /// Takes in the next change of `author`, and answers with its context: all that its author
    /// had seen, its own earlier changes included, itself not.
    pub fn enter(
        &mut self,
        author: ReplicaNumber,
        seen: &[(ReplicaNumber, u64)],
    ) -> &VersionVector {
        let context = self.contexts.entry(author).or_default();
        for (of, seq) in seen {
            context.raise(*of, *seq);
        }
        let own = self.applied.seq(author);
        context.raise(author, own);
        self.applied.raise(author, own + 1);
        context
    }

    /// What the next change of `me` must say: everything applied here that its context lacks.
    #[must_use]
    pub fn unsaid(&self, me: ReplicaNumber) -> Seen {
        let said = self.contexts.get(&me);
        let said_of = |of| said.map_or(0, |context| context.seq(of));
        self.applied
            .iter()
            .filter(|(of, seq)| *of != me && said_of(*of) < *seq)
            .collect()
    }

    /// What `author` is known to have applied, by its own log.
    #[must_use]
    pub fn context(&self, author: ReplicaNumber) -> Option<&VersionVector> {
        self.contexts.get(&author)
    }

    /// The causal cut: what every one of `members` is known to have applied, by their logs or by
    /// `acknowledged`, which answers with a vector that a member sent itself. Nothing concurrent
    /// to a change below it can arrive any more.
    #[must_use]
    pub fn stable(
        &self,
        me: ReplicaNumber,
        members: &[ReplicaNumber],
        acknowledged: &BTreeMap<ReplicaNumber, VersionVector>,
    ) -> VersionVector {
        let mut cut = self.applied.clone();
        for member in members.iter().filter(|member| **member != me) {
            let mut known = self.contexts.get(member).cloned().unwrap_or_default();
            known.raise(*member, self.applied.seq(*member));
            if let Some(vector) = acknowledged.get(member)
                // What a member had is worth something only when all that it wrote until then is
                // here: before that, something concurrent may be among it.
                && self.applied.seq(*member) >= vector.seq(*member)
            {
                known.merge(vector);
            }
            cut.meet(&known);
        }
        cut
    }
}

/// The operations by which a change says what was seen.
///
/// Bounded by the number of replicas of the network.
pub fn seen_ops(
    seen: &[(ReplicaNumber, u64)],
) -> impl Iterator<Item = (RowId, Action, [(u8, Value<'static>); 1])> {
    seen.iter().filter_map(|(of, seq)| {
        let row = RowId::new(*of, 1).ok()?;
        Some((row, Action::Set, [(1, Value::Int(seq.cast_signed()))]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> ReplicaNumber {
        ReplicaNumber::new(n).unwrap()
    }

    #[test]
    fn a_change_waits_for_what_its_author_had_seen() {
        let (a, b) = (number(0), number(1));
        let mut here = Causality::default();
        assert!(!here.is_ready(&[(a, 1)]));
        here.enter(a, &[]);
        assert!(here.is_ready(&[(a, 1)]));
        let context = here.enter(b, &[(a, 1)]).clone();
        assert_eq!((context.seq(a), context.seq(b)), (1, 0));
        let context = here.enter(b, &[]).clone();
        assert_eq!((context.seq(a), context.seq(b)), (1, 1));
    }

    #[test]
    fn what_was_seen_is_said_once() {
        let (me, other) = (number(0), number(1));
        let mut here = Causality::default();
        here.enter(other, &[]);
        let said = here.unsaid(me);
        assert_eq!(said, vec![(other, 1)]);
        here.enter(me, &said);
        assert_eq!(here.unsaid(me), vec![]);
    }

    #[test]
    fn seen_operations_round_trip() {
        let said = vec![(number(0), 7), (number(2_097_151), u64::from(u32::MAX) + 5)];
        let ops: Vec<Op<'_>> = seen_ops(&said)
            .map(|(row, action, fields)| Op {
                entity: SEEN,
                action,
                row,
                fields: fields.to_vec(),
            })
            .collect();
        assert_eq!(seen(&ops), said);
    }

    #[test]
    fn only_what_all_members_have_is_stable() {
        let (me, b, c) = (number(0), number(1), number(2));
        let mut here = Causality::default();
        here.enter(me, &[]);
        here.enter(me, &[]);
        here.enter(b, &[(me, 2)]);
        assert_eq!(here.stable(me, &[me, b], &BTreeMap::new()).seq(me), 2);
        assert_eq!(here.stable(me, &[me, b, c], &BTreeMap::new()).seq(me), 0);

        let mut told = VersionVector::default();
        told.raise(me, 1);
        let acknowledged = BTreeMap::from([(c, told.clone())]);
        assert_eq!(here.stable(me, &[me, b, c], &acknowledged).seq(me), 1);
        // c has written something that is not here yet: it may not have known of our changes.
        told.raise(c, 1);
        let acknowledged = BTreeMap::from([(c, told)]);
        assert_eq!(here.stable(me, &[me, b, c], &acknowledged).seq(me), 0);
    }
}
