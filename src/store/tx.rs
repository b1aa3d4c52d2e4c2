//! What a job may do inside its transaction.
//!
//! [`WriteTx`] is the one place where this node changes replicated rows: [`WriteTx::insert`] and
//! [`WriteTx::update`] write the row and its operation together. [`WriteTx::audit`] appends the
//! change and the audit entry and is the only source of [`Audited`].

use std::borrow::Cow;

use islet_sync::apply::{self, ApplyError};
use islet_sync::causality;
use islet_sync::chain;
use islet_sync::change::Encoder;
use islet_sync::dot::Everything;
use islet_sync::hlc::Hlc;
use islet_sync::id::RowId;
use islet_sync::op::{Action, Op, Value};
use islet_sync::register::Stamp;
use islet_sync::rules::Merge;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params, params_from_iter};

use super::audit::ChangeRef;
use super::entity::{self, Entity};
use super::log_state::LogState;
use super::rows::Rows;
use super::{StoreError, audit, collisions, logs, patients};
use crate::domain::audit::Entry;
use crate::domain::time::Timestamp;
use crate::limits;

/// Proof that an audit entry was written, with the result of the job. Only [`WriteTx::audit`]
/// makes one, so a write without an entry does not compile.
#[derive(Debug)]
#[must_use]
pub struct Audited<T>(T);

impl<T> Audited<T> {
    /// The same proof with what the caller wants to know.
    pub fn with<U>(self, value: U) -> Audited<U> {
        Audited(value)
    }

    pub(super) fn into_inner(self) -> T {
        self.0
    }
}

/// Anything that rows can be read through.
pub trait Read {
    /// The connection, inside a transaction.
    #[doc(hidden)]
    fn connection(&self) -> &Connection;
    /// The time of the transaction.
    fn now(&self) -> Timestamp;
}

/// A consistent snapshot.
#[derive(Debug)]
pub struct ReadTx<'a> {
    connection: &'a Connection,
    now: Timestamp,
}

impl<'a> ReadTx<'a> {
    pub(super) const fn new(connection: &'a Connection, now: Timestamp) -> Self {
        Self { connection, now }
    }
}

impl Read for ReadTx<'_> {
    fn connection(&self) -> &Connection {
        self.connection
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

/// A write transaction of one job.
pub struct WriteTx<'a> {
    connection: &'a Connection,
    state: &'a mut LogState,
    audit_key: &'a [u8; 32],
    now: Timestamp,
    change: Encoder,
    /// The stamp of the change, once something is in it.
    hlc: Option<Hlc>,
}

impl std::fmt::Debug for WriteTx<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "WriteTx({:?})", self.now)
    }
}

