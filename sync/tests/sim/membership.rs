//! Where logs were cut off: those of revoked nodes, and those of replicas whose newest changes are lost for good. A cut
//! counts unless its author was cut off before it by a more senior member; so all nodes with the same logs agree.

use std::collections::BTreeMap;

use islet_sync::change;
use islet_sync::id::ReplicaNumber;
use islet_sync::op::{Action, Op, Value};
use islet_sync::rules::MEMBER;

use super::logs::Logs;

fn is_revocation(op: &Op<'_>) -> bool {
    op.entity == MEMBER.code
        && op.action == Action::Set
        && op
            .fields
            .iter()
            .any(|(number, value)| *number == 8 && *value != Value::Null)
}

/// Whether a change cuts somebody off.
pub(crate) fn revokes(ops: &[u8]) -> bool {
    change::decode(ops).is_ok_and(|ops| ops.iter().any(is_revocation))
}

struct Revocation {
    author: ReplicaNumber,
    seq: u64,
    member: i64,
    cut: u64,
    /// Of the node, and not only of one replica that it no longer is.
    is_of_node: bool,
}

/// The last change that counts, of each log that was cut off.
pub(crate) fn cuts(logs: &Logs) -> BTreeMap<ReplicaNumber, u64> {
    let mut numbers = BTreeMap::new();
    let mut revocations = Vec::new();
    for log in logs.iter() {
        for (change, seq) in log.changes().iter().zip(log.base.seq + 1..) {
            for op in change::decode(&change.ops).unwrap_or_default() {
                let field = |n| op.fields.iter().find(|(number, _)| *number == n);
                if op.entity == MEMBER.code
                    && op.action == Action::Create
                    && op.row.replica() == log.who.number
                    && let Some((_, Value::Int(number))) = field(1)
                {
                    numbers.entry(op.row.get()).or_insert(*number);
                }
                if is_revocation(&op)
                    && let Some((_, Value::Int(cut))) = field(8)
                {
                    let (author, member) = (log.who.number, op.row.get());
                    revocations.push(Revocation {
                        author,
                        seq,
                        member,
                        cut: cut.cast_unsigned(),
                        is_of_node: field(10).is_some_and(|(_, at)| *at != Value::Null),
                    });
                }
            }
        }
    }
    // The row of a senior member was made earlier, and by one who was there earlier.
    let rank = |author: ReplicaNumber| {
        let own = |(row, number): (&i64, &i64)| (*number == author.get().into()).then_some(*row);
        numbers.iter().filter_map(own).min().unwrap_or(i64::MAX)
    };
    revocations.sort_by_key(|r| (rank(r.author), r.author, r.seq));
    let mut cuts: BTreeMap<ReplicaNumber, u64> = BTreeMap::new();
    let mut outcast = Vec::new();
    for revocation in revocations {
        let is_void = cuts
            .get(&revocation.author)
            .is_some_and(|cut| revocation.seq > *cut);
        let number = numbers
            .get(&revocation.member)
            .and_then(|n| u32::try_from(*n).ok());
        let Some(Ok(number)) = number.map(ReplicaNumber::new).filter(|_| !is_void) else {
            continue;
        };
        let cut = cuts.entry(number).or_insert(revocation.cut);
        *cut = revocation.cut.min(*cut);
        if revocation.is_of_node {
            outcast.extend(logs.get(number).map(|log| log.who.public_key));
        }
    }
    // Whoever was revoked cannot come back under another name: of branches, and of replicas that the one who revoked
    // did not know, nothing counts.
    for log in logs
        .iter()
        .filter(|log| outcast.contains(&log.who.public_key))
    {
        cuts.entry(log.who.number).or_insert(0);
    }
    cuts
}
