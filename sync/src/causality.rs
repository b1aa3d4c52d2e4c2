//! Who had seen what: the causal context of every change, and the order in which changes may be
//! applied.
//!
//! A change that is the first of its replica after changes of others arrived there begins with
//! operations of entity [`SEEN`], one for each log that has moved: "I had applied that log up to
//! this seq, and this is a piece of the chain hash there". Folding them over a log gives the
//! version vector that its author had at each change: its *context*. So causality costs some bytes
//! only when something was really seen, and an author's context cannot be forged after the fact,
//! since it is part of the signed log.
//!
//! A seq without a hash would not do: two nodes that were cloned from one write different changes
//! under the same seq, and whoever had seen one of them must not be taken for having seen the
//! other ([`crate::branch`]).
//!
//! A change is applied when its whole context is (causal delivery: Birman, Schiper, Stephenson,
//! 1991). Within a log the order is that of its seqs. Must never apply a change early: the merge rules
//! rely on it.

use std::collections::BTreeMap;

use crate::chain::Hash;
use crate::dot::VersionVector;
use crate::id::{ReplicaNumber, RowId};
use crate::op::{Action, Op, Value};

/// The entity number of "I have seen". The row's replica is whose log, field 1 up to where, field 2
/// the [`Mark`] there.
pub const SEEN: u8 = 66;

/// The first 32 bits of a chain hash: enough to tell two branches of one log apart. What is taken into a
/// log is decided by signatures, not by marks.
pub type Mark = u32;

/// The mark of a chain hash.
#[must_use]
pub const fn mark(hash: &Hash) -> Mark {
    u32::from_be_bytes([hash[0], hash[1], hash[2], hash[3]])
}

/// "I had applied this log up to this seq."
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sighting {
    /// Whose log.
    pub of: ReplicaNumber,
    /// Up to where.
    pub seq: u64,
    /// Of the chain hash there.
    pub mark: Mark,
}

/// What a change says its author had seen since the one before.
pub type Seen = Vec<Sighting>;

/// Reads the leading `SEEN` operations. They are no rows.
#[must_use]
pub fn seen(ops: &[Op<'_>]) -> Seen {
    let seen_of = |op: &Op<'_>| match (op.entity, op.fields.as_slice()) {
        (SEEN, [(1, Value::Int(seq)), (2, Value::Int(mark))]) => Some(Sighting {
            of: op.row.replica(),
            seq: u64::try_from(*seq).ok()?,
            mark: Mark::try_from(*mark).ok()?,
        }),
        _ => None,
    };
    ops.iter().map_while(seen_of).collect()
}

/// Whether a change may be applied here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ready {
    /// All that its author had seen is applied here.
    Now,
    /// That of this log is missing.
    Waits(Sighting),
    /// This log is another one here: its replica was cloned, or contradicts itself. Waits until its
    /// branch is here too.
    OtherBranch(Sighting),
}

/// Where this node stands in every log, and where every author stood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Causality {
    applied: VersionVector,
    marks: BTreeMap<ReplicaNumber, Mark>,
    contexts: BTreeMap<ReplicaNumber, VersionVector>,
    /// Where branches begin: up to there they are the log that they left.
    bases: BTreeMap<ReplicaNumber, u64>,
}

impl Causality {
    /// What is applied here.
    #[must_use]
    pub const fn applied(&self) -> &VersionVector {
        &self.applied
    }

    /// Takes up a stored state: `of` is applied here up to `seq`, where its chain hash has this mark.
    pub fn restore(&mut self, of: ReplicaNumber, seq: u64, mark: Mark) {
        self.applied.raise(of, seq);
        self.marks.insert(of, mark);
    }

    /// Takes up a stored state: `author` had applied `of` up to `seq`.
    pub fn restore_context(&mut self, author: ReplicaNumber, of: ReplicaNumber, seq: u64) {
        self.contexts.entry(author).or_default().raise(of, seq);
    }

    /// Takes up a stored state: a branch that was begun, and leaves its log after `seq`.
    pub fn restore_base(&mut self, number: ReplicaNumber, seq: u64) {
        self.bases.insert(number, seq);
    }

