//! Random histories of one session at three nodes.

use proptest::prelude::*;

use super::*;
use crate::auth::SystemRandom;
use crate::auth::opaque::{OpaqueToken, Purpose};

/// What happens, at which node.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// Somebody presents one of the tokens handed out so far.
    Refresh(usize, prop::sample::Index),
    LogOut(usize, prop::sample::Index),
    /// As a block or a new password does.
    EndAll(usize),
    Pull(usize, usize),
    Pass(i64),
}

fn step() -> impl Strategy<Value = Step> {
    let (node, token) = (0_usize..3, any::<prop::sample::Index>());
    prop_oneof![
        12 => (node.clone(), token.clone()).prop_map(|(at, token)| Step::Refresh(at, token)),
        1 => (node.clone(), token).prop_map(|(at, token)| Step::LogOut(at, token)),
        1 => node.clone().prop_map(Step::EndAll),
        12 => (node.clone(), node).prop_map(|(to, from)| Step::Pull(to, from)),
        4 => (0..40 * MINUTE_MS).prop_map(Step::Pass),
    ]
}

/// The session, and every refresh token that was handed out.
struct History {
    net: Network,
    owner: Owner,
    tokens: Vec<String>,
}

impl History {
    async fn new() -> Self {
        let net = Network::of(3).await;
        let ana = patient(&net.nodes[0], 30_111_222).await;
        let owner = Owner::Patient(ana.patient_id().unwrap());
        let first = OpaqueToken::generate(Purpose::Refresh, &SystemRandom).unwrap();
        let (digest, expires_at) = (first.digest(), Timestamp(NOW.0 + 7 * DAY_MS));
        let job = move |tx: &mut WriteTx<'_>| {
            rows::begin(tx, "session", owner, &digest, expires_at)?;
            tx.audit(&Entry::new(&Actor::system(), "test.begin"))
        };
        net.nodes[0]
            .store
            .write::<_, StoreError, _>(Lane::Interactive, job)
            .await
            .unwrap();
        net.heal().await;
        Self {
            net,
            owner,
            tokens: vec![first.expose().to_owned()],
        }
    }

    async fn present(&self, node: usize, token: &str) -> Result<Tokens, Error> {
        let (app, now) = (&self.net.nodes[node], self.net.clock.now());
        sessions::refresh(app, &anonymous(), Audience::Patient, token, now).await
    }

    async fn take(&mut self, step: Step) {
        let net = &self.net;
        match step {
            Step::Refresh(node, token) => {
                let next = self.present(node, token.get(&self.tokens).as_str()).await;
                self.tokens
                    .extend(next.ok().map(|next| next.refresh.expose().to_owned()));
            }
            Step::LogOut(node, token) => {
                let token = token.get(&self.tokens).as_str();
                sessions::revoke(&net.nodes[node], &anonymous(), Audience::Patient, token)
                    .await
                    .unwrap();
            }
            Step::EndAll(node) => {
                let owner = self.owner;
                let job = move |tx: &mut WriteTx<'_>| {
                    rows::revoke_all(tx, owner, None)?;
                    tx.audit(&Entry::new(&Actor::system(), "test.end"))
                };
                net.nodes[node]
                    .store
                    .write::<_, StoreError, _>(Lane::Interactive, job)
                    .await
                    .unwrap();
            }
            Step::Pull(to, from) if to == from => {}
            Step::Pull(to, from) => {
                pull(&net.nodes[to], &net.nodes[from]).await;
            }
            Step::Pass(ms) => net.pass(ms),
        }
    }

    /// Whether the session is over at a node.
    async fn is_over(&self, node: usize) -> bool {
        let read = self.net.nodes[node]
            .store
            .read(|tx| rows::status(tx, "session"));
        read.await.unwrap().unwrap().revoked
    }
}

async fn play(steps: &[Step]) {
    let mut history = History::new().await;
    let mut ended = false;
    for step in steps {
        history.take(*step).await;
        for node in 0..3 {
            ended |= history.is_over(node).await;
        }
    }
    history.net.heal().await;
    history.net.assert_same().await;
    let net = &history.net;
    assert_eq!(net.number(0, "SELECT count(*) FROM refused_op").await, 0);
    // Counted from the rows, apart from the code that finds it as they come.
    let forks =
        "SELECT count(*) FROM refresh_token a JOIN refresh_token b USING (session_id, generation)
                 WHERE a.opens AND b.opens AND a.issued_at > b.issued_at + 30000";
    let forked = net.number(0, forks).await > 0;
    assert_eq!(history.is_over(0).await, ended || forked);
    if ended || forked {
        for (node, token) in (0..3).cycle().zip(&history.tokens) {
            assert_eq!(
                code(&history.present(node, token).await),
                "bad_refresh_token"
            );
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn every_order_of_arrival_ends_in_the_same_sessions(steps in prop::collection::vec(step(), 1..40)) {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_all().build().unwrap().block_on(play(&steps));
    }
}
