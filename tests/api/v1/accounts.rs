//! Sessions, profiles, patients and staff.

use serde_json::json;

use super::{problem, with_tag};
use crate::support::{Client, Node, PATIENT};

#[tokio::test]
async fn a_session_begins_goes_on_and_ends() {
    let node = Node::seeded();
    let anybody = node.anonymous();
    let log_in = json!({"username": PATIENT.0, "password": PATIENT.1});
    let begun = anybody.post_json("/v1/sessions", &log_in).await.expect(201);
    let next = anybody
        .post_json(
            "/v1/sessions/refresh",
            &json!({"refresh_token": begun["refresh_token"]}),
        )
        .await
        .expect(200);
    assert_eq!(next["expires_in_s"], 1800);
    let token = next["access_token"].as_str().unwrap().to_owned();
    let ana = Client::new(&node.patient_url, Some(token.clone()));
    ana.get("/v1/profile").await.expect(200);
    // A patient's token is nothing at the back office.
    let office = Client::new(&node.backoffice_url, Some(token));
    problem(office.get("/v1/profile").await, 401, "unauthenticated");
    let over = json!({"refresh_token": next["refresh_token"]});
    anybody
        .post_json("/v1/sessions/end", &over)
        .await
        .expect(204);
    problem(ana.get("/v1/profile").await, 401, "unauthenticated");
    problem(
        anybody.post_json("/v1/sessions/refresh", &over).await,
        401,
        "bad_refresh_token",
    );
    let wrong = json!({"username": PATIENT.0, "password": "x"});
    problem(
        anybody.post_json("/v1/sessions", &wrong).await,
        401,
        "bad_credentials",
    );
    problem(
        anybody.post_json("/v1/sessions", &json!({})).await,
        422,
        "invalid",
    );
}

#[tokio::test]
async fn two_who_edit_one_profile_do_not_overwrite_each_other() {
    let node = Node::seeded();
    let (ana, boss) = (node.patient().await, node.admin().await);
    let seen = ana.get("/v1/profile").await;
    let tag = seen.header("etag").to_owned();
    let id = seen.expect(200)["id"].as_i64().unwrap();
    // A reading is no edit of the profile.
    super::hand_in(&ana, &super::stick(1, 100.0)).await;
    let path = format!("/v1/patients/{id}");
    let name = json!({"name": "Anita"});
    let by_staff = with_tag(&boss, ("PATCH", &path), ("if-match", &tag), &name).await;
    assert_eq!(by_staff.expect(200)["name"], "Anita");
    let patch = ("PATCH", "/v1/profile");
    let mine = json!({"surname": "Paz"});
    problem(
        with_tag(&ana, patch, ("if-match", &tag), &mine).await,
        412,
        "changed",
    );
    let now = ana.get("/v1/profile").await.header("etag").to_owned();
    let tags = format!("\"other\", {now}");
    let edited = with_tag(&ana, patch, ("if-match", &tags), &mine)
        .await
        .expect(200);
    assert_eq!(
        (&edited["name"], &edited["surname"]),
        (&json!("Anita"), &json!("Paz"))
    );
    assert_eq!(
        ana.get("/v1/counters").await.expect(200)["times_measured"],
        1
    );
}

#[tokio::test]
async fn patients_are_found_by_name_and_dni() {
    let node = Node::seeded();
    let boss = node.admin().await;
    for (number, name, surname) in [
        (1, "José", "Núñez"),
        (2, "Josefa", "Gómez"),
        (3, "Ana", "Nu"),
    ] {
        let new = json!({"dni": format!("3011122{number}"), "name": name, "surname": surname,
            "email": format!("p{number}@x.test"), "hospital_account": format!("HC-{number}"),
            "password": "una frase larga 1"});
        let key = ("idempotency-key", "k");
        let made = with_tag(&boss, ("POST", "/v1/patients"), key, &new)
            .await
            .expect(201);
        let again = with_tag(&boss, ("POST", "/v1/patients"), key, &new)
            .await
            .expect(201);
        assert_eq!(made, again);
    }
    let found = async |search: &str| {
        let page = boss
            .get(&format!("/v1/patients?{search}"))
            .await
            .expect(200);
        let items = page["items"].as_array().unwrap().clone();
        let names = items
            .iter()
            .map(|it| it["name"].as_str().unwrap().to_owned());
        (
            names.collect::<Vec<_>>(),
            page["next"].as_str().map(str::to_owned),
        )
    };
    assert_eq!(found("search=jose").await.0, ["José", "Josefa"]);
    assert_eq!(found("search=nunez+jos").await.0, ["José"]);
    assert_eq!(found("search=30.111.22").await.0, ["José", "Josefa", "Ana"]);
    let (first, next) = found("search=nu&limit=1").await;
    let (second, end) = found(&format!("search=nu&limit=1&after={}", next.unwrap())).await;
    assert_eq!(
        (first, second, end),
        (vec!["José".into()], vec!["Ana".into()], None)
    );
    problem(boss.get("/v1/patients?search=").await, 422, "invalid");
    let taken = json!({"dni": "30111221", "name": "x", "surname": "y", "email": "z@x.test",
        "hospital_account": "HC-9", "password": "una frase larga 1"});
    problem(boss.post_json("/v1/patients", &taken).await, 409, "taken");
}

#[tokio::test]
async fn staff_accounts_are_made_and_blocked_by_administrators() {
    let node = Node::seeded();
    let boss = node.admin().await;
    let new = json!({"username": "dra.paz", "email": "paz@x.test", "role": "staff",
        "password": "caballo bateria grapa"});
    let made = boss.post_json("/v1/staff", &new).await.expect(201);
    assert_eq!(
        (&made["role"], &made["blocked"]),
        (&json!("staff"), &json!(false))
    );
    let paz = Client::log_in(&node.backoffice_url, ("dra.paz", "caballo bateria grapa")).await;
    assert_eq!(paz.get("/v1/profile").await.expect(200), made);
    problem(paz.get("/v1/staff").await, 403, "forbidden");
    problem(paz.get("/v1/audit").await, 403, "forbidden");
    let path = format!("/v1/staff/{}", made["id"]);
    let blocked = boss
        .patch_json(&path, &json!({"blocked": true}))
        .await
        .expect(200);
    assert_eq!(blocked["blocked"], true);
    problem(paz.get("/v1/profile").await, 401, "unauthenticated");
    let me = boss.get("/v1/profile").await.expect(200);
    let myself = format!("/v1/staff/{}", me["id"]);
    problem(
        boss.patch_json(&myself, &json!({"blocked": true})).await,
        409,
        "last_admin",
    );
    assert_eq!(
        boss.get("/v1/staff").await.expect(200)["items"],
        json!([me, blocked])
    );
}
