//! Nodes that talk to each other through frames, without a network between them.

mod forks;
mod news;
mod removal;
mod roaming;

use std::collections::BTreeMap;
use std::sync::Arc;

use islet_sync::frame::Kind;
use islet_sync::incarnation::Reason;

use super::*;
use crate::auth::{Random, SystemRandom};
use crate::clock::{Clock, ManualClock};
use crate::domain::account::{Email, Username};
use crate::domain::actor::{Role, Who};
use crate::domain::glucose::{Glucose, NewReading, ReadingType, Source};
use crate::domain::patient::{Dni, NewPatient};
use crate::domain::time::Timestamp;
use crate::service::{queue, readings, testing};
use crate::store::{Read, StoreError, WriteTx, entity, patients};

const NOW: Timestamp = Timestamp(1_772_755_449_000);

/// Some nodes of one network, which know each other as members.
pub(crate) struct Network {
    pub(crate) nodes: Vec<Arc<App>>,
    dirs: Vec<tempfile::TempDir>,
    pub(crate) clock: Arc<ManualClock>,
    random: Arc<dyn Random>,
}

impl Network {
    pub(crate) async fn of(count: u8) -> Self {
        let clock = Arc::new(ManualClock::at(NOW));
        let (mut nodes, mut dirs) = (Vec::new(), Vec::new());
        for number in 0..count {
            let (app, dir) = testing::app_as(number, Arc::clone(&clock) as Arc<dyn Clock>);
            nodes.push(Arc::new(app));
            dirs.push(dir);
        }
        let network = Self {
            nodes,
            dirs,
            clock,
            random: Arc::new(SystemRandom),
        };
        let founder = &network.nodes[0];
        announce(founder, founder.signer.public_key(), "A".into(), Vec::new())
            .await
            .unwrap();
        for (number, node) in (0..).zip(&network.nodes).skip(1) {
            let admission = network.admit(number, node).await;
            adopt(node, &admission).await.unwrap();
        }
        for node in &network.nodes[1..] {
            pull(node, founder).await;
        }
        network
    }

    /// Makes a node with a number of the test's choice a member.
    async fn admit(&self, number: u8, node: &App) -> Admission {
        let public_key = node.signer.public_key();
        let token_key = node.tokens.public_key().try_into().unwrap();
        let row = move |tx: &mut crate::store::WriteTx<'_>| {
            let new = member_rows::NewMember {
                number: ReplicaNumber::new(number.into()).unwrap(),
                replica_id: islet_sync::chain::ReplicaId([number; 16]),
                public_key,
                token_key,
                name: "another",
                addresses: &[],
            };
            member_rows::insert(tx, &new)?;
            tx.audit(&Entry::new(&Actor::system(), "peer.admit"))
        };
        self.nodes[0]
            .store
            .write::<_, StoreError, _>(Lane::Interactive, row)
            .await
            .unwrap();
        Admission {
            network: network(&self.nodes[0]).await.unwrap(),
            number: number.into(),
            replica_id: [number; 16],
            clinic: "Test".into(),
            members: members(&self.nodes[0]).await.unwrap(),
        }
    }

    /// Stops a node and does something with its directory.
    fn stop<T>(&mut self, at: usize, then: impl FnOnce(&std::path::Path) -> T) -> T {
        let (app, _nobody) = testing::app_as(99, Arc::new(ManualClock::at(NOW)));
        let app = std::mem::replace(&mut self.nodes[at], Arc::new(app));
        Arc::into_inner(app).unwrap().store.close();
        then(self.dirs[at].path())
    }

    /// Starts it again, as a node starts. Answers with why it had to become another replica.
    async fn start(&mut self, at: usize) -> Option<Reason> {
        let signer =
            islet_sync::chain::Signer::from_seed(&[u8::try_from(at).unwrap(); 32]).unwrap();
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let mut app = testing::app_in(self.dirs[at].path(), signer, clock);
        app.random = Arc::clone(&self.random);
        let reason = app.store.renewal();
        if let Some(reason) = reason {
            renew(&app, reason).await.unwrap();
        }
        self.nodes[at] = Arc::new(app);
        reason
    }

    /// Everybody asks everybody until nothing is new.
    pub(crate) async fn heal(&self) {
        for _ in 0..4 {
            for to in &self.nodes {
                for from in self.nodes.iter().filter(|from| !Arc::ptr_eq(from, to)) {
                    pull(to, from).await;
                }
            }
        }
    }

    pub(crate) async fn assert_same(&self) {
        let first = digests(&self.nodes[0]).await;
        for node in &self.nodes[1..] {
            for (table, rows) in digests(node).await {
                assert_eq!(rows, first[table], "{table}");
            }
        }
    }
}

