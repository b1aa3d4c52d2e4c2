//! Cost must not grow with the table: the newest page of one patient and one insert, with ten
//! thousand and with ten million readings in the same schema.
//!
//! `cargo bench --bench scale [-- ROWS]`. Works in a temporary directory; ten million readings
//! take about 1.5 GB of it. Both tables are measured in one run, taking turns, so that the ratio
//! does not depend on what else the machine does.
#![expect(clippy::unwrap_used, reason = "a bench that fails should stop")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use islet::clock::{Clock, SystemClock};
use islet::domain::actor::Actor;
use islet::domain::audit::Entry;
use islet::domain::glucose::{Glucose, NewReading, ReadingType, Source};
use islet::domain::time::Timestamp;
use islet::store::{Lane, NewReplica, Store, StoreError, patients, readings};

const KEY: [u8; 32] = [1; 32];
const SMALL: u64 = 10_000;
const PATIENTS: i64 = 200;
const PAGE: u32 = 50;
const ROUNDS: usize = 400;

fn main() {
    let rows = std::env::args()
        .skip(1)
        .find_map(|arg| arg.parse().ok())
        .unwrap_or(10_000_000);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .unwrap();
    let tables: Vec<_> = [SMALL, rows]
        .map(|rows| (rows, Table::fill(rows)))
        .into_iter()
        .collect();
    let mut pages = [const { Vec::new() }; 2];
    let mut inserts = [const { Vec::new() }; 2];
    for round in 0..ROUNDS {
        for (index, (_, table)) in tables.iter().enumerate() {
            pages[index].push(runtime.block_on(table.newest_page(round)));
            inserts[index].push(runtime.block_on(table.insert(round)));
        }
    }
    println!("| readings | newest page of {PAGE}, p50 | one durable insert, p50 |");
    println!("| --- | --- | --- |");
    let (pages, inserts) = (pages.map(median), inserts.map(median));
    for (index, (rows, _)) in tables.iter().enumerate() {
        println!(
            "| {rows} | {:.1} µs | {:.1} µs |",
            micros(pages[index]),
            micros(inserts[index])
        );
    }
    let ratio = |pair: [Duration; 2]| micros(pair[1]) / micros(pair[0]);
    println!("| ratio | {:.2} | {:.2} |", ratio(pages), ratio(inserts));
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}

fn micros(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

struct Table {
    store: Store,
    _dir: tempfile::TempDir,
}

impl Table {
    fn fill(rows: u64) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let clock = SystemClock;
        let replica = NewReplica {
            number: 0,
            replica_id: islet_sync::chain::ReplicaId([1; 16]),
            network: [2; 16],
            node_id: "bench".into(),
            clinic: "Bench".into(),
            created_at: clock.now(),
        };
        Store::create(dir.path(), &replica, &KEY).unwrap();
        eprintln!("filling {rows} readings");
        fill(
            &dir.path().join(islet::store::DATABASE_FILE),
            rows,
            clock.now(),
        );
        let store = Store::open(dir.path(), KEY, Arc::new(clock)).unwrap();
        Self { store, _dir: dir }
    }

    async fn newest_page(&self, round: usize) -> Duration {
        let patient = patient(round);
        let began = Instant::now();
        let page = self
            .store
            .read(move |tx| readings::newest(tx, patient, 0..=i64::MAX, PAGE))
            .await;
        let elapsed = began.elapsed();
        assert_eq!(page.unwrap().len(), PAGE as usize);
        elapsed
    }

    /// One insert as the service makes it: search for the same reading, row, counters, change, audit.
    async fn insert(&self, round: usize) -> Duration {
        let patient_id = patient(round);
        let began = Instant::now();
        let write = self.store.write(Lane::Interactive, move |tx| {
            let new = NewReading {
                patient_id,
                glucose: Glucose::from_mg_dl(100.0 + round as f64)
                    .map_err(|e| StoreError::Damaged(e.to_string()))?,
                reading_type: ReadingType::Otro,
                source: Source::App,
                measured_at: None,
                notes: None,
            };
            let now = SystemClock.now();
            readings::find_same(tx, &new, now)?;
            readings::insert(tx, &new, now)?;
            patients::count_reading(tx, patient_id, now.day())?;
            tx.audit(&Entry::new(&Actor::system(), "reading.create"))
        });
        write.await.unwrap();
        began.elapsed()
    }
}

fn patient(round: usize) -> i64 {
    (round as i64 * 37) % PATIENTS + 1
}

/// Writes the rows straight into the file: through the store it would take an hour.
fn fill(path: &Path, rows: u64, now: Timestamp) {
    let mut db = rusqlite::Connection::open(path).unwrap();
    db.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000")
        .unwrap();
    let tx = db.transaction().unwrap();
    for id in 1..=PATIENTS {
        tx.execute(
            "INSERT INTO patient (id, dni, name, surname, email, hospital_account, password_hash, created_at, updated_at)
             VALUES (?1, 'd' || ?1, 'n', 's', ?1 || '@x.test', 'h' || ?1, 'x', 0, 0)",
            [id],
        )
        .unwrap();
        tx.execute(
            "INSERT INTO patient_counter VALUES (?, 0, 0, 0, NULL)",
            [id],
        )
        .unwrap();
    }
    let sql = "INSERT INTO reading VALUES (?, ?, ?, ?, 1, 1, ?, ?, NULL)";
    let mut insert = tx.prepare(sql).unwrap();
    for row in 1..=rows as i64 {
        let at = now.0 - (rows as i64 - row) * 1_000;
        let glucose = 70.0 + (row * 7 % 1_800) as f64 / 10.0;
        insert
            .execute((row, row % PATIENTS + 1, glucose, row % 7 + 1, at, at))
            .unwrap();
    }
    drop(insert);
    tx.commit().unwrap();
}
