//! `islet config`: what holds, and whether it can. What `islet serve` would refuse is a mistake here.

use super::data_dir::CONFIG_FILE;
use super::{DataDir, Failure, certificates, output, post};
use crate::config::Config;

/// Subcommands of `islet config`.
#[derive(Debug, clap::Subcommand)]
#[command(
    after_help = "The configuration is DIR/config.toml, then environment variables (ISLET_HTTP \
for the key http, ISLET_MAIL_HOST for host in [mail]), then flags."
)]
pub(super) enum ConfigCommand {
    /// Find mistakes: unknown keys, values that cannot work, and what the node in the directory
    /// cannot do; exits with 3 when there are any
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
        ConfigCommand::Check { json } => check(loaded, data, *json),
        ConfigCommand::Show { json: true } => output::json(&loaded?),
        ConfigCommand::Show { json: false } => output::line(loaded?.to_toml()?.trim_end()),
    }
}

/// What is wrong with the configuration, by itself and for the node in the directory.
pub(super) fn problems(loaded: Result<Config, Failure>, data: &DataDir) -> Vec<String> {
    match loaded {
        Err(failure) => failure.text.lines().map(str::to_owned).collect(),
        Ok(config) if data.holds_node() => {
            let mut found = match config.https.get() {
                None => Vec::new(),
                Some(_) => certificates::unvouched(data, &config),
            };
            let mail = post::office(data, &config);
            found.extend(mail.err().map(|failure| failure.text));
            found
        }
        Ok(_) => Vec::new(),
    }
}

fn check(loaded: Result<Config, Failure>, data: &DataDir, json: bool) -> Result<(), Failure> {
    let (file, problems) = (data.join(CONFIG_FILE), problems(loaded, data));
    if json {
        output::json(&serde_json::json!({"file": file, "problems": problems}))?;
    } else if problems.is_empty() {
        let source = if file.exists() {
            ""
        } else {
            " (there is no such file)"
        };
        output::line(&format!("{}: no mistakes{source}", file.display()))?;
    } else {
        output::line(&problems.join("\n"))?;
    }
    if problems.is_empty() {
        Ok(())
    } else {
        Err(Failure::problems())
    }
}
