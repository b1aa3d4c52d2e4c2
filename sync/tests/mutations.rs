//! The decoders under fire: golden inputs, altered in 20,000 ways that are the same every time.
//! `sync/fuzz/` does the same without end.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod support;

use islet_sync::limits::{SEGMENT_CHANGES_MAX, SEGMENT_DECODED_BYTES_MAX};
use islet_sync::{change, segment};
use support::Dice;

const MUTATIONS: usize = 20_000;

/// One to four cuts, flips, copies or strange bytes.
fn mutate(dice: &mut Dice, bytes: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() as u64 + 1) as usize;
        match dice.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, dice.below(256) as u8),
            2 => bytes.extend_from_slice(&other[at.min(other.len())..]),
            3 => bytes.splice(..at.min(6), [0xff, 0xff, 0x03]).for_each(drop),
            4 => {
                bytes.drain(at..).for_each(drop);
                bytes.resize(at + dice.below(64) as usize, dice.below(2) as u8 * 0xff);
            }
            _ if at < bytes.len() => bytes[at] ^= 1 << dice.below(8),
            _ => {}
        }
    }
}

#[test]
fn damaged_segments_are_refused_or_bounded() {
    let goldens: Vec<Vec<u8>> = support::inputs()
        .iter()
        .map(|(_, first_seq, changes)| segment::encode(*first_seq, changes))
        .collect();
    let mut dice = Dice(3);
    let (mut refused, mut taken) = (0, 0);
    for round in 0..MUTATIONS {
        let mut bytes = goldens[round % goldens.len()].clone();
        mutate(&mut dice, &mut bytes, &goldens[(round / 7) % goldens.len()]);
        let summary = segment::summary(&bytes);
        let Ok(segment) = segment::decode(&bytes) else {
            refused += 1;
            continue;
        };
        taken += 1;
        assert_eq!(summary.unwrap().count, segment.count());
        assert!(segment.count() <= SEGMENT_CHANGES_MAX);
        let total: usize = segment.changes().map(|(_, change)| change.ops.len()).sum();
        assert!(total <= SEGMENT_DECODED_BYTES_MAX, "{total}");
        for (_, change) in segment.changes() {
            let _ = change::decode(&change.ops);
        }
        // Whatever was read is a list of changes like any other, and survives a round trip.
        let changes: Vec<_> = segment.changes().map(|(_, change)| change).collect();
        let again = segment::decode(&segment::encode(segment.first_seq, &changes)).unwrap();
        assert_eq!(again, segment);
    }
    // Neither a decoder that refuses everything nor one that takes everything is under test.
    assert!(refused > MUTATIONS / 10, "{refused} refused");
    assert!(taken > MUTATIONS / 100, "{taken} taken");
}

#[test]
fn damaged_changes_are_refused_or_canonical() {
    let goldens: Vec<Vec<u8>> = support::inputs()
        .into_iter()
        .map(|(_, _, mut changes)| changes.swap_remove(0).ops.into_owned())
        .collect();
    let mut dice = Dice(4);
    let mut taken = 0;
    for round in 0..MUTATIONS {
        let mut bytes = goldens[round % goldens.len()].clone();
        mutate(&mut dice, &mut bytes, &goldens[(round / 7) % goldens.len()]);
        let Ok(ops) = change::decode(&bytes) else {
            continue;
        };
        let mut encoder = change::Encoder::default();
        for op in &ops {
            encoder.push(op.entity, op.action, op.row, &op.fields);
        }
        assert!(ops.is_empty() || encoder.bytes() == bytes);
        taken += 1;
    }
    assert!(taken > MUTATIONS / 100, "{taken} taken");
}
