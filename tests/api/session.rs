//! Log-in, tokens, recovery.

use reqwest::Method;
use serde_json::json;

use crate::support::{ADMIN, Client, Node, OTHER_PATIENT, PATIENT};

#[tokio::test]
async fn a_log_in_has_the_form_that_the_app_reads() {
    let node = Node::seeded();
    let answer = node.anonymous().token(PATIENT).await.expect(200);
    assert_eq!(answer["token_type"], "bearer");
    assert_eq!(answer["expires_in"], 1800);
    assert_eq!(
        answer["access_token"].as_str().unwrap().split('.').count(),
        3
    );
    assert!(answer["refresh_token"].is_string());
    // By e-mail address too, in any case.
    node.anonymous()
        .token(("TEST40123456@diabetactic.com", PATIENT.1))
        .await
        .expect(200);
}

#[tokio::test]
async fn wrong_and_missing_credentials() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    for login in [(PATIENT.0, "wrong"), ("99999999", "wrong"), ADMIN] {
        let answer = anonymous.token(login).await;
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert_eq!(answer.expect(401)["detail"], "Incorrect mail or password");
    }
    for form in [
        &[("username", PATIENT.0)][..],
        &[("password", "x")],
        &[("username", ""), ("password", "")],
        &[],
    ] {
        let request = anonymous.request(Method::POST, "/token").form(form);
        let answer = anonymous.send(request).await.expect(422);
        assert!(answer["detail"].is_array());
    }
}

#[tokio::test]
async fn two_sessions_of_one_patient_are_both_valid() {
    let node = Node::seeded();
    let (first, second) = (node.patient().await, node.patient().await);
    first.get("/users/me").await.expect(200);
    second.get("/users/me").await.expect(200);
}

async fn refresh(client: &Client, token: &str) -> crate::support::Answer {
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    client
        .send(client.request(Method::POST, "/token").form(&form))
        .await
}

#[tokio::test]
async fn refresh_rotates_and_a_reused_token_ends_the_session() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    let first = anonymous.token(PATIENT).await.expect(200);
    let token = |answer: &serde_json::Value| answer["refresh_token"].as_str().unwrap().to_owned();
    let second = refresh(&anonymous, &token(&first)).await.expect(200);
    assert_ne!(token(&first), token(&second));
    // A phone that lost the answer asks again.
    refresh(&anonymous, &token(&first)).await.expect(200);
    let third = refresh(&anonymous, &token(&second)).await.expect(200);
    // Two generations old: somebody else holds it.
    let reused = refresh(&anonymous, &token(&first)).await.expect(401);
    assert_eq!(reused["detail"], "Invalid or expired refresh token");
    refresh(&anonymous, &token(&third)).await.expect(401);
    let access = Client::new(
        &node.patient_url,
        Some(third["access_token"].as_str().unwrap().into()),
    );
    access.get("/users/me").await.expect(401);
    assert_eq!(refresh(&anonymous, "nonsense").await.status, 401);
    let form = [("grant_type", "refresh_token")];
    anonymous
        .send(anonymous.request(Method::POST, "/token").form(&form))
        .await
        .expect(400);
}

#[tokio::test]
async fn revoking_ends_the_session_at_once_and_can_be_repeated() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    let tokens = anonymous.token(PATIENT).await.expect(200);
    let client = Client::new(
        &node.patient_url,
        Some(tokens["access_token"].as_str().unwrap().into()),
    );
    client.get("/users/me").await.expect(200);
    let form = [("refresh_token", tokens["refresh_token"].as_str().unwrap())];
    for _ in 0..2 {
        anonymous
            .send(anonymous.request(Method::POST, "/token/revoke").form(&form))
            .await
            .expect(200);
    }
    client.get("/users/me").await.expect(401);
    anonymous.post("/logout").await.expect(404);
    node.patient().await.get("/users/me").await.expect(200);
}

#[tokio::test]
async fn revoking_an_access_token_ends_its_session() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    let tokens = anonymous.token(PATIENT).await.expect(200);
    let access = tokens["access_token"].as_str().unwrap();
    let client = Client::new(&node.patient_url, Some(access.to_owned()));
    client.get("/users/me").await.expect(200);
    // At the other port it is no token.
    for (at, expected) in [(node.anonymous_at_backoffice(), 200), (anonymous, 401)] {
        let form = [("token", access)];
        let request = at.request(Method::POST, "/token/revoke").form(&form);
        at.send(request).await.expect(200);
        client.get("/users/me").await.expect(expected);
    }
    let token = tokens["refresh_token"].as_str().unwrap();
    refresh(&node.anonymous(), token).await.expect(401);
}

