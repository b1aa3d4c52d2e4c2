//! Two nodes of one clinic that can be cut off from each other.

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use super::{Node, islet, run};

/// The directories of two nodes. The first has the seed's people.
pub(crate) struct Pair {
    dir: TempDir,
}

impl Pair {
    /// A seeded node, to which `before` is done, and one that has joined it and knows the same. Neither runs.
    pub(crate) async fn new(before: impl AsyncFnOnce(&Node)) -> Self {
        let pair = Self {
            dir: tempfile::tempdir().unwrap(),
        };
        run(islet().arg("seed").arg("--data").arg(pair.data("a")));
        let first = pair.serve("a", &["--peer", "127.0.0.1:0"]);
        before(&first).await;
        let invitation = run(islet()
            .args(["invite", "--json", "--data"])
            .arg(pair.data("a")));
        let invitation: Value = serde_json::from_str(&invitation).unwrap();
        let mut join = islet();
        join.args(["join", "--name", "b", "--data"])
            .arg(pair.data("b"));
        with_input(&mut join, invitation["code"].as_str().unwrap());
        first.stop();
        pair
    }

    /// Where a node lies.
    pub(crate) fn data(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn serve(&self, name: &str, flags: &[&str]) -> Node {
        Node::start(&mut islet(), &self.data(name), flags)
    }

    /// Both, running and cut off from each other.
    pub(crate) fn apart(&self) -> (Node, Node) {
        (self.serve("a", &[]), self.serve("b", &[]))
    }

    /// Stops both and starts them again, in step with each other.
    pub(crate) fn meet(&self, (a, b): (Node, Node)) -> (Node, Node) {
        a.stop();
        b.stop();
        let a = self.serve("a", &["--peer", "127.0.0.1:0"]);
        let b = self.serve("b", &["--peer", "127.0.0.1:0"]);
        let both = (a, b);
        self.sync(&both);
        both
    }

    /// Has each fetch what the other has.
    pub(crate) fn sync(&self, (a, b): &(Node, Node)) {
        for (name, other) in [("b", &a.peer_address), ("a", &b.peer_address)] {
            run(islet()
                .args(["sync", "--peer", other, "--data"])
                .arg(self.data(name)));
        }
    }
}

fn with_input(command: &mut Command, input: &str) {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child
        .stdin
        .take()
        .unwrap()
        .write_all(input.as_bytes())
        .unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {said}");
}
