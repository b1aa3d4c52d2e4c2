//! `islet config`, the help, and completions.

use super::{finish, founded, islet, islet_ok};
use crate::support;

#[test]
fn a_new_node_has_no_mistakes_and_every_one_is_named() {
    let (_dir, data) = founded();
    let said = islet_ok(&data, &["config", "check"]);
    assert!(said.contains("no mistakes"), "{said}");
    let said = islet_ok(&data, &["config", "check", "--json"]);
    assert!(said.contains("\"problems\": []"), "{said}");
    let shown = islet_ok(&data, &["config", "show", "--json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown).unwrap();
    assert_eq!(shown["tokens"]["access_minutes"], 30);
    std::fs::write(
        data.join("config.toml"),
        "clinic = \"x\"\nhttps_port = 1\n[mial]\n",
    )
    .unwrap();
    let ended = islet(&data, &["config", "check"]);
    ended.refused(3, "line 2: unknown key https_port; did you mean https?");
    ended.refused(3, "line 3: unknown key mial; did you mean mail?");
    let ended = islet(&data, &["config", "check", "--json"]);
    let report: serde_json::Value = serde_json::from_str(&ended.out).unwrap();
    assert_eq!(
        (ended.code, report["problems"].as_array().unwrap().len()),
        (3, 2),
        "{report}"
    );
    // A node does not start with settings that it does not understand.
    islet(&data, &["serve"]).refused(1, "did you mean https?");
}

#[test]
fn what_serve_would_refuse_is_a_mistake() {
    let (_dir, data) = founded();
    let config = "hosts = [\"pi.local\", \"clinic.example.org\"]\n";
    std::fs::write(data.join("config.toml"), config).unwrap();
    let ended = islet(&data, &["config", "check"]);
    ended.refused(
        3,
        "hosts: the certificate authority cannot vouch for clinic.example.org",
    );
    assert!(!ended.out.contains("vouch for pi.local"), "{ended:?}");
    islet(&data, &["config", "check", "--json"]).refused(3, "clinic.example.org");
    islet(&data, &["serve"]).refused(1, "cannot vouch for clinic.example.org");
    // Nobody needs it without HTTPS.
    std::fs::write(
        data.join("config.toml"),
        format!("https = \"off\"\n{config}"),
    )
    .unwrap();
    islet_ok(&data, &["config", "check"]);
    // Without a node, `islet init` makes an authority that can.
    let empty = tempfile::tempdir().unwrap();
    std::fs::write(empty.path().join("config.toml"), config).unwrap();
    islet_ok(empty.path(), &["config", "check"]);

    let mail = "[mail]\nhost = \"mail.example.org\"\nuser = \"islet\"\npassword_file = \"smtp\"\n\
                from = \"a@example.org\"\npatient_url = \"https://pi.local:8443\"\n\
                staff_url = \"https://pi.local:8443/reset-password\"\n";
    std::fs::write(data.join("config.toml"), mail).unwrap();
    islet(&data, &["config", "check"]).refused(3, "node/smtp");
}

#[test]
fn the_environment_counts() {
    let (_dir, data) = founded();
    let with = |name: &str, value: &str, words: &[&str]| {
        let mut command = support::islet();
        command
            .env("ISLET_DATA", &data)
            .env(name, value)
            .args(words);
        finish(&mut command, "")
    };
    let ended = with("ISLET_TOKENS_ACCESS_MINUTES", "7", &["config", "show"]);
    assert!(ended.out.contains("access_minutes = 7\n"), "{ended:?}");
    with("ISLET_HTPP", "x", &["config", "check"]).refused(3, "did you mean ISLET_HTTP?");
    with("ISLET_WORKERS", "0", &["config", "check"]).refused(3, "workers: 0 must be from 1");
}

#[test]
fn the_command_line_explains_itself() {
    let run = |words: &[&str]| finish(support::islet().args(words), "");
    let help = run(&["--help"]);
    assert_eq!(help.code, 0);
    for word in [
        "Exit codes",
        "70",
        "74",
        "77",
        "Examples",
        "ISLET_DATA",
        "init",
        "doctor",
    ] {
        assert!(help.out.contains(word), "{word} is not in {}", help.out);
    }
    for command in ["init", "serve", "seed", "user", "audit", "doctor", "config"] {
        let help = run(&[command, "--help"]);
        assert_eq!(help.code, 0, "{command}");
        assert!(help.out.len() > 200, "{command}: {}", help.out);
    }
    assert!(run(&["completions", "bash"]).out.contains("_islet()"));
    assert_eq!(run(&["completions", "nosuch"]).code, 2);
    assert_eq!(run(&[]).code, 2);
    run(&["frobnicate"]).refused(2, "frobnicate");
    run(&["doctor"]).refused(2, "--data DIR, or the variable ISLET_DATA");
    assert!(run(&["--version"]).out.starts_with("islet "));
}

#[test]
fn commands_on_nothing_say_how_to_begin() {
    let dir = tempfile::tempdir().unwrap();
    for words in [
        &["serve"][..],
        &["doctor"],
        &["user", "list"],
        &["audit", "log"],
        &["audit", "verify"],
    ] {
        islet(dir.path(), words).refused(1, "`islet init`");
    }
    assert!(super::names_in(dir.path()).is_empty());
}