/// `to` fetches what `from` has. Answers with how many runs came.
pub(crate) async fn pull(to: &Arc<App>, from: &Arc<App>) -> usize {
    let mut all = 0;
    loop {
        let (runs, again) = pull_once(to, from).await;
        all += runs;
        if !again {
            return all;
        }
    }
}

/// One conversation; also tells whether it has to be asked again, from where both are the same.
async fn pull_once(to: &Arc<App>, from: &Arc<App>) -> (usize, bool) {
    let theirs = vector(to, 0).await.unwrap();
    let number = to
        .store
        .read(|tx| Ok::<_, Error>(replica::number(tx)?))
        .await
        .unwrap();
    let mut frames = outgoing(from, number.get(), theirs).await.unwrap();
    let (mut runs, mut again) = (0, false);
    while let Some(frame) = frames.recv().await {
        if frame.kind == Kind::End {
            return (runs, again);
        }
        runs += usize::from(frame.kind == Kind::Segment);
        again |= frame.kind == Kind::Trail;
        ingest(to, 0, frame).await.unwrap();
    }
    panic!("the stream was cut");
}

/// All replicated and derived rows, as text.
pub(crate) async fn digests(node: &App) -> BTreeMap<&'static str, Vec<String>> {
    let rows = node.store.read(|tx| {
        let mut tables: Vec<&'static str> = entity::rows().map(|entity| entity.name).collect();
        tables.extend([
            "staff_role",
            "setting",
            "register",
            "patient_day",
            "patient_counter",
        ]);
        tables.extend([
            "patient_link",
            "reading_alias",
            "reading_origin",
            "refused_op",
            "collision",
        ]);
        let mut found = BTreeMap::new();
        for table in tables {
            let mut statement = tx.connection().prepare(&format!("SELECT * FROM {table}"))?;
            let columns = statement.column_count();
            let mut texts = Vec::new();
            let mut rows = statement.query([])?;
            while let Some(row) = rows.next()? {
                let values =
                    (0..columns).map(|at| row.get_ref(at).map(|value| format!("{value:?}")));
                texts.push(values.collect::<Result<Vec<_>, _>>()?.join(", "));
            }
            texts.sort();
            found.insert(table, texts);
        }
        Ok::<_, StoreError>(found)
    });
    rows.await.unwrap()
}

fn actor(who: Who) -> Actor {
    Actor {
        who,
        address: None,
        session: None,
        request_id: None,
    }
}

/// Registers a patient without the cost of a hash.
pub(crate) async fn patient(app: &App, dni: u32) -> Actor {
    patient_with(app, dni, "hash").await
}

async fn patient_with(app: &App, dni: u32, hash: &str) -> Actor {
    let hash = hash.to_owned();
    let new = NewPatient {
        dni: Dni::parse(&dni.to_string()).unwrap(),
        name: "Ana".into(),
        surname: "Paz".into(),
        email: Email::parse(&format!("p{dni}@clinic.test")).unwrap(),
        tidepool: None,
        hospital_account: dni.to_string(),
        blocked: false,
        former_times_measured: 0,
        former_max_streak: 0,
    };
    let job = move |tx: &mut WriteTx<'_>| {
        let id = patients::insert(tx, &new, &hash)?;
        Ok::<_, StoreError>(
            tx.audit(&Entry::new(&Actor::system(), "test.patient"))?
                .with(id),
        )
    };
    actor(Who::Patient(
        app.store.write(Lane::Interactive, job).await.unwrap(),
    ))
}

