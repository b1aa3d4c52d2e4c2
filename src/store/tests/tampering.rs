//! `verify` finds whatever somebody with the file and SQLite's shell does to the logs.

use proptest::prelude::*;

use super::*;
use crate::store::audit_head::AUDIT_HEAD_FILE;

#[rstest::rstest]
#[case::altered(
    "UPDATE audit_entry SET outcome = 'denied' WHERE seq = 3",
    "entry 3 was altered"
)]
#[case::later(
    "UPDATE audit_entry SET at = at + 1 WHERE seq = 5",
    "entry 5 was altered"
)]
#[case::missing("DELETE FROM audit_entry WHERE seq = 3", "entries 3 to 3 are missing")]
#[case::cut("DELETE FROM audit_entry WHERE seq >= 5", "at the end are missing")]
#[case::moved(
    "UPDATE audit_entry SET seq = 99 WHERE seq = 2; UPDATE audit_entry SET seq = 2 WHERE seq = 3;
               UPDATE audit_entry SET seq = 3 WHERE seq = 99",
    "entry 2 was altered"
)]
#[case::head(
    "DELETE FROM audit_entry WHERE seq >= 5; UPDATE replica SET audit_seq = 4,
              audit_hash = (SELECT hash FROM audit_entry WHERE seq = 4)",
    "have no audit entry"
)]
#[case::change("DELETE FROM change WHERE seq = 2", "the change of entry 3 is missing")]
#[tokio::test]
async fn verify_finds_tampering(#[case] sql: &str, #[case] expected: &str) {
    let mut node = Node::new();
    for size in 1..=4 {
        node.queue_day(size).await.unwrap();
    }
    node.tamper(sql);
    let problems = node.problems().await;
    assert!(
        problems.iter().any(|text| text.contains(expected)),
        "{problems:?}"
    );
}

#[tokio::test]
async fn an_invented_entry_does_not_verify() {
    let mut node = Node::new();
    node.queue_day(1).await.unwrap();
    node.tamper(
        "INSERT INTO audit_entry SELECT seq + 1, at, actor_kind, actor_id, action, outcome, patient_id,
         object_kind, object_id, address, session, request_id, NULL, detail, NULL, hash FROM audit_entry
         ORDER BY seq DESC LIMIT 1;
         UPDATE replica SET audit_seq = audit_seq + 1",
    );
    let problems = node.problems().await;
    assert!(
        problems
            .iter()
            .any(|text| text.contains("entry 3 was altered")),
        "{problems:?}"
    );
}

/// A node that has stopped: entries with and without changes, at the end without.
async fn history() -> (Vec<u8>, Vec<u8>) {
    let mut node = Node::new();
    for size in 1..=6 {
        node.queue_day(size).await.unwrap();
        let entry = Entry::new(&Actor::system(), "reading.list").of_patient(size);
        let noted = node
            .store()
            .write(Lane::Interactive, move |tx| tx.audit(&entry));
        noted.await.map_err(|error: StoreError| error).unwrap();
    }
    for _ in 0..3 {
        let entry = Entry::new(&Actor::system(), "queue.read").detail("seen");
        node.store().note_access(entry).unwrap();
    }
    node.store.take().unwrap().close();
    let read = |name| std::fs::read(node.dir.path().join(name)).unwrap();
    (read(DATABASE_FILE), read(AUDIT_HEAD_FILE))
}

/// Entries of [`history`], the first of them by `init`.
const ENTRIES: i64 = 1 + 12 + 3;
/// Changes of [`history`].
const CHANGES: i64 = 6;

/// Runs `sql` on a copy of `history` and reports what `verify` says of it, before and after more
/// was written.
async fn verify_after(history: &(Vec<u8>, Vec<u8>), sql: &str) -> (Vec<String>, Vec<String>) {
    let mut node = Node {
        store: None,
        dir: tempfile::tempdir().unwrap(),
    };
    let path = node.dir.path().join(DATABASE_FILE);
    std::fs::write(&path, &history.0).unwrap();
    std::fs::write(node.dir.path().join(AUDIT_HEAD_FILE), &history.1).unwrap();
    let db = rusqlite::Connection::open(&path).unwrap();
    db.execute_batch(
        "PRAGMA ignore_check_constraints = ON; PRAGMA foreign_keys = OFF;
         DROP TRIGGER audit_entry_no_update; DROP TRIGGER audit_entry_no_delete;
         DROP TRIGGER change_no_update; DROP TRIGGER change_no_delete",
    )
    .unwrap();
    let before = db.total_changes();
    db.execute_batch(sql).unwrap();
    assert!(sql.is_empty() || db.total_changes() > before, "{sql}");
    drop(db);
    node.open();
    let found = node.problems().await;
    // Whether or not the writer can go on: what was found is not covered up.
    let _ = node.queue_day(9).await;
    node.reopen();
    (found, node.problems().await)
}

