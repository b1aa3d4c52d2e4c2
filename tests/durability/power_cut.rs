//! Power cuts while phones hand in readings: everything that was not flushed is gone.
//!
//! Only what was acknowledged before the cut counts. A computer without power sends no answer, but
//! this one does: an fsync that is under way while ext4 shuts down can return success without
//! having flushed (Linux 6.18: 52 of 1,200 cuts of a bare loop that appends and calls fsync).
//!
//! The second test takes the flush out of the commit and must lose readings: it proves that the
//! first one can fail.

use crate::check::{self, Findings};
use crate::disk::Disk;
use crate::lab::{self, Moments, ROUNDS_PER_NODE};
use crate::load::{self, Ledger, Load};
use crate::support::{Client, Node};

const ROUNDS: u32 = 10;
/// Most cuts until a node that does not flush must have lost something.
const ROUNDS_UNTIL_LOSS: u32 = 40;
const DISK_MIB: u32 = 256;

/// A node on a disk of its own, cut off again and again.
struct Site {
    disk: Disk,
    ledger: Ledger,
    phone: Option<Client>,
    synchronous: &'static str,
}

impl Site {
    fn new(disk: Disk, synchronous: &'static str) -> Self {
        // Not flushed by the test: a seed that says it is done has to be on the disk.
        lab::seed(&disk.mount_point().join("node"));
        Self {
            disk,
            ledger: Ledger::default(),
            phone: None,
            synchronous,
        }
    }

    /// Serves, cuts the power at a moment, brings it back, and looks.
    async fn cut(&mut self, moments: &mut Moments) -> Findings {
        let data = self.disk.mount_point().join("node");
        let mut command = lab::islet();
        command.env("ISLET_TEST_SYNCHRONOUS", self.synchronous);
        let node = Node::start(&mut command, &data, &[]);
        let phone = load::phone(&node, self.phone.as_ref()).await;
        check::served(&phone, &self.ledger).await;
        let fuse = self.disk.fuse().unwrap();
        let load = Load::start(&phone, &self.ledger);
        tokio::time::sleep(moments.next()).await;
        self.ledger.open().closed = true;
        fuse.blow().unwrap();
        drop(node);
        load.finish().await;
        self.ledger.open().closed = false;
        self.disk.remount();
        self.phone = Some(phone);
        check::stored(&data, &self.ledger)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_acknowledged_is_lost_in_a_power_cut() {
    let (mut moments, rounds) = (Moments::new(), lab::rounds(ROUNDS));
    let mut acknowledged = 0;
    for first in (0..rounds).step_by(ROUNDS_PER_NODE as usize) {
        let disk = match Disk::with_power(DISK_MIB) {
            Ok(disk) => disk,
            Err(reason) => return lab::skip("power cut", &reason),
        };
        let mut site = Site::new(disk, "FULL");
        for round in first..rounds.min(first + ROUNDS_PER_NODE) {
            let findings = site.cut(&mut moments).await;
            findings.must_be_empty(&format!("cut {round}"));
        }
        acknowledged += site.ledger.acknowledged();
    }
    println!("power cut: {rounds} cuts, {acknowledged} readings acknowledged, none lost");
    assert!(acknowledged > 0, "no reading was acknowledged before a cut");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_power_cut_test_can_fail() {
    if !cfg!(debug_assertions) {
        return lab::skip(
            "the power-cut test can fail",
            "a release build always flushes",
        );
    }
    let mut moments = Moments::new();
    for round in 1..=ROUNDS_UNTIL_LOSS {
        let disk = match Disk::with_power(DISK_MIB) {
            Ok(disk) => disk,
            Err(reason) => return lab::skip("the power-cut test can fail", &reason),
        };
        let mut site = Site::new(disk, "NORMAL");
        let lost = site.cut(&mut moments).await.lost.len();
        let acknowledged = site.ledger.acknowledged();
        if lost > 0 {
            println!("without the flush, cut {round} lost {lost} of {acknowledged} readings");
            return;
        }
    }
    panic!("{ROUNDS_UNTIL_LOSS} power cuts without a flush lost nothing: the lab cuts nothing");
}