    /// Whether a branch was begun.
    #[must_use]
    pub fn has_begun(&self, number: ReplicaNumber) -> bool {
        self.bases.contains_key(&number)
    }

    /// Begins a log that leaves that of `of` after `seq`, which is where `of` is applied now: what its author had
    /// seen until then is the same.
    pub fn branch(&mut self, number: ReplicaNumber, of: ReplicaNumber, seq: u64, mark: Mark) {
        let mut context = self.contexts.get(&of).cloned().unwrap_or_default();
        context.raise(of, seq);
        self.contexts.insert(number, context);
        self.bases.insert(number, seq);
        self.restore(number, seq, mark);
    }

    /// The mark of a log where it is applied now.
    #[must_use]
    pub fn mark(&self, of: ReplicaNumber) -> Option<Mark> {
        self.marks.get(&of).copied()
    }

    /// Whether everything that the author of a change had seen is applied here. `mark_at` answers with the mark of a
    /// log at a seq that is applied here; `None` when it does not know.
    pub fn is_ready(
        &self,
        seen: &[Sighting],
        mut mark_at: impl FnMut(ReplicaNumber, u64) -> Option<Mark>,
    ) -> Ready {
        for sighting in seen {
            if self.applied.seq(sighting.of) < sighting.seq {
                return Ready::Waits(*sighting);
            }
            if sighting.seq > 0 && mark_at(sighting.of, sighting.seq) != Some(sighting.mark) {
                return Ready::OtherBranch(*sighting);
            }
        }
        Ready::Now
    }

    /// Takes in the next change of `author`, and answers with its context: all that its author
    /// had seen, its own earlier changes included, itself not. `mark` is that of its log after it.
    pub fn enter(
        &mut self,
        author: ReplicaNumber,
        seen: &[Sighting],
        mark: Mark,
    ) -> &VersionVector {
        let context = self.contexts.entry(author).or_default();
        for sighting in seen {
            context.raise(sighting.of, sighting.seq);
        }
        let own = self.applied.seq(author);
        context.raise(author, own);
        self.applied.raise(author, own + 1);
        self.marks.insert(author, mark);
        context
    }

    /// What the next change of `me` must say: everything applied here that its context lacks. Of a branch only once
    /// something of its own is applied, since what it shares is said of the log that it left.
    #[must_use]
    pub fn unsaid(&self, me: ReplicaNumber) -> Seen {
        let said = self.contexts.get(&me);
        let said_of = |of| said.map_or(0, |context| context.seq(of));
        let unsaid = self
            .applied
            .iter()
            .filter(|(of, seq)| *of != me && said_of(*of) < *seq)
            .filter(|(of, seq)| self.bases.get(of).is_none_or(|base| base < seq));
        unsaid
            .map(|(of, seq)| Sighting {
                of,
                seq,
                mark: self.marks.get(&of).copied().unwrap_or_default(),
            })
            .collect()
    }

    /// What `author` is known to have applied, by its own log.
    #[must_use]
    pub fn context(&self, author: ReplicaNumber) -> Option<&VersionVector> {
        self.contexts.get(&author)
    }

