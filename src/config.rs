//! What the operator can choose: one struct, filled from defaults, `config.toml`, the environment
//! and flags, each winning over the one before.
//!
//! Must never hold a secret (passwords are in files that it names), take an unknown key, or go on
//! with a value that cannot work. `config/default.toml` documents every key with its default; a
//! test proves that it tells the truth.

mod address;
mod check;
mod environment;
mod file;
#[cfg(test)]
mod tests;

use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use thiserror::Error;

pub use address::Address;
pub use environment::islet_variables;

use crate::auth::throttle::ThrottleLimits;
use crate::http::listen::ConnectionLimits;
use crate::limits;
use crate::service::Lifetimes;

/// Documents every key; `islet init` writes it into the data directory.
pub const DEFAULT_FILE: &str = include_str!("config/default.toml");

/// Everything that can be configured. `config/default.toml` says what each key means.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Name of the clinic.
    pub clinic: String,
    /// Patients' API without encryption.
    pub http: Address,
    /// Back office without encryption.
    pub backoffice: Address,
    /// Both, encrypted.
    pub https: Address,
    /// Where the other nodes of the network connect.
    pub peer: Address,
    /// Nodes of the network find each other on the LAN by themselves.
    pub discovery: bool,
    /// Plain HTTP may be reached from other machines.
    pub allow_plain_lan: bool,
    /// More names and addresses for the certificate.
    pub hosts: Vec<String>,
    /// Origins of browser pages that may call the API.
    pub cors_origins: Vec<String>,
    /// Threads that answer requests.
    pub workers: usize,
    /// Level, or `tracing` directives.
    pub log: String,
    /// How a log line looks.
    pub log_format: LogFormat,
    /// Life of tokens and codes.
    pub tokens: Tokens,
    /// Throttle of failed log-ins.
    pub login: Login,
    /// Bounds on connections.
    pub connections: Connections,
    /// The mail server.
    pub mail: MailServer,
}

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

/// Life of tokens and codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Tokens {
    /// Access tokens.
    pub access_minutes: u32,
    /// Refresh tokens, from their last use.
    pub refresh_days: u32,
    /// Links in patients' recovery mails.
    pub patient_recovery_minutes: u32,
    /// Links in staff's recovery mails.
    pub staff_recovery_minutes: u32,
    /// One-time codes from the desk.
    pub desk_code_hours: u32,
}

/// Throttle of failed log-ins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Login {
    /// Failures of one account within the window.
    pub account_failures_max: usize,
    /// Accounts with failures of one address within the window.
    pub address_failures_max: usize,
    /// How long a failure counts.
    pub window_s: u32,
}

/// Bounds on connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Connections {
    /// In all.
    pub total_max: usize,
    /// Of one address.
    pub per_address_max: usize,
    /// Of this machine itself.
    pub loopback_max: usize,
}

/// The mail server; no mail is sent when `host` is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct MailServer {
    /// Name or address.
    pub host: String,
    /// How the connection is encrypted.
    pub tls: MailTls,
    /// TCP port.
    pub port: u16,
    /// Log-in name, or empty.
    pub user: String,
    /// File that holds the password, or empty.
    pub password_file: String,
    /// Sender.
    pub from: String,
    /// Where patients reach the node.
    pub patient_url: String,
    /// Where staff choose a new password.
    pub staff_url: String,
}

/// How the connection to the mail server is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum MailTls {
    /// From the first byte.
    Tls,
    /// After STARTTLS, which the server must offer.
    Starttls,
    /// Not at all: for a mail server on this machine.
    None,
}

/// Why a configuration cannot be used: every problem, each saying where it is and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(pub Vec<String>);

impl Default for Config {
    fn default() -> Self {
        Self {
            clinic: "Clínica".into(),
            http: Address::loopback(8000),
            backoffice: Address::loopback(8001),
            https: Address::any(8443),
            peer: Address::any(8444),
            discovery: true,
            allow_plain_lan: false,
            hosts: Vec::new(),
            // The phone app in its browser builds and web views, and the old back-office page.
            cors_origins: [
                "http://localhost:4200",
                "http://localhost:8100",
                "http://localhost:3000",
                "https://localhost",
                "capacitor://localhost",
                "ionic://localhost",
            ]
            .map(str::to_owned)
            .to_vec(),
            workers: limits::WORKERS,
            log: "info".into(),
            log_format: LogFormat::Text,
            tokens: Tokens::default(),
            login: Login::default(),
            connections: Connections::default(),
            mail: MailServer::default(),
        }
    }
}

impl Default for Tokens {
    fn default() -> Self {
        Self {
            access_minutes: 30,
            refresh_days: 7,
            patient_recovery_minutes: 15,
            staff_recovery_minutes: 5,
            desk_code_hours: 24,
        }
    }
}

