//! Reader threads: time limit, panics, and which snapshot they see.

use std::time::Duration;

use super::*;
use crate::store::readers::Readers;

/// Never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE c (x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c) SELECT count(*) FROM c";

#[tokio::test]
async fn a_read_that_takes_too_long_is_cut_off_and_the_reader_goes_on() {
    let node = Node::new();
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(NOW));
    let limit = Duration::from_millis(20);
    let mut readers = Readers::start(node.store().path(), 1, limit, &clock).unwrap();
    let endless = |tx: &ReadTx<'_>| tx::one(tx, ENDLESS, [], |row| row.get::<_, i64>(0));
    let cut = readers.run(endless).await;
    assert!(matches!(cut, Err(StoreError::TimedOut)), "{cut:?}");
    let quick = |tx: &ReadTx<'_>| tx::one(tx, "SELECT 7", [], |row| row.get::<_, i64>(0));
    assert_eq!(readers.run(quick).await.unwrap(), Some(7));
    let panics = |_: &ReadTx<'_>| -> Result<(), StoreError> { panic!("on purpose") };
    assert!(matches!(
        readers.run(panics).await,
        Err(StoreError::Panicked)
    ));
    assert_eq!(readers.run(quick).await.unwrap(), Some(7));
    readers.stop();
    assert!(matches!(readers.run(quick).await, Err(StoreError::Closed)));
}

#[tokio::test]
async fn a_reader_cannot_write() {
    let node = Node::new();
    let read = |tx: &ReadTx<'_>| tx::one(tx, "DELETE FROM setting RETURNING 1", [], |_| Ok(()));
    assert!(node.store().read(read).await.is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn reads_see_every_write_that_was_acknowledged() {
    let node = Node::new();
    let acknowledged = std::sync::atomic::AtomicI64::new(0);
    let write = || async {
        for _ in 0..100 {
            node.queue_day(1).await.unwrap();
            acknowledged.fetch_add(1, Ordering::SeqCst);
        }
    };
    let read = || async {
        for _ in 0..200 {
            let at_least = acknowledged.load(Ordering::SeqCst);
            assert!(node.count("queue_day").await >= at_least);
        }
    };
    tokio::join!(write(), write(), read(), read(), read());
    assert_eq!(node.count("queue_day").await, 200);
}

#[tokio::test]
async fn one_read_sees_one_snapshot() {
    let node = Node::new();
    let (seen, has_seen) = tokio::sync::oneshot::channel();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let count = |tx: &ReadTx<'_>| {
        tx::one(tx, "SELECT count(*) FROM queue_day", [], |r| {
            r.get::<_, i64>(0)
        })
    };
    let read = node.store().read(move |tx| {
        let before = count(tx)?;
        seen.send(()).ok();
        wait.recv().ok();
        Ok::<_, StoreError>((before, count(tx)?))
    });
    let write = async {
        has_seen.await.unwrap();
        node.queue_day(1).await.unwrap();
        release.send(()).ok();
    };
    let (counts, ()) = tokio::join!(read, write);
    assert_eq!(counts.unwrap(), (Some(0), Some(0)));
}
