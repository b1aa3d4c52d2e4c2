//! The replicated rows as the engine sees them: [`State`] on SQLite.
//!
//! What a row brings with it is done here, so that it is the same for a write of this node and for one of a
//! peer: two registrations of one person are linked, a reading that came in twice is one, and counters
//! follow. Must never decide which value wins; `islet_sync::rules` does.

use std::collections::{BTreeSet, HashSet};

use islet_sync::apply::{RegisterKey, State};
use islet_sync::change::{self, Encoder};
use islet_sync::hlc::Hlc;
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::op::{Action, Value};
use islet_sync::register::{Sibling, Stamp};
use islet_sync::rules::{Entity, Shape};
use rusqlite::{Connection, params, params_from_iter};

use super::entity::{
    self, MEMBER, PATIENT, QUEUE_DAY, READING, REFRESH_TOKEN, SESSION, STAFF, exists_sql,
};
use super::newest::Newest;
use super::reading_rows::{self, ReadingRows};
use super::tx::{Bind, Read, all, one, prepared};
use super::{StoreError, collisions, families, twins};
use crate::domain::time::Timestamp;

/// The status of a reading, and the one that counts (`islet_sync::rules::READING`).
const STATUS_FIELD: u8 = 5;
pub(super) const FINAL: i64 = 1;
/// Most rows that are remembered to be there.
const KNOWN_MAX: usize = 4096;

/// The rows of one transaction, with what is to be done at its end.
pub(super) struct Rows<'a> {
    pub(super) connection: &'a Connection,
    now: Timestamp,
    /// How far the stored readings reach.
    pub(super) newest: Newest,
    /// What is kept between readings.
    pub(super) readings: ReadingRows<'a>,
    /// A right was taken away or a password changed: sessions must be looked at again.
    pub(super) ends_sessions: bool,
    /// Sessions whose refresh token was exchanged by two nodes that did not know of each other.
    pub(super) forked: BTreeSet<i64>,
    /// Rows that are there, so that a patient with a thousand readings is looked up once.
    known: HashSet<(u8, RowId)>,
    /// Something of the queue changed.
    pub(super) touched_queue: bool,
    /// Patients whose counters are to be counted afresh.
    pub(super) recount: BTreeSet<i64>,
    /// A member came, or one was thrown out.
    pub(super) touched_members: bool,
}

