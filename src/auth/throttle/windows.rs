//! The counts behind the throttle, without any waiting: failures within a sliding window, and
//! attempts under way.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};

use super::{Closed, RetryAfter, ThrottleLimits, Tried};

/// A digest: the texts that attackers send have any length, and are nobody's business.
type AccountKey = [u8; 16];

/// What one attempt counts for.
#[derive(Debug, Clone, Copy)]
pub(super) struct Keys {
    what: Tried,
    account: AccountKey,
    network: (Tried, IpAddr),
}

impl Keys {
    pub(super) fn new(what: Tried, account: &str, address: IpAddr) -> Self {
        let digest = blake3::hash(account.trim().to_lowercase().as_bytes());
        let mut account = [0; 16];
        account.copy_from_slice(&digest.as_bytes()[..16]);
        Self {
            what,
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
    accounts: Table<AccountKey, ()>,
    networks: Table<(Tried, IpAddr), AccountKey>,
    limits: ThrottleLimits,
}

impl Windows {
    pub(super) fn new(limits: ThrottleLimits) -> Self {
        Self {
            accounts: Table::new(limits, false),
            networks: Table::new(limits, true),
            limits,
        }
    }

    /// Failures that close an account.
    fn account_failures(&self, what: Tried) -> usize {
        match what {
            Tried::RecoveryMail => self.limits.account_mails,
            Tried::LogIn | Tried::RecoveryCode => self.limits.account_failures,
        }
    }

    pub(super) fn try_admit(&mut self, keys: Keys, now_ms: u64) -> Admission {
        let most = self.account_failures(keys.what);
        let account = self.accounts.load(keys.account, (), most, now_ms);
        let (most, who) = (self.limits.address_failures, keys.account);
        let network = self.networks.load(keys.network, who, most, now_ms);
        match account.max(network) {
            Load::Full { since_ms } => {
                let wait_ms = (since_ms + self.limits.window_ms).saturating_sub(now_ms);
                Admission::Refused(RetryAfter {
                    seconds: wait_ms.div_ceil(1_000).max(1),
                })
            }
            Load::Undecided => Admission::Wait,
            Load::Free => {
                self.accounts.entry(keys.account).under_way.push(());
                self.networks
                    .entry(keys.network)
                    .under_way
                    .push(keys.account);
                Admission::Admitted
            }
        }
    }

    pub(super) fn record_failure(&mut self, keys: Keys, now_ms: u64) -> Closed {
        let of_account = self.accounts.record(keys.account, (), now_ms);
        let of_network = self.networks.record(keys.network, keys.account, now_ms);
        let most = self.account_failures(keys.what);
        Closed {
            account: of_account.is_some_and(|failures| failures >= most),
            address: of_network.is_some_and(|accounts| accounts >= self.limits.address_failures),
        }
    }

    pub(super) fn forgive_account(&mut self, keys: Keys) {
        self.accounts.entry(keys.account).failures.clear();
        let of_others = |failure: &Failure<AccountKey>| failure.who != keys.account;
        self.networks.entry(keys.network).failures.retain(of_others);
    }

    pub(super) fn release(&mut self, keys: Keys) {
        self.accounts.release(keys.account, ());
        self.networks.release(keys.network, keys.account);
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

struct Failure<W> {
    at_ms: u64,
    who: W,
}

struct Entry<W> {
    /// In the order in which they were recorded.
    failures: VecDeque<Failure<W>>,
    under_way: Vec<W>,
}

impl<W: Copy + PartialEq> Entry<W> {
    const fn new() -> Self {
        Self {
            failures: VecDeque::new(),
            under_way: Vec::new(),
        }
    }

    fn forget_before(&mut self, oldest_ms: u64) {
        self.failures.retain(|failure| failure.at_ms > oldest_ms);
    }

    fn is_empty(&self) -> bool {
        self.failures.is_empty() && self.under_way.is_empty()
    }

    fn has_failed(&self, who: W) -> bool {
        self.failures.iter().any(|failure| failure.who == who)
    }

    /// How many failures there would be more if all attempts under way failed.
    fn undecided(&self, once_each: bool) -> usize {
        let under_way = self.under_way.iter().enumerate();
        let repeats =
            |at: usize, who: W| self.has_failed(who) || self.under_way[..at].contains(&who);
        under_way
            .filter(|(at, who)| !(once_each && repeats(*at, **who)))
            .count()
    }
}

/// What `K` is answerable for, by who did it.
struct Table<K, W> {
    entries: HashMap<K, Entry<W>>,
    /// However often one of them fails, it is one failure: the last.
    once_each: bool,
    keys_max: usize,
    window_ms: u64,
}

impl<K: Copy + Eq + Hash, W: Copy + PartialEq> Table<K, W> {
    fn new(limits: ThrottleLimits, once_each: bool) -> Self {
        Self {
            entries: HashMap::new(),
            once_each,
            keys_max: limits.keys,
            window_ms: limits.window_ms,
        }
    }

    /// The load of `key` now, which may have `most` failures, with room made for it if it is new.
    fn load(&mut self, key: K, who: W, most: usize, now_ms: u64) -> Load {
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
        if self.once_each && (entry.has_failed(who) || entry.under_way.contains(&who)) {
            return Load::Free;
        }
        match entry.failures.front() {
            Some(first) if entry.failures.len() >= most => Load::Full {
                since_ms: first.at_ms,
            },
            _ if entry.failures.len() + entry.undecided(self.once_each) >= most => Load::Undecided,
            _ => Load::Free,
        }
    }

    /// Notes a failure. Tells how many there are, when this one made them more.
    fn record(&mut self, key: K, who: W, now_ms: u64) -> Option<usize> {
        let (window_ms, once_each) = (self.window_ms, self.once_each);
        let entry = self.entry(key);
        if let Some(oldest_ms) = now_ms.checked_sub(window_ms) {
            entry.forget_before(oldest_ms);
        }
        let before = entry.failures.len();
        if once_each {
            entry.failures.retain(|failure| failure.who != who);
        }
        entry.failures.push_back(Failure { at_ms: now_ms, who });
        let after = entry.failures.len();
        (after > before).then_some(after)
    }

    fn entry(&mut self, key: K) -> &mut Entry<W> {
        self.entries.entry(key).or_insert_with(Entry::new)
    }

    fn release(&mut self, key: K, who: W) {
        if let Some(entry) = self.entries.get_mut(&key) {
            if let Some(at) = entry.under_way.iter().position(|other| *other == who) {
                entry.under_way.swap_remove(at);
            }
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
            .filter(|(_, entry)| entry.under_way.is_empty());
        let least = idle
            .min_by_key(|(_, it)| (it.failures.len(), it.failures.back().map(|last| last.at_ms)));
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
