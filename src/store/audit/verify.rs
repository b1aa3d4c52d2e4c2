//! Is the audit log whole? Reads all of it, a stretch at a time.
//!
//! Must never: end early because an entry cannot be read; that is a finding like others.

use std::path::Path;

use islet_sync::chain;
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::segment;

use super::super::audit_head::{self, AUDIT_HEAD_FILE, Head, contradiction};
use super::super::tx::{Read, one};
use super::super::{branches, logs, replica};
use super::{AuditRow, COLUMNS, GENESIS, StoreError};
use crate::limits::AUDIT_VERIFY_ROWS;

/// What is wrong with the audit log, as [`super::super::Store::verify_audit`] and
/// [`super::super::Snapshot::verify_audit`] tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct AuditReport {
    /// Entries looked at.
    pub entries: i64,
    /// The newest one.
    pub head_seq: i64,
    /// What is wrong, each with its place; empty when the log is whole.
    pub problems: Vec<String>,
    /// What could not be looked at, so that the log may lack it all the same.
    pub unknown: Vec<String>,
}

/// Most problems listed: a log altered at its start breaks in one place, not in a million.
const PROBLEMS_MAX: usize = 100;

/// Checks the chain, the numbering, the head, that each change is the one that its entry names, and
/// that the log reaches as far as was noted beside the database. Entries never change, so it may go
/// on in a later snapshot.
pub(in crate::store) struct Verifier {
    key: [u8; 32],
    /// What was noted beside the database, until its entry was met.
    noted: Option<Head>,
    previous: [u8; 32],
    next_seq: i64,
    change_seq: i64,
    /// Whose changes the entries name.
    number: Option<ReplicaNumber>,
    sealed: Sealed,
    pub(in crate::store) report: AuditReport,
}

/// The digests of this replica's changes in one segment, which moved out of `change`.
#[derive(Default)]
struct Sealed {
    number: Option<ReplicaNumber>,
    first_seq: u64,
    digests: Vec<chain::Hash>,
}

impl Sealed {
    fn digest(
        &mut self,
        tx: &impl Read,
        number: ReplicaNumber,
        seq: i64,
    ) -> Result<Option<chain::Hash>, StoreError> {
        let Ok(seq) = u64::try_from(seq) else {
            return Ok(None);
        };
        if self.number == Some(number)
            && let Some(digest) = self.get(seq)
        {
            return Ok(Some(digest));
        }
        let Some(before) = seq.checked_sub(1) else {
            return Ok(None);
        };
        let run = logs::run_after(tx, number, before)?;
        // A segment that cannot be read holds no change: the entry's is missing.
        if let Some(segment) = run.and_then(|(_, run)| segment::decode(&run.bytes).ok()) {
            self.number = Some(number);
            self.first_seq = segment.first_seq;
            let changes = segment.changes();
            self.digests = changes
                .map(|(_, it)| chain::digest(it.hlc, &it.ops))
                .collect();
        }
        Ok(self.get(seq).filter(|_| self.number == Some(number)))
    }

    fn get(&self, seq: u64) -> Option<chain::Hash> {
        let at = usize::try_from(seq.checked_sub(self.first_seq)?).ok()?;
        self.digests.get(at).copied()
    }
}

impl Verifier {
    /// For the log of the node in `dir`. The note is read before anything of the log: the log may
    /// only be further.
    pub(in crate::store) fn new(key: [u8; 32], dir: &Path) -> Self {
        let mut report = AuditReport::default();
        let read = audit_head::read(dir);
        if !matches!(read, Ok(Some(_))) {
            let why = match &read {
                Err(error) => format!("{AUDIT_HEAD_FILE} cannot be read ({error})"),
                Ok(_) => format!(
                    "nothing beside the database ({AUDIT_HEAD_FILE}) says how far the log had got"
                ),
            };
            let text = format!("{why}: whether its end was cut off cannot be told");
            report.unknown.push(text);
        }
        let noted = read.ok().flatten();
        Self {
            key,
            noted,
            previous: GENESIS,
            next_seq: i64::MIN,
            change_seq: 0,
            number: None,
            sealed: Sealed::default(),
            report,
        }
    }

