//! Sessions that were begun at one node and go on at another.

mod any_order;

use super::*;
use crate::auth::Secret;
use crate::auth::opaque::DeskCode;
use crate::auth::token::Audience;
use crate::service::sessions::{self, Tokens};
use crate::service::{patients as accounts, recovery};
use crate::store::sessions::{self as rows, Owner};

pub(super) const PASSWORD: &str = "mate cocido y facturas";
const OTHER: &str = "yerba mate y medialunas";
const DNI: &str = "30111222";
const MINUTE_MS: i64 = 60_000;
const DAY_MS: i64 = 24 * 60 * MINUTE_MS;

fn secret(text: &str) -> Secret {
    Secret::new(text.to_owned())
}

fn anonymous() -> Actor {
    actor(Who::Anonymous)
}

/// The stable code of a refusal, or `ok`.
fn code<T>(result: &Result<T, Error>) -> &'static str {
    result.as_ref().map_or_else(Error::code, |_| "ok")
}

impl Network {
    /// Nodes that know one patient with a password.
    pub(super) async fn with_patient(count: u8) -> (Self, Actor) {
        let net = Self::of(count).await;
        let hash = net.nodes[0]
            .hasher
            .hash(&secret(PASSWORD))
            .await
            .unwrap()
            .to_stored();
        let ana = patient_with(&net.nodes[0], DNI.parse().unwrap(), &hash).await;
        net.heal().await;
        (net, ana)
    }

    fn pass(&self, ms: i64) {
        self.clock.set(Timestamp(self.clock.now().0 + ms));
    }

    pub(super) async fn log_in(&self, node: usize, password: &str) -> Result<Tokens, Error> {
        let app = &self.nodes[node];
        sessions::log_in(app, &anonymous(), Audience::Patient, DNI, secret(password)).await
    }

    async fn refresh(&self, node: usize, tokens: &Tokens) -> Result<Tokens, Error> {
        let (app, now) = (&self.nodes[node], self.clock.now());
        let token = tokens.refresh.expose();
        sessions::refresh(app, &anonymous(), Audience::Patient, token, now).await
    }

    async fn authenticate(&self, node: usize, tokens: &Tokens) -> Result<Actor, Error> {
        let (app, token) = (&self.nodes[node], tokens.access.expose());
        sessions::authenticate(app, &anonymous(), Audience::Patient, token, false).await
    }

    async fn log_out(&self, node: usize, tokens: &Tokens) {
        let token = tokens.refresh.expose();
        sessions::revoke(&self.nodes[node], &anonymous(), Audience::Patient, token)
            .await
            .unwrap();
    }

    /// Both kinds of token, at every node.
    async fn assert_over(&self, tokens: &Tokens) {
        for node in 0..self.nodes.len() {
            let (access, refresh) = (self.authenticate(node, tokens), self.refresh(node, tokens));
            assert_eq!(code(&access.await), "unauthenticated", "node {node}");
            assert_eq!(code(&refresh.await), "bad_refresh_token", "node {node}");
        }
    }

    pub(super) async fn number(&self, node: usize, sql: &'static str) -> i64 {
        let read = self.nodes[node].store.read(move |tx| {
            Ok::<_, StoreError>(tx.connection().query_row(sql, [], |row| row.get(0))?)
        });
        read.await.unwrap()
    }
}

#[tokio::test]
async fn a_session_begun_at_one_node_goes_on_at_another() {
    let (net, ana) = Network::with_patient(2).await;
    reading(&net.nodes[0], &ana, 110.0, at(5)).await;
    let tokens = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    // From here on the first node is off.
    let there = net.authenticate(1, &tokens).await.unwrap();
    assert_eq!(there.who, ana.who);
    net.pass(40 * MINUTE_MS);
    let next = net.refresh(1, &tokens).await.unwrap();
    let there = net.authenticate(1, &next).await.unwrap();
    let mine = readings::mine(&net.nodes[1], &there, false).await.unwrap();
    assert_eq!(mine.len(), 1);
    assert_eq!(code(&net.log_in(1, PASSWORD).await), "ok");
    // Back again: what the other node handed out is good here.
    net.heal().await;
    net.assert_same().await;
    assert_eq!(code(&net.authenticate(0, &next).await), "ok");
    net.pass(40 * MINUTE_MS);
    let third = net.refresh(0, &next).await.unwrap();
    assert_eq!(code(&net.authenticate(0, &third).await), "ok");
    assert_eq!(
        digests(&net.nodes[0]).await["refused_op"],
        Vec::<String>::new()
    );
}

