//! `islet audit`: filters, pages, and the proof that the log is whole.

use serde_json::Value;

use super::{islet, islet_ok, vandalise};
use crate::support::{self, Node, PATIENT};

fn entries(node: &Node, filters: &[&str]) -> Vec<Value> {
    let words = [&["audit", "log", "--json"], filters].concat();
    let lines = islet_ok(&node.data(), &words);
    lines
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect()
}

/// A node on which a patient was let in and refused, and an admin looked at the patients. Access
/// is durable within a second, a write takes it along at once.
async fn busy_node() -> Node {
    let node = Node::seeded();
    let refused = node.anonymous().token((PATIENT.0, "not this one")).await;
    assert_eq!(refused.status.as_u16(), 401);
    let admin = node.admin().await;
    admin.get("/users/").await.expect(200);
    let patient = node.patient().await;
    patient
        .post("/glucose/create?glucose_level=120&reading_type=CENA")
        .await
        .expect(201);
    node
}

#[tokio::test]
async fn entries_are_found_by_who_whose_what_and_how() {
    let node = busy_node().await;
    let all = entries(&node, &[]);
    assert!(all.len() >= 6, "{all:?}");
    let seqs: Vec<_> = all
        .iter()
        .map(|entry| entry["seq"].as_i64().unwrap())
        .collect();
    assert!(seqs.is_sorted_by(|a, b| a > b), "newest first: {seqs:?}");

    let found = entries(&node, &["--action", "reading.create"]);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0]["actor"], "patient:40123456");
    assert_eq!(found[0]["patient"], "40123456");
    assert_eq!(found[0]["outcome"], "ok");
    assert_eq!(found[0]["address"], "127.0.0.1");
    assert_eq!(entries(&node, &["--action", "reading."]).len(), 1);

    for entry in entries(&node, &["--actor", "patient:40123456"]) {
        assert_eq!(entry["actor"], "patient:40123456");
    }
    let admin = entries(&node, &["--actor", "staff:admin"]);
    assert!(
        admin.iter().any(|entry| entry["action"] == "patient.list"),
        "{admin:?}"
    );
    assert!(admin.iter().all(|entry| entry["actor"] == "staff:admin"));
    assert!(entries(&node, &["--actor", "patient:40123457"]).is_empty());
    // Of this one was seen what the list of all showed, and nothing else.
    let other = entries(&node, &["--patient", "40123457"]);
    assert_eq!(other.len(), 1, "{other:?}");
    assert_eq!(other[0]["action"], "patient.list");
    assert!(!entries(&node, &["--patient", "40123456"]).is_empty());
    assert_eq!(entries(&node, &["--actor", "operator"]).len(), 2);
    let denied = entries(&node, &["--outcome", "denied"]);
    assert_eq!(denied.len(), 1);
    assert_eq!(denied[0]["actor"], "anonymous");
    assert_eq!(denied[0]["patient"], "40123456");
}

#[tokio::test]
async fn pages_and_times_cut_the_log_without_gaps() {
    let node = busy_node().await;
    let all = entries(&node, &[]);
    let mut paged: Vec<Value> = Vec::new();
    loop {
        let before = paged
            .last()
            .map_or(i64::MAX, |entry| entry["seq"].as_i64().unwrap());
        let page = entries(&node, &["--limit", "2", "--before", &before.to_string()]);
        assert!(page.len() <= 2);
        if page.is_empty() {
            break;
        }
        paged.extend(page);
    }
    // Looking does not leave entries: both are the same log.
    assert_eq!(paged, all);

    let middle = all[all.len() / 2]["time"].as_str().unwrap();
    let (since, until) = (
        entries(&node, &["--since", middle]),
        entries(&node, &["--until", middle]),
    );
    assert_eq!(since.len() + until.len(), all.len());
    assert!(!since.is_empty());
    assert!(entries(&node, &["--since", "2199-01-01"]).is_empty());
    assert_eq!(
        entries(&node, &["--until", "2199-01-01T00:00:00Z"]).len(),
        all.len()
    );
}

#[tokio::test]
async fn it_is_text_for_people() {
    let node = busy_node().await;
    let text = islet_ok(&node.data(), &["audit", "log", "--action", "reading."]);
    assert!(
        text.contains("patient:40123456 reading.create ok of patient 40123456"),
        "{text}"
    );
}

