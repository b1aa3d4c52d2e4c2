//! Where the logs and counters of the writer stand. Must never give out a row id twice.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use islet_sync::branch::Names;
use islet_sync::causality::{Causality, Seen};
use islet_sync::chain::{Head, ReplicaId};
use islet_sync::dot::VersionVector;
use islet_sync::hlc::Hlc;
use islet_sync::id::{ReplicaNumber, RowId};
use rusqlite::{Connection, OptionalExtension, params};

use super::branches::{self, Branches};
use super::entity::{self, Entity};
use super::lanes::Lanes;
use super::marks::Marks;
use super::newest::Newest;
use super::{StoreError, logs};

/// How far members have come, by their own word.
#[derive(Clone, Debug, Default)]
pub(super) struct Acknowledged(Arc<Mutex<BTreeMap<ReplicaNumber, VersionVector>>>);

impl Acknowledged {
    pub(super) fn lock(&self) -> MutexGuard<'_, BTreeMap<ReplicaNumber, VersionVector>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Where the logs and counters stand. Copied before each job and put back when it fails.
#[derive(Clone, Debug)]
pub(super) struct LogState {
    pub(super) id: ReplicaId,
    pub(super) me: ReplicaNumber,
    pub(super) hlc: Hlc,
    /// The end of this replica's log.
    pub(super) head: Head,
    /// What was applied of the others and not said yet in a change of this replica.
    pub(super) unsaid: Arc<Seen>,
    /// Where all logs stand, and what their authors had seen.
    pub(super) causality: Arc<Causality>,
    /// What members said of themselves since the start; shared with [`super::Store`].
    pub(super) acknowledged: Acknowledged,
    /// What numbers in row ids mean, and which logs are branches: nothing in a network without forks.
    pub(super) names: Arc<Names>,
    pub(super) branches: Arc<Branches>,
    /// Marks of stored logs.
    pub(super) marks: Marks,
    /// How far the readings reach.
    pub(super) newest: Newest,
    /// Who waits for the writer.
    pub(super) lanes: Arc<Lanes>,
    /// Runs of others that were stored since the start.
    pub(super) stored_runs: u64,
    pub(super) audit_seq: i64,
    pub(super) audit_hash: [u8; 32],
    /// See [`super::Store::session_epoch`].
    pub(super) session_epoch: u64,
    /// The last row id given out, per entity.
    rows: [i64; entity::COUNTERS],
}

impl LogState {
    pub(super) fn load(connection: &Connection, lanes: Arc<Lanes>) -> Result<Self, StoreError> {
        let sql = "SELECT number, hlc, change_seq, change_hash, audit_seq, audit_hash, replica_id
                   FROM replica";
        let (number, hlc, seq, hash, audit_seq, audit_hash, id) =
            connection.query_row(sql, [], |row| {
                let seq: i64 = row.get(2)?;
                Ok((
                    row.get(0)?,
                    row.get(1)?,
                    seq,
                    row.get(3)?,
                    row.get(4)?,
                    row.get(5)?,
                    row.get(6)?,
                ))
            })?;
        let me = ReplicaNumber::new(number).map_err(|e| StoreError::Damaged(e.to_string()))?;
        let head = Head {
            seq: seq.cast_unsigned(),
            hash,
        };
        let branches = Branches::load(connection)?;
        let causality = logs::load_causality(connection, me, &head)?;
        let names = branches::load_names(connection, &branches, |it| causality.has_begun(it))?;
        Ok(Self {
            names: Arc::new(names),
            branches: Arc::new(branches),
            id: ReplicaId(id),
            me,
            hlc: Hlc::from_i64(hlc),
            head,
            unsaid: Arc::new(causality.unsaid(me)),
            causality: Arc::new(causality),
            acknowledged: Acknowledged::default(),
            marks: Marks::default(),
            newest: Newest::default(),
            lanes,
            stored_runs: 0,
            audit_seq,
            audit_hash,
            session_epoch: 0,
            rows: last_rows(connection, me)?,
        })
    }

