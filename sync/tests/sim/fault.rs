//! What goes wrong. Each seed draws which kinds of faults there are, so that each meets the others in every
//! combination (swarm testing: Groce et al., ISSTA 2012).

use std::collections::BTreeSet;
use std::rc::Rc;

use islet_sync::chain::{Hash, Signer};

use super::hostile;
use super::node::{Clock, Disk, Node};
use super::replica::Db;
use super::rng::Rng;
use super::world::World;
use super::{clinic, mutation::Mutation};

/// Which kinds of faults there are.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Faults {
    pub(crate) crash: bool,
    pub(crate) partition: bool,
    pub(crate) loss: bool,
    pub(crate) clock: bool,
    /// A backup is put back, as the manual says.
    pub(crate) restore: bool,
    /// An image of the whole disk is put back, or runs twice: nothing on the machine shows it.
    pub(crate) image: bool,
    pub(crate) disk: bool,
    pub(crate) revoke: bool,
    pub(crate) upgrade: bool,
    pub(crate) hostile: bool,
}

impl Faults {
    pub(crate) fn drawn(rng: &mut Rng) -> Self {
        Self {
            crash: rng.chance(50),
            partition: rng.chance(60),
            loss: rng.chance(50),
            clock: rng.chance(50),
            restore: rng.chance(35),
            image: rng.chance(20),
            disk: rng.chance(30),
            revoke: rng.chance(15),
            upgrade: rng.chance(30),
            hostile: rng.chance(25),
        }
    }
}

/// Copies of disks that somebody keeps.
#[derive(Default)]
pub(crate) struct Shelf {
    backups: Vec<(usize, Db)>,
    images: Vec<(usize, Disk)>,
}

const YEAR_MS: i64 = 365 * 24 * 3600 * 1000;

impl World {
    /// One random thing happens.
    pub(crate) fn step(&mut self, shelf: &mut Shelf) {
        self.now_ms += self.rng.between(1, 3000);
        let i = self.rng.below(self.nodes.len());
        match self.rng.below(100) {
            0..38 => {
                self.write_with(i, clinic::something);
            }
            38..56 => {
                let j = self.rng.below(self.nodes.len());
                if i != j {
                    self.call(i, j);
                }
            }
            56..80 => {
                let most = 1 + self.rng.below(6);
                self.deliver(most);
            }
            80..84 => {
                let j = self.rng.below(self.nodes.len());
                if i != j {
                    self.ask_rights(i, j);
                }
            }
            _ => self.fault(i, shelf),
        }
    }

    fn fault(&mut self, i: usize, shelf: &mut Shelf) {
        let faults = self.faults;
        match self.rng.below(12) {
            0 if faults.crash && self.rng.chance(50) => self.crash(i),
            0..3 => self.start(i),
            3 if faults.partition => {
                let (mut rng, one_way) = (self.rng.clone(), self.rng.chance(30));
                self.network.split(&mut rng, one_way);
                self.rng = rng;
                self.count("partition");
            }
            4 => self.network.join(),
            5 if faults.clock => self.set_clock(i),
            6 if faults.restore => self.restore(i, shelf),
            7 if faults.image => self.image(i, shelf),
            8 if faults.disk => self.nodes[i].disk_full = !self.nodes[i].disk_full,
            9 if faults.revoke && self.revoked.is_empty() && self.rng.chance(20) => {
                let x = self.rng.below(self.nodes.len());
                let twins = self
                    .nodes
                    .iter()
                    .filter(|n| same_key(n, &self.nodes[x]))
                    .count();
                if x != i && x != 0 && twins == 1 && !same_key(&self.nodes[i], &self.nodes[x]) {
                    self.revoke(i, x);
                }
            }
            10 if faults.upgrade => {
                self.nodes[i].newer = !self.nodes[i].newer;
                self.nodes[i].crash();
                self.start(i);
            }
            11 if faults.hostile => hostile::act(self, i),
            _ => {}
        }
    }

    pub(crate) fn set_clock(&mut self, i: usize) {
        let now_ms = self.now_ms;
        let clock = match self.rng.below(6) {
            0 => Clock {
                offset_ms: 10 * YEAR_MS,
                frozen_at: None,
            },
            1 => Clock {
                offset_ms: -50 * YEAR_MS,
                frozen_at: None,
            },
            2 => Clock {
                offset_ms: 0,
                frozen_at: Some(now_ms),
            },
            3 => Clock {
                offset_ms: -self.rng.between(0, 3_600_000),
                frozen_at: None,
            },
            4 => Clock {
                offset_ms: self.rng.between(0, 3_600_000),
                frozen_at: None,
            },
            _ => Clock::default(),
        };
        self.nodes[i].clock = clock;
        self.note(|| format!("node {i} has the clock {clock:?}"));
    }

