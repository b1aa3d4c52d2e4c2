//! Readings, streaks and achievements.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Client, Node};

const READING: &str = "/glucose/create?glucose_level=132&reading_type=CENA&created_at=2026-03-06T00:04:09Z&notes=after%20walk";

fn ids(readings: &Value) -> Vec<i64> {
    readings["readings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reading| reading["id"].as_i64().unwrap())
        .collect()
}

#[tokio::test]
async fn a_reading_has_exactly_the_form_that_the_app_reads() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let created = patient.post(READING).await.expect(201);
    let expected = json!({
        "id": 1, "user_id": 1, "glucose_level": 132.0, "reading_type": "CENA",
        "created_at": "05/03/2026 21:04:09", "notes": "after walk"
    });
    assert_eq!(created, expected);
    assert_eq!(
        patient.get("/glucose/mine").await.expect(200),
        json!({"readings": [expected]})
    );
}

#[tokio::test]
async fn the_app_posts_with_a_json_content_type_and_a_null_body() {
    let node = Node::seeded();
    let patient = node.patient().await;
    for body in ["", "null"] {
        let request = patient.request(
            Method::POST,
            "/glucose/create?glucose_level=90&reading_type=OTRO",
        );
        let request = request
            .header("Content-Type", "application/json")
            .body(body);
        let created = patient.send(request).await.expect(201);
        assert_eq!(created["notes"], Value::Null);
    }
}

#[tokio::test]
async fn times_are_taken_in_every_iso_form() {
    let node = Node::seeded();
    let patient = node.patient().await;
    for (sent, shown) in [
        ("2026-03-06T00:04:09.123Z", "05/03/2026 21:04:09"),
        ("2026-03-06T02:04:10%2B02:00", "05/03/2026 21:04:10"),
        ("2026-03-05T21:04:11", "05/03/2026 21:04:11"),
    ] {
        let path = format!("/glucose/create?glucose_level=100&reading_type=OTRO&created_at={sent}");
        assert_eq!(
            patient.post(&path).await.expect(201)["created_at"],
            shown,
            "{sent}"
        );
    }
}

#[tokio::test]
async fn a_repeated_reading_is_the_same_reading() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let first = patient.post(READING).await.expect(201);
    assert_eq!(patient.post(READING).await.expect(201), first);
    let other = patient
        .post(&READING.replace("CENA", "OTRO"))
        .await
        .expect(201);
    assert_ne!(other["id"], first["id"]);
    assert_eq!(
        patient.get("/users/me").await.expect(200)["times_measured"],
        2
    );
}

#[tokio::test]
async fn ten_parallel_readings_without_a_time_are_ten() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let posts = (0..10).map(|n| {
        let patient = patient.clone();
        async move {
            let path = format!(
                "/glucose/create?glucose_level={}&reading_type=OTRO",
                100 + n
            );
            patient.post(&path).await.expect(201)["id"]
                .as_i64()
                .unwrap()
        }
    });
    let mut found: Vec<i64> = futures_util::future::join_all(posts).await;
    found.sort_unstable();
    assert_eq!(found, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_request_that_is_sent_again_with_its_id_is_one_reading() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let send = |id: &'static str| {
        let request = patient.request(
            Method::POST,
            "/glucose/create?glucose_level=90&reading_type=OTRO",
        );
        patient.send(request.header("X-Request-Id", id))
    };
    let first = send("3f1d").await;
    assert_eq!(first.header("x-request-id"), "3f1d");
    let first = first.expect(201);
    assert_eq!(send("3f1d").await.expect(201), first);
    assert_ne!(send("77aa").await.expect(201)["id"], first["id"]);
}

#[tokio::test]
async fn lists_are_in_the_order_of_ids_and_latest_goes_by_time() {
    let node = Node::seeded();
    let patient = node.patient().await;
    assert_eq!(
        patient.get("/glucose/mine").await.expect(200),
        json!({"readings": []})
    );
    patient
        .post("/glucose/create?glucose_level=100&reading_type=OTRO")
        .await
        .expect(201);
    patient.post(READING).await.expect(201);
    patient
        .post("/glucose/create?glucose_level=101.5&reading_type=OTRO")
        .await
        .expect(201);
    assert_eq!(
        ids(&patient.get("/glucose/mine").await.expect(200)),
        [1, 2, 3]
    );
    assert_eq!(
        ids(&patient.get("/glucose/mine/latest").await.expect(200)),
        [1, 3]
    );
    let latest = patient.get("/glucose/mine/latest/").await.expect(200);
    assert_eq!(latest["readings"][1]["glucose_level"], 101.5);
}

#[tokio::test]
async fn nobody_sees_the_readings_of_another() {
    let node = Node::seeded();
    let (patient, other) = (node.patient().await, node.other_patient().await);
    patient.post(READING).await.expect(201);
    assert_eq!(
        other.get("/glucose/mine").await.expect(200),
        json!({"readings": []})
    );
    // The same reading of another patient is another reading.
    assert_eq!(other.post(READING).await.expect(201)["user_id"], 2);
}

