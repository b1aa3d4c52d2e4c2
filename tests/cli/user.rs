//! `islet user`, with and without a running node.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;

use serde_json::{Value, json};

use super::{Ended, PASSWORD, founded, init_as, islet, islet_ok, islet_with, mode};
use crate::support::{Client, Node};

const PATIENT: [&str; 15] = [
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

fn add_staff(data: &Path, name: &str) -> Ended {
    let email = format!("{name}@example.org");
    let words = ["user", "add", name, "--role", "staff", "--email", &email];
    islet_with(
        data,
        &[&words[..], &["--password-file", "-"]].concat(),
        PASSWORD,
    )
}

#[tokio::test]
async fn a_patient_without_a_password_chooses_one_with_the_code() {
    let (dir, data) = founded();
    let words = &PATIENT[..PATIENT.len() - 2];
    let told = islet_ok(&data, words);
    assert!(told.contains("patient 30111222 was added"), "{told}");
    let code = told
        .lines()
        .find_map(|line| line.strip_prefix("One-time code: "));
    let code = code.unwrap().to_owned();
    let mut other = words.to_vec();
    for (before, after) in [
        ("30111222", "30111223"),
        ("ana@example.org", "eva@example.org"),
        ("HC-1", "HC-2"),
    ] {
        *other.iter_mut().find(|word| **word == before).unwrap() = after;
    }
    let node = Node::serve(dir, &[]);
    let told = islet_ok(&data, &[&other[..], &["--json"]].concat());
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(
        (&told["user"]["name"], &told["valid_hours"]),
        (&json!("30111223"), &json!(24))
    );
    for (name, code) in [
        ("30111222", code.as_str()),
        ("30111223", told["code"].as_str().unwrap()),
    ] {
        let anonymous = node.anonymous();
        assert_eq!(anonymous.token((name, "")).await.status.as_u16(), 422);
        assert_eq!(anonymous.token((name, code)).await.status.as_u16(), 401);
        let reset = json!({"token": code, "new_password": "clave propia 7"});
        anonymous
            .post_json("/reset-password", &reset)
            .await
            .expect(200);
        Client::log_in(&node.patient_url, (name, "clave propia 7")).await;
    }
}

#[tokio::test]
async fn accounts_that_are_added_beside_a_running_node_work_at_once() {
    let (dir, data) = founded();
    let node = Node::serve(dir, &[]);
    assert_eq!(mode(&data.join("control.sock")), 0o600);
    let ended = islet_with(&data, &[&PATIENT[..], &["--json"]].concat(), PASSWORD);
    let user: Value = serde_json::from_str(&ended.out).unwrap();
    let expected = json!({"id": 1, "role": "patient", "name": "30111222", "person": "Ana Paz",
                          "email": "ana@example.org", "blocked": false});
    assert_eq!(user, expected);
    let patient = Client::log_in(&node.patient_url, ("30111222", PASSWORD)).await;
    patient.get("/users/me").await.expect(200);

    islet_ok(&data, &["user", "block", "30111222", "--role", "patient"]);
    assert_eq!(patient.get("/users/me").await.status.as_u16(), 401);
    let denied = node.anonymous().token(("30111222", PASSWORD)).await;
    assert_eq!(denied.status.as_u16(), 401);
    assert!(islet_ok(&data, &["user", "list"]).contains("blocked"));

    islet_ok(&data, &["user", "unblock", "30111222", "--role", "patient"]);
    Client::log_in(&node.patient_url, ("30111222", PASSWORD)).await;
    let log = islet_ok(
        &data,
        &[
            "audit",
            "log",
            "--actor",
            "operator",
            "--patient",
            "30111222",
        ],
    );
    assert!(log.contains("patient.create"), "{log}");
}

#[tokio::test]
async fn a_one_time_code_sets_a_new_password_once() {
    let node = Node::seeded();
    let words = [
        "user",
        "reset-password",
        "40123456",
        "--role",
        "patient",
        "--json",
    ];
    let answer: Value = serde_json::from_str(&islet_ok(&node.data(), &words)).unwrap();
    assert_eq!(answer["valid_hours"], 24);
    let reset = json!({"token": answer["code"], "new_password": "otra clave mejor"});
    let anonymous = node.anonymous();
    anonymous
        .post_json("/reset-password", &reset)
        .await
        .expect(200);
    let reset = json!({"token": answer["code"], "new_password": "una clave distinta"});
    assert_eq!(
        anonymous
            .post_json("/reset-password", &reset)
            .await
            .status
            .as_u16(),
        400
    );
    Client::log_in(&node.patient_url, ("40123456", "otra clave mejor")).await;

    let text = islet_ok(
        &node.data(),
        &["user", "reset-password", "admin", "--role", "admin"],
    );
    assert!(text.contains("One-time code: "), "{text}");
}

#[test]
fn the_same_commands_work_without_a_node_running() {
    let (_dir, data) = founded();
    assert_eq!(add_staff(&data, "dr.sol").code, 0);
    let ended = islet_with(&data, &PATIENT, PASSWORD);
    assert_eq!(ended.code, 0, "{ended:?}");
    islet_ok(&data, &["user", "block", "dr.sol", "--role", "staff"]);
    let list = |words: &[&str]| -> Vec<Value> {
        let words = [&["user", "list", "--json"], words].concat();
        serde_json::from_str(&islet_ok(&data, &words)).unwrap()
    };
    let names: Vec<_> = list(&[]).iter().map(|user| user["name"].clone()).collect();
    assert_eq!(names, ["30111222", "dra.paz", "dr.sol"]);
    let persons: Vec<_> = list(&[])
        .iter()
        .map(|user| user["person"].clone())
        .collect();
    assert_eq!(persons, [json!("Ana Paz"), json!(null), json!(null)]);
    assert!(islet_ok(&data, &["user", "list"]).contains("30111222  Ana Paz"));
    assert_eq!(list(&["--role", "admin"])[0]["name"], "dra.paz");
    let staff = list(&["--role", "staff"]);
    assert_eq!((staff.len(), &staff[0]["blocked"]), (1, &json!(true)));
    islet_ok(&data, &["audit", "verify"]);
}

#[test]
fn refusals_say_why_and_change_nothing() {
    let (_dir, data) = founded();
    assert_eq!(add_staff(&data, "dr.sol").code, 0);
    add_staff(&data, "dr.sol").refused(1, "already has this username");
    add_staff(&data, "x").refused(1, "user name: must be 3 to 50");
    let weak = [
        "user",
        "add",
        "dr.mar",
        "--role",
        "staff",
        "--email",
        "m@example.org",
    ];
    islet_with(
        &data,
        &[&weak[..], &["--password-file", "-"]].concat(),
        "corta",
    )
    .refused(1, "12 characters");
    islet(&data, &weak).refused(2, "--password-file");
    islet_with(
        &data,
        &[&weak[..], &["--name", "Mar", "--password-file", "-"]].concat(),
        PASSWORD,
    )
    .refused(2, "--role patient only");
    islet(
        &data,
        &["user", "add", "1", "--role", "patient", "--email", "a@b.c"],
    )
    .refused(2, "--hospital-account");
    islet(&data, &["user", "block", "nobody", "--role", "staff"]).refused(1, "not found");
    islet(&data, &["user", "reset-password", "9", "--role", "patient"]).refused(1, "not found");
    assert_eq!(islet_ok(&data, &["user", "list"]).lines().count(), 3);
}

#[test]
fn neither_passwords_nor_hashes_are_shown() {
    let (_dir, data) = founded();
    let added = islet_with(&data, &PATIENT, PASSWORD);
    let listed = islet(&data, &["user", "list", "--json"]);
    let log = islet(&data, &["audit", "log", "--json"]);
    for ended in [added, listed, log] {
        let said = format!("{}{}", ended.out, ended.err);
        assert!(
            !said.contains("argon2") && !said.contains(PASSWORD),
            "{said}"
        );
    }
}

#[test]
fn many_commands_at_once_are_all_carried_out() {
    let (dir, data) = founded();
    let node = Node::serve(dir, &[]);
    std::thread::scope(|scope| {
        for number in 0..8 {
            let data = &data;
            scope.spawn(move || {
                let ended = add_staff(data, &format!("dr.{number}0"));
                assert_eq!(ended.code, 0, "{ended:?}");
            });
        }
    });
    assert_eq!(islet_ok(&data, &["user", "list"]).lines().count(), 1 + 9);
    let (code, _dir) = node.stop();
    assert_eq!(code, Some(0));
    assert!(!data.join("control.sock").exists());
}

#[test]
fn nonsense_on_the_socket_is_answered_and_forgotten() {
    let (dir, data) = founded();
    let _node = Node::serve(dir, &[]);
    let huge = format!("{{\"list_users\":\"{}\"}}", "x".repeat(200_000));
    let tail = "[".repeat(60_000);
    for nonsense in [
        "",
        "null",
        "{\"format_disk\":null}",
        "\u{0}\u{1}",
        &huge,
        &tail,
    ] {
        let mut stream = UnixStream::connect(data.join("control.sock")).unwrap();
        // The node may answer before it has read everything.
        let _ = stream.write_all(nonsense.as_bytes());
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = String::new();
        let read = stream.read_to_string(&mut answer);
        let refused = answer.contains("does not understand");
        assert!(
            refused || (read.is_err() && nonsense.len() > 100_000),
            "{answer}"
        );
    }
    islet_ok(&data, &["user", "list"]);
}

#[test]
fn a_socket_that_was_left_behind_is_no_obstacle() {
    let (dir, data) = founded();
    let stale = std::os::unix::net::UnixListener::bind(data.join("control.sock")).unwrap();
    drop(stale);
    islet_ok(&data, &["user", "list"]);
    let _node = Node::serve(dir, &[]);
    islet_ok(&data, &["user", "list"]);
}

#[test]
fn a_long_path_is_no_obstacle() {
    let dir = tempfile::tempdir().unwrap();
    let deep = "a-rather-long-name-for-a-directory/".repeat(6);
    let parent = dir.path().join(deep.trim_end_matches('/'));
    std::fs::create_dir_all(&parent).unwrap();
    let data = parent.join("node");
    assert_eq!(init_as(&data, "dra.paz").code, 0);
    let mut command = crate::support::islet();
    let addresses = [
        "--http",
        "127.0.0.1:0",
        "--backoffice",
        "off",
        "--https",
        "off",
    ];
    command
        .arg("--data")
        .arg(&data)
        .arg("serve")
        .args(addresses);
    let mut child = command
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let mut first = [0; 6];
    child
        .stdout
        .as_mut()
        .unwrap()
        .read_exact(&mut first)
        .unwrap();
    let ended = islet(&data, &["user", "list"]);
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(ended.code, 0, "{ended:?}");
}
