//! Black-box tests of the command line: exit codes, what is printed, what lies on the disk, and
//! commands beside a running node.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop")]

#[path = "../support/mod.rs"]
mod support;

mod audit;
mod config;
mod conflicts;
mod demo;
mod doctor;
mod init;
mod mail;
mod packaging;
mod seed;
mod serve;
mod user;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

/// A founder's password.
const PASSWORD: &str = "nueve perros cantan";

/// What a command left.
#[derive(Debug)]
struct Ended {
    code: i32,
    out: String,
    err: String,
}

impl Ended {
    /// Checks the exit code and that standard error, or output when that is empty, says `text`.
    #[track_caller]
    fn refused(&self, code: i32, text: &str) {
        assert_eq!(self.code, code, "{self:?}");
        let said = format!("{}{}", self.err, self.out);
        assert!(said.contains(text), "{text:?} is not in {self:?}");
    }
}

/// Runs `islet --data DIR words…` to its end, with `input` on standard input.
fn islet_with(data: &Path, words: &[&str], input: &str) -> Ended {
    let mut command = support::islet();
    command.arg("--data").arg(data).args(words);
    finish(&mut command, input)
}

fn islet(data: &Path, words: &[&str]) -> Ended {
    islet_with(data, words, "")
}

/// The same, which must end well; answers with what it printed.
#[track_caller]
fn islet_ok(data: &Path, words: &[&str]) -> String {
    let ended = islet(data, words);
    assert_eq!(ended.code, 0, "{words:?}: {ended:?}");
    ended.out
}

fn finish(command: &mut Command, input: &str) -> Ended {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A command that refuses its arguments does not read its input.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    Ended {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// `islet init` in `data` by a founder called `admin`.
fn init_as(data: &Path, admin: &str) -> Ended {
    let words = ["init", "--admin", admin, "--admin-password-file", "-"];
    islet_with(data, &words, &format!("{PASSWORD}\n"))
}

/// A fresh node founded by `dra.paz`, and its directory.
fn founded() -> (TempDir, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let ended = init_as(&data, "dra.paz");
    assert_eq!(ended.code, 0, "{ended:?}");
    (dir, data)
}

/// Replaces the first `from` in a file by `to` of the same length, as a vandal would.
fn vandalise(path: &Path, from: &[u8], to: &[u8]) {
    assert_eq!(from.len(), to.len());
    let mut bytes = std::fs::read(path).unwrap();
    let mut windows = bytes.windows(from.len());
    let at = windows.position(|window| window == from).unwrap();
    bytes[at..at + to.len()].copy_from_slice(to);
    std::fs::write(path, bytes).unwrap();
}

/// The id of a user who has nothing.
const NOBODY: u32 = 65_534;

fn mode(path: &Path) -> u32 {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).unwrap().permissions().mode() & 0o777
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
}

fn names_in(dir: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(dir).unwrap();
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
