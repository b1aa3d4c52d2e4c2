//! The store's promises, on a real database in a temporary directory.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use islet_sync::op::Value;

use super::*;

mod counters;
mod disk;
mod lanes_and_log;
mod members_out;
mod opening;
mod plans;
mod reading;
mod runs;
mod schema;
mod set_aside;
mod tampering;

use crate::clock::ManualClock;
use crate::domain::actor::Actor;
use crate::domain::time::Timestamp;

const KEY: [u8; 32] = [7; 32];
const NOW: Timestamp = Timestamp(1_772_755_449_000);

struct Node {
    store: Option<Store>,
    dir: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let mut node = Self {
            store: None,
            dir: tempfile::tempdir().unwrap(),
        };
        create(node.dir.path());
        node.open();
        node
    }

    /// A node in a directory of the caller's.
    fn in_dir(dir: &Path) -> Self {
        create(dir);
        Self {
            store: Some(open(dir)),
            dir: tempfile::tempdir().unwrap(),
        }
    }

    fn open(&mut self) {
        self.store = Some(open(self.dir.path()));
    }

    fn reopen(&mut self) {
        self.store.take().unwrap().close();
        self.open();
    }

    fn reopen_in(&mut self, dir: &Path) {
        self.store.take().unwrap().close();
        self.store = Some(open(dir));
    }

    fn store(&self) -> &Store {
        self.store.as_ref().unwrap()
    }

    async fn queue_day(&self, size: i64) -> Result<i64, StoreError> {
        self.store()
            .write(Lane::Interactive, move |tx| insert_day(tx, size))
            .await
    }

    async fn count(&self, table: &'static str) -> i64 {
        let sql = format!("SELECT count(*) FROM {table}");
        let read = move |tx: &ReadTx<'_>| {
            tx.connection()
                .query_row(&sql, [], |row| row.get(0))
                .map_err(StoreError::from)
        };
        self.store().read(read).await.unwrap()
    }

    async fn problems(&self) -> Vec<String> {
        self.store().verify_audit().await.unwrap().problems
    }

    /// What someone with the file and SQLite's shell can do.
    fn tamper(&mut self, sql: &str) {
        self.store.take().unwrap().close();
        let db = rusqlite::Connection::open(self.dir.path().join(DATABASE_FILE)).unwrap();
        db.execute_batch(
            "DROP TRIGGER audit_entry_no_update; DROP TRIGGER audit_entry_no_delete;
             DROP TRIGGER change_no_update; DROP TRIGGER change_no_delete",
        )
        .unwrap();
        db.execute_batch(sql).unwrap();
        drop(db);
        self.open();
    }
}

fn create(dir: &Path) {
    let replica = NewReplica {
        number: 0,
        replica_id: islet_sync::chain::ReplicaId([1; 16]),
        network: [2; 16],
        node_id: "test".into(),
        clinic: "Test".into(),
        created_at: NOW,
    };
    Store::create(dir, &replica, &KEY).unwrap();
}

fn open(dir: &Path) -> Store {
    Store::open(dir, KEY, Arc::new(ManualClock::at(NOW))).unwrap()
}

fn insert_day(tx: &mut WriteTx<'_>, size: i64) -> Result<Audited<i64>, StoreError> {
    let id = tx.insert(
        &entity::QUEUE_DAY,
        &[size.into(), NOW.0.into(), Value::Null],
    )?;
    Ok(tx
        .audit(&Entry::new(&Actor::system(), "queue.open"))?
        .with(id))
}

