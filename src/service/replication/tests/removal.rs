//! Nodes that were thrown out, and what the others make of what they wrote.

use super::*;
use crate::auth::token::Audience;
use crate::service::{invitations, sessions};

impl Network {
    /// Throws the node at `whom` out, by the word of the node at `by`.
    async fn remove(&self, by: usize, whom: usize) {
        let key = self.nodes[whom].signer.public_key();
        let members = members(&self.nodes[by]).await.unwrap();
        let number = members.iter().find(|it| it.public_key == key).unwrap();
        revoke(&self.nodes[by], &Actor::operator(), number.number)
            .await
            .unwrap();
    }
}

/// Cuts one replica off that a node was, as a node does that has not heard of the one that it is now.
async fn remove_former(app: &App, number: u32) {
    let cut = move |tx: &mut WriteTx<'_>| {
        let members = member_rows::list(tx)?;
        let row = members.iter().find(|it| it.number.get() == number).unwrap();
        let head = logs::known_log(tx, row.number)?.map(|log| log.head);
        let head = head.unwrap_or(islet_sync::chain::Head::genesis(row.replica_id));
        member_rows::set_cut(tx, row.id, &head)?;
        tx.audit(&Entry::new(&Actor::system(), "peer.revoke"))
    };
    let done = app.store.write::<_, StoreError, _>(Lane::Interactive, cut);
    done.await.unwrap();
}

async fn readings_at(node: &App) -> usize {
    digests(node).await["reading"].len()
}

/// The key is trusted no more, whatever replica its node says that it is.
#[tokio::test]
async fn a_removed_node_stays_out_as_another_replica() {
    let net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    // It becomes another replica, of which one node hears and the one that removes it does not.
    renew(&net.nodes[2], Reason::NoFile).await.unwrap();
    reading(&net.nodes[2], &ana, 100.0, at(9)).await;
    pull(&net.nodes[1], &net.nodes[2]).await;
    net.remove(0, 2).await;
    pull(&net.nodes[1], &net.nodes[0]).await;
    let key = net.nodes[2].signer.public_key();
    for node in &net.nodes[..2] {
        let members = members(node).await.unwrap();
        let member = members.iter().find(|it| it.public_key == key).unwrap();
        assert!(member.revoked, "{member:?}");
    }
    // What it writes now may still come over a node that has not heard, and has no effect.
    reading(&net.nodes[2], &ana, 200.0, at(8)).await;
    pull(&net.nodes[1], &net.nodes[2]).await;
    assert_eq!(readings_at(&net.nodes[1]).await, 1);
    // Where the removal was known first, nothing of the new replica has one.
    pull(&net.nodes[0], &net.nodes[1]).await;
    assert_eq!(readings_at(&net.nodes[0]).await, 0);
    // It holds nobody up: what others write who have seen it arrives.
    reading(&net.nodes[1], &ana, 300.0, at(7)).await;
    pull(&net.nodes[0], &net.nodes[1]).await;
    assert_eq!(readings_at(&net.nodes[0]).await, 1);
}

#[tokio::test]
async fn tokens_of_a_removed_node_are_good_nowhere() {
    let (net, _) = Network::with_patient(3).await;
    let tokens = net.log_in(2, roaming::PASSWORD).await.unwrap();
    renew(&net.nodes[2], Reason::NoFile).await.unwrap();
    net.heal().await;
    let token = tokens.access.expose();
    let at = |node: usize| {
        let app = &net.nodes[node];
        let nobody = actor(Who::Anonymous);
        async move { sessions::authenticate(app, &nobody, Audience::Patient, token, false).await }
    };
    at(1).await.unwrap();
    remove_former(&net.nodes[1], 2).await;
    let refused = at(1).await.unwrap_err();
    assert!(matches!(refused, Error::Unauthenticated), "{refused:?}");
}