impl Read for Rows<'_> {
    fn connection(&self) -> &Connection {
        self.connection
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

impl<'a> Rows<'a> {
    pub(super) fn new(connection: &'a Connection, now: Timestamp, newest: Newest) -> Self {
        Self {
            connection,
            now,
            newest,
            readings: ReadingRows::default(),
            ends_sessions: false,
            forked: BTreeSet::new(),
            known: HashSet::new(),
            touched_queue: false,
            recount: BTreeSet::new(),
            touched_members: false,
        }
    }

    pub(super) fn execute(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        Ok(prepared(self, sql)?.execute(params)?)
    }

    /// All fields of a new row, in order: what the author did not know is empty. A patient that turned
    /// out to be a twin is named by the id that stands for both.
    fn values(
        &self,
        entity: &'static Entity,
        fields: &[(u8, Value<'_>)],
    ) -> Result<Vec<Value<'static>>, StoreError> {
        let mut values = vec![Value::Null; entity.fields.len()];
        for (number, value) in fields {
            let position = usize::from(*number) - 1;
            values[position] = match (entity.fields[position].refers, value) {
                (Some(code), Value::Int(id)) if code == PATIENT.code => {
                    Value::Int(twins::patient(self, *id)?)
                }
                _ => value.to_static(),
            };
        }
        Ok(values)
    }

    fn set_element(
        &mut self,
        entity: &Entity,
        row: RowId,
        element: &str,
        fields: &[(u8, Value<'_>)],
    ) -> Result<(), StoreError> {
        match (entity.shape, fields) {
            (Shape::Set, [(_, present)]) => {
                self.ends_sessions = true;
                let sql = if *present == Value::Int(1) {
                    "INSERT OR IGNORE INTO staff_role (staff_id, role) VALUES (?, ?)"
                } else {
                    "DELETE FROM staff_role WHERE staff_id = ? AND role = ?"
                };
                self.execute(sql, params![row.get(), element])?;
            }
            (Shape::Map, [(_, value)]) => {
                let sql = "INSERT INTO setting (name, value) VALUES (?1, ?2)
                           ON CONFLICT (name) DO UPDATE SET value = ?2";
                self.execute(sql, params![element, Bind(value)])?;
            }
            _ => {}
        }
        Ok(())
    }

    fn note_queue(&mut self, entity: &Entity) {
        let queue = [
            entity::QUEUE_DAY.code,
            entity::QUEUE_ENTRY.code,
            entity::QUEUE_RIGHT.code,
        ];
        self.touched_queue |= queue.contains(&entity.code);
    }

    /// A reading that is marked as an error counts no longer, and one that is not any more counts again.
    fn note_status(&mut self, row: RowId, fields: &[(u8, Value<'_>)]) -> Result<(), StoreError> {
        let Some((_, Value::Int(after))) =
            fields.iter().find(|(number, _)| *number == STATUS_FIELD)
        else {
            return Ok(());
        };
        let sql = "SELECT patient_id, recorded_at, status FROM reading WHERE id = ?";
        let found: Option<(i64, i64, i64)> = one(self, sql, [row.get()], |row| {
            Ok((row.get(0)?, row.get(1)?, row.get(2)?))
        })?;
        if let Some((patient, recorded_at, before)) = found.filter(|(_, _, before)| before != after)
        {
            let change = i64::from(*after == FINAL) - i64::from(before == FINAL);
            self.readings.count(patient, Timestamp(recorded_at), change);
        }
        Ok(())
    }
}

impl State for Rows<'_> {
    type Error = StoreError;

    fn resolve(&mut self, entity: &'static Entity, row: RowId) -> Result<RowId, StoreError> {
        if entity.code != READING.code {
            return Ok(row);
        }
        let id = twins::reading(self, row.get())?;
        RowId::from_i64(id).map_err(|error| StoreError::Damaged(error.to_string()))
    }

    /// The database does not keep by which change a row was made.
    fn made(&mut self, entity: &'static Entity, row: RowId) -> Result<Option<u64>, StoreError> {
        if self.known.contains(&(entity.code, row)) {
            return Ok(Some(0));
        }
        if entity.code == READING.code && self.newest.is_new(self, row)? {
            return Ok(None);
        }
        let id = match entity.code {
            code if code == READING.code => twins::reading(self, row.get())?,
            _ => row.get(),
        };
        let sql = exists_sql(entity);
        let found = one(self, sql, [id], |_| Ok(()))?.is_some();
        if found && self.known.len() < KNOWN_MAX {
            self.known.insert((entity.code, row));
        }
        Ok(found.then_some(0))
    }

    fn create(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        fields: &[(u8, Value<'_>)],
        _stamp: Stamp,
    ) -> Result<(), StoreError> {
        if entity.code == READING.code {
            return reading_rows::create(self, row, fields);
        }
        self.note_queue(entity);
        let values = self.values(entity, fields)?;
        let id = Value::Int(row.get());
        if entity.code == REFRESH_TOKEN.code && !families::enter_token(self, &values)? {
            return Ok(());
        }
        let bound = std::iter::once(&id).chain(&values).map(Bind);
        prepared(self, entity::insert_sql(entity))?.execute(params_from_iter(bound))?;
        match entity.code {
            code if code == PATIENT.code => twins::enter_patient(self, row.get(), &values)?,
            // It brings a key of access tokens.
            code if code == MEMBER.code => {
                self.ends_sessions = true;
                self.touched_members = true;
            }
            _ => {}
        }
        collisions::created(self, entity, row.get(), &values)
    }

    fn show(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        element: &str,
        fields: &[(u8, Value<'_>)],
    ) -> Result<(), StoreError> {
        if entity.shape != Shape::Rows {
            return self.set_element(entity, row, element, fields);
        }
        self.ends_sessions |= touches_sessions(entity);
        self.touched_members |= entity.code == MEMBER.code;
        self.note_queue(entity);
        if entity.code == READING.code {
            twins::keep_origin(self, row.get())?;
            self.note_status(row, fields)?;
        }
        let before = collisions::before(self, entity, row.get(), fields)?;
        let mut sql = format!("UPDATE {} SET ", entity.name);
        for (index, (number, _)) in fields.iter().enumerate() {
            sql.push_str(if index > 0 { ", " } else { "" });
            sql.push_str(entity.fields[usize::from(*number) - 1].name);
            sql.push_str(" = ?");
        }
        sql.push_str(" WHERE id = ?");
        let id = Value::Int(row.get());
        let bound = fields.iter().map(|(_, value)| value).chain([&id]).map(Bind);
        prepared(self, &sql)?.execute(params_from_iter(bound))?;
        collisions::changed(self, entity, row.get(), &before, fields)?;
        Ok(())
    }

    fn raise(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        field: u8,
        value: i64,
    ) -> Result<(), StoreError> {
        let column = entity.fields[usize::from(field) - 1].name;
        let sql = format!(
            "UPDATE {} SET {column} = max(coalesce({column}, ?1), ?1) WHERE id = ?2",
            entity.name
        );
        self.execute(&sql, [value, row.get()])?;
        self.ends_sessions |= touches_sessions(entity);
        if entity.code == QUEUE_DAY.code {
            collisions::day_closed(self, row.get())?;
        }
        Ok(())
    }

    fn siblings(&mut self, key: &RegisterKey) -> Result<Vec<Sibling>, StoreError> {
        let sql = "SELECT replica, seq, hlc, fields FROM register
                   WHERE entity = ? AND row_id = ? AND field_group = ? AND element = ?";
        let mut found = all(
            self,
            sql,
            params![key.entity, key.row, key.group, key.element],
            |row| {
                let parts: (u32, i64, i64, Vec<u8>) =
                    (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
                Ok(parts)
            },
        )?
        .into_iter()
        .map(|(replica, seq, hlc, fields)| {
            let replica =
                ReplicaNumber::new(replica).map_err(|e| StoreError::Damaged(e.to_string()))?;
            let stamp = Stamp {
                hlc: Hlc::from_i64(hlc),
                replica,
                seq: seq.cast_unsigned(),
            };
            Ok(Sibling {
                stamp,
                fields: read_fields(&fields)?,
            })
        })
        .collect::<Result<Vec<_>, StoreError>>()?;
        found.sort_by_key(|sibling| sibling.stamp);
        Ok(found)
    }

    fn set_siblings(
        &mut self,
        key: &RegisterKey,
        siblings: &[Sibling],
        conflict: bool,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM register WHERE entity = ? AND row_id = ? AND field_group = ? AND element = ?";
        self.execute(sql, params![key.entity, key.row, key.group, key.element])?;
        let sql = "INSERT INTO register (entity, row_id, field_group, element, replica, seq, hlc, fields, conflict)
                   VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)";
        for sibling in siblings {
            let stamp = sibling.stamp;
            self.execute(
                sql,
                params![
                    key.entity,
                    key.row,
                    key.group,
                    key.element,
                    stamp.replica.get(),
                    stamp.seq.cast_signed(),
                    stamp.hlc.to_i64(),
                    write_fields(&sibling.fields),
                    conflict
                ],
            )?;
        }
        Ok(())
    }
}

/// Whether a write to a row of this entity may end a session.
fn touches_sessions(entity: &Entity) -> bool {
    [PATIENT.code, STAFF.code, MEMBER.code, SESSION.code].contains(&entity.code)
}

/// The fields of a sibling as one operation on row 1.
fn write_fields(fields: &[(u8, Value<'_>)]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    if let Ok(row) = RowId::from_i64(1) {
        encoder.push(0, Action::Set, row, fields);
    }
    encoder.bytes().to_vec()
}

/// The inverse of [`write_fields`].
pub(super) fn read_fields(bytes: &[u8]) -> Result<Vec<(u8, Value<'static>)>, StoreError> {
    let ops = change::decode(bytes).map_err(|error| StoreError::Damaged(error.to_string()))?;
    let fields = ops
        .first()
        .map(|op| op.fields.as_slice())
        .unwrap_or_default();
    Ok(fields
        .iter()
        .map(|(number, value)| (*number, value.to_static()))
        .collect())
}
