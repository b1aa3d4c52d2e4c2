//! Some nodes, a network that misbehaves, and everything that can happen to them, one random thing at a time.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;

use islet_sync::chain::{Hash, ReplicaId, Signer};
use islet_sync::id::{REPLICA_NUMBER_MAX, ReplicaNumber};
use islet_sync::op::{Action, Op, Value};
use islet_sync::rules::{MEMBER, QUEUE_DAY, READING};

use super::check;
use super::clinic;
use super::fault::Faults;
use super::mutation::Mutation;
use super::net::{Network, Packet};
use super::node::Node;
use super::replica::Replica;
use super::rng::Rng;
use super::session;

/// 2026-01-01, in milliseconds.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// Rounds of talks between all nodes after which they must agree.
const ROUNDS_MAX: usize = 12;

/// A write to the clinical register of a reading, and the writes that its author had before its eyes.
pub(crate) struct Edit {
    pub(crate) change: Hash,
    pub(crate) saw: Vec<Hash>,
}

pub(crate) struct World {
    pub(crate) rng: Rng,
    pub(crate) now_ms: i64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) network: Network,
    pub(crate) faults: Faults,
    /// Sees all that is durable anywhere, at once.
    pub(crate) observer: Replica,
    observed: BTreeMap<(usize, ReplicaNumber), Hash>,
    /// Changes that were answered, by the chain hashes after them, and those of them that were lost with the only disk that had them.
    pub(crate) answered: BTreeSet<Hash>,
    pub(crate) forgiven: BTreeSet<Hash>,
    pub(crate) edits: Vec<Edit>,
    /// Replicas whose data was copied or rolled back unnoticed, with how much of their log was there then.
    pub(crate) suspects: BTreeMap<ReplicaId, u64>,
    pub(crate) revoked: BTreeSet<usize>,
    /// Nodes that wrote nonsense.
    pub(crate) hostile: BTreeSet<usize>,
    pub(crate) trace: Option<Vec<String>>,
    is_healing: bool,
    pub(crate) counts: BTreeMap<&'static str, usize>,
}

fn signer(of: usize) -> Rc<Signer> {
    Rc::new(Signer::from_seed(&[of as u8 + 1; 32]).unwrap())
}

/// The operations of a change on one line, for traces.
fn in_short(ops: &[u8]) -> String {
    let id = |id: i64| format!("{}:{}", id >> 32, id & 0xffff_ffff);
    let value = |value: &Value<'_>| match value {
        Value::Int(value) if *value >> 32 != 0 => id(*value),
        Value::Int(value) => value.to_string(),
        Value::Text(text) => text.clone().into_owned(),
        Value::Real(value) => value.to_string(),
        Value::Null => "-".into(),
        Value::Bytes(_) => "..".into(),
    };
    let op = |op: &Op<'_>| {
        let name = islet_sync::rules::entity(op.entity).map_or("seen", |entity| entity.name);
        let fields: Vec<_> = op
            .fields
            .iter()
            .map(|(n, v)| format!("{n}={}", value(v)))
            .collect();
        format!(
            "{:?} {name} {} ({})",
            op.action,
            id(op.row.get()),
            fields.join(" ")
        )
    };
    let ops = islet_sync::change::decode(ops).unwrap_or_default();
    ops.iter().map(op).collect::<Vec<_>>().join("; ")
}

