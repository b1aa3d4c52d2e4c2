//! The readings as a segment.

use islet_sync::change::Encoder;
use islet_sync::hlc::Hlc;
use islet_sync::id::RowId;
use islet_sync::op::{Action, Value};
use islet_sync::segment::Change;

use crate::data;

/// The number of the entity of readings in the change log.
const READING: u8 = 3;
/// `final`, as in FHIR.
const STATUS_FINAL: i64 = 1;

/// The operations of changes, as the node's store makes them.
pub fn changes(changes: &[data::Change]) -> Vec<Change<'static>> {
    let encode = |(stored, readings): &data::Change| {
        let mut encoder = Encoder::default();
        for reading in readings {
            let values = [
                reading.patient_id.into(),
                reading.glucose_mg_dl.into(),
                reading.reading_type.into(),
                reading.source.into(),
                STATUS_FINAL.into(),
                reading.measured_at.into(),
                reading.recorded_at.into(),
                Value::from(reading.notes.as_deref()),
            ];
            let fields: Vec<_> = (1..).zip(values).collect();
            let row = RowId::from_i64(reading.id).unwrap();
            encoder.push(READING, Action::Create, row, &fields);
        }
        let hlc = Hlc::default().tick(*stored);
        Change {
            hlc,
            ops: encoder.bytes().to_vec().into(),
        }
    };
    changes.iter().map(encode).collect()
}