#[tokio::test]
async fn hostile_tokens_are_401() {
    let node = Node::seeded();
    let good = node.patient().await.token.unwrap();
    let admin = node.admin().await.token.unwrap();
    let other_node = Node::seeded().patient().await.token.unwrap();
    let mut parts: Vec<_> = good.split('.').collect();
    let none = format!("eyJhbGciOiJub25lIn0.{}.", parts[1]);
    parts.swap(0, 1);
    let swapped = parts.join(".");
    let cut = &good[..good.len() - 2];
    let long = "a".repeat(6_000);
    for token in [
        "",
        "x",
        "a.b.c",
        &none,
        &swapped,
        cut,
        &long,
        &admin,
        &other_node,
        "....",
        "é",
    ] {
        let answer = Client::new(&node.patient_url, None);
        let request = answer.request(Method::GET, "/users/me");
        let request = request.header("Authorization", format!("Bearer {token}").into_bytes());
        let answer = answer.send(request).await;
        assert_eq!(answer.status, 401, "{token}");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
        assert!(!answer.text.is_empty());
    }
    for header in ["Basic dTpw", &format!("Token {good}"), &good, "Bearer"] {
        let anonymous = node.anonymous();
        let request = anonymous
            .request(Method::GET, "/users/me")
            .header("Authorization", header);
        anonymous.send(request).await.expect(401);
    }
    // A patient is nobody at the back office.
    Client::new(&node.backoffice_url, Some(good))
        .get("/admin/me")
        .await
        .expect(401);
}

#[tokio::test]
async fn blocking_a_patient_ends_their_sessions() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    assert_eq!(
        admin.post("/users/block/1").await.expect(200)["blocked"],
        true
    );
    patient.get("/users/me").await.expect(401);
    let refused = node.anonymous().token(PATIENT).await.expect(401);
    assert!(
        refused["detail"].as_str().unwrap().contains("blocked"),
        "{refused}"
    );
    assert_eq!(
        admin.post("/users/block/1").await.expect(200)["blocked"],
        false
    );
    node.patient().await;
}

#[tokio::test]
async fn five_failures_a_minute_and_no_more() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    for _ in 0..5 {
        anonymous.token((PATIENT.0, "wrong")).await.expect(401);
    }
    let answer = anonymous.token(PATIENT).await;
    let seconds: u64 = answer.header("retry-after").parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(answer.expect(429)["code"], "throttled");
}

#[tokio::test]
async fn one_who_mistypes_does_not_shut_out_the_others_of_the_address() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    for _ in 0..5 {
        anonymous.token((PATIENT.0, "wrong")).await.expect(401);
    }
    anonymous.token(PATIENT).await.expect(429);
    anonymous.token(OTHER_PATIENT).await.expect(200);
    // One password on many accounts from one address: it is closed after the fifth.
    for number in 1..5 {
        let name = format!("5000000{number}");
        anonymous.token((&name, "argentina")).await.expect(401);
    }
    anonymous.token(("50000005", "argentina")).await.expect(429);
}

#[tokio::test]
async fn a_clinic_that_logs_in_from_one_address_is_not_throttled() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    let logins = (0..67).map(|_| anonymous.token(PATIENT));
    for answer in futures_util::future::join_all(logins).await {
        answer.expect(200);
    }
}

