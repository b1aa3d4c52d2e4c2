//! Who goes first, what a stop does with what waits, and how long the write-ahead log gets.

use std::sync::Mutex;
use std::sync::atomic::AtomicBool;

use futures_util::FutureExt as _;

use super::*;
use crate::store::lanes::{Lanes, Outcome};

type Order = Arc<Mutex<Vec<&'static str>>>;

/// Queues a job that only notes that it ran.
fn push(lanes: &Lanes, order: &Order, lane: Lane, label: &'static str) -> Result<(), StoreError> {
    let order = Arc::clone(order);
    let run = Box::new(move |_: Result<&mut WriteTx<'_>, StoreError>| {
        order.lock().unwrap().push(label);
        Outcome {
            keep: false,
            reply: Box::new(|_| ()),
        }
    });
    lanes.push(lane, run)
}

fn run_batch(lanes: &Lanes) -> usize {
    let jobs = lanes.take().unwrap().jobs;
    let count = jobs.len();
    for job in jobs {
        (job.run)(Err(StoreError::Closed));
    }
    count
}

#[test]
fn the_bulk_lane_waits_for_people_but_not_for_ever() {
    let (lanes, order) = (Lanes::default(), Order::default());
    push(&lanes, &order, Lane::Bulk, "bulk").unwrap();
    push(&lanes, &order, Lane::Bulk, "bulk").unwrap();
    // People never stop asking.
    for _ in 0..2 * (limits::BULK_TURN_BATCHES + 1) {
        push(&lanes, &order, Lane::Interactive, "person").unwrap();
        push(&lanes, &order, Lane::Essential, "person").unwrap();
        run_batch(&lanes);
    }
    let order = order.lock().unwrap().clone();
    let people_before = |nth: usize| {
        let at = order
            .iter()
            .enumerate()
            .filter(|(_, label)| **label == "bulk");
        at.map(|(index, _)| index).nth(nth).map(|index| index - nth)
    };
    let turn = limits::BULK_TURN_BATCHES as usize;
    assert_eq!(people_before(0), Some(2 * turn));
    assert_eq!(people_before(1), Some(4 * turn + 2));
}

#[test]
fn a_bulk_write_has_a_commit_of_its_own_and_its_lane_is_bounded() {
    let (lanes, order) = (Lanes::default(), Order::default());
    for _ in 0..limits::BULK_WRITES_MAX {
        push(&lanes, &order, Lane::Bulk, "bulk").unwrap();
    }
    let refused = push(&lanes, &order, Lane::Bulk, "bulk");
    assert!(matches!(refused, Err(StoreError::Overloaded)));
    push(&lanes, &order, Lane::Interactive, "person").unwrap();
    assert_eq!(run_batch(&lanes), 1);
    assert_eq!(order.lock().unwrap().as_slice(), ["person"]);
    for _ in 0..limits::BULK_WRITES_MAX {
        assert_eq!(run_batch(&lanes), 1);
    }
}

/// What is committed in which order by the real writer thread.
#[tokio::test]
async fn people_who_came_later_are_served_before_bulk_writes() {
    let node = Node::new();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let blocker = node.store().write(Lane::Interactive, move |tx| {
        started.send(()).ok();
        wait.recv().ok();
        insert_day(tx, 0)
    });
    let bulk = |_| node.store().write(Lane::Bulk, |tx| insert_day(tx, 1));
    let person = |_| {
        node.store()
            .write(Lane::Interactive, |tx| insert_day(tx, 2))
    };
    let all = async {
        has_started.await.unwrap();
        let bulk = futures_util::future::join_all((0..8).map(bulk));
        let people = futures_util::future::join_all((0..40).map(person));
        // Bulk writes are queued first; nothing runs until the blocker ends.
        let (bulk, people, ()) = tokio::join!(bulk, people, async {
            release.send(()).ok();
        });
        bulk.into_iter().chain(people).for_each(|result| {
            result.map_err(|error: StoreError| error).unwrap();
        });
    };
    let (blocked, ()) = tokio::join!(blocker, all);
    blocked.map_err(|error: StoreError| error).unwrap();
    let read = |tx: &ReadTx<'_>| {
        tx::all(tx, "SELECT size FROM queue_day ORDER BY id", [], |r| {
            r.get(0)
        })
    };
    let sizes: Vec<i64> = node.store().read(read).await.unwrap();
    let expected: Vec<i64> = [vec![0], vec![2; 40], vec![1; 8]].concat();
    assert_eq!(sizes, expected);
}

