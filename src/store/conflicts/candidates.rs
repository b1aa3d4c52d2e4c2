//! What contradicts what, in words and as JSON: the same on every node.

use islet_sync::op::Value;
use islet_sync::register::{Policy, Sibling};
use rusqlite::Row;
use serde_json::{Map, Value as Json, json};

use super::{author, author_of_row};
use crate::domain::conflict::{Candidate, ConflictId, Kind};
use crate::domain::glucose::ReadingType;
use crate::domain::time::Timestamp;
use crate::store::tx::{Read, one};
use crate::store::{StoreError, staff};

/// The name of a candidate of a register: the change that wrote it.
pub(super) fn id_of(sibling: &Sibling) -> String {
    format!("{}.{}", sibling.stamp.replica.get(), sibling.stamp.seq)
}

/// The values of a register, oldest first.
pub(super) fn of_register(
    tx: &impl Read,
    id: ConflictId,
    siblings: &[Sibling],
    policy: Policy,
) -> Result<Vec<Candidate>, StoreError> {
    let shown = policy.shown(siblings).map(|sibling| sibling.stamp);
    let mut found = Vec::new();
    for sibling in siblings {
        let (text, value) = match id.kind {
            Kind::Reading => reading(sibling),
            Kind::QueueState => queue_state(sibling),
            _ => resolution(tx, sibling)?,
        };
        found.push(Candidate {
            id: id_of(sibling),
            author: author(tx, sibling.stamp.replica.get())?,
            at: Timestamp(sibling.stamp.hlc.millis()),
            shown: shown == Some(sibling.stamp),
            text,
            value,
        });
    }
    Ok(found)
}

fn field(sibling: &Sibling, number: u8) -> &Value<'static> {
    let found = sibling.fields.iter().find(|(other, _)| *other == number);
    found.map_or(&Value::Null, |(_, value)| value)
}

fn text_of<'a>(value: &'a Value<'static>) -> Option<&'a str> {
    match value {
        Value::Text(text) => Some(text),
        _ => None,
    }
}

fn int_of(value: &Value<'_>) -> Option<i64> {
    match value {
        Value::Int(value) => Some(*value),
        _ => None,
    }
}

/// Status of a reading that was marked as an error.
const ENTERED_IN_ERROR: i64 = 2;

fn reading(sibling: &Sibling) -> (String, Json) {
    let mg_dl = match field(sibling, 2) {
        Value::Real(value) => *value,
        other => int_of(other).unwrap_or_default() as f64,
    };
    let kind = int_of(field(sibling, 3)).and_then(ReadingType::from_code);
    let kind = kind.unwrap_or(ReadingType::Otro).as_str();
    let is_error = int_of(field(sibling, 5)) == Some(ENTERED_IN_ERROR);
    let notes = text_of(field(sibling, 8));
    let mut text = format!("{mg_dl} mg/dL, {kind}");
    if let Some(notes) = notes.filter(|notes| !notes.is_empty()) {
        text.push_str(&format!(", notes: {notes}"));
    }
    if is_error {
        text = format!("entered in error ({text})");
    }
    let value = json!({
        "glucose_mg_dl": mg_dl, "reading_type": kind, "entered_in_error": is_error, "notes": notes,
    });
    (text, value)
}

fn queue_state(sibling: &Sibling) -> (String, Json) {
    let state = text_of(field(sibling, 3)).unwrap_or_default();
    (state.to_owned(), json!({ "state": state }))
}

const RESOLUTION: &str = "SELECT change_basal_type, change_basal_dose, change_basal_time, change_fast_type,
    change_ratio, change_sensitivity, emergency_care, needed_physical_appointment, glucose_scale, staff_id
    FROM resolution WHERE id = ?";