#[tokio::test]
async fn a_write_leaves_a_row_a_change_and_an_audit_entry() {
    let mut node = Node::new();
    assert_eq!(node.queue_day(5).await.unwrap(), 1);
    assert_eq!(node.queue_day(6).await.unwrap(), 2);
    node.reopen();
    assert_eq!(node.queue_day(7).await.unwrap(), 3);
    for (table, rows) in [("queue_day", 3), ("change", 3), ("audit_entry", 4)] {
        assert_eq!(node.count(table).await, rows, "{table}");
    }
    assert_eq!(node.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn the_change_holds_what_the_row_holds() {
    let node = Node::new();
    node.queue_day(5).await.unwrap();
    let read = |tx: &ReadTx<'_>| {
        let sql = "SELECT ops FROM change WHERE seq = 1";
        tx.connection()
            .query_row(sql, [], |row| row.get::<_, Vec<u8>>(0))
            .map_err(StoreError::from)
    };
    let bytes = node.store().read(read).await.unwrap();
    let ops = islet_sync::change::decode(&bytes).unwrap();
    assert_eq!(ops.len(), 1);
    assert_eq!(ops[0].entity, entity::QUEUE_DAY.code);
    assert_eq!(
        ops[0].fields,
        [(1, Value::Int(5)), (2, Value::Int(NOW.0)), (3, Value::Null)]
    );
}

#[tokio::test]
async fn a_failing_or_panicking_job_hurts_no_other() {
    let node = Node::new();
    let good = || node.queue_day(5);
    let failing = node.store().write(Lane::Interactive, |tx| {
        let _done = insert_day(tx, 1)?;
        Err::<Audited<()>, _>(StoreError::DiskFull)
    });
    let panicking =
        node.store()
            .write(Lane::Interactive, |tx| -> Result<Audited<()>, StoreError> {
                let _done = insert_day(tx, 2)?;
                panic!("on purpose")
            });
    let broken = node
        .store()
        .write(Lane::Interactive, |tx| insert_day(tx, -1));
    let (a, b, c, d, e) = tokio::join!(good(), failing, panicking, broken, good());
    assert!(a.is_ok() && e.is_ok());
    assert!(matches!(b, Err(StoreError::DiskFull)));
    assert!(matches!(c, Err(StoreError::Panicked)));
    assert!(d.is_err());
    // No ids, changes or entries were used up by the jobs that failed.
    assert_eq!(node.queue_day(5).await.unwrap(), 3);
    assert_eq!(node.count("queue_day").await, 3);
    assert_eq!(node.count("change").await, 3);
    assert_eq!(node.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_write_after_the_audit_entry_is_refused() {
    let node = Node::new();
    let sneaky = node.store().write(Lane::Interactive, |tx| {
        let done = insert_day(tx, 1)?;
        tx.insert(&entity::QUEUE_DAY, &[9.into(), NOW.0.into(), Value::Null])?;
        Ok::<_, StoreError>(done)
    });
    assert!(sneaky.await.is_err());
    assert_eq!(node.count("queue_day").await, 0);
}

#[tokio::test]
async fn full_lanes_refuse_and_lose_nothing() {
    let node = Node::new();
    let (started, has_started) = tokio::sync::oneshot::channel();
    let (release, wait) = std::sync::mpsc::channel::<()>();
    let blocker = node.store().write(Lane::Interactive, move |tx| {
        started.send(()).ok();
        wait.recv().ok();
        insert_day(tx, 0)
    });
    let done = AtomicUsize::new(0);
    let refused = AtomicUsize::new(0);
    let flood = async {
        // Only once the writer is busy does the lane fill up.
        has_started.await.unwrap();
        let writes = (0..limits::INTERACTIVE_WRITES_MAX + 50).map(|_| async {
            match node.queue_day(1).await {
                Ok(_) => done.fetch_add(1, Ordering::SeqCst),
                Err(StoreError::Overloaded) => refused.fetch_add(1, Ordering::SeqCst),
                Err(other) => panic!("{other}"),
            };
            if refused.load(Ordering::SeqCst) == 50 {
                release.send(()).ok();
            }
        });
        futures_util::future::join_all(writes).await;
    };
    let (blocked, ()) = tokio::join!(blocker, flood);
    blocked.unwrap();
    let done = i64::try_from(done.into_inner()).unwrap();
    assert_eq!(refused.into_inner(), 50);
    assert_eq!(node.count("queue_day").await, done + 1);
}

#[tokio::test]
async fn access_entries_become_durable_without_a_write() {
    let mut node = Node::new();
    for _ in 0..3 {
        node.store()
            .note_access(Entry::new(&Actor::system(), "reading.list"))
            .unwrap();
    }
    node.reopen();
    assert_eq!(node.count("audit_entry").await, 4);
    assert_eq!(node.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn two_processes_cannot_have_one_directory() {
    let node = Node::new();
    let again = Store::open(node.dir.path(), KEY, Arc::new(ManualClock::at(NOW)));
    assert!(matches!(again, Err(StoreError::Locked(_))));
}

#[tokio::test]
async fn triggers_keep_the_logs_append_only() {
    let node = Node::new();
    node.queue_day(5).await.unwrap();
    for sql in [
        "UPDATE audit_entry SET action = 'x'",
        "DELETE FROM audit_entry",
        "UPDATE change SET hlc = 0",
        "DELETE FROM change",
    ] {
        let write = node.store().write(Lane::Interactive, move |tx| {
            tx.connection().execute_batch(sql)?;
            tx.audit(&Entry::new(&Actor::system(), "x"))
        });
        let error: StoreError = write.await.unwrap_err();
        assert!(error.to_string().contains("append-only"), "{error}");
    }
}

/// The bytes that the chain covers are for ever: other hashes would break every log there is.
#[tokio::test]
async fn the_hashes_of_entries_are_what_they_were() {
    let node = Node::new();
    let actor = Actor {
        who: crate::domain::actor::Who::Staff(7, crate::domain::actor::Role::Admin),
        session: Some("session-1".into()),
        address: Some("fd00::1:2".parse().unwrap()),
        request_id: Some("request-1".into()),
    };
    let entry = Entry::new(&actor, "patient.update")
        .of_patient(i64::MIN)
        .on(crate::domain::audit::Object::Patient, i64::MAX)
        .outcome(crate::domain::audit::Outcome::Failed)
        .detail("ñ");
    let noted = node
        .store()
        .write(Lane::Interactive, move |tx| tx.audit(&entry));
    noted.await.map_err(|error: StoreError| error).unwrap();
    node.queue_day(5).await.unwrap();
    let sql = "SELECT lower(hex(hash)) FROM audit_entry ORDER BY seq";
    let read = node
        .store()
        .read(move |tx| tx::all(tx, sql, [], |row| row.get(0)));
    let hashes: Vec<String> = read.await.map_err(|error: StoreError| error).unwrap();
    let expected = [
        "4566f61a84c2f2365f3c3d5f8c832ba292dab21079c91827d7d38ea3cd6f02f3",
        "d94d610e10883e8807e6638477b21d71b19a28041cb7c96774afafb60ce42993",
        "62926bcb3ca14e4988884cc5f8f32d07629a766f5dc29cea29f7099cc78699eb",
    ];
    assert_eq!(hashes, expected);
}