#[tokio::test]
async fn a_page_that_ends_early_says_so_beside_the_entries() {
    let node = busy_node().await;
    let run = |words: &[&str]| islet(&node.data(), &[&["audit", "log"], words].concat());
    let first = run(&["--limit", "2"]);
    assert_eq!(first.out.lines().count(), 2);
    let last = first.out.lines().last().unwrap().split(' ').next().unwrap();
    assert!(first.err.contains(&format!("--before {last}")), "{first:?}");
    let rest = run(&["--before", last]);
    assert_eq!(rest.err, "");
    assert!(rest.out.lines().next().unwrap() < first.out.lines().last().unwrap());
    let json = run(&["--limit", "2", "--json"]);
    assert_eq!(json.out.lines().count(), 2);
    let more: Value = serde_json::from_str(&json.err).unwrap();
    assert_eq!(more["before"].to_string(), last);
    // As many as there are is all of them.
    let all = run(&[]).out.lines().count();
    let exactly = run(&["--limit", &all.to_string()]);
    assert_eq!(
        (exactly.out.lines().count(), exactly.err.as_str()),
        (all, "")
    );
}

#[tokio::test]
async fn times_are_shown_with_their_offset_and_taken_back() {
    let node = busy_node().await;
    let text = islet_ok(&node.data(), &["audit", "log", "--action", "reading."]);
    let words: Vec<_> = text.split(' ').collect();
    assert_eq!(words[3], "-03:00", "{text}");
    let since = words[1..4].join(" ");
    assert!(!entries(&node, &["--action", "reading.", "--since", &since]).is_empty());
}

#[test]
fn filters_that_make_no_sense_are_refused() {
    let node = Node::seeded();
    let run = |words: &[&str]| islet(&node.data(), &[&["audit", "log"], words].concat());
    run(&["--actor", "doctor:x"]).refused(2, "patient:DNI");
    run(&["--actor", "staff:nobody"]).refused(1, "nobody");
    run(&["--patient", "1"]).refused(1, "there is no patient 1");
    assert_eq!(run(&["--since", "24/11/2026"]).code, 0);
    run(&["--since", "yesterday"]).refused(2, "yesterday");
    run(&["--limit", "0"]).refused(2, "--limit");
    run(&["--action", "session.login"]).refused(2, "session.log_in, session.log_out");
    run(&["--outcome", "great"]).refused(2, "great");
}

/// Whoever is taken out of the queue together with others finds it among what happened to them.
#[tokio::test]
async fn changes_to_the_day_are_noted_of_the_patients_whom_they_concern() {
    let node = Node::seeded();
    let (admin, patient) = (node.admin().await, node.patient().await);
    let open = "/appointments/queue/open";
    for size in [1, 3] {
        let path = format!("/appointments/queue/size?new_size={size}");
        admin.post(&path).await.expect(200);
    }
    admin.post(open).await.expect(200);
    admin.post(open).await.expect(200);
    let place = patient.post("/appointments/submit").await.expect(201);
    admin
        .put(&format!("/appointments/deny/{place}"))
        .await
        .expect(201);
    admin.post("/appointments/queue/close").await.expect(200);
    admin.post(open).await.expect(200);
    patient.post("/appointments/submit").await.expect(201);
    admin.delete("/appointments").await.expect(204);
    let details = |filters: &[&str]| -> Vec<String> {
        let mut found = entries(&node, filters);
        found.reverse();
        let detail = |entry: &Value| entry["detail"].as_str().unwrap_or("").to_owned();
        found.iter().map(detail).collect()
    };
    let patient = ["--patient", PATIENT.0, "--actor", "staff:admin"];
    assert_eq!(
        details(&patient),
        [
            "PENDING to DENIED",
            "DENIED to CLEARED",
            "PENDING to CLEARED"
        ]
    );
    assert_eq!(details(&["--action", "queue.resize"]), ["5 to 1", "1 to 3"]);
    assert_eq!(
        details(&["--action", "queue.open"]),
        ["", "repeated", "DENIED to CLEARED", ""]
    );
    assert_eq!(
        details(&["--action", "queue.clear"]),
        ["PENDING to CLEARED", "1 cleared"]
    );
}

#[tokio::test]
async fn verify_passes_beside_a_running_node_and_after_it() {
    let node = busy_node().await;
    assert!(islet_ok(&node.data(), &["audit", "verify"]).contains("whole"));
    let (code, dir) = node.stop();
    let dir = dir.unwrap();
    assert_eq!(code, Some(0));
    let data = dir.path().join("node");
    let names = super::names_in(&data);
    assert!(islet_ok(&data, &["audit", "verify"]).contains("whole"));
    assert_eq!(super::names_in(&data), names, "it leaves nothing behind");
}

