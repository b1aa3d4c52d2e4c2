//! Readings a second through the segment codec, on one core.

use std::hint::black_box;
use std::time::{Duration, Instant};

use islet_sync::segment;

use crate::{FIRST_SEQ, Make, ours};

const READINGS: usize = 4_096;
const TIME: Duration = Duration::from_secs(1);

/// Prints a table of readings a second, coded and decoded in segments of [`READINGS`].
pub fn table(workloads: &[(&str, Make)]) {
    println!("| readings a second, one core, segments of {READINGS} | coded | decoded |");
    println!("| --- | ---: | ---: |");
    for (workload, make) in workloads {
        let changes = ours::changes(&make(READINGS));
        let bytes = segment::encode(FIRST_SEQ, &changes);
        let coded = rate(|| drop(black_box(segment::encode(FIRST_SEQ, &changes))));
        let decoded = rate(|| drop(black_box(segment::decode(&bytes).unwrap())));
        println!("| {workload} | {coded:.0} | {decoded:.0} |");
    }
}

/// Of the fastest run: what else the computer does only ever makes a run slower.
fn rate(mut run: impl FnMut()) -> f64 {
    let start = Instant::now();
    let mut fastest = TIME;
    while start.elapsed() < TIME {
        let started = Instant::now();
        run();
        fastest = fastest.min(started.elapsed());
    }
    READINGS as f64 / fastest.as_secs_f64()
}
