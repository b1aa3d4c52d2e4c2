//! Nodes for the measurements: a directory with a database and a key, and what serves it to peers.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use islet::auth::password::{HasherLimits, PasswordHasher};
use islet::auth::throttle::{Throttle, ThrottleLimits};
use islet::auth::token::TokenKeys;
use islet::auth::{Secret, SystemRandom};
use islet::clock::{Clock, ManualClock, SystemClock};
use islet::domain::actor::{Actor, Who};
use islet::domain::audit::Entry;
use islet::domain::glucose::{Glucose, NewReading, ReadingType, Source};
use islet::domain::time::Timestamp;
use islet::http::listen::{self, Kind, Listener};
use islet::peer::identity::Identity;
use islet::peer::join::Inheritance;
use islet::peer::{PeerNode, links, server, tls};
use islet::service::live::Live;
use islet::service::mail::Mailer;
use islet::service::replication::{self, Admission};
use islet::service::{App, Broker, Error, Lifetimes, Meeting, SessionCache, readings};
use islet::store::members::{self, NewMember};
use islet::store::{Lane, NewReplica, Store, StoreError, logs};
use islet_sync::chain::ReplicaId;
use islet_sync::id::ReplicaNumber;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::data::Author;

const AUDIT_KEY: [u8; 32] = [7; 32];
const NETWORK: [u8; 16] = [2; 16];

/// Makes a node in `dir`: its key, and its empty database. `at_ms` is when.
pub(crate) fn create(dir: &Path, number: u32, at_ms: i64) {
    std::fs::create_dir_all(dir).unwrap();
    let key = Identity::generate().unwrap();
    std::fs::write(dir.join("node.key"), &*key).unwrap();
    std::fs::write(dir.join("number"), number.to_string()).unwrap();
    let replica = NewReplica {
        number,
        replica_id: replica_id(number),
        network: NETWORK,
        node_id: identity(dir).node_id(),
        clinic: "Bench".into(),
        created_at: Timestamp(at_ms),
    };
    Store::create(dir, &replica, &AUDIT_KEY).unwrap();
}

pub(crate) fn identity(dir: &Path) -> Identity {
    Identity::from_pkcs8(std::fs::read(dir.join("node.key")).unwrap().into()).unwrap()
}

fn number(dir: &Path) -> u32 {
    std::fs::read_to_string(dir.join("number"))
        .unwrap()
        .parse()
        .unwrap()
}

fn replica_id(number: u32) -> ReplicaId {
    ReplicaId([number as u8 + 100; 16])
}

/// Opens the node in `dir`.
pub(crate) fn open(dir: &Path, clock: Arc<dyn Clock>) -> App {
    let day = Duration::from_secs(24 * 3600);
    App {
        store: Store::open(dir, AUDIT_KEY, Arc::clone(&clock)).unwrap(),
        hasher: PasswordHasher::start(HasherLimits::default(), Arc::new(SystemRandom)).unwrap(),
        tokens: TokenKeys::generate("bench").unwrap().0,
        throttle: Throttle::new(ThrottleLimits::default()),
        session_cache: SessionCache::default(),
        mailer: Mailer::default(),
        lifetimes: Lifetimes {
            access: day,
            refresh: 7 * day,
            patient_recovery: day,
            staff_recovery: day,
            desk_code: day,
        },
        clock,
        random: Arc::new(SystemRandom),
        broker: Broker::default(),
        live: Live::new(1),
        signer: Arc::new(identity(dir).signer().unwrap()),
        applying: tokio::sync::Mutex::default(),
        meeting: Meeting::default(),
        started: Instant::now(),
    }
}

/// Founds the network in `dir` before `at_ms`: the authors of logs are members, and so are the nodes in
/// `others`, each at its address.
pub(crate) async fn found(
    dir: &Path,
    at_ms: i64,
    addresses: Vec<String>,
    authors: &[Author],
    others: &[(PathBuf, String)],
) {
    create(dir, 0, at_ms);
    let app = open(dir, Arc::new(ManualClock::at(Timestamp(at_ms))));
    let key = app.signer.public_key();
    replication::announce(&app, key, "founder".into(), addresses)
        .await
        .unwrap();
    let mut all: Vec<(u32, ReplicaId, [u8; 32], Vec<String>)> = authors
        .iter()
        .map(|it| {
            (
                it.number.get(),
                it.replica,
                it.signer.public_key(),
                Vec::new(),
            )
        })
        .collect();
    for (dir, address) in others {
        let number = number(dir);
        let key = *identity(dir).public_key();
        all.push((number, replica_id(number), key, vec![address.clone()]));
    }
    for (number, replica_id, public_key, addresses) in all {
        let job = move |tx: &mut islet::store::WriteTx<'_>| {
            let new = NewMember {
                number: ReplicaNumber::new(number).unwrap(),
                replica_id,
                public_key,
                token_key: [0; 32],
                name: "another",
                addresses: &addresses,
            };
            members::insert(tx, &new)?;
            tx.audit(&Entry::new(&Actor::system(), "peer.admit"))
        };
        app.store
            .write::<_, StoreError, _>(Lane::Interactive, job)
            .await
            .unwrap();
    }
    app.store.close();
}

