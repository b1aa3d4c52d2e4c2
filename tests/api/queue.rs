//! The queue, from both sides.

use serde_json::json;

use crate::support::Node;

#[tokio::test]
async fn a_clinic_day_in_the_queue() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    assert_eq!(patient.get("/appointments/state").await.expect(200), "NONE");
    assert_eq!(patient.get("/appointments/placement").await.expect(200), -1);
    admin.post("/appointments/queue/open").await.expect(200);
    assert_eq!(
        admin.get("/appointments/queue/open").await.expect(200),
        true
    );
    assert_eq!(
        patient.get("/appointments/queue/open").await.expect(200),
        true
    );
    assert_eq!(admin.get("/appointments/queue/size").await.expect(200), 5);

    let placement = patient.post("/appointments/submit").await.expect(201);
    assert!(placement.is_i64());
    assert_eq!(
        patient.post("/appointments/submit").await.expect(200),
        placement
    );
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "PENDING"
    );
    assert_eq!(patient.get("/appointments/placement").await.expect(200), 0);
    let row = json!({"queue_placement": placement, "user_id": 1, "appointment_state": "PENDING"});
    assert_eq!(
        admin.get("/appointments/queue").await.expect(200),
        json!([row])
    );
    assert_eq!(
        admin.get("/appointments/pending/").await.expect(200),
        json!([row])
    );
    assert_eq!(
        admin.get("/appointments/accepted").await.expect(200),
        json!([])
    );

    assert_eq!(
        admin
            .put(&format!("/appointments/accept/{placement}"))
            .await
            .expect(201),
        true
    );
    assert_eq!(
        admin
            .put(&format!("/appointments/accept/{placement}"))
            .await
            .expect(201),
        true
    );
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "ACCEPTED"
    );
    assert_eq!(patient.get("/appointments/placement").await.expect(200), -1);
    admin
        .put(&format!("/appointments/deny/{placement}"))
        .await
        .expect(400);

    admin.delete("/appointments").await.expect(204);
    admin.delete("/appointments/").await.expect(204);
    assert_eq!(patient.get("/appointments/state").await.expect(200), "NONE");
    let next = patient.post("/appointments/submit").await.expect(201);
    assert!(
        next.as_i64() > placement.as_i64(),
        "placements never repeat"
    );
}

#[tokio::test]
async fn unknown_placements() {
    let node = Node::seeded();
    let admin = node.admin().await;
    for verb in ["accept", "deny", "no-show", "put-back"] {
        let answer = admin
            .put(&format!("/appointments/{verb}/99"))
            .await
            .expect(404);
        assert_eq!(answer["detail"], "Appointment does not exist in queue");
        admin
            .put(&format!("/appointments/{verb}/abc"))
            .await
            .expect(422);
    }
}

#[tokio::test]
async fn a_closed_and_a_full_queue_say_so_with_400() {
    let node = Node::seeded();
    let (patient, other, admin) = (
        node.patient().await,
        node.other_patient().await,
        node.admin().await,
    );
    let closed = patient.post("/appointments/submit").await.expect(400);
    assert!(closed["detail"].as_str().unwrap().contains("cerrada"));
    admin.post("/appointments/queue/open").await.expect(200);
    admin
        .post("/appointments/queue/size?new_size=1")
        .await
        .expect(200);
    assert_eq!(admin.get("/appointments/queue/size").await.expect(200), 1);
    let placement = patient.post("/appointments/submit").await.expect(201);
    assert_eq!(
        other.post("/appointments/submit").await.expect(400)["detail"],
        "Appointment Queue Full"
    );
    // The denied place is free again: the queue does not stay full.
    admin
        .put(&format!("/appointments/deny/{placement}"))
        .await
        .expect(201);
    other.post("/appointments/submit").await.expect(201);
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "DENIED"
    );
    for size in ["-1", "abc", "10001", ""] {
        admin
            .post(&format!("/appointments/queue/size?new_size={size}"))
            .await
            .expect(422);
    }
}