    /// The causal cut: what every one of `members` is known to have applied, by their logs or by
    /// `acknowledged`, which answers with a vector that a member sent itself: what was *applied* there, not
    /// what was only stored. `ended` are replicas that write no more, since their nodes were restored: what a
    /// member knows of them counts like its own changes. Nothing concurrent to a change below it can arrive any
    /// more.
    #[must_use]
    pub fn stable(
        &self,
        me: ReplicaNumber,
        members: &[ReplicaNumber],
        ended: &[ReplicaNumber],
        acknowledged: &BTreeMap<ReplicaNumber, VersionVector>,
    ) -> VersionVector {
        let mut cut = self.applied.clone();
        for member in members.iter().filter(|member| **member != me) {
            let mut known = self.contexts.get(member).cloned().unwrap_or_default();
            known.raise(*member, self.applied.seq(*member));
            if let Some(vector) = acknowledged.get(member)
                // What a member had is worth something only when all that it wrote until then is
                // here: before that, something concurrent may be among it.
                && ended.iter().chain([member]).all(|of| self.applied.seq(*of) >= vector.seq(*of))
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
    seen: &[Sighting],
) -> impl Iterator<Item = (RowId, Action, [(u8, Value<'static>); 2])> {
    seen.iter().filter_map(|sighting| {
        let row = RowId::new(sighting.of, 1).ok()?;
        let seq = Value::Int(sighting.seq.cast_signed());
        let mark = Value::Int(sighting.mark.into());
        Some((row, Action::Set, [(1, seq), (2, mark)]))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(n: u32) -> ReplicaNumber {
        ReplicaNumber::new(n).unwrap()
    }

    fn saw(of: ReplicaNumber, seq: u64, mark: Mark) -> Sighting {
        Sighting { of, seq, mark }
    }

    #[test]
    fn a_change_waits_for_what_its_author_had_seen() {
        let (a, b) = (number(0), number(1));
        let mut here = Causality::default();
        let marks = |_, _| Some(7);
        let first = saw(a, 1, 7);
        assert_eq!(here.is_ready(&[first], marks), Ready::Waits(first));
        here.enter(a, &[], 7);
        assert_eq!(here.is_ready(&[first], marks), Ready::Now);
        let other = saw(a, 1, 8);
        assert_eq!(here.is_ready(&[other], marks), Ready::OtherBranch(other));
        let context = here.enter(b, &[first], 0).clone();
        assert_eq!((context.seq(a), context.seq(b)), (1, 0));
        let context = here.enter(b, &[], 0).clone();
        assert_eq!((context.seq(a), context.seq(b)), (1, 1));
    }

    #[test]
    fn what_was_seen_is_said_once() {
        let (me, other) = (number(0), number(1));
        let mut here = Causality::default();
        here.enter(other, &[], 5);
        let said = here.unsaid(me);
        assert_eq!(said, vec![saw(other, 1, 5)]);
        here.enter(me, &said, 0);
        assert_eq!(here.unsaid(me), vec![]);
    }

    #[test]
    fn seen_operations_round_trip() {
        let said = vec![
            saw(number(0), 7, 0),
            saw(number(2_097_151), u64::from(u32::MAX) + 5, u32::MAX),
        ];
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
        here.enter(me, &[], 1);
        here.enter(me, &[], 2);
        here.enter(b, &[saw(me, 2, 2)], 3);
        assert_eq!(here.stable(me, &[me, b], &[], &BTreeMap::new()).seq(me), 2);
        assert_eq!(
            here.stable(me, &[me, b, c], &[], &BTreeMap::new()).seq(me),
            0
        );

        let mut told = VersionVector::default();
        told.raise(me, 1);
        let acknowledged = BTreeMap::from([(c, told.clone())]);
        assert_eq!(here.stable(me, &[me, b, c], &[], &acknowledged).seq(me), 1);
        // c has written something that is not here yet: it may not have known of our changes.
        told.raise(c, 1);
        let acknowledged = BTreeMap::from([(c, told)]);
        assert_eq!(here.stable(me, &[me, b, c], &[], &acknowledged).seq(me), 0);
    }

    #[test]
    fn a_branch_begins_with_what_its_log_had_seen() {
        let (a, b, branch) = (number(0), number(1), number(9));
        let me = number(5);
        let mut here = Causality::default();
        here.enter(b, &[], 1);
        here.enter(a, &[saw(b, 1, 1)], 2);
        here.branch(branch, a, 1, 2);
        assert!(here.unsaid(me).iter().all(|sighting| sighting.of != branch));
        here.enter(a, &[], 3);
        let context = here.enter(branch, &[], 4).clone();
        assert!(here.unsaid(me).contains(&saw(branch, 2, 4)));
        assert_eq!(
            (context.seq(a), context.seq(b), context.seq(branch)),
            (1, 1, 1)
        );
        assert_eq!((here.applied().seq(a), here.applied().seq(branch)), (2, 2));
    }
}
