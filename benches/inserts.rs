//! Durable single-reading inserts, all with `synchronous=FULL`, side by side in one run:
//!
//! 1. one fsync per write: each insert is a transaction of its own;
//! 2. the bare store: 64 callers, one writer thread, group commit, nothing but the row;
//! 3. the node: 64 HTTP clients with tokens, change log, counters and audit.
//!
//! Rates follow what else the machine does; the processor time of an insert hardly does. That of the node is without
//! its clients'.
//!
//! `cargo bench --bench inserts [-- SECONDS]`.
#![expect(clippy::unwrap_used, reason = "a bench that fails should stop")]

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CLIENTS: usize = 64;
const ROUNDS: usize = 3;

fn main() {
    let seconds = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(5);
    let time = Duration::from_secs(seconds);
    let mut measured = [const { Vec::new() }; 3];
    for round in 1..=ROUNDS {
        eprintln!("round {round} of {ROUNDS}");
        measured[0].push(one_fsync_per_write(time));
        measured[1].push(bare_store(time));
        measured[2].push(node(time));
    }
    let median = |mut values: Vec<f64>| {
        values.sort_by(f64::total_cmp);
        values[ROUNDS / 2]
    };
    let rates = measured
        .each_ref()
        .map(|all| median(all.iter().map(|one| one.rate).collect()));
    let times = measured.map(|all| median(all.iter().map(|one| one.processor_us).collect()));
    println!(
        "| durable inserts of one reading | a second | of the bare store | processor time each, µs |"
    );
    println!("| --- | --- | --- | --- |");
    let names = [
        "one fsync per write",
        "bare store, 64 callers",
        "node over HTTP, 64 clients",
    ];
    for ((name, rate), time) in names.iter().zip(rates).zip(times) {
        println!(
            "| {name} | {rate:.0} | {:.2} | {time:.1} |",
            rate / rates[1]
        );
    }
}

/// What one round came to.
struct Measured {
    /// Inserts a second.
    rate: f64,
    /// Processor time of an insert, the kernel's included.
    processor_us: f64,
}

/// Measures what a process does from here on.
struct Watch {
    process: u32,
    began: Instant,
    used_us: f64,
}

impl Watch {
    fn of(process: u32) -> Self {
        Self {
            process,
            began: Instant::now(),
            used_us: used_us(process),
        }
    }

    fn stop(&self, inserts: u64) -> Measured {
        Measured {
            rate: inserts as f64 / self.began.elapsed().as_secs_f64(),
            processor_us: (used_us(self.process) - self.used_us) / inserts as f64,
        }
    }
}

/// Processor time that a process has used: utime and stime of proc_pid_stat(5), in ticks of 10 ms.
fn used_us(process: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    let fields = stat.rsplit(") ").next().unwrap().split(' ');
    let ticks: f64 = fields
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap())
        .sum();
    ticks * 10_000.0
}

fn database(dir: &Path) -> Connection {
    let db = Connection::open(dir.join("bare.db")).unwrap();
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;
         CREATE TABLE reading (id INTEGER PRIMARY KEY, patient_id INTEGER NOT NULL, glucose_mg_dl REAL NOT NULL,
             reading_type INTEGER NOT NULL, source INTEGER NOT NULL, status INTEGER NOT NULL,
             measured_at INTEGER NOT NULL, recorded_at INTEGER NOT NULL, notes TEXT) STRICT;
         CREATE INDEX reading_by_patient ON reading (patient_id, measured_at)",
    )
    .unwrap();
    db
}

fn insert(db: &Connection, number: u64) {
    let sql =
        "INSERT INTO reading (patient_id, glucose_mg_dl, reading_type, source, status, measured_at,
               recorded_at) VALUES (?, ?, 1, 1, 1, ?, ?)";
    let at = number as i64;
    db.prepare_cached(sql)
        .unwrap()
        .execute((at % 200, 120.0, at, at))
        .unwrap();
}

fn one_fsync_per_write(time: Duration) -> Measured {
    let dir = tempfile::tempdir().unwrap();
    let db = database(dir.path());
    let (watch, mut count) = (Watch::of(std::process::id()), 0);
    while watch.began.elapsed() < time {
        insert(&db, count);
        count += 1;
    }
    watch.stop(count)
}

