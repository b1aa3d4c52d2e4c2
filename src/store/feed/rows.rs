//! The rows that news are about: which there are, and what is said of each.

use islet_sync::rules::Entity;
use rusqlite::params;

use super::{APPOINTMENT, Change, How, PATIENT, QUEUE_ENTRY, READING, Scope, all, one, prepared};
use crate::domain::appointment::{Appointment, Resolution};
use crate::domain::glucose::Reading;
use crate::domain::patient::Patient;
use crate::domain::queue::QueueEntry;
use crate::limits;
use crate::store::tx::Read;
use crate::store::{StoreError, appointments, patients, queue, readings, twins};

/// Kinds of rows that are news when they are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    QueueEntry = 0,
    Appointment = 1,
    /// The last: there are many.
    Reading = 2,
}

/// What a piece of news is about. A [`How::Removed`] one has only its id.
#[derive(Clone, Debug, PartialEq)]
pub enum Item {
    /// A reading.
    Reading(Result<Reading, i64>),
    /// A place in the queue.
    QueueEntry(Result<QueueEntry, i64>),
    /// A form.
    Appointment(Appointment),
    /// The resolution of an appointment that holds.
    Resolution(Resolution),
    /// The account.
    Profile(Patient),
}

impl Kind {
    pub(super) const ALL: [Self; super::cursor::KINDS] =
        [Self::QueueEntry, Self::Appointment, Self::Reading];

    const fn entity(self) -> &'static Entity {
        match self {
            Self::QueueEntry => &QUEUE_ENTRY,
            Self::Appointment => &APPOINTMENT,
            Self::Reading => &READING,
        }
    }

    pub(super) fn of(entity: u8) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.entity().code == entity)
    }
}

/// The replica and the counter in a row id.
pub(super) const fn split(id: i64) -> (u32, u32) {
    ((id >> 32) as u32, id as u32)
}

const fn join(number: u32, counter: u32) -> i64 {
    ((number as i64) << 32) | counter as i64
}

/// The counter of the last row of a replica.
pub(super) fn last(tx: &impl Read, kind: Kind, number: u32) -> Result<u32, StoreError> {
    let sql = match kind {
        Kind::QueueEntry => {
            "SELECT id FROM queue_entry WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
        }
        Kind::Appointment => {
            "SELECT id FROM appointment WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1"
        }
        Kind::Reading => "SELECT id FROM reading WHERE id BETWEEN ? AND ? ORDER BY id DESC LIMIT 1",
    };
    let range = [join(number, 0), join(number, u32::MAX)];
    let mut last: Option<i64> = one(tx, sql, range, |row| row.get(0))?;
    if kind == Kind::Reading {
        let sql = "SELECT alias FROM reading_alias WHERE alias BETWEEN ? AND ? ORDER BY alias DESC LIMIT 1";
        last = last.max(one(tx, sql, range, |row| row.get(0))?);
    }
    Ok(last.map_or(0, |id| split(id).1))
}

/// Rows of a kind in these ranges of counters (beyond the first, up to the second), by id, as many as `most`. An id under
/// which a reading was known before it turned out to be another is one too.
pub(super) fn ids(
    tx: &impl Read,
    scope: &Scope,
    kind: Kind,
    ranges: &[(u32, u32, u32)],
    most: usize,
) -> Result<Vec<i64>, StoreError> {
    let new: u64 = ranges
        .iter()
        .map(|(_, told, now)| u64::from(now - told))
        .sum();
    match &scope.patients {
        Some(patients) if new > u64::from(limits::NEWS_SCANNED_MAX) => {
            let mut found = Vec::new();
            for patient in patients {
                let of_patient = of_patient(tx, kind, *patient)?;
                let is_new = |id: &i64| {
                    let (number, counter) = split(*id);
                    let mut ranges = ranges.iter();
                    ranges.any(|(of, told, now)| {
                        *of == number && (told + 1..=*now).contains(&counter)
                    })
                };
                found.extend(of_patient.into_iter().filter(is_new));
            }
            found.sort_unstable();
            found.truncate(most);
            Ok(found)
        }
        _ => scan(tx, scope, kind, ranges, most),
    }
}

/// All rows of a kind that a patient has.
fn of_patient(tx: &impl Read, kind: Kind, patient_id: i64) -> Result<Vec<i64>, StoreError> {
    let sql = match kind {
        // What has ended meanwhile is no news.
        Kind::QueueEntry => {
            let entry = queue::by_patient(tx, patient_id)?;
            return Ok(entry.into_iter().map(|entry| entry.placement).collect());
        }
        Kind::Appointment => "SELECT id FROM appointment WHERE patient_id = ?",
        Kind::Reading => {
            "SELECT id FROM reading WHERE patient_id = ?1 UNION ALL
             SELECT alias FROM reading CROSS JOIN reading_alias ON reading_id = id WHERE patient_id = ?1"
        }
    };
    all(tx, sql, [patient_id], |row| row.get(0))
}