/// What it wrote before counts, for those too who come later.
#[tokio::test]
async fn a_node_that_joins_later_gets_what_a_removed_one_wrote() {
    let net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    reading(&net.nodes[2], &ana, 100.0, at(9)).await;
    net.heal().await;
    // The one that removes it has written nothing since, and so the removal does not wait for it.
    net.remove(0, 2).await;
    reading(&net.nodes[0], &ana, 200.0, at(8)).await;
    let clock = Arc::new(ManualClock::at(NOW));
    let (late, _dir) = testing::app_as(7, clock as Arc<dyn Clock>);
    let late = Arc::new(late);
    let admission = net.admit(7, &late).await;
    let removed = admission.members.iter().find(|it| it.number == 2).unwrap();
    assert!(removed.revoked);
    adopt(&late, &admission).await.unwrap();
    pull(&late, &net.nodes[0]).await;
    pull(&late, &net.nodes[0]).await;
    assert_eq!(digests(&late).await, digests(&net.nodes[0]).await);
}

/// A denied place is given to the next once every member has seen the denial. A removed node is none.
#[tokio::test]
async fn nobody_waits_for_a_removed_node() {
    let net = Network::of(3).await;
    let doctor = staff(&net.nodes[0], "dra.paz").await;
    let (ana, eva) = (
        patient(&net.nodes[0], 30_111_222).await,
        patient(&net.nodes[0], 30_111_333).await,
    );
    queue::resize(&net.nodes[0], &doctor, 1).await.unwrap();
    queue::open(&net.nodes[0], &doctor).await.unwrap();
    net.heal().await;
    renew(&net.nodes[2], Reason::NoFile).await.unwrap();
    pull(&net.nodes[0], &net.nodes[2]).await;
    let place = queue::submit(&net.nodes[0], &ana).await.unwrap();
    let deny = crate::domain::queue::QueueAction::Deny;
    queue::decide(&net.nodes[0], &doctor, place.placement, deny)
        .await
        .unwrap();
    pull(&net.nodes[1], &net.nodes[0]).await;
    // The other node answers, and so says what it knows.
    reading(&net.nodes[1], &ana, 100.0, at(9)).await;
    pull(&net.nodes[0], &net.nodes[1]).await;
    queue::submit(&net.nodes[0], &eva).await.unwrap_err();
    remove_former(&net.nodes[0], 2).await;
    queue::submit(&net.nodes[0], &eva).await.unwrap();
}

/// Invitations are good for anybody else.
#[tokio::test]
async fn a_removed_key_is_not_let_in_again() {
    let net = Network::of(2).await;
    net.remove(0, 1).await;
    let (operator, hour) = (Actor::operator(), std::time::Duration::from_secs(3600));
    invitations::create(&net.nodes[0], &operator, [9; 32], hour)
        .await
        .unwrap();
    let knock = |public_key: [u8; 32]| {
        let new = NewMember {
            public_key,
            token_key: [0; 32],
            name: "another".into(),
            addresses: Vec::new(),
            invitation: [9; 32],
        };
        admit(&net.nodes[0], new)
    };
    let refused = knock(net.nodes[1].signer.public_key()).await.unwrap_err();
    assert_eq!(refused.code(), "invitation_key_removed");
    // The name of the removed node is free, and so is the invitation.
    let admitted = knock([8; 32]).await.unwrap();
    let new = admitted.members.iter().find(|it| it.public_key == [8; 32]);
    assert_eq!(new.unwrap().name, "another");
}

/// What a node takes from a removed one before it hears of the removal stays, and people are told.
#[tokio::test]
async fn what_was_taken_before_a_removal_was_heard_of_is_listed() {
    let net = Network::of(3).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    reading(&net.nodes[2], &ana, 100.0, at(9)).await;
    net.heal().await;
    net.remove(0, 2).await;
    let late = reading(&net.nodes[2], &ana, 200.0, at(8)).await;
    pull(&net.nodes[1], &net.nodes[2]).await;
    assert_eq!(beyond(&net.nodes[1]).await.unwrap(), []);
    pull(&net.nodes[1], &net.nodes[0]).await;
    let later = reading(&net.nodes[2], &ana, 300.0, at(7)).await;
    pull(&net.nodes[1], &net.nodes[2]).await;
    pull(&net.nodes[0], &net.nodes[1]).await;
    let row = |id: i64, taken: bool| BeyondRow {
        table: "reading",
        id,
        taken,
    };
    for (node, taken) in [(0, false), (1, true)] {
        let found = beyond(&net.nodes[node]).await.unwrap();
        let [only] = found.as_slice() else {
            panic!("{found:?}");
        };
        let expected = (only.number, only.taken, only.aside);
        assert_eq!(expected, (2, u64::from(taken), 2 - u64::from(taken)));
        assert_eq!(only.rows, [row(late, taken), row(later, false)]);
        let rows = digests(&net.nodes[node]).await["reading"].len();
        assert_eq!(rows, if taken { 2 } else { 1 });
        let heard = net.number(
            node,
            "SELECT count(*) FROM audit_entry WHERE action = 'peer.heard_late'",
        );
        assert_eq!(heard.await, i64::from(taken));
    }
}

