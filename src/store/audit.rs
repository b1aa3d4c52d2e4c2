//! The audit log: append-only, each entry chained to the one before.
//!
//! `hash = BLAKE3-keyed(key, previous hash ‖ entry)`, with the entry as the bytes of [`Covered::encode`].
//! An entry that came with a change holds the change's digest, so the chain covers the change log
//! too. The key lies outside the database, so whoever can only alter the database cannot make a chain
//! that verifies. An altered, missing, reordered or invented entry breaks the chain at its place;
//! an end that was cut off no longer matches the head in `replica`, nor the changes in `change`, nor
//! the note beside the database (`audit_head.rs`).
//!
//! Must never hold names, values, passwords or tokens: ids and facts only.

mod verify;

use std::io::Write;

use rusqlite::{Connection, Row, params};

pub use verify::AuditReport;
pub(super) use verify::Verifier;

use super::StoreError;
use super::tx::{Read, all, prepared_for};
use crate::domain::actor::Who;
use crate::domain::audit::Entry;
use crate::domain::time::Timestamp;

/// What the first entry is chained to.
pub(super) const GENESIS: [u8; 32] = [0; 32];

const COLUMNS: &str = "seq, at, actor_kind, actor_id, action, outcome, patient_id, object_kind, \
                       object_id, address, session, request_id, change_seq, detail, change_hash, hash";

/// One entry as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct AuditRow {
    /// Position in the log, dense from 1.
    pub seq: i64,
    /// When, in milliseconds.
    pub at: i64,
    /// `anonymous`, `patient`, `staff`, `operator` or `system`.
    pub actor_kind: String,
    /// Row id of the patient or member of staff.
    pub actor_id: Option<i64>,
    /// What, as `object.verb`.
    pub action: String,
    /// `ok`, `denied` or `failed`.
    pub outcome: String,
    /// Whose data it was.
    pub patient_id: Option<i64>,
    /// Kind of the thing acted on.
    pub object_kind: Option<String>,
    /// Its row id.
    pub object_id: Option<i64>,
    /// Address of the device.
    pub address: Option<String>,
    /// Session of the log-in.
    pub session: Option<String>,
    /// Id of the request.
    pub request_id: Option<String>,
    /// The change committed together with this entry.
    pub change_seq: Option<i64>,
    /// Facts.
    pub detail: Option<String>,
    /// Digest of that change.
    #[serde(skip)]
    pub change_hash: Option<[u8; 32]>,
    /// The chain.
    #[serde(skip)]
    pub hash: [u8; 32],
}

impl AuditRow {
    fn from_row(row: &Row<'_>) -> rusqlite::Result<Self> {
        Ok(Self {
            seq: row.get(0)?,
            at: row.get(1)?,
            actor_kind: row.get(2)?,
            actor_id: row.get(3)?,
            action: row.get(4)?,
            outcome: row.get(5)?,
            patient_id: row.get(6)?,
            object_kind: row.get(7)?,
            object_id: row.get(8)?,
            address: row.get(9)?,
            session: row.get(10)?,
            request_id: row.get(11)?,
            change_seq: row.get(12)?,
            detail: row.get(13)?,
            change_hash: row.get(14)?,
            hash: row.get(15)?,
        })
    }

    fn chain(&self, key: &[u8; 32], previous: &[u8; 32]) -> [u8; 32] {
        let covered = Covered {
            seq: self.seq,
            at: self.at,
            actor_kind: &self.actor_kind,
            actor_id: self.actor_id,
            action: &self.action,
            outcome: &self.outcome,
            patient_id: self.patient_id,
            object_kind: self.object_kind.as_deref(),
            object_id: self.object_id,
            address: self.address.as_deref(),
            session: self.session.as_deref(),
            request_id: self.request_id.as_deref(),
            change_seq: self.change_seq,
            detail: self.detail.as_deref(),
            change_hash: self.change_hash,
        };
        covered.chain(key, previous)
    }
}

/// Room for the bytes of most entries.
const COVERED_BYTES: usize = 512;

/// What the hash of an entry covers. Borrowed: writing an entry is part of every write.
struct Covered<'a> {
    seq: i64,
    at: i64,
    actor_kind: &'a str,
    actor_id: Option<i64>,
    action: &'a str,
    outcome: &'a str,
    patient_id: Option<i64>,
    object_kind: Option<&'a str>,
    object_id: Option<i64>,
    address: Option<&'a str>,
    session: Option<&'a str>,
    request_id: Option<&'a str>,
    change_seq: Option<i64>,
    detail: Option<&'a str>,
    change_hash: Option<[u8; 32]>,
}

