//! A phone that moves from one node of the clinic to another.

use reqwest::Method;
use serde_json::{Value, json};

use super::support::{Answer, Client};
use super::{Clinic, LOOKS, PAUSE};

const DOCTOR: (&str, &str) = ("dra.paz", "nueve perros cantan");
const ANA: (&str, &str) = ("30111222", "una clave 55");

fn create(day: u8) -> String {
    format!(
        "/glucose/create?glucose_level=132&reading_type=CENA&created_at=2026-03-0{day}T00:04:09Z"
    )
}

async fn refresh(client: &Client, token: &Value) -> Answer {
    let token = token.as_str().unwrap();
    let form = [("grant_type", "refresh_token"), ("refresh_token", token)];
    let request = client.request(Method::POST, "/token").form(&form);
    client.send(request).await
}

/// Asks until the answer has this status: news take a moment to come.
async fn until(client: &Client, path: &str, status: u16) -> Value {
    for _ in 0..LOOKS {
        let answer = client.get(path).await;
        if answer.status == status {
            return answer.body;
        }
        tokio::time::sleep(PAUSE).await;
    }
    panic!("{path} never answered {status}");
}

fn ids(history: &Value) -> Vec<i64> {
    let readings = history["readings"].as_array().unwrap().iter();
    readings.map(|it| it["id"].as_i64().unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_phone_stays_logged_in_when_its_node_is_switched_off() {
    let clinic = Clinic::new();
    let a = clinic.serve("a");
    clinic.join("b", &clinic.invite("a")).ok();
    let b = clinic.serve("b");
    clinic.until_linked("a", "b");
    let doctor = Client::log_in(&a.backoffice_url, DOCTOR).await;
    let ana = json!({
        "dni": ANA.0, "name": "Ana", "surname": "Paz", "email": "ana@clinic.test",
        "hospital_account": "HC-77", "password": ANA.1
    });
    let patient_id = doctor.post_json("/users/", &ana).await.expect(200)["user_id"].clone();
    let tokens = Client::new(&a.patient_url, None)
        .token(ANA)
        .await
        .expect(200);
    let access = tokens["access_token"].as_str().unwrap().to_owned();
    let phone = Client::new(&a.patient_url, Some(access));
    let first = phone.post(&create(6)).await.expect(201);
    // The other node knows the session and the reading a moment later.
    let mut phone = phone.at(&b.patient_url);
    until(&phone, "/users/me", 200).await;
    for _ in 0..LOOKS {
        if !ids(&phone.get("/glucose/mine").await.expect(200)).is_empty() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    assert_eq!(a.stop().0, Some(0));

    let next = refresh(&phone, &tokens["refresh_token"]).await.expect(200);
    phone.token = next["access_token"].as_str().map(str::to_owned);
    // It sends the reading again, whose answer it may have lost, and one more.
    assert_eq!(phone.post(&create(6)).await.expect(201), first);
    let second = phone.post(&create(7)).await.expect(201);
    assert_eq!([&first["user_id"], &second["user_id"]], [&patient_id; 2]);
    let history = phone.get("/glucose/mine").await.expect(200);
    let expected = [&first["id"], &second["id"]].map(|id| id.as_i64().unwrap());
    assert_eq!(ids(&history), expected);
    Client::log_in(&b.patient_url, ANA).await;

    // Back on, the first node takes the tokens of the other, and learns of the log-out there.
    let a = clinic.serve("a");
    let home = phone.at(&a.patient_url);
    until(&home, "/users/me", 200).await;
    let form = [("refresh_token", next["refresh_token"].as_str().unwrap())];
    let log_out = phone.request(Method::POST, "/token/revoke").form(&form);
    phone.send(log_out).await.expect(200);
    until(&home, "/users/me", 401).await;
    let refused = refresh(&home, &next["refresh_token"]).await;
    assert_eq!(refused.status, 401);
    let history = Client::log_in(&a.patient_url, ANA)
        .await
        .get("/glucose/mine")
        .await
        .expect(200);
    assert_eq!(ids(&history), expected);
}