#[tokio::test]
async fn what_a_killed_node_has_left_is_read_and_not_touched() {
    let node = busy_node().await;
    let pid = node.pid().to_string();
    support::run(std::process::Command::new("kill").args(["-KILL", &pid]));
    let (_, dir) = node.stop();
    let dir = dir.unwrap();
    let data = dir.path().join("node");
    let files = ["islet.db", "islet.db-wal"].map(|name| data.join(name));
    let before = files.each_ref().map(|file| std::fs::read(file).unwrap());
    assert!(!before[1].is_empty(), "the last writes are in the log");
    let log = islet_ok(&data, &["audit", "log", "--action", "reading.create"]);
    assert!(log.contains("patient:40123456"), "{log}");
    islet_ok(&data, &["audit", "verify"]);
    islet_ok(&data, &["doctor"]);
    assert!(files.each_ref().map(|file| std::fs::read(file).unwrap()) == before);
}

#[test]
fn what_was_removed_from_the_schema_is_found_and_made_again() {
    let node = Node::seeded();
    let (_, dir) = node.stop();
    let dir = dir.unwrap();
    let data = dir.path().join("node");
    let tamper = |sql: &str| {
        let database = rusqlite::Connection::open(data.join("islet.db")).unwrap();
        database.execute_batch(sql).unwrap();
    };
    tamper(
        "DROP TRIGGER change_no_update; DROP INDEX audit_by_staff;
            DROP TRIGGER audit_entry_no_delete;
            CREATE TRIGGER audit_entry_no_delete BEFORE DELETE ON audit_entry BEGIN SELECT 1; END",
    );
    let doctor = islet(&data, &["doctor"]);
    for name in [
        "change_no_update",
        "audit_by_staff",
        "audit_entry_no_delete",
    ] {
        doctor.refused(3, &format!("{name} is missing or changed"));
    }
    let node = Node::serve(dir, &[]);
    let log = islet_ok(&data, &["audit", "log", "--action", "node.restore_schema"]);
    assert!(log.contains("system node.restore_schema ok: "), "{log}");
    let (_, dir) = node.stop();
    islet_ok(&data, &["doctor"]);
    islet_ok(&data, &["audit", "verify"]);
    tamper("CREATE TRIGGER mine AFTER INSERT ON reading BEGIN DELETE FROM session; END");
    islet(&data, &["serve"]).refused(74, "trigger mine does not belong here");
    tamper("DROP TRIGGER mine; DROP TABLE audit_entry");
    islet(&data, &["audit", "verify"]).refused(3, "somebody removed the table audit_entry");
    islet(&data, &["doctor"]).refused(3, "table audit_entry is missing");
    drop(dir);
}

#[test]
fn verify_finds_what_was_altered() {
    let node = Node::seeded();
    let (_, dir) = node.stop();
    let dir = dir.unwrap();
    let data = dir.path().join("node");
    vandalise(&data.join("islet.db"), b"node.seed", b"node.nada");
    let ended = islet(&data, &["audit", "verify"]);
    ended.refused(3, "entry 2 was altered");
    let ended = islet(&data, &["audit", "verify", "--json"]);
    let report: Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(ended.code, 3);
    assert_eq!(report["problems"].as_array().unwrap().len(), 1, "{report}");
}

/// The database agrees with itself: only the note beside it tells.
#[tokio::test]
async fn verify_and_doctor_find_an_end_that_was_cut_off() {
    let node = busy_node().await;
    node.admin().await.get("/users/").await.expect(200);
    let (_, dir) = node.stop();
    let dir = dir.unwrap();
    let data = dir.path().join("node");
    islet_ok(&data, &["audit", "verify"]);
    let db = rusqlite::Connection::open(data.join("islet.db")).unwrap();
    db.execute_batch(
        "DROP TRIGGER audit_entry_no_delete;
         DELETE FROM audit_entry WHERE action = 'patient.list' AND seq = (SELECT audit_seq FROM replica);
         UPDATE replica SET audit_seq = (SELECT max(seq) FROM audit_entry), audit_hash =
             (SELECT hash FROM audit_entry ORDER BY seq DESC LIMIT 1)",
    )
    .unwrap();
    drop(db);
    islet(&data, &["audit", "verify"]).refused(3, "its end was cut off");
    islet(&data, &["doctor"]).refused(3, "its end was cut off");
    // Whoever removes the evidence as well cannot make it look as if there had been none.
    std::fs::remove_file(data.join("audit.head")).unwrap();
    let unknown = "whether its end was cut off cannot be told";
    assert!(islet_ok(&data, &["audit", "verify"]).contains(unknown));
    islet(&data, &["doctor"]).refused(3, unknown);
}