    /// What only this disk has is lost with it.
    pub(crate) fn forgive(&mut self, i: usize) {
        let mut elsewhere: BTreeSet<Hash> = BTreeSet::new();
        let is_other = |j: &usize| *j != i && !self.revoked.contains(j);
        for node in (0..self.nodes.len())
            .filter(is_other)
            .map(|j| &self.nodes[j])
        {
            node.disk
                .db
                .logs
                .iter()
                .for_each(|log| elsewhere.extend(log.hashes()));
        }
        let lost = self
            .answered
            .iter()
            .filter(|hash| !elsewhere.contains(*hash));
        self.forgiven.extend(lost.copied());
    }

    fn restore(&mut self, i: usize, shelf: &mut Shelf) {
        if self.rng.chance(60) || !shelf.backups.iter().any(|(of, _)| *of == i) {
            let copy = self.nodes[i].back_up();
            shelf.backups.extend(copy.map(|db| (i, db)));
            return;
        }
        let kept: Vec<&Db> = shelf
            .backups
            .iter()
            .filter(|(of, _)| *of == i)
            .map(|(_, db)| db)
            .collect();
        let Some(db) = self.rng.pick(&kept).map(|db| (*db).clone()) else {
            return;
        };
        // Once the identity file itself went back, its counter says nothing any more.
        let doubted = self.nodes[i].equivocates || self.suspects.contains_key(&db.id);
        if doubted {
            self.suspect(&db);
        }
        self.forgive(i);
        self.crash(i);
        self.note(|| format!("node {i} is restored to {:?}", db.seq()));
        let before = self.nodes[i].reasons.len();
        self.nodes[i].disk.db = db;
        self.start(i);
        self.count("restore");
        let noticed = self.nodes[i].reasons.len() > before;
        let ignores = self.nodes[i].mutation == Mutation::NoIncarnation || doubted;
        assert!(noticed || ignores, "a restore unnoticed");
    }

    /// Notes that there may be two of a replica from now on.
    pub(crate) fn suspect(&mut self, db: &Db) {
        let seq = self.suspects.entry(db.id).or_insert(db.seq());
        *seq = (*seq).min(db.seq());
    }

    fn image(&mut self, i: usize, shelf: &mut Shelf) {
        let kept: Vec<&Disk> = shelf
            .images
            .iter()
            .filter(|(of, _)| *of == i)
            .map(|(_, disk)| disk)
            .collect();
        let kept = self.rng.pick(&kept).map(|disk| (*disk).clone());
        match (self.rng.below(4), kept) {
            (0, Some(disk)) => self.put_image_back(i, disk),
            (1, Some(disk)) if self.nodes.len() < 7 => self.clone_node(i, disk, true),
            (2, Some(disk)) if self.nodes.len() < 7 => self.clone_node(i, disk, false),
            _ => shelf.images.push((i, self.nodes[i].disk.clone())),
        }
    }

    /// The whole card goes back, or only its database.
    pub(crate) fn put_image_back(&mut self, i: usize, disk: Disk) {
        self.forgive(i);
        self.crash(i);
        self.suspect(&disk.db);
        self.note(|| format!("node {i} gets an image of seq {}", disk.db.seq()));
        if self.rng.chance(30) {
            self.nodes[i].disk.db = disk.db;
        } else {
            self.nodes[i].disk = disk;
        }
        self.start(i);
        self.count("image put back");
    }

    /// A copy of a card runs beside the original.
    pub(crate) fn clone_node(&mut self, i: usize, disk: Disk, same_machine: bool) {
        let original = &self.nodes[i];
        let signer: Rc<Signer> = Rc::clone(&original.signer);
        let mut node = Node::new(signer, disk.db.me, disk.db.id);
        node.mutation = original.mutation;
        node.newer = original.newer;
        node.latest_wall_ms = original.latest_wall_ms;
        node.same_machine = same_machine;
        if same_machine {
            self.suspect(&disk.db);
        }
        node.disk = disk;
        self.nodes.push(node);
        self.network.grow();
        let new = self.nodes.len() - 1;
        if self.revoked.contains(&i) {
            self.revoked.insert(new);
        }
        self.note(|| format!("node {new} is a copy of node {i}"));
        self.count("clone");
        self.start(new);
    }
}

fn same_key(a: &Node, b: &Node) -> bool {
    a.signer.public_key() == b.signer.public_key()
}
