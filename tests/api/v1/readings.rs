//! Readings: pages, filters, corrections.

use serde_json::{Value, json};

use super::{hand_in, problem, stick, with_tag};
use crate::support::{Client, Node};

async fn values(client: &Client, query: &str) -> Vec<f64> {
    let page = client
        .get(&format!("/v1/readings{query}"))
        .await
        .expect(200);
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|it| it["glucose_mg_dl"].as_f64().unwrap())
        .collect()
}

#[tokio::test]
async fn pages_lead_through_all_readings_once_also_when_new_ones_come_between() {
    let node = Node::seeded();
    let ana = node.patient().await;
    for minute in 0..7 {
        // Two at the same minute: ids decide.
        hand_in(&ana, &stick(minute / 2, 100.0 + f64::from(minute))).await;
    }
    let mut seen = Vec::new();
    let mut path = "/v1/readings?limit=3".to_owned();
    for page in 1.. {
        let found = ana.get(&path).await.expect(200);
        assert_eq!(
            (&found["page"], &found["page_size"]),
            (&json!(page), &json!(3))
        );
        assert_eq!(found["total"], json!(6 + page));
        let items = found["items"].as_array().unwrap().iter();
        seen.extend(items.map(|it| it["glucose_mg_dl"].as_f64().unwrap()));
        let Some(next) = found["next"].as_str() else {
            break;
        };
        path = format!("/v1/readings?limit=3&after={next}");
        // The newest: it belongs before what was shown already.
        hand_in(&ana, &stick(600 + page, 300.0)).await;
    }
    assert_eq!(seen, [106.0, 105.0, 104.0, 103.0, 102.0, 101.0, 100.0]);
}

#[tokio::test]
async fn a_part_is_chosen_by_time_and_occasion() {
    let node = Node::seeded();
    let ana = node.patient().await;
    for minute in 0..4 {
        hand_in(&ana, &stick(minute, 100.0 + f64::from(minute))).await;
    }
    let mut other = stick(4, 104.0);
    other["reading_type"] = json!("DESAYUNO");
    hand_in(&ana, &other).await;
    assert_eq!(
        values(&ana, "?since=2026-03-05T00:01:00Z").await,
        [104.0, 103.0, 102.0]
    );
    assert_eq!(
        values(&ana, "?until=2026-03-05T00:01:00Z").await,
        [101.0, 100.0]
    );
    assert_eq!(values(&ana, "?type=DESAYUNO").await, [104.0]);
    let part = ana.get("/v1/readings?type=CENA&limit=1").await.expect(200);
    assert_eq!(part["total"], 4);
    for bad in [
        "limit=0",
        "limit=1001",
        "after=x",
        "type=TE",
        "since=x",
        "limit=1&limit=2",
    ] {
        problem(
            ana.get(&format!("/v1/readings?{bad}")).await,
            422,
            "invalid",
        );
    }
}

#[tokio::test]
async fn what_is_sent_twice_is_stored_once() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let first = hand_in(&ana, &stick(1, 100.0)).await;
    assert_eq!(hand_in(&ana, &stick(1, 100.0)).await, first);
    let now = json!({"glucose_mg_dl": 99.5, "reading_type": "OTRO", "notes": "después de correr"});
    let keyed = async |key: &str| {
        let post = ("POST", "/v1/readings");
        with_tag(&ana, post, ("idempotency-key", key), &now)
            .await
            .expect(201)
    };
    let second = keyed("a").await;
    assert_eq!(keyed("a").await, second);
    assert_ne!(keyed("b").await["id"], second["id"]);
    assert_eq!(values(&ana, "").await, [99.5, 99.5, 100.0]);
}

#[tokio::test]
async fn nobody_sees_the_readings_of_another() {
    let node = Node::seeded();
    let (ana, eva) = (node.patient().await, node.other_patient().await);
    let id = hand_in(&ana, &stick(1, 100.0)).await["id"]
        .as_i64()
        .unwrap();
    assert_eq!(values(&eva, "").await, [] as [f64; 0]);
    let path = format!("/v1/readings/{id}");
    assert_eq!(ana.get(&path).await.expect(200)["glucose_mg_dl"], 100.0);
    problem(eva.get(&path).await, 404, "not_found");
    problem(eva.get("/v1/readings/abc").await, 404, "not_found");
}

#[tokio::test]
async fn a_correction_needs_what_was_seen_and_a_withdrawal_a_reason() {
    let node = Node::seeded();
    let (ana, boss) = (node.patient().await, node.admin().await);
    let id = hand_in(&ana, &stick(1, 100.0)).await["id"]
        .as_i64()
        .unwrap();
    let path = format!("/v1/readings/{id}");
    let seen = boss.get(&path).await;
    let tag = seen.header("etag").to_owned();
    let (patch, matching) = (("PATCH", path.as_str()), ("if-match", tag.as_str()));
    let to = |mg_dl: f64| json!({"glucose_mg_dl": mg_dl, "reason": "mal leída"});
    let corrected = with_tag(&boss, patch, matching, &to(120.0)).await;
    let newer = corrected.header("etag").to_owned();
    assert_eq!(corrected.expect(200)["glucose_mg_dl"], 120.0);
    problem(
        with_tag(&boss, patch, matching, &to(130.0)).await,
        412,
        "changed",
    );
    // The same again is no other change.
    with_tag(&boss, patch, matching, &to(120.0))
        .await
        .expect(200);
    let delete = ("DELETE", path.as_str());
    problem(
        with_tag(&boss, delete, matching, &json!({"reason": "de otro"})).await,
        412,
        "changed",
    );
    let newer = ("if-match", newer.as_str());
    problem(
        with_tag(&boss, delete, newer, &json!({})).await,
        422,
        "invalid",
    );
    for _ in 0..2 {
        let gone = with_tag(&boss, delete, newer, &json!({"reason": "de otro"})).await;
        gone.expect(204);
    }
    problem(boss.get(&path).await, 404, "not_found");
    let page = ana.get("/v1/readings").await.expect(200);
    assert_eq!(
        (&page["items"], &page["total"]),
        (&Value::Array(Vec::new()), &json!(0))
    );
    let told = boss
        .get(&format!("/v1/conflicts/reading-{id}"))
        .await
        .expect(200);
    assert_eq!(told["settlements"][1]["reason"], "de otro");
}

#[tokio::test]
async fn staff_type_in_and_read_what_is_a_patients() {
    let node = Node::seeded();
    let (ana, boss) = (node.patient().await, node.admin().await);
    let patient = ana.get("/v1/profile").await.expect(200)["id"]
        .as_i64()
        .unwrap();
    let path = format!("/v1/patients/{patient}/readings");
    let typed = boss.post_json(&path, &stick(3, 88.0)).await.expect(201);
    assert_eq!(boss.get(&path).await.expect(200)["items"], json!([typed]));
    assert_eq!(values(&ana, "").await, [88.0]);
    problem(
        boss.post_json("/v1/patients/999/readings", &stick(3, 88.0))
            .await,
        404,
        "not_found",
    );
    problem(
        boss.get("/v1/patients/999/readings").await,
        404,
        "not_found",
    );
}