impl<'a> Covered<'a> {
    fn new(
        seq: i64,
        at: Timestamp,
        entry: &'a Entry,
        address: Option<&'a Shown>,
        change: Option<ChangeRef>,
    ) -> Self {
        let (actor_kind, actor_id) = match entry.actor.who {
            Who::Anonymous => ("anonymous", None),
            Who::Patient(id) => ("patient", Some(id)),
            Who::Staff(id, _) => ("staff", Some(id)),
            Who::Operator => ("operator", None),
            Who::System => ("system", None),
        };
        Self {
            seq,
            at: at.0,
            actor_kind,
            actor_id,
            action: entry.action,
            outcome: entry.outcome.as_str(),
            patient_id: entry.patient_id,
            object_kind: entry.object.map(|(kind, _)| kind.as_str()),
            object_id: entry.object.map(|(_, id)| id),
            address: address.map(Shown::as_str),
            session: entry.actor.session.as_deref(),
            request_id: entry.actor.request_id.as_deref(),
            change_seq: change.map(|change| change.seq),
            detail: entry.detail.as_deref(),
            change_hash: change.map(|change| change.hash),
        }
    }

    /// Appends the bytes that the hash covers: each field after its length, none as the length
    /// 2^32 - 1, numbers in decimal. Unambiguous: no two entries have the same bytes.
    fn encode(&self, out: &mut Vec<u8>) {
        bytes(out, self.change_hash.as_ref().map(|hash| &hash[..]));
        number(out, Some(self.seq));
        number(out, Some(self.at));
        text(out, Some(self.actor_kind));
        number(out, self.actor_id);
        text(out, Some(self.action));
        text(out, Some(self.outcome));
        number(out, self.patient_id);
        text(out, self.object_kind);
        number(out, self.object_id);
        text(out, self.address);
        text(out, self.session);
        text(out, self.request_id);
        number(out, self.change_seq);
        text(out, self.detail);
    }

    fn chain(&self, key: &[u8; 32], previous: &[u8; 32]) -> [u8; 32] {
        // One long piece is hashed for less than many short ones.
        let mut bytes = Vec::with_capacity(COVERED_BYTES);
        self.encode(&mut bytes);
        let mut hasher = blake3::Hasher::new_keyed(key);
        hasher.update(previous).update(&bytes);
        hasher.finalize().into()
    }
}

fn bytes(out: &mut Vec<u8>, value: Option<&[u8]>) {
    match value {
        Some(bytes) => {
            let len = u32::try_from(bytes.len()).unwrap_or(u32::MAX - 1);
            out.extend_from_slice(&len.to_be_bytes());
            out.extend_from_slice(bytes);
        }
        None => out.extend_from_slice(&u32::MAX.to_be_bytes()),
    }
}

fn text(out: &mut Vec<u8>, value: Option<&str>) {
    bytes(out, value.map(str::as_bytes));
}

fn number(out: &mut Vec<u8>, value: Option<i64>) {
    let shown = value.map(|value| Shown::of(&value));
    text(out, shown.as_ref().map(Shown::as_str));
}

/// The text of a number or an address, without the heap.
struct Shown {
    /// An IPv6 address with an IPv4 tail has 45 characters, a number at most 20.
    bytes: [u8; 48],
    len: usize,
}

impl Shown {
    fn of(value: &impl std::fmt::Display) -> Self {
        let mut bytes = [0; 48];
        let mut rest = &mut bytes[..];
        let written = write!(rest, "{value}");
        debug_assert!(written.is_ok(), "no text is longer");
        let len = 48 - rest.len();
        Self { bytes, len }
    }

    fn as_str(&self) -> &str {
        str::from_utf8(&self.bytes[..self.len]).unwrap_or_default()
    }
}

/// A change as its audit entry names it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ChangeRef {
    /// Position in the change log.
    pub(super) seq: i64,
    /// See [`change_hash`].
    pub(super) hash: [u8; 32],
}

