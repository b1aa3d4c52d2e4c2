//! Conflicts that people settle: registers with siblings that differ, and pairs of rows that should not both be.
//!
//! What is open is read from indexes that hold nothing else, so that the cost is that of a page, however
//! many readings there are. Must never settle anything by itself.

mod candidates;

use islet_sync::apply::{RegisterKey, State};
use islet_sync::id::RowId;
use islet_sync::op::Value;
use islet_sync::register::{Policy, Sibling};
use islet_sync::rules::Merge;
use rusqlite::params;

use super::entity::{
    APPOINTMENT, Entity, PATIENT, QUEUE_DAY, QUEUE_ENTRY, READING, SETTLEMENT, STAFF,
};
use super::newest::Newest;
use super::rows::Rows;
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx, members, overspent, patients, staff, twins};
use crate::domain::conflict::{Author, Concerned, Conflict, ConflictId, Kind, Settlement};
use crate::domain::time::Timestamp;
use crate::limits;

/// Where a kind of conflict is found: an entity, and the first field of a register or the field whose value
/// a pair of rows has in common.
const fn place(kind: Kind) -> (&'static Entity, u8) {
    match kind {
        Kind::Reading => (&READING, 2),
        Kind::QueueState => (&QUEUE_ENTRY, 3),
        Kind::Resolution => (&APPOINTMENT, 16),
        Kind::PatientDni => (&PATIENT, 1),
        Kind::PatientEmail => (&PATIENT, 4),
        Kind::PatientHospitalAccount => (&PATIENT, 6),
        Kind::StaffUsername => (&STAFF, 1),
        Kind::StaffEmail => (&STAFF, 2),
        Kind::QueueDay => (&QUEUE_DAY, 2),
        Kind::Appointment => (&APPOINTMENT, 2),
        Kind::QueuePlaces => (&QUEUE_DAY, overspent::SIZE),
    }
}

/// The group of a kind that is a register, with its rules.
fn register(kind: Kind) -> Result<(u8, Policy), StoreError> {
    let (entity, field) = place(kind);
    match entity.group_of(field) {
        Some((group, rules)) => match rules.merge {
            Merge::Register(policy) => Ok((group, policy)),
            Merge::Greatest => Err(not_a_register(kind)),
        },
        None => Err(not_a_register(kind)),
    }
}

fn not_a_register(kind: Kind) -> StoreError {
    StoreError::Damaged(format!("the rules know no register for {}", kind.as_str()))
}

/// The kind of a register or pair as it is stored.
fn kind_of(is_choice: bool, entity: u8, part: u8) -> Option<Kind> {
    Kind::ALL.into_iter().find(|kind| {
        let (its, field) = place(*kind);
        let its_part = if is_choice {
            its.group_of(field).map(|(group, _)| group)
        } else {
            Some(field)
        };
        kind.is_choice() == is_choice && its.code == entity && its_part == Some(part)
    })
}

