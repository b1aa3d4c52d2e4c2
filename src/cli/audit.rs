//! `islet audit`: reads the audit log and proves that it is whole. Works beside a running node,
//! takes no lock and changes nothing.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::{DataDir, Failure, output};
use crate::clock::{Clock, SystemClock};
use crate::domain::audit;
use crate::domain::time::{Timestamp, start_of_day};
use crate::limits;
use crate::store::audit::{AuditFilter, AuditReport, AuditRow, list};
use crate::store::{ReadTx, Snapshot, StoreError, patients, staff};

/// What the clinic's time is, as it is printed: [`crate::domain::time::ARGENTINA`].
const CLINIC_OFFSET: &str = "-03:00";

/// Subcommands of `islet audit`.
#[derive(Debug, clap::Subcommand)]
#[command(after_help = "Examples:
  islet audit log --patient 40123456 --since 2026-03-01
  islet audit log --actor staff:dra.paz --action reading. --json
  islet audit log --outcome denied --limit 20
  islet audit verify || echo 'somebody altered the log'")]
pub(super) enum AuditCommand {
    /// Show who did or saw what of whom, newest first
    Log(LogArgs),
    /// Check that no entry was altered, removed, moved or invented; exits with 3 when one was
    #[command(
        long_about = "Checks the audit log and the change log: that no entry and no change was altered, \
removed, moved or invented. The rows themselves (patients, readings, ...) are not compared with the \
change log: who can write to the database file can alter a row unseen. Exits with 3 when something \
is wrong."
    )]
    Verify {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct LogArgs {
    /// Whose data it was; views of many patients at once are among it
    #[arg(long, value_name = "DNI")]
    patient: Option<String>,
    /// Who did it: patient:DNI, staff:USERNAME, operator, system or anonymous
    #[arg(long, value_name = "WHO")]
    actor: Option<String>,
    /// What was done, or how it begins, such as reading. or session.log_in
    #[arg(long, value_name = "PREFIX", value_parser = action)]
    action: Option<String>,
    /// How it ended
    #[arg(long, value_parser = ["ok", "denied", "failed"])]
    outcome: Option<String>,
    /// From this time on: 2026-03-06, 2026-03-06T08:00 (clinic's time), 2026-03-06T11:00:00Z, or as
    /// it is printed: 06/03/2026 or '06/03/2026 08:00:00 -03:00'
    #[arg(long, value_name = "TIME", value_parser = time)]
    since: Option<Timestamp>,
    /// Before this time
    #[arg(long, value_name = "TIME", value_parser = time)]
    until: Option<Timestamp>,
    /// Most entries shown
    #[arg(long, value_name = "N", default_value_t = limits::AUDIT_PAGE.0,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::AUDIT_PAGE.1)))]
    limit: u32,
    /// Only entries older than number SEQ: the next page
    #[arg(long, value_name = "SEQ")]
    before: Option<i64>,
    /// Print one JSON object a line
    #[arg(long)]
    json: bool,
}

/// Runs `islet audit …`.
///
/// # Errors
/// When there is no node, somebody named does not exist, or the log is not whole.
pub(super) fn run(command: &AuditCommand, data: &DataDir) -> Result<(), Failure> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let snapshot = Snapshot::open(data.path(), clock)?;
    match command {
        AuditCommand::Log(args) => snapshot.read(|tx| show_log(args, tx)),
        AuditCommand::Verify { json } => {
            let missing = snapshot.missing_tables()?;
            if missing.is_empty() {
                show_verdict(&snapshot, data, *json)
            } else {
                show_missing(&missing, *json)
            }
        }
    }
}

/// A day begins at midnight in the clinic.
fn time(text: &str) -> Result<Timestamp, String> {
    if let Ok(day) = text.parse() {
        // A date with a time also parses as a date.
        if text.len() <= "2026-03-06".len() {
            return Ok(start_of_day(day));
        }
    }
    if let Some(time) = as_shown(text) {
        return Ok(time);
    }
    Timestamp::parse(text).map_err(|why| why.to_string())
}

