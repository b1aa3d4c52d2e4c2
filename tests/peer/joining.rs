//! Invitations and what becomes of them.

use std::fs;
use std::process::{Child, Stdio};
use std::time::Duration;

use super::gate::Gate;
use super::support::{Node, islet};
use super::{Clinic, finish, run};

#[test]
fn a_computer_joins_and_both_nodes_keep_a_link() {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    let joined = clinic.join("b", &clinic.invite("a")).ok();
    assert!(
        joined.contains("La Paz") && joined.contains("serve"),
        "{joined}"
    );
    let b = clinic.serve("b");
    clinic.until_linked("a", "b");
    let at_a = clinic.until("a", "b", |peer| peer["clock_offset_ms"].is_i64());
    assert_eq!(at_a["connected"], b.peer_address);
    assert_eq!(at_a["revoked"], false);
    // The first node's row ids are 1, 2, 3; nobody else may have them.
    assert_ne!(at_a["number"], 0);
    assert_eq!(a.stop().0, Some(0), "open links do not hold up a stop");
    clinic.until("b", "a", |peer| peer["connected"].is_null());
    assert_eq!(b.stop().0, Some(0));
}

#[test]
fn a_joined_node_inherits_what_phones_trust_and_how_long_tokens_live() {
    let clinic = Clinic::new();
    let config = clinic.data("a").join("config.toml");
    let text = fs::read_to_string(&config).unwrap();
    let text = text.replace("#access_minutes = 30", "access_minutes = 17");
    fs::write(&config, text).unwrap();
    let _a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let read = |name: &str, file: &str| fs::read(clinic.data(name).join(file)).unwrap();
    for file in ["tls/ca.crt", "tls/ca.key"] {
        assert_eq!(read("a", file), read("b", file), "{file}");
    }
    for file in ["keys/node.key", "keys/token.p8", "keys/audit.key"] {
        assert_ne!(read("a", file), read("b", file), "{file} is its own");
    }
    let shown = run(&clinic.data("b"), &["config", "show"]).ok();
    assert!(shown.contains("access_minutes = 17"), "{shown}");
    assert!(shown.contains("La Paz"), "{shown}");
    run(&clinic.data("b"), &["audit", "verify"]).ok();
}

#[test]
fn a_code_lets_one_node_in() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    let code = clinic.invite("a");
    clinic.join("b", &code).ok();
    clinic.join("c", &code).refused("was used by another node");
    assert!(!clinic.data("c").exists(), "nothing is left behind");
    let known = clinic.peers("a");
    assert_eq!(known.len(), 2, "{known:#?}");
}

#[test]
fn an_expired_code_lets_nobody_in() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    let words = ["invite", "--json", "--valid", "1s"];
    let invitation = run(&clinic.data("a"), &words).json();
    // Not to measure anything: it has to be over.
    std::thread::sleep(Duration::from_millis(1_100));
    let code = invitation["code"].as_str().unwrap();
    clinic.join("b", code).refused("has expired");
    assert!(!clinic.data("b").exists());
}

#[test]
fn a_code_of_another_network_or_with_a_slip_lets_nobody_in() {
    let (clinic, other) = (Clinic::new(), Clinic::new());
    let a = clinic.serve("a");
    // The other clinic's code, pointed at this clinic's node: another key answers there.
    let words = ["invite", "--json", "--address", &a.peer_address];
    let foreign = {
        let _node = other.serve("a");
        run(&other.data("a"), &words).json()
    };
    let code = foreign["code"].as_str().unwrap();
    clinic.join("b", code).refused("has not joined");
    let code = clinic.invite("a");
    let slip = code.replacen(&code[..1], if code.starts_with('0') { "4" } else { "0" }, 1);
    clinic
        .join("b", &slip)
        .refused("row 1 of the code is not right");
    assert!(!clinic.data("b").exists());
}

#[test]
fn a_code_that_the_node_has_forgotten_lets_nobody_in() {
    let clinic = Clinic::new();
    let database = clinic.data("a").join("islet.db");
    let a = clinic.serve("a");
    let address = a.peer_address.clone();
    a.stop();
    fs::copy(&database, clinic.data("backup")).unwrap();
    let words = ["invite", "--json", "--address", &address];
    let invitation = run(&clinic.data("a"), &words).json();
    fs::copy(clinic.data("backup"), &database).unwrap();
    // Or the node says aloud, and rightly, that its audit log was cut.
    fs::remove_file(clinic.data("a").join("audit.head")).unwrap();
    let _a = Node::start(&mut islet(), &clinic.data("a"), &["--peer", &address]);
    let joined = clinic.join("b", invitation["code"].as_str().unwrap());
    joined.refused("was not given out by this node");
    assert!(!clinic.data("b").exists());
}

#[test]
fn an_inviting_node_that_is_away_leaves_nothing_behind() {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    let code = clinic.invite("a");
    a.stop();
    clinic
        .join("b", &code)
        .refused("Is the inviting node running");
    assert!(!clinic.data("b").exists());
}

#[test]
fn a_directory_that_holds_a_node_is_not_joined_again() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    let code = clinic.invite("a");
    clinic.join("b", &code).ok();
    clinic.join("b", &clinic.invite("a")).refused("already");
}

