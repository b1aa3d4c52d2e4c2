//! The baseline: what a schema-bound format would do, with the same guesses chosen by hand. Varint
//! columns under zstd, signed, without a word about what is in them.

use islet_sync::varint::{put_i64, put_u64};

use crate::data::Change;

const LEVEL: i32 = 3;
/// A segment's first seq, count and length.
const HEAD_BYTES: usize = 8;

/// Bytes of the readings, less the signature.
pub fn size(changes: &[Change]) -> usize {
    let mut columns = vec![Vec::new(); 11];
    let (mut last_stored, mut last_glucose, mut last_id, mut last_taken) = (0, 0, 0, 0);
    for (stored, readings) in changes {
        put_i64(&mut columns[0], stored - last_stored);
        put_u64(&mut columns[1], readings.len() as u64);
        last_stored = *stored;
        for reading in readings {
            let tenths = (reading.glucose_mg_dl * 10.0).round() as i64;
            put_i64(&mut columns[2], reading.id - last_id);
            put_i64(&mut columns[3], reading.patient_id & 0xffff_ffff);
            put_i64(&mut columns[4], reading.patient_id >> 32);
            // A sensor goes on from its last value; finger-sticks are whole and far apart.
            match reading.source {
                3 => put_i64(&mut columns[5], tenths - last_glucose),
                _ => put_i64(&mut columns[5], tenths / 10),
            }
            columns[6].push(reading.reading_type as u8);
            columns[7].push(reading.source as u8);
            put_i64(&mut columns[8], reading.recorded_at - stored);
            let taken = match readings.len() {
                1 => reading.measured_at - stored,
                _ => reading.measured_at - last_taken,
            };
            put_i64(&mut columns[9], taken);
            let notes = reading.notes.as_deref().unwrap_or_default();
            put_u64(&mut columns[10], notes.len() as u64);
            columns[10].extend(notes.as_bytes());
            (last_glucose, last_id, last_taken) = (tenths, reading.id, reading.measured_at);
        }
    }
    let plain = columns.concat();
    let packed = zstd::bulk::compress(&plain, LEVEL).unwrap();
    HEAD_BYTES + plain.len().min(packed.len())
}
