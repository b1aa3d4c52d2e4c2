//! The clinical form and the resolution.

use serde_json::{Value, json};

use crate::support::{Client, Node};

fn form() -> Value {
    json!({
        "glucose_objective": 110, "insulin_type": "rapid", "dose": 20.5, "fast_insulin": "Humalog",
        "fixed_dose": "4", "ratio": 12, "sensitivity": 45, "pump_type": "none", "control_data": "",
        "motive": ["AJUSTE", "DUDAS"], "other_motive": "ñ"
    })
}

async fn accepted(node: &Node) -> (Client, Client) {
    let (patient, admin) = (node.patient().await, node.admin().await);
    admin.post("/appointments/queue/open").await.expect(200);
    let placement = patient.post("/appointments/submit").await.expect(201);
    admin
        .put(&format!("/appointments/accept/{placement}"))
        .await
        .expect(201);
    (patient, admin)
}

#[tokio::test]
async fn from_the_form_to_the_resolution() {
    let node = Node::seeded();
    let (patient, admin) = accepted(&node).await;
    let created = patient
        .post_json("/appointments/create", &form())
        .await
        .expect(201);
    let expected = json!({
        "appointment_id": 1, "user_id": 1, "glucose_objective": 110.0, "insulin_type": "rapid",
        "dose": 20.5, "fast_insulin": "Humalog", "fixed_dose": 4.0, "ratio": 12.0, "sensitivity": 45.0,
        "pump_type": "none", "control_data": "", "motive": ["AJUSTE", "DUDAS"],
        "another_treatment": null, "other_motive": "ñ"
    });
    assert_eq!(created, expected);
    assert_eq!(
        patient
            .post_json("/appointments/create", &form())
            .await
            .expect(201),
        expected
    );
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "CREATED"
    );
    assert_eq!(
        patient.get("/appointments/mine").await.expect(200),
        json!([expected])
    );
    assert_eq!(
        admin.get("/appointments/from_user/1").await.expect(200),
        json!([expected])
    );
    assert_eq!(
        admin
            .get("/appointments/from_user/latest/1")
            .await
            .expect(200),
        expected
    );
    admin
        .get("/appointments/from_user/latest/2")
        .await
        .expect(404);

    let pending = patient.get("/appointments/1/resolution").await.expect(404);
    assert!(
        pending["detail"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("not found")
    );
    let resolution = json!({
        "appointment_id": 1, "change_basal_type": "Lantus", "change_basal_dose": 22.0,
        "change_basal_time": "22:00", "change_fast_type": null, "change_ratio": 11.5,
        "change_sensitivity": null, "emergency_care": false, "needed_physical_appointment": true,
        "glucose_scale": [[70, 120, 2], [121, 180, 4.5]]
    });
    for _ in 0..2 {
        assert_eq!(
            admin
                .post_json("/appointments/create_resolution", &resolution)
                .await
                .expect(201),
            resolution
        );
    }
    assert_eq!(
        patient.get("/appointments/1/resolution").await.expect(200),
        resolution
    );
    assert_eq!(
        admin.get("/appointments/1/resolution").await.expect(200),
        resolution
    );
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "CREATED"
    );

    let mut second = resolution.clone();
    second["change_ratio"] = json!(10.0);
    admin
        .post_json("/appointments/create_resolution", &second)
        .await
        .expect(201);
    assert_eq!(
        patient.get("/appointments/1/resolution").await.expect(200),
        second
    );

    let other = node.other_patient().await;
    other.get("/appointments/1/resolution").await.expect(404);
    patient.get("/appointments/99/resolution").await.expect(404);
    patient
        .get("/appointments/abc/resolution")
        .await
        .expect(422);
}

#[tokio::test]
async fn a_form_needs_an_accepted_place() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    let none = patient
        .post_json("/appointments/create", &form())
        .await
        .expect(400);
    let text = none["detail"].as_str().unwrap();
    assert!(
        text.contains("does not exist in queue") && text.contains("accepted"),
        "{text}"
    );
    admin.post("/appointments/queue/open").await.expect(200);
    let placement = patient.post("/appointments/submit").await.expect(201);
    let waiting = patient
        .post_json("/appointments/create", &form())
        .await
        .expect(400);
    assert!(
        waiting["detail"]
            .as_str()
            .unwrap()
            .contains("wasn't accepted yet")
    );
    admin
        .put(&format!("/appointments/deny/{placement}"))
        .await
        .expect(201);
    patient
        .post_json("/appointments/create", &form())
        .await
        .expect(400);
    assert_eq!(
        patient.get("/appointments/mine").await.expect(200),
        json!([])
    );
}

#[tokio::test]
async fn forms_and_resolutions_with_mistakes_are_refused_whole() {
    let node = Node::seeded();
    let (patient, admin) = accepted(&node).await;
    let broken = [
        ("dose", json!("many")),
        ("dose", json!(null)),
        ("dose", json!(true)),
        ("dose", json!([1])),
        ("motive", json!("AJUSTE")),
        ("motive", json!(["NADA"])),
        ("motive", json!([1])),
        ("insulin_type", json!(5)),
        ("other_motive", json!(7)),
        ("control_data", json!({})),
        ("pump_type", json!("x".repeat(5_000))),
    ];
    for (field, value) in broken {
        let mut body = form();
        body[field] = value;
        let answer = patient
            .post_json("/appointments/create", &body)
            .await
            .expect(422);
        assert_eq!(answer["detail"][0]["loc"], json!(["body", field]));
    }
    let empty = patient
        .post_json("/appointments/create", &json!({}))
        .await
        .expect(422);
    assert_eq!(empty["detail"].as_array().unwrap().len(), 9);
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "ACCEPTED"
    );
    patient
        .post_json("/appointments/create", &form())
        .await
        .expect(201);

    let missing = json!({"appointment_id": 1, "emergency_care": true});
    admin
        .post_json("/appointments/create_resolution", &missing)
        .await
        .expect(422);
    let unknown =
        json!({"appointment_id": 9, "emergency_care": true, "needed_physical_appointment": false});
    admin
        .post_json("/appointments/create_resolution", &unknown)
        .await
        .expect(404);
}

#[tokio::test]
async fn a_patient_who_is_put_back_can_send_another_form() {
    let node = Node::seeded();
    let (patient, admin) = accepted(&node).await;
    patient
        .post_json("/appointments/create", &form())
        .await
        .expect(201);
    admin.put("/appointments/put-back/1").await.expect(201);
    admin.put("/appointments/accept/1").await.expect(201);
    let second = patient
        .post_json("/appointments/create", &form())
        .await
        .expect(201);
    assert_eq!(second["appointment_id"], 2);
    assert_eq!(
        patient
            .get("/appointments/mine")
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        2
    );
}
