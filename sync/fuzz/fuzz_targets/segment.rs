//! A segment decodes within its bounds or fails, and what decodes survives a round trip.
//!
//! `cargo +nightly fuzz run segment` in `sync/`; `sync/tests/golden/*.segment` are good seeds.
#![no_main]

use islet_sync::limits::{SEGMENT_CHANGES_MAX, SEGMENT_DECODED_BYTES_MAX};
use islet_sync::segment::{Change, decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(segment) = decode(bytes) else { return };
    let changes: Vec<Change<'_>> = segment.changes().map(|(_, change)| change).collect();
    assert!(changes.len() <= SEGMENT_CHANGES_MAX);
    let total: usize = changes.iter().map(|change| change.ops.len()).sum();
    assert!(total <= SEGMENT_DECODED_BYTES_MAX);
    let again = decode(&encode(segment.first_seq, &changes));
    assert!(again.is_ok_and(|again| again == segment));
});
