//! Whether a node may go on as the replica that its database says it is.
//!
//! Identity lives outside the database: a small file holds the replica's id, a counter of starts,
//! and how far its seqs were *leased*. Before a change gets a seq at or over the lease, the lease is raised by
//! [`LEASE`] and made durable there (Riak's "epoch" of an actor has the same purpose, riak_kv #679). A
//! database that was put back from a backup, or copied to another machine, does not fit the file. When file
//! and database went back together, only others can tell: a peer that knows more of this replica's log than the
//! replica itself, or something else under the same seq.
//!
//! Whenever in doubt, the node becomes a *new replica*: a new random id and number, seqs from 1, and a first
//! change that introduces it. It loses nothing: what it wrote before comes back from its peers like anybody's
//! changes, and what it wrote in ignorance of them becomes a branch ([`crate::branch`]).
//!
//! Must never answer "go on" on the word of the database alone, nor end a replica on anybody's word: a witness
//! shows a head that this node's own key has signed.

use thiserror::Error;

use crate::chain::{Head, ReplicaId, SignedHead};

/// By how many seqs a lease is raised: one more durable write of a small file per that many changes.
pub const LEASE: u64 = 1024;

/// What the file outside the database says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// Which replica the database of this machine is.
    pub replica: ReplicaId,
    /// How often it was started.
    pub starts: u64,
    /// The seq that the replica had when the lease was last raised.
    pub leased_at: u64,
    /// Seqs below this one may be used.
    pub leased_to: u64,
}

/// What the database says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Database {
    /// Which replica it is.
    pub replica: ReplicaId,
    /// How often it was started.
    pub starts: u64,
    /// The newest change.
    pub seq: u64,
}

/// Why a node becomes a new replica: for people to read, and for the audit log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Reason {
    /// The file is gone: the database was copied without it.
    #[error("the identity file is missing: this database was copied or restored")]
    NoFile,
    /// The file is another replica's.
    #[error("the identity file belongs to another replica: this database was copied or restored")]
    OtherReplica,
    /// Most parts of the machine are others than those that it was last started on.
    #[error("this data directory was last used on another machine")]
    OtherMachine,
    /// The file was started more often than the database.
    #[error("the database is older than the identity file: it was restored from a backup")]
    Starts,
    /// The database has fewer changes than it had when it last leased seqs.
    #[error("the database has lost changes: it was restored from a backup")]
    Lease,
    /// A peer knows more of this replica's log.
    #[error(
        "a peer knows {0} changes of this replica, which has {1}: it was restored from a backup"
    )]
    PeerKnowsMore(u64, u64),
    /// A peer knows another change under the same seq.
    #[error("a peer knows another change {0} of this replica: its data was copied or restored")]
    PeerKnowsOther(u64),
    /// A peer says that it is this very replica.
    #[error("another node says that it is this replica: its data was copied")]
    Twin,
}

/// What a node does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// It is who it was.
    GoOn,
    /// It takes a new id and number.
    NewReplica(Reason),
}

impl Outside {
    /// The file of a new replica.
    #[must_use]
    pub const fn new(replica: ReplicaId) -> Self {
        Self {
            replica,
            starts: 0,
            leased_at: 0,
            leased_to: 0,
        }
    }

    /// The file that must be durable before a change with this seq is written; `None` when the one that is
    /// there will do.
    #[must_use]
    pub fn lease(&self, seq: u64, by: u64) -> Option<Self> {
        (seq >= self.leased_to).then(|| Self {
            leased_at: seq.saturating_sub(1),
            leased_to: seq.saturating_add(by.max(1)),
            ..*self
        })
    }
}

/// Decides when the node starts, before anything is written. `same_machine` says whether enough parts of the
/// machine are those that it was last started on.
///
/// A start counts in the database first and then in the file, so a power cut between the two leaves the
/// database ahead by one, which no restore does.
#[must_use]
pub fn at_start(outside: Option<&Outside>, database: &Database, same_machine: bool) -> Decision {
    let Some(outside) = outside else {
        return Decision::NewReplica(Reason::NoFile);
    };
    let reason = if outside.replica != database.replica {
        Reason::OtherReplica
    } else if !same_machine {
        Reason::OtherMachine
    } else if database.starts != outside.starts && database.starts != outside.starts + 1 {
        Reason::Starts
    } else if database.seq < outside.leased_at {
        Reason::Lease
    } else {
        return Decision::GoOn;
    };
    Decision::NewReplica(reason)
}

