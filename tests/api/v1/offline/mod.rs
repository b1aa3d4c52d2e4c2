//! Phones that were offline: uploads in one go, and what is new since.

mod phone;

use std::collections::BTreeMap;
use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use reqwest::Method;
use serde_json::{Value, json};

use super::{problem, stick, with_tag};
use crate::support::{Client, Node, islet};
use phone::{Dice, Phone};

fn named(client_id: &str, mut reading: Value) -> Value {
    reading["client_id"] = json!(client_id);
    reading
}

#[tokio::test]
async fn each_item_of_a_batch_has_its_outcome_and_sending_it_again_changes_nothing() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let mut without_time = stick(1, 100.0);
    without_time.as_object_mut().unwrap().remove("measured_at");
    let mut of_the_future = stick(1, 100.0);
    of_the_future["measured_at"] = json!("2199-01-01T00:00:00Z");
    let batch = json!({"readings": [
        named("a", stick(1, 100.0)), named("b", stick(2, 5000.0)), named("c", stick(1, 100.0)),
        named("d", without_time), named("e", of_the_future), 7, named("f", stick(3, 90.0))]});
    let first = ana
        .post_json("/v1/readings/batch", &batch)
        .await
        .expect(200);
    let outcomes = |answer: &Value| {
        let items = answer["items"].as_array().unwrap().iter();
        let outcome =
            |it: &Value| format!("{} {}", it["client_id"], it["outcome"]).replace('"', "");
        items.map(outcome).collect::<Vec<_>>()
    };
    let expected = [
        "a created",
        "b rejected",
        "c exists",
        "d rejected",
        "e rejected",
        " rejected",
        "f created",
    ];
    assert_eq!(outcomes(&first), expected);
    assert_eq!(first["items"][0]["id"], first["items"][2]["id"]);
    assert!(
        first["items"][1]["reason"]
            .as_str()
            .unwrap()
            .contains("3000"),
        "{first:#}"
    );
    let again = ana
        .post_json("/v1/readings/batch", &batch)
        .await
        .expect(200);
    assert_eq!(
        outcomes(&again),
        expected.map(|it| it.replace("created", "exists"))
    );
    assert_eq!(ana.get("/v1/readings").await.expect(200)["total"], 2);
    assert_eq!(
        ana.get("/v1/counters").await.expect(200)["times_measured"],
        2
    );
    let many = vec![named("x", stick(1, 100.0)); 1001];
    let too_many = json!({"readings": many});
    problem(
        ana.post_json("/v1/readings/batch", &too_many).await,
        422,
        "invalid",
    );
    problem(
        ana.post_json("/v1/readings/batch", &json!({"readings": 7}))
            .await,
        422,
        "invalid",
    );
}

