//! Runs of a log: joined when small, and their marks.

use islet_sync::chain::Signer;

use super::*;

/// Writes `count` changes and makes them one run.
async fn run_of(node: &Node, count: usize) {
    for size in 0..count {
        node.queue_day(size as i64).await.unwrap();
    }
    let sealed = node.store().write(Lane::Bulk, move |tx| {
        let sealed = logs::seal(tx, &Signer::from_seed(&[3; 32]).unwrap())?;
        Ok::<_, StoreError>(
            tx.audit(&Entry::new(&Actor::system(), "test.seal"))?
                .with(sealed),
        )
    });
    assert_eq!(sealed.await.unwrap(), count);
}

async fn join(node: &Node) -> usize {
    let joined = node.store().write(Lane::Bulk, move |tx| {
        let joined = logs::join_runs(tx, tx.state().me)?;
        Ok::<_, StoreError>(
            tx.audit(&Entry::new(&Actor::system(), "test.join"))?
                .with(joined),
        )
    });
    joined.await.unwrap()
}

#[tokio::test]
async fn a_small_run_before_a_large_one_does_not_keep_later_ones_apart() {
    let node = Node::new();
    for changes in [1, 1_100, 1, 2, 1] {
        run_of(&node, changes).await;
    }
    assert_eq!(join(&node).await, 3);
    assert_eq!(node.count("segment").await, 3);
    assert_eq!(join(&node).await, 0);
    assert_eq!(node.problems().await, Vec::<String>::new());
}

/// A change that was undone gives its seq to another, whose chain hash is another.
#[tokio::test]
async fn a_mark_that_was_counted_in_an_undone_write_is_forgotten() {
    let node = Node::new();
    node.queue_day(1).await.unwrap();
    let marks = node.store().write(Lane::Interactive, |tx| {
        let mut later = tx.state().clone();
        let (me, before) = (later.me, later.clone());
        let counted = later.marks.at(tx, me, 1)?;
        let other = "DROP TRIGGER change_no_update; UPDATE change SET hlc = hlc + 1 WHERE seq = 1";
        tx.connection().execute_batch(other)?;
        let remembered = later.marks.at(tx, me, 1)?;
        later.head.seq += 1;
        later.undo_to(before);
        let again = later.marks.at(tx, me, 1)?;
        let done = tx.audit(&Entry::new(&Actor::system(), "test.marks"))?;
        Ok::<_, StoreError>(done.with((counted, remembered, again)))
    });
    let (counted, remembered, again) = marks.await.unwrap();
    assert!(counted.is_some() && counted == remembered);
    assert!(again.is_some() && again != counted);
}
