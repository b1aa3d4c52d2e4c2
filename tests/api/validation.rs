//! What is wrong with a value, and how it is said: where it was, what was sent, in words for the
//! person who typed it, and never a password.

use serde_json::{Value, json};

use crate::support::Node;

/// Place, text and input of each issue.
fn issues(answer: &Value) -> Vec<(Value, String, Value)> {
    let issues = answer["detail"].as_array().unwrap().iter();
    let read = |issue: &Value| {
        let msg = issue["msg"].as_str().unwrap().to_owned();
        (issue["loc"].clone(), msg, issue["input"].clone())
    };
    issues.map(read).collect()
}

#[tokio::test]
async fn patients_read_plain_sentences() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    let weak = json!({"current_password": "thepassword", "new_password": "123"});
    let answer = patient
        .put_json("/users/me/password", &weak)
        .await
        .expect(422);
    assert_eq!(
        issues(&answer),
        [(
            json!(["body", "new_password"]),
            "La contraseña debe tener al menos 6 caracteres.".to_owned(),
            Value::Null
        )]
    );
    let answer = patient
        .patch_json("/users/me", &json!({"name": " ", "email": "ana"}))
        .await
        .expect(422);
    assert_eq!(
        issues(&answer),
        [
            (
                json!(["body", "name"]),
                "Nombre: no puede quedar vacío.".to_owned(),
                json!(" ")
            ),
            (
                json!(["body", "email"]),
                "Correo electrónico: debe ser una dirección como ana@example.org.".to_owned(),
                json!("ana")
            ),
        ]
    );
    let taken = json!({"email": "test40123457@diabetactic.com"});
    let answer = patient.patch_json("/users/me", &taken).await.expect(400);
    assert_eq!(
        answer["detail"],
        "Otra cuenta ya tiene ese correo electrónico."
    );
    admin.post("/appointments/queue/open").await.expect(200);
    let placement = patient.post("/appointments/submit").await.expect(201);
    admin
        .put(&format!("/appointments/deny/{placement}"))
        .await
        .expect(201);
    let answer = patient.post("/appointments/cancel").await.expect(400);
    assert_eq!(answer["detail"], "No se puede: el turno fue rechazado.");
}

#[tokio::test]
async fn readings_of_the_future_are_refused() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    let path = "/glucose/create?glucose_level=120&reading_type=CENA&created_at=";
    for (time, word) in [
        ("2199-01-01T00:00:00Z", "futuro"),
        ("9999-12-31T23:59:59Z", "año"),
        ("06/03/2026", "fecha y hora como"),
    ] {
        let answer = patient.post(&format!("{path}{time}")).await.expect(422);
        let found = issues(&answer);
        assert_eq!(found[0].0, json!(["query", "created_at"]));
        assert_eq!(found[0].2, time);
        assert!(found[0].1.contains(word), "{found:?}");
    }
    let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(20);
    patient.post(&format!("{path}{soon:.0}")).await.expect(201);
    let body = json!({"user_id": 1, "glucose_level": 120, "reading_type": "CENA", "created_at": "2199-01-01T00:00:00Z"});
    let answer = admin.post_json("/glucose/reading", &body).await.expect(422);
    assert_eq!(issues(&answer)[0].0, json!(["body", "created_at"]));
}

#[tokio::test]
async fn issues_name_the_place_and_what_was_sent() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let answer = admin
        .post("/appointments/queue/size?new_size=-1")
        .await
        .expect(422);
    let found = issues(&answer);
    assert_eq!(
        (&found[0].0, &found[0].2),
        (&json!(["query", "new_size"]), &json!(-1))
    );
    let answer = admin
        .put("/admin/mail/change?new_mail=nonsense")
        .await
        .expect(422);
    assert_eq!(issues(&answer)[0].2, "nonsense");
    for (sent, input) in [
        ("[]", json!([])),
        ("null", Value::Null),
        ("7", json!(7)),
        ("\"hunter2\"", Value::Null),
    ] {
        let request = admin.request(reqwest::Method::POST, "/users");
        let request = request
            .header("Content-Type", "application/json")
            .body(sent);
        let answer = admin.send(request).await.expect(422);
        assert_eq!(issues(&answer)[0].2, input, "{sent}");
    }
}

#[tokio::test]
async fn a_bad_password_is_listed_with_the_rest_and_never_repeated() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let places = |answer: &Value| -> Vec<Value> {
        issues(answer)
            .into_iter()
            .map(|(place, ..)| place[1].clone())
            .collect()
    };
    let bad = json!({"username": "x", "email": "y", "password": "hunter2"});
    let answer = admin.post_json("/admin", &bad).await;
    assert!(!answer.text.contains("hunter2"));
    assert_eq!(
        places(&answer.expect(422)),
        ["username", "email", "password"]
    );
    let bad = json!({"dni": "", "name": "A", "surname": "B", "email": "y", "hospital_account": "1", "password": "12345"});
    let answer = admin.post_json("/users", &bad).await;
    assert!(!answer.text.contains("12345"));
    assert_eq!(places(&answer.expect(422)), ["dni", "email", "password"]);
    let answer = admin.put("/admin/password?new_password=hunter2").await;
    assert!(!answer.text.contains("hunter2"));
    let answer = answer.expect(422);
    assert_eq!(answer["detail"][0]["loc"], json!(["query", "new_password"]));
}

#[tokio::test]
async fn a_password_cannot_be_set_by_editing_a_patient() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let answer = admin
        .patch_json(
            "/users/user/1",
            &json!({"password": "hunter2", "name": "Ana"}),
        )
        .await;
    assert!(!answer.text.contains("hunter2"));
    let answer = answer.expect(422);
    assert!(
        issues(&answer)[0].1.contains("/users/desk-code/"),
        "{answer}"
    );
    node.patient().await.get("/users/me").await.expect(200);
}
