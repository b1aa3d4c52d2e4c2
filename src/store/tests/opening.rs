//! Opening what is whole, damaged, foreign, newer or half made.

use std::os::unix::fs::PermissionsExt;

use islet_sync::chain::ReplicaId;

use super::*;

fn replica() -> NewReplica {
    NewReplica {
        number: 0,
        replica_id: ReplicaId([1; 16]),
        network: [2; 16],
        node_id: "test".into(),
        clinic: "Test".into(),
        created_at: NOW,
    }
}

fn open(dir: &Path) -> Result<Store, StoreError> {
    Store::open(dir, KEY, Arc::new(ManualClock::at(NOW)))
}

#[test]
fn a_directory_without_a_database_says_how_to_make_one() {
    let dir = tempfile::tempdir().unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(error.to_string().contains("islet init"), "{error}");
    let error = open(&dir.path().join("none")).unwrap_err();
    assert!(matches!(error, StoreError::Missing(_)), "{error}");
}

#[test]
fn a_second_database_is_never_made_over_the_first() {
    let node = Node::new();
    drop(node.store);
    let again = Store::create(node.dir.path(), &replica(), &KEY);
    assert!(matches!(again, Err(StoreError::Exists(_))));
}

#[test]
fn what_a_crash_left_of_an_earlier_try_does_not_matter() {
    let dir = tempfile::tempdir().unwrap();
    for name in [
        "islet.new",
        "islet.new-wal",
        "islet.new-shm",
        "islet.new-journal",
    ] {
        std::fs::write(dir.path().join(name), [0xa5; 9_000]).unwrap();
    }
    Store::create(dir.path(), &replica(), &KEY).unwrap();
    open(dir.path()).unwrap().close();
    let mut names: Vec<_> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        ["audit.head", "ballast", "islet.db", "lock", "replica.lease"]
    );
}

#[tokio::test]
async fn nobody_else_on_the_machine_can_read_it() {
    let node = Node::new();
    node.queue_day(1).await.unwrap();
    for name in ["islet.db", "islet.db-wal", "islet.db-shm"] {
        let mode = std::fs::metadata(node.dir.path().join(name))
            .unwrap()
            .permissions()
            .mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[rstest::rstest]
#[case::not_sqlite(0, "a text that somebody saved under this name")]
#[case::header(0, "SQLite format 4\0")]
#[case::schema_page(100, "\u{1}\u{2}\u{3}\u{4}\u{5}\u{6}\u{7}\u{8}\u{9}")]
fn a_damaged_file_is_called_that(#[case] at: usize, #[case] text: &str) {
    let node = Node::new();
    let path = node.store().path().to_owned();
    drop(node.store);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[at..at + text.len()].copy_from_slice(text.as_bytes());
    std::fs::write(&path, bytes).unwrap();
    let error = open(node.dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
    assert!(error.to_string().starts_with("the database is damaged: "));
}

#[test]
fn an_empty_file_is_no_database_and_is_not_made_one() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join(DATABASE_FILE);
    std::fs::write(&path, "").unwrap();
    let error = open(dir.path()).unwrap_err();
    assert!(matches!(error, StoreError::Damaged(_)), "{error:?}");
}

#[test]
fn a_newer_schema_is_refused_and_left_alone() {
    let node = Node::new();
    let path = node.store().path().to_owned();
    drop(node.store);
    let db = rusqlite::Connection::open(&path).unwrap();
    db.pragma_update(None, "user_version", 99).unwrap();
    drop(db);
    let error = open(node.dir.path()).unwrap_err();
    assert!(
        matches!(
            error,
            StoreError::Newer {
                found: 99,
                known: 1
            }
        ),
        "{error:?}"
    );
    assert!(error.to_string().contains("newer islet"), "{error}");
    let db = rusqlite::Connection::open(&path).unwrap();
    let version: i64 = db
        .pragma_query_value(None, "user_version", |row| row.get(0))
        .unwrap();
    assert_eq!(version, 99);
}
