//! `islet init`: everything or nothing.

use std::fs;
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

use super::{NOBODY, PASSWORD, founded, init_as, islet, islet_ok, islet_with, mode, names_in};
use crate::support;

#[test]
fn a_node_is_made_for_this_user_alone() {
    let (_dir, data) = founded();
    let names = [
        "config.toml",
        "islet.db",
        "keys",
        "lock",
        "replica.lease",
        "tls",
    ];
    assert_eq!(names_in(&data), names);
    for dir in ["", "keys", "tls"] {
        assert_eq!(mode(&data.join(dir)), 0o700, "{dir}");
    }
    for file in [
        "keys/audit.key",
        "keys/token.p8",
        "keys/node.key",
        "tls/ca.key",
        "islet.db",
        "config.toml",
    ] {
        assert_eq!(mode(&data.join(file)), 0o600, "{file}");
    }
    assert_eq!(fs::read(data.join("keys/audit.key")).unwrap().len(), 32);
    islet_ok(&data, &["audit", "verify"]);
    let log = islet_ok(&data, &["audit", "log"]);
    assert!(log.contains("operator staff.create ok on staff 1"), "{log}");
    assert!(log.contains("operator node.init ok"), "{log}");
    let users = islet_ok(&data, &["user", "list"]);
    assert!(
        users.contains("admin") && users.contains("dra.paz"),
        "{users}"
    );
    let doctor = islet_ok(&data, &["doctor"]);
    assert!(!doctor.contains("FAIL"), "{doctor}");
}

#[test]
fn the_fingerprint_and_what_to_do_next_are_printed() {
    let dir = tempfile::tempdir().unwrap();
    let ended = init_as(&dir.path().join("node"), "dra.paz");
    let fingerprint = ended
        .out
        .lines()
        .find(|line| line.matches(':').count() == 31);
    assert!(fingerprint.is_some(), "{ended:?}");
    for next in ["serve", "/ca", "config.toml"] {
        assert!(ended.out.contains(next), "{ended:?}");
    }
    assert!(!ended.out.contains(PASSWORD) && !ended.err.contains(PASSWORD));
}

#[test]
fn a_script_reads_the_fingerprint() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let words = [
        "init",
        "--admin",
        "dra.paz",
        "--admin-password-file",
        "-",
        "--clinic",
        "La Paz",
        "--json",
    ];
    let ended = islet_with(&data, &words, PASSWORD);
    let made: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(made["clinic"], "La Paz");
    assert_eq!(made["ca_sha256"].as_str().unwrap().matches(':').count(), 31);
    assert_eq!(made["data"], data.to_str().unwrap());
}

#[test]
fn options_reach_the_configuration_and_the_authority() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let file = dir.path().join("pw");
    fs::write(&file, PASSWORD).unwrap();
    let file = file.to_str().unwrap();
    let words = [
        "init",
        "--admin",
        "dra.paz",
        "--admin-password-file",
        file,
        "--admin-email",
        "paz@example.org",
        "--clinic",
        "La \"Paz\"",
        "--host",
        "pi.example.org",
    ];
    islet_ok(&data, &words);
    let shown = islet_ok(&data, &["config", "show"]);
    assert!(
        shown.contains("pi.example.org") && shown.contains("La \"Paz\""),
        "{shown}"
    );
    assert!(islet_ok(&data, &["user", "list"]).contains("paz@example.org"));
    let doctor = islet_ok(&data, &["doctor"]);
    assert!(doctor.contains("pi.example.org"), "{doctor}");
}

#[test]
fn what_is_wrong_with_a_password_is_said_in_english() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let words = ["init", "--admin", "dra.paz", "--admin-password-file", "-"];
    for (password, said) in [
        ("short", "password: must have at least 12 characters"),
        ("password1234", "password: is too easy to guess"),
    ] {
        islet_with(&data, &words, password).refused(1, said);
    }
}

#[test]
fn a_directory_that_holds_a_node_is_left_alone() {
    let (_dir, data) = founded();
    let files = [
        "islet.db",
        "keys/audit.key",
        "keys/token.p8",
        "tls/ca.key",
        "config.toml",
    ];
    let before = files.map(|file| fs::read(data.join(file)).unwrap());
    init_as(&data, "somebody").refused(1, "already holds a node");
    assert_eq!(files.map(|file| fs::read(data.join(file)).unwrap()), before);
}

#[test]
fn a_directory_that_holds_anything_else_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("thesis.txt"), "years of work").unwrap();
    super::set_mode(dir.path(), 0o755);
    init_as(dir.path(), "dra.paz").refused(1, "thesis.txt");
    assert_eq!(names_in(dir.path()), ["thesis.txt"]);
    assert_eq!(mode(dir.path()), 0o755);

    // Keys without a database may be all that is left of a node.
    let keys = tempfile::tempdir().unwrap();
    fs::create_dir(keys.path().join("keys")).unwrap();
    fs::write(keys.path().join("keys/audit.key"), [1; 32]).unwrap();
    init_as(keys.path(), "dra.paz").refused(1, "keys");
    assert_eq!(
        fs::read(keys.path().join("keys/audit.key")).unwrap(),
        [1; 32]
    );

    init_as(&dir.path().join("thesis.txt"), "dra.paz").refused(2, "thesis.txt is a file");
}

