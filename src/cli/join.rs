//! `islet join`: makes a node on this computer that belongs to the network of another.
//!
//! Until the other node was asked, nothing is left behind when something goes wrong. From then on its keys are
//! kept until it is there, and the next run goes on as the same node. A first sync that breaks off goes on when the
//! node is started.

use std::io::Read;
use std::path::Path;
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use islet_sync::chain::ReplicaId;

use super::control::close;
use super::data_dir::{CONFIG_FILE, TLS};
use super::progress::Progress;
use super::{DataDir, Failure, ask, files, founding, network, node, output, sync};
use crate::auth::token::TokenKeys;
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::domain::node_name::node_name;
use crate::http::tls::CertificateAuthority;
use crate::limits;
use crate::peer::identity::node_id;
use crate::peer::invitation::Invitation;
use crate::peer::join::{Welcome, join};
use crate::service::mail::Mailer;
use crate::service::replication;
use crate::store::{NewReplica, Store};

/// Options of `islet join`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  islet --data /var/lib/islet join
  islet --data /var/lib/islet join --name consultorio-2 < code.txt

`islet invite` on a node of the network makes the code. Without CODE it is read from standard input,
where other users of this computer cannot see it.")]
pub(super) struct JoinArgs {
    /// The code, with or without dashes and spaces
    #[arg(value_name = "CODE")]
    code: Vec<String>,
    /// What the other nodes call this one [default: the name of this computer]
    #[arg(long)]
    name: Option<String>,
}

/// Runs `islet join`.
///
/// # Errors
/// When the code is not good, the other node cannot be reached, or the directory holds anything.
pub(super) fn run(args: &JoinArgs, data: &DataDir) -> Result<(), Failure> {
    founding::refuse_occupied(data)?;
    let name = args.name.clone().unwrap_or_else(network::host_name);
    let name = node_name(&name).map_err(|why| Failure::usage(format!("--name: {why}")))?;
    let invitation = read(&args.code)?;
    let joined = founding::prepare(data, |stage| build(data, stage, &invitation, &name));
    let joined = joined.map_err(|failure| Failure {
        text: format!("{}\n{}", failure.text, after_failure(data)),
        ..failure
    })?;
    let dir = data.path().display();
    let (clinic, fingerprint, name) = &joined;
    output::line(&format!(
        "This computer belongs to the network of {clinic} now, as {name}.\n\
         Certificate authority, SHA-256 fingerprint, the same as at the other nodes:\n  \
         {fingerprint}"
    ))?;
    let inviter = node_id(&invitation.public_key);
    first_sync(data, &inviter).map_err(|failure| Failure {
        text: format!(
            "{}\nThe node is there and a member. Start it, and it goes on where it stopped:\n  \
             islet --data {dir} serve",
            failure.text
        ),
        ..failure
    })?;
    output::line(&format!("Next:\n  islet --data {dir} serve"))
}

fn after_failure(data: &DataDir) -> &'static str {
    if founding::is_joining(data) {
        "The other node may have let this computer in. Say `islet join` again with the same code: it goes on as the \
         same node. If it shall not, remove the directory, and remove the node at another one: `islet peers revoke`."
    } else {
        "Nothing was left behind."
    }
}

fn read(words: &[String]) -> Result<Invitation, Failure> {
    let mut typed = words.join(" ");
    if typed.is_empty() || typed == "-" {
        if ask::is_interactive() {
            eprintln!("Type or paste the code, then press Ctrl-D on an empty line:");
        }
        typed.clear();
        let most = limits::CONTROL_REQUEST_BYTES_MAX;
        let read = std::io::stdin().take(most).read_to_string(&mut typed);
        read.map_err(|error| Failure::new(format!("cannot read the code: {error}")))?;
    }
    Invitation::parse(&typed).map_err(|error| Failure::usage(error.to_string()))
}

/// Everything of the new node, with the name of the clinic, the authority's fingerprint, and its own name.
fn build(
    data: &DataDir,
    stage: &DataDir,
    invitation: &Invitation,
    name: &str,
) -> Result<(String, String, String), Failure> {
    let goes_on = founding::is_joining(data);
    let audit_key = founding::keys_to_join(data, stage)?;
    let identity = stage.identity()?;
    let node_id = identity.node_id();
    let tokens = TokenKeys::from_pkcs8(&node_id, &stage.token_key()?);
    let tokens = tokens.map_err(|error| Failure::new(error.to_string()))?;
    let asked = async { Ok(join(&identity, invitation, name, tokens.public_key()).await) };
    let welcome = node::block_on(asked)?.map_err(|error| {
        if error.is_key_removed() || !(error.unsure || goes_on) {
            founding::forget_joining(data);
        }
        Failure::new(format!(
            "this computer has not joined: {error}\nIs the inviting node running (`islet serve`), and in the same \
             network?"
        ))
    })?;
    let Welcome {
        admission,
        inheritance,
    } = welcome;
    let authority = CertificateAuthority::inherit(
        &stage.join(TLS),
        inheritance.ca_key.expose(),
        &inheritance.ca_certificate,
    );
    let authority = authority.map_err(|error| Failure::new(error.to_string()))?;
    if !data.join(CONFIG_FILE).exists() {
        let tokens = network::settings(&inheritance);
        let text = Config::inherited_file(&admission.clinic, &tokens);
        write(stage.path(), CONFIG_FILE, text.as_bytes())?;
    }
    let replica = NewReplica {
        number: admission.number,
        replica_id: ReplicaId(admission.replica_id),
        network: admission.network,
        node_id,
        clinic: admission.clinic.clone(),
        created_at: SystemClock.now(),
    };
    Store::create(stage.path(), &replica, &audit_key)?;
    node::block_on(async {
        let app = node::open(stage, &Config::default(), Mailer::default()).await;
        let app = app.map_err(|error| error.into_failure(stage))?;
        let adopted = replication::adopt(&app, &admission).await;
        app.store.close();
        Ok(adopted?)
    })?;
    // The network may have a node of this name already, and gave this one another.
    let own = admission
        .members
        .iter()
        .find(|it| it.number == admission.number);
    let name = own.map_or_else(|| name.to_owned(), |own| own.name.clone());
    Ok((admission.clinic, authority.fingerprint(), name))
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> Result<(), Failure> {
    files::write_private(dir, name, bytes)
        .map_err(|error| Failure::io("write", &dir.join(name), &error))
}

/// Fetches the data from the node that invited.
fn first_sync(data: &DataDir, inviter: &str) -> Result<(), Failure> {
    node::block_on(async {
        let config = data.config(|_| {})?;
        let app = node::open(data, &config, Mailer::default()).await;
        let app = Arc::new(app.map_err(|error| error.into_failure(data))?);
        let made = network::node(data, &config, app, CancellationToken::new())?;
        let progress = Progress::new();
        let synced = sync::here(&made, inviter, &progress).await;
        close(made);
        synced.map(drop)
    })
}