/// The open conflicts after `after`, at most `limit`: first the registers, then the pairs, each by entity and row, then
/// queue days whose places were given out twice.
///
/// # Errors
/// When the disk fails.
pub fn open(
    tx: &impl Read,
    after: Option<ConflictId>,
    limit: u32,
) -> Result<Vec<ConflictId>, StoreError> {
    let registers = "SELECT entity, row_id, field_group FROM register
                     WHERE conflict = 1 AND (entity, row_id, field_group) > (?1, ?2, ?3)
                     GROUP BY entity, row_id, field_group ORDER BY entity, row_id, field_group LIMIT ?4";
    let pairs = "SELECT entity, row_id, field FROM collision
                 WHERE (entity, row_id, field) > (?1, ?2, ?3)
                 ORDER BY entity, row_id, field LIMIT ?4";
    let mut found = Vec::new();
    let days_after = after.filter(|id| id.kind == Kind::QueuePlaces);
    for (is_choice, sql) in [(true, registers), (false, pairs)] {
        if days_after.is_some() {
            break;
        }
        let start = match after.map(|id| (id, id.kind.is_choice())) {
            Some((_, false)) if is_choice => continue,
            Some((id, its)) if its == is_choice => cursor(id)?,
            _ => (0, 0, 0),
        };
        let left = limit - u32::try_from(found.len()).unwrap_or(limit);
        let key = params![start.0, start.1, start.2, left];
        let rows: Vec<(u8, i64, u8)> = all(tx, sql, key, |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        let known = |(entity, row_id, part)| {
            kind_of(is_choice, entity, part).map(|kind| ConflictId { kind, row_id })
        };
        found.extend(rows.into_iter().filter_map(known));
    }
    let first = days_after.map_or(0, |id| id.row_id);
    let days = overspent::open(tx)?.into_iter().map(|(day, _)| day);
    let id = |row_id| ConflictId {
        kind: Kind::QueuePlaces,
        row_id,
    };
    found.extend(days.filter(|day| *day > first).map(id));
    found.truncate(limit as usize);
    Ok(found)
}

fn cursor(id: ConflictId) -> Result<(u8, i64, u8), StoreError> {
    let (entity, field) = place(id.kind);
    let part = if id.kind.is_choice() {
        register(id.kind)?.0
    } else {
        field
    };
    Ok((entity.code, id.row_id, part))
}

/// How many are open.
///
/// # Errors
/// When the disk fails.
pub fn count(tx: &impl Read) -> Result<i64, StoreError> {
    let mut open = 0;
    for sql in [
        "SELECT count(*) FROM (SELECT DISTINCT entity, row_id, field_group FROM register WHERE conflict = 1)",
        "SELECT count(*) FROM collision",
    ] {
        open += one(tx, sql, [], |row| row.get::<_, i64>(0))?.unwrap_or(0);
    }
    let days = overspent::open(tx)?.len();
    Ok(open + i64::try_from(days).unwrap_or(i64::MAX))
}

/// A conflict by its name, open or settled; `None` when there never was one that is known of.
///
/// # Errors
/// When the disk fails.
pub fn get(tx: &impl Read, id: ConflictId) -> Result<Option<Conflict>, StoreError> {
    let id = resolve(tx, id)?;
    let (since, candidates) = if id.kind.is_choice() {
        let (siblings, policy) = siblings(tx, id)?;
        let differs = siblings
            .windows(2)
            .find(|pair| pair[0].fields != pair[1].fields);
        match differs {
            Some(pair) => {
                let since = Timestamp(pair[1].stamp.hlc.millis());
                (
                    Some(since),
                    candidates::of_register(tx, id, &siblings, policy)?,
                )
            }
            None => (None, Vec::new()),
        }
    } else {
        match other(tx, id)? {
            Some(other) => {
                let found = candidates::of_pair(tx, id.kind, id.row_id, other)?;
                (Some(pair_since(tx, id, other, &found)?), found)
            }
            None => (None, Vec::new()),
        }
    };
    let settlements = settlements(tx, id)?;
    if since.is_none() && settlements.is_empty() {
        return Ok(None);
    }
    Ok(Some(Conflict {
        id,
        since,
        patient: concerned(tx, id)?,
        candidates,
        settlements,
    }))
}

/// A reading that turned out to be another's twin goes by that one's id.
fn resolve(tx: &impl Read, id: ConflictId) -> Result<ConflictId, StoreError> {
    let row_id = match id.kind {
        Kind::Reading => twins::reading(tx, id.row_id)?,
        _ => id.row_id,
    };
    Ok(ConflictId { row_id, ..id })
}

fn siblings(tx: &impl Read, id: ConflictId) -> Result<(Vec<Sibling>, Policy), StoreError> {
    let (group, policy) = register(id.kind)?;
    Ok((siblings_of(tx, place(id.kind).0, id.row_id, group)?, policy))
}

fn siblings_of(
    tx: &impl Read,
    entity: &Entity,
    row: i64,
    group: u8,
) -> Result<Vec<Sibling>, StoreError> {
    let key = RegisterKey {
        entity: entity.code,
        row,
        group,
        element: String::new(),
    };
    Rows::new(tx.connection(), tx.now(), Newest::default()).siblings(&key)
}

/// The other row of an open pair; of the places of a day, how many there are too many.
fn other(tx: &impl Read, id: ConflictId) -> Result<Option<i64>, StoreError> {
    if id.kind == Kind::QueuePlaces {
        let mut days = overspent::open(tx)?.into_iter();
        let found = days.find(|(day, _)| *day == id.row_id);
        return Ok(found.map(|(_, excess)| excess));
    }
    let (entity, field) = place(id.kind);
    let sql = "SELECT other_id FROM collision WHERE entity = ? AND row_id = ? AND field = ?";
    one(tx, sql, params![entity.code, id.row_id, field], |row| {
        row.get(0)
    })
}

/// A pair is one since the later of its rows was made, or got the value.
fn pair_since(
    tx: &impl Read,
    id: ConflictId,
    other: i64,
    found: &[crate::domain::conflict::Candidate],
) -> Result<Timestamp, StoreError> {
    let (entity, field) = place(id.kind);
    let mut since = found.iter().map(|it| it.at.0).max().unwrap_or_default();
    if let Some((group, _)) = entity.group_of(field) {
        for row in [id.row_id, other] {
            let written = siblings_of(tx, entity, row, group)?;
            since = written
                .iter()
                .map(|it| it.stamp.hlc.millis())
                .fold(since, i64::max);
        }
    }
    Ok(Timestamp(since))
}

fn concerned(tx: &impl Read, id: ConflictId) -> Result<Option<Concerned>, StoreError> {
    let sql = match id.kind {
        Kind::Reading => "SELECT patient_id FROM reading WHERE id = ?",
        Kind::QueueState => "SELECT patient_id FROM queue_entry WHERE id = ?",
        Kind::Resolution | Kind::Appointment => "SELECT patient_id FROM appointment WHERE id = ?",
        Kind::PatientDni | Kind::PatientEmail | Kind::PatientHospitalAccount => {
            "SELECT id FROM patient WHERE id = ?"
        }
        Kind::StaffUsername | Kind::StaffEmail | Kind::QueueDay | Kind::QueuePlaces => {
            return Ok(None);
        }
    };
    let Some(patient) = one(tx, sql, [id.row_id], |row| row.get(0))? else {
        return Ok(None);
    };
    let sql = "SELECT id, dni, name, surname FROM patient WHERE id = ?";
    one(tx, sql, [twins::patient(tx, patient)?], |row| {
        Ok(Concerned {
            id: row.get(0)?,
            dni: row.get(1)?,
            name: row.get(2)?,
            surname: row.get(3)?,
        })
    })
}

fn author(tx: &impl Read, replica: u32) -> Result<Author, StoreError> {
    let node = members::name_of(tx, replica)?;
    Ok(Author { replica, node })
}

fn author_of_row(tx: &impl Read, row: i64) -> Result<Author, StoreError> {
    let row = RowId::from_i64(row).map_err(|error| StoreError::Damaged(error.to_string()))?;
    author(tx, row.replica().get())
}

/// The newest settlements of a conflict, oldest first.
fn settlements(tx: &impl Read, id: ConflictId) -> Result<Vec<Settlement>, StoreError> {
    let (entity, field) = place(id.kind);
    let sql = "SELECT id, reason, staff_id, created_at FROM settlement
               WHERE entity = ? AND row_id = ? AND field = ? ORDER BY created_at DESC, id DESC LIMIT ?";
    let key = params![entity.code, id.row_id, field, limits::SETTLEMENTS_SHOWN_MAX];
    let rows: Vec<(i64, String, Option<i64>, i64)> = all(tx, sql, key, |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
    })?;
    let mut found = Vec::new();
    for (row, reason, staff_id, at) in rows.into_iter().rev() {
        let by = staff_id
            .map(|id| staff::by_id(tx, id))
            .transpose()?
            .flatten();
        found.push(Settlement {
            reason,
            staff: by.map(|staff| staff.username),
            staff_id,
            author: author_of_row(tx, row)?,
            at: Timestamp(at),
        });
    }
    Ok(found)
}