/// A change of one field that always makes a difference.
fn altered() -> impl Strategy<Value = String> {
    let field = prop::sample::select(vec![
        "seq = seq + 1000",
        "seq = -seq",
        "seq = 9223372036854775807",
        "at = at + 1",
        "actor_kind = CASE actor_kind WHEN 'system' THEN 'staff' ELSE 'system' END",
        "actor_id = coalesce(actor_id, 0) + 1",
        "action = action || 'x'",
        "action = CAST(x'ff' AS TEXT)",
        "outcome = CASE outcome WHEN 'ok' THEN 'denied' ELSE 'ok' END",
        "patient_id = CASE WHEN patient_id IS NULL THEN 0 END",
        "object_kind = coalesce(object_kind, '') || 'x'",
        "object_id = coalesce(object_id, 0) + 1",
        "address = coalesce(address, '') || 'x'",
        "session = coalesce(session, '')  || 'x'",
        "request_id = coalesce(request_id, '') || 'x'",
        "change_seq = coalesce(change_seq, 0) + 1",
        "change_seq = CASE WHEN change_seq IS NULL THEN 1 END",
        "change_seq = 9223372036854775807",
        "detail = CASE WHEN detail IS NULL THEN '' END",
        "change_hash = randomblob(32)",
        "hash = randomblob(32)",
        "hash = x'00'",
    ]);
    (field, 1..=ENTRIES)
        .prop_map(|(field, row)| format!("UPDATE audit_entry SET {field} WHERE seq = {row}"))
}

fn swapped(table: &'static str, rows: i64) -> impl Strategy<Value = String> {
    (1..=rows, 1..rows).prop_map(move |(one, step)| {
        let other = (one - 1 + step) % rows + 1;
        format!(
            "UPDATE {table} SET seq = 1000 WHERE seq = {one};
             UPDATE {table} SET seq = {one} WHERE seq = {other};
             UPDATE {table} SET seq = {other} WHERE seq = 1000"
        )
    })
}

/// The end cut off: the bare rows, or with the head, or with the changes too, as if they had never
/// been.
fn truncated() -> impl Strategy<Value = String> {
    (0..ENTRIES, any::<bool>(), any::<bool>()).prop_map(|(kept, head, changes)| {
        let mut sql = String::new();
        if changes {
            sql += &format!(
                "DELETE FROM change WHERE seq IN
                 (SELECT change_seq FROM audit_entry WHERE seq > {kept});"
            );
        }
        sql += &format!("DELETE FROM audit_entry WHERE seq > {kept};");
        if head {
            sql += &format!(
                "UPDATE replica SET audit_seq = {kept}, audit_hash =
                 coalesce((SELECT hash FROM audit_entry WHERE seq = {kept}), zeroblob(32));"
            );
        }
        sql
    })
}

/// A copy of one entry, put at the end, with the head moved along.
fn invented() -> impl Strategy<Value = String> {
    (1..=ENTRIES, -1..=1i64).prop_map(|(row, at)| {
        let seq = if at < 0 { -1 } else { ENTRIES + 1 };
        let head = format!(
            "UPDATE replica SET audit_seq = {seq}, audit_hash =
             (SELECT hash FROM audit_entry WHERE seq = {seq});"
        );
        let head = if at == 1 { head } else { String::new() };
        format!(
            "INSERT INTO audit_entry SELECT {seq}, at, actor_kind, actor_id, action, outcome, patient_id,
             object_kind, object_id, address, session, request_id, NULL, detail, NULL, hash
             FROM audit_entry WHERE seq = {row}; {head}"
        )
    })
}

