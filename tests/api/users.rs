//! Accounts, as staff manage them.

use serde_json::{Value, json};

use crate::support::{ADMIN, Client, Node};

fn ana() -> Value {
    json!({
        "dni": "30111222", "name": "Ana", "surname": "Paz", "email": "ana@clinic.test",
        "hospital_account": "HC-77", "password": "una clave 55"
    })
}

#[tokio::test]
async fn staff_register_find_edit_and_list_patients() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let created = admin.post_json("/users/", &ana()).await.expect(200);
    let expected = json!({
        "user_id": 3, "dni": "30111222", "name": "Ana", "surname": "Paz", "blocked": false,
        "email": "ana@clinic.test", "tidepool": null, "hospital_account": "HC-77",
        "times_measured": 0, "streak": 0, "max_streak": 0
    });
    assert_eq!(created, expected);
    let mut profile = expected.clone();
    profile.as_object_mut().unwrap().remove("user_id");
    assert_eq!(admin.get("/users/user/3").await.expect(200), profile);
    assert_eq!(
        admin
            .get("/users/")
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        3
    );
    Client::log_in(&node.patient_url, ("30111222", "una clave 55")).await;

    let patched = admin
        .patch_json(
            "/users/user/3",
            &json!({"hospital_account": "accepted", "tidepool": "t1"}),
        )
        .await
        .expect(200);
    assert_eq!(
        (&patched["hospital_account"], &patched["tidepool"]),
        (&json!("accepted"), &json!("t1"))
    );
    let patched = admin
        .patch_json("/users/user/3", &json!({"tidepool": null, "blocked": true}))
        .await
        .expect(200);
    assert_eq!(
        (&patched["blocked"], &patched["tidepool"]),
        (&json!(true), &Value::Null)
    );
    for path in ["/users/user/99", "/users/block/99", "/users/desk-code/99"] {
        let answer = if path.contains("/user/") {
            admin.get(path).await
        } else {
            admin.post(path).await
        };
        answer.expect(404);
    }
    admin.get("/users/user/abc").await.expect(422);
}

#[tokio::test]
async fn a_document_number_with_dots_is_the_same_number() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let mut dotted = ana();
    dotted["dni"] = json!("30.111.222");
    let created = admin.post_json("/users", &dotted).await.expect(200);
    assert_eq!(created["dni"], json!("30111222"));
    admin.post_json("/users", &ana()).await.expect(403);
    for name in ["30.111.222", "30111222"] {
        Client::log_in(&node.patient_url, (name, "una clave 55")).await;
    }
}

#[tokio::test]
async fn a_password_is_not_made_of_the_patients_name() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let mut marta = ana();
    (marta["name"], marta["surname"]) = (json!("Marta"), json!("Núñez"));
    for password in ["Nuñez-85", "marta1985", "MARTA NUNEZ"] {
        marta["password"] = json!(password);
        let refused = admin.post_json("/users", &marta).await.expect(422);
        assert_eq!(refused["detail"][0]["loc"], json!(["body", "password"]));
    }
    marta["password"] = json!("una clave 55");
    admin.post_json("/users", &marta).await.expect(200);
    let patient = Client::log_in(&node.patient_url, ("30111222", "una clave 55")).await;
    let change = json!({"current_password": "una clave 55", "new_password": "nunez2026"});
    patient
        .put_json("/users/me/password", &change)
        .await
        .expect(422);
}

/// The streak itself begins anew, since nothing says which day was its last.
#[tokio::test]
async fn what_another_system_counted_is_taken_over_when_it_makes_sense() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let with = |counts: &Value| {
        let mut new = ana();
        for (name, count) in counts.as_object().unwrap() {
            new[name] = count.clone();
        }
        new
    };
    for counts in [
        json!({"streak": 7, "max_streak": 5}),
        json!({"streak": -1}),
        json!({"times_measured": -1}),
        json!({"max_streak": "many"}),
    ] {
        admin.post_json("/users", &with(&counts)).await.expect(422);
    }
    let counts = json!({"times_measured": 20, "streak": 4, "max_streak": 6});
    let created = admin.post_json("/users", &with(&counts)).await.expect(200);
    let counted = ["times_measured", "streak", "max_streak"].map(|name| created[name].clone());
    assert_eq!(counted, [json!(20), json!(0), json!(6)]);
    let other = json!({"streak": 4, "dni": "30111223", "email": "b@clinic.test", "hospital_account": "HC-78"});
    let created = admin.post_json("/users", &with(&other)).await.expect(200);
    assert_eq!(created["max_streak"], 4);
}

