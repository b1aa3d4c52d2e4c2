//! The command line: one file per subcommand.
//!
//! Commands print what was asked for on standard output and everything else on standard error,
//! and end with a documented exit code. Must never print a secret that the operator did not ask
//! for, nor take one from an argument, where every user of the machine can read it.

mod ask;
mod audit;
mod certificates;
mod config;
mod conflicts;
pub mod control;
mod data_dir;
mod demo;
mod doctor;
mod failure;
mod files;
pub mod founding;
mod init;
mod invite;
mod join;
mod log;
mod network;
mod new_authority;
pub mod node;
mod output;
mod peers;
mod post;
mod progress;
mod seed;
mod serve;
mod sync;
mod user;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use clap_complete::Shell;

pub use data_dir::DataDir;
pub use failure::{Exit, Failure};

const AFTER_HELP: &str = "Examples:
  islet --data /var/lib/islet init        make a node
  islet --data /var/lib/islet serve       run it
  islet --data /var/lib/islet doctor      look for what is wrong

Exit codes:
   0  done
   1  it could not be done; the text says why
   2  the command line makes no sense
   3  it was done and found problems (audit verify, doctor, config check)
  70  the node found a defect of its own; start it again and report it with the log
  74  the database or the disk failed; see the log and `islet doctor`
  77  this user may not: run it as the user that the node belongs to";

/// The edge node of a diabetes clinic: patients, glucose readings and the appointment queue on
/// one small computer.
#[derive(Debug, Parser)]
#[command(name = "islet", version, after_help = AFTER_HELP, max_term_width = 100)]
struct Cli {
    /// Directory that holds the node
    #[arg(long, global = true, env = "ISLET_DATA", value_name = "DIR")]
    data: Option<PathBuf>,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Make a new node with its first admin
    Init(init::InitArgs),
    /// Run the node until SIGTERM or SIGINT
    Serve(serve::ServeArgs),
    /// Make a code by which another computer joins the network of this node
    Invite(invite::InviteArgs),
    /// Make a new node that belongs to the network of another, by its code
    Join(join::JoinArgs),
    /// List the nodes of the network, rename or remove one
    Peers(peers::PeersArgs),
    /// Exchange with one peer now
    Sync(sync::SyncArgs),
    /// Show and settle what contradicts after nodes met again
    Conflicts(conflicts::ConflictsArgs),
    /// Run a clinic of invented people, to try Islet out
    Demo(demo::DemoArgs),
    /// Load well-known log-ins for tests into an empty node
    #[command(long_about = seed::HELP)]
    Seed,
    /// Add, block and list accounts, and help with forgotten passwords
    #[command(subcommand)]
    User(user::UserCommand),
    /// Read and verify the audit log
    #[command(subcommand)]
    Audit(audit::AuditCommand),
    /// Look for what is wrong with the node
    Doctor(doctor::DoctorArgs),
    /// Make another certificate authority, when the old one was lost or cannot do
    NewAuthority(new_authority::NewAuthorityArgs),
    /// Check or show the configuration
    #[command(subcommand)]
    Config(config::ConfigCommand),
    /// Print a completion script for a shell
    #[command(after_help = "Example:
  islet completions bash > /etc/bash_completion.d/islet")]
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// Reads the command line and runs it.
#[must_use]
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    // Everything that a node writes is private, the database and its logs too.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let Err(failure) = run(&cli) else {
        return ExitCode::SUCCESS;
    };
    if !failure.text.is_empty() {
        eprintln!("islet: {}", failure.text);
    }
    ExitCode::from(failure.exit as u8)
}

fn run(cli: &Cli) -> Result<(), Failure> {
    let data = || {
        let missing = "say where the node is: --data DIR, or the variable ISLET_DATA";
        let path = cli.data.clone().filter(|path| !path.as_os_str().is_empty());
        let data = path.map(DataDir::new);
        let data = data.ok_or_else(|| Failure::usage(missing))?;
        data.check_usable()?;
        Ok::<_, Failure>(data)
    };
    match &cli.command {
        Command::Init(args) => init::run(args, &data()?),
        Command::Serve(args) => serve::run(args, &data()?),
        Command::Invite(args) => invite::run(args, &data()?),
        Command::Join(args) => join::run(args, &data()?),
        Command::Peers(args) => peers::run(args, &data()?),
        Command::Sync(args) => sync::run(args, &data()?),
        Command::Conflicts(args) => conflicts::run(args, &data()?),
        Command::Demo(args) => demo::run(args, &data()?),
        Command::Seed => seed::run(&data()?),
        Command::User(command) => user::run(command, &data()?),
        Command::Audit(command) => audit::run(command, &data()?),
        Command::Doctor(args) => doctor::run(args, &data()?),
        Command::NewAuthority(args) => new_authority::run(args, &data()?),
        Command::Config(command) => config::run(command, &data()?),
        Command::Completions { shell } => {
            let mut script = Vec::new();
            clap_complete::generate(*shell, &mut Cli::command(), "islet", &mut script);
            output::line(String::from_utf8_lossy(&script).trim_end())
        }
    }
}
