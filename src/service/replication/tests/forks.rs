//! Logs that were written on in two ways: a data directory that runs twice, or was put back whole and written on.
//! What others do then: Kolibri #8824, Syncthing #6335, CHT #8093.

mod any_order;

use super::*;
use crate::domain::conflict::Decision;
use crate::service::conflicts;

impl Network {
    /// Copies the directory of a node, with the file that tells copies of the database alone, and runs it beside it.
    async fn clone_node(&mut self, at: usize) -> usize {
        let twin = tempfile::tempdir().unwrap();
        self.stop(at, |dir| copy(dir, twin.path()));
        self.start(at).await;
        self.dirs.push(twin);
        self.nodes.push(Arc::clone(&self.nodes[at]));
        let signer = signer_of(at);
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let last = self.dirs.len() - 1;
        let mut app = testing::app_in(self.dirs[last].path(), signer, clock);
        app.random = Arc::clone(&self.random);
        self.nodes[last] = Arc::new(app);
        last
    }

    /// The whole directory as it is now.
    async fn image(&mut self, at: usize) -> tempfile::TempDir {
        let image = tempfile::tempdir().unwrap();
        self.stop(at, |dir| copy(dir, image.path()));
        assert_eq!(self.start(at).await, None);
        image
    }

    /// Puts it back.
    async fn put_back(&mut self, at: usize, image: &tempfile::TempDir) {
        self.stop(at, |dir| copy(image.path(), dir));
        assert_eq!(self.start(at).await, None, "nothing on the card shows it");
    }

    /// Everybody asks everybody but one another of these two.
    async fn heal_but(&self, pair: [usize; 2]) {
        for _ in 0..5 {
            self.heal_once(Some(pair)).await;
        }
    }

    async fn heal_once(&self, pair: Option<[usize; 2]>) {
        for (to, node) in self.nodes.iter().enumerate() {
            for (from, other) in self.nodes.iter().enumerate() {
                let apart = pair.is_some_and(|pair| pair.contains(&to) && pair.contains(&from));
                if to != from && !apart {
                    pull(node, other).await;
                }
            }
        }
    }

    /// All agree, nothing waits, nothing was set aside, and each audit log is whole.
    async fn assert_agreed(&self) {
        for (at, node) in self.nodes.iter().enumerate() {
            let stands = async |node: &App| Vector::read(&vector(node, 99).await.unwrap()).unwrap();
            let (here, first) = (stands(node).await, stands(&self.nodes[0]).await);
            assert_eq!(here, first, "node {at} and node 0 have other logs");
            let logs = node.store.read(|tx| Ok::<_, Error>(logs::known(tx)?));
            let mut logs = logs.await.unwrap();
            logs.retain(|log| log.applied < log.head.seq);
            assert_eq!(logs, [], "changes wait at node {at}");
        }
        self.assert_same().await;
        assert_eq!(
            digests(&self.nodes[0]).await["refused_op"],
            Vec::<String>::new()
        );
    }
}

fn signer_of(at: usize) -> islet_sync::chain::Signer {
    islet_sync::chain::Signer::from_seed(&[u8::try_from(at).unwrap(); 32]).unwrap()
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    for file in ["islet.db", "replica.lease", "audit.head"] {
        std::fs::copy(from.join(file), to.join(file)).unwrap();
    }
}

/// What people are told in the audit log of a node.
async fn told(app: &App, action: &'static str) -> Vec<String> {
    let sql = "SELECT detail FROM audit_entry WHERE action = ? ORDER BY seq";
    let rows = app.store.read(move |tx| {
        let mut statement = tx.connection().prepare(sql)?;
        let rows = statement.query_map([action], |row| row.get(0))?;
        Ok::<_, StoreError>(rows.collect::<Result<Vec<String>, _>>()?)
    });
    rows.await.unwrap()
}

