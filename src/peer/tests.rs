//! Nodes in one process, over real sockets on loopback.

use std::sync::Arc;
use std::time::Duration;

use islet_sync::chain::ReplicaId;
use tempfile::TempDir;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::identity::Identity;
use super::invitation::Invitation;
use super::join::{Inheritance, join};
use super::sync::{Giving, Link, Progress};
use super::{PeerNode, links, server, tls};
use crate::auth::{Secret, SystemRandom};
use crate::clock::{Clock, SystemClock};
use crate::domain::actor::Actor;
use crate::http::listen::{self, Kind, Listener};
use crate::service::replication::Admission;
use crate::service::{invitations, replication, testing};
use crate::store::NewReplica;

const LOOKS: usize = 3_000;
const HOUR: Duration = Duration::from_secs(3600);

struct Running {
    node: Arc<PeerNode>,
    address: String,
    tasks: Vec<JoinHandle<()>>,
    _dir: TempDir,
}

impl Running {
    /// A node that serves: that which was admitted, or a founder.
    fn start(identity: Identity, admission: Option<&Admission>) -> Self {
        let replica = NewReplica {
            number: admission.map_or(0, |it| it.number),
            replica_id: ReplicaId(admission.map_or([1; 16], |it| it.replica_id)),
            network: admission.map_or([2; 16], |it| it.network),
            node_id: identity.node_id(),
            clinic: "Test".into(),
            created_at: SystemClock.now(),
        };
        let signer = identity.signer().unwrap();
        let (app, dir) = testing::app_of(&replica, signer, Arc::new(SystemClock));
        let inheritance = Inheritance {
            ca_certificate: String::new(),
            ca_key: Secret::new(String::new()),
            settings: String::new(),
        };
        let stop = CancellationToken::new();
        let node = PeerNode::new(
            Arc::new(app),
            identity,
            "x".into(),
            Some(inheritance),
            stop.clone(),
        );
        let bound = listen::bind(Listener {
            addr: ([127, 0, 0, 1], 0).into(),
            kind: Kind::Mutual(tls::server_config(&node.identity).unwrap()),
            app: server::router(&node),
            option: "--peer",
        });
        let bound = bound.unwrap();
        let address = bound.addr().to_string();
        node.set_addresses(vec![address.clone()]);
        let served = listen::serve(vec![bound], listen::ConnectionLimits::default(), stop);
        let served = tokio::spawn(async move { assert_eq!(served.await, 0) });
        Self {
            node,
            address,
            tasks: vec![served],
            _dir: dir,
        }
    }

    fn link(&mut self) {
        let links = links::run(Arc::clone(&self.node));
        self.tasks.push(tokio::spawn(links));
    }

    async fn stop(self) {
        self.node.stop.cancel();
        for task in self.tasks {
            task.await.unwrap();
        }
    }
}

fn identity() -> Identity {
    Identity::from_pkcs8(Identity::generate().unwrap()).unwrap()
}

/// The founder, and a second node that has joined.
async fn two() -> (Running, Running) {
    let founder = Running::start(identity(), None);
    founder.node.announce().await.unwrap();
    let network = replication::network(&founder.node.app).await.unwrap();
    let invitation = Invitation::new(
        network,
        *founder.node.identity.public_key(),
        vec![founder.address.clone()],
        &SystemRandom,
    );
    let invitation = invitation.unwrap();
    let (app, operator) = (&founder.node.app, Actor::operator());
    let noted = invitations::create(app, &operator, invitation.digest(), HOUR).await;
    noted.unwrap();
    let key = identity();
    let welcome = join(&key, &invitation, "second", &[0; 32]).await;
    let admission = welcome.unwrap().admission;
    let second = Running::start(key, Some(&admission));
    assert_eq!(admission.network, network);
    let adopted = replication::adopt(&second.node.app, &admission).await;
    adopted.unwrap();
    let members = admission.members.iter().find(|it| it.number == 0);
    let link = Link::open(
        &second.node,
        members.unwrap(),
        std::slice::from_ref(&founder.address),
    )
    .await;
    let round = link
        .unwrap()
        .round(Giving::Always, &Progress::default())
        .await;
    round.unwrap();
    second.node.announce().await.unwrap();
    (founder, second)
}

async fn until<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    for _ in 0..LOOKS {
        if holds().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not come about");
}

#[tokio::test]
async fn rights_are_asked_over_the_link_that_is_up() {
    let (mut founder, mut second) = two().await;
    let number = {
        let members = replication::members(&founder.node.app).await.unwrap();
        let key = second.node.identity.public_key();
        let member = members.iter().find(|it| it.public_key == *key);
        member.unwrap().number
    };
    let unlinked = founder.node.ask_rights(number, vec![1]).await;
    assert!(unlinked.unwrap_err().to_string().contains("no link"));
    founder.link();
    second.link();
    until(|| async { founder.node.linked().await.unwrap() == [number] }).await;
    let request = replication::rights_request(&founder.node.app, 1)
        .await
        .unwrap();
    let answer = founder.node.ask_rights(number, request).await.unwrap();
    // The second node has no places to hand over.
    let handed = replication::take_rights(&founder.node.app, number, &answer).await;
    assert_eq!(handed.unwrap(), 0);
    until(|| async { second.node.linked().await.unwrap() == [0] }).await;
    founder.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn a_lost_answer_to_a_join_is_asked_for_again() {
    let (founder, second) = two().await;
    let network = replication::network(&founder.node.app).await.unwrap();
    let invitation = Invitation::new(
        network,
        *founder.node.identity.public_key(),
        vec![founder.address.clone()],
        &SystemRandom,
    );
    let invitation = invitation.unwrap();
    let (app, operator) = (&founder.node.app, Actor::operator());
    let noted = invitations::create(app, &operator, invitation.digest(), HOUR).await;
    noted.unwrap();
    let third = identity();
    let first = join(&third, &invitation, "third", &[0; 32]).await.unwrap();
    let again = join(&third, &invitation, "third", &[0; 32]).await.unwrap();
    assert_eq!(first.admission.number, again.admission.number);
    let members = replication::members(app).await.unwrap();
    assert_eq!(members.len(), 3);
    founder.stop().await;
    second.stop().await;
}

#[tokio::test]
async fn news_travel_both_ways_while_only_one_node_can_be_reached() {
    let (founder, mut second) = two().await;
    // The founder makes no links: the second node fetches and gives.
    second.link();
    let at = |node: &Arc<PeerNode>, address: &'static str| {
        let app = Arc::clone(&node.app);
        async move {
            let members = replication::members(&app).await.unwrap();
            let mut addresses = members.iter().flat_map(|member| &member.addresses);
            addresses.any(|it| it == address)
        }
    };
    until(|| async { second.node.linked().await.unwrap() == [0] }).await;
    second.node.set_addresses(vec!["127.0.0.1:7".into()]);
    second.node.announce().await.unwrap();
    until(|| at(&founder.node, "127.0.0.1:7")).await;
    founder.node.set_addresses(vec!["127.0.0.1:8".into()]);
    founder.node.announce().await.unwrap();
    until(|| at(&second.node, "127.0.0.1:8")).await;
    founder.stop().await;
    second.stop().await;
}
