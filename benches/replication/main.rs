//! Replication, measured against its goals in one run; docs/BENCHMARKS.md has the results.
//!
//! `cargo bench --bench replication`. `ISLET_BENCH_READINGS` sets how many finger-sticks (1,000,000), of
//! which CGM gets four times as many; 20,000 take half a minute. `-- slow` measures a link of 128 kbit/s
//! instead, which takes root and some seconds. Each figure is measured by a process of its own, pinned to one core where the
//! goal says so. Linux only.
#![expect(
    clippy::panic,
    clippy::unwrap_used,
    reason = "a bench that fails should stop"
)]

mod apply;
mod data;
mod network;
mod node;
mod slow;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use data::Load;

/// What a process told.
type Figures = BTreeMap<String, f64>;

fn main() {
    let args: Vec<String> = std::env::args()
        .skip(1)
        .filter(|arg| arg != "--bench")
        .collect();
    match args
        .iter()
        .map(String::as_str)
        .collect::<Vec<_>>()
        .as_slice()
    {
        ["part", rest @ ..] => part(rest),
        ["slow"] => slow::report(20_000),
        _ => report(),
    }
}

/// One measurement, in its own process.
fn part(args: &[&str]) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(islet::limits::WORKERS)
        .max_blocking_threads(islet::limits::BLOCKING_THREADS_MAX)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        match args {
            ["sticks", count, dir] => {
                apply::measure(Load::Sticks, count.parse().unwrap(), Path::new(dir)).await;
            }
            ["sensor", count, dir] => {
                apply::measure(Load::Sensor, count.parse().unwrap(), Path::new(dir)).await;
            }
            ["serve", dir, at] => network::serve(Path::new(dir), at.parse().unwrap()).await,
            ["receive", dir, source, at, expected] => {
                let (dir, source) = (Path::new(dir), Path::new(source));
                network::receive(dir, source, at, expected.parse().unwrap()).await;
            }
            ["quiet", dir] => network::quiet(Path::new(dir)).await,
            ["converge", dir, writes] => {
                network::converge(Path::new(dir), writes.parse().unwrap()).await;
            }
            other => panic!("no such part: {other:?}"),
        }
    });
}

fn report() {
    let readings = std::env::var("ISLET_BENCH_READINGS");
    let count: usize = readings.map_or(1_000_000, |text| text.parse().unwrap());
    println!(
        "| replication, {count} finger-sticks, {} CGM readings | measured | goal |",
        4 * count
    );
    println!("| --- | ---: | ---: |");
    let dir = tempfile::tempdir().unwrap();
    let sensor_dir = tempfile::tempdir().unwrap();
    let (sticks, sensor) = (dir.path(), sensor_dir.path());
    let few = (count / 500).clamp(100, 1_000);
    report_apply("finger-sticks", "sticks", count, sticks, (50_000, "50"));
    report_apply("CGM readings", "sensor", 4 * count, sensor, (250_000, "35"));
    report_catch_up("finger-sticks", sticks, count, "20");
    report_catch_up("CGM readings", sensor, 4 * count, "");
    let restarted = Source::start(&sticks.join("receiver"), 1);
    row(
        &format!("start after a kill, {count} changes"),
        restarted.took.as_secs_f64(),
        2,
        "1 s",
    );
    drop(restarted);
    let quiet = run(None, &["quiet", &text(&sticks.join("quiet"))]);
    row(
        "nothing to say: payload in bytes, one round trip",
        quiet["payload"],
        0,
        "200",
    );
    row(
        "nothing to say: bytes to the disk",
        quiet["disk_bytes"] + quiet["audit_entries"],
        0,
        "0",
    );
    let lan = run(
        None,
        &["converge", &text(&sticks.join("lan")), &few.to_string()],
    );
    row(
        "five nodes, from one to the other four, p50, ms",
        lan["p50_ms"],
        1,
        "50",
    );
    row(
        "five nodes, from one to the other four, p99, ms",
        lan["p99_ms"],
        1,
        "250",
    );
}

