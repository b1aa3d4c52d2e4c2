//! Nodes that talk over TLS: catching up, having nothing to say, news on a LAN, and starting after
//! a kill. What one node does is measured in a process of its own.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use islet::clock::SystemClock;
use islet::service::replication;
use islet_sync::frame::{Frame, Kind};

use super::data::{self, Dice, Load};
use super::node::{self, Serving};
use super::{figure, memory_kb, percentile, say};

const LOOK_EVERY: Duration = Duration::from_millis(20);
const NODES: usize = 5;

/// Answers peers until it is killed. Says first where, and how many changes it has.
pub(crate) async fn serve(dir: &Path, at: SocketAddr) {
    let app = node::open(dir, Arc::new(SystemClock));
    let changes = node::own_seq(&app).await + node::applied(&app).await;
    let serving = Serving::start(app, dir, at);
    say(&format!("ready {} {changes}", serving.address));
    std::future::pending::<()>().await;
}

/// Catches up with the node at `address` and then dies as by a power cut.
pub(crate) async fn receive(dir: &Path, source: &Path, address: &str, expected: u64) {
    let app = node::open(dir, Arc::new(SystemClock));
    node::adopt(&app, dir, source, address).await;
    let mut serving = Serving::start(app, dir, SocketAddr::from(([127, 0, 0, 1], 0)));
    // Memory that starting took and that is free again.
    tokio::time::sleep(Duration::from_millis(500)).await;
    let idle_kb = memory_kb("VmRSS");
    let began = Instant::now();
    serving.link();
    let node = Arc::clone(&serving.node);
    while node::applied(&node.app).await < expected {
        tokio::time::sleep(LOOK_EVERY).await;
    }
    figure("seconds", began.elapsed().as_secs_f64());
    figure("above_idle_mb", (memory_kb("VmHWM") - idle_kb) / 1_024.0);
    let key = *node::identity(source).public_key();
    figure("bytes", node.status.of(&key).bytes.0 as f64);
    std::process::abort();
}

/// Two nodes that know the same compare.
pub(crate) async fn quiet(dir: &Path) {
    const ROUNDS: u64 = 20;
    let (a, b) = (dir.join("a"), dir.join("b"));
    let now_ms = node::now_ms();
    node::create(&b, 5, now_ms - 1_000);
    let (any, port) = (SocketAddr::from(([127, 0, 0, 1], 0)), free_port());
    let others = [(b.clone(), "127.0.0.1:1".to_owned())];
    let authors = data::authors();
    node::found(
        &a,
        now_ms - 1_000,
        vec![port.to_string()],
        &authors,
        &others,
    )
    .await;
    let founder = Serving::start(node::open(&a, Arc::new(SystemClock)), &a, port);
    let app = node::open(&b, Arc::new(SystemClock));
    node::adopt(&app, &b, &a, &founder.address.to_string()).await;
    let second = Serving::start(app, &b, any);
    sync(&second).await;
    sync(&second).await;
    let (written, entries) = (
        written_bytes(),
        entries(&founder).await + entries(&second).await,
    );
    for _ in 0..ROUNDS {
        let report = sync(&second).await;
        assert_eq!(
            (report.received_frames, report.sent_frames),
            (0, 0),
            "there was something to say"
        );
    }
    figure(
        "disk_bytes",
        (written_bytes() - written) as f64 / ROUNDS as f64,
    );
    let more = self::entries(&founder).await + self::entries(&second).await - entries;
    figure("audit_entries", more as f64 / ROUNDS as f64);
    let hello = replication::hello(&second.node.app).await.unwrap();
    let mut frames = replication::answer_exchange(&founder.node.app, 5, &hello)
        .await
        .unwrap();
    assert!(frames.is_empty(), "the digests differ");
    // The answer tells the time.
    frames.push(Frame::new(Kind::Heartbeat, vec![0; 8]));
    frames.extend([Frame::new(Kind::Hello, hello), Frame::end(), Frame::end()]);
    let mut bytes = Vec::new();
    frames
        .iter()
        .for_each(|frame| frame.encode(&mut bytes).unwrap());
    figure("payload", bytes.len() as f64);
    second.stop().await;
    founder.stop().await;
}

