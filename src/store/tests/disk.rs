//! A full disk: refused writes, nothing lost, log-out and audit go on.

use std::io::Write as _;
use std::path::Path;
use std::process::Command;

use super::*;
use crate::limits::BALLAST_BYTES;

/// Makes the database as full as it is now: SQLite then reports a full disk.
async fn fill_up(node: &Node, full: bool) {
    let most = if full { 1 } else { 1_000_000 };
    let limit = node.store().write(Lane::Essential, move |tx| {
        // A limit below the present size is raised to that.
        let db = tx.connection();
        db.query_row(&format!("PRAGMA max_page_count = {most}"), [], |_| Ok(()))?;
        tx.audit(&Entry::new(&Actor::system(), "test.limit"))
    });
    limit.await.map_err(|error: StoreError| error).ok();
}

async fn insert_days(store: &Store, count: i64) -> Result<(), StoreError> {
    let write = store.write(Lane::Interactive, move |tx| {
        for size in 0..count {
            tx.insert(
                &entity::QUEUE_DAY,
                &[size.into(), NOW.0.into(), Value::Null],
            )?;
        }
        tx.audit(&Entry::new(&Actor::system(), "test.insert"))
    });
    write.await
}

#[tokio::test]
async fn what_does_not_fit_is_refused_and_nothing_else_is_lost() {
    let mut node = Node::new();
    insert_days(node.store(), 50).await.unwrap();
    fill_up(&node, true).await;
    let mut stored = 50;
    let mut refused = 0;
    for _ in 0..6 {
        let writes = (0..16).map(|_| insert_days(node.store(), 50));
        for result in futures_util::future::join_all(writes).await {
            match result {
                Ok(()) => stored += 50,
                Err(StoreError::DiskFull) => refused += 1,
                Err(other) => panic!("{other:?}"),
            }
        }
    }
    assert!(refused > 0);
    assert_eq!(node.count("queue_day").await, stored);
    fill_up(&node, false).await;
    insert_days(node.store(), 50).await.unwrap();
    node.reopen();
    assert_eq!(node.count("queue_day").await, stored + 50);
    assert_eq!(node.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_job_may_catch_a_full_disk_and_still_not_commit_half() {
    let node = Node::new();
    fill_up(&node, true).await;
    let stubborn = node.store().write(Lane::Interactive, |tx| {
        let mut inserted = 0;
        for size in 0..5_000 {
            let values = [size.into(), NOW.0.into(), Value::Null];
            inserted += i64::from(tx.insert(&entity::QUEUE_DAY, &values).is_ok());
        }
        assert!((1..5_000).contains(&inserted));
        let done = tx.audit(&Entry::new(&Actor::system(), "test.stubborn"))?;
        Ok::<_, StoreError>(done.with(inserted))
    });
    let result = stubborn.await;
    assert!(matches!(result, Err(StoreError::Undone(_))), "{result:?}");
    fill_up(&node, false).await;
    assert_eq!(node.count("queue_day").await, 0);
    assert_eq!(node.problems().await, Vec::<String>::new());
}

#[tokio::test]
async fn a_stop_with_a_full_disk_ends() {
    let mut node = Node::new();
    fill_up(&node, true).await;
    for _ in 0..limits::ACCESS_ENTRIES_MAX {
        let entry = Entry::new(&Actor::system(), "test.seen").detail("x".repeat(100));
        node.store().note_access(entry).unwrap();
    }
    node.store.take().unwrap().close();
    node.open();
    assert_eq!(node.problems().await, Vec::<String>::new());
}

/// A small file system in memory; taken down when dropped.
struct SmallDisk(tempfile::TempDir);

impl SmallDisk {
    fn mount(mib: u64) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let size = format!("size={mib}m");
        run(
            "mount",
            &["-t", "tmpfs", "-o", &size, "islet-test"],
            dir.path(),
        )
        .then_some(Self(dir))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], self.0.path());
    }
}

fn run(program: &str, arguments: &[&str], last: &Path) -> bool {
    let output = Command::new(program).args(arguments).arg(last).output();
    output.is_ok_and(|output| output.status.success())
}

