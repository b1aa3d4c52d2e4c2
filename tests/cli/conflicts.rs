//! `islet conflicts` on two nodes that were cut off from each other, beside running nodes and without; and what
//! the doctor says.

use serde_json::Value;

use super::{islet, islet_ok};
use crate::support::Node;
use crate::support::pair::Pair;

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

/// What the doctor finds.
fn finding(data: &std::path::Path, check: &str) -> Value {
    let findings = json(&islet_ok(data, &["doctor", "--json"]));
    let found = findings
        .as_array()
        .unwrap()
        .iter()
        .find(|it| it["check"] == check);
    found.unwrap().clone()
}

#[tokio::test]
async fn accept_and_deny_that_crossed() {
    let mut placement = Value::Null;
    let before = async |a: &Node| {
        let (admin, patient) = (a.admin().await, a.patient().await);
        admin.post("/appointments/queue/open").await.expect(200);
        placement = patient.post("/appointments/submit").await.expect(201);
    };
    let pair = Pair::new(before).await;
    let (a, b) = pair.apart();
    let decide = async |node: &Node, what: &str| {
        let path = format!("/appointments/{what}/{placement}");
        node.admin().await.put(&path).await.expect(201);
    };
    decide(&a, "accept").await;
    decide(&b, "deny").await;
    let both = pair.meet((a, b));

    let (data_a, data_b) = (pair.data("a"), pair.data("b"));
    let id = format!("queue_state-{placement}");
    let listed = islet_ok(&data_a, &["conflicts"]);
    assert_eq!(listed, islet_ok(&data_b, &["conflicts", "list"]));
    for said in [&id, "40123456", "shown now", "ACCEPTED", "DENIED", "(b, "] {
        assert!(listed.contains(said), "{said:?} is not in {listed}");
    }
    let page = json(&islet_ok(&data_b, &["conflicts", "--json", "--limit", "1"]));
    assert_eq!(
        (&page["total"], &page["items"][0]["id"]),
        (&1.into(), &id.as_str().into())
    );
    let after = islet_ok(&data_b, &["conflicts", "--after", &id]);
    assert_eq!(after, "There are no more.\n");
    let warned = finding(&data_a, "conflicts");
    assert_eq!(warned["verdict"], "warn");
    assert!(
        warned["text"].as_str().unwrap().contains("1 open"),
        "{warned}"
    );
    assert_eq!(finding(&data_a, "operations")["verdict"], "ok");
    assert_eq!(finding(&data_a, "change logs")["verdict"], "ok");

    let candidates = page["items"][0]["candidates"].as_array().unwrap();
    let denied = candidates.iter().find(|it| it["text"] == "DENIED").unwrap();
    let denied = denied["id"].as_str().unwrap();
    let settle = ["conflicts", "settle", &id];
    let with = |more: &[&'static str]| [&settle[..], more].concat();
    islet(&data_b, &with(&["--choice", "7.7", "--reason", "x"]))
        .refused(1, "must be one of the candidates");
    islet(&data_b, &with(&["--reason", "x"])).refused(1, "choice");
    islet(&data_b, &with(&["--choice", "7.7"])).refused(2, "--reason");
    islet(&data_b, &["conflicts", "show", "nothing-1"]).refused(1, "id of a conflict");
    islet(&data_b, &["conflicts", "show", "reading-9"]).refused(1, "not found");
    let words = [
        &settle[..],
        &["--choice", denied, "--reason", "comes next week"],
    ]
    .concat();
    let settled = islet_ok(&data_b, &words);
    assert!(
        settled.contains("by the operator on b: comes next week"),
        "{settled}"
    );
    assert_eq!(
        islet_ok(&data_b, &words),
        settled,
        "again it changes nothing"
    );
    pair.sync(&both);
    assert_eq!(finding(&data_a, "conflicts")["verdict"], "ok");
    let log = islet_ok(&data_b, &["audit", "log", "--action", "conflict.settle"]);
    assert!(log.contains(&format!("{id} to {denied}")), "{log}");
    assert!(!log.contains("next week"), "{log}");

    // Without a running node the database itself is asked.
    both.0.stop();
    both.1.stop();
    assert_eq!(islet_ok(&data_a, &["conflicts"]), "Nothing contradicts.\n");
    let shown = json(&islet_ok(&data_a, &["conflicts", "show", &id, "--json"]));
    assert_eq!(
        (&shown["open"], &shown["settlements"][0]["node"]),
        (&false.into(), &"b".into())
    );
}
