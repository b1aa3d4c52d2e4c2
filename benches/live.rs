//! Thousands of WebSocket clients of one node: from the commit of a reading until each has seen it, and what they cost.
//!
//! `cargo bench --bench live [-- CLIENTS]`. Reads `/proc`, so it runs on Linux only. Clients and node share the machine.
#![expect(clippy::unwrap_used, reason = "a bench that fails should stop")]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use tokio::sync::mpsc;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;

const ROUNDS: u32 = 50;

fn main() {
    let clients: usize = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(2_000);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let islet = || Command::new(env!("CARGO_BIN_EXE_islet"));
    let seeded = islet()
        .arg("seed")
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::null())
        .status();
    assert!(seeded.unwrap().success());
    let mut node = islet();
    node.arg("serve");
    let most = (clients * 2 + 64).to_string();
    for bound in ["TOTAL", "PER_ADDRESS", "LOOPBACK"] {
        node.env(format!("ISLET_CONNECTIONS_{bound}_MAX"), &most);
    }
    for part in ["--http", "--backoffice", "--https"] {
        node.args([part, "127.0.0.1:0"]);
    }
    let node = node
        .env("ISLET_PEER", "off")
        .env("ISLET_DISCOVERY", "false")
        .env("ISLET_LOG", "error")
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut node = Killed(node);
    let mut ready = String::new();
    BufReader::new(node.0.stdout.take().unwrap())
        .read_line(&mut ready)
        .unwrap();
    let url = ready
        .split_whitespace()
        .skip_while(|word| *word != "ready:")
        .nth(1)
        .unwrap()
        .trim_end_matches(',')
        .to_owned();
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(measure(node.0.id(), &url, clients));
}

/// Ends the node also when the bench fails.
struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
    }
}

async fn measure(node: u32, url: &str, clients: usize) {
    let http = reqwest::Client::builder().no_proxy().build().unwrap();
    let login = serde_json::json!({"username": "40123456", "password": "thepassword"});
    let session = http
        .post(format!("{url}/v1/sessions"))
        .json(&login)
        .send()
        .await
        .unwrap();
    let session: serde_json::Value = session.json().await.unwrap();
    let token = session["access_token"].as_str().unwrap().to_owned();
    let (told, mut seen) = mpsc::unbounded_channel();
    let address = format!("{}/ws/readings?token={token}", url.replace("http", "ws"));
    for _ in 0..clients {
        let (mut socket, _) = connect_async(&address).await.unwrap();
        let told = told.clone();
        tokio::spawn(async move {
            while let Some(Ok(message)) = socket.next().await {
                let Message::Text(text) = message else {
                    continue;
                };
                if text.contains("\"event\":\"reading\"") {
                    let _ = told.send(Instant::now());
                }
            }
        });
    }
    tokio::time::sleep(Duration::from_secs(1)).await;
    let connected_kb = rss_kb(node);
    let mut delays = Vec::new();
    for round in 0..ROUNDS {
        let reading = serde_json::json!({"glucose_mg_dl": 100 + round, "reading_type": "OTRO",
            "measured_at": format!("2026-01-01T00:{round:02}:00Z")});
        let post = http.post(format!("{url}/v1/readings")).bearer_auth(&token);
        let answer = post.json(&reading).send().await.unwrap();
        assert_eq!(answer.status(), 201);
        // The commit was before the answer.
        let committed = Instant::now();
        for _ in 0..clients {
            let at = tokio::time::timeout(Duration::from_secs(30), seen.recv());
            let at = at.await.unwrap().unwrap();
            delays.push(at.saturating_duration_since(committed));
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    delays.sort_unstable();
    let at = |share: f64| delays[((delays.len() - 1) as f64 * share) as usize].as_secs_f64() * 1e3;
    let used = rss_kb(node).max(connected_kb);
    println!("| {clients} WebSocket clients | measured | goal |");
    println!("| --- | --- | --- |");
    println!(
        "| answer to the writer until seen, p50 | {:.1} ms | < 50 ms |",
        at(0.5)
    );
    println!("| the same, p99 | {:.1} ms | < 250 ms |", at(0.99));
    println!(
        "| memory of the whole node with them | {:.1} MB | < 64 MB for them |",
        f64::from(used) / 1024.0
    );
}

fn rss_kb(pid: u32) -> u32 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:"));
    line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
        .unwrap()
}