/// Appends an entry and returns its hash.
pub(super) fn append(
    connection: &Connection,
    key: &[u8; 32],
    previous: &[u8; 32],
    seq: i64,
    at: Timestamp,
    entry: &Entry,
    change: Option<ChangeRef>,
) -> Result<[u8; 32], StoreError> {
    let address = entry.actor.address.as_ref().map(Shown::of);
    let row = Covered::new(seq, at, entry, address.as_ref(), change);
    let hash = row.chain(key, previous);
    let sql = "INSERT INTO audit_entry (seq, at, actor_kind, actor_id, action, outcome, patient_id, \
               object_kind, object_id, address, session, request_id, change_seq, detail, change_hash, \
               hash) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
    prepared_for(connection, sql)?.execute(params![
        row.seq,
        row.at,
        row.actor_kind,
        row.actor_id,
        row.action,
        row.outcome,
        row.patient_id,
        row.object_kind,
        row.object_id,
        row.address,
        row.session,
        row.request_id,
        row.change_seq,
        row.detail,
        row.change_hash,
        hash
    ])?;
    Ok(hash)
}

/// Actions that show what is of many patients at once, as the index `audit_of_many` has them.
const OF_MANY: &str =
    "(action = 'patient.list' OR action = 'reading.list_all' OR action = 'queue.list')";

/// What `islet audit log` asks for; `None` does not filter. Newest first.
#[derive(Clone, Debug, Default)]
pub struct AuditFilter {
    /// Whose data. What shows that of many at once is among it.
    pub patient_id: Option<i64>,
    /// Who: the kind, and the id unless all of the kind are meant.
    pub actor: Option<(String, Option<i64>)>,
    /// What, exactly or as a prefix such as `reading.`.
    pub action: Option<String>,
    /// `ok`, `denied` or `failed`.
    pub outcome: Option<String>,
    /// From this time on.
    pub since: Option<Timestamp>,
    /// Before this time.
    pub until: Option<Timestamp>,
    /// Only entries before this seq: the cursor of the next page.
    pub before: Option<i64>,
    /// Most entries.
    pub limit: u32,
}

impl AuditFilter {
    fn is_of_one_patient(&self) -> bool {
        matches!(&self.actor, Some((kind, Some(_))) if kind == "patient")
    }
}

/// One page of the log, newest first.
///
/// # Errors
/// When the disk fails.
pub fn list(tx: &impl Read, filter: &AuditFilter) -> Result<Vec<AuditRow>, StoreError> {
    let rest = conditions(filter);
    let from = format!("SELECT {COLUMNS} FROM audit_entry");
    let mut sql = if filter.patient_id.is_some() {
        // The planner would read the whole log for an OR, and knows no reason for the second index.
        format!(
            "{from} WHERE seq < ?1 AND patient_id = ?2{rest} UNION ALL \
             {from} INDEXED BY audit_of_many WHERE seq < ?1 AND {OF_MANY} AND patient_id IS NULL{rest}"
        )
    } else if filter.is_of_one_patient() {
        // What a patient does to their own data is found by the patient whose data it was, the rest
        // by an index of its own. Together they are all that this patient did.
        format!(
            "{from} WHERE seq < ?1 AND patient_id = ?4{rest} UNION ALL \
             {from} WHERE seq < ?1 AND patient_id IS NOT actor_id{rest}"
        )
    } else {
        format!("{from} WHERE seq < ?1{rest}")
    };
    sql.push_str(" ORDER BY seq DESC LIMIT ?9");
    let parameters = params![
        filter.before.unwrap_or(i64::MAX),
        filter.patient_id,
        filter.actor.as_ref().map(|(kind, _)| kind),
        filter.actor.as_ref().and_then(|(_, id)| *id),
        filter.action,
        filter.outcome,
        filter.since.map(|at| at.0),
        filter.until.map(|at| at.0),
        filter.limit
    ];
    all(tx, &sql, parameters, AuditRow::from_row)
}

/// What holds besides seq and patient.
fn conditions(filter: &AuditFilter) -> String {
    let mut sql = String::new();
    let mut conditions = |present: bool, text: &str| {
        if present {
            sql.push_str(" AND ");
            sql.push_str(text);
        }
    };
    let actor_id = filter.actor.as_ref().and_then(|(_, id)| *id);
    let kind = filter.actor.as_ref().map_or("", |(kind, _)| kind);
    conditions(filter.actor.is_some(), "actor_kind = ?3");
    conditions(actor_id.is_some(), "actor_id = ?4");
    // The words that the partial indexes are found by.
    conditions(
        kind == "staff" && actor_id.is_some(),
        "actor_kind = 'staff'",
    );
    conditions(filter.is_of_one_patient(), "actor_kind = 'patient'");
    conditions(
        filter.action.is_some(),
        "substr(action, 1, length(?5)) = ?5",
    );
    conditions(filter.outcome.is_some(), "outcome = ?6");
    conditions(filter.since.is_some(), "at >= ?7");
    conditions(filter.until.is_some(), "at < ?8");
    sql
}