impl World {
    /// A network of some nodes that know each other.
    pub(crate) fn new(seed: u64, count: usize, faults: Faults, mutation: Mutation) -> Self {
        let mut rng = Rng::new(seed);
        let mut nodes: Vec<Node> = (0..count)
            .map(|i| {
                let number = ReplicaNumber::new(i as u32).unwrap();
                Node::new(signer(i), number, ReplicaId(rng.bytes()))
            })
            .collect();
        for node in &mut nodes {
            node.start(BEGIN_MS, &mut rng);
            node.mutation = mutation;
        }
        let introductions: Vec<_> = nodes
            .iter()
            .map(|node| node.live.as_ref().unwrap().introduction())
            .collect();
        nodes[0].write(BEGIN_MS, |replica| {
            Some(
                introductions
                    .iter()
                    .map(|who| replica.member_op(who))
                    .collect(),
            )
        });
        nodes[0].live.as_mut().unwrap().seal();
        nodes[0].commit();
        let founded = nodes[0].disk.db.logs.clone();
        for node in &mut nodes[1..] {
            node.disk.db.logs = founded.clone();
            node.start(BEGIN_MS, &mut rng);
        }
        let mut db = nodes[0].disk.db.clone();
        db.me = ReplicaNumber::new(REPLICA_NUMBER_MAX).unwrap();
        db.id = ReplicaId([0xee; 16]);
        // How values merge is the same wherever they are seen.
        let of_values = [Mutation::NoContext, Mutation::LatestOnly].contains(&mutation);
        let observers = if of_values { mutation } else { Mutation::None };
        let observer = Replica::open(db, signer(250), true, observers);
        let mut world = Self {
            rng,
            now_ms: BEGIN_MS,
            network: Network::new(count),
            nodes,
            faults,
            observer,
            observed: BTreeMap::new(),
            answered: BTreeSet::new(),
            forgiven: BTreeSet::new(),
            edits: Vec::new(),
            suspects: BTreeMap::new(),
            revoked: BTreeSet::new(),
            hostile: BTreeSet::new(),
            trace: None,
            is_healing: false,
            counts: BTreeMap::new(),
        };
        for i in 0..count {
            world.nodes[i].mutation = mutation;
            if let Some(replica) = &mut world.nodes[i].live {
                replica.mutation = mutation;
            }
            world.write_with(i, |replica, rng| {
                Some(vec![clinic::new_patient(replica, rng)])
            });
        }
        world.talk_all(2);
        world
    }

    pub(crate) fn note(&mut self, what: impl FnOnce() -> String) {
        if let Some(trace) = &mut self.trace {
            trace.push(format!("{:>9} {}", self.now_ms - BEGIN_MS, what()));
        }
    }

    fn note_if(&mut self, wanted: bool, what: impl FnOnce() -> String) {
        if wanted {
            self.note(what);
        }
    }

    pub(crate) fn count(&mut self, what: &'static str) {
        *self.counts.entry(what).or_default() += 1;
    }

    pub(crate) fn is_up(&self, i: usize) -> bool {
        self.nodes[i].live.is_some()
    }

    /// Notes that a member writes what no program of ours would.
    pub(crate) fn taint(&mut self, i: usize) {
        self.hostile.insert(i);
    }

    /// Nodes that are not cut off.
    pub(crate) fn honest(&self) -> Vec<usize> {
        (0..self.nodes.len())
            .filter(|i| !self.revoked.contains(i))
            .collect()
    }

    pub(crate) fn start(&mut self, i: usize) {
        let (now_ms, mut rng) = (self.now_ms, self.rng.clone());
        if !self.is_up(i) {
            let before = self.nodes[i].reasons.len();
            self.nodes[i].start(now_ms, &mut rng);
            self.rng = rng;
            let why = self.nodes[i].reasons.get(before).copied();
            self.note(|| format!("node {i} starts {why:?}"));
            self.observe(i);
        }
    }

    /// One write at a node, committed and answered unless the power goes.
    pub(crate) fn write_with(
        &mut self,
        i: usize,
        make: impl FnOnce(&mut Replica, &mut Rng) -> Option<Vec<Op<'static>>>,
    ) -> Option<Hash> {
        let mut rng = self.rng.clone();
        let mut saw = None;
        let now_ms = self.now_ms;
        let change = self.nodes[i].write(now_ms, |replica| {
            let ops = make(replica, &mut rng)?;
            saw = ops
                .iter()
                .find(|op| op.entity == READING.code && op.action == Action::Set)
                .map(|op| check::shown_changes(replica, op.row.get()));
            Some(ops)
        });
        self.rng = rng;
        let (change, hash) = change?;
        self.note(|| format!("node {i} writes {}", in_short(&change.ops)));
        check::stamp(&self.nodes[i], &change).unwrap_or_else(|error| panic!("{error}"));
        if let Some(saw) = saw {
            self.edits.push(Edit { change: hash, saw });
        }
        if self.nodes[i].mutation == Mutation::AckEarly {
            self.answered.insert(hash);
        }
        if self.faults.crash && self.rng.chance(2) {
            self.crash(i);
            return None;
        }
        // Others wait for the same fsync.
        if self.nodes[i].mutation == Mutation::AckEarly && self.rng.chance(50) {
            return Some(hash);
        }
        self.commit(i);
        Some(hash)
    }

