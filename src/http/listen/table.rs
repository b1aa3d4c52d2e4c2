//! Who holds a connection. Decides who gets in and who has to leave for it, by the rule in the
//! module's documentation. Must never take a place from a connection that a handler works for.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::ConnectionLimits;
use super::conn::{Conn, Group};
use crate::limits::FRESH_FOR;

/// The open connections of all listeners.
pub(super) struct Table {
    limits: ConnectionLimits,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    next_id: u64,
    conns: HashMap<u64, Arc<Conn>>,
    per_group: HashMap<Group, usize>,
}

/// A place in the table, given back when dropped. It lives as long as the socket.
pub(super) struct Ticket {
    pub(super) conn: Arc<Conn>,
    table: Arc<Table>,
}

/// What a newcomer is told.
pub(super) enum Admission {
    /// Come in.
    Admitted(Ticket),
    /// Nobody has waited long enough to be sent away: ask again at that time.
    Wait(Instant),
    /// All that could leave are working, or one address opens connections faster than it can use
    /// them.
    Refused,
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.table.inner().remove(self.conn.id);
    }
}

impl Table {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        Arc::new(Self {
            limits,
            inner: Mutex::default(),
        })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for a newcomer, if need be that of a connection that has kept us waiting.
    pub(super) fn admit(self: &Arc<Self>, ip: IpAddr, tls: bool, now: Instant) -> Admission {
        let group = Group::of(ip);
        let mut inner = self.inner();
        let (allowed, may_wait) = match group {
            Group::Loopback => (self.limits.loopback, true),
            // Waiting for one address would keep all others waiting behind it.
            Group::V4(_) | Group::V6(_) => (self.limits.per_address, false),
        };
        let freed = if inner.held_by(group) >= allowed {
            inner
                .evict(now, |conn| conn.group == group)
                .map_err(|until| until.filter(|_| may_wait))
        } else if inner.conns.len() >= self.limits.total {
            inner.evict(now, |_| true)
        } else {
            Ok(())
        };
        match freed {
            Ok(()) => Admission::Admitted(self.enter(&mut inner, group, tls, now)),
            Err(Some(until)) => Admission::Wait(until),
            Err(None) => Admission::Refused,
        }
    }

    fn enter(self: &Arc<Self>, inner: &mut Inner, group: Group, tls: bool, now: Instant) -> Ticket {
        let id = inner.next_id;
        inner.next_id += 1;
        let conn = Arc::new(Conn::new(id, group, tls, now));
        inner.conns.insert(id, Arc::clone(&conn));
        *inner.per_group.entry(group).or_default() += 1;
        Ticket {
            conn,
            table: Arc::clone(self),
        }
    }

    /// Ends the connections whose time is up.
    pub(super) fn reap(&self, now: Instant) {
        let mut inner = self.inner();
        let overdue: Vec<u64> = inner
            .conns
            .values()
            .filter(|conn| conn.overdue(&self.limits, now))
            .map(|conn| conn.id)
            .collect();
        for id in overdue {
            inner.remove(id);
        }
    }

    /// Open connections.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.inner().conns.len()
    }
}

impl Inner {
    fn held_by(&self, group: Group) -> usize {
        self.per_group.get(&group).copied().unwrap_or(0)
    }

    /// Ends the connection that has waited longest in the largest group among those eligible.
    /// When all that wait have only begun to, says when the first has waited long enough.
    fn evict(
        &mut self,
        now: Instant,
        eligible: impl Fn(&Conn) -> bool,
    ) -> Result<(), Option<Instant>> {
        let mut victim = None;
        let mut next_ripe: Option<Instant> = None;
        for conn in self.conns.values().filter(|conn| eligible(conn)) {
            let Some(since) = conn.waits_since() else {
                continue;
            };
            let ripe = since + FRESH_FOR;
            if ripe > now {
                next_ripe = Some(next_ripe.map_or(ripe, |other| other.min(ripe)));
                continue;
            }
            let rank = (Reverse(self.held_by(conn.group)), since, conn.id);
            victim = Some(victim.map_or(rank, |other: (_, _, _)| rank.min(other)));
        }
        let (_, _, id) = victim.ok_or(next_ripe)?;
        self.remove(id);
        Ok(())
    }

    fn remove(&mut self, id: u64) {
        let Some(conn) = self.conns.remove(&id) else {
            return;
        };
        conn.evicted.cancel();
        if let Some(held) = self.per_group.get_mut(&conn.group) {
            *held -= 1;
            if *held == 0 {
                self.per_group.remove(&conn.group);
            }
        }
    }
}
