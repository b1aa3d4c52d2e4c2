//! Bytes per reading on the wire: Islet's segments, signed, beside gzip JSON, Automerge, Loro and
//! Yjs (yrs) documents of the same readings, which are not, and beside columns made by hand.
//!
//! `make bench-wire`, or `cargo run --release` in this folder.

mod columns;
mod data;
mod documents;
mod ours;
mod speed;

use data::{Change, Habit};
use islet_sync::segment;

/// What a signed head adds to a segment: an Ed25519 signature and a seq.
const HEAD_BYTES: usize = 64 + 4;
/// The seq of the first change: that of a node which has been running for a while.
const FIRST_SEQ: u64 = 40_000;
const SIZES: [usize; 5] = [1, 32, 288, 1_024, 4_096];

type Make = fn(usize) -> Vec<Change>;

const WORKLOADS: [(&str, Make); 5] = [
    ("finger-stick", |count| data::sticks(count, Habit::Plain)),
    ("finger-stick, one in six with a note", |count| {
        data::sticks(count, Habit::Notes)
    }),
    ("finger-stick, the meter's own time", |count| {
        data::sticks(count, Habit::Meter)
    }),
    ("CGM, uploads of 288", data::uploads),
    ("CGM, each reading when taken", data::live),
];

fn ours(changes: &[Change]) -> usize {
    segment::encode(FIRST_SEQ, &ours::changes(changes)).len() + HEAD_BYTES
}

fn by_hand(changes: &[Change]) -> usize {
    columns::size(changes) + HEAD_BYTES
}

fn main() {
    let formats: [(&str, fn(&[Change]) -> usize); 6] = [
        ("Islet, signed", ours),
        ("columns by hand and zstd, signed", by_hand),
        ("gzip JSON", documents::json),
        ("Automerge", documents::automerge),
        ("Loro", documents::loro),
        ("Yjs (yrs)", documents::yrs),
    ];
    println!("Bytes per reading, everything included.\n");
    for (workload, make) in WORKLOADS {
        println!(
            "| {workload} | {} |",
            SIZES.map(|size| size.to_string()).join(" | ")
        );
        println!("| --- |{}", " ---: |".repeat(SIZES.len()));
        for (format, measure) in formats {
            let cells = SIZES.map(|size| {
                let bytes = measure(&make(size)) as f64 / size as f64;
                if bytes < 100.0 {
                    format!("{bytes:.2}")
                } else {
                    format!("{bytes:.0}")
                }
            });
            println!("| {format} | {} |", cells.join(" | "));
        }
        println!();
    }
    speed::table(&WORKLOADS);
}