#[test]
fn who_may_not_is_told_to_be_another_user() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let try_as_nobody = |words: &[&str]| {
        let mut command = support::islet();
        if rustix::process::geteuid().is_root() {
            command.uid(NOBODY).gid(NOBODY);
        }
        command.arg("--data").arg(&data).args(words);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let mut child = command.spawn().ok()?;
        let _ = child
            .stdin
            .take()
            .unwrap()
            .write_all(format!("{PASSWORD}\n").as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        Some((output.status.code(), said))
    };
    let init = ["init", "--admin", "dra.paz", "--admin-password-file", "-"];
    // A parent that they may not write to, and a directory that they may not look into.
    super::set_mode(dir.path(), 0o555);
    let Some((code, said)) = try_as_nobody(&init) else {
        support::skip(
            "who_may_not_is_told_to_be_another_user",
            "others may not run the binary",
        );
        return;
    };
    assert_eq!(code, Some(77), "{said}");
    assert!(said.contains("sudo -u islet"), "{said}");
    super::set_mode(dir.path(), 0o755);
    fs::create_dir(&data).unwrap();
    super::set_mode(&data, 0);
    for words in [
        &init[..],
        &["serve"],
        &["doctor"],
        &["user", "list"],
        &["audit", "log"],
    ] {
        let (code, said) = try_as_nobody(words).unwrap();
        assert_eq!(code, Some(77), "{words:?}: {said}");
        assert!(said.contains("sudo -u islet"), "{words:?}: {said}");
    }
    super::set_mode(&data, 0o700);
    assert!(names_in(&data).is_empty());
}

#[test]
fn a_refused_init_leaves_nothing_and_can_be_repeated() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let words = ["init", "--admin", "dra.paz", "--admin-password-file", "-"];
    islet_with(&data, &words, "short\n").refused(1, "12 characters");
    islet_with(&data, &words, "two\nlines\n").refused(1, "one line");
    islet_with(
        &data,
        &[
            "init",
            "--admin",
            "no spaces!",
            "--admin-password-file",
            "-",
        ],
        PASSWORD,
    )
    .refused(1, "--admin");
    islet_with(&data, &["init", "--admin-password-file", "-"], PASSWORD).refused(2, "--admin USER");
    islet_with(&data, &["init", "--admin", "dra.paz"], "").refused(2, "--admin-password-file");
    let bad_host = ["--host", "*.example.org"];
    islet_with(&data, &[&words[..], &bad_host].concat(), PASSWORD).refused(1, "--host");
    assert!(!data.exists(), "{:?}", names_in(dir.path()));
    assert_eq!(init_as(&data, "dra.paz").code, 0);
}

#[test]
fn an_empty_directory_becomes_private_and_its_configuration_is_kept() {
    let dir = tempfile::tempdir().unwrap();
    super::set_mode(dir.path(), 0o755);
    let text = "clinic = \"Mine\"\nhosts = [\"pi.example.org\"]\n";
    fs::write(dir.path().join("config.toml"), text).unwrap();
    assert_eq!(init_as(dir.path(), "dra.paz").code, 0);
    assert_eq!(mode(dir.path()), 0o700);
    assert_eq!(
        fs::read_to_string(dir.path().join("config.toml")).unwrap(),
        text
    );
    // The authority was made for its host.
    assert!(islet_ok(dir.path(), &["doctor"]).contains("pi.example.org"));
}

#[test]
fn a_mistake_in_the_configuration_stops_it() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.toml"), "clinik = \"x\"\n").unwrap();
    init_as(dir.path(), "dra.paz").refused(1, "did you mean clinic?");
    assert_eq!(names_in(dir.path()), ["config.toml"]);
}

#[test]
fn an_init_that_was_killed_at_any_moment_can_be_repeated() {
    for delay_ms in (0..200).step_by(8) {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("node");
        let file = dir.path().join("pw");
        fs::write(&file, PASSWORD).unwrap();
        let mut command = support::islet();
        command
            .arg("--data")
            .arg(&data)
            .args(["init", "--admin", "dra.paz"]);
        let command = command.arg("--admin-password-file").arg(&file);
        let mut child = command
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(delay_ms));
        let _ = child.kill();
        child.wait().unwrap();
        // Either it got through, or it is as if it had never been.
        if !data.join("islet.db").exists() {
            let ended = init_as(&data, "dra.paz");
            assert_eq!(ended.code, 0, "killed after {delay_ms} ms: {ended:?}");
        }
        let ended = islet(&data, &["doctor"]);
        assert_eq!(ended.code, 0, "killed after {delay_ms} ms: {ended:?}");
        assert!(islet_ok(&data, &["user", "list"]).contains("dra.paz"));
    }
}

#[test]
fn what_a_killed_init_has_left_is_replaced() {
    let dir = tempfile::tempdir().unwrap();
    for part in [".init/keys", "keys", "tls"] {
        fs::create_dir_all(dir.path().join(part)).unwrap();
    }
    fs::write(dir.path().join("keys/audit.key"), "half").unwrap();
    fs::write(dir.path().join(".init/islet.new"), "half").unwrap();
    assert_eq!(init_as(dir.path(), "dra.paz").code, 0);
    assert_eq!(
        names_in(dir.path()),
        [
            "config.toml",
            "islet.db",
            "keys",
            "lock",
            "replica.lease",
            "tls"
        ]
    );
    islet_ok(dir.path(), &["doctor"]);
}