/// `24/11/2026`, `24/11/2026 08:00:00` or `24/11/2026 08:00:00 -03:00`: as the log is printed, the
/// clinic's time.
fn as_shown(text: &str) -> Option<Timestamp> {
    let text = text.strip_suffix(CLINIC_OFFSET).unwrap_or(text).trim_end();
    let (date, time) = text.split_once(' ').unwrap_or((text, ""));
    let mut parts = date.split('/');
    let (day, month, year) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let iso = format!("{year}-{month:0>2}-{day:0>2}");
    if time.is_empty() {
        return iso.parse().ok().map(start_of_day);
    }
    Timestamp::parse(&format!("{iso}T{time}")).ok()
}

/// A mistyped action would show nothing, as if nothing had happened.
fn action(prefix: &str) -> Result<String, String> {
    audit::known_prefix(prefix).map_err(|near| {
        let near = near.join(", ");
        format!("no action begins like this; there are {near}")
    })?;
    Ok(prefix.to_owned())
}

fn show_log(args: &LogArgs, tx: &ReadTx<'_>) -> Result<(), Failure> {
    let patient_id = args.patient.as_deref().map(|dni| patient_id(tx, dni));
    let actor = args.actor.as_deref().map(|who| actor(tx, who));
    let filter = AuditFilter {
        patient_id: patient_id.transpose()?,
        actor: actor.transpose()?,
        action: args.action.clone(),
        outcome: args.outcome.clone(),
        since: args.since,
        until: args.until,
        before: args.before,
        // One more tells whether there are more.
        limit: args.limit + 1,
    };
    let mut rows = list(tx, &filter)?;
    let cut = rows.len() > args.limit as usize;
    rows.truncate(args.limit as usize);
    let mut names = Names::new(tx);
    for row in &rows {
        let (who, whose) = names.of(row)?;
        if args.json {
            output::json_line(&Shown {
                time: Timestamp(row.at).to_rfc3339(),
                actor: &who,
                patient: whose.as_deref(),
                row,
            })?;
        } else {
            output::line(&text(row, &who, whose.as_deref()))?;
        }
    }
    if cut && let Some(last) = rows.last() {
        tell_of_more(last.seq, args.json);
    }
    Ok(())
}

/// On standard error, so that what is printed stays one entry a line.
fn tell_of_more(last: i64, json: bool) {
    if json {
        eprintln!("{}", serde_json::json!({"more": true, "before": last}));
    } else {
        eprintln!("There are older ones: --before {last}, or a greater --limit.");
    }
}

fn patient_id(tx: &ReadTx<'_>, dni: &str) -> Result<i64, Failure> {
    let found = patients::by_dni(tx, dni)?;
    let found = found.ok_or_else(|| Failure::new(format!("there is no patient {dni}")))?;
    Ok(found.id)
}

fn actor(tx: &ReadTx<'_>, who: &str) -> Result<(String, Option<i64>), Failure> {
    let id = match who.split_once(':') {
        Some(("patient", dni)) => Some(patient_id(tx, dni)?),
        Some(("staff", name)) => {
            let found = staff::by_name(tx, name)?;
            let missing = || Failure::new(format!("there is nobody called {name} among the staff"));
            Some(found.ok_or_else(missing)?.id)
        }
        None if ["operator", "system", "anonymous", "patient", "staff"].contains(&who) => None,
        _ => {
            return Err(Failure::usage(
                "--actor is patient:DNI, staff:USERNAME, operator, system or anonymous",
            ));
        }
    };
    let kind = who.split(':').next().unwrap_or_default();
    Ok((kind.to_owned(), id))
}

/// An entry as a script reads it: the stored fields, and names for the ids.
#[derive(Serialize)]
struct Shown<'a> {
    time: String,
    actor: &'a str,
    patient: Option<&'a str>,
    #[serde(flatten)]
    row: &'a AuditRow,
}

fn text(row: &AuditRow, who: &str, whose: Option<&str>) -> String {
    let time = Timestamp(row.at).to_argentina();
    let mut line = format!(
        "{} {time} {CLINIC_OFFSET} {who} {} {}",
        row.seq, row.action, row.outcome
    );
    let object = row.object_kind.as_deref().zip(row.object_id);
    let object = object.map(|(kind, id)| format!("{kind} {id}"));
    let facts = [
        (" of patient ", whose),
        (" on ", object.as_deref()),
        (" from ", row.address.as_deref()),
        (": ", row.detail.as_deref()),
    ];
    for (before, fact) in facts {
        if let Some(fact) = fact {
            line.push_str(before);
            line.push_str(fact);
        }
    }
    line
}