pub(crate) async fn staff(app: &App, username: &'static str) -> Actor {
    let job = move |tx: &mut WriteTx<'_>| {
        let name = Username::parse(username).unwrap();
        let email = Email::parse(&format!("{username}@clinic.test")).unwrap();
        let id = crate::store::staff::insert(tx, &name, &email, "hash", Role::Admin)?;
        Ok::<_, StoreError>(
            tx.audit(&Entry::new(&Actor::system(), "test.staff"))?
                .with(id),
        )
    };
    actor(Who::Staff(
        app.store.write(Lane::Interactive, job).await.unwrap(),
        Role::Admin,
    ))
}

pub(crate) async fn reading(app: &App, patient: &Actor, mg_dl: f64, measured_at: Timestamp) -> i64 {
    let new = NewReading {
        patient_id: patient.patient_id().unwrap(),
        glucose: Glucose::from_mg_dl(mg_dl).unwrap(),
        reading_type: ReadingType::Cena,
        source: Source::App,
        measured_at: Some(measured_at),
        notes: None,
    };
    readings::create(app, patient, new, None).await.unwrap().id
}

pub(crate) fn at(minutes_ago: i64) -> Timestamp {
    Timestamp(NOW.0 - minutes_ago * 60_000)
}

fn day_later(days: i64) -> Timestamp {
    Timestamp(NOW.0 + days * 24 * 3_600_000)
}

#[tokio::test]
async fn what_one_node_knows_the_others_learn() {
    let net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    reading(&net.nodes[0], &ana, 110.0, at(9)).await;
    net.heal().await;
    net.assert_same().await;
    reading(&net.nodes[1], &ana, 95.0, at(8)).await;
    reading(&net.nodes[2], &ana, 180.0, at(7)).await;
    net.heal().await;
    net.assert_same().await;
    let rows = digests(&net.nodes[1]).await;
    assert_eq!((rows["patient"].len(), rows["reading"].len()), (1, 3));
    assert_eq!(rows["refused_op"], Vec::<String>::new());
    assert_eq!(
        pull(&net.nodes[1], &net.nodes[0]).await,
        0,
        "nothing is sent twice"
    );
}

#[tokio::test]
async fn a_reading_that_reached_two_nodes_is_one() {
    let net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    // The phone reached one node a day after the other: all say when it was first recorded.
    for (days, node) in [(0, 1), (1, 0), (2, 2)] {
        net.clock.set(day_later(days));
        reading(&net.nodes[node], &ana, 110.0, at(5)).await;
        reading(&net.nodes[node], &ana, 111.0, at(4)).await;
    }
    net.heal().await;
    net.assert_same().await;
    let rows = digests(&net.nodes[2]).await;
    assert_eq!((rows["reading"].len(), rows["reading_alias"].len()), (2, 4));
    let first = format!("Integer({})", NOW.0);
    assert!(rows["reading"].iter().all(|row| row.contains(&first)));
    assert!(
        rows["patient_counter"][0].contains("Integer(2)"),
        "{:?}",
        rows["patient_counter"]
    );
}

#[tokio::test]
async fn a_person_registered_twice_is_one_patient_with_both_histories() {
    let net = Network::of(3).await;
    let doctor = staff(&net.nodes[0], "dra.paz").await;
    let (here, there) = (
        patient(&net.nodes[1], 30_111_222).await,
        patient(&net.nodes[2], 30_111_222).await,
    );
    reading(&net.nodes[1], &here, 110.0, at(5)).await;
    reading(&net.nodes[1], &here, 120.0, at(3)).await;
    net.clock.set(day_later(1));
    reading(&net.nodes[2], &there, 110.0, at(5)).await;
    reading(&net.nodes[2], &there, 130.0, at(1)).await;
    net.heal().await;
    net.assert_same().await;
    let rows = digests(&net.nodes[0]).await;
    assert_eq!((rows["patient"].len(), rows["patient_link"].len()), (2, 1));
    assert_eq!(rows["reading"].len(), 3, "{:#?}", rows["reading"]);
    let mine = readings::mine(&net.nodes[2], &here, false).await.unwrap();
    assert_eq!(mine.len(), 3);
    // What comes in under the id that no longer has a history of its own is that patient's too, on all nodes.
    // Sent again, as phones do, it is there already, whichever id the phone is logged in with.
    for who in [&there, &there, &here] {
        reading(&net.nodes[2], who, 66.0, at(0)).await;
    }
    net.heal().await;
    net.assert_same().await;
    let mine = readings::mine(&net.nodes[0], &here, false).await.unwrap();
    assert_eq!(mine.len(), 4);
    assert_eq!(
        mine.last().unwrap().glucose_mg_dl,
        66.0,
        "the newest comes last"
    );
    let all = crate::service::patients::list(&net.nodes[0], &doctor)
        .await
        .unwrap();
    assert_eq!(all.len(), 1);
}

