//! How each peer does, for the operator. Kept in memory: it says what this process has seen. Must
//! never grow beyond the members.

use std::collections::BTreeMap;
use std::sync::Mutex;

use serde::{Deserialize, Serialize};

use super::identity::{PublicKey, node_id};
use super::node::lock;
use crate::domain::time::Timestamp;
use crate::service::replication::{Beyond, Member};

/// What is known of one peer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Where the link leads; `None` when there is none.
    pub connected: Option<String>,
    /// When it last said anything.
    pub seen_at: Option<Timestamp>,
    /// When both last knew the same.
    pub in_sync_at: Option<Timestamp>,
    /// Changes that it has and this node lacks, as of the last exchange.
    pub behind: u64,
    /// Its clock minus this node's, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// What went wrong last; empty since all went well.
    pub error: Option<String>,
    /// Payload bytes that came, and that went.
    pub bytes: (u64, u64),
}

/// All of them.
#[derive(Debug, Default)]
pub struct Status(Mutex<BTreeMap<PublicKey, Seen>>);

impl Status {
    /// What is known of the peer with this key.
    #[must_use]
    pub fn of(&self, key: &PublicKey) -> Seen {
        lock(&self.0).get(key).cloned().unwrap_or_default()
    }

    pub(super) fn note(&self, key: &PublicKey, change: impl FnOnce(&mut Seen)) {
        change(lock(&self.0).entry(*key).or_default());
    }

    /// It said something.
    pub(super) fn seen(&self, key: &PublicKey, now: Timestamp) {
        self.note(key, |seen| seen.seen_at = Some(now));
    }

    /// Forgets everybody but these.
    pub(super) fn keep(&self, members: &[Member]) {
        lock(&self.0).retain(|key, _| members.iter().any(|it| it.public_key == *key));
    }
}

/// A line of `islet peers`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PeerReport {
    /// Number of its replica.
    pub number: u32,
    /// What people call it.
    pub name: String,
    /// Its id on the network.
    pub node_id: String,
    /// It is the node that was asked.
    pub this_node: bool,
    /// It was removed.
    pub revoked: bool,
    /// Where it may be reached.
    pub addresses: Vec<String>,
    /// Where the link leads; none when there is no link.
    pub connected: Option<String>,
    /// When it was last heard of, in milliseconds since 1970.
    pub seen_at_ms: Option<i64>,
    /// Changes that it has and the asked node lacks.
    pub behind_changes: u64,
    /// How long ago both last knew the same, in seconds; none when they never did.
    pub behind_s: Option<u64>,
    /// Its clock minus that of the asked node, in milliseconds.
    pub clock_offset_ms: Option<i64>,
    /// What went wrong last.
    pub error: Option<String>,
    /// Since when it turns the asked node away as removed, in milliseconds since 1970.
    pub turned_away_at_ms: Option<i64>,
    /// What it wrote beyond the end of what counts of it, when it was removed.
    pub beyond: Option<BeyondReport>,
}

/// What a removed node wrote that does not count: its removal was heard of too late, or it went on writing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BeyondReport {
    /// Changes that took effect here before this node heard of the removal.
    pub taken: u64,
    /// Changes that are kept and have no effect.
    pub aside: u64,
    /// The rows that they made or changed, up to a bound.
    pub rows: Vec<RowReport>,
}

/// One of those rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RowReport {
    /// Its table.
    pub table: String,
    /// Its id.
    pub id: i64,
    /// It is as the removed node wrote it.
    pub taken: bool,
}

impl BeyondReport {
    /// Of all replicas that the node with this key was.
    pub(super) fn of(key: &PublicKey, beyond: &[Beyond]) -> Option<Self> {
        let same: Vec<_> = beyond.iter().filter(|it| it.public_key == *key).collect();
        let rows = same.iter().flat_map(|it| &it.rows);
        (!same.is_empty()).then(|| Self {
            taken: same.iter().map(|it| it.taken).sum(),
            aside: same.iter().map(|it| it.aside).sum(),
            rows: rows
                .map(|row| RowReport {
                    table: row.table.to_owned(),
                    id: row.id,
                    taken: row.taken,
                })
                .collect(),
        })
    }
}

impl PeerReport {
    pub(super) fn new(
        member: Member,
        addresses: Vec<String>,
        seen: Seen,
        own: &PublicKey,
        now: Timestamp,
    ) -> Self {
        let this_node = member.public_key == *own;
        let age_s = |at: Timestamp| u64::try_from((now.0 - at.0) / 1_000).unwrap_or(0);
        Self {
            number: member.number,
            node_id: node_id(&member.public_key),
            name: member.name,
            this_node,
            revoked: member.revoked,
            addresses,
            connected: seen.connected,
            seen_at_ms: seen.seen_at.map(|at| at.0),
            behind_changes: seen.behind,
            behind_s: seen.in_sync_at.map(age_s),
            clock_offset_ms: seen.clock_offset_ms,
            error: seen.error,
            turned_away_at_ms: None,
            beyond: None,
        }
    }
}
