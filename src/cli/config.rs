//! `islet config`: what holds, and whether it can.

use super::data_dir::CONFIG_FILE;
use super::{DataDir, Failure, output};

/// Subcommands of `islet config`.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "The configuration is DIR/config.toml, then environment variables (ISLET_HTTP \
for the key http, ISLET_MAIL_HOST for host in [mail]), then flags."
)]
pub(super) enum ConfigCommand {
    /// Find mistakes: unknown keys, values that cannot work; exits with 3 when there are any
    Check {
        /// Print the result as JSON
        #[arg(long)]
        json: bool,
    },
    /// Print every key with the value that holds
    Show {
        /// Print JSON instead of TOML
        #[arg(long)]
        json: bool,
    },
}

/// Runs `islet config …`.
///
/// # Errors
/// When the configuration has mistakes.
pub(super) fn run(command: &ConfigCommand, data: &DataDir) -> Result<(), Failure> {
    let loaded = data.config(|_| {});
    match command {
        ConfigCommand::Show { json: true } => output::json(&loaded?),
        ConfigCommand::Show { json: false } => output::line(loaded?.to_toml()?.trim_end()),
        ConfigCommand::Check { json: true } => {
            let text = loaded.err().map(|failure| failure.text).unwrap_or_default();
            let problems: Vec<_> = text.lines().collect();
            let file = data.join(CONFIG_FILE);
            output::json(&serde_json::json!({"file": file, "problems": problems}))?;
            if problems.is_empty() {
                Ok(())
            } else {
                Err(Failure::problems())
            }
        }
        ConfigCommand::Check { json: false } => match loaded {
            Ok(_) => {
                let file = data.join(CONFIG_FILE);
                let source = if file.exists() {
                    ""
                } else {
                    " (there is no such file)"
                };
                output::line(&format!("{}: no mistakes{source}", file.display()))
            }
            Err(failure) => {
                output::line(&failure.text)?;
                Err(Failure::problems())
            }
        },
    }
}
