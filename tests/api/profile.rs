//! The patient's own profile.

use serde_json::json;

use crate::support::{Node, PATIENT};

#[tokio::test]
async fn the_profile_has_exactly_the_fields_that_the_app_reads() {
    let node = Node::seeded();
    let me = node.patient().await.get("/users/me").await.expect(200);
    let expected = json!({
        "dni": "40123456", "name": "Test", "surname": "User", "blocked": false,
        "email": "test40123456@diabetactic.com", "tidepool": null, "hospital_account": "test_account_1",
        "times_measured": 0, "streak": 0, "max_streak": 0
    });
    assert_eq!(me, expected);
}

#[tokio::test]
async fn name_surname_and_address_can_be_edited_and_nothing_else() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let edited = patient
        .patch_json("/users/me", &json!({"name": "Ana María"}))
        .await
        .expect(200);
    assert_eq!(
        (&edited["name"], &edited["email"]),
        (&json!("Ana María"), &json!("test40123456@diabetactic.com"))
    );
    assert_eq!(patient.get("/users/me").await.expect(200), edited);
    let sly = json!({"dni": "1", "blocked": true, "hospital_account": "x", "times_measured": 99, "password": "p"});
    assert_eq!(
        patient.patch_json("/users/me", &sly).await.expect(200),
        edited
    );
    assert_eq!(
        patient
            .patch_json("/users/me", &json!({}))
            .await
            .expect(200),
        edited
    );
    let taken = json!({"email": "TEST40123457@diabetactic.com"});
    assert_eq!(
        patient.patch_json("/users/me", &taken).await.expect(400)["code"],
        "taken"
    );
    for bad in [
        json!({"email": "nonsense"}),
        json!({"name": ""}),
        json!({"name": 5}),
        json!({"surname": "a\u{0}b"}),
    ] {
        patient.patch_json("/users/me", &bad).await.expect(422);
    }
}

#[tokio::test]
async fn a_patient_chooses_another_password() {
    let node = Node::seeded();
    let (patient, elsewhere) = (node.patient().await, node.patient().await);
    let change =
        |current: &str, new: &str| json!({"current_password": current, "new_password": new});
    patient
        .put_json("/users/me/password", &change("wrong", "otra clave 77"))
        .await
        .expect(400);
    patient
        .put_json("/users/me/password", &change(PATIENT.1, "40123456"))
        .await
        .expect(422);
    patient
        .put_json("/users/me/password", &change(PATIENT.1, "otra clave 77"))
        .await
        .expect(200);
    patient.get("/users/me").await.expect(200);
    elsewhere.get("/users/me").await.expect(401);
    node.anonymous().token(PATIENT).await.expect(401);
    node.anonymous()
        .token((PATIENT.0, "otra clave 77"))
        .await
        .expect(200);
}
