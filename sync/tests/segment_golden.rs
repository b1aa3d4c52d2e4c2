//! Pins the bytes of segments and changes: what lies in a cloud or on a disk must stay readable,
//! and equal changes must give equal segments in every release.
//!
//! After a change of the format that is meant to be one, `ISLET_GOLDEN=write cargo test` writes
//! the files anew; the old ones must then be kept under the name of their version.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use std::path::PathBuf;

use islet_sync::segment::{Change, decode, encode};

fn golden(name: &str, extension: &str, bytes: &[u8]) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let path = path.join(name).with_extension(extension);
    if std::env::var_os("ISLET_GOLDEN").is_some() {
        std::fs::write(&path, bytes).unwrap();
    }
    let expected = std::fs::read(&path).unwrap();
    assert!(
        expected == bytes,
        "{} is no longer what is written",
        path.display()
    );
}

#[test]
fn segments_keep_their_bytes_and_their_meaning() {
    for (name, first_seq, changes) in support::inputs() {
        let bytes = encode(first_seq, &changes);
        golden(name, "segment", &bytes);
        let segment = decode(&bytes).unwrap();
        assert_eq!(segment.first_seq, first_seq, "{name}");
        let read: Vec<Change<'_>> = segment.changes().map(|(_, change)| change).collect();
        assert!(read == changes, "{name} does not come back");
    }
}

#[test]
fn changes_keep_their_bytes() {
    for (name, _, changes) in support::inputs() {
        golden(name, "change", &changes[0].ops);
    }
}

/// The goals of the wire, with 64 bytes of signature and 4 of seq.
#[test]
fn segments_stay_small() {
    for (name, first_seq, changes) in support::inputs() {
        let bytes = encode(first_seq, &changes).len() + 64 + 4;
        let goal = match name {
            "lone-reading" => 100,
            // 11 bytes a reading, and the texts.
            "finger-sticks" => 32 * 11 + 26,
            "sensor-upload" => 96 * 5 / 2,
            _ => continue,
        };
        assert!(bytes <= goal, "{name}: {bytes} bytes");
    }
}