/// The columns of a resolution, and what they are called in a sentence.
const RESOLUTION_WORDS: [(&str, &str); 9] = [
    ("change_basal_type", "basal insulin"),
    ("change_basal_dose", "basal dose"),
    ("change_basal_time", "basal time"),
    ("change_fast_type", "fast insulin"),
    ("change_ratio", "ratio"),
    ("change_sensitivity", "sensitivity"),
    ("emergency_care", "emergency care"),
    ("needed_physical_appointment", "come to the clinic"),
    ("glucose_scale", "glucose scale"),
];

fn resolution(tx: &impl Read, sibling: &Sibling) -> Result<(String, Json), StoreError> {
    let Some(id) = int_of(field(sibling, 16)) else {
        return Ok(("no resolution".into(), json!({ "resolution_id": null })));
    };
    let found = one(tx, RESOLUTION, [id], |row| {
        let mut value = Map::new();
        for (index, (column, _)) in RESOLUTION_WORDS.iter().enumerate() {
            value.insert((*column).to_owned(), json_of(row, index)?);
        }
        Ok((value, row.get::<_, Option<i64>>(9)?))
    })?;
    let (mut value, staff_id) = found.unwrap_or_default();
    for flag in ["emergency_care", "needed_physical_appointment"] {
        let is_set = value.get(flag) == Some(&json!(1));
        value.insert(flag.to_owned(), json!(is_set));
    }
    let said: Vec<String> = RESOLUTION_WORDS
        .iter()
        .filter_map(|(column, word)| match value.get(*column)? {
            Json::Null | Json::Bool(false) => None,
            Json::Bool(true) => Some((*word).to_owned()),
            Json::String(text) => Some(format!("{word} {text}")),
            other => Some(format!("{word} {other}")),
        })
        .collect();
    let text = if said.is_empty() {
        "no change".to_owned()
    } else {
        said.join(", ")
    };
    let by = staff_id
        .map(|id| staff::by_id(tx, id))
        .transpose()?
        .flatten();
    value.insert("resolution_id".into(), json!(id));
    value.insert("staff".into(), json!(by.map(|staff| staff.username)));
    Ok((text, Json::Object(value)))
}

fn json_of(row: &Row<'_>, index: usize) -> rusqlite::Result<Json> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(index)? {
        ValueRef::Integer(value) => json!(value),
        ValueRef::Real(value) => json!(value),
        ValueRef::Text(text) => json!(String::from_utf8_lossy(text)),
        ValueRef::Null | ValueRef::Blob(_) => Json::Null,
    })
}

/// What one of a pair is.
struct One {
    at: Timestamp,
    text: String,
    value: Json,
}

/// The rows of a pair, oldest first.
pub(super) fn of_pair(
    tx: &impl Read,
    kind: Kind,
    row: i64,
    other: i64,
) -> Result<Vec<Candidate>, StoreError> {
    let mut found = Vec::new();
    for id in [other, row] {
        let one = match kind {
            Kind::StaffUsername | Kind::StaffEmail => member(tx, id)?,
            Kind::QueueDay => queue_day(tx, id)?,
            Kind::Appointment => appointment(tx, id)?,
            _ => patient(tx, id)?,
        };
        let Some(one) = one else { continue };
        found.push(Candidate {
            id: id.to_string(),
            author: author_of_row(tx, id)?,
            at: one.at,
            shown: false,
            text: one.text,
            value: one.value,
        });
    }
    found.sort_by_key(|candidate| candidate.at);
    // Log-ins find the smallest id, a place in the queue its earliest form, and the latest day goes on.
    let shown = match kind {
        Kind::Appointment => found.first_mut(),
        Kind::QueueDay => found.last_mut(),
        _ => {
            let first = row.min(other).to_string();
            found.iter_mut().find(|candidate| candidate.id == first)
        }
    };
    if let Some(shown) = shown {
        shown.shown = true;
    }
    Ok(found)
}

