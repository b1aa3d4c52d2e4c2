//! Black-box tests of the network: real nodes on loopback that join, meet, part and are thrown out,
//! and strangers who knock.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "../support/mod.rs"]
mod support;

mod discovery;
mod forks;
mod gate;
mod hostile;
mod joining;
mod links;
mod roaming;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::Value;
use support::{Node, islet};
use tempfile::TempDir;

/// A command's looks at something that has to come about, and the pause between two: some 30 s.
const LOOKS: usize = 600;
const PAUSE: Duration = Duration::from_millis(50);

/// What a command left.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    #[track_caller]
    fn refused(&self, text: &str) {
        assert_ne!(self.code, 0, "{self:?}");
        assert!(self.err.contains(text), "{text:?} is not in {self:?}");
    }

    #[track_caller]
    fn ok(self) -> String {
        assert_eq!(self.code, 0, "{self:?}");
        self.out
    }

    #[track_caller]
    fn json(self) -> Value {
        serde_json::from_str(&self.ok()).unwrap()
    }
}

fn finish(command: &mut Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Runs `islet --data DIR words…`.
fn run(data: &Path, words: &[&str]) -> Ended {
    finish(islet().arg("--data").arg(data).args(words), "")
}

/// Directories of the nodes of a test.
struct Clinic {
    dir: TempDir,
}

impl Clinic {
    /// A clinic whose first node is called `a`.
    fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clinic = Self { dir };
        let password = "nueve perros cantan\n";
        let words = ["init", "--admin", "dra.paz", "--admin-password-file", "-"];
        let mut command = islet();
        command.arg("--data").arg(clinic.data("a")).args(words);
        command.args(["--clinic", "La Paz"]);
        finish(&mut command, password).ok();
        clinic
    }

    fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Serves a node, which other nodes reach.
    fn serve(&self, name: &str) -> Node {
        Node::start(&mut islet(), &self.data(name), &["--peer", "127.0.0.1:0"])
    }

    /// A code of the node `name`.
    fn invite(&self, name: &str) -> String {
        let invitation = run(&self.data(name), &["invite", "--json"]).json();
        invitation["code"].as_str().unwrap().to_owned()
    }

    /// Makes the node `name` by a code.
    fn join(&self, name: &str, code: &str) -> Ended {
        let mut command = islet();
        command.arg("--data").arg(self.data(name));
        finish(command.args(["join", "--name", name]), code)
    }

    /// `islet peers` at `name`.
    fn peers(&self, name: &str) -> Vec<Value> {
        let peers = run(&self.data(name), &["peers", "--json"]).json();
        peers.as_array().unwrap().clone()
    }

    /// What `at` says of `whom`, once it is as `wanted`.
    #[track_caller]
    fn until(&self, at: &str, whom: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let mut last = Vec::new();
        for _ in 0..LOOKS {
            last = self.peers(at);
            let peer = last.iter().find(|peer| is(peer, whom));
            if let Some(peer) = peer.filter(|peer| wanted(peer)) {
                return peer.clone();
            }
            std::thread::sleep(PAUSE);
        }
        panic!("{whom} did not become that way at {at}: {last:#?}");
    }

    /// Waits until each of the two has a link to the other, and both know the same.
    #[track_caller]
    fn until_linked(&self, one: &str, other: &str) {
        let linked = |peer: &Value| peer["connected"].is_string() && peer["behind_s"].is_u64();
        self.until(one, other, linked);
        self.until(other, one, linked);
    }
}

/// The founder is called like the machine; here it is `a`.
fn is(peer: &Value, name: &str) -> bool {
    match name {
        "a" => peer["number"] == 0,
        _ => peer["name"] == name,
    }
}
