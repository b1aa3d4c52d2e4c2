//! A node: a disk that keeps what was committed, an identity file beside the database, a wall clock that may be
//! wrong, and a replica while it runs.

use std::rc::Rc;

use islet_sync::chain::{Hash, Head, ReplicaId, SignedHead, Signer};
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::incarnation::{self, Database, Decision, Outside, Reason};

use super::logs::{Change, Logs};
use super::mutation::Mutation;
use super::replica::{Db, Replica};
use super::rng::Rng;

/// Small, so that leases end often.
const LEASE: u64 = 8;

/// A wall clock.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Clock {
    pub(crate) offset_ms: i64,
    /// Stands at this time.
    pub(crate) frozen_at: Option<i64>,
}

/// What survives a power cut.
#[derive(Clone, Debug)]
pub(crate) struct Disk {
    pub(crate) db: Db,
    pub(crate) outside: Option<Outside>,
}

pub(crate) struct Node {
    pub(crate) signer: Rc<Signer>,
    pub(crate) disk: Disk,
    pub(crate) live: Option<Replica>,
    pub(crate) clock: Clock,
    pub(crate) newer: bool,
    pub(crate) disk_full: bool,
    pub(crate) same_machine: bool,
    pub(crate) mutation: Mutation,
    /// Goes on as the same replica on purpose, whatever others say.
    pub(crate) equivocates: bool,
    /// Latest wall clock that it ever showed, and whether its stamps are still bound by it.
    pub(crate) latest_wall_ms: i64,
    /// Changes that were written and not answered yet, by the chain hashes after them.
    pub(crate) unanswered: Vec<Hash>,
    /// Why it became a new replica, each time.
    pub(crate) reasons: Vec<Reason>,
}

impl Node {
    pub(crate) fn new(signer: Rc<Signer>, number: ReplicaNumber, id: ReplicaId) -> Self {
        let db = Db {
            me: number,
            id,
            starts: 0,
            hlc: Hlc::default(),
            counter: 0,
            logs: Logs::default(),
        };
        Self {
            signer,
            disk: Disk {
                db,
                outside: Some(Outside::new(id)),
            },
            live: None,
            clock: Clock::default(),
            newer: true,
            disk_full: false,
            same_machine: true,
            mutation: Mutation::None,
            equivocates: false,
            latest_wall_ms: 0,
            unanswered: Vec::new(),
            reasons: Vec::new(),
        }
    }

    pub(crate) fn wall_ms(&mut self, true_ms: i64) -> i64 {
        let wall = self.clock.frozen_at.unwrap_or(true_ms) + self.clock.offset_ms;
        self.latest_wall_ms = self.latest_wall_ms.max(wall);
        wall
    }

    /// Starts, as who it is or as a new replica.
    pub(crate) fn start(&mut self, true_ms: i64, rng: &mut Rng) {
        let db = &self.disk.db;
        let database = Database {
            replica: db.id,
            starts: db.starts,
            seq: db.seq(),
        };
        let decision =
            incarnation::at_start(self.disk.outside.as_ref(), &database, self.same_machine);
        self.same_machine = true;
        let (db, signer) = (self.disk.db.clone(), Rc::clone(&self.signer));
        self.live = Some(Replica::open(db, signer, self.newer, self.mutation));
        match decision {
            Decision::NewReplica(reason) => self.renew(reason, true_ms, rng),
            Decision::GoOn if self.live.as_ref().is_some_and(Replica::is_forked) => {
                self.renew(Reason::Twin, true_ms, rng);
            }
            Decision::GoOn => {}
        }
        self.count_start();
    }

    /// In the database first, then in the file: see [`incarnation::at_start`].
    fn count_start(&mut self) {
        let Some(replica) = &mut self.live else {
            return;
        };
        let id = replica.db.id;
        replica.db.starts += 1;
        let starts = replica.db.starts;
        self.commit();
        let outside = self.disk.outside.unwrap_or_else(|| Outside::new(id));
        self.disk.outside = Some(Outside { starts, ..outside });
    }

