//! What was set aside, and logs that are stopped, as the operator is told of them.

use islet_sync::chain::ReplicaId;
use islet_sync::exchange::Introduction;
use islet_sync::id::ReplicaNumber;

use super::*;

#[tokio::test]
async fn what_was_set_aside_is_counted_and_a_stopped_log_says_why() {
    let node = Node::new();
    let look = async |node: &Node| {
        let look = node
            .store()
            .read(|tx| Ok::<_, StoreError>((waiting::refused(tx)?, waiting::troubles(tx)?)));
        look.await.unwrap()
    };
    assert_eq!(look(&node).await, (waiting::Refused::default(), vec![]));
    let write = node.store().write(Lane::Bulk, |tx| {
        let number = ReplicaNumber::new(7).unwrap();
        let who = Introduction { number, replica: ReplicaId([7; 16]), public_key: [7; 32], branch: None };
        logs::introduce(tx, &who)?;
        logs::stop(tx, number, "revoked")?;
        for position in 0..2 {
            let sql = "INSERT INTO refused_op (number, seq, position, entity, reason) VALUES (7, 3, ?, 99, 'later')";
            tx.local(sql, [position])?;
        }
        tx.audit(&Entry::new(&Actor::system(), "test.waiting"))
    });
    write.await.map_err(|error: StoreError| error).unwrap();
    let (refused, troubles) = look(&node).await;
    assert_eq!(refused.count, 2);
    assert_eq!(
        refused.first.unwrap(),
        "later (change 3 of an unknown node (number 7))"
    );
    assert_eq!((troubles.len(), troubles[0].waiting), (1, 0));
    assert_eq!(troubles[0].stopped.as_deref(), Some("revoked"));
}