#[tokio::test]
async fn a_log_out_at_one_node_ends_the_session_everywhere() {
    let (net, _) = Network::with_patient(3).await;
    let tokens = net.log_in(0, PASSWORD).await.unwrap();
    let other = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    // The token was found good before, and is remembered.
    assert_eq!(code(&net.authenticate(2, &tokens).await), "ok");
    net.log_out(1, &tokens).await;
    net.heal().await;
    net.assert_same().await;
    net.assert_over(&tokens).await;
    assert_eq!(code(&net.authenticate(2, &other).await), "ok");
}

/// A refresh that did not know of the log-out does not bring the session back.
#[tokio::test]
async fn a_log_out_wins_over_a_refresh_elsewhere() {
    let (net, _) = Network::with_patient(2).await;
    let tokens = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    net.log_out(0, &tokens).await;
    net.pass(MINUTE_MS);
    let next = net.refresh(1, &tokens).await.unwrap();
    net.heal().await;
    net.assert_same().await;
    net.assert_over(&next).await;
}

#[tokio::test]
async fn a_block_ends_the_sessions_that_it_did_not_know_too() {
    let (net, ana) = Network::with_patient(2).await;
    let boss = staff(&net.nodes[1], "dra.paz").await;
    let known = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    let id = ana.patient_id().unwrap();
    accounts::toggle_blocked(&net.nodes[1], &boss, id, None)
        .await
        .unwrap();
    let unknown = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    net.assert_same().await;
    net.assert_over(&known).await;
    net.assert_over(&unknown).await;
    assert_eq!(code(&net.log_in(0, PASSWORD).await), "blocked");
    // Let in again, the sessions stay ended.
    accounts::toggle_blocked(&net.nodes[0], &boss, id, None)
        .await
        .unwrap();
    net.heal().await;
    net.assert_over(&known).await;
    net.assert_over(&unknown).await;
    assert_eq!(code(&net.log_in(1, PASSWORD).await), "ok");
}

#[tokio::test]
async fn a_new_password_ends_all_sessions_but_the_one_it_came_from() {
    let (net, _) = Network::with_patient(2).await;
    let mine = net.log_in(0, PASSWORD).await.unwrap();
    let thief = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    let me = net.authenticate(1, &mine).await.unwrap();
    let (old, new) = (secret(PASSWORD), secret(OTHER));
    accounts::change_password(&net.nodes[1], &me, old, new)
        .await
        .unwrap();
    let unknown = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    net.assert_same().await;
    net.assert_over(&thief).await;
    net.assert_over(&unknown).await;
    for node in 0..2 {
        assert_eq!(code(&net.authenticate(node, &mine).await), "ok");
        assert_eq!(code(&net.log_in(node, PASSWORD).await), "bad_credentials");
    }
    assert_eq!(code(&net.log_in(0, OTHER).await), "ok");
}

#[tokio::test]
async fn a_reuse_at_another_node_ends_the_session_everywhere() {
    let (net, _) = Network::with_patient(3).await;
    let stolen = net.log_in(0, PASSWORD).await.unwrap();
    net.pass(MINUTE_MS);
    let second = net.refresh(0, &stolen).await.unwrap();
    net.pass(MINUTE_MS);
    let third = net.refresh(0, &second).await.unwrap();
    net.heal().await;
    assert_eq!(code(&net.refresh(2, &stolen).await), "bad_refresh_token");
    net.heal().await;
    net.assert_same().await;
    net.assert_over(&third).await;
}

/// One token exchanged at two nodes that were cut off from each other.
async fn fork(apart_ms: i64) -> (Network, [Tokens; 2]) {
    let (net, _) = Network::with_patient(3).await;
    let tokens = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    let here = net.refresh(0, &tokens).await.unwrap();
    net.pass(apart_ms);
    let there = net.refresh(1, &tokens).await.unwrap();
    net.heal().await;
    net.assert_same().await;
    (net, [here, there])
}

#[tokio::test]
async fn a_token_exchanged_at_two_nodes_is_in_two_hands() {
    let (net, both) = fork(MINUTE_MS).await;
    let found = "SELECT count(*) FROM audit_entry WHERE action = 'session.refresh' AND outcome = 'denied'
                 AND patient_id = 1 AND session IS NOT NULL AND detail LIKE 'exchanged at two nodes%'";
    let mut entries = 0;
    for node in 0..3 {
        entries += net.number(node, found).await;
        let report = net.nodes[node].store.verify_audit().await.unwrap();
        assert_eq!(report.problems, Vec::<String>::new());
    }
    assert!((1..=3).contains(&entries), "{entries}");
    for tokens in &both {
        net.assert_over(tokens).await;
    }
}