#[tokio::test]
async fn two_requests_for_the_last_place_get_one() {
    let node = Node::seeded();
    let (patient, other, admin) = (
        node.patient().await,
        node.other_patient().await,
        node.admin().await,
    );
    admin.post("/appointments/queue/open").await.expect(200);
    admin
        .post("/appointments/queue/size?new_size=1")
        .await
        .expect(200);
    for _ in 0..10 {
        let (a, b) = tokio::join!(
            patient.post("/appointments/submit"),
            other.post("/appointments/submit")
        );
        let mut statuses = [a.status.as_u16(), b.status.as_u16()];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 400]);
        admin.delete("/appointments").await.expect(204);
    }
}

#[tokio::test]
async fn closing_keeps_places_and_opening_drops_nobody_who_waits() {
    let node = Node::seeded();
    let (patient, other, admin) = (
        node.patient().await,
        node.other_patient().await,
        node.admin().await,
    );
    admin.post("/appointments/queue/open").await.expect(200);
    let waiting = patient.post("/appointments/submit").await.expect(201);
    let denied = other.post("/appointments/submit").await.expect(201);
    admin
        .put(&format!("/appointments/deny/{denied}"))
        .await
        .expect(201);
    admin.post("/appointments/queue/close").await.expect(200);
    assert_eq!(
        patient.get("/appointments/queue/open").await.expect(200),
        false
    );
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "PENDING"
    );
    admin.post("/appointments/queue/open").await.expect(200);
    assert_eq!(
        patient.post("/appointments/submit").await.expect(200),
        waiting
    );
    assert_eq!(other.get("/appointments/state").await.expect(200), "NONE");
}

#[tokio::test]
async fn cancel_no_show_put_back_and_priority() {
    let node = Node::seeded();
    let (patient, other, admin) = (
        node.patient().await,
        node.other_patient().await,
        node.admin().await,
    );
    admin.post("/appointments/queue/open").await.expect(200);
    patient.post("/appointments/submit").await.expect(201);
    let second = other.post("/appointments/submit").await.expect(201);
    assert_eq!(other.get("/appointments/placement").await.expect(200), 1);

    let urgent = json!({"priority": 5, "reason": "cetosis"});
    admin
        .put_json(&format!("/appointments/priority/{second}"), &urgent)
        .await
        .expect(201);
    assert_eq!(other.get("/appointments/placement").await.expect(200), 0);
    assert_eq!(patient.get("/appointments/placement").await.expect(200), 1);
    // Staff see the same order, and why.
    for (path, first) in [("/appointments/pending", 1), ("/appointments/queue", 0)] {
        let listed = admin.get(path).await.expect(200);
        let of_second = &listed[1 - first];
        assert_eq!(of_second["queue_placement"], second, "{path}");
        assert_eq!(of_second.as_object().unwrap().len(), 3, "{path}");
    }
    let expected = json!([{
        "queue_placement": second, "user_id": 2, "appointment_state": "PENDING",
        "priority": 5, "reason": "cetosis"
    }]);
    let listed = admin.get("/appointments/priority").await.expect(200);
    assert_eq!(listed, expected);
    let silent = json!({"priority": 5});
    admin
        .put_json(&format!("/appointments/priority/{second}"), &silent)
        .await
        .expect(422);

    for _ in 0..2 {
        assert_eq!(
            patient.post("/appointments/cancel").await.expect(200),
            "NONE"
        );
    }
    assert_eq!(patient.get("/appointments/state").await.expect(200), "NONE");
    admin
        .put(&format!("/appointments/no-show/{second}"))
        .await
        .expect(201);
    assert_eq!(other.get("/appointments/state").await.expect(200), "NONE");

    let third = patient.post("/appointments/submit").await.expect(201);
    admin
        .put(&format!("/appointments/deny/{third}"))
        .await
        .expect(201);
    patient.post("/appointments/cancel").await.expect(400);
    admin
        .put(&format!("/appointments/put-back/{third}"))
        .await
        .expect(201);
    assert_eq!(
        patient.get("/appointments/state").await.expect(200),
        "PENDING"
    );
}
