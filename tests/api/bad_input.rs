//! Rubbish of every kind: the right 4xx, never a 5xx, and nothing stored.

use reqwest::Method;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::support::{Client, Node};

#[tokio::test]
async fn rubbish_bodies_are_refused() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let bodies: Vec<(Vec<u8>, u16)> = vec![
        (b"{".to_vec(), 422),
        (b"[]".to_vec(), 422),
        (b"5".to_vec(), 422),
        (b"".to_vec(), 422),
        (b"\xff\xfe".to_vec(), 422),
        (br#"{"dni":"1","dni":"2"}"#.to_vec(), 422),
        (
            format!("{{\"dni\":{}1{}}}", "[".repeat(1_000), "]".repeat(1_000)).into_bytes(),
            422,
        ),
        (vec![b' '; 200 * 1024], 422),
        (vec![b' '; 300 * 1024], 413),
        (
            json!({"dni": "1".repeat(100)}).to_string().into_bytes(),
            422,
        ),
    ];
    for (body, status) in bodies {
        for path in [
            "/users",
            "/glucose/reading",
            "/appointments/create_resolution",
            "/admin",
        ] {
            let request = admin
                .request(Method::POST, path)
                .header("Content-Type", "application/json");
            let answer = admin.send(request.body(body.clone())).await;
            assert_eq!(
                answer.status.as_u16(),
                status,
                "{path} {:?}",
                String::from_utf8_lossy(&body[..body.len().min(40)])
            );
            assert!(!answer.body["detail"].is_null());
        }
    }
    assert_eq!(
        admin
            .get("/users")
            .await
            .expect(200)
            .as_array()
            .unwrap()
            .len(),
        2
    );
}

#[tokio::test]
async fn rubbish_forms_are_refused() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    for body in [
        &b"username=%ff&password=x"[..],
        b"\xff",
        b"username=a&username=b&password=c",
        b"&&&",
        b"=",
    ] {
        let request = anonymous
            .request(Method::POST, "/token")
            .header("Content-Type", "application/x-www-form-urlencoded");
        let answer = anonymous.send(request.body(body.to_vec())).await;
        assert_eq!(answer.status, 422, "{body:?}");
    }
    let request = anonymous
        .request(Method::POST, "/token")
        .body("grant_type=client_credentials");
    anonymous.send(request).await.expect(400);
}

#[tokio::test]
async fn json_where_a_form_is_wanted_is_told_so() {
    let node = Node::seeded();
    let login = json!({"username": "40123456", "password": "thepassword"});
    for client in [node.anonymous(), node.anonymous_at_backoffice()] {
        let refused = client.post_json("/token", &login).await.expect(422);
        let issue = &refused["detail"][0];
        assert_eq!(issue["loc"], json!(["body"]));
        assert!(
            issue["msg"]
                .as_str()
                .unwrap()
                .contains("application/x-www-form-urlencoded")
        );
        assert!(!refused.to_string().contains("thepassword"));
    }
}

#[tokio::test]
async fn an_issue_shows_what_was_sent_unless_a_password_can_be_in_it() {
    let node = Node::seeded();
    let admin = node.admin().await;
    let input = async |path: &str, body: &serde_json::Value| {
        let answer = admin.put_json(path, body).await.expect(422);
        answer["detail"][0]["input"].clone()
    };
    let priority = "/appointments/priority/1";
    let body = json!({"priority": 30, "reason": "x"});
    assert_eq!(input(priority, &body).await, json!(30));
    assert_eq!(input(priority, &json!({"priority": "x"})).await, json!("x"));
    assert_eq!(input(priority, &json!({"priority": 5})).await, json!(null));
    assert_eq!(input(priority, &json!(["thepassword"])).await, json!(null));
}

#[tokio::test]
async fn a_request_is_for_one_host() {
    let node = Node::seeded();
    let ask = async |head: &str| {
        let address = node.patient_url.trim_start_matches("http://").to_owned();
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET /health {head}Connection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    };
    for head in [
        "HTTP/1.1\r\nHost: a\r\n",
        "HTTP/1.0\r\n",
        "HTTP/1.0\r\nHost: a\r\n",
    ] {
        let answer = ask(head).await;
        assert!(answer.contains(" 200 OK"), "{head}: {answer}");
    }
    for head in [
        "HTTP/1.1\r\n",
        "HTTP/1.1\r\nHost: a\r\nHost: b\r\n",
        "HTTP/1.1\r\nHost: a\r\nHost: a\r\n",
        "HTTP/1.0\r\nHost: a\r\nHost: b\r\n",
    ] {
        let answer = ask(head).await;
        assert!(answer.contains(" 400 Bad Request"), "{head}: {answer}");
        assert!(answer.contains("not_one_host"), "{head}: {answer}");
    }
}

#[tokio::test]
async fn ids_that_cannot_be() {
    let node = Node::seeded();
    let admin = node.admin().await;
    for (id, status) in [
        ("0", 404),
        ("-1", 404),
        ("9223372036854775807", 404),
        ("9223372036854775808", 422),
        ("1.5", 422),
        ("%20", 422),
        ("1%00", 422),
    ] {
        let answer = admin.get(&format!("/users/user/{id}")).await;
        assert_eq!(answer.status.as_u16(), status, "{id}");
    }
}

/// Nobody knows who sends them, so they must not be able to take much.
#[tokio::test]
async fn long_bodies_of_strangers_are_refused() {
    let node = Node::seeded();
    let (patients, office) = (node.anonymous(), Client::new(&node.backoffice_url, None));
    let form = "application/x-www-form-urlencoded";
    let cases = [
        (&patients, "/token", form),
        (&patients, "/token/revoke", form),
        (&patients, "/reset-password", form),
        (&patients, "/reset-password", "application/json"),
        (&patients, "/forgot-password", "application/json"),
        (&office, "/token", form),
        (&office, "/recover", "application/json"),
    ];
    for (client, path, kind) in cases {
        for (bytes, large) in [(8 * 1024, false), (8 * 1024 + 1, true)] {
            let request = client.request(Method::POST, path);
            let request = request.header("Content-Type", kind).body(vec![b' '; bytes]);
            let answer = client.send(request).await;
            assert!(answer.status.is_client_error(), "{path} {answer:?}");
            assert_eq!(answer.status == 413, large, "{path} {bytes} {answer:?}");
        }
    }
}
