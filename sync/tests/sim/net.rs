//! A network that loses, doubles, delays, reorders and cuts packets, and can be split, also in one direction
//! only.

use super::fault::Faults;
use super::rng::Rng;

#[derive(Clone, Debug)]
pub(crate) struct Packet {
    pub(crate) from: usize,
    pub(crate) to: usize,
    /// Of the sender: the connection is pinned to it.
    pub(crate) key: [u8; 32],
    pub(crate) bytes: Vec<u8>,
}

pub(crate) struct Network {
    blocked: Vec<Vec<bool>>,
    /// By arrival, then by number.
    under_way: std::collections::BTreeMap<(i64, u64), Packet>,
    sent: u64,
    /// What an attacker has recorded.
    recorded: Vec<Packet>,
}

/// How many packets an attacker keeps.
const RECORDED_MAX: usize = 20;
/// Packets under way; more are lost, as in a router.
const UNDER_WAY_MAX: usize = 200;

impl Network {
    pub(crate) fn new(nodes: usize) -> Self {
        Self {
            blocked: vec![vec![false; nodes]; nodes],
            under_way: std::collections::BTreeMap::new(),
            sent: 0,
            recorded: Vec::new(),
        }
    }

    pub(crate) fn grow(&mut self) {
        let nodes = self.blocked.len() + 1;
        for row in &mut self.blocked {
            row.push(false);
        }
        self.blocked.push(vec![false; nodes]);
    }

    /// Splits the nodes into two groups; with `one_way`, only the way back is cut.
    pub(crate) fn split(&mut self, rng: &mut Rng, one_way: bool) {
        let side: Vec<bool> = self.blocked.iter().map(|_| rng.chance(50)).collect();
        for (from, row) in self.blocked.iter_mut().enumerate() {
            for (to, blocked) in row.iter_mut().enumerate() {
                *blocked = side[from] != side[to] && (!one_way || side[from]);
            }
        }
    }

    pub(crate) fn join(&mut self) {
        self.blocked
            .iter_mut()
            .flatten()
            .for_each(|blocked| *blocked = false);
    }

    pub(crate) fn send(&mut self, packet: &Packet, faults: &Faults, now_ms: i64, rng: &mut Rng) {
        if self.blocked[packet.from][packet.to] || self.under_way.len() >= UNDER_WAY_MAX {
            return;
        }
        self.recorded.truncate(RECORDED_MAX - 1);
        self.recorded.insert(0, packet.clone());
        let copies = match faults.loss {
            true if rng.chance(15) => 0,
            true if rng.chance(10) => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let mut copy = packet.clone();
            if faults.loss && rng.chance(10) {
                copy.bytes.truncate(rng.below(copy.bytes.len()));
            }
            let delay = if faults.loss { rng.between(1, 4000) } else { 1 };
            self.sent += 1;
            self.under_way.insert((now_ms + delay, self.sent), copy);
        }
    }

    /// The next packet that has arrived.
    pub(crate) fn due(&mut self, now_ms: i64) -> Option<Packet> {
        let next = self.under_way.first_entry()?;
        (next.key().0 <= now_ms || now_ms == i64::MAX).then(|| next.remove())
    }

    pub(crate) fn recorded(&self, rng: &mut Rng) -> Option<Packet> {
        rng.pick(&self.recorded).cloned()
    }
}