#[tokio::test]
async fn the_places_of_a_day_are_given_out_once_whoever_gives_them() {
    let net = Network::of(3).await;
    let doctor = staff(&net.nodes[0], "dra.paz").await;
    let mut people = Vec::new();
    for dni in 0..6 {
        people.push(patient(&net.nodes[0], 30_000_000 + dni).await);
    }
    queue::resize(&net.nodes[0], &doctor, 2).await.unwrap();
    queue::open(&net.nodes[0], &doctor).await.unwrap();
    net.heal().await;
    // Another node has no rights yet, and says so instead of giving out what is not its own.
    let refused = queue::submit(&net.nodes[1], &people[0]).await.unwrap_err();
    assert!(
        matches!(&refused, Error::PlacesElsewhere(names) if names == "A"),
        "{refused:?}"
    );
    let frames = rights_for(&net, 1, 1).await;
    assert_eq!(frames, 1);
    pull(&net.nodes[1], &net.nodes[0]).await;
    queue::submit(&net.nodes[1], &people[0]).await.unwrap();
    queue::submit(&net.nodes[0], &people[1]).await.unwrap();
    assert!(queue::submit(&net.nodes[0], &people[2]).await.is_err());
    assert!(queue::submit(&net.nodes[1], &people[3]).await.is_err());
    net.heal().await;
    net.assert_same().await;
    // A place that is left goes back to the node that gave it out.
    queue::cancel(&net.nodes[2], &people[0]).await.unwrap();
    net.heal().await;
    queue::submit(&net.nodes[1], &people[4]).await.unwrap();
    assert!(queue::submit(&net.nodes[1], &people[5]).await.is_err());
}

/// Node `to` asks the founder for rights.
async fn rights_for(net: &Network, to: u8, wanted: i64) -> i64 {
    let request = rights_request(&net.nodes[usize::from(to)], wanted)
        .await
        .unwrap();
    let answer = rights(&net.nodes[0], to.into(), request).await.unwrap();
    let mut answer = answer.as_slice();
    islet_sync::varint::take_i64(&mut answer).unwrap()
}

#[tokio::test]
async fn two_corrections_at_once_are_both_kept_and_shown_as_a_conflict() {
    let net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    let id = reading(&net.nodes[0], &ana, 110.0, at(5)).await;
    net.heal().await;
    correct(&net.nodes[0], id, 120.0).await;
    correct(&net.nodes[1], id, 130.0).await;
    net.heal().await;
    net.assert_same().await;
    let rows = digests(&net.nodes[0]).await;
    let siblings: Vec<_> = rows["register"]
        .iter()
        .filter(|row| row.starts_with("Integer(3)"))
        .collect();
    assert_eq!(siblings.len(), 2, "{siblings:#?}");
    assert!(
        siblings.iter().all(|row| row.ends_with("Integer(1)")),
        "{siblings:#?}"
    );
    correct(&net.nodes[1], id, 125.0).await;
    net.heal().await;
    net.assert_same().await;
    let rows = digests(&net.nodes[0]).await;
    assert_eq!(
        rows["register"]
            .iter()
            .filter(|row| row.starts_with("Integer(3)"))
            .count(),
        1
    );
}

async fn correct(app: &App, id: i64, mg_dl: f64) {
    let job = move |tx: &mut WriteTx<'_>| {
        crate::store::readings::set_value(tx, id, mg_dl)?;
        tx.audit(&Entry::new(&Actor::system(), "test.correct"))
    };
    app.store
        .write::<_, StoreError, _>(Lane::Interactive, job)
        .await
        .unwrap();
}