/// Makes the node in `dir` known to itself as a member of the network of `founder`, as a join does.
pub(crate) async fn adopt(app: &App, dir: &Path, founder: &Path, address: &str) {
    let admission = Admission {
        network: NETWORK,
        number: number(dir),
        replica_id: replica_id(number(dir)).0,
        clinic: "Bench".into(),
        members: vec![replication::Member {
            number: 0,
            replica_id: replica_id(0).0,
            public_key: *identity(founder).public_key(),
            name: "founder".into(),
            addresses: vec![address.to_owned()],
            revoked: false,
        }],
    };
    replication::adopt(app, &admission).await.unwrap();
}

/// A node that answers its peers.
pub(crate) struct Serving {
    pub(crate) node: Arc<PeerNode>,
    pub(crate) address: SocketAddr,
    tasks: Vec<JoinHandle<()>>,
}

impl Serving {
    pub(crate) fn start(app: App, dir: &Path, at: SocketAddr) -> Self {
        let stop = CancellationToken::new();
        let inheritance = Inheritance {
            ca_certificate: String::new(),
            ca_key: Secret::new(String::new()),
            settings: String::new(),
        };
        let identity = identity(dir);
        let name = format!("node {}", number(dir));
        let node = PeerNode::new(
            Arc::new(app),
            identity,
            name,
            Some(inheritance),
            stop.clone(),
        );
        let bound = listen::bind(Listener {
            addr: at,
            kind: Kind::Mutual(tls::server_config(&node.identity).unwrap()),
            app: server::router(&node),
            option: "--peer",
        });
        let bound = bound.unwrap();
        let address = bound.addr();
        node.set_addresses(vec![address.to_string()]);
        let served = listen::serve(vec![bound], listen::ConnectionLimits::default(), stop);
        let served = tokio::spawn(async move {
            served.await;
        });
        Self {
            node,
            address,
            tasks: vec![served],
        }
    }

    /// Keeps links to all members.
    pub(crate) fn link(&mut self) {
        self.tasks
            .push(tokio::spawn(links::run(Arc::clone(&self.node))));
    }

    pub(crate) async fn stop(self) {
        self.node.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

/// How many changes of others are applied at a node.
pub(crate) async fn applied(app: &App) -> u64 {
    let known = app
        .store
        .read(|tx| Ok::<_, Error>(logs::known(tx)?))
        .await
        .unwrap();
    known.iter().map(|log| log.applied).sum()
}

/// How far the log of a node is, and how far that of `of` is applied at another.
pub(crate) async fn own_seq(app: &App) -> u64 {
    app.store
        .read(|tx| Ok::<_, Error>(logs::own_head(tx)?.seq))
        .await
        .unwrap()
}

pub(crate) async fn applied_of(app: &App, of: u32) -> u64 {
    let of = ReplicaNumber::new(of).unwrap();
    let log = app
        .store
        .read(move |tx| Ok::<_, Error>(logs::known_log(tx, of)?))
        .await
        .unwrap();
    log.map_or(0, |log| log.applied)
}

/// A patient hands in a reading; answers with how long it took until it was durable.
pub(crate) async fn hand_in(app: &App, patient_id: i64) -> Duration {
    let actor = Actor {
        who: Who::Patient(patient_id),
        address: None,
        session: None,
        request_id: None,
    };
    let new = NewReading {
        patient_id,
        glucose: Glucose::from_mg_dl(110.0).unwrap(),
        reading_type: ReadingType::Cena,
        source: Source::App,
        measured_at: None,
        notes: None,
    };
    let began = Instant::now();
    readings::create(app, &actor, new, None).await.unwrap();
    began.elapsed()
}

pub(crate) fn now_ms() -> i64 {
    SystemClock.now().0
}
