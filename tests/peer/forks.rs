//! A data directory that was copied or put back whole, replica.lease included: nothing on the card shows it, and only
//! another node can tell.

use std::fs;
use std::path::Path;

use serde_json::json;

use super::support::{Client, Node, islet};
use super::{Clinic, LOOKS, PAUSE, run};

const DOCTOR: (&str, &str) = ("dra.paz", "nueve perros cantan");
const ANA: (&str, &str) = ("30111222", "una clave 55");

/// All files, but those of a running process.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = {
            let entry = entry.unwrap();
            (entry.path(), to.join(entry.file_name()))
        };
        if path.is_dir() {
            copy(&path, &to);
        } else if path.is_file() {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// A clinic with two nodes that know one patient. The second runs.
async fn clinic_with_ana() -> (Clinic, Node) {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let b = clinic.serve("b");
    let doctor = Client::log_in(&a.backoffice_url, DOCTOR).await;
    let ana = json!({
        "dni": ANA.0, "name": "Ana", "surname": "Paz", "email": "ana@clinic.test",
        "hospital_account": "HC-77", "password": ANA.1
    });
    doctor.post_json("/users/", &ana).await.expect(200);
    record(&a, 100).await;
    until_known(&b, &[100]).await;
    a.stop();
    (clinic, b)
}

/// A node that reaches nobody and that nobody reaches.
fn apart(clinic: &Clinic, name: &str) -> Node {
    Node::start(&mut islet(), &clinic.data(name), &[])
}

async fn record(node: &Node, mg_dl: i64) {
    let ana = Client::log_in(&node.patient_url, ANA).await;
    let path = format!("/glucose/create?glucose_level={mg_dl}&reading_type=CENA");
    ana.post(&path).await.expect(201);
}

/// Waits until a node shows just these readings. Who was logged in may have to do so again, since the rows of one side get
/// other ids.
async fn until_known(node: &Node, expected: &[i64]) {
    let (mut seen, mut ana) = (Vec::new(), Client::log_in(&node.patient_url, ANA).await);
    for _ in 0..LOOKS {
        let answer = ana.get("/glucose/mine").await;
        if answer.status == 401 {
            ana = Client::log_in(&node.patient_url, ANA).await;
            continue;
        }
        let history = answer.expect(200);
        let readings = history["readings"].as_array().unwrap().iter();
        let level = |it: &serde_json::Value| it["glucose_level"].as_f64().map(|it| it as i64);
        seen = readings.filter_map(level).collect();
        seen.sort_unstable();
        if seen == expected {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("expected {expected:?}, there are {seen:?}");
}

/// What people are told of it.
fn assert_told(clinic: &Clinic, name: &str) {
    let doctor = run(&clinic.data(name), &["doctor"]).out;
    assert!(doctor.contains("was written on in two ways"), "{doctor}");
    let audit = run(
        &clinic.data(name),
        &["audit", "log", "--action", "sync.fork"],
    )
    .ok();
    assert!(
        audit.contains("replica 0 was written on in two ways"),
        "{audit}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cloned_directory_that_runs_twice_loses_nothing() {
    let (clinic, b) = clinic_with_ana().await;
    copy(&clinic.data("a"), &clinic.data("clone"));
    // Both write before anybody can tell them.
    for (name, mg_dl) in [("a", 110), ("clone", 120)] {
        let node = apart(&clinic, name);
        record(&node, mg_dl).await;
        node.stop();
    }
    let a = clinic.serve("a");
    until_known(&b, &[100, 110]).await;
    record(&b, 130).await;
    let twin = clinic.serve("clone");
    // Both go on, and each sees what the other wrote, by way of the third node.
    for node in [&b, &twin, &a] {
        until_known(node, &[100, 110, 120, 130]).await;
    }
    record(&a, 140).await;
    record(&twin, 150).await;
    for node in [&b, &twin, &a] {
        until_known(node, &[100, 110, 120, 130, 140, 150]).await;
    }
    for (node, name) in [(a, "a"), (twin, "clone"), (b, "b")] {
        assert_eq!(node.stop().0, Some(0));
        assert_told(&clinic, name);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_directory_put_back_whole_and_written_on_loses_nothing() {
    let (clinic, b) = clinic_with_ana().await;
    copy(&clinic.data("a"), &clinic.data("image"));
    let a = clinic.serve("a");
    record(&a, 110).await;
    until_known(&b, &[100, 110]).await;
    a.stop();
    // The card dies, and the copy of all of it takes its place.
    fs::remove_dir_all(clinic.data("a")).unwrap();
    copy(&clinic.data("image"), &clinic.data("a"));
    let a = apart(&clinic, "a");
    record(&a, 120).await;
    record(&a, 130).await;
    a.stop();
    let a = clinic.serve("a");
    for node in [&a, &b] {
        until_known(node, &[100, 110, 120, 130]).await;
    }
    record(&a, 140).await;
    until_known(&b, &[100, 110, 120, 130, 140]).await;
    for (node, name) in [(a, "a"), (b, "b")] {
        assert_eq!(node.stop().0, Some(0));
        assert_told(&clinic, name);
    }
    let renewed = run(
        &clinic.data("a"),
        &["audit", "log", "--action", "node.new_replica"],
    );
    assert!(renewed.ok().contains("a peer knows"));
}
