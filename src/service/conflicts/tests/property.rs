//! Any edits of any nodes that are cut off from each other.

use std::sync::Arc;

use proptest::prelude::*;

use super::*;

/// One thing that a node does to a reading while it is cut off.
#[derive(Clone, Copy, Debug)]
enum Edit {
    Correct(u8, u8),
    Withdraw(u8),
}

fn edits() -> impl Strategy<Value = Vec<(usize, Edit)>> {
    let edit = prop_oneof![
        3 => (0u8..3, 0u8..4).prop_map(|(which, value)| Edit::Correct(which, value)),
        1 => (0u8..3).prop_map(Edit::Withdraw),
    ];
    prop::collection::vec((0usize..3, edit), 0..8)
}

/// What the readings of one node say at the end of a time apart, as far as it changed them.
async fn play(net: &Network, made: &[i64], edits: &[(usize, Edit)]) {
    for (node, edit) in edits {
        match *edit {
            Edit::Correct(which, value) => {
                correct(
                    &net.nodes[*node],
                    made[usize::from(which)],
                    100.0 + f64::from(value),
                )
                .await;
            }
            Edit::Withdraw(which) => {
                let id = made[usize::from(which)];
                let operator = Actor::operator();
                readings::mark_entered_in_error(&net.nodes[*node], &operator, id)
                    .await
                    .unwrap();
            }
        }
    }
}

/// The readings whose last edits on the nodes that edited them differ: found from what each node shows
/// before they meet.
async fn expected(net: &Network, made: &[i64], edits: &[(usize, Edit)]) -> Vec<i64> {
    let mut found = Vec::new();
    for (which, id) in made.iter().enumerate() {
        let edited_by: BTreeSet<usize> = edits
            .iter()
            .filter(|(_, edit)| match edit {
                Edit::Correct(of, _) | Edit::Withdraw(of) => usize::from(*of) == which,
            })
            .map(|(node, _)| *node)
            .collect();
        let mut values = BTreeSet::new();
        for node in edited_by {
            let id = *id;
            let shown = net.nodes[node]
                .store
                .read(move |tx| crate::store::readings::by_id(tx, id));
            values.insert(format!("{:?}", shown.await.unwrap()));
        }
        if values.len() > 1 {
            found.push(*id);
        }
    }
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 8, failure_persistence: None, ..ProptestConfig::default() })]

    /// Every concurrent pair of edits that differ, and no other, is listed on every node in the same
    /// words, and gone everywhere once the settlement has come.
    #[test]
    fn what_crossed_is_listed_everywhere_until_it_is_settled(edits in edits(), settler in 0usize..3) {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap().block_on(async move {
            let net = Network::of(3).await;
            let ana = patient(&net.nodes[0], 30_111_222).await;
            let mut made = Vec::new();
            for n in 0..3 {
                made.push(reading(&net.nodes[0], &ana, 90.0, at(n)).await);
            }
            meet(&net).await;
            play(&net, &made, &edits).await;
            let crossed = expected(&net, &made, &edits).await;
            meet(&net).await;
            let found = listed(&net).await;
            let rows: Vec<i64> = found.iter().map(|it| it.id.row_id).collect();
            assert_eq!(rows, crossed, "{found:#?}");
            for conflict in &found {
                let choice = conflict.candidates.iter().find(|it| !it.shown).unwrap();
                let node: &Arc<App> = &net.nodes[settler];
                settle(node, &Actor::operator(), conflict.id, decision(Some(&choice.id), "so")).await.unwrap();
            }
            for node in &net.nodes {
                pull(node, &net.nodes[settler]).await;
            }
            net.assert_same().await;
            assert_eq!(listed(&net).await, vec![]);
        });
    }
}