impl Read for WriteTx<'_> {
    fn connection(&self) -> &Connection {
        self.connection
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

impl<'a> WriteTx<'a> {
    pub(super) fn new(
        connection: &'a Connection,
        state: &'a mut LogState,
        audit_key: &'a [u8; 32],
        now: Timestamp,
    ) -> Self {
        Self {
            connection,
            state,
            audit_key,
            now,
            change: Encoder::default(),
            hlc: None,
        }
    }

    /// Inserts a replicated row with a new id. `values` are all columns, in the entity's order.
    ///
    /// # Errors
    /// When a constraint is broken or the disk fails.
    pub(super) fn insert(
        &mut self,
        entity: &'static Entity,
        values: &[Value<'_>],
    ) -> Result<i64, StoreError> {
        debug_assert_eq!(values.len(), entity.fields.len(), "{}", entity.name);
        let row = self.state.next_row(entity)?;
        if entity.code == entity::READING.code {
            self.note_reading(row, values);
        }
        let id = Value::Int(row.get());
        prepared(self, entity::insert_sql(entity))?.execute(params_from_iter(
            std::iter::once(&id).chain(values).map(Bind),
        ))?;
        if entity.passes() {
            let sql = "INSERT INTO row_counter (entity, last) VALUES (?1, ?2)
                       ON CONFLICT DO UPDATE SET last = ?2";
            self.local(sql, params![entity.code, row.get()])?;
        }
        if collisions::watches(entity) {
            let rows = Rows::new(self.connection, self.now, self.state.newest.clone());
            collisions::created(&rows, entity, row.get(), values)?;
        }
        let fields: Vec<_> = (1..).zip(values.iter().cloned()).collect();
        let op = Op {
            entity: entity.code,
            action: Action::Create,
            row,
            fields,
        };
        debug_assert_eq!(
            apply::check(&op),
            Ok(()),
            "every peer would refuse this: {op:?}"
        );
        self.push(op.entity, op.action, op.row, &op.fields);
        Ok(row.get())
    }

    fn note_reading(&self, row: RowId, values: &[Value<'_>]) {
        self.state.newest.note_id(row);
        if let [
            Value::Int(patient_id),
            _,
            _,
            _,
            _,
            Value::Int(measured_at),
            ..,
        ] = values
        {
            self.state.newest.note_time(*patient_id, *measured_at);
        }
    }

    /// Sets columns of a replicated row, which must exist. What merges together with them is written
    /// again as it is.
    ///
    /// # Errors
    /// When there is no such row or column, a constraint is broken, or the disk fails.
    pub(super) fn update(
        &mut self,
        entity: &'static Entity,
        id: i64,
        values: &[(&'static str, Value<'_>)],
    ) -> Result<(), StoreError> {
        let mut fields = Vec::with_capacity(values.len());
        for (column, value) in values {
            let Some(number) = entity.number(column) else {
                let text = format!("{} has no column {column}", entity.name);
                return Err(StoreError::Damaged(text));
            };
            fields.push((number, value.clone()));
        }
        self.complete(entity, id, &mut fields)?;
        fields.sort_by_key(|(number, _)| *number);
        let row = RowId::from_i64(id).map_err(|e| StoreError::Damaged(e.to_string()))?;
        self.write(&Op {
            entity: entity.code,
            action: Action::Set,
            row,
            fields,
        })
    }

    /// Adds the present values of fields that merge together with those that are set.
    fn complete(
        &self,
        entity: &'static Entity,
        id: i64,
        fields: &mut Vec<(u8, Value<'_>)>,
    ) -> Result<(), StoreError> {
        for group in entity.groups {
            let is_set = |number: &u8| fields.iter().any(|(other, _)| other == number);
            if group.merge == Merge::Greatest || !group.fields.iter().any(is_set) {
                continue;
            }
            let missing: Vec<u8> = group
                .fields
                .iter()
                .copied()
                .filter(|n| !is_set(n))
                .collect();
            for number in missing {
                let column = entity.fields[usize::from(number) - 1].name;
                let sql = format!("SELECT {column} FROM {} WHERE id = ?", entity.name);
                let value = one(self, &sql, [id], |row| Ok(value_of(row.get_ref(0)?)))?;
                fields.push((number, value.unwrap_or(Value::Null)));
            }
        }
        Ok(())
    }

    /// Adds a role to a member of staff, or takes it away.
    ///
    /// # Errors
    /// When the disk fails.
    pub(super) fn set_role(
        &mut self,
        staff_id: i64,
        role: &str,
        has: bool,
    ) -> Result<(), StoreError> {
        let sql = "SELECT 1 FROM staff_role WHERE staff_id = ? AND role = ?";
        if one(self, sql, params![staff_id, role], |_| Ok(()))?.is_some() == has {
            return Ok(());
        }
        let row = RowId::from_i64(staff_id).map_err(|e| StoreError::Damaged(e.to_string()))?;
        self.write(&Op {
            entity: entity::STAFF_ROLE.code,
            action: if has { Action::Add } else { Action::Remove },
            row,
            fields: vec![(1, role.into())],
        })
    }

    /// Sets a setting of the clinic.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_setting(&mut self, name: &'static str, value: &str) -> Result<(), StoreError> {
        let row = RowId::from_i64(1).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let fields = vec![
            (1, Value::Text(Cow::Borrowed(name))),
            (2, Value::Text(Cow::Borrowed(value))),
        ];
        self.write(&Op {
            entity: entity::SETTING.code,
            action: Action::Set,
            row,
            fields,
        })
    }

    /// Writes an operation as a peer will: by the engine. It replaces all that is known here.
    fn write(&mut self, op: &Op<'_>) -> Result<(), StoreError> {
        let stamp = self.stamp();
        let mut rows = Rows::new(self.connection, self.now, self.state.newest.clone());
        apply::apply(&mut rows, &Everything, stamp, op).map_err(|error| match error {
            ApplyError::State(error) => error,
            ApplyError::Refused(refusal) => StoreError::Damaged(refusal.to_string()),
        })?;
        let Rows {
            ends_sessions,
            readings,
            ..
        } = rows;
        for (patient, days) in readings.counted {
            patients::count_past_readings(self, patient, &days)?;
        }
        if ends_sessions {
            self.end_sessions();
        }
        self.push(op.entity, op.action, op.row, &op.fields);
        Ok(())
    }

    /// The name that the change under way will have.
    fn stamp(&mut self) -> Stamp {
        let (clock, now) = (self.state.hlc, self.now.0);
        let hlc = *self.hlc.get_or_insert_with(|| clock.tick(now));
        Stamp {
            hlc,
            replica: self.state.me,
            seq: self.state.head.seq + 1,
        }
    }

    /// Appends an operation to the change under way. The first one says before what was seen of others.
    fn push(&mut self, entity: u8, action: Action, row: RowId, fields: &[(u8, Value<'_>)]) {
        self.stamp();
        if self.change.bytes().is_empty() {
            for (of, action, fields) in causality::seen_ops(&self.state.unsaid) {
                self.change.push(causality::SEEN, action, of, &fields);
            }
        }
        self.change.push(entity, action, row, fields);
    }

    /// Whether a person waits for the writer. A job with much to do then leaves the rest to the next.
    pub(super) fn somebody_waits(&self) -> bool {
        self.state.lanes.somebody_waits()
    }

    /// How much of a big job one transaction should do: less when people are about, for whoever comes next waits
    /// for its commit.
    pub(super) fn apply_ops(&self) -> usize {
        if self.state.lanes.people_are_about() {
            limits::APPLY_OPS_ABOUT
        } else {
            limits::APPLY_OPS
        }
    }

    pub(super) const fn state(&self) -> &LogState {
        self.state
    }

    pub(super) const fn state_mut(&mut self) -> &mut LogState {
        self.state
    }

    /// The connection, for longer than `self` is borrowed.
    pub(super) const fn connection_of(&self) -> &'a Connection {
        self.connection
    }

    pub(super) const fn now_of(&self) -> Timestamp {
        self.now
    }

    /// Notes that this transaction ends a session or takes a right away.
    pub(super) fn end_sessions(&mut self) {
        self.state.session_epoch += 1;
    }

    /// Changes rows that are not replicated: derived counters, sessions, and the like. Returns how
    /// many.
    pub(super) fn local(
        &self,
        sql: &str,
        params: impl rusqlite::Params,
    ) -> Result<usize, StoreError> {
        Ok(prepared(self, sql)?.execute(params)?)
    }

    /// Closes what was done so far: appends the change, when there is one, and the audit entry.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn audit(&mut self, entry: &Entry) -> Result<Audited<()>, StoreError> {
        let change = self.append_change()?;
        self.append(entry, change)?;
        Ok(Audited(()))
    }

    /// An entry without a change.
    pub(super) fn append_audit(&mut self, entry: &Entry) -> Result<(), StoreError> {
        self.append(entry, None)
    }

    /// Refuses a job that wrote after its audit entry.
    pub(super) fn finish(&self) -> Result<(), StoreError> {
        if self.change.bytes().is_empty() {
            return Ok(());
        }
        Err(StoreError::Damaged(
            "a write came after its audit entry".into(),
        ))
    }

    fn append(&mut self, entry: &Entry, change: Option<ChangeRef>) -> Result<(), StoreError> {
        let seq = next(self.state.audit_seq)?;
        let (key, head) = (self.audit_key, &self.state.audit_hash);
        let hash = audit::append(self.connection, key, head, seq, self.now, entry, change)?;
        self.state.audit_seq = seq;
        self.state.audit_hash = hash;
        Ok(())
    }

    fn append_change(&mut self) -> Result<Option<ChangeRef>, StoreError> {
        if self.change.bytes().is_empty() {
            return Ok(None);
        }
        let hlc = self.stamp().hlc;
        let hash = chain::digest(hlc, self.change.bytes());
        let head = self.state.head.append(&hash);
        let seq = head.seq.cast_signed();
        self.local(
            "INSERT INTO change (seq, hlc, ops) VALUES (?, ?, ?)",
            params![seq, hlc.to_i64(), self.change.bytes()],
        )?;
        self.state.hlc = hlc;
        self.state.head = head;
        self.hlc = None;
        self.change.clear();
        if !self.state.unsaid.is_empty() {
            logs::say_seen(self.connection, self.state)?;
        }
        Ok(Some(ChangeRef { seq, hash }))
    }
}

/// A column as a value of the change log.
pub(super) fn value_of(value: ValueRef<'_>) -> Value<'static> {
    match value {
        ValueRef::Null => Value::Null,
        ValueRef::Integer(value) => Value::Int(value),
        ValueRef::Real(value) => Value::Real(value),
        ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned().into()),
        ValueRef::Blob(bytes) => Value::Bytes(bytes.to_vec().into()),
    }
}

/// The number after `seq`. Logs do not grow that long, so somebody wrote it.
fn next(seq: i64) -> Result<i64, StoreError> {
    let damaged = || StoreError::Damaged(format!("a log claims to have {seq} entries"));
    seq.checked_add(1).ok_or_else(damaged)
}

/// Binds a change-log value as an SQLite value without copying.
pub(super) struct Bind<'a>(pub(super) &'a Value<'a>);

impl ToSql for Bind<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            Value::Null => ValueRef::Null,
            Value::Int(value) => ValueRef::Integer(*value),
            Value::Real(value) if !value.is_finite() => {
                // SQLite would store NaN as NULL, and the change log has no bytes for either.
                return Err(rusqlite::Error::ToSqlConversionFailure(
                    "not a finite number".into(),
                ));
            }
            Value::Real(value) => ValueRef::Real(*value),
            Value::Text(value) => ValueRef::Text(value.as_bytes()),
            Value::Bytes(value) => ValueRef::Blob(value),
        }))
    }
}

