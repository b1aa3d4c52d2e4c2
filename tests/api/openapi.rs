//! The committed descriptions of the API are what the code says.

use crate::support::{Client, Node};

#[tokio::test]
async fn the_committed_descriptions_have_not_drifted() {
    let node = Node::seeded();
    for (base, file) in [
        (&node.patient_url, "patient"),
        (&node.backoffice_url, "backoffice"),
    ] {
        let served = Client::new(base, None)
            .get("/openapi.json")
            .await
            .expect(200);
        let path = format!("{}/docs/openapi/{file}.json", env!("CARGO_MANIFEST_DIR"));
        let pretty = serde_json::to_string_pretty(&served).unwrap() + "\n";
        if std::env::var_os("UPDATE_OPENAPI").is_some() {
            std::fs::write(&path, &pretty).unwrap();
        }
        let committed = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            committed == pretty,
            "{path} has drifted: run UPDATE_OPENAPI=1 cargo test --test api openapi"
        );
    }
}
