//! One replica: its database as far as it matters here, and the engine over it. Writes of its own take the same
//! path as those of others: bytes into the log, from the log into the state.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use islet_sync::apply::{self, ApplyError, Refusal};
use islet_sync::causality::{self, Causality, SEEN, Sighting, mark, seen_ops};
use islet_sync::chain::{Head, ReplicaId, SIGNATURE_LEN, Signer};
use islet_sync::change::{self, DecodeError, Encoder};
use islet_sync::dot::VersionVector;
use islet_sync::exchange::{Introduction, Vector};
use islet_sync::hlc::Hlc;
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::kind::Kind;
use islet_sync::op::{Action, Op, Value};
use islet_sync::register::Stamp;
use islet_sync::rules::{self, MEMBER, SETTLEMENT};

use super::logs::{Change, Log, Logs, Taken};
use super::mutation::Mutation;
use super::state::MemoryState;

/// Changes of one log that are kept while they wait for what their author had seen.
const WAITING_MAX: u64 = 400;
/// Changes of its own after which a replica seals its log in any case: a run can only end in a seal, so this bounds
/// how much a peer has to take at once.
const SEALED_EVERY: u64 = 32;
/// Branches of one replica before nothing more of it is taken.
const BRANCHES_MAX: usize = 16;
/// Ops of this entity are unknown to a node of the older schema.
const NEWER: u8 = SETTLEMENT.code;

/// What is in the database file.
#[derive(Clone, Debug)]
pub(crate) struct Db {
    pub(crate) me: ReplicaNumber,
    pub(crate) id: ReplicaId,
    pub(crate) starts: u64,
    pub(crate) hlc: Hlc,
    pub(crate) counter: u32,
    pub(crate) logs: Logs,
}

impl Db {
    pub(crate) fn seq(&self) -> u64 {
        self.logs.get(self.me).map_or(0, |log| log.head().seq)
    }
}

/// A running replica. All but `db` can be made again from it.
pub(crate) struct Replica {
    pub(crate) db: Db,
    pub(crate) signer: Rc<Signer>,
    pub(crate) state: MemoryState,
    pub(crate) causality: Causality,
    pub(crate) acknowledged: BTreeMap<ReplicaNumber, VersionVector>,
    pub(crate) refused: BTreeMap<(ReplicaNumber, u64, usize), String>,
    /// Whether it runs the release that knows [`NEWER`] entities.
    pub(crate) newer: bool,
    pub(crate) mutation: Mutation,
    names: islet_sync::branch::Names,
    begun: BTreeSet<ReplicaNumber>,
    cuts: BTreeMap<ReplicaNumber, u64>,
}

impl Replica {
    pub(crate) fn open(db: Db, signer: Rc<Signer>, newer: bool, mutation: Mutation) -> Self {
        let mut replica = Self {
            db,
            signer,
            state: MemoryState::default(),
            causality: Causality::default(),
            acknowledged: BTreeMap::new(),
            refused: BTreeMap::new(),
            newer,
            mutation,
            names: islet_sync::branch::Names::default(),
            begun: BTreeSet::new(),
            cuts: BTreeMap::new(),
        };
        replica.rebuild();
        replica
    }

    pub(crate) fn me(&self) -> ReplicaNumber {
        self.db.me
    }

    /// The state, and all that goes with it, from the logs alone.
    pub(crate) fn rebuild(&mut self) {
        self.state = MemoryState::default();
        self.state.latest_only = self.mutation == Mutation::LatestOnly;
        self.causality = Causality::default();
        self.names = islet_sync::branch::Names::default();
        self.refused.clear();
        self.begun.clear();
        self.cuts = super::membership::cuts(&self.db.logs);
        for log in self.db.logs.numbers() {
            self.begin_branches(log);
        }
        self.apply_ready();
    }

    /// Begins the branches that leave a log where it is applied now.
    fn begin_branches(&mut self, of: ReplicaNumber) {
        let at = self.causality.applied().seq(of);
        for (number, branch) in self.db.logs.children(of) {
            if branch.after == at && self.begun.insert(number) {
                let here = self.db.logs.mark_at(of, at).unwrap_or_default();
                self.causality.branch(number, of, at, here);
                self.names.branch(number, &branch);
                self.begin_branches(number);
            }
        }
    }

    /// Applies whatever has all that its author had seen.
    pub(crate) fn apply_ready(&mut self) {
        let numbers = self.db.logs.numbers();
        loop {
            let mut moved = false;
            for number in &numbers {
                while self.apply_next(*number) {
                    moved = true;
                }
            }
            if !moved {
                return;
            }
        }
    }