#[tokio::test]
async fn a_desk_code_sets_a_new_password_once() {
    let node = Node::seeded();
    let (patient, admin, anonymous) = (node.patient().await, node.admin().await, node.anonymous());
    let code = admin.post("/users/desk-code/1").await.expect(200)["code"]
        .as_str()
        .unwrap()
        .to_owned();
    let reset = async |token: &str, password: &str| {
        anonymous
            .post_json(
                "/reset-password",
                &json!({"token": token, "new_password": password}),
            )
            .await
    };
    reset(&code, "123").await.expect(422);
    let typed = code.to_lowercase().replace('-', " ");
    let answer = reset(&typed, "otra clave 77").await.expect(200);
    assert!(answer["message"].is_string() && answer["status"].is_string());
    patient.get("/users/me").await.expect(401);
    anonymous.token(PATIENT).await.expect(401);
    anonymous
        .token((PATIENT.0, "otra clave 77"))
        .await
        .expect(200);
    // The app sends a request up to four times. Nothing changes, and the answer is the same.
    let session = Client::log_in(&node.patient_url, (PATIENT.0, "otra clave 77")).await;
    for _ in 0..6 {
        let again = reset(&code, "otra clave 77").await.expect(200);
        assert_eq!(again, answer);
    }
    let form = [
        ("token", code.as_str()),
        ("new_password", "otra clave 77"),
        ("repeated_password", "otra clave 77"),
    ];
    let request = anonymous.request(Method::POST, "/reset-password");
    let page = anonymous.send(request.form(&form)).await;
    assert!(
        page.status == 200 && page.text.contains("fue cambiada"),
        "{page:?}"
    );
    session.get("/users/me").await.expect(200);
    let again = reset(&code, "tercera clave 9").await.expect(400);
    assert!(
        again["detail"]
            .as_str()
            .unwrap()
            .to_lowercase()
            .contains("invalid")
    );
}

#[tokio::test]
async fn a_password_is_changed_once_and_to_another() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    let change = json!({"current_password": PATIENT.1, "new_password": "otra clave 77"});
    let same = json!({"current_password": PATIENT.1, "new_password": PATIENT.1});
    let said = patient
        .put_json("/users/me/password", &same)
        .await
        .expect(422);
    let said = said["detail"][0]["msg"].as_str().unwrap();
    assert!(said.contains("distinta de la actual"), "{said}");
    let new = json!({"new_password": "una frase larga 1"});
    for _ in 0..4 {
        patient
            .put_json("/users/me/password", &change)
            .await
            .expect(200);
        admin.put_json("/admin/password", &new).await.expect(200);
    }
    let guess = json!({"current_password": PATIENT.1, "new_password": "tercera clave 9"});
    patient
        .put_json("/users/me/password", &guess)
        .await
        .expect(400);
    // Somebody else of the same account has not sent that before.
    let login = ("admin", "una frase larga 1");
    let other = Client::log_in(&node.backoffice_url, login).await;
    other.put_json("/admin/password", &new).await.expect(422);
    // A code from the desk is not for keeping the old one.
    let code = admin.post("/users/desk-code/2").await.expect(200)["code"].clone();
    let kept = json!({"token": code, "new_password": OTHER_PATIENT.1});
    let anonymous = node.anonymous();
    let said = anonymous
        .post_json("/reset-password", &kept)
        .await
        .expect(422);
    let said = said["detail"][0]["msg"].as_str().unwrap();
    assert!(said.contains("distinta de la actual"), "{said}");
    anonymous.token(OTHER_PATIENT).await.expect(200);
}

#[tokio::test]
async fn asking_for_a_mail_tells_nothing() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    for email in ["test40123456@diabetactic.com", "nobody@example.org"] {
        let answer = anonymous
            .post_json("/forgot-password", &json!({"email": email}))
            .await
            .expect(200);
        assert_eq!(answer, "Mail should be received anytime");
    }
    anonymous
        .post_json("/forgot-password", &json!({"email": "nonsense"}))
        .await
        .expect(422);
    let office = node.anonymous_at_backoffice();
    for path in [
        "/recover?username=admin",
        "/recover?email=nobody@example.org",
    ] {
        assert!(office.post(path).await.expect(200).is_string());
    }
    assert!(
        office
            .post_json("/recover", &json!({"email": "x@example.org"}))
            .await
            .expect(200)
            .is_string()
    );
    office.post("/recover").await.expect(422);
}

#[tokio::test]
async fn the_page_for_a_new_password_keeps_the_clinics_name() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    let page = anonymous.get("/reset-password").await.text;
    let name = page.split("class=\"clinic\">").nth(1).unwrap();
    let name = name.split('<').next().unwrap();
    assert!(!name.is_empty());
    let send = async |code: &str, password: &str| {
        let form = [
            ("token", code),
            ("new_password", password),
            ("repeated_password", "otra clave 77"),
        ];
        let request = anonymous.request(reqwest::Method::POST, "/api/reset-password");
        anonymous.send(request.form(&form)).await
    };
    for password in ["another", "otra clave 77"] {
        let answer = send("7KQ-M2RT-9XA", password).await;
        assert_eq!(answer.status, 400);
        assert!(answer.text.contains(name), "{}", answer.text);
    }
}
