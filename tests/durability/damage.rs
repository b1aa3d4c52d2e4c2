//! A database file that is damaged under a node: SQLite says so in the middle of a request, and the
//! node ends instead of going on with a file that it cannot trust.

use std::path::Path;

use crate::lab::ended;
use crate::support::Node;

/// The exit code that OPERATIONS names for it.
const DATABASE_FAILED: i32 = 74;

/// Makes the first page of a table one that SQLite does not know the kind of.
fn damage(database: &Path, table: &str) {
    let db = rusqlite::Connection::open(database).unwrap();
    let number = |sql: &str| db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    let page = number(&format!(
        "SELECT rootpage FROM sqlite_schema WHERE name = '{table}'"
    ));
    let at = usize::try_from((page - 1) * number("PRAGMA page_size")).unwrap();
    drop(db);
    let mut bytes = std::fs::read(database).unwrap();
    bytes[at] = 0xff;
    std::fs::write(database, bytes).unwrap();
}

/// `patient_day` is read by the streak on a reader thread, and by a new reading on the writer's.
#[rstest::rstest]
#[case::in_a_job_of_the_writer("POST", "/glucose/create?glucose_level=120&reading_type=CENA")]
#[case::in_a_read("GET", "/achievements/streak")]
#[tokio::test]
async fn a_damaged_page_ends_the_node(#[case] method: &str, #[case] path: &str) {
    let (_, dir) = Node::seeded().stop();
    let dir = dir.unwrap();
    damage(&dir.path().join("node/islet.db"), "patient_day");
    let mut node = Node::serve(dir, &[]);
    let phone = node.patient().await;
    let request = phone.request(method.parse().unwrap(), path);
    // Answered or not: the node may go first.
    if let Ok(answer) = phone.try_send(request).await {
        assert!(answer.status.is_server_error(), "{answer:?}");
    }
    assert_eq!(ended(&mut node).await.code(), Some(DATABASE_FAILED));
}