fn report_apply(name: &str, part: &str, count: usize, dir: &Path, goals: (usize, &str)) {
    let (rate, disk) = goals;
    let found = run(Some(1), &[part, &count.to_string(), &text(dir)]);
    let goal = rate.to_string();
    row(
        &format!("{name} a second, verified and applied, one core"),
        found["alone_rate"],
        0,
        &goal,
    );
    row(
        "the same a second of processor time",
        found["alone_cpu_rate"],
        0,
        "",
    );
    row(
        "a second, while patients hand in readings",
        found["beside_rate"],
        0,
        &goal,
    );
    row(
        "the same a second of processor time",
        found["beside_cpu_rate"],
        0,
        "",
    );
    for share in ["p50", "p99"] {
        let (idle, beside) = (
            found[&format!("idle_{share}_ms")],
            found[&format!("beside_{share}_ms")],
        );
        row(
            &format!("a patient's write, idle, {share}, ms"),
            idle,
            2,
            "",
        );
        row(
            &format!("the same meanwhile, {share}, ms"),
            beside,
            2,
            &format!("{:.2}", 2.0 * idle),
        );
    }
    row(
        &format!("bytes on the disk, of {name}"),
        found["disk"],
        1,
        disk,
    );
    for (table, bytes) in found
        .iter()
        .filter_map(|(key, bytes)| Some((key.strip_prefix("disk_")?, bytes)))
    {
        row(&format!("of which {table}"), *bytes, 1, "");
    }
}

fn report_catch_up(name: &str, dir: &Path, count: usize, goal: &str) {
    let source_dir = dir.join("source");
    let source = Source::start(&source_dir, 0);
    let receiver = text(&dir.join("receiver"));
    let expected = source.changes.to_string();
    let args = [
        "receive",
        &receiver,
        &text(&source_dir),
        &source.address,
        &expected,
    ];
    let found = run(Some(1), &args);
    let what = format!("catching up {count} {name} over TLS, receiver on one core, s");
    row(&what, found["seconds"], 1, goal);
    row(
        "bytes received per reading",
        found["bytes"] / count as f64,
        2,
        "",
    );
    row("its memory above idle, MB", found["above_idle_mb"], 1, "64");
}

/// A serving process.
pub(crate) struct Source {
    child: Child,
    address: String,
    changes: u64,
    /// From its start until it served.
    took: Duration,
}

impl Source {
    fn start(dir: &Path, core: usize) -> Self {
        Self::begin(command(Some(core)), dir, "127.0.0.1:0")
    }

    fn begin(mut command: Command, dir: &Path, at: &str) -> Self {
        let began = Instant::now();
        let mut child = command
            .args(["part", "serve", &text(dir), at])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let took = began.elapsed();
        let words: Vec<&str> = line.split_whitespace().collect();
        let [_, address, changes] = words.as_slice() else {
            panic!("it does not serve: {line:?}")
        };
        Self {
            child,
            address: (*address).to_owned(),
            changes: changes.parse().unwrap(),
            took,
        }
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// This program, on one core where that is asked for.
fn command(core: Option<usize>) -> Command {
    let this = std::env::current_exe().unwrap();
    let Some(core) = core else {
        return Command::new(this);
    };
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut command = Command::new("taskset");
    command.args(["-c", &(core % cores).to_string()]).arg(this);
    command
}

/// Runs a part and collects what it tells.
fn run(core: Option<usize>, args: &[&str]) -> Figures {
    collect(command(core), args)
}

fn collect(mut command: Command, args: &[&str]) -> Figures {
    let output = command
        .arg("part")
        .args(args)
        .stderr(Stdio::inherit())
        .output()
        .unwrap();
    let told = String::from_utf8(output.stdout).unwrap();
    let figures: Figures = told
        .lines()
        .filter_map(|line| line.split_once(' '))
        .map(|(name, value)| (name.to_owned(), value.parse().unwrap()))
        .collect();
    assert!(!figures.is_empty(), "{args:?} failed");
    figures
}

fn row(what: &str, value: f64, digits: usize, goal: &str) {
    say(&format!("| {what} | {value:.digits$} | {goal} |"));
}

/// Tells the parent.
fn figure(name: &str, value: f64) {
    say(&format!("{name} {value}"));
}

fn say(line: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{line}").unwrap();
    out.flush().unwrap();
}

fn percentile(sorted: &[Duration], share: usize) -> Duration {
    sorted[(sorted.len() * share / 100).min(sorted.len() - 1)]
}

/// Seconds of processor time of this process, in ticks of 10 ms (proc(5)).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let ticks = fields
        .split(' ')
        .skip(11)
        .take(2)
        .map(|field| field.parse::<f64>().unwrap());
    ticks.sum::<f64>() / 100.0
}

/// A line of `/proc/self/status`.
fn memory_kb(name: &str) -> f64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(name)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

fn text(path: &Path) -> String {
    path.to_str().unwrap().to_owned()
}