/// The least that group commit needs: callers hand a number over and wait until it is durable.
fn bare_store(time: Duration) -> Measured {
    let dir = tempfile::tempdir().unwrap();
    let db = database(dir.path());
    let (queue, jobs) = mpsc::sync_channel::<(u64, mpsc::SyncSender<()>)>(1_024);
    let writer = std::thread::spawn(move || {
        while let Ok(first) = jobs.recv() {
            let batch: Vec<_> = std::iter::once(first)
                .chain(jobs.try_iter().take(255))
                .collect();
            db.execute_batch("BEGIN").unwrap();
            batch.iter().for_each(|(number, _)| insert(&db, *number));
            db.execute_batch("COMMIT").unwrap();
            batch
                .iter()
                .for_each(|(_, answer)| answer.send(()).unwrap_or_default());
        }
    });
    let counter = Arc::new(AtomicU64::new(0));
    let watch = Watch::of(std::process::id());
    let began = watch.began;
    let callers: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (queue, counter) = (queue.clone(), Arc::clone(&counter));
            std::thread::spawn(move || {
                let (answer, answered) = mpsc::sync_channel(1);
                while began.elapsed() < time {
                    let number = counter.fetch_add(1, Ordering::Relaxed);
                    queue.send((number, answer.clone())).unwrap();
                    answered.recv().unwrap();
                }
            })
        })
        .collect();
    callers
        .into_iter()
        .for_each(|caller| caller.join().unwrap());
    let measured = watch.stop(counter.load(Ordering::Relaxed));
    drop(queue);
    writer.join().unwrap();
    measured
}

/// The real binary, spoken to over keep-alive connections.
fn node(time: Duration) -> Measured {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("node");
    let islet = env!("CARGO_BIN_EXE_islet");
    let seeded = Command::new(islet)
        .arg("seed")
        .arg("--data")
        .arg(&data)
        .stdout(Stdio::null())
        .status();
    assert!(seeded.unwrap().success());
    let mut child = Command::new(islet)
        .arg("serve")
        .arg("--data")
        .arg(&data)
        .args([
            "--http",
            "127.0.0.1:0",
            "--backoffice",
            "127.0.0.1:0",
            "--https",
            "off",
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
    let address = ready
        .split("http://")
        .nth(1)
        .unwrap()
        .split_whitespace()
        .next()
        .unwrap()
        .to_owned();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let measured = runtime.block_on(load(&address, time, child.id()));
    let _ = child.kill();
    let _ = child.wait();
    measured
}

async fn load(address: &str, time: Duration, process: u32) -> Measured {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let form = "username=40123456&password=thepassword";
    let request = format!(
        "POST /token HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{form}",
        form.len()
    );
    let answer = exchange(&mut stream, &request).await;
    let token = answer
        .split("access_token\":\"")
        .nth(1)
        .unwrap()
        .split('"')
        .next()
        .unwrap()
        .to_owned();
    let (stop, count) = (
        Arc::new(AtomicBool::new(false)),
        Arc::new(AtomicU64::new(0)),
    );
    let watch = Watch::of(process);
    let clients: Vec<_> = (0..CLIENTS)
        .map(|_| {
            let (stop, count, token, address) = (Arc::clone(&stop), Arc::clone(&count), token.clone(), address.to_owned());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                while !stop.load(Ordering::Relaxed) {
                    let number = count.fetch_add(1, Ordering::Relaxed);
                    let (minute, second) = (number / 60 % 60, number % 60);
                    let (day, hour, month) = (number / 86_400 % 28 + 1, number / 3_600 % 24, number / 2_419_200 % 12 + 1);
                    let request = format!(
                        "POST /glucose/create?glucose_level=120&reading_type=CENA&created_at=2025-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z \
                         HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\nContent-Length: 0\r\n\r\n"
                    );
                    let answer = exchange(&mut stream, &request).await;
                    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
                }
            })
        })
        .collect();
    tokio::time::sleep(time).await;
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        client.await.unwrap();
    }
    watch.stop(count.load(Ordering::Relaxed))
}

/// One request and its answer, which ends with its JSON body.
async fn exchange(stream: &mut TcpStream, request: &str) -> String {
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::with_capacity(1_024);
    loop {
        stream.read_buf(&mut answer).await.unwrap();
        let text = String::from_utf8_lossy(&answer);
        let Some((head, body)) = text.split_once("\r\n\r\n") else {
            continue;
        };
        let length = head.lines().find_map(|line| {
            line.to_ascii_lowercase()
                .strip_prefix("content-length: ")?
                .parse()
                .ok()
        });
        if body.len() >= length.unwrap_or(0) {
            return text.into_owned();
        }
    }
}