    /// Once per commit: the clock and the ends of the logs.
    pub(super) fn save(&self, connection: &Connection) -> Result<(), StoreError> {
        let sql = "UPDATE replica SET hlc = ?, change_seq = ?, change_hash = ?, audit_seq = ?, audit_hash = ?";
        connection.prepare_cached(sql)?.execute(params![
            self.hlc.to_i64(),
            self.head.seq.cast_signed(),
            self.head.hash,
            self.audit_seq,
            self.audit_hash
        ])?;
        Ok(())
    }

    /// Goes on as another replica, as `fresh` was loaded. What is of this process or of the audit log stays.
    pub(super) fn become_replica(&mut self, fresh: Self, head: Head) {
        self.id = fresh.id;
        self.me = fresh.me;
        self.head = head;
        self.unsaid = fresh.unsaid;
        self.causality = fresh.causality;
        self.names = fresh.names;
        self.branches = fresh.branches;
        self.rows = fresh.rows;
        self.stored_runs += 1;
    }

    /// Who waits for the writer, for a state that follows this one.
    pub(super) fn lanes(&self) -> Arc<Lanes> {
        Arc::clone(&self.lanes)
    }

    /// What comes back when the writes since `before` were undone.
    pub(super) fn undo_to(&mut self, before: Self) {
        if self.head != before.head {
            before.marks.forget();
        }
        *self = before;
    }

    /// Where this replica's log is, and how often those of others were stored.
    pub(super) const fn logs_at(&self) -> (u64, u64) {
        (self.head.seq, self.stored_runs)
    }

    /// Whether a log has moved since.
    pub(super) fn logs_moved(&self, since: (u64, u64)) -> bool {
        self.logs_at() != since
    }

    /// The newest audit entry.
    pub(super) const fn audit_head(&self) -> (i64, [u8; 32]) {
        (self.audit_seq, self.audit_hash)
    }

    pub(super) fn next_row(&mut self, entity: &Entity) -> Result<RowId, StoreError> {
        let last = &mut self.rows[entity::index(entity)];
        let id = RowId::from_i64(*last + 1).map_err(|e| StoreError::Damaged(e.to_string()))?;
        *last += 1;
        Ok(id)
    }
}

/// The greatest row id of each entity that this replica has given out.
fn last_rows(
    connection: &Connection,
    me: ReplicaNumber,
) -> Result<[i64; entity::COUNTERS], StoreError> {
    let (first, last) = me.row_ids();
    let mut rows = [0; entity::COUNTERS];
    for entity in entity::rows() {
        let sql = format!(
            "SELECT max(id) FROM {} WHERE id BETWEEN ? AND ?",
            entity.name
        );
        let max: Option<i64> = connection.query_row(&sql, [first, last], |row| row.get(0))?;
        rows[entity::index(entity)] = max.unwrap_or(first - 1);
    }
    // A reading that turned out to be another's twin has no row any more, but its id was given out.
    let sql = "SELECT max(alias) FROM reading_alias WHERE alias BETWEEN ? AND ?";
    let alias: Option<i64> = connection.query_row(sql, [first, last], |row| row.get(0))?;
    let reading = &mut rows[entity::index(&entity::READING)];
    *reading = alias.map_or(*reading, |alias| alias.max(*reading));
    // Nor have rows that were forgotten.
    let sql = "SELECT last FROM row_counter WHERE entity = ? AND last BETWEEN ? AND ?";
    for entity in entity::rows().filter(|entity| entity.passes()) {
        let values = params![entity.code, first, last];
        let given: Option<i64> = connection
            .query_row(sql, values, |row| row.get(0))
            .optional()?;
        let row = &mut rows[entity::index(entity)];
        *row = given.map_or(*row, |given| given.max(*row));
    }
    Ok(rows)
}
