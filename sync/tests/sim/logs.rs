//! The logs of all replicas, as trees: a log that was written on in two ways has branches
//! ([`islet_sync::branch`]). What comes in finds its place by its content, whatever it is called.

use std::collections::BTreeMap;
use std::rc::Rc;

use islet_sync::branch::{Branch, keeps_name};
use islet_sync::causality::{Mark, Sighting, mark};
use islet_sync::chain::{self, Hash, Head, SIGNATURE_LEN};
use islet_sync::exchange::{Introduction, Position, Vector, check_run};
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;

/// One change, as it is signed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Change {
    pub(crate) hlc: Hlc,
    pub(crate) ops: Vec<u8>,
    pub(crate) digest: Hash,
}

impl Change {
    pub(crate) fn new(hlc: Hlc, ops: Vec<u8>) -> Rc<Self> {
        let digest = chain::digest(hlc, &ops);
        Rc::new(Self { hlc, ops, digest })
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Log {
    pub(crate) who: Introduction,
    /// Where the log begins: its genesis, or where it leaves another one.
    pub(crate) base: Head,
    changes: Vec<Rc<Change>>,
    hashes: Vec<Hash>,
    /// Signatures by the seq of the head that they are over.
    pub(crate) seals: BTreeMap<u64, [u8; SIGNATURE_LEN]>,
}

impl Log {
    pub(crate) fn new(who: Introduction, base: Head) -> Self {
        Self {
            who,
            base,
            changes: Vec::new(),
            hashes: Vec::new(),
            seals: BTreeMap::new(),
        }
    }

    pub(crate) fn head(&self) -> Head {
        let seq = self.base.seq + self.changes.len() as u64;
        Head {
            seq,
            hash: self.hashes.last().copied().unwrap_or(self.base.hash),
        }
    }

    /// Of its own part only.
    fn own_head_at(&self, seq: u64) -> Option<Head> {
        let at = usize::try_from(seq.checked_sub(self.base.seq)?).ok()?;
        let hash = if at == 0 {
            self.base.hash
        } else {
            *self.hashes.get(at - 1)?
        };
        Some(Head { seq, hash })
    }

    pub(crate) fn change(&self, seq: u64) -> Option<&Rc<Change>> {
        let at = usize::try_from(seq.checked_sub(self.base.seq + 1)?).ok()?;
        self.changes.get(at)
    }

    pub(crate) fn changes(&self) -> &[Rc<Change>] {
        &self.changes
    }

    /// The chain hashes after its changes: each names a change everywhere.
    pub(crate) fn hashes(&self) -> &[Hash] {
        &self.hashes
    }

    fn first(&self, seq: u64) -> Option<(Hlc, Hash)> {
        Some((self.change(seq)?.hlc, self.own_head_at(seq)?.hash))
    }

    pub(crate) fn append(&mut self, change: Rc<Change>) {
        let head = self.head().append(&change.digest);
        self.changes.push(change);
        self.hashes.push(head.hash);
    }

    fn split_off(&mut self, seq: u64) -> Self {
        let at = usize::try_from(seq - self.base.seq).unwrap();
        let base = self.own_head_at(seq).unwrap();
        let (changes, hashes) = (self.changes.split_off(at), self.hashes.split_off(at));
        let seals = self.seals.split_off(&(seq + 1));
        Self {
            who: self.who,
            base,
            changes,
            hashes,
            seals,
        }
    }
}

/// What became of a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    New,
    Known,
    Gap,
    Forged,
    /// The log now has one more branch, or its branches have other names: the state must be rebuilt.
    Forked,
}

#[derive(Clone, Debug, Default)]
pub(crate) struct Logs(BTreeMap<ReplicaNumber, Rc<Log>>);

impl Logs {
    pub(crate) fn get(&self, number: ReplicaNumber) -> Option<&Log> {
        self.0.get(&number).map(AsRef::as_ref)
    }

    pub(crate) fn get_mut(&mut self, number: ReplicaNumber) -> Option<&mut Log> {
        self.0.get_mut(&number).map(Rc::make_mut)
    }

