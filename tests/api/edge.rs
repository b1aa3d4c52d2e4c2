//! What every route has in common: prefixes, slashes, methods, headers, health, CORS.

use reqwest::Method;

use crate::support::{Client, Node};

#[tokio::test]
async fn both_gateways_answer_under_their_prefix_and_with_any_slash() {
    let node = Node::seeded();
    let (patient, admin) = (node.patient().await, node.admin().await);
    for path in ["/users/me", "/users/me/", "/api/users/me", "/api/users/me/"] {
        patient.get(path).await.expect(200);
    }
    for path in [
        "/admin/me",
        "/backoffice/admin/me",
        "/backoffice/users/",
        "/users",
    ] {
        admin.get(path).await.expect(200);
    }
    patient.get("/backoffice/admin/me").await.expect(404);
    Client::log_in(
        &format!("{}/api", node.patient_url),
        crate::support::PATIENT,
    )
    .await;
}

#[tokio::test]
async fn unknown_routes_and_methods_are_json() {
    let node = Node::seeded();
    for base in [&node.patient_url, &node.backoffice_url] {
        let client = Client::new(base, None);
        let answer = client.get("/nowhere").await;
        assert!(!answer.header("x-request-id").is_empty());
        assert_eq!(answer.expect(404)["detail"], "Not Found");
        let answer = client.get("/token").await;
        assert_eq!(answer.header("allow"), "POST");
        assert_eq!(answer.expect(405)["detail"], "Method Not Allowed");
    }
}

#[tokio::test]
async fn liveness_routes_on_both_ports() {
    let node = Node::seeded();
    for base in [&node.patient_url, &node.backoffice_url] {
        let client = Client::new(base, None);
        assert_eq!(client.get("/health").await.text, r#"{"status":"ok"}"#);
        client.get("/health/live").await.expect(200);
        client.get("/health/ready").await.expect(200);
        for path in ["/docs", "/docs/"] {
            let docs = client.get(path).await;
            assert_eq!(docs.status, 200);
            assert!(docs.header("content-type").starts_with("text/html"));
        }
        assert_eq!(
            client.get("/docs/assets/swagger-ui-bundle.js").await.status,
            200
        );
        assert!(client.get("/openapi.json").await.expect(200)["paths"].is_object());
        assert!(client.get("/ca").await.text.contains("<html"));
    }
}

#[tokio::test]
async fn answers_are_not_stored_and_carry_the_request_id() {
    let node = Node::seeded();
    let patient = node.patient().await;
    let answer = patient.get("/users/me").await;
    assert_eq!(answer.header("cache-control"), "no-store");
    assert_eq!(answer.header("content-type"), "application/json");
    assert_eq!(answer.header("x-request-id").len(), 32);
    let request = patient
        .request(Method::GET, "/nowhere")
        .header("X-Request-Id", "abc-1");
    assert_eq!(
        patient.send(request).await.expect(404)["request_id"],
        "abc-1"
    );
    let request = patient
        .request(Method::GET, "/users/me")
        .header("X-Request-Id", "bad id\t");
    assert_eq!(patient.send(request).await.header("x-request-id").len(), 32);
}

#[tokio::test]
async fn only_configured_origins_may_call() {
    let node = Node::seeded();
    let anonymous = node.anonymous();
    let preflight = async |origin: &str| {
        let request = anonymous
            .request(Method::OPTIONS, "/users/me")
            .header("Origin", origin);
        let request = request.header("Access-Control-Request-Method", "GET");
        anonymous
            .send(request.header(
                "Access-Control-Request-Headers",
                "authorization,x-request-id",
            ))
            .await
    };
    for origin in [
        "capacitor://localhost",
        "ionic://localhost",
        "https://localhost",
        "http://localhost:4200",
    ] {
        let answer = preflight(origin).await;
        assert_eq!(answer.header("access-control-allow-origin"), origin);
        assert_eq!(answer.header("access-control-allow-credentials"), "true");
    }
    assert_eq!(
        preflight("https://evil.example")
            .await
            .header("access-control-allow-origin"),
        ""
    );
    for path in ["/token", "/users/me", "/glucose/mine"] {
        let status = anonymous
            .send(anonymous.request(Method::OPTIONS, path))
            .await
            .status
            .as_u16();
        assert!([200, 204, 405].contains(&status), "{path}: {status}");
    }
}

#[tokio::test]
async fn the_bare_address_is_a_page_that_leads_on() {
    let node = Node::seeded();
    for (base, path, links) in [
        (
            &node.patient_url,
            "/",
            &["/ca", "/reset-password", "/docs"][..],
        ),
        (
            &node.patient_url,
            "/api",
            &["/ca", "/reset-password", "/api/docs"],
        ),
        (&node.patient_url, "/api/", &["/api/docs"]),
        (&node.backoffice_url, "/", &["/ca", "/docs"]),
        (&node.backoffice_url, "/backoffice", &["/backoffice/docs"]),
    ] {
        let client = Client::new(base, None);
        let page = client.get(path).await;
        assert_eq!(page.status, 200, "{base}{path}");
        assert!(page.header("content-type").starts_with("text/html"));
        assert!(page.header("content-security-policy").contains("'none'"));
        for link in links {
            assert!(page.text.contains(&format!("href=\"{link}\"")), "{link}");
            assert_eq!(client.get(link).await.status, 200, "{link}");
        }
        assert_eq!(client.get("/home.css").await.status, 200);
    }
    let office = node.anonymous_at_backoffice().get("/").await.text;
    assert!(!office.contains("reset-password"), "it is not there");
}

#[tokio::test]
async fn what_is_on_every_port_is_under_every_prefix() {
    let node = Node::seeded();
    for (base, prefix) in [
        (&node.patient_url, "/api"),
        (&node.backoffice_url, "/backoffice"),
    ] {
        let client = Client::new(base, None);
        for path in [
            "/health",
            "/health/live",
            "/health/ready",
            "/ca",
            "/ca.crt",
            "/docs",
        ] {
            let answer = client.get(&format!("{prefix}{path}")).await;
            assert_eq!(answer.status, 200, "{prefix}{path}");
        }
    }
}