/// Goes through the rows of all patients.
fn scan(
    tx: &impl Read,
    scope: &Scope,
    kind: Kind,
    ranges: &[(u32, u32, u32)],
    most: usize,
) -> Result<Vec<i64>, StoreError> {
    let sql = match kind {
        Kind::QueueEntry => {
            "SELECT id, patient_id FROM queue_entry WHERE id > ? AND id <= ? ORDER BY id"
        }
        Kind::Appointment => {
            "SELECT id, patient_id FROM appointment WHERE id > ? AND id <= ? ORDER BY id"
        }
        Kind::Reading => {
            "SELECT id, patient_id FROM reading WHERE id > ?1 AND id <= ?2 UNION ALL
             SELECT alias, patient_id FROM reading_alias CROSS JOIN reading ON id = reading_id
             WHERE alias > ?1 AND alias <= ?2 ORDER BY id"
        }
    };
    let mut found = Vec::new();
    let mut statement = prepared(tx, sql)?;
    for (number, told, now) in ranges {
        let mut rows = statement.query(params![join(*number, *told), join(*number, *now)])?;
        while let Some(row) = rows.next()? {
            if found.len() >= most {
                return Ok(found);
            }
            if scope.has(row.get(1)?) {
                found.push(row.get(0)?);
            }
        }
    }
    Ok(found)
}

/// What is said of a row that was made.
pub(super) fn made(
    tx: &impl Read,
    kind: Kind,
    id: i64,
    changes: &mut Vec<Change>,
) -> Result<(), StoreError> {
    match kind {
        Kind::Reading => made_reading(tx, id, changes),
        Kind::QueueEntry => {
            if let Some(entry) = queue::by_placement(tx, id)? {
                changes.push(entry_as_it_is(entry, How::Created));
            }
            Ok(())
        }
        Kind::Appointment => {
            let Some(made) = appointments::by_id(tx, id)? else {
                return Ok(());
            };
            let patient_id = made.patient_id;
            changes.push(Change {
                how: How::Created,
                patient_id,
                item: Item::Appointment(made),
            });
            changes.extend(resolution(tx, id, patient_id)?);
            Ok(())
        }
    }
}

/// A reading, and before it those that turned out to be the same.
fn made_reading(tx: &impl Read, id: i64, changes: &mut Vec<Change>) -> Result<(), StoreError> {
    let means = twins::reading(tx, id)?;
    let Some(stored) = readings::by_id(tx, means)? else {
        return Ok(());
    };
    let patient_id = stored.reading.patient_id;
    let sql = "SELECT alias FROM reading_alias WHERE reading_id = ? ORDER BY alias";
    let same: Vec<i64> = all(tx, sql, [id], |row| row.get(0))?;
    let gone = |id| Change {
        how: How::Removed,
        patient_id,
        item: Item::Reading(Err(id)),
    };
    changes.extend(same.into_iter().map(gone));
    if means != id || !stored.counts {
        // Another node may have told of it when it knew less.
        changes.push(gone(id));
    } else {
        changes.push(Change {
            how: How::Created,
            patient_id,
            item: Item::Reading(Ok(stored.reading)),
        });
    }
    Ok(())
}

/// A place that is one no more is gone.
fn entry_as_it_is(entry: QueueEntry, how: How) -> Change {
    let live = entry.state.is_live();
    Change {
        how: if live { how } else { How::Removed },
        patient_id: entry.patient_id,
        item: Item::QueueEntry(if live {
            Ok(entry)
        } else {
            Err(entry.placement)
        }),
    }
}

fn resolution(
    tx: &impl Read,
    appointment_id: i64,
    patient_id: i64,
) -> Result<Option<Change>, StoreError> {
    let found = appointments::resolution(tx, appointment_id)?;
    Ok(found.map(|resolution| Change {
        how: How::Changed,
        patient_id,
        item: Item::Resolution(resolution),
    }))
}

/// The accounts of a scope that names its patients.
pub(super) fn profiles(tx: &impl Read, scope: &Scope) -> Result<Vec<Change>, StoreError> {
    let mut changes = Vec::new();
    for id in scope.patients.iter().flatten() {
        changes.extend(profile(tx, *id, How::Created)?);
    }
    Ok(changes)
}

fn profile(tx: &impl Read, id: i64, how: How) -> Result<Option<Change>, StoreError> {
    let found = patients::by_id(tx, id)?;
    Ok(found.map(|patient| Change {
        how,
        patient_id: patient.id,
        item: Item::Profile(patient),
    }))
}

/// What is said of a row that was written to later.
pub(super) fn written(
    tx: &impl Read,
    scope: &Scope,
    entity: u8,
    row: i64,
) -> Result<Option<Change>, StoreError> {
    let change = if entity == PATIENT.code {
        profile(tx, row, How::Changed)?
    } else {
        match Kind::of(entity) {
            Some(Kind::Reading) => readings::by_id(tx, row)?.map(|stored| Change {
                how: if stored.counts {
                    How::Changed
                } else {
                    How::Removed
                },
                patient_id: stored.reading.patient_id,
                item: Item::Reading(if stored.counts {
                    Ok(stored.reading)
                } else {
                    Err(row)
                }),
            }),
            Some(Kind::QueueEntry) => {
                queue::by_placement(tx, row)?.map(|entry| entry_as_it_is(entry, How::Changed))
            }
            Some(Kind::Appointment) => match appointments::by_id(tx, row)? {
                Some(appointment) => resolution(tx, row, appointment.patient_id)?,
                None => None,
            },
            None => None,
        }
    };
    Ok(change.filter(|change| scope.has(change.patient_id)))
}
