//! The counts behind the throttle, without any waiting: failures within a sliding window, and
//! attempts under way.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use super::{Closed, RetryAfter, ThrottleLimits, Tried};

/// What one attempt counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    /// A digest: the texts that attackers send have any length, and are nobody's business.
    account: [u8; 16],
    network: (Tried, IpAddr),
}

impl Keys {
    pub(super) fn new(what: Tried, account: &str, address: IpAddr) -> Self {
        let digest = blake3::hash(account.trim().to_lowercase().as_bytes());
        let mut account = [0; 16];
        account.copy_from_slice(&digest.as_bytes()[..16]);
        Self {
            account,
            network: (what, network(address)),
        }
    }
}

/// The address as such for IPv4, its /64 for IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & (u128::MAX << 64)).into(),
        address => address,
    }
}

/// The answer to an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Admission {
    /// Go on; the attempt is counted as under way.
    Admitted,
    /// It depends on the attempts under way: ask again when one of them is decided.
    Wait,
    /// Too many failures.
    Refused(RetryAfter),
}

/// The counts of all accounts and addresses.
pub(super) struct Windows {
    accounts: Table<[u8; 16]>,
    networks: Table<(Tried, IpAddr)>,
    window_ms: u64,
}

impl Windows {
    pub(super) fn new(limits: ThrottleLimits) -> Self {
        let window_ms = limits.window_ms;
        let table = |failures_max| (failures_max, limits.keys);
        Self {
            accounts: Table::new(table(limits.account_failures), window_ms),
            networks: Table::new(table(limits.address_failures), window_ms),
            window_ms,
        }
    }

    pub(super) fn try_admit(&mut self, keys: Keys, now_ms: u64) -> Admission {
        let account = self.accounts.load(keys.account, now_ms);
        let network = self.networks.load(keys.network, now_ms);
        match account.max(network) {
            Load::Full { since_ms } => {
                let wait_ms = (since_ms + self.window_ms).saturating_sub(now_ms);
                Admission::Refused(RetryAfter {
                    seconds: wait_ms.div_ceil(1_000).max(1),
                })
            }
            Load::Undecided => Admission::Wait,
            Load::Free => {
                self.accounts.entry(keys.account).under_way += 1;
                self.networks.entry(keys.network).under_way += 1;
                Admission::Admitted
            }
        }
    }

    pub(super) fn record_failure(&mut self, keys: Keys, now_ms: u64) -> Closed {
        Closed {
            account: self.accounts.record_failure(keys.account, now_ms),
            address: self.networks.record_failure(keys.network, now_ms),
        }
    }

    pub(super) fn forgive_account(&mut self, keys: Keys) {
        self.accounts.entry(keys.account).failures_ms.clear();
    }

    pub(super) fn release(&mut self, keys: Keys) {
        self.accounts.release(keys.account);
        self.networks.release(keys.network);
    }
}

/// How much of its limit a key has used; ordered by how bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Load {
    Free,
    /// Full if the attempts under way fail.
    Undecided,
    /// Full of failures, the oldest at this time.
    Full {
        since_ms: u64,
    },
}

#[derive(Default)]
struct Entry {
    /// In the order in which they were recorded.
    failures_ms: VecDeque<u64>,
    under_way: usize,
}

impl Entry {
    fn forget_before(&mut self, oldest_ms: u64) {
        self.failures_ms
            .retain(|&failure_ms| failure_ms > oldest_ms);
    }

    fn is_empty(&self) -> bool {
        self.failures_ms.is_empty() && self.under_way == 0
    }
}

struct Table<K> {
    entries: HashMap<K, Entry>,
    failures_max: usize,
    keys_max: usize,
    window_ms: u64,
}

impl<K: Copy + Eq + Hash> Table<K> {
    fn new((failures_max, keys_max): (usize, usize), window_ms: u64) -> Self {
        Self {
            entries: HashMap::new(),
            failures_max,
            keys_max,
            window_ms,
        }
    }

    /// The load of `key` now, with room made for it if it is new.
    fn load(&mut self, key: K, now_ms: u64) -> Load {
        // At time 0 nothing is older than the window.
        let oldest_ms = now_ms.checked_sub(self.window_ms);
        let Some(entry) = self.entries.get_mut(&key) else {
            return if self.make_room(oldest_ms) {
                Load::Free
            } else {
                Load::Undecided
            };
        };
        if let Some(oldest_ms) = oldest_ms {
            entry.forget_before(oldest_ms);
        }
        match entry.failures_ms.front() {
            Some(&since_ms) if entry.failures_ms.len() >= self.failures_max => {
                Load::Full { since_ms }
            }
            _ if entry.failures_ms.len() + entry.under_way >= self.failures_max => Load::Undecided,
            _ => Load::Free,
        }
    }

    /// Whether the key is full now.
    fn record_failure(&mut self, key: K, now_ms: u64) -> bool {
        let (failures_max, window_ms) = (self.failures_max, self.window_ms);
        let entry = self.entry(key);
        if let Some(oldest_ms) = now_ms.checked_sub(window_ms) {
            entry.forget_before(oldest_ms);
        }
        entry.failures_ms.push_back(now_ms);
        entry.failures_ms.len() >= failures_max
    }

    fn entry(&mut self, key: K) -> &mut Entry {
        self.entries.entry(key).or_default()
    }

    fn release(&mut self, key: K) {
        if let Some(entry) = self.entries.get_mut(&key) {
            entry.under_way = entry.under_way.saturating_sub(1);
            if entry.is_empty() {
                self.entries.remove(&key);
            }
        }
    }

    /// Makes room for one more key; false if every entry has an attempt under way.
    fn make_room(&mut self, oldest_ms: Option<u64>) -> bool {
        if self.entries.len() < self.keys_max {
            return true;
        }
        if let Some(oldest_ms) = oldest_ms {
            self.entries.retain(|_, entry| {
                entry.forget_before(oldest_ms);
                !entry.is_empty()
            });
        }
        if self.entries.len() < self.keys_max {
            return true;
        }
        let idle = self
            .entries
            .iter()
            .filter(|(_, entry)| entry.under_way == 0);
        let least =
            idle.min_by_key(|(_, it)| (it.failures_ms.len(), it.failures_ms.back().copied()));
        let Some((&key, _)) = least else { return false };
        self.entries.remove(&key);
        true
    }

    #[cfg(test)]
    fn len(&self) -> usize {
        self.entries.len()
    }
}

#[cfg(test)]
mod tests;
