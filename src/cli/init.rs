//! `islet init`: makes a new node with its first admin.

use std::path::PathBuf;

use super::data_dir::TLS;
use super::founding::{First, NewNode};
use super::{DataDir, Failure, ask, certificates, founding, output};
use crate::config::Config;
use crate::domain::account::{Email, Username};
use crate::domain::text;
use crate::http::tls::{CertificateAuthority, check_host};

/// Options of `islet init`. What is missing is asked for at a terminal.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  islet --data /var/lib/islet init
  islet --data /var/lib/islet init --admin dra.paz --admin-password-file pw --clinic 'La Paz'
  pass show islet | islet --data /var/lib/islet init --admin dra.paz --admin-password-file -")]
pub(super) struct InitArgs {
    /// User name of the first admin: 3 to 50 letters, digits, dots, dashes or underscores
    #[arg(long, value_name = "USER")]
    admin: Option<String>,
    /// File with the admin's password on one line, at least 12 characters; - is standard input
    #[arg(long, value_name = "FILE")]
    admin_password_file: Option<PathBuf>,
    /// Where the admin's recovery mails go
    #[arg(long, value_name = "EMAIL")]
    admin_email: Option<String>,
    /// Name of the clinic, as patients and staff read it
    #[arg(long)]
    clinic: Option<String>,
    /// Name or address outside the LAN that the node's certificates may name; can be repeated. One
    /// that comes later needs `islet new-authority` and a visit to every phone
    #[arg(long = "host", value_name = "HOST")]
    hosts: Vec<String>,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `islet init`.
///
/// # Errors
/// When the directory holds a node or anything else, or a value cannot be taken.
pub(super) fn run(args: &InitArgs, data: &DataDir) -> Result<(), Failure> {
    founding::refuse_occupied(data)?;
    let config = data.config(|_| {})?;
    let new = new_node(&config, args.clinic.as_deref(), &args.hosts)?;
    let first = founder(args)?;
    let fingerprint = founding::create(data, &new, first)?;
    if let Ok(authority) = CertificateAuthority::open(&data.join(TLS))
        && let Some(text) = certificates::left_out(&authority, config.https)
    {
        eprintln!("islet: {text}");
    }
    if args.json {
        return output::json(&serde_json::json!({
            "data": data.path(),
            "clinic": new.clinic,
            "ca_sha256": fingerprint,
        }));
    }
    let dir = data.path().display();
    output::line(&format!(
        "A new node is in {dir}.\n\
         Certificate authority, SHA-256 fingerprint:\n  {fingerprint}\n\
         Next:\n  \
           islet --data {dir} serve         start it\n  \
           https://<this machine>:8443/ca   how phones learn to trust it\n  \
           {dir}/config.toml                what can be configured\n\
         Back up {dir} as a whole; keys/ cannot be made again, and another tls/ means a visit to every phone."
    ))
}

/// What the node is told about itself: flags, then answers, then the configuration.
pub(super) fn new_node(
    config: &Config,
    clinic: Option<&str>,
    hosts: &[String],
) -> Result<NewNode, Failure> {
    let clinic = ask::or_ask(clinic, "Name of the clinic", &config.clinic)?;
    let clinic = text::line(&clinic).map_err(|why| Failure::new(format!("--clinic: {why}")))?;
    let hosts = if hosts.is_empty() {
        &config.hosts
    } else {
        hosts
    };
    for host in hosts {
        check_host(host).map_err(|why| Failure::new(format!("--host: {why}")))?;
    }
    Ok(NewNode {
        clinic,
        hosts: hosts.to_vec(),
    })
}

fn founder(args: &InitArgs) -> Result<First, Failure> {
    if args.admin.is_none() && !ask::is_interactive() {
        return Err(Failure::usage(
            "name the first admin: --admin USER --admin-password-file FILE",
        ));
    }
    let username = ask::or_ask(
        args.admin.as_deref(),
        "User name of the first admin",
        "admin",
    )?;
    let username =
        Username::parse(&username).map_err(|why| Failure::new(format!("--admin: {why}")))?;
    // Delivers nowhere (RFC 2606), so a recovery mail cannot reach a stranger.
    let nowhere = format!("{}@islet.invalid", username.as_str());
    let email = ask::or_ask(
        args.admin_email.as_deref(),
        "Their e-mail address",
        &nowhere,
    )?;
    let email =
        Email::parse(&email).map_err(|why| Failure::new(format!("--admin-email: {why}")))?;
    let file = args.admin_password_file.as_deref();
    let password = ask::password(file, username.as_str(), "--admin-password-file")?;
    Ok(First::Admin {
        username,
        email,
        password,
    })
}
