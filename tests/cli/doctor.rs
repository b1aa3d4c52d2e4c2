//! `islet doctor`: every kind of damage is found, and said what to do about.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{founded, islet, islet_ok, set_mode, vandalise};

/// Runs the doctor, who must fail with exactly `check`.
#[track_caller]
fn fails(data: &Path, check: &str, advice: &str) {
    let ended = islet(data, &["doctor", "--json"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    let findings: Vec<Value> = serde_json::from_str(&ended.out).unwrap();
    let failed: Vec<_> = findings
        .iter()
        .filter(|one| one["verdict"] == "fail")
        .collect();
    assert_eq!(failed.len(), 1, "{failed:?}");
    assert_eq!(failed[0]["check"], check);
    assert!(
        failed[0]["text"].as_str().unwrap().contains(advice),
        "{failed:?}"
    );
}

#[test]
fn a_healthy_node_passes_running_or_not() {
    let (dir, data) = founded();
    let said = islet_ok(&data, &["doctor", "--json"]);
    let findings: Vec<Value> = serde_json::from_str(&said).unwrap();
    assert_eq!(findings.len(), 21, "{said}");
    let before = super::names_in(&data);
    islet_ok(&data, &["doctor"]);
    assert_eq!(
        super::names_in(&data),
        before,
        "the doctor leaves nothing behind"
    );
    let _node = crate::support::Node::serve(dir, &[]);
    islet_ok(&data, &["doctor"]);
}

#[test]
fn open_permissions() {
    let (_dir, data) = founded();
    set_mode(&data.join("keys/token.p8"), 0o644);
    fails(&data, "permissions", "chmod -R go=");
    islet(&data, &["serve"]).refused(1, "chmod 600");
}

/// What another user writes into the directory, the service cannot use: root with a stopped service, as a rule.
#[test]
fn files_of_another_user() {
    let (_dir, data) = founded();
    if !rustix::process::geteuid().is_root() {
        return crate::support::skip("files_of_another_user", "only root can give files away");
    }
    let give = |path: &Path| std::os::unix::fs::chown(path, Some(65_534), None).unwrap();
    give(&data.join("replica.lease"));
    fails(&data, "permissions", "chown -R 0");
    give(&data);
    let before = super::names_in(&data);
    for words in [&["user", "list"] as &[&str], &["serve"]] {
        let ended = islet(&data, words);
        ended.refused(77, "belongs to the user with id 65534");
    }
    assert_eq!(super::names_in(&data), before);
}

#[test]
fn mistakes_in_the_configuration() {
    let (_dir, data) = founded();
    fs::write(data.join("config.toml"), "workers = 0\n").unwrap();
    fails(&data, "configuration", "workers: 0 must be from 1");
}

#[test]
fn a_lost_authority_is_not_replaced_in_silence() {
    let (_dir, data) = founded();
    fs::remove_file(data.join("tls/ca.key")).unwrap();
    fails(&data, "certificates", "ca.key");
    islet(&data, &["serve"]).refused(1, "ca.key");
}

/// `islet new-authority` with these words; its answer.
fn new_authority(data: &std::path::Path) -> Value {
    let said = islet_ok(data, &["new-authority", "--yes", "--json"]);
    serde_json::from_str(&said).unwrap()
}

#[test]
fn a_lost_authority_can_be_made_anew_and_everybody_hears_of_it() {
    let (dir, data) = founded();
    let before = fs::read(data.join("tls/ca.crt")).unwrap();
    fs::remove_dir_all(data.join("tls")).unwrap();
    fails(&data, "certificates", "islet new-authority");
    islet(&data, &["serve"]).refused(1, "islet new-authority");
    let ended = islet(&data, &["new-authority"]);
    ended.refused(2, "each must be set up again");
    ended.refused(2, "--yes");
    assert!(!data.join("tls").exists());
    let made = new_authority(&data);
    assert_eq!(made["kept"], Value::Null);
    assert_eq!(made["ca_sha256"].as_str().unwrap().matches(':').count(), 31);
    assert_ne!(fs::read(data.join("tls/ca.crt")).unwrap(), before);
    let log = islet_ok(&data, &["audit", "log", "--action", "node.new_authority"]);
    assert!(
        log.contains("operator node.new_authority ok on node 0"),
        "{log}"
    );
    assert!(log.contains(made["ca_sha256"].as_str().unwrap()), "{log}");
    islet_ok(&data, &["doctor"]);
    let node = crate::support::Node::serve(dir, &[]);
    islet(&data, &["new-authority", "--yes"]).refused(1, "stop it first");
    drop(node);
}

#[test]
fn half_an_authority_is_kept_aside() {
    let (_dir, data) = founded();
    fs::remove_file(data.join("tls/ca.key")).unwrap();
    let old = fs::read(data.join("tls/ca.crt")).unwrap();
    // Of a run that was cut off.
    fs::create_dir(data.join("tls.new")).unwrap();
    fs::write(data.join("tls.new/ca.key"), "half").unwrap();
    let made = new_authority(&data);
    let kept = std::path::Path::new(made["kept"].as_str().unwrap());
    assert_eq!(fs::read(kept.join("ca.crt")).unwrap(), old);
    assert!(!data.join("tls.new").exists());
    islet_ok(&data, &["doctor"]);
    // It vouches for what is in the configuration now.
    let config = "hosts = [\"clinic.example.org\", \"192.0.2.2\"]\n";
    fs::write(data.join("config.toml"), config).unwrap();
    fails(&data, "configuration", "islet new-authority");
    new_authority(&data);
    let said = islet_ok(&data, &["doctor"]);
    assert!(
        said.contains("clinic.example.org") && said.contains("192.0.2.2"),
        "{said}"
    );
}

#[test]
fn a_lost_audit_key() {
    let (_dir, data) = founded();
    fs::write(data.join("keys/audit.key"), [7; 32]).unwrap();
    fails(&data, "audit log", "audit verify");
    fs::write(data.join("keys/audit.key"), "short").unwrap();
    fails(&data, "audit log", "restore it from a backup");
}

#[test]
fn an_altered_audit_log() {
    let (_dir, data) = founded();
    vandalise(&data.join("islet.db"), b"role admin", b"role staff");
    fails(&data, "audit log", "1 problem, first: entry 2 was altered");
}

#[test]
fn a_damaged_password_hash() {
    let (_dir, data) = founded();
    vandalise(
        &data.join("islet.db"),
        b"$argon2id$v=19$m=19456",
        b"$argon2xx$v=19$m=19456",
    );
    fails(&data, "password hashes", "staff dra.paz");
}

#[test]
fn a_database_of_a_newer_version() {
    let (_dir, data) = founded();
    let path = data.join("islet.db");
    let mut bytes = fs::read(&path).unwrap();
    // user_version in the header of the file (https://sqlite.org/fileformat.html).
    bytes[60..64].copy_from_slice(&99_u32.to_be_bytes());
    fs::write(&path, bytes).unwrap();
    fails(&data, "schema", "install a newer islet");
    islet(&data, &["serve"]).refused(1, "install a newer islet");
}

#[test]
fn a_file_that_is_no_database() {
    let (_dir, data) = founded();
    fs::write(data.join("islet.db"), vec![7; 8192]).unwrap();
    fails(&data, "schema", "damaged");
    islet(&data, &["serve"]).refused(74, "damaged");
    islet(&data, &["audit", "verify"]).refused(74, "damaged");
}

#[test]
fn a_page_that_was_overwritten() {
    let (_dir, data) = founded();
    let path = data.join("islet.db");
    let mut bytes = fs::read(&path).unwrap();
    let page = 4096;
    // The page that holds an index entry of the founder's name.
    let at = bytes
        .windows(7)
        .rposition(|window| window == b"dra.paz")
        .unwrap()
        / page
        * page;
    bytes[at..at + page].fill(0xa5);
    fs::write(&path, bytes).unwrap();
    let ended = islet(&data, &["doctor"]);
    assert_eq!(ended.code, 3, "{ended:?}");
    assert!(ended.out.contains("FAIL  database file"), "{ended:?}");
}

/// The replica that opened the queue is no more, and nobody knows which of its places it gave out.
#[tokio::test]
async fn places_that_nobody_can_give_out_any_more() {
    let node = crate::support::Node::seeded();
    let data = node.data();
    let admin = node.admin().await;
    admin.post("/appointments/queue/open").await.expect(200);
    let said = |data: &std::path::Path| {
        let findings: Vec<Value> =
            serde_json::from_str(&islet(data, &["doctor", "--json"]).out).unwrap();
        let mut places = findings.iter().filter(|one| one["check"] == "places");
        places.next().unwrap()["text"].as_str().unwrap().to_owned()
    };
    assert!(said(&data).contains("no place"));
    let (_, dir) = node.stop();
    // As after a copy was put back.
    fs::remove_file(data.join("replica.lease")).unwrap();
    let node = crate::support::Node::serve(dir.unwrap(), &[]);
    let text = said(&data);
    assert!(text.contains("close the queue and open it again"), "{text}");
    let patient = node.patient().await;
    let refused = patient.post("/appointments/submit").await.expect(400);
    assert!(
        refused["detail"]
            .as_str()
            .unwrap()
            .contains("cerrar y abrir la cola"),
        "{refused}"
    );
    let admin = node.admin().await;
    admin.post("/appointments/queue/close").await.expect(200);
    admin.post("/appointments/queue/open").await.expect(200);
    assert!(said(&data).contains("no place"));
}
