//! What is shipped beside the program says what the program understands: the README's commands and
//! the unit of systemd.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::finish;
use crate::support;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn text_of(path: &str) -> String {
    fs::read_to_string(repository(path)).unwrap()
}

/// The commands in the shell blocks of a document, with continued lines joined.
fn commands(document: &str) -> Vec<String> {
    let (mut found, mut fenced) = (Vec::new(), false);
    for line in document.replace("\\\n", " ").lines() {
        let line = line.trim();
        if line.starts_with("```") {
            fenced = line == "```sh";
        } else if fenced && !line.is_empty() {
            found.push(line.to_owned());
        }
    }
    found
}

/// Words as a shell takes them apart; there are no other quotes than single ones.
fn words(command: &str) -> Vec<String> {
    let parts = command.split('\'').enumerate();
    let parts = parts.flat_map(|(index, part)| match index % 2 {
        0 => part.split_whitespace().map(str::to_owned).collect(),
        _ => vec![part.to_owned()],
    });
    parts.take_while(|word| word != "#").collect()
}

/// Checks that the program takes these arguments: `--help` at the end is reached when all before it
/// is understood.
#[track_caller]
fn understood(arguments: &[String]) {
    let ended = finish(support::islet().args(arguments).arg("--help"), "");
    assert_eq!(ended.code, 0, "islet {arguments:?}: {ended:?}");
}

#[test]
fn every_command_of_the_readme_is_understood() {
    let mut seen = Vec::new();
    for command in commands(&text_of("README.md")) {
        let words = words(&command);
        let as_user = ["sudo", "-u", "islet"];
        let own = words.strip_prefix(&as_user.map(str::to_owned)[..]);
        let own = own.unwrap_or(&words);
        if own[0] == "islet" {
            understood(&own[1..]);
            // After `--data DIR`.
            seen.push(own[3].clone());
        }
        for file in words.iter().filter(|word| word.starts_with("packaging/")) {
            assert!(repository(file).exists(), "{command}: there is no {file}");
        }
        if words.first().is_some_and(|word| word == "make") {
            let target = format!("\n{}:", words[1]);
            assert!(text_of("Makefile").contains(&target), "{command}");
        }
    }
    for command in ["init", "user"] {
        assert!(
            seen.iter().any(|word| word == command),
            "no {command}: {seen:?}"
        );
    }
}

/// The values of a key in the unit.
fn values<'a>(unit: &'a str, key: &str) -> Vec<&'a str> {
    let values = unit.lines().filter_map(|line| line.strip_prefix(key));
    values.filter_map(|rest| rest.strip_prefix('=')).collect()
}

#[test]
fn the_unit_starts_the_node_as_its_own_user() {
    let unit = text_of("packaging/islet.service");
    let start = values(&unit, "ExecStart");
    assert_eq!(start.len(), 1);
    let start = words(start[0]);
    // Where the README installs it, and what it does with it there.
    let readme = text_of("README.md");
    let (dir, name) = start[0].rsplit_once('/').unwrap();
    assert!(readme.contains(&format!("install target/release/{name} {dir}/")));
    let data = format!("/var/lib/{}", values(&unit, "StateDirectory")[0]);
    assert_eq!(start[1..], ["--data", data.as_str(), "serve"]);
    assert!(readme.contains(&format!("islet --data {data} init")));
    understood(&start[1..]);
    let user = values(&unit, "User")[0];
    assert!(text_of("packaging/islet.sysusers").contains(&format!("u {user} - ")));
    assert!(readme.contains(&format!("sudo -u {user} islet")));
    for (key, value) in [
        ("NoNewPrivileges", "yes"),
        ("ProtectSystem", "strict"),
        ("CapabilityBoundingSet", ""),
        ("AmbientCapabilities", ""),
        ("Restart", "on-failure"),
        ("UMask", "0077"),
    ] {
        assert_eq!(values(&unit, key), [value], "{key}");
    }
}

#[test]
fn systemd_understands_the_unit() {
    let Ok(version) = Command::new("systemd-analyze").arg("--version").output() else {
        support::skip("systemd_understands_the_unit", "no systemd-analyze");
        return;
    };
    assert!(version.status.success());
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("islet.service");
    let unit = text_of("packaging/islet.service");
    let here = unit.replace("/usr/local/bin/islet", env!("CARGO_BIN_EXE_islet"));
    fs::write(&path, here).unwrap();
    let analyze =
        |words: &[&str]| finish(Command::new("systemd-analyze").args(words).arg(&path), "");
    let verified = analyze(&["verify"]);
    // It warns of keys that it does not know, and ends with 0.
    assert_eq!(
        (verified.code, verified.err.as_str()),
        (0, ""),
        "{verified:?}"
    );
    let security = analyze(&["security", "--offline=true", "--threshold=20"]);
    assert_eq!(security.code, 0, "{}", security.out);
}