#[tokio::test]
async fn a_reading_with_mistakes_is_refused_with_the_legacy_list() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let missing = patient
        .post("/glucose/create?glucose_level=120")
        .await
        .expect(422);
    let expected = json!({"detail": [{
        "type": "missing", "loc": ["query", "reading_type"], "msg": "Field required", "input": null
    }]});
    assert_eq!(missing, expected);
    for query in [
        "glucose_level=abc&reading_type=CENA",
        "glucose_level=NaN&reading_type=CENA",
        "glucose_level=inf&reading_type=CENA",
        "glucose_level=-5&reading_type=CENA",
        "glucose_level=0&reading_type=CENA",
        "glucose_level=120&reading_type=LUNCH",
        "glucose_level=120&reading_type=CENA&created_at=05/03/2026",
        "glucose_level=120&reading_type=CENA&created_at=yesterday",
        "glucose_level=120&reading_type=CENA&notes=%00",
        "glucose_level=120&reading_type=CENA&notes=%ff",
        "glucose_level=120&glucose_level=130&reading_type=CENA",
    ] {
        let answer = patient
            .post(&format!("/glucose/create?{query}"))
            .await
            .expect(422);
        assert!(answer["detail"][0]["msg"].is_string(), "{query}: {answer}");
    }
    assert_eq!(
        patient.get("/glucose/mine").await.expect(200),
        json!({"readings": []})
    );
}

#[tokio::test]
async fn patients_cannot_delete() {
    let node = Node::seeded();
    let patient = node.patient().await;
    patient.post(READING).await.expect(201);
    for path in [
        "/glucose/1",
        "/glucose/delete/1",
        "/glucose/reading/1",
        "/users/me",
    ] {
        let status = patient.delete(path).await.status.as_u16();
        assert!(status == 404 || status == 405, "{path}: {status}");
    }
    assert_eq!(ids(&patient.get("/glucose/mine").await.expect(200)), [1]);
}

#[tokio::test]
async fn four_readings_a_day_make_a_streak() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let streak = async |patient: &Client| patient.get("/achievements/streak/").await.expect(200);
    let expected =
        json!({"streak": 0, "max_streak": 0, "four_times_today": 0, "streak_last_date": null});
    assert_eq!(streak(&patient).await, expected);
    for n in 1..=3 {
        patient
            .post(&format!(
                "/glucose/create?glucose_level={n}00&reading_type=OTRO"
            ))
            .await
            .expect(201);
        assert_eq!(streak(&patient).await["four_times_today"], n);
    }
    patient
        .post("/glucose/create?glucose_level=90&reading_type=OTRO")
        .await
        .expect(201);
    let after = streak(&patient).await;
    assert_eq!(
        (
            &after["streak"],
            &after["max_streak"],
            &after["four_times_today"]
        ),
        (&json!(1), &json!(1), &json!(0))
    );
    let day = after["streak_last_date"].as_str().unwrap();
    assert_eq!((day.len(), &day[4..5]), (10, "-"));
    let me = patient.get("/users/me").await.expect(200);
    assert_eq!(
        (&me["times_measured"], &me["streak"]),
        (&json!(4), &json!(1))
    );
}

#[tokio::test]
async fn achievements_never_exceed_their_threshold() {
    let node = Node::seeded();
    let patient = node.patient().await;
    for n in 0..11 {
        patient
            .post(&format!(
                "/glucose/create?glucose_level={}&reading_type=OTRO",
                100 + n
            ))
            .await
            .expect(201);
    }
    let found = patient.get("/achievements/").await.expect(200);
    let found = found.as_array().unwrap();
    assert_eq!(found.len(), 10);
    for achievement in found {
        let (progress, threshold) = (
            achievement["progress"].as_i64().unwrap(),
            achievement["threshold"].as_i64().unwrap(),
        );
        assert!(progress <= threshold);
        assert_eq!(achievement["got"], progress == threshold, "{achievement}");
        assert!(
            ["times_measured", "max_streak"].contains(&achievement["attribute"].as_str().unwrap())
        );
    }
    let got: Vec<_> = found
        .iter()
        .filter(|a| a["got"] == true)
        .map(|a| a["ach_id"].as_i64().unwrap())
        .collect();
    assert_eq!(got, [1, 2, 5]);
}

#[tokio::test]
async fn staff_see_type_in_and_withdraw_readings() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    patient.post(READING).await.expect(201);
    let body = json!({"user_id": 1, "glucose_level": 88, "reading_type": "DESAYUNO", "created_at": "2026-03-06T12:00:00Z"});
    let typed = admin.post_json("/glucose/reading", &body).await.expect(201);
    assert_eq!(typed["user_id"], 1);
    assert_eq!(
        admin.post_json("/glucose/reading", &body).await.expect(201),
        typed
    );
    assert_eq!(ids(&admin.get("/glucose/user/1").await.expect(200)), [1, 2]);
    assert_eq!(
        ids(&admin.get("/glucose/readings").await.expect(200)),
        [1, 2]
    );
    admin.get("/glucose/user/1/latest").await.expect(200);
    admin.get("/glucose/user/99").await.expect(404);
    admin
        .post_json(
            "/glucose/reading",
            &json!({"user_id": 99, "glucose_level": 88, "reading_type": "CENA"}),
        )
        .await
        .expect(404);

    assert!(
        admin
            .delete("/glucose/reading/1")
            .await
            .expect(200)
            .is_string()
    );
    admin.delete("/glucose/reading/1").await.expect(200);
    admin.delete("/glucose/reading/99").await.expect(404);
    assert_eq!(ids(&patient.get("/glucose/mine").await.expect(200)), [2]);
    assert_eq!(
        patient.get("/users/me").await.expect(200)["times_measured"],
        1
    );
}
