//! `islet demo`: a clinic of invented people, made where there is none, then served.

use std::sync::Arc;

use super::founding::{First, NewNode};
use super::serve::{self, ServeArgs};
use super::{DataDir, Failure, founding, output};
use crate::clock::{Clock, SystemClock};
use crate::demo::{self, Plan};
use crate::domain::actor::Role;
use crate::store::Snapshot;

/// Options of `islet demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  islet --data /tmp/demo demo
  islet --data /tmp/demo demo --seed 7 --http 127.0.0.1:0 --backoffice 127.0.0.1:0 --https off

A directory that holds a demo already is served as it is.")]
pub(super) struct DemoArgs {
    /// The same seed at the same moment makes the same clinic
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Make the clinic and print the log-ins, without serving it
    #[arg(long)]
    load_only: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// Runs `islet demo` until a signal.
///
/// # Errors
/// When the directory holds a node that is no demo, or it cannot be served.
pub(super) fn run(args: &DemoArgs, data: &DataDir) -> Result<(), Failure> {
    let seed = if data.holds_node() {
        existing_seed(data)?
    } else {
        let new = NewNode {
            clinic: "Clínica Demo".to_owned(),
            hosts: Vec::new(),
        };
        founding::create(
            data,
            &new,
            First::Demo(Plan::full(args.seed, SystemClock.now())),
        )?;
        args.seed
    };
    output::line(&table(seed))?;
    if args.load_only {
        Ok(())
    } else {
        serve::run(&args.serve, data)
    }
}

fn existing_seed(data: &DataDir) -> Result<u64, Failure> {
    let snapshot = Snapshot::open(data.path(), Arc::new(SystemClock))?;
    snapshot.read(|tx| demo::seed_of(tx))?.ok_or_else(|| {
        let dir = data.path().display();
        Failure::new(format!(
            "{dir} holds a node that is no demo: use another directory"
        ))
    })
}

/// Who can log in, for people to read.
fn table(seed: u64) -> String {
    let mut text = String::from("Log-ins of the demo (all people are invented):\n\n");
    let row = |a: &str, b: &str, c: &str, d: &str| format!("  {a:<14} {b:<20} {c:<18} {d}\n");
    text.push_str(&row("log-in", "password", "who", "where"));
    for login in demo::logins(seed) {
        let place = match login.role {
            Role::Patient if login.blocked => "patients (blocked)",
            Role::Patient => "patients",
            Role::Staff => "back office",
            Role::Admin => "back office, admin",
        };
        text.push_str(&row(&login.name, &login.password, &login.person, place));
    }
    text
}
