//! Branches: what becomes of a log whose replica wrote two different changes under one seq, because
//! it was cloned or restored without noticing, or because it lies.
//!
//! Both are signed, both were seen by somebody, and others built on them; so nothing is dropped and nothing is
//! rewritten. The chain hash tells them apart, and the log becomes a tree: at each fork, the continuation whose
//! first change has the smaller (stamp, chain hash) keeps the name of the log, and each other one is
//! a log of its own, with a number made from its first chain hash. Every node that
//! has the same changes arrives at the same names, whether or not the author ever comes back. The earlier stamp is
//! as a rule that of the node that went on, so what a clinic had seen for long keeps its ids.
//!
//! In the operations of a branch, and of those who had seen the branch and not the log, the ids of rows that were
//! made on the branch still carry the old number. [`Names`] gives them the branch's.
//!
//! Must never guess which row was meant: only what an author had seen decides.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::chain::{Hash, ReplicaId};
use crate::hlc::Hlc;
use crate::id::{REPLICA_NUMBER_MAX, ReplicaNumber, RowId};
use crate::op::{Action, Op, Value};
use crate::rules;

/// A log that leaves another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Branch {
    /// The log that it leaves: it goes on there in another way.
    pub of: ReplicaNumber,
    /// The last change that both have.
    pub after: u64,
    /// The chain hash after the first change that only the branch has.
    pub first: Hash,
}

impl Branch {
    /// The number of the branch, which all nodes agree on without asking. That it is taken by another of a
    /// network with twenty replicas happens to one fork in a hundred thousand.
    #[must_use]
    pub fn number(&self, replica: ReplicaId) -> ReplicaNumber {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"islet branch 1");
        hasher.update(&replica.0);
        hasher.update(&self.first);
        let hash = hasher.finalize();
        let [a, b, c, ..] = *hash.as_bytes();
        let bits = u32::from_be_bytes([0, a, b, c]) & REPLICA_NUMBER_MAX;
        ReplicaNumber::new(bits).unwrap_or_default()
    }
}

/// The first change of a continuation: its stamp, and the chain hash after it.
pub type First = (Hlc, Hash);

/// Whether the continuation that begins with `a` keeps the name of the log, and not that of `b`.
#[must_use]
pub fn keeps_name(a: &First, b: &First) -> bool {
    a < b
}

/// A branch as far as it was applied.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Known {
    of: ReplicaNumber,
    after: u64,
    /// Rows that were made on it, and by which change.
    made: BTreeMap<(u8, RowId), u64>,
}

/// What the numbers in row ids mean, by who says them. Empty, and free of cost, in a network without
/// forks. Rebuilt with the state.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    branches: BTreeMap<ReplicaNumber, Known>,
    /// By author and number said: the log that was meant.
    meant: BTreeMap<(ReplicaNumber, ReplicaNumber), ReplicaNumber>,
}