async fn values(app: &App) -> Vec<f64> {
    let sql = "SELECT glucose_mg_dl FROM reading ORDER BY glucose_mg_dl";
    let rows = app.store.read(move |tx| {
        let mut statement = tx.connection().prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        Ok::<_, StoreError>(rows.collect::<Result<Vec<f64>, _>>()?)
    });
    rows.await.unwrap()
}

/// Row 2: a copied card, both run, each is heard by another node, which builds on it. They never meet each other.
#[tokio::test]
async fn a_cloned_directory_that_runs_twice_keeps_what_both_wrote() {
    let mut net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    let old = reading(&net.nodes[0], &ana, 90.0, at(60)).await;
    net.heal().await;
    let twin = net.clone_node(0).await;
    // Both give out the same ids, for different people.
    let eva = patient(&net.nodes[0], 30_333_444).await;
    let leo = patient(&net.nodes[twin], 30_555_666).await;
    assert_eq!(eva.patient_id(), leo.patient_id());
    reading(&net.nodes[0], &eva, 100.0, at(9)).await;
    reading(&net.nodes[twin], &leo, 200.0, at(8)).await;
    correct(&net.nodes[0], old, 91.0).await;
    correct(&net.nodes[twin], old, 92.0).await;
    // Others hear one of them, and go on with what they heard.
    pull(&net.nodes[1], &net.nodes[0]).await;
    pull(&net.nodes[2], &net.nodes[twin]).await;
    reading(&net.nodes[1], &eva, 101.0, at(7)).await;
    reading(&net.nodes[2], &leo, 201.0, at(6)).await;

    net.heal_but([0, twin]).await;
    net.assert_agreed().await;
    let rows = digests(&net.nodes[0]).await;
    assert_eq!(rows["patient"].len(), 3);
    assert_eq!(rows["reading"].len(), 5);
    // Each has the readings of its own patient, whoever called that patient what.
    for (dni, expected) in [("30333444", [100.0, 101.0]), ("30555666", [200.0, 201.0])] {
        let sql = "SELECT r.glucose_mg_dl FROM reading r JOIN patient p ON p.id = r.patient_id
                   WHERE p.dni = ? ORDER BY 1";
        for node in &net.nodes {
            let rows = node.store.read(move |tx| {
                let mut statement = tx.connection().prepare(sql)?;
                let rows = statement.query_map([dni], |row| row.get(0))?;
                Ok::<_, StoreError>(rows.collect::<Result<Vec<f64>, _>>()?)
            });
            assert_eq!(rows.await.unwrap(), expected, "{dni}");
        }
    }
    // Two corrections that did not know of each other are a conflict, as between any two nodes.
    let siblings = rows["register"]
        .iter()
        .filter(|row| row.starts_with("Integer(3)"));
    assert_eq!(
        siblings.filter(|row| row.ends_with("Integer(1)")).count(),
        2
    );
    // Both go on as new replicas, and people are told, once.
    let numbers = [
        replica_of(&net.nodes[0]).await,
        replica_of(&net.nodes[twin]).await,
    ];
    assert!(numbers[0] != numbers[1] && !numbers.contains(&ReplicaNumber::FOUNDER));
    for node in &net.nodes {
        let told = told(node, "sync.fork").await;
        assert!(
            told.len() == 1 && told[0].starts_with("replica 0 was written on in two ways"),
            "{told:?}"
        );
        let report = node.store.verify_audit().await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
    // From here on everything is as ever.
    for (minutes, node) in (0..).zip(&net.nodes) {
        reading(node, &ana, 300.0 + minutes as f64, at(minutes)).await;
    }
    net.heal_but([0, twin]).await;
    net.assert_agreed().await;
    assert_eq!(digests(&net.nodes[2]).await["reading"].len(), 9);
    for node in &net.nodes {
        assert_eq!(told(node, "sync.fork").await.len(), 1);
    }
}

/// Two clones that reach each other directly.
#[tokio::test]
async fn two_clones_that_meet_agree() {
    let mut net = Network::of(1).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    let twin = net.clone_node(0).await;
    for minutes in 0..5 {
        reading(&net.nodes[0], &ana, 100.0 + minutes as f64, at(minutes)).await;
        reading(&net.nodes[twin], &ana, 200.0 + minutes as f64, at(minutes)).await;
    }
    net.heal().await;
    net.assert_agreed().await;
    assert_eq!(values(&net.nodes[0]).await.len(), 10);
    assert_ne!(
        replica_of(&net.nodes[0]).await,
        replica_of(&net.nodes[twin]).await
    );
}

/// Row 3: database, lease file and all were put back together, and the node was written on before it met anybody.
#[tokio::test]
async fn a_directory_put_back_whole_and_written_on_loses_nothing() {
    let mut net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    reading(&net.nodes[0], &ana, 100.0, at(60)).await;
    net.heal().await;
    let image = net.image(0).await;
    for minutes in 0..3 {
        reading(
            &net.nodes[0],
            &ana,
            200.0 + minutes as f64,
            at(50 + minutes),
        )
        .await;
    }
    net.heal().await;
    reading(&net.nodes[1], &ana, 150.0, at(45)).await;
    net.put_back(0, &image).await;
    // Longer than what was lost, and shorter: the other side knows more or less than this one.
    for minutes in 0..5 {
        reading(
            &net.nodes[0],
            &ana,
            300.0 + minutes as f64,
            at(30 + minutes),
        )
        .await;
    }
    net.heal().await;
    net.assert_agreed().await;
    let expected = [
        100.0, 150.0, 200.0, 201.0, 202.0, 300.0, 301.0, 302.0, 303.0, 304.0,
    ];
    assert_eq!(values(&net.nodes[0]).await, expected);
    assert_ne!(replica_of(&net.nodes[0]).await, ReplicaNumber::FOUNDER);
    let renewed = told(&net.nodes[0], "node.new_replica").await;
    assert!(
        matches!(renewed.as_slice(), [why] if why.contains("a peer knows")),
        "{renewed:?}"
    );
    // What is remembered of the fork survives a start.
    net.stop(0, |_| ());
    assert_eq!(net.start(0).await, None);
    reading(&net.nodes[0], &ana, 400.0, at(1)).await;
    reading(&net.nodes[1], &ana, 500.0, at(1)).await;
    net.heal().await;
    net.assert_agreed().await;
    assert_eq!(values(&net.nodes[1]).await.len(), 12);
}

/// The same again and again, from one image: each time another continuation leaves the log at the same change.
#[tokio::test]
async fn an_image_that_is_put_back_twice_makes_two_branches() {
    let mut net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    let image = net.image(0).await;
    for round in 0..3 {
        if round > 0 {
            net.put_back(0, &image).await;
        }
        net.clock.set(Timestamp(net.clock.now().0 + 60_000));
        reading(&net.nodes[0], &ana, 100.0 + round as f64, at(round)).await;
        reading(&net.nodes[1], &ana, 200.0 + round as f64, at(round)).await;
        net.heal().await;
        net.assert_agreed().await;
    }
    assert_eq!(values(&net.nodes[0]).await.len(), 6);
    assert_eq!(told(&net.nodes[1], "sync.fork").await.len(), 2);
}

/// A fork deep in the past of long logs, whose runs were joined and end elsewhere on each side.
#[tokio::test]
async fn a_fork_is_found_far_back_in_logs_that_were_tidied() {
    let mut net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    let seal = i64::try_from(limits::SEAL_CHANGES).unwrap();
    for minutes in 0..seal + 10 {
        reading(&net.nodes[0], &ana, 100.0, at(10_000 + minutes)).await;
        if minutes == 700 {
            pull(&net.nodes[1], &net.nodes[0]).await;
        }
    }
    pull(&net.nodes[2], &net.nodes[0]).await;
    let twin = net.clone_node(0).await;
    for minutes in 0..seal {
        reading(&net.nodes[0], &ana, 101.0, at(5_000 + minutes)).await;
        reading(&net.nodes[twin], &ana, 102.0, at(5_000 + minutes)).await;
    }
    tidy(&net.nodes[0]).await.unwrap();
    pull(&net.nodes[1], &net.nodes[0]).await;
    pull(&net.nodes[2], &net.nodes[twin]).await;
    tidy(&net.nodes[2]).await.unwrap();
    net.heal_but([0, twin]).await;
    net.assert_agreed().await;
    let count = usize::try_from(3 * seal + 10).unwrap();
    assert_eq!(values(&net.nodes[1]).await.len(), count);
}

/// A node that joins later takes all of it in the order in which it comes.
#[tokio::test]
async fn a_node_that_joins_after_a_fork_learns_both_versions() {
    let mut net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    let twin = net.clone_node(0).await;
    reading(&net.nodes[0], &ana, 100.0, at(9)).await;
    reading(&net.nodes[twin], &ana, 200.0, at(8)).await;
    net.heal().await;
    let clock = Arc::clone(&net.clock) as Arc<dyn Clock>;
    let (late, dir) = testing::app_as(7, clock);
    let mut admission = net.admit(7, &late).await;
    let all = net.nodes[0]
        .store
        .read(|tx| Ok::<_, Error>(member_rows::list(tx)?));
    let all = all.await.unwrap();
    admission.members = all.iter().map(|it| Member::new(it, &all)).collect();
    adopt(&late, &admission).await.unwrap();
    net.nodes.push(Arc::new(late));
    net.dirs.push(dir);
    net.heal().await;
    net.assert_agreed().await;
    assert_eq!(values(&net.nodes[3]).await, [100.0, 200.0]);
}

/// What is of one node alone follows rows that have another id from then on: answers that are remembered, sessions.
#[tokio::test]
async fn whoever_was_served_by_the_side_that_loses_the_name_is_not_taken_for_another() {
    let mut net = Network::of(2).await;
    net.heal().await;
    let twin = net.clone_node(0).await;
    // The first to write keeps the name.
    let eva = patient(&net.nodes[0], 30_333_444).await;
    net.clock.set(Timestamp(net.clock.now().0 + 60_000));
    let leo = patient(&net.nodes[twin], 30_555_666).await;
    assert_eq!(eva.patient_id(), leo.patient_id());
    let key = [9; 32];
    let new = || NewReading {
        patient_id: leo.patient_id().unwrap(),
        glucose: Glucose::from_mg_dl(200.0).unwrap(),
        reading_type: ReadingType::Cena,
        source: Source::App,
        measured_at: None,
        notes: None,
    };
    let before = readings::create(&net.nodes[twin], &leo, new(), Some(key))
        .await
        .unwrap();
    reading(&net.nodes[0], &eva, 100.0, at(9)).await;
    net.heal().await;
    net.assert_agreed().await;
    let sql = "SELECT i.row_id, r.id, p.dni FROM idempotency i, reading r JOIN patient p ON p.id = r.patient_id
               WHERE r.glucose_mg_dl = 200";
    let rows = net.nodes[twin].store.read(move |tx| {
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        Ok::<_, StoreError>(tx.connection().query_row(sql, [], row)?)
    });
    let (remembered, now, dni): (i64, i64, String) = rows.await.unwrap();
    assert_eq!(dni, "30555666");
    assert_eq!(remembered, now);
    assert_ne!(now, before.id, "the first to write keeps the ids");
}

/// Both copies gave out the same places: nothing can undo that, and staff are told on every node.
#[tokio::test]
async fn places_that_both_copies_gave_out_are_shown_to_staff() {
    let mut net = Network::of(2).await;
    let doctor = staff(&net.nodes[0], "dra.paz").await;
    let mut people = Vec::new();
    for dni in 0..4 {
        people.push(patient(&net.nodes[0], 30_000_000 + dni).await);
    }
    queue::resize(&net.nodes[0], &doctor, 3).await.unwrap();
    queue::open(&net.nodes[0], &doctor).await.unwrap();
    net.heal().await;
    let twin = net.clone_node(0).await;
    for (node, who) in [(0, 0), (0, 1), (twin, 2)] {
        queue::submit(&net.nodes[node], &people[who]).await.unwrap();
    }
    net.heal_but([0, twin]).await;
    net.assert_agreed().await;
    for node in &net.nodes {
        assert_eq!(
            open_conflicts(node).await,
            Vec::<String>::new(),
            "all three have places"
        );
    }
    let mut net = Network::of(2).await;
    let doctor = staff(&net.nodes[0], "dra.paz").await;
    people.clear();
    for dni in 0..4 {
        people.push(patient(&net.nodes[0], 30_000_000 + dni).await);
    }
    queue::resize(&net.nodes[0], &doctor, 3).await.unwrap();
    queue::open(&net.nodes[0], &doctor).await.unwrap();
    net.heal().await;
    let twin = net.clone_node(0).await;
    for (node, who) in [(0, 0), (0, 1), (twin, 2), (twin, 3)] {
        queue::submit(&net.nodes[node], &people[who]).await.unwrap();
    }
    net.heal_but([0, twin]).await;
    net.assert_agreed().await;
    let day = conflicts::list(&net.nodes[0], &doctor, None, 9)
        .await
        .unwrap()
        .items;
    let [conflict] = day.as_slice() else {
        panic!("{day:?}");
    };
    for node in &net.nodes {
        let told = open_conflicts(node).await;
        assert!(
            matches!(told.as_slice(), [only] if only.ends_with(": 1 given out twice")),
            "{told:?}"
        );
    }
    let after = conflicts::list(&net.nodes[0], &doctor, Some(conflict.id), 9)
        .await
        .unwrap();
    assert_eq!((after.items.len(), after.total), (0, 1));
    let decision = Decision {
        choice: None,
        reason: "una viene otro dia".into(),
        mg_dl: None,
        version: None,
    };
    conflicts::settle(&net.nodes[1], &doctor, conflict.id, decision)
        .await
        .unwrap();
    net.heal_but([0, twin]).await;
    for node in &net.nodes {
        assert_eq!(open_conflicts(node).await, Vec::<String>::new());
    }
}

/// What staff read.
async fn open_conflicts(node: &App) -> Vec<String> {
    let page = conflicts::list(node, &Actor::operator(), None, 9)
        .await
        .unwrap();
    let texts = page.items.iter().flat_map(|it| &it.candidates);
    texts.map(|it| it.text.clone()).collect()
}

/// A node that was written on in two ways is thrown out: both are cut off where they are known, and no more.
#[tokio::test]
async fn a_node_that_is_thrown_out_after_a_fork_keeps_what_it_wrote_before() {
    let mut net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    let image = net.image(2).await;
    reading(&net.nodes[2], &ana, 100.0, at(9)).await;
    net.heal().await;
    net.put_back(2, &image).await;
    reading(&net.nodes[2], &ana, 200.0, at(8)).await;
    net.heal().await;
    net.assert_agreed().await;
    revoke(&net.nodes[0], &Actor::operator(), 2).await.unwrap();
    for at in [1, 0, 1] {
        pull(&net.nodes[at], &net.nodes[1 - at]).await;
    }
    // Who joins later counts what those count who knew it before.
    let clock = Arc::clone(&net.clock) as Arc<dyn Clock>;
    let (late, _dir) = testing::app_as(7, clock);
    let mut admission = net.admit(7, &late).await;
    let all = net.nodes[0]
        .store
        .read(|tx| Ok::<_, Error>(member_rows::list(tx)?));
    let all = all.await.unwrap();
    admission.members = all.iter().map(|it| Member::new(it, &all)).collect();
    adopt(&late, &admission).await.unwrap();
    let late = Arc::new(late);
    for _ in 0..3 {
        pull(&late, &net.nodes[0]).await;
    }
    assert_eq!(values(&late).await, [100.0, 200.0]);
    assert_eq!(
        digests(&late).await["reading"],
        digests(&net.nodes[0]).await["reading"]
    );
}
