//! Compares what a data directory holds, and what a node serves from it, with the ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use islet::store::DATABASE_FILE;
use rusqlite::{Connection, OpenFlags};

use crate::lab;
use crate::load::Ledger;
use crate::support::Client;

/// Number of the entity "reading" in the change log (src/store/entity.rs).
const READING: u8 = 3;
/// Findings shown of each kind: the first ones tell the story.
const SHOWN_MAX: usize = 5;

/// What is wrong. Both empty when all is well.
#[derive(Debug, Default)]
pub(crate) struct Findings {
    /// Acknowledged readings that are gone or changed.
    pub(crate) lost: Vec<String>,
    /// Everything else.
    pub(crate) broken: Vec<String>,
}

impl Findings {
    pub(crate) fn is_empty(&self) -> bool {
        self.lost.is_empty() && self.broken.is_empty()
    }

    /// Stops the test unless all is well.
    #[track_caller]
    pub(crate) fn must_be_empty(&self, when: &str) {
        let first = |list: &[String]| list[..list.len().min(SHOWN_MAX)].join("\n  ");
        assert!(
            self.is_empty(),
            "{when}: {} lost:\n  {}\n{} broken:\n  {}",
            self.lost.len(),
            first(&self.lost),
            self.broken.len(),
            first(&self.broken)
        );
    }
}

/// Looks into a data directory that nobody serves.
pub(crate) fn stored(data: &Path, ledger: &Ledger) -> Findings {
    let mut findings = Findings::default();
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let database = Connection::open_with_flags(data.join(DATABASE_FILE), flags).unwrap();
    if let Err(error) = look(&database, ledger, &mut findings) {
        findings.broken.push(format!("cannot be read: {error}"));
    }
    findings.broken.extend(audit_problems(data));
    findings
}

/// What `islet audit verify` complains about.
fn audit_problems(data: &Path) -> Vec<String> {
    let mut command = lab::islet();
    let verdict = command.args(["audit", "verify", "--data"]).arg(data);
    let verdict = verdict.output().unwrap();
    if verdict.status.success() {
        return Vec::new();
    }
    let mut problems = vec![format!("audit verify: {}", verdict.status)];
    for text in [&verdict.stdout, &verdict.stderr] {
        problems.extend(String::from_utf8_lossy(text).lines().map(str::to_owned));
    }
    problems
}

fn look(
    database: &Connection,
    ledger: &Ledger,
    findings: &mut Findings,
) -> Result<(), rusqlite::Error> {
    let whole: String = database.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    if whole != "ok" {
        findings.broken.push(format!("integrity_check: {whole}"));
    }
    let readings = readings(database)?;
    compare(&readings, ledger, findings);
    let ids: BTreeSet<i64> = readings.keys().copied().collect();
    for (what, found) in [
        ("audit entry", audited(database)?),
        ("change", changed(database)?),
    ] {
        for id in ids.symmetric_difference(&found) {
            let text = format!("reading {id} and its {what}: one is there without the other");
            findings.broken.push(text);
        }
    }
    let counted: i64 = database.query_row(
        "SELECT coalesce(sum(times_measured), 0) FROM patient_counter",
        [],
        |row| row.get(0),
    )?;
    if usize::try_from(counted) != Ok(readings.len()) {
        let text = format!("{counted} readings counted, {} stored", readings.len());
        findings.broken.push(text);
    }
    Ok(())
}

/// Row id to `measured_at` and value.
type Readings = BTreeMap<i64, (i64, f64)>;

fn readings(database: &Connection) -> rusqlite::Result<Readings> {
    database
        .prepare("SELECT id, measured_at, glucose_mg_dl FROM reading")?
        .query_map([], |row| Ok((row.get(0)?, (row.get(1)?, row.get(2)?))))?
        .collect()
}

/// The acknowledged are there with their values; what is there was sent, once.
fn compare(readings: &Readings, ledger: &Ledger, findings: &mut Findings) {
    let book = ledger.open();
    for (id, measured_at) in &book.acknowledged {
        let expected = Some((*measured_at, book.sent[measured_at]));
        let found = readings.get(id).copied();
        if found != expected {
            let text = format!("acknowledged reading {id}: {found:?}, not {expected:?}");
            findings.lost.push(text);
        }
    }
    let mut times = BTreeSet::new();
    for (id, (measured_at, value)) in readings {
        if book.sent.get(measured_at) != Some(value) || !times.insert(measured_at) {
            let text = format!("reading {id} of {measured_at} was not sent, or is there twice");
            findings.broken.push(text);
        }
    }
}

/// Readings that the audit log says were created.
fn audited(database: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    database
        .prepare(
            "SELECT object_id FROM audit_entry WHERE action = 'reading.create' \
             AND outcome = 'ok' AND change_seq IS NOT NULL",
        )?
        .query_map([], |row| row.get(0))?
        .collect()
}

/// Readings that the change log creates.
fn changed(database: &Connection) -> rusqlite::Result<BTreeSet<i64>> {
    let column = |sql| {
        let mut statement = database.prepare(sql)?;
        let rows = statement.query_map([], |row| row.get(0))?;
        rows.collect::<rusqlite::Result<Vec<Vec<u8>>>>()
    };
    let mut changes = column("SELECT ops FROM change")?;
    // A node tidies its log while it runs.
    for run in column("SELECT bytes FROM segment")? {
        let run = islet_sync::segment::decode(&run).unwrap();
        changes.extend(run.changes().map(|(_, change)| change.ops.to_vec()));
    }
    let mut created = BTreeSet::new();
    for ops in changes {
        for op in islet_sync::change::decode(&ops).unwrap() {
            if op.entity == READING {
                created.insert(op.row.get());
            }
        }
    }
    Ok(created)
}

/// A node that came up again serves every acknowledged reading.
pub(crate) async fn served(phone: &Client, ledger: &Ledger) {
    let answer = phone.get("/glucose/mine").await.expect(200);
    let served: BTreeMap<i64, f64> = answer["readings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|reading| {
            let value = reading["glucose_level"].as_f64().unwrap();
            (reading["id"].as_i64().unwrap(), value)
        })
        .collect();
    let book = ledger.open();
    for (id, measured_at) in &book.acknowledged {
        let value = book.sent[measured_at];
        assert_eq!(served.get(id), Some(&value), "acknowledged reading {id}");
    }
}