/// Within the grace period it is a phone that was answered twice.
#[tokio::test]
async fn a_phone_that_two_nodes_answered_stays_logged_in() {
    let (net, both) = fork(10_000).await;
    for tokens in &both {
        assert_eq!(code(&net.authenticate(2, tokens).await), "ok");
    }
    net.pass(40 * MINUTE_MS);
    assert_eq!(code(&net.refresh(2, &both[0]).await), "ok");
}

#[tokio::test]
async fn an_answer_that_was_lost_can_be_asked_for_at_another_node() {
    let (net, _) = Network::with_patient(2).await;
    let tokens = net.log_in(0, PASSWORD).await.unwrap();
    let _lost = net.refresh(0, &tokens).await.unwrap();
    net.heal().await;
    net.pass(40 * MINUTE_MS);
    let found = net.refresh(1, &tokens).await.unwrap();
    net.heal().await;
    net.assert_same().await;
    net.pass(40 * MINUTE_MS);
    assert_eq!(code(&net.refresh(0, &found).await), "ok");
}

#[tokio::test]
async fn what_has_expired_is_forgotten_and_never_good_again() {
    let (net, _) = Network::with_patient(2).await;
    let old = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    let late = net.refresh(1, &old).await.unwrap();
    net.log_out(1, &late).await;
    net.pass(98 * DAY_MS);
    let new = net.log_in(0, PASSWORD).await.unwrap();
    // The first node has forgotten the session of which the second has news. Its ids do not come again.
    assert_eq!(net.number(0, "SELECT count(*) FROM session").await, 1);
    assert_eq!(net.number(0, "SELECT count(*) FROM refresh_token").await, 1);
    assert_eq!(net.number(0, "SELECT min(id) FROM session").await, 2);
    net.heal().await;
    for node in 0..2 {
        for tokens in [&old, &late] {
            assert_eq!(code(&net.refresh(node, tokens).await), "bad_refresh_token");
        }
        assert_eq!(code(&net.authenticate(node, &new).await), "ok");
        assert_eq!(net.number(node, "SELECT count(*) FROM refused_op").await, 0);
    }
}

/// What was forgotten here went on elsewhere: the log as a whole is what decides.
#[tokio::test]
async fn a_node_that_comes_back_after_a_month_learns_what_went_on() {
    let (net, _) = Network::with_patient(2).await;
    let mut tokens = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    for _ in 0..10 {
        net.pass(3 * DAY_MS);
        tokens = net.refresh(0, &tokens).await.unwrap();
        // The other node forgets what it may, meanwhile.
        net.log_in(1, PASSWORD).await.unwrap();
    }
    net.heal().await;
    assert_eq!(code(&net.authenticate(1, &tokens).await), "ok");
    assert_eq!(code(&net.refresh(1, &tokens).await), "ok");
    // Tokens that had expired when they came were not stored.
    let old =
        "SELECT count(*) FROM refresh_token WHERE session_id = 1 AND generation BETWEEN 1 AND 7";
    assert_eq!(net.number(1, old).await, 0);
}

#[tokio::test]
async fn ids_of_forgotten_rows_are_not_given_out_again_after_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(ManualClock::at(NOW));
    let new = crate::store::NewReplica {
        number: 0,
        replica_id: islet_sync::chain::ReplicaId([0; 16]),
        network: [2; 16],
        node_id: "test".into(),
        clinic: "Test".into(),
        created_at: NOW,
    };
    let key = testing::AUDIT_KEY;
    crate::store::Store::create(dir.path(), &new, &key).unwrap();
    for expected in 1..=3 {
        let store = crate::store::Store::open(dir.path(), key, clock.clone()).unwrap();
        let job = move |tx: &mut WriteTx<'_>| {
            let (name, email) = (
                Username::parse("paz").unwrap(),
                Email::parse("a@b.co").unwrap(),
            );
            let boss = crate::store::staff::insert(tx, &name, &email, "hash", Role::Admin)?;
            rows::begin(tx, "x", Owner::Staff(boss), &[7; 32], tx.now())?;
            let sql = "SELECT max(id) FROM session";
            let id: i64 = tx.connection().query_row(sql, [], |row| row.get(0))?;
            tx.connection().execute("DELETE FROM session", [])?;
            Ok::<_, StoreError>(
                tx.audit(&Entry::new(&Actor::system(), "test.begin"))?
                    .with(id),
            )
        };
        assert_eq!(store.write(Lane::Interactive, job).await.unwrap(), expected);
        store.close();
    }
}