/// A statement that is prepared once.
pub(super) fn prepared<'a>(
    tx: &'a impl Read,
    sql: &str,
) -> Result<CachedStatement<'a>, StoreError> {
    prepared_for(tx.connection(), sql)
}

/// The same, to be kept for several uses within one transaction.
pub(super) fn prepared_for<'a>(
    connection: &'a Connection,
    sql: &str,
) -> Result<CachedStatement<'a>, StoreError> {
    #[cfg(test)]
    SEEN.with_borrow_mut(|seen| seen.insert(sql.to_owned()));
    if connection.is_autocommit() {
        // A full disk made SQLite undo everything. Whoever overlooked that must not go on: each
        // statement would be a transaction of its own, without an audit entry.
        return Err(StoreError::Undone("the transaction is over".into()));
    }
    Ok(connection.prepare_cached(sql)?)
}

#[cfg(test)]
thread_local! {
    /// What this thread has run, for a test that looks at the query plans.
    pub(super) static SEEN: std::cell::RefCell<std::collections::BTreeSet<String>> =
        const { std::cell::RefCell::new(std::collections::BTreeSet::new()) };
}

/// One row or none, by a statement that is prepared once.
pub(super) fn one<T>(
    tx: &impl Read,
    sql: &str,
    params: impl rusqlite::Params,
    map: impl FnOnce(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Option<T>, StoreError> {
    Ok(prepared(tx, sql)?.query_row(params, map).optional()?)
}

/// All rows, by a statement that is prepared once.
pub(super) fn all<T>(
    tx: &impl Read,
    sql: &str,
    params: impl rusqlite::Params,
    map: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = prepared(tx, sql)?;
    let rows = statement.query_map(params, map)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