fn changes_tampered() -> impl Strategy<Value = String> {
    let what = prop::sample::select(vec![
        "UPDATE change SET ops = CAST(ops || x'00' AS BLOB)",
        "UPDATE change SET ops = x'' ",
        "UPDATE change SET hlc = hlc + 1",
        "UPDATE change SET seq = seq + 1000",
        "UPDATE change SET seq = -seq",
        "UPDATE change SET seq = 9223372036854775807",
        "DELETE FROM change",
        "INSERT INTO change SELECT seq + 1000, hlc, ops FROM change",
        "INSERT INTO change SELECT -seq, hlc, ops FROM change",
    ]);
    (what, 1..=CHANGES).prop_map(|(what, row)| format!("{what} WHERE seq = {row}"))
}

fn tampering() -> impl Strategy<Value = String> {
    let deleted =
        (1..=ENTRIES).prop_map(|row| format!("DELETE FROM audit_entry WHERE seq = {row}"));
    prop_oneof![
        4 => altered(),
        1 => deleted,
        1 => swapped("audit_entry", ENTRIES),
        1 => swapped("change", CHANGES),
        3 => truncated(),
        1 => invented(),
        2 => changes_tampered(),
    ]
}

#[test]
fn verify_finds_any_tampering() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let history = runtime.block_on(history());
    let nothing = (Vec::<String>::new(), Vec::<String>::new());
    assert_eq!(runtime.block_on(verify_after(&history, "")), nothing);
    let config = ProptestConfig {
        failure_persistence: None,
        ..ProptestConfig::with_cases(192)
    };
    proptest!(config, |(sql in tampering())| {
        let (found, later) = runtime.block_on(verify_after(&history, &sql));
        prop_assert!(!found.is_empty(), "not found: {}", sql);
        prop_assert!(!later.is_empty(), "covered up: {}", sql);
    });
}

/// No number that somebody writes stops the check before its end.
#[rstest::rstest]
#[case::entry("UPDATE audit_entry SET seq = 9223372036854775807 WHERE seq = 5")]
#[case::change_of_an_entry(
    "UPDATE audit_entry SET change_seq = 9223372036854775807 WHERE change_seq = 2"
)]
#[case::change("UPDATE change SET seq = 9223372036854775807 WHERE seq = 2")]
#[case::head("UPDATE replica SET audit_seq = 9223372036854775807")]
#[tokio::test]
async fn the_largest_number_is_a_finding_like_others(#[case] sql: &str) {
    let (found, later) = verify_after(&history().await, sql).await;
    assert!(
        !found.is_empty() && !later.is_empty(),
        "{found:?} {later:?}"
    );
}

/// Nothing in the database itself shows it: no change is without its entry, and the head fits.
#[tokio::test]
async fn a_cut_off_end_without_changes_is_found_by_the_note_beside_the_database() {
    let history = history().await;
    let sql = format!(
        "DELETE FROM audit_entry WHERE seq > {0}; UPDATE replica SET audit_seq = {0},
         audit_hash = (SELECT hash FROM audit_entry WHERE seq = {0})",
        ENTRIES - 2
    );
    let (found, later) = verify_after(&history, &sql).await;
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].contains("its end was cut off"), "{found:?}");
    assert!(!later.is_empty());
}

#[tokio::test]
async fn a_note_that_a_power_cut_made_empty_or_older_is_no_alarm() {
    let (database, note) = history().await;
    for note in [Vec::new(), b"3 ".to_vec(), note[..note.len() / 2].to_vec()] {
        let (found, later) = verify_after(&(database.clone(), note), "").await;
        assert_eq!((found, later), (Vec::new(), Vec::new()));
    }
}

#[tokio::test]
async fn the_note_is_never_ahead_of_the_database() {
    let node = Node::new();
    for size in 0..20 {
        node.queue_day(size).await.unwrap();
        let Some((seq, hash)) = audit_head::read(node.dir.path()).unwrap() else {
            continue;
        };
        let sql = "SELECT hash FROM audit_entry WHERE seq = ?";
        let read = node
            .store()
            .read(move |tx| tx::one(tx, sql, [seq], |row| row.get(0)));
        let found: Option<[u8; 32]> = read.await.map_err(|error: StoreError| error).unwrap();
        assert_eq!(found, Some(hash));
    }
    assert!(audit_head::read(node.dir.path()).unwrap().is_some());
}
