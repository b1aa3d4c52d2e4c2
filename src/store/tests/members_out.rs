//! Members that were thrown out, and who is waited for.

use islet_sync::chain::{Head, ReplicaId};
use islet_sync::exchange::Introduction;
use islet_sync::id::ReplicaNumber;

use super::*;

/// Cut off behind a change that has not arrived, it may have written something that crosses what happened here.
#[tokio::test]
async fn a_removed_member_is_waited_for_until_all_of_it_that_counts_is_here() {
    for (cut, alone) in [(0, true), (5, false)] {
        let node = Node::new();
        let write = node.store().write(Lane::Interactive, move |tx| {
            let number = ReplicaNumber::new(7).unwrap();
            let who = Introduction {
                number,
                replica: ReplicaId([7; 16]),
                public_key: [7; 32],
                branch: None,
            };
            logs::introduce(tx, &who)?;
            let new = members::NewMember {
                number,
                replica_id: who.replica,
                public_key: who.public_key,
                token_key: [0; 32],
                name: "another",
                addresses: &[],
            };
            let id = members::insert(tx, &new)?;
            let end = Head {
                seq: cut,
                hash: [1; 32],
            };
            members::set_cut(tx, id, &end)?;
            let stable = members::stable(tx)?;
            let entry = Entry::new(&Actor::system(), "test.members");
            Ok::<_, StoreError>(tx.audit(&entry)?.with(stable.is_none()))
        });
        assert_eq!(write.await.unwrap(), alone, "cut off after {cut}");
    }
}