impl Default for Login {
    fn default() -> Self {
        Self {
            account_failures_max: limits::LOGIN_ACCOUNT_FAILURES_MAX,
            address_failures_max: limits::LOGIN_ADDRESS_FAILURES_MAX,
            window_s: 60,
        }
    }
}

impl Default for Connections {
    fn default() -> Self {
        Self {
            total_max: limits::CONNECTIONS_MAX,
            per_address_max: limits::CONNECTIONS_PER_ADDRESS_MAX,
            loopback_max: limits::CONNECTIONS_LOOPBACK_MAX,
        }
    }
}

impl Default for MailServer {
    fn default() -> Self {
        Self {
            host: String::new(),
            tls: MailTls::Tls,
            port: 465,
            user: String::new(),
            password_file: String::new(),
            from: String::new(),
            patient_url: String::new(),
            staff_url: String::new(),
        }
    }
}

impl Config {
    /// Defaults, then `file` where it exists, then `environment` (see [`islet_variables`]), then
    /// `flags`.
    ///
    /// # Errors
    /// All problems of all of these, and of the result.
    pub fn load(
        file: &Path,
        environment: &[(String, String)],
        flags: impl FnOnce(&mut Self),
    ) -> Result<Self, ConfigError> {
        let (config, mut problems) = file::read(file);
        let (mut config, of_variables) = environment::apply(config, environment);
        flags(&mut config);
        problems.extend(of_variables);
        problems.extend(check::problems(&config));
        if problems.is_empty() {
            Ok(config)
        } else {
            Err(ConfigError(problems))
        }
    }

    /// As a configuration file with every key.
    ///
    /// # Errors
    /// Never in practice: each value has a TOML form.
    pub fn to_toml(&self) -> Result<String, ConfigError> {
        toml::to_string(self).map_err(|error| ConfigError(vec![error.to_string()]))
    }

    /// The commented default file with `clinic` and `hosts` set.
    #[must_use]
    pub fn new_file(clinic: &str, hosts: &[String]) -> String {
        let quoted = |text: &str| toml::Value::String(text.to_owned()).to_string();
        let hosts: Vec<String> = hosts.iter().map(|host| quoted(host)).collect();
        let mut text = String::with_capacity(DEFAULT_FILE.len() + 100);
        for line in DEFAULT_FILE.lines() {
            if line.starts_with("#clinic = ") {
                text.push_str(&format!("clinic = {}", quoted(clinic)));
            } else if line.starts_with("#hosts = ") && !hosts.is_empty() {
                text.push_str(&format!("hosts = [{}]", hosts.join(", ")));
            } else {
                text.push_str(line);
            }
            text.push('\n');
        }
        text
    }

    /// The commented default file of a node that joins a network, with what its nodes have alike.
    #[must_use]
    pub fn inherited_file(clinic: &str, tokens: &Tokens) -> String {
        let mut text = Self::new_file(clinic, &[]);
        for (key, value) in [
            ("access_minutes", tokens.access_minutes),
            ("refresh_days", tokens.refresh_days),
            ("patient_recovery_minutes", tokens.patient_recovery_minutes),
            ("staff_recovery_minutes", tokens.staff_recovery_minutes),
            ("desk_code_hours", tokens.desk_code_hours),
        ] {
            let default = format!("\n#{key} = ");
            if let Some(at) = text.find(&default) {
                let end = text[at + 1..]
                    .find('\n')
                    .map_or(text.len(), |end| at + 1 + end);
                text.replace_range(at + 1..end, &format!("{key} = {value}"));
            }
        }
        text
    }

    /// How long tokens and codes live.
    #[must_use]
    pub fn lifetimes(&self) -> Lifetimes {
        let minutes = |count: u32| Duration::from_secs(u64::from(count) * 60);
        let tokens = self.tokens;
        Lifetimes {
            access: minutes(tokens.access_minutes),
            refresh: minutes(24 * 60) * tokens.refresh_days,
            patient_recovery: minutes(tokens.patient_recovery_minutes),
            staff_recovery: minutes(tokens.staff_recovery_minutes),
            desk_code: minutes(60) * tokens.desk_code_hours,
        }
    }

    /// Bounds of the log-in throttle.
    #[must_use]
    pub fn throttle(&self) -> ThrottleLimits {
        ThrottleLimits {
            account_failures: self.login.account_failures_max,
            address_failures: self.login.address_failures_max,
            window_ms: u64::from(self.login.window_s) * 1_000,
            ..ThrottleLimits::default()
        }
    }

    /// Bounds on connections.
    #[must_use]
    pub fn connection_limits(&self) -> ConnectionLimits {
        ConnectionLimits {
            total: self.connections.total_max,
            per_address: self.connections.per_address_max,
            loopback: self.connections.loopback_max,
            ..ConnectionLimits::default()
        }
    }
}