    fn has_begun(&self, log: &Log) -> bool {
        log.who.branch.is_none() || self.begun.contains(&log.who.number)
    }

    fn apply_next(&mut self, author: ReplicaNumber) -> bool {
        let Some(log) = self.db.logs.get(author).filter(|log| self.has_begun(log)) else {
            return false;
        };
        let seq = self.causality.applied().seq(author) + 1;
        let Some(change) = log.change(seq).cloned() else {
            return false;
        };
        let ops = match change::decode(&change.ops) {
            Ok(ops) => ops,
            // Of a release to come: the log waits for the upgrade. What is damaged is set aside.
            Err(DecodeError::Version) => return false,
            Err(_) => Vec::new(),
        };
        let Some(seen) = self.located(author, &causality::seen(&ops)) else {
            return false;
        };
        let here = self.db.logs.mark_at(author, seq).unwrap_or_default();
        let mut context = self.causality.enter(author, &seen, here).clone();
        if self.mutation == Mutation::NoContext {
            context = VersionVector::default();
            self.db
                .logs
                .iter()
                .for_each(|log| context.raise(log.who.number, u64::MAX));
        }
        let stamp = Stamp {
            hlc: change.hlc,
            replica: author,
            seq,
        };
        if self.cuts.get(&author).is_none_or(|cut| seq <= *cut) {
            self.apply_ops(&context, stamp, ops);
        }
        self.begin_branches(author);
        true
    }

    fn apply_ops(&mut self, context: &VersionVector, stamp: Stamp, ops: Vec<Op<'_>>) {
        let author = stamp.replica;
        for (at, mut op) in ops.into_iter().filter(|op| op.entity != SEEN).enumerate() {
            self.names.translate(author, &mut op);
            self.names.note(author, stamp.seq, &op);
            if let Err(refusal) = self.apply_op(context, stamp, &op) {
                self.refused
                    .insert((author, stamp.seq, at), refusal.to_string());
            }
        }
    }

    fn apply_op(
        &mut self,
        context: &VersionVector,
        stamp: Stamp,
        op: &Op<'_>,
    ) -> Result<(), Refusal> {
        if op.entity == NEWER && !self.newer {
            return Err(Refusal::UnknownEntity(op.entity));
        }
        match apply::apply(&mut self.state, context, stamp, op) {
            Ok(()) => Ok(()),
            Err(ApplyError::Refused(refusal)) => Err(refusal),
            Err(ApplyError::State(never)) => match never {},
        }
    }

    /// What was seen, under the names that logs have here, with what a branch shares with the logs that it left.
    /// `None` when some of it is not applied here yet.
    fn located(&mut self, author: ReplicaNumber, seen: &[Sighting]) -> Option<Vec<Sighting>> {
        let mut located = Vec::new();
        let mut meant = Vec::new();
        for sighting in seen {
            let found = self.find(sighting)?;
            meant.push((sighting.of, found.of));
            let mut part = found;
            loop {
                if self.causality.applied().seq(part.of) < part.seq {
                    return None;
                }
                located.push(part);
                match self.left(part.of) {
                    Some(shared) => part = shared,
                    None => break,
                }
            }
        }
        for (said, found) in meant {
            self.names.see(author, said, found);
        }
        Some(located)
    }

    /// The part of another log that a branch shares.
    fn left(&self, number: ReplicaNumber) -> Option<Sighting> {
        let branch = self.db.logs.get(number)?.who.branch?;
        let mark = self
            .db
            .logs
            .mark_at(branch.of, branch.after)
            .unwrap_or_default();
        Some(Sighting {
            of: branch.of,
            seq: branch.after,
            mark,
        })
    }

    /// A sighting under the name that its log has here. What lies beyond a cut has no effect anywhere, so nobody
    /// has to have it.
    fn find(&self, sighting: &Sighting) -> Option<Sighting> {
        let of = match self.mutation {
            Mutation::NoMarks => Some(sighting.of),
            _ => self.db.logs.find(sighting),
        };
        if let Some(of) = of {
            return Some(Sighting { of, ..*sighting });
        }
        let seq = *self.cuts.get(&sighting.of)?;
        let mark = self.db.logs.mark_at(sighting.of, seq)?;
        (seq < sighting.seq).then_some(Sighting {
            of: sighting.of,
            seq,
            mark,
        })
    }

