//! What a job may do inside its transaction.
//!
//! [`WriteTx`] is the one place where replicated rows change: [`WriteTx::insert`] and
//! [`WriteTx::update`] write the row and its operation together. [`WriteTx::audit`] appends the
//! change and the audit entry and is the only source of [`Audited`].

use std::borrow::Cow;

use islet_sync::change::Encoder;
use islet_sync::hlc::Hlc;
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::op::{Action, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{CachedStatement, Connection, OptionalExtension, ToSql, params, params_from_iter};

use super::audit::ChangeRef;
use super::entity::{self, Entity};
use super::{StoreError, audit};
use crate::domain::audit::Entry;
use crate::domain::time::Timestamp;

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

/// Where the logs and counters stand. Copied before each job and put back when it fails.
#[derive(Clone, Copy, Debug)]
pub(super) struct LogState {
    hlc: Hlc,
    change_seq: i64,
    audit_seq: i64,
    audit_hash: [u8; 32],
    /// See [`super::Store::session_epoch`].
    pub(super) session_epoch: u64,
    /// The last row id given out, per entity.
    rows: [i64; entity::COUNTERS],
}

impl LogState {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let (number, hlc, audit_seq, audit_hash) = connection.query_row(
            "SELECT number, hlc, audit_seq, audit_hash FROM replica",
            [],
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
        )?;
        let replica = ReplicaNumber::new(number).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let change_seq =
            connection.query_row("SELECT coalesce(max(seq), 0) FROM change", [], |row| {
                row.get(0)
            })?;
        let (first, last) = replica.row_ids();
        let mut rows = [0; entity::COUNTERS];
        for entity in entity::ALL {
            let sql = format!(
                "SELECT max(id) FROM {} WHERE id BETWEEN ? AND ?",
                entity.table
            );
            let max: Option<i64> = connection.query_row(&sql, [first, last], |row| row.get(0))?;
            rows[entity.index] = max.unwrap_or(first - 1);
        }
        let hlc = Hlc::from_i64(hlc);
        Ok(Self {
            hlc,
            change_seq,
            audit_seq,
            audit_hash,
            session_epoch: 0,
            rows,
        })
    }

    /// Once per commit: the clock and the end of the audit log.
    pub(super) fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        connection
            .prepare_cached("UPDATE replica SET hlc = ?, audit_seq = ?, audit_hash = ?")?
            .execute(params![self.hlc.to_i64(), self.audit_seq, self.audit_hash])?;
        Ok(())
    }

    /// The newest audit entry.
    pub(super) const fn audit_head(&self) -> (i64, [u8; 32]) {
        (self.audit_seq, self.audit_hash)
    }

    fn next_row(&mut self, entity: &Entity) -> Result<RowId, StoreError> {
        let next = self.rows[entity.index] + 1;
        let id = RowId::from_i64(next).map_err(|e| StoreError::Damaged(e.to_string()))?;
        self.rows[entity.index] = next;
        Ok(id)
    }
}

