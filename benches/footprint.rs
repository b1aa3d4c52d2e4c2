//! Memory when idle and after a storm of log-ins, and the time from start to ready on a database
//! of a million readings.
//!
//! `cargo bench --bench footprint [-- ROWS]`. Reads `/proc`, so it runs on Linux only.
#![expect(clippy::unwrap_used, reason = "a bench that fails should stop")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const LOGINS: usize = 200;
const STARTS: usize = 5;

fn main() {
    let rows: i64 = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(1_000_000);
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let seeded = Command::new(env!("CARGO_BIN_EXE_islet"))
        .arg("seed")
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::null())
        .status();
    assert!(seeded.unwrap().success());
    fill(&data.join("islet.db"), rows);
    let mut starts: Vec<Duration> = (0..STARTS).map(|_| Node::start(&data).took).collect();
    starts.sort_unstable();
    let node = Node::start(&data);
    std::thread::sleep(Duration::from_secs(2));
    let idle = node.rss_mb();
    let answered = node.storm();
    let after = node.rss_mb();
    println!("| | measured | goal |");
    println!("| --- | --- | --- |");
    println!(
        "| start to ready, {rows} readings, p50 of {STARTS} | {} ms | < 300 ms |",
        starts[STARTS / 2].as_millis()
    );
    println!("| idle memory | {idle:.1} MB | < 30 MB |");
    println!(
        "| memory after {LOGINS} log-ins at once ({answered} answered 200) | {after:.1} MB | < 80 MB |"
    );
}

fn fill(path: &Path, rows: i64) {
    let mut db = rusqlite::Connection::open(path).unwrap();
    let tx = db.transaction().unwrap();
    let sql = "INSERT INTO reading (patient_id, glucose_mg_dl, reading_type, source, status, measured_at, recorded_at)
               VALUES (?, 120, 1, 1, 1, ?, ?)";
    let mut insert = tx.prepare(sql).unwrap();
    for row in 0..rows {
        insert
            .execute((row % 2 + 1, row * 1_000, row * 1_000))
            .unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
}

struct Node {
    child: Child,
    address: String,
    took: Duration,
}

impl Node {
    fn start(data: &Path) -> Self {
        let began = Instant::now();
        let mut child = Command::new(env!("CARGO_BIN_EXE_islet"))
            .arg("serve")
            .arg("--data")
            .arg(data)
            .args([
                "--http",
                "127.0.0.1:0",
                "--backoffice",
                "127.0.0.1:0",
                "--https",
                "127.0.0.1:0",
                "--peer",
                "off",
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut ready = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut ready)
            .unwrap();
        let took = began.elapsed();
        let address = ready
            .split("http://")
            .nth(1)
            .unwrap()
            .split_whitespace()
            .next()
            .unwrap()
            .to_owned();
        Self {
            child,
            address,
            took,
        }
    }

    fn rss_mb(&self) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status
            .lines()
            .find_map(|line| line.strip_prefix("VmRSS:"))
            .unwrap();
        line.split_whitespace()
            .next()
            .unwrap()
            .parse::<f64>()
            .unwrap()
            / 1_024.0
    }

    /// Log-ins all at once; says how many were let in (the others were told to wait).
    fn storm(&self) -> usize {
        let logins: Vec<_> = (0..LOGINS)
            .map(|_| {
                let address = self.address.clone();
                std::thread::spawn(move || {
                    let form = "username=40123456&password=thepassword";
                    let mut stream = TcpStream::connect(address).ok()?;
                    write!(stream, "POST /token HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}", form.len()).ok()?;
                    let mut answer = String::new();
                    stream.read_to_string(&mut answer).ok()?;
                    answer.starts_with("HTTP/1.1 200").then_some(())
                })
            })
            .collect();
        logins
            .into_iter()
            .filter_map(|login| login.join().unwrap())
            .count()
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