    pub(crate) fn insert(&mut self, log: Log) {
        self.0.insert(log.who.number, Rc::new(log));
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Log> {
        self.0.values().map(AsRef::as_ref)
    }

    pub(crate) fn numbers(&self) -> Vec<ReplicaNumber> {
        self.0.keys().copied().collect()
    }

    /// The branches of a log.
    pub(crate) fn children(&self, of: ReplicaNumber) -> Vec<(ReplicaNumber, Branch)> {
        let child = |log: &Log| Some((log.who.number, log.who.branch.filter(|b| b.of == of)?));
        self.iter().filter_map(child).collect()
    }

    /// The head at a seq, also of the part that a branch shares with the log that it left.
    pub(crate) fn head_at(&self, number: ReplicaNumber, seq: u64) -> Option<Head> {
        let log = self.get(number)?;
        if seq >= log.base.seq {
            return log.own_head_at(seq);
        }
        self.head_at(log.who.branch?.of, seq)
    }

    pub(crate) fn mark_at(&self, number: ReplicaNumber, seq: u64) -> Option<Mark> {
        Some(mark(&self.head_at(number, seq)?.hash))
    }

    /// The log in which a sighting is found: the one that was named, or a branch of it.
    pub(crate) fn find(&self, sighting: &Sighting) -> Option<ReplicaNumber> {
        let log = self.get(sighting.of)?;
        let own = log.own_head_at(sighting.seq);
        if sighting.seq > log.base.seq && own.is_some_and(|head| mark(&head.hash) == sighting.mark)
        {
            return Some(sighting.of);
        }
        self.children(sighting.of)
            .into_iter()
            .find_map(|(number, _)| {
                self.find(&Sighting {
                    of: number,
                    ..*sighting
                })
            })
    }

    /// Takes in changes `first_seq` and on, which end in a head with this signature. Without one they are taken
    /// on trust (only the all-seeing observer of a simulation does).
    pub(crate) fn take(
        &mut self,
        who: &Introduction,
        first_seq: u64,
        changes: &[Rc<Change>],
        signature: Option<&[u8; SIGNATURE_LEN]>,
    ) -> Taken {
        if first_seq == 0 || changes.is_empty() || !who.is_named_right() {
            return Taken::Forged;
        }
        if let Some(taken) = self.known_or_other(who, first_seq, changes) {
            return taken;
        }
        let digests: Vec<Hash> = changes.iter().map(|change| change.digest).collect();
        let mut tried = Taken::Gap;
        for (name, before) in self.starts(who, first_seq - 1) {
            let Some(signature) = signature else {
                return self.follow(name, before, changes, None);
            };
            match check_run(who, &before, first_seq, &digests, signature) {
                Ok(_) => return self.follow(name, before, changes, Some(signature)),
                Err(_) => tried = Taken::Forged,
            }
        }
        tried
    }

    fn known_or_other(
        &self,
        who: &Introduction,
        first_seq: u64,
        changes: &[Rc<Change>],
    ) -> Option<Taken> {
        let log = self.get(who.number)?;
        if (log.who.replica, log.who.public_key) != (who.replica, who.public_key) {
            return Some(Taken::Forged);
        }
        let is_here = |(seq, change): (u64, &Rc<Change>)| {
            log.change(seq)
                .is_some_and(|here| here.digest == change.digest)
        };
        let before = self.head_at(who.number, first_seq - 1);
        let all = before.is_some() && (first_seq..).zip(changes).all(is_here);
        all.then_some(Taken::Known)
    }

    /// Heads at `seq` that a run may follow: of the log that it is said to belong to first, then of all others of
    /// the same replica, since a peer may know only one branch and call it by the name of the log.
    fn starts(&mut self, who: &Introduction, seq: u64) -> Vec<(ReplicaNumber, Head)> {
        let is_family =
            |log: &&Log| (log.who.replica, log.who.public_key) == (who.replica, who.public_key);
        let mut names: Vec<ReplicaNumber> = self
            .iter()
            .filter(is_family)
            .map(|log| log.who.number)
            .collect();
        if names.is_empty() {
            if who.branch.is_some() {
                return Vec::new();
            }
            self.insert(Log::new(*who, Head::genesis(who.replica)));
            names.push(who.number);
        }
        names.sort_by_key(|name| *name != who.number);
        let mut starts: Vec<(ReplicaNumber, Head)> = Vec::new();
        for name in names {
            if let Some(head) = self.head_at(name, seq)
                && !starts.iter().any(|(_, other)| *other == head)
            {
                starts.push((self.holder(name, seq), head));
            }
        }
        starts
    }

    /// The log whose own part has the change `seq` of a branch.
    fn holder(&self, mut number: ReplicaNumber, seq: u64) -> ReplicaNumber {
        while let Some(log) = self.get(number)
            && let Some(branch) = log.who.branch
            && seq <= log.base.seq
        {
            number = branch.of;
        }
        number
    }

    fn follow(
        &mut self,
        mut name: ReplicaNumber,
        mut head: Head,
        changes: &[Rc<Change>],
        signature: Option<&[u8; SIGNATURE_LEN]>,
    ) -> Taken {
        for (at, change) in changes.iter().enumerate() {
            let next = head.append(&change.digest);
            let log = self.get(name).unwrap();
            match log.own_head_at(next.seq) {
                Some(here) if here == next => {}
                Some(_) => {
                    let is_it = |(_, b): &(_, Branch)| b.after == head.seq && b.first == next.hash;
                    match self.children(name).into_iter().find(is_it) {
                        Some((child, _)) => name = child,
                        None => return self.fork(name, &head, &changes[at..], signature),
                    }
                }
                None => {
                    self.extend(name, &changes[at..], signature);
                    return Taken::New;
                }
            }
            head = next;
        }
        Taken::Known
    }

    fn extend(
        &mut self,
        name: ReplicaNumber,
        changes: &[Rc<Change>],
        signature: Option<&[u8; SIGNATURE_LEN]>,
    ) {
        let log = self.get_mut(name).unwrap();
        for change in changes {
            log.append(Rc::clone(change));
        }
        if let Some(signature) = signature {
            log.seals.insert(log.head().seq, *signature);
        }
    }

    /// `changes` follow `at` in the log `name`, which goes on there in another way.
    fn fork(
        &mut self,
        name: ReplicaNumber,
        at: &Head,
        changes: &[Rc<Change>],
        signature: Option<&[u8; SIGNATURE_LEN]>,
    ) -> Taken {
        let log = self.get(name).unwrap();
        let who = log.who;
        let ours = log.first(at.seq + 1).unwrap();
        let theirs = (changes[0].hlc, at.append(&changes[0].digest).hash);
        let named = |first| {
            let branch = Branch {
                of: name,
                after: at.seq,
                first,
            };
            Introduction {
                number: branch.number(who.replica),
                branch: Some(branch),
                ..who
            }
        };
        if keeps_name(&theirs, &ours) {
            let mut branch = self.get_mut(name).unwrap().split_off(at.seq);
            branch.who = named(ours.1);
            self.reparent(name, at.seq, branch.who.number);
            self.insert(branch);
            self.extend(name, changes, signature);
        } else {
            let branch = Log::new(named(theirs.1), *at);
            let number = branch.who.number;
            self.insert(branch);
            self.extend(number, changes, signature);
        }
        Taken::Forked
    }

    fn reparent(&mut self, from: ReplicaNumber, after: u64, to: ReplicaNumber) {
        for (child, branch) in self.children(from) {
            if branch.after > after {
                let log = self.get_mut(child).unwrap();
                log.who.branch = Some(Branch { of: to, ..branch });
            }
        }
    }

    /// Up to where a node with this vector has the own part of a log; the log's base when it has none of it.
    pub(crate) fn known_to(&self, vector: &Vector, number: ReplicaNumber) -> u64 {
        let log = self.get(number).unwrap();
        let mut known = log.base.seq;
        for relative in self
            .iter()
            .filter(|other| other.who.replica == log.who.replica)
        {
            let said = relative.who.number;
            let Some(position) = vector.get(said) else {
                continue;
            };
            let Some((mut name, mut upto)) = self.locate(relative, position) else {
                continue;
            };
            while name != number {
                let Some(at) = self.get(name).filter(|log| log.who.branch.is_some()) else {
                    break;
                };
                (name, upto) = (at.who.branch.map_or(name, |b| b.of), at.base.seq);
            }
            if name == number {
                known = known.max(upto);
            }
        }
        known
    }

    /// Which log a position lies in, and how much of it is here. One that is ahead of everything that is known here is
    /// taken for what it is called: whether it is, shows when its owner sends the rest.
    fn locate(&self, said: &Log, position: Position) -> Option<(ReplicaNumber, u64)> {
        let is_there = |log: &&Log| {
            let head = log.own_head_at(position.seq);
            log.who.replica == said.who.replica
                && head.is_some_and(|h| Position::from(&h) == position)
        };
        let found = self
            .iter()
            .find(is_there)
            .map(|log| (log.who.number, position.seq));
        let ahead = position.seq > said.head().seq;
        found.or_else(|| ahead.then(|| (said.who.number, said.head().seq)))
    }
}
