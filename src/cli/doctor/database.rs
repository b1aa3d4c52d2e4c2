//! Checks of the database: file, schema, audit log, clock, accounts.

use std::sync::Arc;

use super::{Finding, accounts, mail};
use crate::cli::DataDir;
use crate::clock::{Clock, SystemClock};
use crate::domain::time::Timestamp;
use crate::limits;
use crate::store::audit::{self, AuditFilter};
use crate::store::{Snapshot, StoreError};

/// All of them, as far as the database can be opened.
pub(super) fn check(data: &DataDir) -> Vec<Finding> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let snapshot = match Snapshot::open(data.path(), clock) {
        Ok(snapshot) => snapshot,
        Err(error) => return vec![Finding::fail("schema", error.to_string())],
    };
    vec![
        schema(&snapshot),
        file(&snapshot),
        audit_log(&snapshot, data),
        clock_is_plausible(&snapshot),
        mail::given_up(&snapshot, SystemClock.now()),
        accounts::invented(&snapshot),
        accounts::well_known(&snapshot),
        accounts::damaged_hashes(&snapshot),
    ]
}

/// Whoever removes a trigger can alter the logs.
fn schema(snapshot: &Snapshot) -> Finding {
    let check = "schema";
    match snapshot.schema_problems() {
        Ok(found) if found.is_empty() => Finding::ok(check, "as it was made"),
        Ok(found) => {
            let found = found.join("; ");
            Finding::fail(
                check,
                format!(
                    "{found}: find out who could write to the database. A start makes triggers \
                     and indexes again; with anything else, restore a backup"
                ),
            )
        }
        Err(error) => Finding::fail(check, error.to_string()),
    }
}

fn file(snapshot: &Snapshot) -> Finding {
    let check = "database file";
    match snapshot.quick_check() {
        Ok(found) if found.is_empty() => Finding::ok(check, "whole"),
        Ok(found) => Finding::fail(check, damaged(&found.join("; "))),
        Err(error) => Finding::fail(check, damaged(&error.to_string())),
    }
}

fn damaged(what: &str) -> String {
    format!("{what}: stop the node, keep a copy of the directory and restore a backup")
}

fn audit_log(snapshot: &Snapshot, data: &DataDir) -> Finding {
    let check = "audit log";
    let key = match data.audit_key() {
        Ok(key) => key,
        Err(failure) => return Finding::fail(check, failure.text),
    };
    match snapshot.verify_audit(data.path(), key) {
        Ok(report) if report.problems.is_empty() => {
            let text = format!("whole, {} entries", report.entries);
            match report.unknown.first() {
                None => Finding::ok(check, text),
                Some(unknown) => Finding::warn(check, format!("{text}, but {unknown}")),
            }
        }
        Ok(report) => {
            let first = report.problems.first().map_or("", String::as_str);
            let count = report.problems.len();
            let problems = if count == 1 { "problem" } else { "problems" };
            let advice = "see `islet audit verify`, and find out who could write to this machine";
            Finding::fail(
                check,
                format!("{count} {problems}, first: {first}; {advice}"),
            )
        }
        Err(error) => Finding::fail(check, error.to_string()),
    }
}

/// Against the oldest possible time and against the newest thing that happened.
fn clock_is_plausible(snapshot: &Snapshot) -> Finding {
    let check = "clock";
    let now = SystemClock.now();
    let newest = snapshot.read(|tx| {
        let filter = AuditFilter {
            limit: 1,
            ..AuditFilter::default()
        };
        Ok::<_, StoreError>(audit::list(tx, &filter)?.first().map(|row| row.at))
    });
    let newest = match newest {
        Ok(newest) => newest.unwrap_or_default(),
        Err(error) => return Finding::fail(check, error.to_string()),
    };
    let floor_ms = i64::try_from(limits::CLOCK_FLOOR_S).unwrap_or(i64::MAX) * 1_000;
    let shown = now.to_rfc3339();
    if now.0 < floor_ms {
        return Finding::fail(check, format!("shows {shown}, which is wrong: set it"));
    }
    if now.0 < newest - limits::CLOCK_BACK_MAX_MS {
        let newest = Timestamp(newest).to_rfc3339();
        let text = format!("shows {shown}, but something happened here at {newest}: set it");
        return Finding::warn(check, text);
    }
    Finding::ok(check, format!("plausible: {shown}"))
}