    pub(crate) fn commit(&mut self, i: usize) {
        let answered = self.nodes[i].commit();
        self.observe(i);
        if self.faults.crash && self.rng.chance(1) {
            // After the commit, before the answer: nobody may count on it, and it is there.
            self.crash(i);
            return;
        }
        self.answered.extend(answered);
    }

    pub(crate) fn crash(&mut self, i: usize) {
        self.note(|| format!("node {i} loses power"));
        self.count("crash");
        self.nodes[i].crash();
    }

    /// The observer takes in what is durable at a node.
    pub(crate) fn observe(&mut self, i: usize) {
        let logs = self.nodes[i].disk.db.logs.clone();
        let mut moved = false;
        for log in logs.iter() {
            let (key, head) = ((i, log.who.number), log.head());
            if self.observed.insert(key, head.hash) == Some(head.hash) {
                continue;
            }
            moved |= check::observe(&mut self.observer, &logs, log);
        }
        if moved {
            check::capacity(self).unwrap_or_else(|error| panic!("{error}"));
        }
    }

    /// Node `i` calls node `j`.
    pub(crate) fn call(&mut self, i: usize, j: usize) {
        if let Some(replica) = &self.nodes[i].live {
            let packet = session::call(replica);
            self.send(i, j, packet);
        }
    }

    pub(crate) fn send(&mut self, from: usize, to: usize, bytes: Vec<u8>) {
        let key = self.nodes[from].signer.public_key();
        let packet = Packet {
            from,
            to,
            key,
            bytes,
        };
        let mut rng = self.rng.clone();
        self.network
            .send(&packet, &self.faults, self.now_ms, &mut rng);
        self.rng = rng;
    }

    /// A packet arrives.
    pub(crate) fn arrive(&mut self, packet: &Packet) {
        let to = packet.to;
        if !self.is_up(to) {
            return;
        }
        let (now_ms, mut rng) = (self.now_ms, self.rng.clone());
        let node = &mut self.nodes[to];
        let before = node.reasons.len();
        let outcome = session::handle(node, &packet.key, &packet.bytes, now_ms, &mut rng);
        let reason = node.reasons.get(before).copied();
        self.rng = rng;
        let (from, size) = (packet.from, packet.bytes.len());
        let (forged, forked) = (outcome.forged, outcome.forked);
        // Of the long talks at the end only what is out of the ordinary.
        let is_plain = self.is_healing && forged + forked == 0 && reason.is_none();
        self.note_if(!is_plain, || {
            format!("node {to} hears {size} B of node {from}: {forged} forged, {forked} forked, {reason:?}")
        });
        if reason.is_some() {
            self.count("renewed by a witness");
        }
        for _ in 0..forked {
            self.count("fork");
        }
        for _ in 0..forged {
            self.count("forged");
        }
        if self.faults.crash && self.rng.chance(2) {
            self.crash(to);
            return;
        }
        self.commit(to);
        if self.is_up(to) {
            for reply in outcome.replies {
                self.send(to, packet.from, reply);
            }
        }
    }

    /// Delivers what is due.
    pub(crate) fn deliver(&mut self, most: usize) {
        for _ in 0..most {
            let Some(packet) = self.network.due(self.now_ms) else {
                return;
            };
            self.arrive(&packet);
        }
    }

    /// Two nodes talk until nothing is left to say, over a perfect line.
    pub(crate) fn talk(&mut self, i: usize, j: usize) {
        let faults = std::mem::take(&mut self.faults);
        let network = std::mem::replace(&mut self.network, Network::new(self.nodes.len()));
        self.call(i, j);
        while let Some(packet) = self.network.due(i64::MAX) {
            self.arrive(&packet);
        }
        self.faults = faults;
        self.network = network;
    }

    pub(crate) fn talk_all(&mut self, rounds: usize) {
        for _ in 0..rounds {
            let honest = self.honest();
            for (at, i) in honest.iter().enumerate() {
                for j in &honest[at + 1..] {
                    self.talk(*i, *j);
                }
            }
        }
    }