/// A write transaction of one job.
pub struct WriteTx<'a> {
    connection: &'a Connection,
    state: &'a mut LogState,
    audit_key: &'a [u8; 32],
    now: Timestamp,
    change: Encoder,
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
        }
    }

    /// Inserts a replicated row with a new id. `values` are all columns, in the entity's order.
    ///
    /// # Errors
    /// When a constraint is broken or the disk fails.
    pub(super) fn insert(
        &mut self,
        entity: &Entity,
        values: &[Value<'_>],
    ) -> Result<i64, StoreError> {
        debug_assert_eq!(values.len(), entity.columns.len(), "{}", entity.table);
        let row = self.state.next_row(entity)?;
        let id = Value::Int(row.get());
        statement(self, entity.insert_sql)?.execute(params_from_iter(
            std::iter::once(&id).chain(values).map(Bind),
        ))?;
        let fields: Vec<_> = values
            .iter()
            .cloned()
            .zip(1..)
            .map(|(v, n)| (n, v))
            .collect();
        self.change.push(entity.code, Action::Create, row, &fields);
        Ok(row.get())
    }

    /// Sets columns of a replicated row, which must exist.
    ///
    /// # Errors
    /// When there is no such row, a constraint is broken, or the disk fails.
    pub(super) fn update(
        &mut self,
        entity: &Entity,
        id: i64,
        values: &[(&'static str, Value<'_>)],
    ) -> Result<(), StoreError> {
        let mut fields = Vec::with_capacity(values.len());
        let mut sql = format!("UPDATE {} SET ", entity.table);
        for (index, (column, value)) in values.iter().enumerate() {
            let position = entity.columns.iter().position(|name| name == column);
            let Some(position) = position.and_then(|position| u8::try_from(position + 1).ok())
            else {
                return Err(StoreError::Damaged(format!(
                    "{} has no column {column}",
                    entity.table
                )));
            };
            sql.push_str(if index > 0 { ", " } else { "" });
            sql.push_str(column);
            sql.push_str(" = ?");
            fields.push((position, value.clone()));
        }
        sql.push_str(" WHERE id = ?");
        let id_value = Value::Int(id);
        let bound = values
            .iter()
            .map(|(_, value)| value)
            .chain([&id_value])
            .map(Bind);
        let changed = statement(self, &sql)?.execute(params_from_iter(bound))?;
        if changed != 1 {
            return Err(StoreError::Damaged(format!(
                "{} {id} does not exist",
                entity.table
            )));
        }
        fields.sort_by_key(|(number, _)| *number);
        let row = RowId::from_i64(id).map_err(|e| StoreError::Damaged(e.to_string()))?;
        self.change.push(entity.code, Action::Set, row, &fields);
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
        let sql = if has {
            "INSERT OR IGNORE INTO staff_role (staff_id, role) VALUES (?, ?)"
        } else {
            "DELETE FROM staff_role WHERE staff_id = ? AND role = ?"
        };
        let changed = self.local(sql, params![staff_id, role])?;
        if changed > 0 {
            self.end_sessions();
            let action = if has { Action::Add } else { Action::Remove };
            let row = RowId::from_i64(staff_id).map_err(|e| StoreError::Damaged(e.to_string()))?;
            self.change.push(
                entity::STAFF_ROLE,
                action,
                row,
                &[(1, Value::Text(role.into()))],
            );
        }
        Ok(())
    }

    /// Sets a setting of the clinic.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn set_setting(&mut self, name: &'static str, value: &str) -> Result<(), StoreError> {
        self.local(
            "INSERT INTO setting (name, value) VALUES (?1, ?2)
             ON CONFLICT (name) DO UPDATE SET value = ?2",
            [name, value],
        )?;
        let row = RowId::from_i64(1).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let fields = [
            (1, Value::Text(Cow::Borrowed(name))),
            (2, Value::Text(Cow::Borrowed(value))),
        ];
        self.change.push(entity::SETTING, Action::Set, row, &fields);
        Ok(())
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
        Ok(statement(self, sql)?.execute(params)?)
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
        let seq = next(self.state.change_seq)?;
        self.state.hlc = self.state.hlc.tick(self.now.0);
        let hash = audit::change_hash(self.state.hlc.to_i64(), self.change.bytes());
        self.local(
            "INSERT INTO change (seq, hlc, ops) VALUES (?, ?, ?)",
            params![seq, self.state.hlc.to_i64(), self.change.bytes()],
        )?;
        self.change.clear();
        self.state.change_seq = seq;
        Ok(Some(ChangeRef { seq, hash }))
    }
}

/// The number after `seq`. Logs do not grow that long, so somebody wrote it.
fn next(seq: i64) -> Result<i64, StoreError> {
    let damaged = || StoreError::Damaged(format!("a log claims to have {seq} entries"));
    seq.checked_add(1).ok_or_else(damaged)
}

/// Binds a change-log value as an SQLite value without copying.
struct Bind<'a>(&'a Value<'a>);

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
        }))
    }
}

/// A statement that is prepared once.
fn statement<'a>(tx: &'a impl Read, sql: &str) -> Result<CachedStatement<'a>, StoreError> {
    #[cfg(test)]
    SEEN.with_borrow_mut(|seen| seen.insert(sql.to_owned()));
    let connection = tx.connection();
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
    Ok(statement(tx, sql)?.query_row(params, map).optional()?)
}

/// All rows, by a statement that is prepared once.
pub(super) fn all<T>(
    tx: &impl Read,
    sql: &str,
    params: impl rusqlite::Params,
    map: impl FnMut(&rusqlite::Row<'_>) -> rusqlite::Result<T>,
) -> Result<Vec<T>, StoreError> {
    let mut statement = statement(tx, sql)?;
    let rows = statement.query_map(params, map)?;
    Ok(rows.collect::<Result<_, _>>()?)
}
