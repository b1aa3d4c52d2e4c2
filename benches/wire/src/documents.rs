//! The same readings in what else there is. Numbers stay numbers, whole ones are handed over as
//! such, and nothing is signed: each is given its best chance.

use std::io::Write;

use automerge::transaction::Transactable;
use automerge::{AutoCommit, ObjType, ROOT};
use loro::{ExportMode, LoroDoc, LoroMap};
use yrs::{Array, Doc, In, MapPrelim, ReadTxn, StateVector, Transact};

use crate::data::{Change, Reading};

/// A field's value.
enum Field<'a> {
    Int(i64),
    Real(f64),
    Text(&'a str),
}

fn fields(reading: &Reading) -> Vec<(&'static str, Field<'_>)> {
    let glucose = reading.glucose_mg_dl;
    let whole = glucose as i64;
    let glucose = if whole as f64 == glucose {
        Field::Int(whole)
    } else {
        Field::Real(glucose)
    };
    let mut fields = vec![
        ("id", Field::Int(reading.id)),
        ("patient_id", Field::Int(reading.patient_id)),
        ("glucose_mg_dl", glucose),
        ("reading_type", Field::Int(reading.reading_type)),
        ("source", Field::Int(reading.source)),
        ("status", Field::Int(1)),
        ("measured_at", Field::Int(reading.measured_at)),
        ("recorded_at", Field::Int(reading.recorded_at)),
    ];
    if let Some(notes) = &reading.notes {
        fields.push(("notes", Field::Text(notes)));
    }
    fields
}

fn readings(changes: &[Change]) -> impl Iterator<Item = &Reading> {
    changes.iter().flat_map(|(_, readings)| readings)
}

/// gzip, level 9, of a JSON array.
pub fn json(changes: &[Change]) -> usize {
    let rows: Vec<_> = readings(changes)
        .map(|reading| {
            let value = |field| match field {
                Field::Int(int) => serde_json::Value::from(int),
                Field::Real(real) => serde_json::Value::from(real),
                Field::Text(text) => serde_json::Value::from(text),
            };
            let pairs = fields(reading).into_iter();
            pairs
                .map(|(name, field)| (name.to_owned(), value(field)))
                .collect()
        })
        .map(serde_json::Value::Object)
        .collect();
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    gzip.write_all(&serde_json::to_vec(&rows).unwrap()).unwrap();
    gzip.finish().unwrap().len()
}

/// `save` of an Automerge document.
pub fn automerge(changes: &[Change]) -> usize {
    let mut doc = AutoCommit::new();
    let list = doc.put_object(ROOT, "readings", ObjType::List).unwrap();
    for (index, reading) in readings(changes).enumerate() {
        let map = doc.insert_object(&list, index, ObjType::Map).unwrap();
        for (name, field) in fields(reading) {
            match field {
                Field::Int(int) => doc.put(&map, name, int).unwrap(),
                Field::Real(real) => doc.put(&map, name, real).unwrap(),
                Field::Text(text) => doc.put(&map, name, text).unwrap(),
            }
        }
    }
    doc.save().len()
}

/// All updates of a Loro document, or its snapshot where that is smaller.
pub fn loro(changes: &[Change]) -> usize {
    let doc = LoroDoc::new();
    let list = doc.get_list("readings");
    for (index, reading) in readings(changes).enumerate() {
        let map = list.insert_container(index, LoroMap::new()).unwrap();
        for (name, field) in fields(reading) {
            match field {
                Field::Int(int) => map.insert(name, int).unwrap(),
                Field::Real(real) => map.insert(name, real).unwrap(),
                Field::Text(text) => map.insert(name, text).unwrap(),
            }
        }
    }
    doc.commit();
    let updates = doc.export(ExportMode::all_updates()).unwrap().len();
    updates.min(doc.export(ExportMode::Snapshot).unwrap().len())
}

/// The update, in yrs's second and smaller encoding, of a Yjs document.
pub fn yrs(changes: &[Change]) -> usize {
    let doc = Doc::new();
    let list = doc.get_or_insert_array("readings");
    let mut transaction = doc.transact_mut();
    for reading in readings(changes) {
        let value = |field| match field {
            Field::Int(int) => In::from(int),
            Field::Real(real) => In::from(real),
            Field::Text(text) => In::from(text),
        };
        let pairs = fields(reading).into_iter();
        let map: MapPrelim = pairs.map(|(name, field)| (name, value(field))).collect();
        list.push_back(&mut transaction, map);
    }
    transaction
        .encode_state_as_update_v2(&StateVector::default())
        .len()
}