#[tokio::test]
async fn a_stop_finishes_what_was_accepted_even_for_callers_who_left() {
    let mut node = Node::new();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let store = node.store.take().unwrap();
    let blocker = store.write(Lane::Interactive, move |tx| {
        wait.recv().ok();
        insert_day(tx, 0)
    });
    assert!(
        blocker
            .map(|r: Result<_, StoreError>| r.is_ok())
            .now_or_never()
            .is_none()
    );
    for _ in 0..500 {
        let write = store.write(Lane::Interactive, |tx| insert_day(tx, 1));
        // Queued at the first poll, then its caller goes away.
        assert!(
            write
                .map(|r: Result<_, StoreError>| r.is_ok())
                .now_or_never()
                .is_none()
        );
    }
    for _ in 0..500 {
        store
            .note_access(Entry::new(&Actor::system(), "reading.list"))
            .unwrap();
    }
    let closing = std::thread::spawn(move || store.close());
    release.send(()).unwrap();
    closing.join().unwrap();
    node.open();
    assert_eq!(node.count("queue_day").await, 501);
    assert_eq!(node.count("audit_entry").await, 1 + 501 + 500);
    assert_eq!(node.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn jobs_that_all_fail_cost_no_commit() {
    let node = Node::new();
    let wal = || {
        std::fs::metadata(node.store().path().with_extension("db-wal"))
            .unwrap()
            .len()
    };
    node.queue_day(1).await.unwrap();
    let before = wal();
    for _ in 0..20 {
        let refused = node.store().write(Lane::Interactive, |tx| {
            let _done = insert_day(tx, 1)?;
            Err::<Audited<()>, _>(StoreError::Closed)
        });
        assert!(refused.await.is_err());
    }
    assert_eq!(wal(), before);
}

/// Readers that overlap without a gap would let the log grow for ever.
#[tokio::test(flavor = "multi_thread")]
async fn the_write_ahead_log_stays_short_while_readers_never_pause() {
    let node = Node::new();
    let wal = node.store().path().with_extension("db-wal");
    let stop = AtomicBool::new(false);
    let readers = (0..limits::READERS).map(|_| async {
        while !stop.load(Ordering::SeqCst) {
            let read = node.store().read(|tx| {
                tx::one(tx, "SELECT count(*) FROM setting", [], |_| Ok(()))?;
                std::thread::sleep(std::time::Duration::from_millis(3));
                Ok::<_, StoreError>(())
            });
            read.await.unwrap();
        }
    });
    let writes = async {
        let mut longest = 0;
        for round in 0..200 {
            let text = format!("{round}").repeat(100_000);
            let write = node.store().write(Lane::Interactive, move |tx| {
                tx.set_setting("test", &text)?;
                tx.audit(&Entry::new(&Actor::system(), "test.write"))
            });
            write.await.map_err(|error: StoreError| error).unwrap();
            longest = longest.max(std::fs::metadata(&wal).unwrap().len());
        }
        stop.store(true, Ordering::SeqCst);
        longest
    };
    let (longest, _) = tokio::join!(writes, futures_util::future::join_all(readers));
    let bound = 2 * u64::from(limits::WAL_RESTART_PAGES) * 4096;
    assert!(longest >= bound / 4, "too few writes to show anything");
    assert!(longest <= bound, "{longest} bytes of write-ahead log");
}

/// Who came while a machine's job ran shares its commit, and a failure of one is not the other's.
#[tokio::test]
async fn people_who_came_during_a_bulk_job_are_committed_with_it() {
    let node = Node::new();
    for fails in [false, true] {
        let (began, waits) = std::sync::mpsc::channel::<()>();
        let (release, wait) = std::sync::mpsc::channel::<()>();
        let commits = *node.store().commits().borrow();
        let bulk = node.store().write(Lane::Bulk, move |tx| {
            began.send(()).unwrap();
            wait.recv().unwrap();
            assert!(tx.somebody_waits());
            insert_day(tx, 0)
        });
        let person = async {
            waits.recv().unwrap();
            let write = node.store().write(Lane::Interactive, move |tx| {
                let done = insert_day(tx, 1)?;
                if fails {
                    Err(StoreError::Closed)
                } else {
                    Ok(done)
                }
            });
            tokio::pin!(write);
            assert!(write.as_mut().now_or_never().is_none());
            release.send(()).unwrap();
            write.await
        };
        let (bulk, person) = tokio::join!(bulk, person);
        let bulk: Result<i64, StoreError> = bulk;
        assert_eq!((bulk.is_ok(), person.is_ok()), (true, !fails));
        // Commits are told of after their answers, and before the next batch, which moves no log.
        let next = node.store().write(Lane::Interactive, |tx| {
            tx.audit(&Entry::new(&Actor::system(), "test.next"))
        });
        next.await.map_err(|error: StoreError| error).unwrap();
        assert_eq!(*node.store().commits().borrow(), commits + 1);
    }
    assert_eq!(node.count("queue_day").await, 3);
    assert_eq!(node.problems().await, Vec::<String>::new());
}
