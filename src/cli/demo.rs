//! `islet demo`: a clinic of invented people, made where there is none, then served.

use std::fmt::Write;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::Arc;

use jiff::civil::Date;

use super::founding::{First, NewNode};
use super::serve::{self, ServeArgs, Url};
use super::{DataDir, Failure, founding, output};
use crate::auth::{Random, SystemRandom};
use crate::clock::{Clock, SystemClock};
use crate::demo::{self, DemoError, DemoSize, Login, Plan};
use crate::domain::actor::Role;
use crate::store::{Snapshot, StoreError, replica};

/// Options of `islet demo`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  islet --data /tmp/demo demo
  islet --data /tmp/demo demo --seed 7 --http 127.0.0.1:0 --backoffice 127.0.0.1:0 --https off

A directory that holds a demo already is served as it is; one that holds a real node is refused.
Prints addresses and log-ins, and the line that `islet serve` prints when it is ready.")]
pub(super) struct DemoArgs {
    /// The same seed on the same day makes the same clinic [default: by chance]
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Make the clinic and print the log-ins, without serving it
    #[arg(long)]
    load_only: bool,
    #[command(flatten)]
    serve: ServeArgs,
}

/// A demo that is there.
struct Found {
    seed: u64,
    last_day: Date,
}

/// Runs `islet demo` until a signal.
///
/// # Errors
/// When the directory holds a node that is no demo, or it cannot be served.
pub(super) fn run(args: &DemoArgs, data: &DataDir) -> Result<(), Failure> {
    if !data.holds_node() {
        make(args.seed, data)?;
        if !args.load_only {
            start_afresh();
        }
    }
    let found = look(data)?;
    if let Some(wanted) = args.seed
        && wanted != found.seed
    {
        let (dir, seed) = (data.path().display(), found.seed);
        return Err(Failure::usage(format!(
            "{dir} holds the demo with seed {seed}: leave --seed out, or use another directory"
        )));
    }
    let logins = log_ins(&demo::logins(found.seed)?);
    let title = title(&found, data);
    if args.load_only {
        return output::line(&format!("{title}\n{logins}"));
    }
    serve::run_telling(&args.serve, data, &|urls| {
        Some(format!("{title}\n{}\n{logins}", addresses(urls)))
    })
}

/// Goes on as a new process in the place of this one, which finds the clinic made: the allocator
/// would keep what the loader took, three times what the node needs. Comes back only when that
/// cannot be; then the node serves with more memory.
fn start_afresh() {
    let mut words = std::env::args_os();
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = words.next() {
        command.arg0(name);
    }
    let error = command.args(words).exec();
    eprintln!("islet: going on with the memory of the loader: {error}");
}

fn make(seed: Option<u64>, data: &DataDir) -> Result<(), Failure> {
    let seed = match seed {
        Some(seed) => seed,
        None => {
            // Short enough to be typed again.
            let mut bytes = [0; 4];
            let filled = SystemRandom.fill(&mut bytes);
            filled.map_err(|error| Failure::new(error.to_string()))?;
            u32::from_le_bytes(bytes).into()
        }
    };
    let new = NewNode {
        clinic: "Clínica Demo".to_owned(),
        hosts: Vec::new(),
    };
    let plan = Plan {
        seed,
        today: SystemClock.now().day(),
        size: DemoSize::FULL,
    };
    founding::create(data, &new, First::Demo(plan))?;
    Ok(())
}

fn look(data: &DataDir) -> Result<Found, Failure> {
    let snapshot = Snapshot::open(data.path(), Arc::new(SystemClock))?;
    let found = snapshot.read(|tx| {
        let founded = replica::get(tx)?.created_at;
        Ok::<_, StoreError>(demo::seed_of(tx)?.map(|seed| Found {
            seed,
            last_day: demo::last_day(founded),
        }))
    })?;
    found.ok_or_else(|| {
        let dir = data.path().display();
        Failure::new(format!(
            "{dir} holds a node that is no demo: run it with `islet serve`, or use another \
             directory for the demo"
        ))
    })
}

fn title(found: &Found, data: &DataDir) -> String {
    let Found { seed, last_day } = found;
    let dir = data.path().display();
    let mut text = format!(
        "Demo clinic, seed {seed}, in {dir}. All people are invented; readings end on {last_day}.\n"
    );
    if last_day
        .tomorrow()
        .is_ok_and(|day| day < SystemClock.now().day())
    {
        let _ = writeln!(
            text,
            "For readings up to today, remove {dir} and run this again."
        );
    }
    text
}

fn addresses(urls: &[Url]) -> String {
    let mut text = String::from("Addresses\n");
    for Url {
        name,
        url,
        fingerprint,
    } in urls
    {
        let what = match name.trim_end() {
            "" => "patients' app",
            "backoffice" => "back office",
            // For other nodes, not for people.
            "peer" => continue,
            _ => "both, encrypted",
        };
        let _ = writeln!(text, "  {what:<16} {url}");
        if let Some(fingerprint) = fingerprint {
            let _ = writeln!(
                text,
                "  {:<16} {url}/ca  (SHA-256 {fingerprint})",
                "to trust it"
            );
        }
    }
    text
}

/// Who can log in, for people to read.
fn log_ins(logins: &[Login]) -> String {
    let (patients, staff): (Vec<_>, Vec<_>) =
        logins.iter().partition(|login| login.role == Role::Patient);
    let mut text = String::from("Log-ins of the back office\n");
    for login in staff {
        let (name, password) = (&login.name, login.password.expose());
        let _ = writeln!(text, "  {name:<20} {password:<26} {}", login.remark);
    }
    let password = patients.first().map_or("", |login| login.password.expose());
    let _ = writeln!(
        text,
        "\nLog-ins of patients, all with the password {password}"
    );
    for login in patients {
        let line = format!("  {:<20} {:<26} {}", login.name, login.person, login.remark);
        let _ = writeln!(text, "{}", line.trim_end());
    }
    text
}

impl From<DemoError> for Failure {
    fn from(error: DemoError) -> Self {
        match error {
            DemoError::Failed(error) => error.into(),
            other => Self::new(other.to_string()),
        }
    }
}