    /// Everything works again; then all must agree.
    pub(crate) fn heal(&mut self) -> Result<(), String> {
        self.faults = Faults::default();
        self.network = Network::new(self.nodes.len());
        self.is_healing = true;
        self.note(|| "everything works again".into());
        for i in self.honest() {
            self.nodes[i].disk_full = false;
            if !self.nodes[i].newer {
                self.nodes[i].newer = true;
                self.nodes[i].crash();
            }
            self.start(i);
            self.commit(i);
        }
        for round in 0..ROUNDS_MAX {
            self.talk_all(1);
            let honest = self.honest();
            let vectors: Vec<_> = honest
                .iter()
                .filter_map(|i| self.nodes[*i].live.as_ref().map(Replica::vector))
                .collect();
            if vectors.len() == honest.len() && vectors.windows(2).all(|pair| pair[0] == pair[1]) {
                self.note(|| format!("in sync after {} rounds", round + 1));
                if !self.give_up() {
                    return Ok(());
                }
            }
        }
        let marks: Vec<_> = self
            .nodes
            .iter()
            .map(|node| node.live.as_ref().map(session::marks))
            .collect();
        Err(format!("not in sync after {ROUNDS_MAX} rounds: {marks:?}"))
    }

    /// What an operator does about changes that are lost with every disk that had them, while others were built on them:
    /// the log is cut off where it ends, and what was built on it goes on. Answers whether there was something to do.
    fn give_up(&mut self) -> bool {
        let first = self.honest()[0];
        let Some(replica) = &self.nodes[first].live else {
            return false;
        };
        let is_current = |number| {
            let is = |node: &Node| node.live.as_ref().is_some_and(|live| live.me() == number);
            self.nodes.iter().any(is)
        };
        let missing = replica
            .missing()
            .into_iter()
            .find(|(number, _)| !is_current(*number));
        let Some((number, head)) = missing else {
            return false;
        };
        let row = replica
            .state
            .rows(&MEMBER)
            .find(|(_, row)| row.int(1) == Some(number.get().into()) && row.int(8).is_none())
            .map(|(row, _)| row);
        let Some(row) = row else { return false };
        self.note(|| format!("what {number:?} wrote after {} is lost", head.seq));
        self.count("given up");
        let fields = vec![
            (8, Value::Int(head.seq.cast_signed())),
            (9, Value::Bytes(head.hash.to_vec().into())),
            (10, Value::Null),
        ];
        let op = Op {
            entity: MEMBER.code,
            action: Action::Set,
            row,
            fields,
        };
        self.write_with(first, |_, _| Some(vec![op])).is_some()
    }

    /// Node `i` cuts off the replicas of node `x` where it knows their logs.
    pub(crate) fn revoke(&mut self, i: usize, x: usize) {
        let key = self.nodes[x].signer.public_key();
        let made = self.write_with(i, |replica, _| {
            let rows: Vec<_> = replica
                .state
                .rows(&MEMBER)
                .filter(|(_, row)| row.bytes(3) == key)
                .map(|(id, row)| (id, row.int(1).unwrap_or_default()))
                .collect();
            let cut = |(row, number): (_, i64)| {
                let number = ReplicaNumber::new(number as u32).unwrap();
                let seq = replica.causality.applied().seq(number);
                let hash = replica.db.logs.head_at(number, seq).map(|head| head.hash);
                let fields = vec![
                    (8, Value::Int(seq.cast_signed())),
                    (9, Value::Bytes(hash.unwrap_or_default().to_vec().into())),
                    (10, Value::Int(1)),
                ];
                Op {
                    entity: MEMBER.code,
                    action: Action::Set,
                    row,
                    fields,
                }
            };
            Some(rows.into_iter().map(cut).collect())
        });
        if made.is_some() {
            self.revoked.insert(x);
            self.count("revoked");
        }
    }

    /// Node `i` asks node `j` for rights.
    pub(crate) fn ask_rights(&mut self, i: usize, j: usize) {
        let mut rng = self.rng.clone();
        let Some(replica) = &self.nodes[i].live else {
            return;
        };
        let days: Vec<_> = replica.state.rows(&QUEUE_DAY).map(|(id, _)| id).collect();
        let packet = rng
            .pick(&days)
            .map(|day| session::ask_rights(replica, *day, 1 + day.get() as u64 % 2));
        self.rng = rng;
        if let Some(packet) = packet {
            self.send(i, j, packet);
        }
    }
}