/// Writes the values of a candidate again, so that they replace all candidates. `mg_dl` takes the place
/// of a reading's value.
///
/// # Errors
/// When there is no such candidate or the disk fails.
pub fn choose(
    tx: &mut WriteTx<'_>,
    id: ConflictId,
    choice: &str,
    mg_dl: Option<f64>,
) -> Result<(), StoreError> {
    let (siblings, _) = siblings(tx, id)?;
    let chosen = siblings
        .into_iter()
        .find(|sibling| candidates::id_of(sibling) == choice)
        .ok_or_else(|| StoreError::Damaged(format!("{id} has no candidate {choice}")))?;
    let (entity, field) = place(id.kind);
    let mut values = Vec::new();
    for (number, value) in chosen.fields {
        let value = match mg_dl {
            Some(mg_dl) if number == field => Value::Real(mg_dl),
            _ => value,
        };
        values.push((entity.fields[usize::from(number) - 1].name, value));
    }
    tx.update(entity, id.row_id, &values)?;
    if id.kind == Kind::Reading
        && let Some(patient) = concerned(tx, id)?
    {
        patients::recount(tx, patient.id)?;
    }
    Ok(())
}

/// Notes that somebody settled a conflict, and why. A pair is acknowledged by it.
///
/// # Errors
/// When the disk fails.
pub fn insert_settlement(
    tx: &mut WriteTx<'_>,
    id: ConflictId,
    reason: &str,
    staff_id: Option<i64>,
) -> Result<(), StoreError> {
    let (entity, field) = place(id.kind);
    let (now, other) = (tx.now().0, other(tx, id)?);
    tx.insert(
        &SETTLEMENT,
        &[
            i64::from(entity.code).into(),
            id.row_id.into(),
            i64::from(field).into(),
            reason.into(),
            staff_id.into(),
            now.into(),
            other.into(),
        ],
    )?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_register_that_people_are_told_of_has_a_kind() {
        for entity in islet_sync::rules::ALL {
            for (position, group) in (0..).zip(entity.groups) {
                let reported = matches!(group.merge, Merge::Register(policy) if policy.report);
                let kind = kind_of(true, entity.code, position);
                assert_eq!(kind.is_some(), reported, "{} {position}", entity.name);
            }
        }
        for kind in Kind::ALL {
            assert!(register(kind).is_ok() || !kind.is_choice(), "{kind:?}");
        }
    }
}