    /// Becomes a new replica of the same node: see [`incarnation`].
    pub(crate) fn renew(&mut self, reason: Reason, true_ms: i64, rng: &mut Rng) {
        if self.mutation == Mutation::NoIncarnation || self.equivocates {
            return;
        }
        let wall_ms = self.wall_ms(true_ms);
        let Some(replica) = &mut self.live else {
            return;
        };
        replica.seal();
        let taken =
            |number| replica.db.logs.get(number).is_some() || replica.members().contains(&number);
        let number = loop {
            let number = ReplicaNumber::new(1000 + rng.below(1 << 20) as u32).unwrap();
            if !taken(number) {
                break number;
            }
        };
        replica.db.me = number;
        replica.db.id = ReplicaId(rng.bytes());
        replica.db.counter = 0;
        replica.acknowledged.clear();
        self.disk.outside = Some(Outside {
            starts: replica.db.starts,
            ..Outside::new(replica.db.id)
        });
        self.reasons.push(reason);
        let who = replica.introduction();
        let introduces_itself = replica.member_op(&who);
        self.lease();
        if let Some(replica) = &mut self.live {
            replica.write(wall_ms, &[introduces_itself]);
        }
        self.commit();
    }

    /// Before a write: the seq that it will have must be leased.
    fn lease(&mut self) {
        if let (Some(replica), Some(outside)) = (&self.live, &self.disk.outside)
            && let Some(raised) = outside.lease(replica.db.seq() + 1, LEASE)
        {
            self.disk.outside = Some(raised);
        }
    }

    /// Writes something; it is answered once it is committed.
    pub(crate) fn write(
        &mut self,
        true_ms: i64,
        make: impl FnOnce(&mut Replica) -> Option<Vec<islet_sync::op::Op<'static>>>,
    ) -> Option<(Rc<Change>, Hash)> {
        self.lease();
        let wall_ms = self.wall_ms(true_ms);
        let replica = self.live.as_mut()?;
        let ops = make(replica)?;
        let change = replica.write(wall_ms, &ops);
        let is_taken = replica.has_applied_its_newest() || self.equivocates;
        assert!(is_taken, "a node refuses its own write: {ops:?}");
        let hash = replica.own_head().hash;
        self.unanswered.push(hash);
        Some((change, hash))
    }

    /// Makes all that was done durable, and gives what may be answered now.
    pub(crate) fn commit(&mut self) -> Vec<Hash> {
        let Some(replica) = &self.live else {
            return Vec::new();
        };
        self.disk.db = replica.db.clone();
        std::mem::take(&mut self.unanswered)
    }

    /// The power goes. What was not committed never was.
    pub(crate) fn crash(&mut self) {
        self.live = None;
        self.unanswered.clear();
    }

    /// A copy of the database by the node's own backup command, which counts as a start: a database that was
    /// restored from it never fits the file again.
    pub(crate) fn back_up(&mut self) -> Option<Db> {
        self.live.as_ref()?;
        let copy = self.disk.db.clone();
        self.count_start();
        Some(copy)
    }

    /// Looks at what came in of this replica's own log; `before` is where it ended until then.
    pub(crate) fn hear_witness(&mut self, before: Head, true_ms: i64, rng: &mut Rng) {
        if let Some(reason) = self.reason_to_renew(before) {
            self.renew(reason, true_ms, rng);
        }
    }

    fn reason_to_renew(&self, before: Head) -> Option<Reason> {
        let replica = self.live.as_ref()?;
        let (id, key, logs) = (replica.db.id, self.signer.public_key(), &replica.db.logs);
        let family = || logs.iter().filter(|log| log.who.replica == id);
        let mine = family().find(|log| logs.head_at(log.who.number, before.seq) == Some(before));
        let at = |seq| mine.and_then(|log| logs.head_at(log.who.number, seq));
        family().find_map(|log| {
            let (seq, signature) = log.seals.last_key_value()?;
            let head = logs.head_at(log.who.number, *seq)?;
            let witness = SignedHead {
                head,
                signature: *signature,
            };
            match incarnation::on_witness(&witness, id, &key, before.seq, at) {
                Decision::GoOn => None,
                Decision::NewReplica(reason) => Some(reason),
            }
        })
    }
}
