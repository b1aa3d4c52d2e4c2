//! A change decodes or fails, and what decodes has no other encoding.
//!
//! `cargo +nightly fuzz run change` in `sync/`.
#![no_main]

use islet_sync::change::{Encoder, decode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Ok(ops) = decode(bytes) else { return };
    let mut encoder = Encoder::default();
    for op in &ops {
        encoder.push(op.entity, op.action, op.row, &op.fields);
    }
    assert!(ops.is_empty() || encoder.bytes() == bytes);
});