fn free_port() -> SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

async fn sync(from: &Serving) -> islet::peer::manual::SyncReport {
    let sync = from.node.begin_sync("founder").await.unwrap();
    loop {
        let report = sync.report();
        assert_eq!(report.error, None);
        if report.done {
            return report;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn entries(of: &Serving) -> u64 {
    let report = of.node.app.store.verify_audit().await.unwrap();
    report.entries.cast_unsigned()
}

/// Bytes that this process caused to go to a disk.
fn written_bytes() -> u64 {
    let text = std::fs::read_to_string("/proc/self/io").unwrap();
    let line = text
        .lines()
        .find_map(|line| line.strip_prefix("write_bytes: "));
    line.unwrap().parse().unwrap()
}

/// From a commit at one of five nodes until the other four have it.
pub(crate) async fn converge(dir: &Path, writes: usize) {
    let dirs: Vec<PathBuf> = (0..NODES).map(|at| dir.join(format!("n{at}"))).collect();
    let ports: Vec<_> = (0..NODES).map(|_| free_port()).collect();
    let now_ms = node::now_ms();
    let load = Load::Sticks;
    let logs = data::logs(load, 1, now_ms);
    let before_ms = now_ms - load.span_ms(1) - 1_000_000;
    let mut others = Vec::new();
    for at in 1..NODES {
        node::create(&dirs[at], at as u32, before_ms);
        others.push((dirs[at].clone(), ports[at].to_string()));
    }
    node::found(
        &dirs[0],
        before_ms,
        vec![ports[0].to_string()],
        &logs.authors,
        &others,
    )
    .await;
    let mut nodes = Vec::new();
    for at in 0..NODES {
        let app = node::open(&dirs[at], Arc::new(SystemClock));
        if at == 0 {
            for frame in logs.patients.clone() {
                replication::ingest(&app, 1, frame).await.unwrap();
            }
        } else {
            node::adopt(&app, &dirs[at], &dirs[0], &ports[0].to_string()).await;
        }
        nodes.push(Serving::start(app, &dirs[at], ports[at]));
    }
    nodes.iter_mut().for_each(Serving::link);
    settle(&nodes).await;
    let (mut times, mut dice) = (Vec::new(), Dice(5));
    for write in 0..writes {
        tokio::time::sleep(Duration::from_millis(20 + dice.below(60))).await;
        let at = write % NODES;
        node::hand_in(&nodes[at].node.app, logs.ids[dice.below(400) as usize]).await;
        let began = Instant::now();
        let seq = node::own_seq(&nodes[at].node.app).await;
        let others = nodes.iter().enumerate().filter(|(other, _)| *other != at);
        let arrived = others.map(|(_, other)| arrival(other, at as u32, seq));
        futures_util::future::join_all(arrived).await;
        times.push(began.elapsed());
    }
    times.sort_unstable();
    for share in [50, 99] {
        let ms = percentile(&times, share).as_secs_f64() * 1_000.0;
        figure(&format!("p{share}_ms"), ms);
    }
    for node in nodes {
        node.stop().await;
    }
}

async fn arrival(at: &Serving, of: u32, seq: u64) {
    let mut commits = replication::commits(&at.node.app);
    while node::applied_of(&at.node.app, of).await < seq {
        commits.changed().await.unwrap();
    }
}

/// Until every node is linked to all others and knows the patients.
async fn settle(nodes: &[Serving]) {
    for node in nodes {
        let app = &node.node.app;
        while node.node.linked().await.unwrap().len() < NODES - 1 || node::applied(app).await < 2 {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}