#[tokio::test]
async fn news_are_created_changed_and_removed_things_of_all_kinds() {
    let node = Node::seeded();
    let (ana, eva, boss) = (
        node.patient().await,
        node.other_patient().await,
        node.admin().await,
    );
    let all = ana.get("/v1/changes").await.expect(200);
    assert_eq!(
        (&all["items"][0]["kind"], &all["more"], &all["behind"]),
        (&json!("profile"), &json!(false), &json!(false))
    );
    let told = async |client: &Client, cursor: &Value| {
        let path = format!("/v1/changes?after={}", cursor.as_str().unwrap());
        let news = client.get(&path).await.expect(200);
        let items = news["items"].as_array().unwrap().clone();
        let what = |it: &Value| format!("{} {}", it["kind"], it["change"]).replace('"', "");
        (
            items.iter().map(what).collect::<Vec<_>>(),
            items,
            news["next"].clone(),
        )
    };
    let reading = super::hand_in(&ana, &stick(1, 100.0)).await;
    super::hand_in(&eva, &stick(1, 100.0)).await;
    let (what, items, next) = told(&ana, &all["next"]).await;
    assert_eq!(
        (what, &items[0]["data"]),
        (vec!["reading created".to_owned()], &reading)
    );

    let path = format!("/v1/readings/{}", reading["id"]);
    let to = json!({"glucose_mg_dl": 120, "reason": "mal leída"});
    let corrected = boss.patch_json(&path, &to).await.expect(200);
    let edit = json!({"name": "Anita"});
    ana.patch_json("/v1/profile", &edit).await.expect(200);
    let (what, items, next) = told(&ana, &next).await;
    assert_eq!(what, ["profile changed", "reading changed"]);
    assert_eq!(items[1]["data"], corrected);

    boss.patch_json("/v1/queue", &json!({"open": true}))
        .await
        .expect(200);
    let place = ana.put("/v1/queue/place").await.expect(200)["placement"].clone();
    let decision = format!("/v1/queue/places/{place}/decision");
    boss.post_json(&decision, &json!({"action": "accept"}))
        .await
        .expect(200);
    let form = json!({"glucose_objective": 100, "insulin_type": "L", "dose": 10, "fast_insulin": "R",
        "fixed_dose": 4, "ratio": 15, "sensitivity": 50, "pump_type": "", "motives": []});
    let sent = ana.post_json("/v1/appointments", &form).await.expect(201);
    let (what, items, next) = told(&ana, &next).await;
    assert_eq!(
        what,
        [
            "queue_entry changed",
            "queue_entry created",
            "appointment created"
        ]
    );
    assert_eq!(
        (&items[1]["data"]["state"], &items[2]["data"]),
        (&json!("CREATED"), &sent)
    );

    let decided = format!("/v1/appointments/{}/resolution", sent["id"]);
    let resolution = json!({"emergency_care": true, "needed_physical_appointment": false});
    let resolution = boss.put_json(&decided, &resolution).await.expect(200);
    boss.delete("/v1/queue/places").await.expect(204);
    let reason = json!({"reason": "de otro"});
    let request = boss.request(Method::DELETE, &path).json(&reason);
    boss.send(request).await.expect(204);
    let (what, items, next) = told(&ana, &next).await;
    assert_eq!(
        what,
        [
            "reading removed",
            "queue_entry removed",
            "resolution changed"
        ]
    );
    assert_eq!(
        (&items[0]["id"], items[0].get("data")),
        (&reading["id"], None)
    );
    assert_eq!(items[2]["data"], resolution);
    assert_eq!(told(&ana, &next).await.0, [] as [&str; 0]);

    // Staff follow whom they like; a patient only oneself.
    let patient = ana.get("/v1/profile").await.expect(200)["id"].clone();
    let other = eva.get("/v1/profile").await.expect(200)["id"].clone();
    let of = async |query: String| {
        let news = boss.get(&format!("/v1/changes{query}")).await.expect(200);
        let items = news["items"].as_array().unwrap().clone();
        items
            .iter()
            .filter(|it| it["kind"] == "reading")
            .map(|it| it["patient_id"].clone())
            .collect::<Vec<_>>()
    };
    assert_eq!(
        of(format!("?patient_id={other}")).await,
        std::slice::from_ref(&other)
    );
    assert_eq!(
        of(String::new()).await.len(),
        2,
        "one was withdrawn: it is told as removed"
    );
    assert_eq!(of(format!("?patient_id={patient},{other}")).await.len(), 2);
    let own = ana
        .get(&format!("/v1/changes?patient_id={other}"))
        .await
        .expect(200);
    let mut whose = own["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|it| &it["patient_id"]);
    assert!(whose.all(|id| *id == patient), "{own:#}");
    // A cursor of another is of no use.
    problem(
        eva.get(&format!("/v1/changes?after={}", next.as_str().unwrap()))
            .await,
        410,
        "start_afresh",
    );
    problem(ana.get("/v1/changes?after=x").await, 410, "start_afresh");
    problem(boss.get("/v1/changes?patient_id=x").await, 422, "invalid");
    problem(ana.get("/v1/changes?limit=0").await, 422, "invalid");
}

#[tokio::test]
async fn a_phone_that_is_killed_at_any_moment_ends_with_what_the_node_has() {
    for seed in 0..3 {
        let dir = tempfile::tempdir().unwrap();
        let data = dir.path().join("node");
        crate::support::run(islet().arg("seed").arg("--data").arg(&data));
        let mut node = Some(Node::start(&mut islet(), &data, &[]));
        let (mut ana, mut boss) = {
            let node = node.as_ref().unwrap();
            (node.patient().await, node.admin().await)
        };
        let (mut dice, mut chance) = (Dice::new(seed), Dice::new(seed + 100));
        let file = dir.path().join("phone.json");
        let mut kills = 0;
        for round in 0..60 {
            let mut phone = Phone::start(ana.clone(), file.clone(), &mut dice);
            let lived = match chance.throw(3) {
                0 => phone.sync().await.map(drop),
                _ => phone.measure(),
            };
            kills += usize::from(lived.is_err());
            match chance.throw(8) {
                // Another device of the same patient.
                0 => drop(super::hand_in(&ana, &stick(1000 + round, 90.0)).await),
                1..=3 => meddle(&mut chance, &ana, &boss).await,
                4 if round % 4 == 0 => {
                    // Without a stop: the power is gone.
                    drop(node.take());
                    let again = Node::start(&mut islet(), &data, &[]);
                    (ana, boss) = (ana.at(&again.patient_url), boss.at(&again.backoffice_url));
                    node = Some(again);
                }
                _ => {}
            }
        }
        let mut phone = Phone::start(ana.clone(), file.clone(), &mut dice);
        phone.risk = 0;
        assert!(phone.sync().await.unwrap());
        assert!(kills > 10, "only {kills} kills");
        let page = ana.get("/v1/readings?limit=1000").await.expect(200);
        let items = page["items"].as_array().unwrap().iter();
        let held: BTreeMap<String, &Value> = items.map(|it| (it["id"].to_string(), it)).collect();
        let kept = phone.kept["readings"].as_object().unwrap();
        let kept: BTreeMap<String, &Value> = kept.iter().map(|(id, it)| (id.clone(), it)).collect();
        assert_eq!(kept, held, "seed {seed}");
        // All that the phone ever took is at the node, once.
        let ever = boss
            .get("/v1/audit?action=reading.entered_in_error&outcome=ok&limit=200")
            .await;
        let withdrawn = ever.expect(200)["items"].as_array().unwrap().len();
        let measured = phone.kept["count"].as_u64().unwrap() as usize;
        let others = held
            .values()
            .filter(|it| it["glucose_mg_dl"] == 90.0)
            .count();
        assert!(held.len() + withdrawn >= measured + others, "seed {seed}");
        assert_eq!(phone.kept["outbox"], json!([]));
    }
}

/// Staff correct or withdraw one of the readings.
async fn meddle(chance: &mut Dice, ana: &Client, boss: &Client) {
    let page = ana.get("/v1/readings?limit=20").await.expect(200);
    let items = page["items"].as_array().unwrap();
    if items.is_empty() {
        return;
    }
    let nth = chance.throw(items.len() as u64) as usize;
    let path = format!("/v1/readings/{}", items[nth]["id"]);
    let tag = boss.get(&path).await.header("etag").to_owned();
    let (method, body) = match chance.throw(3) {
        0 => ("DELETE", json!({"reason": "de otro"})),
        _ => (
            "PATCH",
            json!({"glucose_mg_dl": 150 + chance.throw(50), "reason": "mal leída"}),
        ),
    };
    let answer = with_tag(boss, (method, &path), ("if-match", &tag), &body).await;
    assert!(answer.status.is_success(), "{answer:?}");
}

/// A thousand to send and a thousand to fetch: two requests, and less than a photo's thumbnail.
#[tokio::test]
async fn two_thousand_readings_cross_a_bad_link_in_two_requests() {
    let node = Node::seeded();
    let ana = node.patient().await;
    let mut dice = Dice::new(1);
    let mut value = 120;
    let mut trace = |first: u32| {
        let reading = |n: u32| {
            value = (value + dice.throw(9) - 4).clamp(60, 260);
            // A sensor's value each five minutes, with its seconds.
            let at = 1_772_000_000 + u64::from(n) * 300 + dice.throw(2);
            let at = jiff::Timestamp::from_second(at as i64).unwrap();
            json!({"client_id": n.to_string(), "glucose_mg_dl": value, "reading_type": "OTRO",
                   "measured_at": at.to_string()})
        };
        json!({"readings": (first..first + 1000).map(reading).collect::<Vec<_>>()})
    };
    let start = ana.get("/v1/changes").await.expect(200);
    let cursor = start["next"].as_str().unwrap();
    // Another device's.
    ana.post_json("/v1/readings/batch", &trace(0))
        .await
        .expect(200);
    let path = format!("/v1/changes?limit=1000&after={cursor}");
    let fetch = ana
        .request(Method::GET, &path)
        .header("accept-encoding", "gzip");
    let answer = fetch.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let mut bytes = answer.bytes().await.unwrap().len();
    let rest = ana.get(&path).await.expect(200);
    assert_eq!(
        (rest["items"].as_array().unwrap().len(), &rest["more"]),
        (1000, &json!(false))
    );
    let mut packed = GzEncoder::new(Vec::new(), Compression::best());
    packed
        .write_all(trace(2000).to_string().as_bytes())
        .unwrap();
    let sent = packed.finish().unwrap();
    bytes += sent.len();
    let upload = ana
        .request(Method::POST, "/v1/readings/batch")
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .header("accept-encoding", "gzip")
        .body(sent);
    let answer = upload.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    bytes += answer.bytes().await.unwrap().len();
    assert_eq!(
        ana.get("/v1/readings?limit=1").await.expect(200)["total"],
        2000
    );
    println!("{bytes} bytes");
    assert!(bytes < 25_000, "{bytes} bytes");
}
