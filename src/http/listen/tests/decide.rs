//! Who gets a place and who loses it, without sockets or clocks.

use std::net::IpAddr;
use std::time::Instant;

use super::super::body::Pace;
use super::super::conn::{Conn, Group, Stage};
use super::super::table::{Admission, Table, Ticket};
use super::*;
use crate::limits::FRESH_FOR;

fn limits(total: usize, per_address: usize, loopback: usize) -> ConnectionLimits {
    ConnectionLimits {
        total,
        per_address,
        loopback,
        ..ConnectionLimits::default()
    }
}

/// A table and a clock that goes on by a second per newcomer.
struct World {
    table: Arc<Table>,
    now: Instant,
}

impl World {
    fn new(limits: ConnectionLimits) -> Self {
        Self {
            table: Table::new(limits),
            now: Instant::now(),
        }
    }

    fn ask(&self, ip: &str) -> Admission {
        self.table.admit(ip.parse().unwrap(), false, self.now)
    }

    fn try_admit(&mut self, ip: &str) -> Option<Ticket> {
        self.now += Duration::from_secs(1);
        match self.ask(ip) {
            Admission::Admitted(ticket) => Some(ticket),
            Admission::Wait(until) => panic!("told to wait until {until:?}"),
            Admission::Refused => None,
        }
    }

    fn admit(&mut self, ip: &str) -> Ticket {
        self.try_admit(ip).expect("a place")
    }
}

fn gone(ticket: &Ticket) -> bool {
    ticket.conn.evicted.is_cancelled()
}

#[test]
fn at_its_own_bound_an_address_gives_up_its_own_oldest() {
    let mut world = World::new(limits(10, 2, 2));
    let other = world.admit("10.0.0.9");
    let (first, second) = (world.admit("10.0.0.1"), world.admit("10.0.0.1"));
    let third = world.admit("10.0.0.1");
    assert!(gone(&first) && ![&other, &second, &third].into_iter().any(gone));
    assert_eq!(world.table.len(), 3);
}

#[test]
fn when_full_the_address_with_most_gives_up_its_oldest() {
    let mut world = World::new(limits(4, 3, 3));
    let single = world.admit("10.0.0.9");
    let many: Vec<_> = (0..3).map(|_| world.admit("10.0.0.1")).collect();
    let newcomer = world.admit("10.0.0.2");
    assert!(gone(&many[0]) && !gone(&many[1]) && !gone(&many[2]));
    assert!(!gone(&single) && !gone(&newcomer));
    assert_eq!(world.table.len(), 4);
}

#[test]
fn nobody_is_sent_away_who_has_only_begun_to_wait() {
    let mut world = World::new(limits(3, 2, 2));
    let first = world.admit("10.0.0.1");
    let begun = world.now;
    world.now += FRESH_FOR / 4;
    let Admission::Admitted(second) = world.ask("10.0.0.1") else {
        panic!("a place is free")
    };
    assert!(
        matches!(world.ask("10.0.0.1"), Admission::Refused),
        "one address does not hold up all"
    );
    let Admission::Admitted(own) = world.ask("127.0.0.1") else {
        panic!("a place is free")
    };
    let Admission::Wait(until) = world.ask("10.0.0.2") else {
        panic!("all have only begun")
    };
    assert_eq!(until, begun + FRESH_FOR);
    world.now = until;
    assert!(matches!(world.ask("10.0.0.2"), Admission::Admitted(_)));
    assert!(gone(&first) && !gone(&second) && !gone(&own));
}

#[test]
fn a_working_connection_is_never_given_up() {
    let mut world = World::new(limits(2, 2, 2));
    let working = world.admit("10.0.0.1");
    let request = working.conn.begin(false, world.now);
    let waiting = world.admit("10.0.0.1");
    let newcomer = world.admit("10.0.0.1");
    assert!(!gone(&working) && gone(&waiting));
    let second = newcomer.conn.begin(false, world.now);
    assert!(world.try_admit("10.0.0.1").is_none());
    assert!(world.try_admit("10.0.0.2").is_none());
    for stage in [Stage::Receiving, Stage::Sending] {
        second.set_stage(stage);
        assert!(newcomer.conn.waits_since().is_some());
    }
    second.set_stage(Stage::LongLived);
    assert!(world.try_admit("10.0.0.2").is_none());
    drop(request);
    world.now = Instant::now();
    assert!(world.try_admit("10.0.0.2").is_some());
    assert!(gone(&working));
}

