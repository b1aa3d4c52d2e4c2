//! The queue, forms and resolutions, the audit log, settings and nodes.

use serde_json::{Value, json};

use super::{problem, with_tag};
use crate::support::Node;

fn form() -> Value {
    json!({"glucose_objective": 100, "insulin_type": "Lantus", "dose": 10, "fast_insulin": "Rapid",
        "fixed_dose": 4, "ratio": 15, "sensitivity": 50, "pump_type": "", "motives": ["AJUSTE"]})
}

#[tokio::test]
async fn from_the_queue_to_the_resolution() {
    let node = Node::seeded();
    let (ana, eva, boss) = (
        node.patient().await,
        node.other_patient().await,
        node.admin().await,
    );
    boss.patch_json("/v1/queue", &json!({"open": false}))
        .await
        .expect(200);
    problem(ana.put("/v1/queue/place").await, 409, "queue_closed");
    let day = boss
        .patch_json("/v1/queue", &json!({"open": true, "size": 1}))
        .await
        .expect(200);
    assert_eq!(
        (&day["open"], &day["size"], &day["entries"]),
        (&json!(true), &json!(1), &json!([]))
    );
    let mine = ana.put("/v1/queue/place").await.expect(200);
    assert_eq!(
        (&mine["position"], &mine["state"]),
        (&json!(0), &json!("PENDING"))
    );
    assert_eq!(mine["expected_wait_s"], Value::Null);
    assert_eq!(ana.put("/v1/queue/place").await.expect(200), mine);
    problem(eva.put("/v1/queue/place").await, 409, "queue_full");
    problem(
        ana.post_json("/v1/appointments", &form()).await,
        409,
        "not_accepted",
    );
    problem(
        eva.post_json("/v1/appointments", &form()).await,
        409,
        "not_in_queue",
    );

    let place = format!("/v1/queue/places/{}", mine["placement"]);
    let first = json!({"priority": 5, "reason": "cetosis"});
    boss.put_json(&format!("{place}/priority"), &first)
        .await
        .expect(204);
    let decision = format!("{place}/decision");
    let accepted = boss
        .post_json(&decision, &json!({"action": "accept"}))
        .await
        .expect(200);
    assert_eq!(accepted["state"], "ACCEPTED");
    problem(
        boss.post_json(&decision, &json!({"action": "deny"})).await,
        409,
        "wrong_state",
    );
    problem(
        boss.post_json(&decision, &json!({"action": "create"}))
            .await,
        422,
        "invalid",
    );
    let sent = ana.post_json("/v1/appointments", &form()).await.expect(201);
    assert_eq!(
        ana.post_json("/v1/appointments", &form()).await.expect(201),
        sent
    );
    assert_eq!(ana.get("/v1/queue").await.expect(200)["state"], "CREATED");

    let path = format!("/v1/appointments/{}", sent["id"]);
    let decided = format!("{path}/resolution");
    problem(ana.get(&decided).await, 404, "not_found");
    let resolution = json!({"change_ratio": 12.5, "emergency_care": false,
        "needed_physical_appointment": true, "glucose_scale": [[1, 2]]});
    let stored = boss.put_json(&decided, &resolution).await.expect(200);
    assert_eq!(ana.get(&decided).await.expect(200), stored);
    assert_eq!(stored["glucose_scale"], json!([[1, 2]]));
    assert_eq!(ana.get(&path).await.expect(200), sent);
    problem(eva.get(&path).await, 404, "not_found");
    problem(eva.get(&decided).await, 404, "not_found");
    assert_eq!(
        ana.get("/v1/appointments").await.expect(200)["items"],
        json!([sent])
    );
    let of_ana = format!("/v1/patients/{}/appointments", sent["patient_id"]);
    assert_eq!(boss.get(&of_ana).await.expect(200)["items"], json!([sent]));

    boss.delete("/v1/queue/places").await.expect(204);
    assert_eq!(
        ana.get("/v1/queue").await.expect(200)["placement"],
        Value::Null
    );
    ana.delete("/v1/queue/place").await.expect(204);
}

#[tokio::test]
async fn administrators_read_the_audit_log_page_by_page() {
    let node = Node::seeded();
    let (ana, boss) = (node.patient().await, node.admin().await);
    let id = ana.get("/v1/profile").await.expect(200)["id"].clone();
    super::hand_in(&ana, &super::stick(1, 100.0)).await;
    let path = format!("/v1/audit?patient_id={id}&action=reading.");
    let page = boss.get(&path).await.expect(200);
    let [entry] = page["items"].as_array().unwrap().as_slice() else {
        panic!("{page:#}");
    };
    assert_eq!(
        (&entry["action"], &entry["outcome"]),
        (&json!("reading.create"), &json!("ok"))
    );
    assert_eq!(
        (&entry["actor_kind"], &entry["patient_id"]),
        (&json!("patient"), &id)
    );
    let mut seqs = Vec::new();
    let mut path = "/v1/audit?limit=1".to_owned();
    for _ in 0..4 {
        let page = boss.get(&path).await.expect(200);
        let items = page["items"].as_array().unwrap().iter();
        seqs.extend(items.map(|it| it["seq"].as_i64().unwrap()));
        path = format!("/v1/audit?limit=1&after={}", page["next"].as_str().unwrap());
    }
    let newest = seqs[0];
    assert_eq!(seqs, (0..4).map(|n| newest - n).collect::<Vec<_>>());
    for bad in ["action=glucose.", "outcome=good", "actor_id=1", "until=x"] {
        problem(boss.get(&format!("/v1/audit?{bad}")).await, 422, "invalid");
    }
}

#[tokio::test]
async fn settings_and_nodes() {
    let node = Node::seeded();
    let boss = node.admin().await;
    let seen = boss.get("/v1/settings").await;
    let tag = seen.header("etag").to_owned();
    let patch = ("PATCH", "/v1/settings");
    let to = |size: i64| json!({"queue_size": size});
    let changed = with_tag(&boss, patch, ("if-match", &tag), &to(9))
        .await
        .expect(200);
    assert_eq!(changed["queue_size"], 9);
    problem(
        with_tag(&boss, patch, ("if-match", &tag), &to(8)).await,
        412,
        "changed",
    );
    problem(
        boss.patch_json("/v1/settings", &to(-1)).await,
        422,
        "invalid",
    );
    assert_eq!(boss.get("/v1/settings").await.expect(200)["queue_size"], 9);
    let nodes = boss.get("/v1/peers").await.expect(200);
    let nodes = nodes["items"].as_array().unwrap();
    assert_eq!(
        nodes.iter().filter(|it| it["this_node"] == true).count(),
        nodes.len()
    );
}