/// Hundreds of changes, then tidied: the log is the same to peers and to the audit log.
#[tokio::test]
async fn a_sealed_log_is_still_sent_and_still_audited() {
    let net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    for minutes in 0..i64::try_from(limits::SEAL_CHANGES).unwrap() {
        reading(
            &net.nodes[0],
            &ana,
            100.0 + (minutes % 50) as f64,
            at(minutes),
        )
        .await;
    }
    pull(&net.nodes[1], &net.nodes[0]).await;
    let before = vector(&net.nodes[0], 0).await.unwrap();
    tidy(&net.nodes[0]).await.unwrap();
    let unsealed = "SELECT count(*) FROM change";
    let left = net.nodes[0].store.read(move |tx| {
        Ok::<_, StoreError>(
            tx.connection()
                .query_row(unsealed, [], |row| row.get::<_, i64>(0))?,
        )
    });
    assert_eq!(left.await.unwrap(), 0);
    assert_eq!(vector(&net.nodes[0], 0).await.unwrap(), before);
    reading(&net.nodes[0], &ana, 70.0, at(-1)).await;
    net.heal().await;
    net.assert_same().await;
    for node in &net.nodes {
        let report = node.store.verify_audit().await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
}

/// The database was put back from a backup while the file beside it was not: the node goes on as another replica, and
/// gets back what it wrote after the backup. Where others lose it: Syncthing #6335, Riak kv #679.
#[tokio::test]
async fn a_restored_backup_loses_nothing_and_reuses_nothing() {
    let mut net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    reading(&net.nodes[0], &ana, 100.0, at(9)).await;
    net.heal().await;
    let dir = net.dirs[0].path().to_owned();
    let backup = net.stop(0, |dir| std::fs::read(dir.join("islet.db")).unwrap());
    net.start(0).await;
    let before = reading(&net.nodes[0], &ana, 200.0, at(5)).await;
    net.heal().await;
    net.stop(0, |_| ());
    std::fs::write(dir.join("islet.db"), backup).unwrap();
    let reason = net.start(0).await;
    assert_eq!(reason, Some(Reason::Starts));
    // It does not know its later reading yet, and writes another: under another number.
    let after = reading(&net.nodes[0], &ana, 300.0, at(1)).await;
    assert_ne!(before >> 32, after >> 32);
    net.heal().await;
    net.assert_same().await;
    assert_eq!(digests(&net.nodes[1]).await["reading"].len(), 3);
    // From now on it is that replica.
    net.stop(0, |_| ());
    assert_eq!(net.start(0).await, None);
    // The audit log of the time after the backup is gone for good, and the note beside it says so.
    let report = net.nodes[0].store.verify_audit().await.unwrap();
    assert!(
        matches!(report.problems.as_slice(), [only] if only.contains("audit.head")),
        "{:?}",
        report.problems
    );
}

/// A copy of the database alone, as on another card: it does not write under the name of the first.
#[tokio::test]
async fn a_copied_database_is_another_replica() {
    let mut net = Network::of(1).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.stop(0, |dir| {
        std::fs::remove_file(dir.join("replica.lease")).unwrap();
    });
    assert_eq!(net.start(0).await, Some(Reason::NoFile));
    let id = reading(&net.nodes[0], &ana, 100.0, at(1)).await;
    assert_ne!(id >> 32, 0);
    assert_eq!(digests(&net.nodes[0]).await["member"].len(), 2);
    // Once, and not at every start.
    net.stop(0, |_| ());
    assert_eq!(net.start(0).await, None);
}

/// Staff type in again what was marked as an error: they mean another reading, on every node.
#[tokio::test]
async fn a_reading_that_is_typed_in_again_is_another_everywhere() {
    let net = Network::of(2).await;
    let doctor = staff(&net.nodes[0], "dra.paz").await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    let typed = |node: Arc<App>| {
        let (doctor, patient_id) = (doctor.clone(), ana.patient_id().unwrap());
        async move {
            let new = NewReading {
                patient_id,
                glucose: Glucose::from_mg_dl(110.0).unwrap(),
                reading_type: ReadingType::Cena,
                source: Source::BackOffice,
                measured_at: Some(at(5)),
                notes: None,
            };
            readings::create(&node, &doctor, new, None)
                .await
                .unwrap()
                .id
        }
    };
    let wrong = typed(Arc::clone(&net.nodes[0])).await;
    net.heal().await;
    readings::mark_entered_in_error(&net.nodes[0], &doctor, wrong)
        .await
        .unwrap();
    net.heal().await;
    let right = typed(Arc::clone(&net.nodes[1])).await;
    assert_ne!(wrong, right);
    net.heal().await;
    net.assert_same().await;
    let rows = digests(&net.nodes[0]).await;
    assert_eq!((rows["reading"].len(), rows["reading_alias"].len()), (2, 0));
    let mine = readings::mine(&net.nodes[0], &ana, false).await.unwrap();
    assert_eq!(mine.iter().map(|it| it.id).collect::<Vec<_>>(), [right]);
}

/// Database and file were put back together, as with the image of a whole card: only a peer can tell. CHT #8093
/// loses what the restored side wrote.
#[tokio::test]
async fn a_peer_tells_a_node_that_was_restored_with_its_file() {
    let mut net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    let dir = net.dirs[0].path().to_owned();
    let files = ["islet.db", "replica.lease", "audit.head"];
    let image = net.stop(0, |dir| {
        files.map(|file| std::fs::read(dir.join(file)).unwrap())
    });
    net.start(0).await;
    let lost = reading(&net.nodes[0], &ana, 200.0, at(5)).await;
    net.heal().await;
    net.stop(0, |_| ());
    for (file, bytes) in files.iter().zip(image) {
        std::fs::write(dir.join(file), bytes).unwrap();
    }
    assert_eq!(net.start(0).await, None, "nothing on the card shows it");
    pull(&net.nodes[0], &net.nodes[1]).await;
    let back = digests(&net.nodes[0]).await["reading"].clone();
    assert_eq!(back.len(), 1);
    let new = reading(&net.nodes[0], &ana, 300.0, at(1)).await;
    assert_ne!(lost >> 32, new >> 32);
    net.heal().await;
    net.assert_same().await;
}

async fn replica_of(app: &App) -> ReplicaNumber {
    app.store
        .read(|tx| Ok::<_, Error>(replica::number(tx)?))
        .await
        .unwrap()
}

/// An author of whom a node has not heard is introduced after the run that made it a member.
#[tokio::test]
async fn a_new_node_needs_nothing_twice() {
    let net = Network::of(2).await;
    let ana = patient(&net.nodes[1], 30_111_222).await;
    reading(&net.nodes[1], &ana, 110.0, at(9)).await;
    net.heal().await;
    let clock = Arc::new(ManualClock::at(NOW));
    let (late, _dir) = testing::app_as(2, clock as Arc<dyn Clock>);
    let late = Arc::new(late);
    let mut admission = net.admit(2, &late).await;
    // It heard only of the founder.
    admission.members.retain(|member| member.number == 0);
    adopt(&late, &admission).await.unwrap();
    assert!(pull(&late, &net.nodes[0]).await > 1);
    assert_eq!(digests(&late).await["reading"].len(), 1);
    assert_eq!(
        pull(&late, &net.nodes[0]).await,
        0,
        "something came that was of no use"
    );
}

/// Readings mostly come in order; that one which comes late is looked for all the same.
#[tokio::test]
async fn a_repeated_reading_is_found_in_whatever_order_it_comes() {
    let net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    for minutes in [9, 3, 7] {
        for node in &net.nodes {
            reading(node, &ana, 110.0, at(minutes)).await;
        }
        reading(&net.nodes[1], &ana, 90.0, at(minutes + 20)).await;
        net.heal().await;
    }
    net.assert_same().await;
    let rows = digests(&net.nodes[0]).await;
    assert_eq!((rows["reading"].len(), rows["reading_alias"].len()), (6, 3));
    assert_eq!(rows["refused_op"], Vec::<String>::new());
}
