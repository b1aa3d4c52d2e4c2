//! `islet seed`: only where nobody is.

use serde_json::json;

use super::{PASSWORD, founded, init_as, islet, islet_ok, islet_with};
use crate::support::{ADMIN, Client, Node, OTHER_PATIENT, PATIENT};

#[tokio::test]
async fn the_well_known_log_ins_work() {
    let node = Node::seeded();
    let me = node.patient().await.get("/users/me").await.expect(200);
    assert_eq!(
        (
            &me["dni"],
            &me["name"],
            &me["surname"],
            &me["email"],
            &me["hospital_account"]
        ),
        (
            &json!("40123456"),
            &json!("Test"),
            &json!("User"),
            &json!("test40123456@diabetactic.com"),
            &json!("test_account_1"),
        )
    );
    node.other_patient()
        .await
        .get("/users/me")
        .await
        .expect(200);
    let admin = node.admin().await;
    assert_eq!(admin.get("/appointments/queue/size").await.expect(200), 5);
    let log = islet_ok(&node.data(), &["audit", "log", "--action", "node.seed"]);
    assert!(log.contains("well-known log-ins were loaded"), "{log}");
    // Loud, but a node for tests is not broken.
    let doctor = islet_ok(&node.data(), &["doctor"]);
    assert!(
        doctor.contains("ANYBODY CAN LOG IN as patient 40123456"),
        "{doctor}"
    );
    assert_eq!(islet(&node.data(), &["doctor", "--strict"]).code, 3);
}

#[test]
fn a_second_time_is_refused_and_changes_nothing() {
    let node = Node::seeded();
    let (_, dir) = node.stop();
    let dir = dir.unwrap();
    let data = dir.path().join("node");
    let before = islet_ok(&data, &["audit", "verify", "--json"]);
    islet(&data, &["seed"]).refused(1, "empty node only, and this one has patients");
    assert_eq!(islet_ok(&data, &["audit", "verify", "--json"]), before);
}

#[tokio::test]
async fn a_founder_may_be_there_and_keeps_their_password() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    assert_eq!(init_as(&data, "admin").code, 0);
    let said = islet_ok(&data, &["seed"]);
    assert!(said.contains("keeps their own password"), "{said}");
    let node = Node::serve(dir, &[]);
    Client::log_in(&node.backoffice_url, ("admin", PASSWORD)).await;
    let denied = node.anonymous_at_backoffice().token(ADMIN).await;
    assert_eq!(denied.status.as_u16(), 401);
    node.patient().await;
}

#[tokio::test]
async fn it_works_beside_a_running_node_that_is_empty() {
    let (dir, data) = founded();
    let node = Node::serve(dir, &[]);
    islet_ok(&data, &["seed"]);
    Client::log_in(&node.patient_url, PATIENT).await;
    Client::log_in(&node.patient_url, OTHER_PATIENT).await;
    Client::log_in(&node.backoffice_url, ADMIN).await;
    Client::log_in(&node.backoffice_url, ("dra.paz", PASSWORD)).await;
}

#[test]
fn nobody_else_may_be_there() {
    let (_dir, data) = founded();
    let staff = [
        "user",
        "add",
        "dr.sol",
        "--role",
        "staff",
        "--email",
        "sol@example.org",
    ];
    let ended = islet_with(
        &data,
        &[&staff[..], &["--password-file", "-"]].concat(),
        PASSWORD,
    );
    assert_eq!(ended.code, 0, "{ended:?}");
    islet(&data, &["seed"]).refused(1, "staff besides its founder");

    let (_dir, data) = founded();
    let patient = [
        "user",
        "add",
        "30111222",
        "--role",
        "patient",
        "--email",
        "ana@example.org",
        "--name",
        "Ana",
        "--surname",
        "Paz",
        "--hospital-account",
        "HC-1",
        "--password-file",
        "-",
    ];
    assert_eq!(islet_with(&data, &patient, PASSWORD).code, 0);
    islet(&data, &["seed"]).refused(1, "this one has patients");
}

#[test]
fn a_directory_with_something_else_in_it_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    islet(dir.path(), &["seed"]).refused(1, "thesis.txt");
}
