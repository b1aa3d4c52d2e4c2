//! The strictest power cut: every write and flush that reaches the disk is logged, and the disk is
//! put together as it could be after a cut at any moment ([`crate::replay`]). Unlike a shut-down
//! file system, this models a disk that has a cache and reorders and tears what is in it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::check::{self, Findings};
use crate::disk::Disk;
use crate::lab::{self, Moments};
use crate::load::{self, Ledger, Load};
use crate::replay::{Replay, entries};
use crate::support::Node;

/// Crash states for each round of the other labs.
const STATES_PER_ROUND: u32 = 5;
/// A node is started on every so many of them; on the others, only the database is opened.
const STATES_PER_START: u32 = 8;
/// Most crash states until a node that does not flush must have lost something.
const STATES_UNTIL_LOSS: u32 = 200;
const DISK_MIB: u32 = 64;
/// Enough for the write-ahead log to be folded into the database a few times.
const READINGS: usize = 1_500;

/// What was acknowledged when the log had this many entries: row id to `measured_at`.
type Steps = BTreeMap<u64, BTreeMap<i64, i64>>;

/// A node's life on a logged disk.
struct Life {
    disk: Disk,
    ledger: Ledger,
    steps: Steps,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long form: make lab"]
async fn no_state_of_the_disk_after_a_cut_lacks_an_acknowledged_reading() {
    let states = lab::rounds(10) * STATES_PER_ROUND;
    let life = match live("FULL").await {
        Ok(life) => life,
        Err(reason) => return lab::skip("block log", &reason),
    };
    let mut acknowledged = 0;
    let cut = crash(&life, states, |state, findings, required| {
        findings.must_be_empty(&format!("crash state {state}"));
        acknowledged = required;
        true
    });
    assert_eq!(cut, states);
    println!("block log: {states} crash states, up to {acknowledged} readings, none lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "long form: make lab"]
async fn the_block_log_test_can_fail() {
    if !cfg!(debug_assertions) {
        return lab::skip(
            "the block-log test can fail",
            "a release build always flushes",
        );
    }
    let life = match live("NORMAL").await {
        Ok(life) => life,
        Err(reason) => return lab::skip("the block-log test can fail", &reason),
    };
    let mut lost = 0;
    crash(&life, STATES_UNTIL_LOSS, |state, findings, required| {
        lost = findings.lost.len();
        if lost > 0 {
            println!("without the flush, crash state {state} lost {lost} of {required} readings");
        }
        lost == 0
    });
    assert!(
        lost > 0,
        "{STATES_UNTIL_LOSS} crash states lost nothing: the lab cuts nothing"
    );
}

/// Lets a node serve 16 phones on a logged disk, stops it in between as systemd would, and kills it
/// at the end.
async fn live(synchronous: &str) -> Result<Life, String> {
    let disk = Disk::logged(DISK_MIB)?;
    let data = disk.mount_point().join("node");
    lab::seed(&data);
    let ledger = Ledger::default();
    let stop = Arc::new(AtomicBool::new(false));
    let steps = {
        let (log, ledger, stop) = (disk.log().0, ledger.clone(), Arc::clone(&stop));
        std::thread::spawn(move || watch(&log, &ledger, &stop))
    };
    let mut phone = None;
    for part in 1..=2 {
        let mut command = lab::islet();
        command.env("ISLET_TEST_SYNCHRONOUS", synchronous);
        let node = Node::start(&mut command, &data, &[]);
        let client = load::phone(&node, phone.as_ref()).await;
        let load = Load::start(&client, &ledger);
        while ledger.acknowledged() < part * READINGS / 2 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        if part == 1 {
            load.finish().await;
            node.stop();
        } else {
            drop(node);
            load.finish().await;
        }
        phone = Some(client);
    }
    stop.store(true, Ordering::Relaxed);
    let steps = steps.join().unwrap();
    Ok(Life {
        disk,
        ledger,
        steps,
    })
}

/// Notes how far the log has come when readings were acknowledged. What is in the ledger was
/// durable before the position is read, so a cut at or after that position must not take it.
fn watch(log: &Path, ledger: &Ledger, stop: &AtomicBool) -> Steps {
    let log = File::open(log).unwrap();
    let (mut steps, mut seen) = (Steps::new(), 0);
    while !stop.load(Ordering::Relaxed) {
        let acknowledged = ledger.open().acknowledged.clone();
        if acknowledged.len() > seen {
            seen = acknowledged.len();
            steps.insert(entries(&log), acknowledged);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    steps
}

/// Makes up to `states` crash states at moments spread over the whole life, and hands to `judge`
/// what was found in each and how many readings had to be there; goes on while it says so.
/// Answers how many states there were.
fn crash(life: &Life, states: u32, mut judge: impl FnMut(u32, Findings, usize) -> bool) -> u32 {
    let (log, original) = life.disk.log();
    let mut replay = Replay::open(&log, &original);
    let mut dice = Moments::new();
    // Before the first answer there is nothing to lose.
    let first = *life.steps.keys().next().unwrap();
    let mut moments: Vec<u64> = (0..states)
        .map(|_| first + dice.below(replay.moments() as u64 - first))
        .collect();
    moments.sort_unstable();
    for (state, moment) in (1..).zip(moments) {
        let before = usize::try_from(moment).unwrap();
        let disk = Disk::of(|image| replay.crash(before, image, &mut dice)).unwrap();
        let required = life.steps.range(..=moment).next_back();
        let required = required.map(|(_, readings)| readings.clone()).unwrap();
        let count = required.len();
        life.ledger.open().acknowledged = required;
        let data = disk.mount_point().join("node");
        if state % STATES_PER_START == 0 {
            // Gets ready, or stops the test.
            drop(Node::start(&mut lab::islet(), &data, &[]));
        }
        let findings = check::stored(&data, &life.ledger);
        if !judge(state, findings, count) {
            return state;
        }
    }
    let (flushes, bytes) = replay.work();
    println!("block log: {flushes} flushes, {bytes} bytes written");
    states
}