    /// Logs of which some other author had seen more than is here, with what is here.
    pub(crate) fn missing(&self) -> Vec<(ReplicaNumber, Head)> {
        let mut missing = Vec::new();
        for log in self.db.logs.iter() {
            let next = self.causality.applied().seq(log.who.number) + 1;
            let Some(change) = log.change(next) else {
                continue;
            };
            let ops = change::decode(&change.ops).unwrap_or_default();
            for sighting in causality::seen(&ops) {
                let here = self.db.logs.get(sighting.of).map(Log::head);
                if self.find(&sighting).is_none()
                    && let Some(head) = here.filter(|head| head.seq < sighting.seq)
                {
                    missing.push((sighting.of, head));
                }
            }
        }
        missing
    }

    /// The end of its own log.
    pub(crate) fn own_head(&self) -> Head {
        let log = self.db.logs.get(self.db.me);
        log.map_or(Head::genesis(self.db.id), Log::head)
    }

    /// Whether the newest change of its own log is applied, every operation of it.
    pub(crate) fn has_applied_its_newest(&self) -> bool {
        let (me, seq) = (self.db.me, self.db.seq());
        let mut refused = self.refused.range((me, seq, 0)..=(me, seq, usize::MAX));
        self.causality.applied().seq(me) == seq && refused.next().is_none()
    }

    /// A new row id.
    pub(crate) fn next_row(&mut self) -> RowId {
        self.db.counter += 1;
        RowId::new(self.db.me, self.db.counter).unwrap()
    }

    /// Appends a change of this replica and applies it. Returns the digest that names it everywhere.
    pub(crate) fn write(&mut self, wall_ms: i64, ops: &[Op<'_>]) -> Rc<Change> {
        let mut encoder = Encoder::default();
        for (row, action, fields) in seen_ops(&self.causality.unsaid(self.db.me)) {
            encoder.push(SEEN, action, row, &fields);
        }
        for op in ops {
            encoder.push(op.entity, op.action, op.row, &whole(op));
        }
        self.write_bytes(wall_ms, encoder.bytes().to_vec())
    }

    pub(crate) fn write_bytes(&mut self, wall_ms: i64, bytes: Vec<u8>) -> Rc<Change> {
        self.db.hlc = self.db.hlc.tick(wall_ms);
        let (me, change) = (self.db.me, Change::new(self.db.hlc, bytes));
        if self.db.logs.get(me).is_none() {
            let who = self.introduction();
            self.db
                .logs
                .insert(Log::new(who, Head::genesis(who.replica)));
        }
        self.db.logs.get_mut(me).unwrap().append(Rc::clone(&change));
        self.settle_in(Taken::New, std::slice::from_ref(&change));
        if self.db.seq().is_multiple_of(SEALED_EVERY) {
            self.seal();
        }
        change
    }

    pub(crate) fn introduction(&self) -> Introduction {
        Introduction {
            number: self.db.me,
            replica: self.db.id,
            public_key: self.signer.public_key(),
            branch: None,
        }
    }

    /// The operation by which a replica becomes a member.
    pub(crate) fn member_op(&mut self, who: &Introduction) -> Op<'static> {
        let fields = vec![
            (1, Value::Int(who.number.get().into())),
            (2, Value::Bytes(who.replica.0.to_vec().into())),
            (3, Value::Bytes(who.public_key.to_vec().into())),
        ];
        Op {
            entity: MEMBER.code,
            action: Action::Create,
            row: self.next_row(),
            fields,
        }
    }

    /// Vouches for the ends of its own logs, as often as it is asked to send them: also for the part of one that has
    /// become a branch, and for those of the replicas that this node was before. What comes from others ends in a seal.
    pub(crate) fn seal(&mut self) {
        let (key, signer) = (self.signer.public_key(), Rc::clone(&self.signer));
        for number in self.db.logs.numbers() {
            let Some(log) = self.db.logs.get(number) else {
                continue;
            };
            let (head, id) = (log.head(), log.who.replica);
            let is_sealed = log.seals.contains_key(&head.seq) || head == log.base;
            if log.who.public_key == key
                && !is_sealed
                && let Some(log) = self.db.logs.get_mut(number)
            {
                log.seals.insert(head.seq, signer.sign(id, head).signature);
            }
        }
    }

    /// Takes in a run of a log.
    pub(crate) fn ingest(
        &mut self,
        who: &Introduction,
        first_seq: u64,
        changes: &[Rc<Change>],
        signature: &[u8; SIGNATURE_LEN],
        wall_ms: i64,
    ) -> Taken {
        // Also of one that was revoked: another member may have built on it. What counts is decided by the cut.
        let is_known = self
            .state
            .rows(&MEMBER)
            .any(|(_, row)| row.bytes(3) == who.public_key);
        if !is_known || self.is_over_bounds(who, first_seq, changes.len()) {
            return Taken::Forged;
        }
        let taken = self.db.logs.take(who, first_seq, changes, Some(signature));
        if matches!(taken, Taken::New | Taken::Forked) {
            for change in changes {
                self.db.hlc = self.observe(change.hlc, wall_ms);
            }
        }
        self.settle_in(taken, changes);
        taken
    }

