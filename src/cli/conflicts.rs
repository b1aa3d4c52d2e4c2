//! `islet conflicts`: what contradicts after nodes met again, to be settled by people.

use super::control::{Request, Response, perform};
use super::{DataDir, Failure, output};
use crate::http::v1::conflicts::{ConflictDto, ConflictsDto};
use crate::limits;

/// Options of `islet conflicts`.
#[derive(Debug, clap::Args)]
#[command(
    args_conflicts_with_subcommands = true,
    after_help = "All of these work while the node runs. What is settled here travels to the other nodes.
Examples:
  islet --data /var/lib/islet conflicts
  islet --data /var/lib/islet conflicts show reading-5
  islet --data /var/lib/islet conflicts settle reading-5 --choice 1.57 --reason 'asked the patient'
  islet --data /var/lib/islet conflicts settle patient_dni-9 --reason 'one person, two cards'"
)]
pub(super) struct ConflictsArgs {
    #[command(subcommand)]
    command: Option<ConflictsCommand>,
    #[command(flatten)]
    list: ListArgs,
}

#[derive(Debug, clap::Subcommand)]
enum ConflictsCommand {
    /// List what is open
    List(ListArgs),
    /// Show one, open or settled
    Show {
        /// Its id, as the list shows it
        #[arg(value_name = "ID")]
        id: String,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Settle one, with a reason
    #[command(
        long_about = "Settles a conflict. Of a reading, a place in the queue or a resolution, say with \
--choice which of the candidates is right. Of a pair, such as two accounts with one e-mail address, first do \
what is to be done, then acknowledge it with a reason alone."
    )]
    Settle(SettleArgs),
}

#[derive(Debug, clap::Args)]
struct ListArgs {
    /// Most that are shown
    #[arg(long, value_name = "N", default_value_t = limits::CONFLICTS_PAGE.0,
          value_parser = clap::value_parser!(u32).range(1..=i64::from(limits::CONFLICTS_PAGE.1)))]
    limit: u32,
    /// Only those after ID: the next page
    #[arg(long, value_name = "ID")]
    after: Option<String>,
    /// Print one JSON object, as /v1/conflicts answers
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
struct SettleArgs {
    /// Its id, as the list shows it
    #[arg(value_name = "ID")]
    id: String,
    /// The candidate that is right, as the list names it
    #[arg(long, value_name = "CANDIDATE")]
    choice: Option<String>,
    /// Why so, for whoever asks later
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Of a reading, the right value in mg/dL, when no candidate has it
    #[arg(long, value_name = "MG_DL", requires = "choice")]
    value: Option<f64>,
    /// Print the conflict as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `islet conflicts …`.
///
/// # Errors
/// When there is no such conflict, or it cannot be settled like that.
pub(super) fn run(args: &ConflictsArgs, data: &DataDir) -> Result<(), Failure> {
    match &args.command {
        None => list(&args.list, data),
        Some(ConflictsCommand::List(args)) => list(args, data),
        Some(ConflictsCommand::Show { id, json }) => {
            one(perform(data, Request::ShowConflict(id.clone()))?, *json)
        }
        Some(ConflictsCommand::Settle(args)) => {
            let request = Request::SettleConflict {
                id: args.id.clone(),
                choice: args.choice.clone(),
                reason: args.reason.clone(),
                mg_dl: args.value,
            };
            one(perform(data, request)?, args.json)
        }
    }
}

fn list(args: &ListArgs, data: &DataDir) -> Result<(), Failure> {
    let request = Request::ListConflicts {
        after: args.after.clone(),
        limit: args.limit,
    };
    match perform(data, request)? {
        Response::Conflicts(page) if args.json => output::json(&page),
        Response::Conflicts(page) => output::line(&page_text(&page)),
        other => Err(Failure::new(format!("unexpected answer: {other:?}"))),
    }
}

fn one(response: Response, json: bool) -> Result<(), Failure> {
    match response {
        Response::Conflict(conflict) if json => output::json(&conflict),
        Response::Conflict(conflict) => output::line(&text(&conflict)),
        other => Err(Failure::new(format!("unexpected answer: {other:?}"))),
    }
}

fn page_text(page: &ConflictsDto) -> String {
    if page.total == 0 {
        return "Nothing contradicts.".to_owned();
    }
    if page.items.is_empty() {
        return "There are no more.".to_owned();
    }
    let mut lines: Vec<String> = page.items.iter().map(text).collect();
    if let Some(next) = &page.next {
        lines.push(format!(
            "{} are open in all; go on with --after {next}",
            page.total
        ));
    }
    lines.join("\n\n")
}

fn text(conflict: &ConflictDto) -> String {
    let mut text = conflict.id.clone();
    match &conflict.since {
        Some(since) => text.push_str(&format!("  open since {since}")),
        None => text.push_str("  settled"),
    }
    if let Some(patient) = &conflict.patient {
        text.push_str(&format!(
            "  patient {} {} {}",
            patient.dni, patient.name, patient.surname
        ));
    }
    text.push_str(&format!("\n  {}", conflict.text));
    for candidate in &conflict.candidates {
        let mark = if candidate.shown { "shown now" } else { "" };
        let node = candidate.node.as_deref().unwrap_or("an unknown node");
        text.push_str(&format!(
            "\n  {:<9} {}  {}  ({node}, {})",
            mark, candidate.id, candidate.text, candidate.at
        ));
    }
    for settlement in &conflict.settlements {
        text.push_str(&format!(
            "\n  settled {} by {} on {}: {}",
            settlement.at,
            settlement.staff.as_deref().unwrap_or("the operator"),
            settlement.node.as_deref().unwrap_or("an unknown node"),
            settlement.reason
        ));
    }
    text
}
