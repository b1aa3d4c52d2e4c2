//! A report, not a judgement: what one acknowledged reading costs the disk.
//!
//! ```sh
//! cargo test --test durability -- --ignored --nocapture cost
//! ```

use crate::disk::Disk;
use crate::lab;
use crate::load::{self, Ledger, Load};
use crate::support::Node;

const DISK_MIB: u32 = 256;
const LONE_READINGS: usize = 300;
const SHARED_READINGS: usize = 5_000;

/// What a block device has done since it was made.
#[derive(Clone, Copy)]
struct Work {
    writes: f64,
    bytes: f64,
    flushes: f64,
}

impl Work {
    /// Fields 5, 7 and 16 of `/sys/block/NAME/stat`; a sector has 512 bytes.
    fn of(disk: &Disk) -> Self {
        let path = format!("/sys/block/{}/stat", disk.device());
        let text = std::fs::read_to_string(path).unwrap();
        let fields: Vec<f64> = text
            .split_whitespace()
            .map(|field| field.parse().unwrap())
            .collect();
        Self {
            writes: fields[4],
            bytes: fields[6] * 512.0,
            flushes: fields[15],
        }
    }

    fn report(self, before: Self, what: &str, readings: usize) {
        let readings = f64::from(u32::try_from(readings).unwrap());
        println!(
            "{what}: {readings} readings, each {:.2} flushes, {:.1} writes, {:.1} KiB",
            (self.flushes - before.flushes) / readings,
            (self.writes - before.writes) / readings,
            (self.bytes - before.bytes) / 1024.0 / readings
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "a report for people"]
async fn what_a_reading_costs() {
    let disk = match Disk::new(DISK_MIB) {
        Ok(disk) => disk,
        Err(reason) => return lab::skip("cost of a reading", &reason),
    };
    let data = disk.mount_point().join("node");
    lab::seed(&data);
    let ledger = Ledger::default();
    let node = Node::start(&mut lab::islet(), &data, &[]);
    let phone = load::phone(&node, None).await;

    let before = Work::of(&disk);
    for _ in 0..LONE_READINGS {
        assert!(ledger.post_one(&phone).await);
    }
    Work::of(&disk).report(before, "one phone", ledger.acknowledged());

    let (before, lone) = (Work::of(&disk), ledger.acknowledged());
    let load = Load::start(&phone, &ledger);
    while ledger.acknowledged() < lone + SHARED_READINGS {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    load.finish().await;
    Work::of(&disk).report(before, "16 phones", ledger.acknowledged() - lone);
}
