//! What contradicts what, in words and as facts: the same on every node. Must never hold anything of this node alone.

use islet_sync::op::Value;
use islet_sync::register::{Policy, Sibling};
use rusqlite::Row;

use super::{author, author_of_row};
use crate::domain::conflict::{Candidate, ConflictId, Fact, Kind};
use crate::domain::glucose::ReadingType;
use crate::domain::time::Timestamp;
use crate::store::tx::{Read, one};
use crate::store::{StoreError, appointments, staff};

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
        let (text, facts) = match id.kind {
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
            facts,
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

/// Names and values.
type Facts = Vec<(&'static str, Fact)>;

fn reading(sibling: &Sibling) -> (String, Facts) {
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
    let facts = vec![
        ("glucose_mg_dl", Fact::Number(mg_dl)),
        ("reading_type", Fact::Text(kind.to_owned())),
        ("entered_in_error", Fact::Flag(is_error)),
        ("notes", Fact::optional(notes.map(str::to_owned))),
    ];
    (text, facts)
}

fn queue_state(sibling: &Sibling) -> (String, Facts) {
    let state = text_of(field(sibling, 3)).unwrap_or_default().to_owned();
    (state.clone(), vec![("state", Fact::Text(state))])
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

fn resolution(tx: &impl Read, sibling: &Sibling) -> Result<(String, Facts), StoreError> {
    let Some(id) = int_of(field(sibling, 16)) else {
        let facts = vec![("resolution_id", Fact::Nothing)];
        return Ok(("no resolution".into(), facts));
    };
    let found = one(tx, RESOLUTION, [id], |row| {
        let mut facts = vec![("resolution_id", Fact::Integer(id))];
        for (index, (column, _)) in RESOLUTION_WORDS.iter().enumerate() {
            // The two flags are the only integers.
            let fact = match fact_of(row, index)? {
                Fact::Integer(flag) => Fact::Flag(flag == 1),
                other => other,
            };
            facts.push((*column, fact));
        }
        Ok((facts, row.get::<_, Option<i64>>(9)?))
    })?;
    let (mut facts, staff_id) = found.unwrap_or_default();
    let said: Vec<String> = RESOLUTION_WORDS
        .iter()
        .filter_map(|(column, word)| {
            let (_, fact) = facts.iter().find(|(name, _)| name == column)?;
            match fact {
                Fact::Flag(true) => Some((*word).to_owned()),
                Fact::Nothing | Fact::Flag(false) => None,
                other => Some(format!("{word} {}", words(other))),
            }
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
    facts.push(("staff", Fact::optional(by.map(|staff| staff.username))));
    Ok((text, facts))
}

fn fact_of(row: &Row<'_>, index: usize) -> rusqlite::Result<Fact> {
    use rusqlite::types::ValueRef;
    Ok(match row.get_ref(index)? {
        ValueRef::Integer(value) => Fact::Integer(value),
        ValueRef::Real(value) => Fact::Number(value),
        ValueRef::Text(text) => Fact::Text(String::from_utf8_lossy(text).into_owned()),
        ValueRef::Null | ValueRef::Blob(_) => Fact::Nothing,
    })
}

fn words(fact: &Fact) -> String {
    match fact {
        Fact::Nothing => String::new(),
        Fact::Flag(value) => value.to_string(),
        Fact::Integer(value) => value.to_string(),
        Fact::Number(value) => value.to_string(),
        Fact::Text(text) => text.clone(),
        Fact::Texts(texts) => texts.join(", "),
    }
}

/// What one of a pair is.
struct One {
    at: Timestamp,
    text: String,
    facts: Facts,
}

/// The rows of a pair, oldest first.
pub(super) fn of_pair(
    tx: &impl Read,
    kind: Kind,
    row: i64,
    other: i64,
) -> Result<Vec<Candidate>, StoreError> {
    if kind == Kind::QueuePlaces {
        return day_with_too_many(tx, row, other);
    }
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
            facts: one.facts,
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
            facts: vec![
                ("patient_id", Fact::Integer(id)),
                ("dni", Fact::Text(dni)),
                ("name", Fact::Text(name)),
                ("surname", Fact::Text(surname)),
                ("email", Fact::Text(email)),
                ("hospital_account", Fact::Text(account)),
            ],
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
            facts: vec![
                ("staff_id", Fact::Integer(id)),
                ("username", Fact::Text(username)),
                ("email", Fact::Text(email)),
                ("blocked", Fact::Flag(blocked)),
            ],
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
        let end = closed_at.as_ref().map(|at| format!("closed {at}"));
        let end = end.unwrap_or_else(|| "not closed".to_owned());
        Ok(One {
            at: opened_at,
            text: format!("{size} places, opened {opened}, {end}"),
            facts: vec![
                ("queue_day_id", Fact::Integer(id)),
                ("size", Fact::Integer(size)),
                ("opened_at", Fact::Text(opened)),
                ("closed_at", Fact::optional(closed_at)),
            ],
        })
    })
}

/// A day of which this many places were given out twice.
fn day_with_too_many(tx: &impl Read, day: i64, excess: i64) -> Result<Vec<Candidate>, StoreError> {
    let Some(One {
        at,
        text,
        mut facts,
    }) = queue_day(tx, day)?
    else {
        return Ok(Vec::new());
    };
    facts.push(("places_given_out_twice", Fact::Integer(excess)));
    Ok(vec![Candidate {
        id: day.to_string(),
        author: author_of_row(tx, day)?,
        at,
        shown: true,
        text: format!("{text}: {excess} given out twice"),
        facts,
    }])
}

fn appointment(tx: &impl Read, id: i64) -> Result<Option<One>, StoreError> {
    let Some(found) = appointments::by_id(tx, id)? else {
        return Ok(None);
    };
    let sql = "SELECT created_at FROM appointment WHERE id = ?";
    let at = one(tx, sql, [id], |row| row.get(0))?.unwrap_or_default();
    let form = found.form;
    let text = format!(
        "{} {}, fast {} {}, ratio {}, sensitivity {}, objective {} mg/dL",
        form.insulin_type,
        form.dose,
        form.fast_insulin,
        form.fixed_dose,
        form.ratio,
        form.sensitivity,
        form.glucose_objective
    );
    let facts = vec![
        ("appointment_id", Fact::Integer(id)),
        ("insulin_type", Fact::Text(form.insulin_type)),
        ("dose", Fact::Number(form.dose)),
        ("fast_insulin", Fact::Text(form.fast_insulin)),
        ("fixed_dose", Fact::Number(form.fixed_dose)),
        ("ratio", Fact::Number(form.ratio)),
        ("sensitivity", Fact::Number(form.sensitivity)),
        ("glucose_objective", Fact::Number(form.glucose_objective)),
        ("pump_type", Fact::Text(form.pump_type)),
        ("control_data", Fact::Text(form.control_data)),
        ("motives", Fact::Texts(form.motives)),
        ("another_treatment", Fact::optional(form.another_treatment)),
        ("other_motive", Fact::optional(form.other_motive)),
    ];
    let at = Timestamp(at);
    Ok(Some(One { at, text, facts }))
}
