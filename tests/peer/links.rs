//! Links between members: news spread, a member that is thrown out hears nothing more.

use serde_json::Value;

use super::support::{Node, islet};
use super::{Clinic, run};

#[test]
fn what_one_node_learns_reaches_nodes_that_it_has_no_invitation_from() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let _b = clinic.serve("b");
    clinic.until_linked("a", "b");
    clinic.join("c", &clinic.invite("b")).ok();
    let _c = clinic.serve("c");
    clinic.until_linked("a", "c");
    clinic.until_linked("b", "c");
}

#[test]
fn a_link_comes_back_when_the_other_node_does() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let b = clinic.serve("b");
    clinic.until_linked("a", "b");
    b.stop();
    let away = clinic.until("a", "b", |peer| peer["connected"].is_null());
    assert!(away["error"].is_string(), "{away}");
    let _b = clinic.serve("b");
    clinic.until_linked("a", "b");
}

#[tokio::test]
async fn a_member_that_is_thrown_out_is_refused_everywhere() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let b = clinic.serve("b");
    clinic.join("c", &clinic.invite("a")).ok();
    let _c = clinic.serve("c");
    clinic.until_linked("b", "c");
    clinic.until_linked("a", "b");
    let removed = run(&clinic.data("a"), &["peers", "revoke", "b", "--json"]).json();
    assert_eq!(removed["name"], "b");
    clinic.until("c", "b", |peer| peer["revoked"] == true);
    for other in ["a", "c"] {
        let refused = |peer: &Value| {
            let error = peer["error"].as_str().unwrap_or_default();
            peer["connected"].is_null() && error.contains("removed from the network")
        };
        clinic.until("b", other, refused);
        clinic.until(other, "b", |peer| peer["connected"].is_null());
    }
    run(&clinic.data("b"), &["sync", "--peer", "0"]).refused("removed from the network");
    // It says so itself wherever people look, and lets nobody in.
    let table = run(&clinic.data("b"), &["peers"]).ok();
    assert!(
        table.contains("Attention: this node was removed"),
        "{table}"
    );
    let doctor = run(&clinic.data("b"), &["doctor"]);
    assert_eq!(doctor.code, 3, "{doctor:?}");
    assert!(doctor.out.contains("FAIL  membership"), "{doctor:?}");
    run(&clinic.data("b"), &["invite"]).refused("lets nobody in");
    let ready = b.anonymous().get("/health/ready").await.expect(200);
    assert_eq!(ready["removed_from_network"], true);
    run(&clinic.data("a"), &["invite"]).ok();
    // The others are not disturbed.
    clinic.until_linked("a", "c");
}

#[test]
fn a_sync_that_was_asked_for_tells_what_it_did() {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    clinic.join("c", &clinic.invite("a")).ok();
    // b rests, and has not heard of c.
    let done = run(&clinic.data("b"), &["sync", "--peer", "0", "--json"]).json();
    assert_eq!(done["done"], true, "{done}");
    assert_eq!(done["expected_changes"], 1, "{done}");
    assert_eq!(done["missing_changes"], 0, "{done}");
    // Whose log it is, and one run of it.
    assert_eq!(done["received_frames"], 2, "{done}");
    assert!(clinic.peers("b").iter().any(|peer| peer["name"] == "c"));
    // The second time there is nothing to do, by address as by name, also through a running node.
    let _b = clinic.serve("b");
    clinic.until_linked("a", "b");
    let words = ["sync", "--peer", &a.peer_address, "--json"];
    let again = run(&clinic.data("b"), &words).json();
    assert_eq!(again["received_frames"], 0, "{again}");
    run(&clinic.data("b"), &["sync", "--peer", "nobody"]).refused("there is no such node");
    run(&clinic.data("b"), &["sync", "--peer", "127.0.0.1:1"]).refused("no node answers");
}

#[test]
fn a_node_cannot_throw_itself_out_nor_a_stranger() {
    let clinic = Clinic::new();
    let _a = clinic.serve("a");
    run(&clinic.data("a"), &["peers", "revoke", "0"]).refused("that is this node");
    run(&clinic.data("a"), &["peers", "revoke", "x"]).refused("there is no such node");
}

#[test]
fn a_node_that_is_renamed_has_its_name_everywhere() {
    let clinic = Clinic::new();
    // Before it ever ran it has no row of its own.
    run(&clinic.data("a"), &["peers", "rename", "0", "recepcion"]).ok();
    let a = clinic.serve("a");
    assert_eq!(clinic.peers("a")[0]["name"], "recepcion");
    clinic.join("b", &clinic.invite("a")).ok();
    let _b = clinic.serve("b");
    clinic.until_linked("a", "b");
    let rename = |at: &str, which: &str, name: &str| {
        run(
            &clinic.data(at),
            &["peers", "rename", which, name, "--json"],
        )
    };
    let renamed = rename("b", "b", "consultorio-2").json();
    assert_eq!(renamed["name"], "consultorio-2");
    clinic.until("a", "consultorio-2", |_| true);
    rename("a", "recepcion", "consultorio-2").refused("another node has this name");
    rename("a", "b", "x").refused("there is no such node");
    for wrong in ["", "7", "pi:8444"] {
        rename("a", "consultorio-2", wrong).refused("name: ");
    }
    let log = run(
        &clinic.data("b"),
        &["audit", "log", "--action", "peer.rename"],
    )
    .ok();
    assert!(log.contains("operator"), "{log}");
    // It goes by its own name still, and not by that of its computer, when it starts anew.
    a.stop();
    let _a = clinic.serve("a");
    assert_eq!(clinic.until("b", "a", |_| true)["name"], "recepcion");
    // The name of a node that was removed is free for the one that replaces it, which is the one that is meant.
    run(&clinic.data("a"), &["peers", "revoke", "consultorio-2"]).ok();
    rename("a", "recepcion", "consultorio-2").ok();
    let own = clinic.until("a", "a", |peer| peer["name"] == "consultorio-2");
    let back = rename("a", "consultorio-2", "recepcion").json();
    assert_eq!(back["number"], own["number"]);
}

/// Off is off both ways; what is asked for by hand is done.
#[test]
fn a_node_that_keeps_to_itself_exchanges_when_it_is_asked_to() {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let _b = Node::start(&mut islet(), &clinic.data("b"), &["--peer", "off"]);
    run(&clinic.data("a"), &["peers", "rename", "b", "c"]).ok();
    let words = ["sync", "--peer", &a.peer_address, "--json"];
    let done = run(&clinic.data("b"), &words).json();
    assert_eq!(
        (&done["done"], &done["error"]),
        (&true.into(), &Value::Null)
    );
    let known = clinic.peers("b");
    assert!(known.iter().any(|peer| peer["name"] == "c"), "{known:#?}");
    assert!(known.iter().all(|peer| peer["connected"].is_null()));
}