/// Said past the test harness, which swallows what passing tests print, and counted as skipped.
fn skip(name: &str, reason: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED: {name}: {reason}");
    let list = concat!(env!("CARGO_MANIFEST_DIR"), "/target/skipped-tests.txt");
    let file = std::fs::File::options()
        .append(true)
        .create(true)
        .open(list);
    file.and_then(|mut file| writeln!(file, "{name}: {reason}"))
        .unwrap();
}

#[tokio::test]
async fn a_really_full_disk() {
    let Some(disk) = SmallDisk::mount(48) else {
        skip("a_really_full_disk", "no file system can be mounted here");
        return;
    };
    let mut node = Node::in_dir(disk.0.path());
    let ballast = disk.0.path().join("ballast");
    assert_eq!(ballast.metadata().unwrap().len(), BALLAST_BYTES);
    insert_days(node.store(), 10).await.unwrap();
    let mut stored = 10;
    let filler = disk.0.path().join("filler");
    let mut file = std::fs::File::create(&filler).unwrap();
    // Leaves little, then nothing.
    while file.write_all(&[1; 4096]).is_ok() {}
    let error = loop {
        match insert_days(node.store(), 500).await {
            Ok(()) => stored += 500,
            Err(error) => break error,
        }
    };
    assert!(matches!(error, StoreError::DiskFull), "{error:?}");
    assert_eq!(node.store().health(), Health::DiskFull);
    assert!(!ballast.exists());

    for _ in 0..50 {
        let refused = insert_days(node.store(), 1).await;
        assert!(matches!(refused, Err(StoreError::DiskFull)), "{refused:?}");
        let entry = Entry::new(&Actor::system(), "session.log_out");
        let log_out = node
            .store()
            .write(Lane::Essential, move |tx| tx.audit(&entry));
        log_out.await.map_err(|error: StoreError| error).unwrap();
        let seen = Entry::new(&Actor::system(), "reading.list");
        node.store().note_access(seen).unwrap();
    }
    assert_eq!(node.count("queue_day").await, stored);

    std::fs::remove_file(&filler).unwrap();
    drop(file);
    assert_eq!(node.store().health(), Health::Normal);
    insert_days(node.store(), 10).await.unwrap();
    assert_eq!(ballast.metadata().unwrap().len(), BALLAST_BYTES);
    node.reopen_in(disk.0.path());
    assert_eq!(node.count("queue_day").await, stored + 10);
    let sql = "audit_entry WHERE action IN ('session.log_out', 'reading.list')";
    assert_eq!(node.count(sql).await, 100);
    assert_eq!(node.problems().await, Vec::<String>::new());
    node.store.take().unwrap().close();
}

#[test]
fn only_errors_of_the_disk_stop_the_node() {
    use rusqlite::ffi;
    let error =
        |code| StoreError::from(rusqlite::Error::SqliteFailure(ffi::Error::new(code), None));
    for code in [
        ffi::SQLITE_IOERR,
        ffi::SQLITE_IOERR_FSYNC,
        ffi::SQLITE_IOERR_DIR_FSYNC,
        ffi::SQLITE_IOERR_WRITE,
        ffi::SQLITE_IOERR_READ,
        ffi::SQLITE_IOERR_SHORT_READ,
        ffi::SQLITE_CORRUPT,
        ffi::SQLITE_NOTADB,
    ] {
        assert!(error(code).is_fatal(), "{code}");
        assert!(!error(code).again().to_string().is_empty());
    }
    for code in [
        ffi::SQLITE_FULL,
        ffi::SQLITE_IOERR_SHMSIZE,
        ffi::SQLITE_BUSY,
        ffi::SQLITE_INTERRUPT,
        ffi::SQLITE_CONSTRAINT_UNIQUE,
        ffi::SQLITE_NOMEM,
        ffi::SQLITE_ERROR,
    ] {
        assert!(!error(code).is_fatal(), "{code}");
    }
    assert!(matches!(error(ffi::SQLITE_FULL), StoreError::DiskFull));
    assert!(matches!(
        error(ffi::SQLITE_IOERR_SHMSIZE),
        StoreError::DiskFull
    ));
    assert!(matches!(error(ffi::SQLITE_INTERRUPT), StoreError::TimedOut));
    assert!(matches!(error(ffi::SQLITE_BUSY), StoreError::Overloaded));
}
