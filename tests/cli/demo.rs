//! `islet demo`: makes a clinic, serves it, and touches nothing else.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use super::{founded, islet, islet_ok};
use crate::support::{self, Client};

/// A running demo, and what it printed up to the ready line. Killed when dropped.
struct Demo {
    child: Child,
    said: Vec<String>,
}

impl Demo {
    fn start(data: &Path) -> Self {
        let mut command = support::islet();
        command.args(["demo", "--seed", "7", "--https", "off", "--data"]);
        command.arg(data);
        command.args(["--http", "127.0.0.1:0", "--backoffice", "127.0.0.1:0"]);
        command.stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        let mut said = Vec::new();
        for line in BufReader::new(child.stdout.take().unwrap()).lines() {
            said.push(line.unwrap());
            if said.last().unwrap().starts_with("islet ready:") {
                break;
            }
        }
        Self { child, said }
    }

    /// Word number `word` of the line that starts with `start`.
    #[track_caller]
    fn word(&self, start: &str, word: usize) -> &str {
        let line = self.said.iter().find(|line| line.trim().starts_with(start));
        let words = line.and_then(|line| line.trim()[start.len()..].split_whitespace().nth(word));
        words.unwrap_or_else(|| unreachable!("{start:?} is not in {:#?}", self.said))
    }

    /// The most memory that it has had, in kilobytes.
    fn peak_kb(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmHWM"))
            .unwrap();
        line.split_whitespace().nth(1).unwrap().parse().unwrap()
    }

    /// Stops it as a terminal would; answers with its exit code.
    fn stop(mut self) -> Option<i32> {
        let pid = self.child.id().to_string();
        support::run(Command::new("kill").args(["-INT", &pid]));
        self.child.wait().unwrap().code()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test]
async fn it_makes_a_clinic_and_serves_it_again() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("demo");
    let demo = Demo::start(&data);
    let loaded = demo.peak_kb();
    let (app, office) = (demo.word("patients' app", 0), demo.word("back office", 0));
    let doctor = demo.word("direccion", 0);
    let staff = Client::log_in(office, ("direccion", doctor)).await;
    let users = staff.get("/users/").await.expect(200);
    assert_eq!(users.as_array().unwrap().len(), 24);
    let pending = staff.get("/appointments/pending").await.expect(200);
    assert_eq!(pending.as_array().unwrap().len(), 4);

    // The first in the table wears a sensor.
    let password = demo.word("Log-ins of patients, all with the password", 0);
    let first = demo
        .said
        .iter()
        .position(|line| line.starts_with("Log-ins of patients"));
    let first = demo.said[first.unwrap() + 1]
        .split_whitespace()
        .next()
        .unwrap();
    let patient = Client::log_in(app, (first, password)).await;
    let readings = patient.get("/glucose/mine/latest").await.expect(200);
    let readings = readings["readings"].as_array().unwrap();
    assert!(readings.len() > 6_721, "{}", readings.len());
    let streak = patient.get("/achievements/streak/").await.expect(200);
    assert_eq!(streak["streak"], 14);
    let appointments = patient.get("/appointments/mine").await.expect(200);
    assert_eq!(appointments.as_array().unwrap().len(), 3);

    let said = demo.said.clone();
    assert_eq!(demo.stop(), Some(0));
    let again = Demo::start(&data);
    // Nothing of the loader's memory was left.
    let unloaded = again.peak_kb();
    assert!(
        loaded < unloaded * 3 / 2,
        "{loaded} kB, and {unloaded} kB without the loader"
    );
    let log_ins = |said: &[String]| {
        let from = said.iter().position(|line| line.starts_with("Log-ins"));
        said[from.unwrap()..said.len() - 1].to_vec()
    };
    assert_eq!(log_ins(&again.said), log_ins(&said));
    assert_eq!(again.stop(), Some(0));

    islet(&data, &["demo", "--seed", "8"]).refused(2, "holds the demo with seed 7");
    assert!(islet_ok(&data, &["audit", "verify"]).contains("whole"));
    assert!(islet_ok(&data, &["doctor"]).contains("this is the demo with seed 7"));
}

#[test]
fn without_a_seed_the_passwords_differ() {
    let dir = tempfile::tempdir().unwrap();
    let table = |name: &str| {
        let said = islet_ok(&dir.path().join(name), &["demo", "--load-only"]);
        said.lines()
            .find(|line| line.contains("manages staff"))
            .map(str::to_owned)
            .unwrap()
    };
    assert_ne!(table("a"), table("b"));
}

#[test]
fn a_real_node_and_a_full_directory_are_refused_and_left_alone() {
    let (_dir, data) = founded();
    let before = islet_ok(&data, &["audit", "verify", "--json"]);
    islet(&data, &["demo"]).refused(1, "holds a node that is no demo");
    assert_eq!(islet_ok(&data, &["audit", "verify", "--json"]), before);

    let full = tempfile::tempdir().unwrap();
    std::fs::write(full.path().join("letter.txt"), "mine").unwrap();
    islet(full.path(), &["demo"]).refused(1, "is not empty (it holds letter.txt)");
    let left: Vec<_> = std::fs::read_dir(full.path()).unwrap().collect();
    assert_eq!(left.len(), 1);
}