#[test]
fn one_working_stream_protects_its_whole_http2_connection() {
    let conn = Arc::new(Conn::new(0, Group::Loopback, true, Instant::now()));
    let (receiving, working) = (
        conn.begin(true, Instant::now()),
        conn.begin(true, Instant::now()),
    );
    receiving.set_stage(Stage::Receiving);
    assert!(conn.waits_since().is_none());
    drop(working);
    assert!(conn.waits_since().is_some());
}

#[test]
fn places_come_back_when_sockets_close() {
    let mut world = World::new(limits(2, 1, 1));
    for _ in 0..5 {
        let ticket = world.admit("10.0.0.1");
        assert!(!gone(&ticket));
    }
    assert_eq!(world.table.len(), 0);
}

#[test]
fn loopback_cannot_take_the_last_places() {
    let defaults = ConnectionLimits::default();
    assert!(defaults.loopback + defaults.per_address <= defaults.total);
    let mut world = World::new(limits(4, 2, 3));
    let own: Vec<_> = (1..=6)
        .map(|n| world.admit(&format!("127.0.0.{n}")))
        .collect();
    assert_eq!(own.iter().filter(|ticket| !gone(ticket)).count(), 3);
}

#[test]
fn addresses_are_grouped_as_their_owners_are() {
    let group = |ip: &str| Group::of(ip.parse::<IpAddr>().unwrap());
    assert_eq!(group("127.0.0.1"), group("::1"));
    assert_eq!(group("127.0.0.1"), group("::ffff:127.8.8.8"));
    assert_eq!(group("2001:db8:0:1::1"), group("2001:db8:0:1:ffff::2"));
    assert_ne!(group("2001:db8:0:1::1"), group("2001:db8:0:2::1"));
    assert_eq!(group("10.0.0.1"), group("::ffff:10.0.0.1"));
    assert_ne!(group("10.0.0.1"), group("10.0.0.2"));
}

#[test]
fn each_phase_has_its_own_time() {
    let limits = ConnectionLimits::default();
    let start = Instant::now();
    let conn = Arc::new(Conn::new(0, Group::Loopback, true, start));
    let just_before = |time: Duration| time.checked_sub(Duration::from_millis(1)).unwrap();
    let holds_until = |from: Instant, allowed: Duration| {
        assert!(!conn.overdue(&limits, from + just_before(allowed)));
        assert!(conn.overdue(&limits, from + allowed));
    };
    holds_until(start, limits.handshake_timeout);
    let ready = start + Duration::from_secs(3);
    conn.handshake_done(ready);
    holds_until(ready, limits.header_timeout);
    let asked = ready + Duration::from_secs(3);
    let request = conn.begin(false, asked);
    holds_until(
        asked,
        limits.request_timeout + crate::limits::REQUEST_OVERRUN,
    );
    request.set_stage(Stage::LongLived);
    assert!(!conn.overdue(&limits, asked + Duration::from_secs(86_400)));
    drop(request);
    assert!(!conn.overdue(&limits, Instant::now() + just_before(limits.idle_timeout)));
    assert!(conn.overdue(&limits, Instant::now() + limits.idle_timeout));
    let next = Instant::now() + Duration::from_secs(20);
    conn.received(|| next);
    holds_until(next, limits.header_timeout);
    conn.received(|| next + Duration::from_secs(4));
    holds_until(next, limits.header_timeout);
    conn.upgrade();
    assert!(!conn.overdue(&limits, next + Duration::from_secs(86_400)));
}

#[test]
fn the_reaper_takes_the_overdue_and_no_others() {
    let mut world = World::new(limits(9, 9, 9));
    let old = world.admit("10.0.0.1");
    world.now += ConnectionLimits::default().header_timeout - Duration::from_secs(1);
    let young = world.admit("10.0.0.1");
    world.table.reap(world.now);
    assert!(gone(&old) && !gone(&young));
    assert_eq!(world.table.len(), 1);
}

#[test]
fn a_body_is_held_to_its_rate_only_while_awaited() {
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    let mut pace = Pace::new(5 * second, 1000);
    assert_eq!(pace.waiting(start), start + 5 * second);
    assert_eq!(
        pace.waiting(start + second),
        start + 5 * second,
        "polling again gains nothing"
    );
    pace.received(2000, start + 4 * second);
    // Nobody asked for an hour; then 4 of 5 + 2 seconds are used up.
    let later = start + 3600 * second;
    assert_eq!(pace.waiting(later), later + 3 * second);
    // A byte a second: each costs a second of waiting and earns a thousandth.
    let mut now = later;
    let mut bytes = 0;
    while pace.waiting(now) > now + second {
        now += second;
        pace.received(1, now);
        bytes += 1;
        assert!(bytes < 10);
    }
    assert_eq!(bytes, 3);
}
