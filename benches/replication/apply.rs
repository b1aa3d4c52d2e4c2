//! Taking in the log of another node: how fast, what writes of people cost meanwhile, and how much
//! disk it takes. Everything that a run goes through is in it: decoding, chain, signature, rows,
//! counters, audit, with `synchronous=FULL`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use islet::clock::SystemClock;
use islet::service::{App, replication};
use islet::store::DATABASE_FILE;
use islet_sync::frame::Frame;

use super::data::{self, Dice, Load, PATIENTS};
use super::{cpu_seconds, figure, node, percentile};

/// Between two writes of people: some hundred times what a clinic does.
const PAUSE: Duration = Duration::from_millis(10);
const IDLE_WRITES: usize = 500;

/// Fills the node in `dir`/source, of whose network `dir`/receiver is a member, and tells the figures.
pub(crate) async fn measure(load: Load, count: usize, dir: &Path) {
    let now_ms = node::now_ms();
    let logs = data::logs(load, count, now_ms);
    let before_ms = now_ms - load.span_ms(count) - 1_000_000;
    let (source, receiver) = (dir.join("source"), dir.join("receiver"));
    node::create(&receiver, 5, before_ms);
    let others = [(receiver, "127.0.0.1:1".to_owned())];
    node::found(&source, before_ms, Vec::new(), &logs.authors, &others).await;
    let app = Arc::new(node::open(&source, Arc::new(SystemClock)));
    for frame in logs.patients {
        replication::ingest(&app, 1, frame).await.unwrap();
    }
    let empty = disk(&source).iter().map(|(_, bytes)| bytes).sum::<u64>();
    let idle = hand_in_many(&app, &logs.ids, |done| done < IDLE_WRITES).await;

    let (alone, beside) = logs.readings.split_at(logs.readings.len() / 2);
    ingest_all("alone", &app, alone.to_vec(), count / 2).await;
    let busy = Arc::new(AtomicBool::new(true));
    let people = {
        let (app, ids, busy) = (Arc::clone(&app), logs.ids.clone(), Arc::clone(&busy));
        tokio::spawn(
            async move { hand_in_many(&app, &ids, |_| busy.load(Ordering::Relaxed)).await },
        )
    };
    ingest_all("beside", &app, beside.to_vec(), count - count / 2).await;
    busy.store(false, Ordering::Relaxed);
    let beside = people.await.unwrap();
    let handed_in = idle.len() + beside.len();

    for (name, times) in [("idle", idle), ("beside", beside)] {
        for share in [50, 99] {
            let ms = percentile(&times, share).as_secs_f64() * 1_000.0;
            figure(&format!("{name}_p{share}_ms"), ms);
        }
    }
    replication::tidy(&app).await.unwrap();
    Arc::into_inner(app).unwrap().store.close();
    let rows = rows(&source);
    assert_eq!(rows as usize, count + handed_in, "readings are missing");
    let per_reading = |bytes: u64| bytes as f64 / rows as f64;
    let tables = disk(&source);
    figure(
        "disk",
        per_reading(tables.iter().map(|(_, bytes)| bytes).sum::<u64>() - empty),
    );
    for (table, bytes) in tables.iter().filter(|(_, bytes)| per_reading(*bytes) > 0.5) {
        figure(&format!("disk_{table}"), per_reading(*bytes));
    }
}

/// Tells how many readings that were a second.
async fn ingest_all(name: &str, app: &App, frames: Vec<Frame>, readings: usize) {
    let (began, cpu) = (Instant::now(), cpu_seconds());
    for frame in frames {
        replication::ingest(app, 1, frame).await.unwrap();
    }
    figure(
        &format!("{name}_rate"),
        readings as f64 / began.elapsed().as_secs_f64(),
    );
    figure(
        &format!("{name}_cpu_rate"),
        readings as f64 / (cpu_seconds() - cpu),
    );
}

async fn hand_in_many(app: &App, ids: &[i64], more: impl Fn(usize) -> bool) -> Vec<Duration> {
    let (mut times, mut dice) = (Vec::new(), Dice(3));
    while more(times.len()) {
        tokio::time::sleep(PAUSE).await;
        let id = ids[dice.below(u64::from(PATIENTS)) as usize];
        times.push(node::hand_in(app, id).await);
    }
    times.sort_unstable();
    times
}

/// Bytes per table and index, audit apart.
fn disk(dir: &Path) -> Vec<(String, u64)> {
    let db = rusqlite::Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let sql = "SELECT name, sum(pgsize) FROM dbstat WHERE aggregate = 1 AND name NOT LIKE 'audit%'
               GROUP BY name ORDER BY 2 DESC";
    let mut statement = db.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| {
        Ok((row.get(0)?, row.get::<_, i64>(1)?.cast_unsigned()))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn rows(dir: &Path) -> u64 {
    let db = rusqlite::Connection::open(dir.join(DATABASE_FILE)).unwrap();
    let count: i64 = db
        .query_row("SELECT count(*) FROM reading", [], |row| row.get(0))
        .unwrap();
    count.cast_unsigned()
}
