//! `/v1/conflicts` on two real nodes that were cut off from each other, and `/v1/readings`.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::pair::Pair;
use crate::support::{ADMIN, Client, Node, PATIENT};

/// Stores a reading of the seed's first patient.
async fn reading(node: &Node) -> i64 {
    let stored = node
        .patient()
        .await
        .post("/glucose/create?glucose_level=110&reading_type=CENA&created_at=2026-03-05T12:00:00Z")
        .await
        .expect(201);
    stored["id"].as_i64().unwrap()
}

async fn correct(node: &Node, id: i64, mg_dl: f64, reason: &str) -> Value {
    let body = json!({"glucose_mg_dl": mg_dl, "reason": reason});
    let admin = node.admin().await;
    admin
        .patch_json(&format!("/v1/readings/{id}"), &body)
        .await
        .expect(200)
}

fn problem(answer: crate::support::Answer, status: u16, code: &str) -> String {
    assert_eq!(answer.header("content-type"), "application/problem+json");
    let request_id = answer.header("x-request-id").to_owned();
    let body = answer.expect(status);
    assert_eq!(body["code"], code);
    assert_eq!(body["status"], status);
    assert_eq!(body["request_id"], request_id.as_str());
    body["detail"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn what_crossed_is_settled_on_one_node_and_gone_on_both() {
    let mut id = 0;
    let pair = Pair::new(async |a: &Node| id = reading(a).await).await;
    let (a, b) = pair.apart();
    correct(&a, id, 120.0, "read again").await;
    correct(&b, id, 130.0, "the meter says so").await;
    let new = |account: &str| {
        json!({"dni": "30111222", "name": "Ana", "surname": "Paz", "email": format!("{account}@x.test"),
               "hospital_account": account, "password": "una frase larga 1"})
    };
    a.admin()
        .await
        .post_json("/users", &new("one"))
        .await
        .expect(200);
    b.admin()
        .await
        .post_json("/users", &new("two"))
        .await
        .expect(200);
    let both = pair.meet((a, b));

    let (at_a, at_b) = (both.0.admin().await, both.1.admin().await);
    let page = at_a.get("/v1/conflicts").await.expect(200);
    assert_eq!(page, at_b.get("/v1/conflicts").await.expect(200));
    assert_eq!(
        (&page["total"], &page["page_size"]),
        (&json!(2), &json!(50))
    );
    assert_eq!(page["next"], Value::Null);
    let [found, twice] = page["items"].as_array().unwrap().as_slice() else {
        panic!("{page:#}");
    };
    assert_eq!(twice["kind"], "patient_dni");
    assert_eq!(found["id"], format!("reading-{id}"));
    assert_eq!(found["patient"]["dni"], PATIENT.0);
    let candidates = found["candidates"].as_array().unwrap();
    let says: Vec<_> = candidates
        .iter()
        .map(|it| (it["text"].clone(), it["shown"].clone()))
        .collect();
    assert_eq!(
        says,
        [
            (json!("120 mg/dL, CENA"), json!(false)),
            (json!("130 mg/dL, CENA"), json!(true))
        ]
    );
    assert_eq!(candidates[1]["node"], "b");
    assert!(found["since"].as_str().unwrap().ends_with('Z'));

    // One page after the other.
    let first = at_b.get("/v1/conflicts?limit=1").await.expect(200);
    assert_eq!((&first["items"][0], &first["total"]), (found, &json!(2)));
    let after = first["next"].as_str().unwrap();
    let second = at_b
        .get(&format!("/v1/conflicts?limit=1&after={after}"))
        .await
        .expect(200);
    assert_eq!(
        (&second["items"][0], &second["next"]),
        (twice, &Value::Null)
    );

    settle(&at_a, &at_b, found, twice).await;
    pair.sync(&both);
    for client in [&at_a, &at_b] {
        assert_eq!(client.get("/v1/conflicts").await.expect(200)["total"], 0);
        let settled = client
            .get(&format!("/v1/conflicts/reading-{id}"))
            .await
            .expect(200);
        assert_eq!(
            (&settled["open"], &settled["candidates"]),
            (&json!(false), &json!([]))
        );
        // The corrections left their reasons too.
        let reasons = settled["settlements"].as_array().unwrap();
        let reasons: Vec<_> = reasons
            .iter()
            .map(|it| it["reason"].as_str().unwrap())
            .collect();
        assert_eq!(reasons, ["read again", "the meter says so", "asked her"]);
    }
    for node in [&both.0, &both.1] {
        let mine = node.patient().await.get("/glucose/mine").await.expect(200);
        assert_eq!(mine["readings"][0]["glucose_level"], 120.0);
    }
}

/// Refusals first, then the decisions.
async fn settle(at_a: &Client, at_b: &Client, found: &Value, twice: &Value) {
    let path = |conflict: &Value| {
        format!(
            "/v1/conflicts/{}/settlement",
            conflict["id"].as_str().unwrap()
        )
    };
    let choice = &found["candidates"][0]["id"];
    let decision = json!({"choice": choice, "reason": "asked her", "version": found["version"]});
    for (body, says) in [
        (json!({}), "reason: Field required"),
        (json!({"choice": choice, "reason": " "}), "reason"),
        (json!({"choice": choice, "reason": "x".repeat(501)}), "500"),
        (json!({"choice": "9.9", "reason": "x"}), "choice"),
        (json!({"reason": "x"}), "choice"),
        (
            json!({"choice": choice, "reason": "x", "value": 1e9}),
            "value",
        ),
        (json!({"choice": 5, "reason": "x"}), "choice"),
    ] {
        let detail = problem(at_a.post_json(&path(found), &body).await, 422, "invalid");
        assert!(detail.contains(says), "{body}: {detail}");
    }
    let stale = json!({"choice": choice, "reason": "x", "version": "0.1"});
    problem(
        at_a.post_json(&path(found), &stale).await,
        409,
        "conflict_changed",
    );
    let choose = json!({"choice": "1", "reason": "x"});
    problem(at_a.post_json(&path(twice), &choose).await, 422, "invalid");

    let settled = at_a.post_json(&path(found), &decision).await.expect(200);
    assert_eq!(settled["open"], false);
    assert_eq!(settled["settlements"][2]["staff"], ADMIN.0);
    assert_eq!(
        at_a.post_json(&path(found), &decision).await.expect(200),
        settled
    );
    let other = json!({"choice": choice, "reason": "somebody else's"});
    problem(
        at_a.post_json(&path(found), &other).await,
        409,
        "conflict_settled",
    );
    let seen = json!({"reason": "one person"});
    at_b.post_json(&path(twice), &seen).await.expect(200);
}

#[tokio::test]
async fn it_is_for_staff_at_the_back_office_and_on_the_lan_port() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    for client in [
        &node.anonymous(),
        &node.anonymous_at_backoffice(),
        &patient.at(&node.backoffice_url),
    ] {
        let status = client.get("/v1/conflicts").await.status.as_u16();
        assert!(matches!(status, 401 | 404), "{status}");
    }
    // Patients' ports know nothing of it.
    problem(
        admin.at(&node.patient_url).get("/v1/conflicts").await,
        404,
        "not_found",
    );
    for path in [
        "/v1/conflicts",
        "/v1/conflicts/",
        "/backoffice/v1/conflicts",
    ] {
        let page = admin.get(path).await.expect(200);
        assert_eq!(
            page,
            json!({"items": [], "total": 0, "page_size": 50, "next": null})
        );
    }
}

#[tokio::test]
async fn what_makes_no_sense_is_a_problem() {
    let node = Node::seeded();
    let admin = node.admin().await;
    for query in [
        "limit=0",
        "limit=201",
        "limit=x",
        "after=x",
        "after=reading-0",
        "limit=1&limit=2",
        "after=%ff",
    ] {
        problem(
            admin.get(&format!("/v1/conflicts?{query}")).await,
            422,
            "invalid",
        );
    }
    for id in [
        "reading-5",
        "nothing-5",
        "5",
        "reading-99999999999999999999",
        "%ff",
        "%00",
    ] {
        problem(
            admin.get(&format!("/v1/conflicts/{id}")).await,
            404,
            "not_found",
        );
    }
    let path = "/v1/conflicts/reading-5/settlement";
    for body in ["", "{", "[]", "null", r#"{"reason":"a","reason":"b"}"#] {
        let request = admin.request(Method::POST, path).body(body);
        problem(admin.send(request).await, 422, "invalid");
    }
    problem(
        admin.post_json(path, &json!({"reason": "x"})).await,
        404,
        "not_found",
    );
}

#[tokio::test]
async fn a_correction_shows_and_the_phone_that_sends_again_makes_no_second_reading() {
    let node = Node::seeded();
    let (admin, patient) = (node.admin().await, node.patient().await);
    let id = reading(&node).await;
    let corrected = correct(&node, id, 95.5, "typing error").await;
    assert_eq!(
        corrected,
        json!({"id": id, "patient_id": corrected["patient_id"], "glucose_mg_dl": 95.5,
               "reading_type": "CENA", "measured_at": "2026-03-05T12:00:00.000Z", "notes": null})
    );
    assert_eq!(correct(&node, id, 95.5, "typing error").await, corrected);
    assert_eq!(reading(&node).await, id);
    let mine = patient.get("/glucose/mine").await.expect(200);
    assert_eq!(mine["readings"].as_array().unwrap().len(), 1);
    assert_eq!(mine["readings"][0]["glucose_level"], 95.5);

    let path = format!("/v1/readings/{id}");
    for body in [
        json!({}),
        json!({"glucose_mg_dl": 0, "reason": "x"}),
        json!({"glucose_mg_dl": 100}),
        json!({"glucose_mg_dl": "x", "reason": "x"}),
    ] {
        problem(admin.patch_json(&path, &body).await, 422, "invalid");
    }
    let right = json!({"glucose_mg_dl": 100, "reason": "x"});
    for other in ["/v1/readings/99", "/v1/readings/x"] {
        problem(admin.patch_json(other, &right).await, 404, "not_found");
    }
    admin
        .delete(&format!("/glucose/reading/{id}"))
        .await
        .expect(200);
    problem(admin.patch_json(&path, &right).await, 404, "not_found");
}
