//! Durability labs against the real binary: power cuts, kills, failing disks and full disks.
//! What a node acknowledged must be there afterwards, whole, with its change and its audit entry.
//!
//! Each lab has a short form that runs with every `cargo test`. `ISLET_LAB_ROUNDS=N` asks for N
//! kills and cuts, `ISLET_LAB_SEED=N` for other moments, `--include-ignored` for power cuts made from
//! a log of the disk and for a report on what a reading costs the disk. A lab that the machine has no means for says so and is recorded as
//! skipped.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on should stop"
)]

#[path = "../support/mod.rs"]
mod support;

mod block_log;
mod check;
mod cost;
mod damage;
mod disk;
mod disk_full;
mod io_error;
mod kill;
mod lab;
mod load;
mod power_cut;
mod replay;