#[test]
fn an_invitation_may_be_made_while_the_node_rests() {
    let clinic = Clinic::new();
    let words = ["invite", "--json", "--address", "127.0.0.1:1"];
    let invitation = run(&clinic.data("a"), &words).json();
    let addresses = invitation["addresses"].as_array().unwrap();
    assert_eq!(addresses[0], "127.0.0.1:1");
    run(&clinic.data("a"), &["invite"]).refused("cannot reach this one");
    for bad in [
        &["invite", "--valid", "8d"][..],
        &["invite", "--valid", "0s"],
        &["invite", "--valid", "soon"],
        &["invite", "--address", "nowhere"],
    ] {
        assert_eq!(run(&clinic.data("a"), bad).code, 2, "{bad:?}");
    }
}

#[test]
fn people_get_an_image_and_rows_to_type() {
    let clinic = Clinic::new();
    let words = ["invite", "--address", "clinic.example:8444"];
    let shown = run(&clinic.data("a"), &words).ok();
    assert!(
        shown.contains('█') && shown.contains("clinic.example:8444"),
        "{shown}"
    );
    let rows = shown.lines().map(str::trim);
    let rows: Vec<&str> = rows
        .filter(|row| row.len() == 23 && row.matches('-').count() == 3)
        .collect();
    assert!(rows.len() >= 6, "{shown}");
}

#[test]
fn a_directory_from_before_nodes_had_keys_gets_one() {
    let clinic = Clinic::new();
    let key = clinic.data("a").join("keys/node.key");
    fs::remove_file(&key).unwrap();
    drop(clinic.serve("a"));
    let mode = {
        use std::os::unix::fs::PermissionsExt;
        fs::metadata(&key).unwrap().permissions().mode() & 0o777
    };
    assert_eq!(mode, 0o600);
    // Now that it is known by its key, another one is not taken for it.
    fs::remove_file(&key).unwrap();
    let mut command = islet();
    command.arg("--data").arg(clinic.data("a"));
    command.args([
        "serve",
        "--http",
        "127.0.0.1:0",
        "--backoffice",
        "127.0.0.1:0",
    ]);
    command.args(["--https", "off", "--peer", "127.0.0.1:0"]);
    let refused = finish(&mut command, "");
    refused.refused("restore keys/node.key from a backup");
}

#[test]
fn two_computers_of_one_name_get_two() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    let join = |data: &str| {
        let code = clinic.invite("a");
        let mut command = islet();
        command.arg("--data").arg(clinic.data(data));
        let joined = finish(command.args(["join", &code, "--name", "raspberrypi"]), "");
        joined.ok()
    };
    assert!(join("b").contains("now, as raspberrypi."));
    assert!(join("c").contains("now, as raspberrypi-2."));
}

/// A clinic whose node `a` has let `b` in, and `b` was killed before it heard of that.
fn killed_midway() -> (Clinic, Node, Gate, String) {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    let gate = Gate::new(&a.peer_address);
    let words = ["invite", "--json", "--address", &gate.address];
    let invitation = run(&clinic.data("a"), &words).json();
    let code = invitation["code"].as_str().unwrap().to_owned();
    let mut command = islet();
    command.arg("--data").arg(clinic.data("b"));
    command.args(["join", "--name", "b", &code]);
    let mut joining: Child = command.stderr(Stdio::null()).spawn().unwrap();
    clinic.until("a", "b", |peer| peer["revoked"] == false);
    joining.kill().unwrap();
    joining.wait().unwrap();
    gate.open();
    assert!(!clinic.data("b").join("islet.db").exists());
    (clinic, a, gate, code)
}

#[test]
fn a_join_that_was_killed_midway_goes_on_as_the_same_node() {
    let (clinic, _a, _gate, code) = killed_midway();
    let number = clinic.until("a", "b", |_| true)["number"].clone();
    // Another code is of no use, and takes nothing away.
    let slip = clinic.invite("a");
    clinic.join("c", &slip).ok();
    clinic.join("b", &slip).refused("was used by another node");
    let joined = clinic.join("b", &code).ok();
    assert!(joined.contains("now, as b."), "{joined}");
    assert!(!clinic.data("b").join(".join").exists());
    let _b = clinic.serve("b");
    clinic.until_linked("a", "b");
    let known = clinic.peers("a");
    assert_eq!(known.len(), 3, "{known:#?}");
    assert_eq!(clinic.until("a", "b", |_| true)["number"], number);
    run(&clinic.data("b"), &["doctor"]).ok();
}

#[test]
fn what_a_join_that_was_given_up_has_left_can_be_removed() {
    let (clinic, _a, _gate, code) = killed_midway();
    run(&clinic.data("a"), &["peers", "revoke", "b"]).ok();
    clinic.until("a", "b", |peer| peer["revoked"] == true);
    // The key that was kept is of no use any more, and the next run has another.
    clinic
        .join("b", &code)
        .refused("was removed from the network");
    assert!(!clinic.data("b").join(".join").exists());
    let joined = clinic.join("b", &clinic.invite("a")).ok();
    assert!(joined.contains("now, as b."), "{joined}");
}
