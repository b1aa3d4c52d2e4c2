//! Every route against every role: deny by default.
//!
//! The table names each operation of the two API descriptions once. A route that is not in it fails
//! the test, and so does a row without a route.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::Value;

use crate::support::{Client, Node, islet, run};

/// Who may use a route.
#[derive(Clone, Copy, PartialEq)]
enum May {
    Anyone,
    Patient,
    Staff,
    Admin,
}
use May::{Admin, Anyone, Patient, Staff};

const PATIENT_ROUTES: &[(&str, &str, May)] = &[
    ("POST", "/token", Anyone),
    ("POST", "/token/revoke", Anyone),
    ("POST", "/forgot-password", Anyone),
    ("POST", "/reset-password", Anyone),
    ("GET", "/users/me", Patient),
    ("PATCH", "/users/me", Patient),
    ("PUT", "/users/me/password", Patient),
    ("POST", "/glucose/create", Patient),
    ("GET", "/glucose/mine", Patient),
    ("GET", "/glucose/mine/latest", Patient),
    ("GET", "/achievements/streak", Patient),
    ("GET", "/achievements", Patient),
    ("GET", "/appointments/state", Patient),
    ("POST", "/appointments/submit", Patient),
    ("POST", "/appointments/cancel", Patient),
    ("GET", "/appointments/placement", Patient),
    ("GET", "/appointments/queue/open", Patient),
    ("POST", "/appointments/create", Patient),
    ("GET", "/appointments/mine", Patient),
    ("GET", "/appointments/{id}/resolution", Patient),
    ("POST", "/v1/sessions", Anyone),
    ("POST", "/v1/sessions/refresh", Anyone),
    ("POST", "/v1/sessions/end", Anyone),
    ("GET", "/v1/profile", Patient),
    ("PATCH", "/v1/profile", Patient),
    ("PUT", "/v1/profile/password", Patient),
    ("GET", "/v1/counters", Patient),
    ("GET", "/v1/readings", Patient),
    ("POST", "/v1/readings", Patient),
    ("GET", "/v1/readings/{id}", Patient),
    ("POST", "/v1/readings/batch", Patient),
    ("GET", "/v1/changes", Patient),
    ("POST", "/v1/tickets", Patient),
    ("GET", "/v1/events", Patient),
    ("GET", "/ws/readings", Patient),
    ("GET", "/v1/queue", Patient),
    ("PUT", "/v1/queue/place", Patient),
    ("DELETE", "/v1/queue/place", Patient),
    ("GET", "/v1/appointments", Patient),
    ("POST", "/v1/appointments", Patient),
    ("GET", "/v1/appointments/{id}", Patient),
    ("GET", "/v1/appointments/{id}/resolution", Patient),
];

const BACKOFFICE_ROUTES: &[(&str, &str, May)] = &[
    ("POST", "/token", Anyone),
    ("POST", "/token/revoke", Anyone),
    ("POST", "/recover", Anyone),
    ("GET", "/admin/me", Staff),
    ("PUT", "/admin/mail/change", Staff),
    ("PUT", "/admin/password", Staff),
    ("POST", "/admin", Admin),
    ("GET", "/users", Staff),
    ("POST", "/users", Staff),
    ("GET", "/users/user/{id}", Staff),
    ("PATCH", "/users/user/{id}", Staff),
    ("POST", "/users/block/{id}", Staff),
    ("POST", "/users/desk-code/{id}", Staff),
    ("GET", "/appointments/queue", Staff),
    ("GET", "/appointments/pending", Staff),
    ("GET", "/appointments/accepted", Staff),
    ("GET", "/appointments/created", Staff),
    ("GET", "/appointments/queue/size", Staff),
    ("POST", "/appointments/queue/size", Staff),
    ("GET", "/appointments/queue/open", Staff),
    ("POST", "/appointments/queue/open", Staff),
    ("POST", "/appointments/queue/close", Staff),
    ("PUT", "/appointments/accept/{id}", Staff),
    ("PUT", "/appointments/deny/{id}", Staff),
    ("PUT", "/appointments/no-show/{id}", Staff),
    ("PUT", "/appointments/put-back/{id}", Staff),
    ("GET", "/appointments/priority", Staff),
    ("PUT", "/appointments/priority/{id}", Staff),
    ("DELETE", "/appointments", Staff),
    ("GET", "/appointments/from_user/{id}", Staff),
    ("GET", "/appointments/from_user/latest/{id}", Staff),
    ("GET", "/appointments/{id}/resolution", Staff),
    ("POST", "/appointments/create_resolution", Staff),
    ("GET", "/glucose/user/{id}", Staff),
    ("GET", "/glucose/user/{id}/latest", Staff),
    ("GET", "/glucose/readings", Staff),
    ("POST", "/glucose/reading", Staff),
    ("DELETE", "/glucose/reading/{id}", Staff),
    ("GET", "/v1/conflicts", Staff),
    ("GET", "/v1/conflicts/{id}", Staff),
    ("POST", "/v1/conflicts/{id}/settlement", Staff),
    ("GET", "/v1/readings/{id}", Staff),
    ("PATCH", "/v1/readings/{id}", Staff),
    ("DELETE", "/v1/readings/{id}", Staff),
    ("POST", "/v1/sessions", Anyone),
    ("POST", "/v1/sessions/refresh", Anyone),
    ("POST", "/v1/sessions/end", Anyone),
    ("GET", "/v1/profile", Staff),
    ("PATCH", "/v1/profile", Staff),
    ("PUT", "/v1/profile/password", Staff),
    ("GET", "/v1/staff", Admin),
    ("POST", "/v1/staff", Admin),
    ("PATCH", "/v1/staff/{id}", Admin),
    ("GET", "/v1/patients", Staff),
    ("POST", "/v1/patients", Staff),
    ("GET", "/v1/patients/{id}", Staff),
    ("PATCH", "/v1/patients/{id}", Staff),
    ("POST", "/v1/patients/{id}/desk-codes", Staff),
    ("GET", "/v1/patients/{id}/readings", Staff),
    ("POST", "/v1/patients/{id}/readings", Staff),
    ("GET", "/v1/patients/{id}/appointments", Staff),
    ("GET", "/v1/appointments/{id}", Staff),
    ("GET", "/v1/appointments/{id}/resolution", Staff),
    ("PUT", "/v1/appointments/{id}/resolution", Staff),
    ("GET", "/v1/changes", Staff),
    ("POST", "/v1/tickets", Staff),
    ("GET", "/v1/events", Staff),
    ("GET", "/ws/readings", Staff),
    ("GET", "/v1/queue", Staff),
    ("PATCH", "/v1/queue", Staff),
    ("DELETE", "/v1/queue/places", Staff),
    ("POST", "/v1/queue/places/{id}/decision", Staff),
    ("PUT", "/v1/queue/places/{id}/priority", Staff),
    ("GET", "/v1/audit", Admin),
    ("GET", "/v1/peers", Admin),
    ("GET", "/v1/settings", Staff),
    ("PATCH", "/v1/settings", Admin),
];