    /// Looks at the next [`AUDIT_VERIFY_ROWS`] entries; true after the last.
    pub(in crate::store) fn step(&mut self, tx: &impl Read) -> Result<bool, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, c.hlc, c.ops FROM audit_entry LEFT JOIN \
             (SELECT seq AS number, hlc, ops FROM change) c ON c.number = change_seq \
             WHERE seq >= ? ORDER BY seq LIMIT ?"
        );
        let me = replica::number(tx)?;
        let mut statement = tx.connection().prepare_cached(&sql)?;
        let mut rows = statement.query([self.next_seq, AUDIT_VERIFY_ROWS.into()])?;
        let (mut count, mut more) = (0, true);
        while let Some(row) = rows.next()? {
            count += 1;
            let seq: i64 = row.get(0)?;
            // After the largest number there is nothing to go on with.
            more = seq < i64::MAX;
            self.next_seq = seq.saturating_add(1);
            let (hlc, ops): (Option<i64>, Option<Vec<u8>>) = (row.get(16)?, row.get(17)?);
            let change_seq: Option<i64> = row.get(12)?;
            let entry = AuditRow::from_row(row).ok();
            self.follow_replica(entry.as_ref());
            let here = hlc
                .zip(ops)
                .filter(|_| self.number.is_none_or(|number| number == me));
            let change = match (here, change_seq) {
                (Some((hlc, ops)), _) => Some(chain::digest(Hlc::from_i64(hlc), &ops)),
                (None, Some(change_seq)) => {
                    let number = self.number.unwrap_or(me);
                    let expected = entry.as_ref().and_then(|entry| entry.change_hash);
                    self.sealed(tx, number, change_seq, expected)?
                }
                (None, None) => None,
            };
            self.take(seq, entry, change);
        }
        if count == AUDIT_VERIFY_ROWS && more {
            return Ok(false);
        }
        self.end(tx)?;
        Ok(true)
    }

    /// The digest of a change that moved into a segment. When the log was written on in two ways, its part that this
    /// node wrote may have another name by now.
    fn sealed(
        &mut self,
        tx: &impl Read,
        number: ReplicaNumber,
        seq: i64,
        expected: Option<chain::Hash>,
    ) -> Result<Option<chain::Hash>, StoreError> {
        // Mostly it lies where the one before did.
        let before = self.sealed.number.unwrap_or(number);
        for of in [before, number] {
            let found = self.sealed.digest(tx, of, seq)?;
            if found.is_some() && found == expected {
                return Ok(found);
            }
        }
        for log in branches::family(tx, number)? {
            let found = self.sealed.digest(tx, log.introduction.number, seq)?;
            if found.is_some() && found == expected {
                return Ok(found);
            }
        }
        self.sealed.digest(tx, number, seq)
    }

    /// Which replica wrote the changes from here on: the log says so when it begins, and when the node became
    /// another one.
    fn follow_replica(&mut self, entry: Option<&AuditRow>) {
        let begins =
            entry.filter(|entry| ["node.init", "node.new_replica"].contains(&&*entry.action));
        let number = begins.and_then(|entry| u32::try_from(entry.object_id?).ok());
        if let Some(number) = number.and_then(|number| ReplicaNumber::new(number).ok()) {
            self.number = Some(number);
            self.change_seq = 0;
        }
    }

    fn take(&mut self, seq: i64, entry: Option<AuditRow>, change: Option<[u8; 32]>) {
        // After the largest number no row comes that would be held against this.
        let expected = self.report.head_seq.saturating_add(1);
        self.report.entries += 1;
        self.report.head_seq = seq;
        let Some(entry) = entry else {
            self.problem(format!("entry {seq} cannot be read"));
            self.previous = GENESIS;
            return;
        };
        if seq < expected {
            self.problem(format!("entry {seq} was invented"));
        } else if seq > expected {
            self.problem(format!("entries {expected} to {} are missing", seq - 1));
        } else if entry.chain(&self.key, &self.previous) != entry.hash {
            self.problem(format!("entry {seq} was altered, moved or invented"));
        }
        self.previous = entry.hash;
        if let Some(noted) = self.noted.take_if(|(noted, _)| *noted == seq)
            && let Some(problem) = contradiction(noted, Some(entry.hash))
        {
            self.problem(problem);
        }
        if let Some(change_seq) = entry.change_seq {
            self.take_change(&entry, change_seq, change);
        }
    }

    fn take_change(&mut self, entry: &AuditRow, change_seq: i64, found: Option<[u8; 32]>) {
        let seq = entry.seq;
        let Some(expected) = self.change_seq.checked_add(1) else {
            self.problem(format!(
                "entry {seq} comes after the last change that can be"
            ));
            return;
        };
        if change_seq < expected {
            self.problem(format!("entry {seq} names change {change_seq} again"));
        } else if change_seq > expected {
            let last = change_seq - 1;
            self.problem(format!(
                "the entries of changes {expected} to {last} are missing"
            ));
        }
        if found.is_none() {
            self.problem(format!("the change of entry {seq} is missing"));
        } else if found != entry.change_hash {
            self.problem(format!("the change of entry {seq} was altered"));
        }
        self.change_seq = change_seq;
    }

    fn end(&mut self, tx: &impl Read) -> Result<(), StoreError> {
        let last = self.report.head_seq;
        if last == 0 {
            self.problem("the log is empty".into());
        }
        let sql = "SELECT audit_seq, audit_hash FROM replica";
        let head: Option<Head> = one(tx, sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?;
        match head {
            Some((seq, _)) if seq > last => {
                let first = last + 1;
                self.problem(format!("entries {first} to {seq} at the end are missing"));
            }
            Some((seq, hash)) if seq == last && hash == self.previous => {}
            _ => self.problem(format!("the log ends at {last}, which is not its head")),
        }
        let sql = "SELECT min(seq), max(seq) FROM change WHERE seq > ?";
        let range = one(tx, sql, [self.change_seq], |row| {
            Ok(row
                .get::<_, Option<i64>>(0)?
                .zip(row.get::<_, Option<i64>>(1)?))
        })?;
        if let Some((first, last)) = range.flatten() {
            self.problem(format!("changes {first} to {last} have no audit entry"));
        }
        let me = replica::number(tx)?;
        let sql = "SELECT max(last_seq) FROM segment WHERE number = ?";
        let sealed: Option<i64> = one(tx, sql, [me.get()], |row| row.get(0))?.flatten();
        if let Some(last) = sealed.filter(|last| *last > self.change_seq) {
            self.problem(format!(
                "the changes up to {last} in segments have no audit entry"
            ));
        }
        let sql = "SELECT max(seq) FROM change WHERE seq < 1";
        if let Some(Some(seq)) = one(tx, sql, [], |row| row.get::<_, Option<i64>>(0))? {
            self.problem(format!("change {seq} was invented"));
        }
        if let Some(problem) = self
            .noted
            .take()
            .and_then(|noted| contradiction(noted, None))
        {
            self.problem(problem);
        }
        Ok(())
    }

    fn problem(&mut self, text: String) {
        if self.report.problems.len() < PROBLEMS_MAX {
            self.report.problems.push(text);
        }
    }
}