/// Decides when somebody shows a head of this replica's log: a peer that sends a run of it, the cloud, a phone.
/// `here` is the end of the log before anything of it was taken in, and `at` answers with its head at a seq.
///
/// What comes before the proof, a vector that names more of this replica than there is, is no reason to do
/// anything: the run with the proof follows in the same conversation, and a change that is written
/// in between becomes a branch.
#[must_use]
pub fn on_witness(
    witness: &SignedHead,
    replica: ReplicaId,
    public_key: &[u8; 32],
    here: u64,
    at: impl FnOnce(u64) -> Option<Head>,
) -> Decision {
    let Head { seq, .. } = witness.head;
    if seq == 0 || witness.verify(replica, public_key).is_err() {
        return Decision::GoOn;
    }
    if seq > here {
        return Decision::NewReplica(Reason::PeerKnowsMore(seq, here));
    }
    if at(seq) != Some(witness.head) {
        return Decision::NewReplica(Reason::PeerKnowsOther(seq));
    }
    Decision::GoOn
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::chain::Signer;

    const ME: ReplicaId = ReplicaId([1; 16]);

    fn outside(starts: u64, leased_at: u64) -> Outside {
        Outside {
            replica: ME,
            starts,
            leased_at,
            leased_to: leased_at + 10,
        }
    }

    fn database(starts: u64, seq: u64) -> Database {
        Database {
            replica: ME,
            starts,
            seq,
        }
    }

    #[test]
    fn only_what_fits_goes_on() {
        let file = outside(5, 100);
        let decide = |database, same| at_start(Some(&file), &database, same);
        let new = |reason| Decision::NewReplica(reason);
        assert_eq!(decide(database(5, 100), true), Decision::GoOn);
        assert_eq!(decide(database(5, 150), true), Decision::GoOn);
        assert_eq!(decide(database(5, 100), false), new(Reason::OtherMachine));
        assert_eq!(decide(database(4, 150), true), new(Reason::Starts));
        assert_eq!(decide(database(7, 150), true), new(Reason::Starts));
        assert_eq!(decide(database(5, 99), true), new(Reason::Lease));
        assert_eq!(at_start(None, &database(5, 100), true), new(Reason::NoFile));
        let mut copy = database(5, 100);
        copy.replica = ReplicaId([2; 16]);
        assert_eq!(decide(copy, true), new(Reason::OtherReplica));
    }

    #[test]
    fn a_power_cut_while_starting_changes_nothing() {
        assert_eq!(
            at_start(Some(&outside(5, 0)), &database(6, 0), true),
            Decision::GoOn
        );
    }

    #[test]
    fn a_seq_is_leased_before_it_is_used() {
        let file = Outside::new(ME);
        let leased = file.lease(1, 8).unwrap();
        assert_eq!((leased.leased_at, leased.leased_to), (0, 9));
        assert_eq!(leased.lease(8, 8), None);
        assert_eq!(leased.lease(9, 8).unwrap().leased_at, 8);
        assert_eq!(
            at_start(Some(&leased), &database(0, 0), true),
            Decision::GoOn
        );
    }

    #[test]
    fn a_witness_that_knows_more_or_other_ends_the_replica() {
        let signer = Signer::from_seed(&[3; 32]).unwrap();
        let head = |seq, byte| Head {
            seq,
            hash: [byte; 32],
        };
        let decide = |witness: &SignedHead| {
            let key = signer.public_key();
            on_witness(witness, ME, &key, 10, |seq| Some(head(seq, 3)))
        };
        let signed = |seq, byte| decide(&signer.sign(ME, head(seq, byte)));
        assert_eq!(signed(10, 3), Decision::GoOn);
        assert_eq!(signed(4, 3), Decision::GoOn);
        assert_eq!(signed(0, 9), Decision::GoOn);
        let other = Decision::NewReplica(Reason::PeerKnowsOther(4));
        assert_eq!(signed(4, 9), other);
        let more = Decision::NewReplica(Reason::PeerKnowsMore(11, 10));
        assert_eq!(signed(11, 3), more);
    }

    #[test]
    fn nobody_ends_a_replica_by_a_lie() {
        let [me, liar] = [3, 4].map(|seed| Signer::from_seed(&[seed; 32]).unwrap());
        let head = Head {
            seq: 99,
            hash: [9; 32],
        };
        let lie = liar.sign(ME, head);
        let decision = on_witness(&lie, ME, &me.public_key(), 10, |_| None);
        assert_eq!(decision, Decision::GoOn);
    }
}