/// What the description says: method, path, and whether it asks for a token.
async fn described(client: &Client) -> BTreeSet<(String, String, bool)> {
    let description = client.get("/openapi.json").await.expect(200);
    let mut found = BTreeSet::new();
    for (path, operations) in description["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let guarded = operation["security"]
                .as_array()
                .is_some_and(|schemes| !schemes.is_empty());
            found.insert((method.to_uppercase(), path.clone(), guarded));
        }
    }
    found
}

async fn call(client: &Client, method: &str, path: &str, body: Option<&Value>) -> u16 {
    let request = client.request(
        Method::from_bytes(method.as_bytes()).unwrap(),
        &path.replace("{id}", "999"),
    );
    let request = match body {
        Some(body) => request.json(body),
        None => request,
    };
    client.send(request).await.status.as_u16()
}

#[tokio::test]
async fn every_route_has_a_row_and_asks_for_a_token() {
    let node = Node::seeded();
    let both = [
        (node.anonymous(), PATIENT_ROUTES),
        (node.anonymous_at_backoffice(), BACKOFFICE_ROUTES),
    ];
    for (client, table) in both {
        let rows = table
            .iter()
            .map(|(method, path, may)| ((*method).to_owned(), (*path).to_owned(), *may != Anyone));
        assert_eq!(described(&client).await, rows.collect::<BTreeSet<_>>());
    }
}

#[tokio::test]
async fn every_route_against_every_role() {
    let node = Node::seeded();
    run(islet()
        .args(["user", "add", "--role", "staff", "--data"])
        .arg(node.data())
        .args(staff_flags(&node)));
    let staff = Client::log_in(&node.backoffice_url, ("recepcion", "una frase larga 1")).await;
    let (patient, admin) = (node.patient().await, node.admin().await);
    let empty = serde_json::json!({});
    for (base, table) in [
        (&node.patient_url, PATIENT_ROUTES),
        (&node.backoffice_url, BACKOFFICE_ROUTES),
    ] {
        for (method, path, may) in table {
            let personas = [
                (None, None),
                (Some(Patient), patient.token.clone()),
                (Some(Staff), staff.token.clone()),
                (Some(Admin), admin.token.clone()),
            ];
            for (role, token) in personas {
                let client = Client::new(base, token);
                // Without a body and with one: who asks is looked at first.
                for body in [None, Some(&empty)] {
                    let status = call(&client, method, path, body).await;
                    let allowed = match may {
                        Anyone => true,
                        Patient => role == Some(Patient),
                        Staff => role == Some(Staff) || role == Some(Admin),
                        Admin => role == Some(Admin),
                    };
                    let expected_refusal = if *may == Admin && role == Some(Staff) {
                        403
                    } else {
                        401
                    };
                    if allowed {
                        assert!(
                            status < 500 && (*may == Anyone || (status != 401 && status != 403)),
                            "{method} {path}: {status}"
                        );
                    } else {
                        let who = role.is_some();
                        assert_eq!(status, expected_refusal, "{method} {path} as {who}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn staff_cannot_make_admins() {
    let node = Node::seeded();
    run(islet()
        .args(["user", "add", "--role", "staff", "--data"])
        .arg(node.data())
        .args(staff_flags(&node)));
    let staff = Client::log_in(&node.backoffice_url, ("recepcion", "una frase larga 1")).await;
    // Whatever they send: nobody but an admin learns what would be accepted.
    for new in [
        serde_json::json!({}),
        serde_json::json!({"username": "intruder", "email": "i@x.test", "password": "una frase larga 2"}),
    ] {
        staff.post_json("/admin", &new).await.expect(403);
    }
    // Refusals are durable within a second, not at once.
    for _ in 0..50 {
        let mut log = islet();
        log.args(["audit", "log", "--outcome", "denied", "--json", "--data"]);
        if run(log.arg(node.data())).matches("staff.create").count() == 2 {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the refusals are not in the audit log");
}

fn staff_flags(node: &Node) -> Vec<String> {
    let file = node.data().parent().unwrap().join("password");
    std::fs::write(&file, "una frase larga 1").unwrap();
    [
        "recepcion",
        "--email",
        "recepcion@clinic.test",
        "--password-file",
    ]
    .iter()
    .map(|flag| (*flag).to_owned())
    .chain([file.to_str().unwrap().to_owned()])
    .collect()
}