impl Names {
    /// Whether there is nothing to translate.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.branches.is_empty()
    }

    /// Begins a branch, when the log that it leaves is applied up to `after`.
    pub fn branch(&mut self, number: ReplicaNumber, branch: &Branch) {
        let of = branch.of;
        let inherited: Vec<_> = self
            .meant
            .range((of, ReplicaNumber::FOUNDER)..)
            .take_while(|((author, _), _)| *author == of)
            .map(|((_, said), meant)| ((number, *said), *meant))
            .collect();
        self.meant.extend(inherited);
        let known = Known {
            of,
            after: branch.after,
            made: BTreeMap::new(),
        };
        self.branches.insert(number, known);
        // Its author never knew that it has left the log, nor the logs that this one had left.
        let mut name = number;
        while let Some(known) = self.branches.get(&name) {
            name = known.of;
            self.meant.insert((number, name), number);
        }
    }

    /// Notes that the author of a log said it had seen `said`, and that this was found in the log `found`.
    pub fn see(&mut self, author: ReplicaNumber, said: ReplicaNumber, found: ReplicaNumber) {
        if said == found {
            self.meant.remove(&(author, said));
        } else {
            self.meant.insert((author, said), found);
        }
    }

    /// Notes the rows that an operation makes, once it was translated. Answers whether that is to be kept, for
    /// [`Names::restore_row`].
    pub fn note(&mut self, author: ReplicaNumber, seq: u64, op: &Op<'_>) -> bool {
        if op.action == Action::Create
            && let Some(known) = self.branches.get_mut(&author)
        {
            known.made.entry((op.entity, op.row)).or_insert(seq);
            return true;
        }
        false
    }

    /// Takes up a stored state: a branch that was begun. Its rows and what is meant follow.
    pub fn restore_branch(&mut self, number: ReplicaNumber, branch: &Branch) {
        let known = Known {
            of: branch.of,
            after: branch.after,
            made: BTreeMap::new(),
        };
        self.branches.insert(number, known);
    }

    /// Takes up a stored state: the change `seq` of the branch in its id made this row.
    pub fn restore_row(&mut self, entity: u8, row: RowId, seq: u64) {
        if let Some(known) = self.branches.get_mut(&row.replica()) {
            known.made.insert((entity, row), seq);
        }
    }

    /// What authors mean by the numbers that they say: author, number, log. For [`Names::restore_meant`].
    pub fn meant(&self) -> impl Iterator<Item = (ReplicaNumber, ReplicaNumber, ReplicaNumber)> {
        self.meant
            .iter()
            .map(|((author, said), meant)| (*author, *said, *meant))
    }

    /// Takes up a stored state: see [`Names::meant`].
    pub fn restore_meant(
        &mut self,
        author: ReplicaNumber,
        said: ReplicaNumber,
        meant: ReplicaNumber,
    ) {
        self.meant.insert((author, said), meant);
    }

    /// The logs that a branch left, itself first.
    fn path(&self, from: ReplicaNumber) -> impl Iterator<Item = (ReplicaNumber, &Known)> {
        let mut next = from;
        std::iter::from_fn(move || {
            let (number, known) = (next, self.branches.get(&next)?);
            next = known.of;
            Some((number, known))
        })
    }

    /// The row that `author` means by this id.
    #[must_use]
    pub fn row(&self, author: ReplicaNumber, entity: u8, row: RowId) -> RowId {
        let Some(leaf) = self.meant.get(&(author, row.replica())) else {
            return row;
        };
        let mut until = u64::MAX;
        for (number, known) in self.path(*leaf) {
            if number == row.replica() {
                break;
            }
            let renamed = with_replica(row, number);
            let made = known.made.get(&(entity, renamed));
            if made.is_some_and(|seq| *seq <= until) {
                return renamed;
            }
            until = known.after;
        }
        row
    }

    /// Gives every row of an operation the name that its author means.
    pub fn translate(&self, author: ReplicaNumber, op: &mut Op<'_>) {
        if self.is_empty() {
            return;
        }
        let is_own = self.meant.get(&(author, op.row.replica())) == Some(&author);
        op.row = if op.action == Action::Create && is_own {
            with_replica(op.row, author)
        } else {
            let owner = rules::entity(op.entity).and_then(|entity| entity.owner);
            self.row(author, owner.unwrap_or(op.entity), op.row)
        };
        let settled = match (op.entity == rules::SETTLEMENT.code, op.fields.first()) {
            (true, Some((1, Value::Int(code)))) => u8::try_from(*code).ok(),
            _ => None,
        };
        let Some(entity) = rules::entity(op.entity) else {
            return;
        };
        for (number, value) in &mut op.fields {
            let field = usize::from(*number).checked_sub(1);
            let refers = field.and_then(|at| entity.fields.get(at)?.refers);
            let to = refers.or(settled.filter(|_| *number == 2));
            if let (Some(to), Value::Int(id)) = (to, &*value)
                && let Ok(row) = RowId::from_i64(*id)
            {
                *value = Value::Int(self.row(author, to, row).get());
            }
        }
    }
}

/// The row of another replica with the same counter.
fn with_replica(row: RowId, replica: ReplicaNumber) -> RowId {
    RowId::new(replica, row.counter()).unwrap_or(row)
}

/// Translates all operations of a change. See [`Names::translate`].
#[must_use]
pub fn translated<'a>(
    names: &Names,
    author: ReplicaNumber,
    ops: &'a [Op<'a>],
) -> Cow<'a, [Op<'a>]> {
    if names.is_empty() {
        return Cow::Borrowed(ops);
    }
    let mut ops = ops.to_vec();
    for op in &mut ops {
        names.translate(author, op);
    }
    Cow::Owned(ops)
}

#[cfg(test)]
mod tests;