    fn observe(&self, remote: Hlc, wall_ms: i64) -> Hlc {
        match self.mutation {
            Mutation::ClockUnbounded => self.db.hlc.max(remote),
            _ => self.db.hlc.observe(remote, wall_ms),
        }
    }

    /// The state after a log has grown.
    pub(crate) fn settle_in(&mut self, taken: Taken, changes: &[Rc<Change>]) {
        // Once somebody is cut off, also who comes in later may be: a replica of the same node.
        let may_cut = |ops: &Rc<Change>| super::membership::revokes(&ops.ops);
        let cuts_move = !self.cuts.is_empty() || changes.iter().any(may_cut);
        match taken {
            Taken::Forked => self.rebuild(),
            Taken::New if cuts_move && super::membership::cuts(&self.db.logs) != self.cuts => {
                self.rebuild();
            }
            Taken::New => self.apply_ready(),
            Taken::Known | Taken::Gap | Taken::Forged => {}
        }
    }

    fn is_over_bounds(&self, who: &Introduction, first_seq: u64, count: usize) -> bool {
        let applied = self.causality.applied().seq(who.number);
        let family = self
            .db
            .logs
            .iter()
            .filter(|log| log.who.replica == who.replica);
        first_seq.saturating_add(count as u64) > applied.saturating_add(WAITING_MAX)
            || family.count() > BRANCHES_MAX
    }

    /// Whether a key is that of a member that was not revoked.
    pub(crate) fn trusts(&self, key: &[u8; 32]) -> bool {
        let mut rows = self
            .state
            .rows(&MEMBER)
            .filter(|(_, row)| row.bytes(3) == key)
            .peekable();
        rows.peek().is_some() && rows.all(|(_, row)| row.int(10).is_none())
    }

    /// Replicas whose word counts for what is stable.
    pub(crate) fn members(&self) -> Vec<ReplicaNumber> {
        let number = |value: i64| ReplicaNumber::new(u32::try_from(value).ok()?).ok();
        let rows = self
            .state
            .rows(&MEMBER)
            .filter(|(_, row)| row.int(8).is_none());
        rows.filter_map(|(_, row)| number(row.int(1)?)).collect()
    }

    /// What is known to have been applied by every member.
    pub(crate) fn stable(&self) -> VersionVector {
        self.causality
            .stable(self.db.me, &self.members(), &[], &self.acknowledged)
    }

    /// Where it stands in every log, by what is applied.
    pub(crate) fn vector(&self) -> Vector {
        let mut vector = Vector::default();
        for log in self.db.logs.iter() {
            let number = log.who.number;
            let applied = match self.mutation {
                Mutation::AckStored => log.head().seq,
                _ => self.causality.applied().seq(number),
            };
            if applied > log.base.seq
                && let Some(head) = self.db.logs.head_at(number, applied)
            {
                vector.insert(number, &head);
            }
        }
        vector
    }

    /// Whether its own log was written on in another way somewhere.
    pub(crate) fn is_forked(&self) -> bool {
        let family = self
            .db
            .logs
            .iter()
            .filter(|log| log.who.replica == self.db.id);
        family.count() > 1
    }

    pub(crate) fn mark_of(&self, number: ReplicaNumber, seq: u64) -> Option<u32> {
        Some(mark(&self.db.logs.head_at(number, seq)?.hash))
    }
}

/// The fields of an operation; a new row gets some value for each that may not be empty.
fn whole<'a>(op: &Op<'a>) -> Vec<(u8, Value<'a>)> {
    let mut fields = op.fields.clone();
    let known = rules::entity(op.entity).filter(|_| op.action == Action::Create);
    for (number, field) in (1..).zip(known.map_or(&[][..], |entity| entity.fields)) {
        if field.optional || fields.iter().any(|(other, _)| *other == number) {
            continue;
        }
        let value = match field.kind {
            Kind::Text => Value::from("x"),
            Kind::OneOf(texts) => texts[0].into(),
            Kind::Int(low, _) => low.max(0).into(),
            Kind::Real(..) => Value::Real(1.0),
            Kind::Bytes(len) => Value::Bytes(vec![0; len.unwrap_or(1)].into()),
        };
        // The row of somebody is not for everybody to name.
        if field.refers.is_none() {
            fields.push((number, value));
        }
    }
    fields.sort_by_key(|(number, _)| *number);
    fields
}