/// A reading is never refused; nobody is let into a network that is none.
#[tokio::test]
async fn a_removed_node_stores_readings_and_lets_nobody_in() {
    let net = Network::of(2).await;
    let ana = patient(&net.nodes[0], 30_111_222).await;
    net.heal().await;
    let node = &net.nodes[1];
    let (operator, hour) = (Actor::operator(), std::time::Duration::from_secs(3600));
    let invite = async |digest: u8| {
        let made = invitations::create(node, &operator, [digest; 32], hour).await;
        made.map_or_else(|error| error.code(), |_| "ok")
    };
    assert_eq!(
        (removal(node).await.unwrap(), invite(1).await),
        (None, "ok")
    );
    // Another node says so, and later answers again.
    let founder = net.nodes[0].signer.public_key();
    note_turned_away(node, founder, true).await.unwrap();
    let told = removal(node).await.unwrap().unwrap();
    assert_eq!((told.known, told.by), (false, vec!["A".to_owned()]));
    assert_eq!(invite(2).await, "invitation_removed");
    note_turned_away(node, founder, false).await.unwrap();
    assert_eq!(
        (removal(node).await.unwrap(), invite(3).await),
        (None, "ok")
    );
    // The change that did it comes.
    net.remove(0, 1).await;
    pull(node, &net.nodes[0]).await;
    assert!(removal(node).await.unwrap().unwrap().known);
    assert_eq!(invite(4).await, "invitation_removed");
    let new = NewMember {
        public_key: [8; 32],
        token_key: [0; 32],
        name: "another".into(),
        addresses: Vec::new(),
        invitation: [3; 32],
    };
    let refused = admit(node, new).await.unwrap_err();
    assert_eq!(refused.code(), "invitation_removed");
    reading(node, &ana, 200.0, at(8)).await;
    assert_eq!(readings_at(node).await, 1);
}

/// Places that a node held are lost with the replica that it was, and with the node: nobody may give them out, since
/// nobody knows whether they were. A day that is opened anew has its own.
#[tokio::test]
async fn places_of_a_replica_that_is_gone_come_back_with_a_new_day() {
    let net = Network::of(2).await;
    let doctor = staff(&net.nodes[0], "dra.paz").await;
    let mut people = Vec::new();
    for dni in 0..6 {
        people.push(patient(&net.nodes[0], 30_000_000 + dni).await);
    }
    let day = async |size: i64| {
        queue::resize(&net.nodes[0], &doctor, size).await.unwrap();
        queue::open(&net.nodes[0], &doctor).await.unwrap();
        net.heal().await;
    };
    let submit = async |node: usize, who: usize| {
        let done = queue::submit(&net.nodes[node], &people[who]).await;
        done.map_or_else(|error| error.code(), |_| "ok")
    };
    day(4).await;
    renew(&net.nodes[0], Reason::NoFile).await.unwrap();
    net.heal().await;
    for node in 0..2 {
        assert_eq!(submit(node, 0).await, "places_stranded");
    }
    queue::close(&net.nodes[0], &doctor).await.unwrap();
    day(4).await;
    assert_eq!(submit(0, 0).await, "ok");
    // Some go to the other node, which is removed with them.
    let number = replica_of(&net.nodes[1]).await.get();
    let request = rights_request(&net.nodes[1], 4).await.unwrap();
    rights(&net.nodes[0], number, request).await.unwrap();
    let mut who = 1;
    while submit(0, who).await == "ok" {
        who += 1;
    }
    assert_eq!(submit(0, who).await, "places_elsewhere");
    net.remove(0, 1).await;
    assert_eq!(submit(0, who).await, "places_stranded");
    queue::close(&net.nodes[0], &doctor).await.unwrap();
    queue::open(&net.nodes[0], &doctor).await.unwrap();
    assert_eq!(submit(0, who).await, "ok");
}
