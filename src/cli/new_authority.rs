//! `islet new-authority`: another certificate authority for a node whose own was lost, has ended, or
//! cannot vouch for a name. Must never happen in silence: every phone has to be set up again.

use std::fs;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;

use super::data_dir::TLS;
use super::{DataDir, Failure, files, node, output};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::domain::actor::Actor;
use crate::http::tls::CertificateAuthority;
use crate::service;
use crate::service::mail::Mailer;

/// Where the new authority is made.
const STAGE: &str = "tls.new";

/// Options of `islet new-authority`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "It vouches for the LAN and for hosts in config.toml, so put other names and addresses there \
first. Stop the node before. What was in tls/ stays beside it, as tls.replaced-TIME.

Does another node of the network have the authority still? Then copy its tls/ here instead, and no \
phone notices."
)]
pub(super) struct NewAuthorityArgs {
    /// Yes, every phone and desk will be set up again
    #[arg(long)]
    yes: bool,
    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `islet new-authority`.
///
/// # Errors
/// When nobody said yes, the node runs, or the authority cannot be made.
pub(super) fn run(args: &NewAuthorityArgs, data: &DataDir) -> Result<(), Failure> {
    data.require_node()?;
    let config = data.config(|_| {})?;
    if !args.yes {
        return Err(Failure::usage(
            "no phone and no desk that was set up before trusts a new authority: each must be set \
             up again at https://<this machine>:8443/ca. A backup of tls/, or the tls/ of another \
             node of the network, spares that. If there is none, say --yes",
        ));
    }
    let (fingerprint, kept) = node::block_on(replace(data, &config))?;
    if args.json {
        return output::json(&serde_json::json!({"ca_sha256": fingerprint, "kept": kept}));
    }
    let mut text = format!(
        "The node has a new certificate authority, SHA-256 fingerprint:\n  {fingerprint}\n\
         Next:\n  \
           islet --data {dir} serve         start it\n  \
           https://<this machine>:8443/ca   set up every phone and desk again; they still have the\n  \
                                            old authority, which can be removed there\n\
         Other nodes of the network keep their authority: to have one for all, stop them and give \
         them a copy of {dir}/tls.",
        dir = data.path().display()
    );
    if let Some(kept) = kept {
        text.push_str(&format!(
            "\nWhat there was before is in {}. Remove it once nobody misses it.",
            kept.display()
        ));
    }
    output::line(&text)
}

/// Makes the authority beside the old one, notes it in the audit log, and puts it in its place. What
/// is cut off before the last step can be done again.
async fn replace(data: &DataDir, config: &Config) -> Result<(String, Option<PathBuf>), Failure> {
    let app = node::open(data, config, Mailer::default()).await;
    let app = app.map_err(|error| error.into_failure(data))?;
    let replaced = async {
        let stage = data.join(STAGE);
        match fs::remove_dir_all(&stage) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                return Err(Failure::io("remove", &stage, &error));
            }
            _ => {}
        }
        let authority = CertificateAuthority::create(&stage, &config.hosts, SystemTime::now())?;
        let fingerprint = authority.fingerprint();
        service::node::new_authority(&app, &Actor::operator(), &fingerprint).await?;
        let kept =
            put_in_place(data).map_err(|error| Failure::io("replace", &data.join(TLS), &error))?;
        Ok((fingerprint, kept))
    }
    .await;
    app.store.close();
    replaced
}

/// Answers with where the old files are now, if there were any.
fn put_in_place(data: &DataDir) -> io::Result<Option<PathBuf>> {
    let (old, stage) = (data.join(TLS), data.join(STAGE));
    let mut kept = None;
    if old.exists() {
        let time = SystemClock.now().to_rfc3339().replace([':', '.'], "-");
        let aside = data.join(&format!("{TLS}.replaced-{time}"));
        fs::rename(&old, &aside)?;
        kept = Some(aside);
    }
    fs::rename(&stage, &old)?;
    files::sync_dir(data.path())?;
    Ok(kept)
}