#[tokio::test]
async fn a_node_that_was_thrown_out_hands_out_no_good_tokens() {
    let (net, _) = Network::with_patient(3).await;
    let boss = staff(&net.nodes[0], "dra.paz").await;
    net.heal().await;
    let tokens = net.log_in(2, PASSWORD).await.unwrap();
    net.heal().await;
    assert_eq!(code(&net.authenticate(0, &tokens).await), "ok");
    revoke(&net.nodes[0], &boss, 2).await.unwrap();
    pull(&net.nodes[1], &net.nodes[0]).await;
    for node in 0..2 {
        assert_eq!(
            code(&net.authenticate(node, &tokens).await),
            "unauthenticated"
        );
        // The session was begun before, and goes on at a node that belongs to the network.
        let next = net.refresh(node, &tokens).await.unwrap();
        assert_eq!(code(&net.authenticate(node, &next).await), "ok");
    }
}

#[tokio::test]
async fn a_code_of_the_desk_works_at_another_node_and_once() {
    let (net, ana) = Network::with_patient(2).await;
    let boss = staff(&net.nodes[0], "dra.paz").await;
    let id = ana.patient_id().unwrap();
    let former = recovery::desk_code(&net.nodes[0], &boss, id).await.unwrap();
    net.pass(1);
    let desk = recovery::desk_code(&net.nodes[0], &boss, id).await.unwrap();
    let session = net.log_in(0, PASSWORD).await.unwrap();
    net.heal().await;
    let reset = async |node: usize, desk_code: &DeskCode, password: &str| {
        let typed = desk_code.grouped();
        let (app, password) = (&net.nodes[node], secret(password));
        code(&recovery::reset(app, &anonymous(), typed.expose(), password).await)
    };
    assert_eq!(reset(1, &former, OTHER).await, "recovery_invalid");
    assert_eq!(reset(1, &desk, OTHER).await, "ok");
    net.heal().await;
    net.assert_same().await;
    for node in 0..2 {
        // The phone may have lost the answer and reached the other node.
        assert_eq!(reset(node, &desk, OTHER).await, "ok");
        let third = reset(node, &desk, "una tercera clave").await;
        assert_eq!(third, "recovery_invalid");
        assert_eq!(code(&net.log_in(node, OTHER).await), "ok");
    }
    net.assert_over(&session).await;
}

/// A patient who was registered at two nodes keeps the log-ins of both.
#[tokio::test]
async fn log_ins_of_a_person_registered_twice_go_on() {
    let net = Network::of(2).await;
    let hash = net.nodes[0]
        .hasher
        .hash(&secret(PASSWORD))
        .await
        .unwrap()
        .to_stored();
    let dni = DNI.parse().unwrap();
    let here = patient_with(&net.nodes[0], dni, &hash).await;
    patient_with(&net.nodes[1], dni, &hash).await;
    let tokens = net.log_in(1, PASSWORD).await.unwrap();
    net.heal().await;
    net.assert_same().await;
    for node in 0..2 {
        let next = net.refresh(node, &tokens).await.unwrap();
        assert_eq!(net.authenticate(node, &next).await.unwrap().who, here.who);
        net.heal().await;
    }
}

/// All nodes keep the log for ever: what a log-in and a refresh add to it is little more than what is random
/// in them (32 and 16 bytes).
#[tokio::test]
async fn a_log_in_and_a_refresh_add_little_to_the_log() {
    let (net, _) = Network::with_patient(2).await;
    let run_from = async |from: u64| {
        let run = outgoing::run_after(&net.nodes[0], ReplicaNumber::FOUNDER, from)
            .await
            .unwrap();
        let (_, run) = run.unwrap();
        let changes = usize::try_from(run.seqs.1 - run.seqs.0 + 1).unwrap();
        (run.seqs.1, changes, run.bytes.len() / changes)
    };
    let (begin, ..) = run_from(0).await;
    let mut phones = Vec::new();
    for _ in 0..32 {
        phones.push(net.log_in(0, PASSWORD).await.unwrap());
        net.pass(90_000);
    }
    let (refreshes, changes, bytes) = run_from(begin).await;
    assert!(
        changes == 32 && bytes <= 48,
        "{changes} log-ins of {bytes} bytes"
    );
    for _ in 0..4 {
        for phone in &mut phones {
            net.pass(31_000);
            *phone = net.refresh(0, phone).await.unwrap();
        }
    }
    let (_, changes, bytes) = run_from(refreshes).await;
    assert!(
        changes == 128 && bytes <= 20,
        "{changes} refreshes of {bytes} bytes"
    );
}
