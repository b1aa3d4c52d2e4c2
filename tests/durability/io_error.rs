//! A disk that refuses: from some call on, every flush or every write fails with `EIO`. The node
//! must acknowledge nothing from then on, end at once with 74, and come back with all it
//! acknowledged before.
//!
//! The failing calls are not carried out at all, and the power is cut once the node has ended: a
//! node that acknowledged in spite of the error has lost readings.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::check;
use crate::disk::Disk;
use crate::lab;
use crate::load::{self, Ledger, Load};
use crate::support::Node;

/// `EX_IOERR` of sysexits.h.
const EXIT_STORAGE: i32 = 74;
/// Refused calls. SQLite flushes with one of the two.
const CALLS: [&str; 2] = ["fdatasync,fsync", "pwrite64"];
/// The first call to fail, counted from the moment the fault is switched on.
const FIRST_FAILURES: [u32; 3] = [1, 2, 7];
const DISK_MIB: u32 = 64;

/// Makes system calls of a running node fail. Lets go when dropped.
struct Fault(Child);

impl Fault {
    fn switch_on(node: &Node, calls: &str, first: u32) -> Result<Self, String> {
        let mut tracer = Command::new("strace")
            .args(["-f", "-e", &format!("trace={calls}"), "-e"])
            .arg(format!("inject={calls}:error=EIO:when={first}+"))
            .arg("-p")
            .arg(node.pid().to_string())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(|error| format!("strace: {error}"))?;
        let mut lines = BufReader::new(tracer.stderr.take().unwrap()).lines();
        let line = lines.next().and_then(Result::ok).unwrap_or_default();
        let fault = Self(tracer);
        if line.contains("not permitted") {
            return Err(line);
        }
        assert!(line.contains("attached"), "{line}");
        std::thread::spawn(move || lines.for_each(drop));
        Ok(fault)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_fails_ends_and_lies_to_nobody() {
    for calls in CALLS {
        for first in FIRST_FAILURES {
            if let Err(reason) = fail_from(calls, first).await {
                return lab::skip("I/O errors", &reason);
            }
        }
    }
}

/// One node, whose `calls` fail from number `first` on. An error is a reason to skip.
async fn fail_from(calls: &str, first: u32) -> Result<(), String> {
    let disk = Disk::with_power(DISK_MIB)?;
    let data = disk.mount_point().join("node");
    lab::seed(&data);
    let ledger = Ledger::default();
    let mut node = Node::start(&mut lab::islet(), &data, &[]);
    let phone = load::phone(&node, None).await;
    for _ in 0..10 {
        assert!(ledger.post_one(&phone).await);
    }
    assert_eq!(ledger.acknowledged(), 10, "before the disk fails");

    let fault = Fault::switch_on(&node, calls, first)?;
    let load = Load::start(&phone, &ledger);
    let status = lab::ended(&mut node).await;
    load.finish().await;
    drop(fault);
    let when = format!("{calls} failing from number {first} on");
    assert_eq!(status.code(), Some(EXIT_STORAGE), "{when}");
    if first == 1 {
        assert_eq!(ledger.acknowledged(), 10, "acknowledged in spite of {when}");
    }

    disk.cut_power()?;
    disk.remount();
    check::stored(&data, &ledger).must_be_empty(&when);
    let node = Node::start(&mut lab::islet(), &data, &[]);
    let phone = load::phone(&node, Some(&phone)).await;
    check::served(&phone, &ledger).await;
    assert!(ledger.post_one(&phone).await);
    Ok(())
}