fn patient(tx: &impl Read, id: i64) -> Result<Option<One>, StoreError> {
    let sql =
        "SELECT dni, name, surname, email, hospital_account, created_at FROM patient WHERE id = ?";
    one(tx, sql, [id], |row| {
        let column = |index| row.get::<_, String>(index);
        let (dni, name, surname) = (column(0)?, column(1)?, column(2)?);
        let (email, account) = (column(3)?, column(4)?);
        Ok(One {
            at: Timestamp(row.get(5)?),
            text: format!("{name} {surname}, DNI {dni}, {email}, hospital account {account}"),
            value: json!({
                "patient_id": id, "dni": dni, "name": name, "surname": surname, "email": email,
                "hospital_account": account,
            }),
        })
    })
}

fn member(tx: &impl Read, id: i64) -> Result<Option<One>, StoreError> {
    let sql = "SELECT username, email, blocked, created_at FROM staff WHERE id = ?";
    one(tx, sql, [id], |row| {
        let (username, email) = (row.get::<_, String>(0)?, row.get::<_, String>(1)?);
        let blocked: bool = row.get(2)?;
        let end = if blocked { ", blocked" } else { "" };
        Ok(One {
            at: Timestamp(row.get(3)?),
            text: format!("{username}, {email}{end}"),
            value: json!({
                "staff_id": id, "username": username, "email": email, "blocked": blocked,
            }),
        })
    })
}

fn queue_day(tx: &impl Read, id: i64) -> Result<Option<One>, StoreError> {
    let sql = "SELECT size, opened_at, closed_at FROM queue_day WHERE id = ?";
    one(tx, sql, [id], |row| {
        let (size, opened_at) = (row.get::<_, i64>(0)?, Timestamp(row.get(1)?));
        let closed_at: Option<i64> = row.get(2)?;
        let closed_at = closed_at.map(|at| Timestamp(at).to_rfc3339());
        let opened = opened_at.to_rfc3339();
        let end = closed_at
            .as_deref()
            .map_or("not closed".to_owned(), |at| format!("closed {at}"));
        Ok(One {
            at: opened_at,
            text: format!("{size} places, opened {opened}, {end}"),
            value: json!({
                "queue_day_id": id, "size": size, "opened_at": opened, "closed_at": closed_at,
            }),
        })
    })
}

const APPOINTMENT: &str = "SELECT insulin_type, dose, fast_insulin, fixed_dose, ratio, sensitivity,
    glucose_objective, pump_type, control_data, motives, another_treatment, other_motive, created_at
    FROM appointment WHERE id = ?";
const APPOINTMENT_COLUMNS: [&str; 12] = [
    "insulin_type",
    "dose",
    "fast_insulin",
    "fixed_dose",
    "ratio",
    "sensitivity",
    "glucose_objective",
    "pump_type",
    "control_data",
    "motives",
    "another_treatment",
    "other_motive",
];

fn appointment(tx: &impl Read, id: i64) -> Result<Option<One>, StoreError> {
    one(tx, APPOINTMENT, [id], |row| {
        let mut value = Map::new();
        for (index, column) in APPOINTMENT_COLUMNS.iter().enumerate() {
            value.insert((*column).to_owned(), json_of(row, index)?);
        }
        let motives = value.get("motives").and_then(Json::as_str);
        let motives: Json = motives
            .and_then(|text| serde_json::from_str(text).ok())
            .unwrap_or_default();
        value.insert("motives".into(), motives);
        value.insert("appointment_id".into(), json!(id));
        let word = |column: &str| match value.get(column) {
            Some(Json::String(text)) => text.clone(),
            Some(other) => other.to_string(),
            None => String::new(),
        };
        let text = format!(
            "{} {}, fast {} {}, ratio {}, sensitivity {}, objective {} mg/dL",
            word("insulin_type"),
            word("dose"),
            word("fast_insulin"),
            word("fixed_dose"),
            word("ratio"),
            word("sensitivity"),
            word("glucose_objective")
        );
        Ok(One {
            at: Timestamp(row.get(12)?),
            text,
            value: Json::Object(value),
        })
    })
}