#[tokio::test]
async fn names_do_not_rearrange_what_they_are_shown_in() {
    let node = Node::seeded();
    let admin = node.admin().await;
    for (field, value) in [
        ("name", "Ana\u{202e}zaP"),
        ("surname", "\u{2067}Paz"),
        ("hospital_account", "HC\u{200f}-77"),
        ("email", "ana@-clinic.test"),
        ("email", "\u{e1}na@clinic.test"),
    ] {
        let mut bad = ana();
        bad[field] = json!(value);
        admin.post_json("/users", &bad).await.expect(422);
    }
}

#[tokio::test]
async fn unique_values_are_unique() {
    let node = Node::seeded();
    let admin = node.admin().await;
    admin.post_json("/users", &ana()).await.expect(200);
    let again = admin.post_json("/users", &ana()).await.expect(403);
    assert!(
        again["detail"]
            .as_str()
            .unwrap()
            .contains("already has an account")
    );
    for (field, value) in [
        ("email", "other@clinic.test"),
        ("hospital_account", "HC-78"),
    ] {
        let mut other = ana();
        other["dni"] = json!("30111223");
        other[field] = json!(value);
        admin.post_json("/users", &other).await.expect(400);
    }
    admin
        .patch_json("/users/user/1", &json!({"hospital_account": "HC-77"}))
        .await
        .expect(400);
    for (field, value) in [
        ("email", "x"),
        ("dni", ""),
        ("password", "123"),
        ("name", " "),
        ("blocked", "yes"),
    ] {
        let mut bad = ana();
        bad[field] = if field == "blocked" {
            json!("yes")
        } else {
            json!(value)
        };
        admin.post_json("/users", &bad).await.expect(422);
    }
}

#[tokio::test]
async fn staff_manage_their_own_account() {
    let node = Node::seeded();
    let (admin, elsewhere) = (node.admin().await, node.admin().await);
    let me = admin.get("/admin/me").await.expect(200);
    assert_eq!(me["username"], "admin");
    assert_eq!(me.as_object().unwrap().len(), 2);
    let changed = admin
        .put("/admin/mail/change?new_mail=boss@clinic.test")
        .await
        .expect(200);
    assert_eq!(
        changed,
        json!({"username": "admin", "email": "boss@clinic.test"})
    );
    admin
        .put("/admin/mail/change?new_mail=nonsense")
        .await
        .expect(422);
    admin
        .put_json("/admin/password", &json!({"new_password": "short"}))
        .await
        .expect(422);
    admin
        .put_json(
            "/admin/password",
            &json!({"new_password": "una frase larga 1"}),
        )
        .await
        .expect(200);
    admin
        .put("/admin/password?new_password=otra%20frase%20larga%202")
        .await
        .expect(200);
    elsewhere.get("/admin/me").await.expect(401);
    node.anonymous_at_backoffice()
        .token(ADMIN)
        .await
        .expect(401);
    Client::log_in(&node.backoffice_url, ("admin", "otra frase larga 2")).await;
}

#[tokio::test]
async fn admins_register_admins() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let new =
        json!({"username": "dra.paz", "email": "paz@clinic.test", "password": "una frase larga 1"});
    for path in ["/admin/", "/admin"] {
        let answer = admin.post_json(path, &new).await;
        if path == "/admin/" {
            let created = answer.expect(200);
            assert_eq!(
                (&created["username"], created["admin_id"].is_i64()),
                (&json!("dra.paz"), true)
            );
        } else {
            answer.expect(400);
        }
    }
    Client::log_in(&node.backoffice_url, ("dra.paz", "una frase larga 1"))
        .await
        .get("/users")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_registration_that_is_sent_again_with_its_key_is_one() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let send = || {
        let request = admin.request(reqwest::Method::POST, "/users").json(&ana());
        admin.send(request.header("Idempotency-Key", "k-1"))
    };
    let first = send().await.expect(200);
    assert_eq!(send().await.expect(200), first);
}