/// Names of patients and staff, each looked up once: entries hold ids only.
struct Names<'a> {
    tx: &'a ReadTx<'a>,
    patients: HashMap<i64, String>,
    staff: HashMap<i64, String>,
}

impl<'a> Names<'a> {
    fn new(tx: &'a ReadTx<'a>) -> Self {
        Self {
            tx,
            patients: HashMap::new(),
            staff: HashMap::new(),
        }
    }

    /// Who did it, and whose data it was.
    fn of(&mut self, row: &AuditRow) -> Result<(String, Option<String>), StoreError> {
        let who = match (row.actor_kind.as_str(), row.actor_id) {
            ("patient", Some(id)) => format!("patient:{}", self.patient(id)?),
            ("staff", Some(id)) => format!("staff:{}", self.staff(id)?),
            (kind, _) => kind.to_owned(),
        };
        let whose = row.patient_id.map(|id| self.patient(id)).transpose()?;
        Ok((who, whose))
    }

    fn patient(&mut self, id: i64) -> Result<String, StoreError> {
        if let Some(name) = self.patients.get(&id) {
            return Ok(name.clone());
        }
        let found = patients::login_by_id(self.tx, id)?;
        let name = found.map_or_else(|| format!("#{id}"), |patient| patient.dni);
        self.patients.insert(id, name.clone());
        Ok(name)
    }

    fn staff(&mut self, id: i64) -> Result<String, StoreError> {
        if let Some(name) = self.staff.get(&id) {
            return Ok(name.clone());
        }
        let found = staff::by_id(self.tx, id)?;
        let name = found.map_or_else(|| format!("#{id}"), |staff| staff.username);
        self.staff.insert(id, name.clone());
        Ok(name)
    }
}

/// A log that was removed as a whole is no failure of the disk.
fn show_missing(tables: &[String], json: bool) -> Result<(), Failure> {
    let gone = |table: &String| format!("somebody removed the table {table}");
    let problems: Vec<_> = tables.iter().map(gone).collect();
    if json {
        let report = AuditReport {
            problems,
            ..AuditReport::default()
        };
        output::json(&report)?;
    } else {
        output::line(&problems.join("\n"))?;
    }
    Err(Failure::problems())
}

fn show_verdict(snapshot: &Snapshot, data: &DataDir, json: bool) -> Result<(), Failure> {
    let key = data.audit_key()?;
    let report = snapshot.verify_audit(data.path(), key)?;
    if json {
        output::json(&report)?;
    } else if report.problems.is_empty() {
        output::line(&format!(
            "The audit log is whole: {} entries.",
            report.entries
        ))?;
        for unknown in &report.unknown {
            output::line(&format!("But {unknown}."))?;
        }
    } else {
        for problem in &report.problems {
            output::line(problem)?;
        }
    }
    if report.problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::problems())
    }
}

#[cfg(test)]
mod tests {
    use super::{CLINIC_OFFSET, time};

    #[test]
    fn times_are_days_wall_times_or_instants() {
        let at = |text| time(text).unwrap().to_rfc3339();
        assert_eq!(at("2026-03-06"), "2026-03-06T03:00:00.000Z");
        assert_eq!(at("2026-03-06T08:00"), "2026-03-06T11:00:00.000Z");
        assert_eq!(at("2026-03-06T11:00:00Z"), "2026-03-06T11:00:00.000Z");
        assert_eq!(at("06/03/2026"), "2026-03-06T03:00:00.000Z");
        assert_eq!(at("6/3/2026 08:00:00"), "2026-03-06T11:00:00.000Z");
        assert_eq!(at("06/03/2026 08:00:00 -03:00"), "2026-03-06T11:00:00.000Z");
        let offset = format!("{}", crate::domain::time::ARGENTINA);
        assert!(CLINIC_OFFSET.starts_with(&offset), "{offset}");
        for bad in [
            "",
            "yesterday",
            "2026-13-01",
            "31/02/2026",
            "06/03/26",
            "1/2/3/4",
            "06/03/2026 25:00",
        ] {
            assert!(time(bad).is_err(), "{bad}");
        }
    }
}
