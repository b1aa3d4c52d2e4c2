//! `islet doctor`: looks for what is wrong with a node and says what to do about it. Works beside
//! a running node and changes nothing.

mod accounts;
mod database;
mod machine;
mod mail;
mod network;

use serde::Serialize;

use super::{DataDir, Failure, output};

/// Options of `islet doctor`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Exit codes: 0 nothing failed (there may be warnings), 3 something failed, \
or with --strict was warned of."
)]
pub(super) struct DoctorArgs {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    /// Count warnings as problems
    #[arg(long)]
    strict: bool,
}

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
enum Verdict {
    Ok,
    Warn,
    Fail,
}

/// One check.
#[derive(Debug, Serialize)]
struct Finding {
    check: &'static str,
    verdict: Verdict,
    /// What was found and, unless all is well, what to do.
    text: String,
}

impl Finding {
    fn ok(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Ok, text)
    }

    fn warn(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Warn, text)
    }

    fn fail(check: &'static str, text: impl Into<String>) -> Self {
        Self::new(check, Verdict::Fail, text)
    }

    fn new(check: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        Self {
            check,
            verdict,
            text: text.into(),
        }
    }
}

/// Runs `islet doctor`.
///
/// # Errors
/// When there is no node, or a check failed.
pub(super) fn run(args: &DoctorArgs, data: &DataDir) -> Result<(), Failure> {
    data.require_node()?;
    let mut findings = vec![
        machine::permissions(data),
        machine::disk_space(data),
        machine::config(data),
        machine::certificates(data),
        machine::addresses(data),
        mail::server(data),
    ];
    findings.extend(database::check(data));
    findings.extend(network::check(data));
    if args.json {
        output::json(&findings)?;
    } else {
        for finding in &findings {
            let verdict = match finding.verdict {
                Verdict::Ok => "ok  ",
                Verdict::Warn => "WARN",
                Verdict::Fail => "FAIL",
            };
            output::line(&format!(
                "{verdict}  {:<16} {}",
                finding.check, finding.text
            ))?;
        }
    }
    let worst = findings.iter().map(|finding| finding.verdict).max();
    let bearable = if args.strict {
        Verdict::Ok
    } else {
        Verdict::Warn
    };
    if worst <= Some(bearable) {
        Ok(())
    } else {
        Err(Failure::problems())
    }
}
