//! An [`App`] on a temporary directory, for tests.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use islet_sync::chain::{ReplicaId, Signer};

use super::live::Live;
use super::mail::Mailer;
use super::{App, Broker, Lifetimes, Meeting, SessionCache};
use crate::auth::SystemRandom;
use crate::auth::password::{HasherLimits, PasswordHasher};
use crate::auth::throttle::{Throttle, ThrottleLimits};
use crate::auth::token::{TokenKeys, issuer};
use crate::clock::Clock;
use crate::store::{NewReplica, Store};

pub(crate) const AUDIT_KEY: [u8; 32] = [7; 32];

/// A new, empty node and its directory.
pub(crate) fn app(clock: Arc<dyn Clock>) -> (App, tempfile::TempDir) {
    app_as(0, clock)
}

/// The same as a replica of a network, whose keys and ids follow from its number.
pub(crate) fn app_as(number: u8, clock: Arc<dyn Clock>) -> (App, tempfile::TempDir) {
    let replica = NewReplica {
        number: number.into(),
        replica_id: ReplicaId([number; 16]),
        network: [2; 16],
        node_id: "test".into(),
        clinic: "Test".into(),
        created_at: clock.now(),
    };
    app_of(&replica, Signer::from_seed(&[number; 32]).unwrap(), clock)
}

/// The node of a given replica and key.
pub(crate) fn app_of(
    replica: &NewReplica,
    signer: Signer,
    clock: Arc<dyn Clock>,
) -> (App, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    Store::create(dir.path(), replica, &AUDIT_KEY).unwrap();
    let app = app_in(dir.path(), signer, clock);
    (app, dir)
}

/// The node in a directory that holds one.
pub(crate) fn app_in(dir: &Path, signer: Signer, clock: Arc<dyn Clock>) -> App {
    let day = Duration::from_secs(24 * 3600);
    App {
        store: Store::open(dir, AUDIT_KEY, Arc::clone(&clock)).unwrap(),
        hasher: PasswordHasher::start(HasherLimits::default(), Arc::new(SystemRandom)).unwrap(),
        tokens: TokenKeys::generate(&issuer(&signer.public_key()))
            .unwrap()
            .0,
        throttle: Throttle::new(ThrottleLimits::default()),
        session_cache: SessionCache::default(),
        mailer: Mailer::default(),
        lifetimes: Lifetimes {
            access: Duration::from_secs(1_800),
            refresh: 7 * day,
            patient_recovery: Duration::from_secs(900),
            staff_recovery: Duration::from_secs(300),
            desk_code: Duration::from_secs(3_600),
        },
        clock,
        random: Arc::new(SystemRandom),
        broker: Broker::default(),
        live: Live::new(64),
        signer: Arc::new(signer),
        applying: tokio::sync::Mutex::default(),
        meeting: Meeting::default(),
        started: Instant::now(),
    }
}
