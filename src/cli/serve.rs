//! `islet serve`: the running node, from the first byte read to the last one written.
//!
//! Prints one line on standard output when it is ready; everything else goes to the log. Must end
//! with 0 when it is told to stop, after finishing what was accepted.

mod known;
mod listeners;
mod open_files;
mod peers;
mod signals;

use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::{DataDir, Exit, Failure, certificates, log, node, output, post};
use crate::config::{Address, Config, LogFormat};
use crate::http::app::HttpOptions;
use crate::http::budget::Budget;
use crate::http::listen::{self, Bound, ConnectionLimits};
use crate::limits;
use crate::service::live;
use crate::service::mail::{self, GivenUp};
use crate::service::{App, Broker};
pub(super) use listeners::Url;
use signals::Signals;

/// Options of `islet serve`; each wins over the environment and the configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  islet --data /var/lib/islet serve
  islet --data /var/lib/islet serve --https 192.168.1.10:443
  islet --data /tmp/try serve --http 127.0.0.1:0 --backoffice 127.0.0.1:0 --https off

Prints one line on standard output when it is ready:
  islet ready: http://127.0.0.1:8000 backoffice http://127.0.0.1:8001 \
https https://pi.local:8443 (CA sha256 AB:CD:...) peer [::]:8444 (id 0a1b...)

SIGTERM or SIGINT finishes what was accepted and exits 0; a second one exits at once.")]
pub(super) struct ServeArgs {
    /// Where the patients' API listens in plain HTTP, or off [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    http: Option<Address>,
    /// Where the back office listens in plain HTTP, or off [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR")]
    backoffice: Option<Address>,
    /// Where both listen in HTTPS, or off [default: [::]:8443]
    #[arg(long, value_name = "ADDR")]
    https: Option<Address>,
    /// Where the other nodes of the network connect, or off [default: [::]:8444]
    ///
    /// Off, this node keeps to itself: it listens for no other node, connects to none and hands over no places of
    /// the queue; only `islet sync --peer` exchanges, once. To connect without being reached, listen on
    /// 127.0.0.1:8444.
    #[arg(long, value_name = "ADDR")]
    peer: Option<Address>,
    /// Allow plain HTTP on addresses that other machines can reach
    #[arg(long)]
    allow_plain_lan: bool,
    /// How log lines look [default: text]
    #[arg(long, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
}

impl ServeArgs {
    fn apply(&self, config: &mut Config) {
        config.http = self.http.unwrap_or(config.http);
        config.backoffice = self.backoffice.unwrap_or(config.backoffice);
        config.https = self.https.unwrap_or(config.https);
        config.peer = self.peer.unwrap_or(config.peer);
        config.allow_plain_lan |= self.allow_plain_lan;
        config.log_format = self.log_format.unwrap_or(config.log_format);
    }
}

/// Runs `islet serve` until a signal.
///
/// # Errors
/// When the node cannot be opened or an address cannot be taken.
pub(super) fn run(args: &ServeArgs, data: &DataDir) -> Result<(), Failure> {
    run_telling(args, data, &|_| None)
}

/// The same; `tell` says what to print before the ready line.
///
/// # Errors
/// As for [`run`].
pub(super) fn run_telling(
    args: &ServeArgs,
    data: &DataDir,
    tell: &dyn Fn(&[Url]) -> Option<String>,
) -> Result<(), Failure> {
    data.require_node()?;
    let config = data.config(|config| args.apply(config))?;
    log::start(&config.log, config.log_format);
    let connections = open_files::fit(config.connection_limits())?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .max_blocking_threads(limits::BLOCKING_THREADS_MAX)
        .thread_name("islet-worker")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start threads: {error}")))?;
    let served = runtime.block_on(serve(data, &config, connections, tell));
    runtime.shutdown_timeout(limits::STOP_TASKS_TIMEOUT);
    match Arc::into_inner(served?) {
        Some(app) => app.store.close(),
        None => tracing::error!("something still uses the database; it is left to recover"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Serves until a signal; the app comes back to be closed.
async fn serve(
    data: &DataDir,
    config: &Config,
    connections: ConnectionLimits,
    tell: &dyn Fn(&[Url]) -> Option<String>,
) -> Result<Arc<App>, Failure> {
    let signals = Signals::new()?;
    let (mailer, postman) = post::office(data, config)?;
    let app = node::open(data, config, mailer).await;
    let mut app = app.map_err(|error| error.into_failure(data))?;
    let (broker, wanted) = Broker::channel();
    app.broker = broker;
    let app = Arc::new(app);
    let identity = config.https.get();
    let identity = identity.map(|_| certificates::identity(data, config));
    let identity = identity.transpose()?;
    if let Some(identity) = &identity
        && let Some(text) = certificates::left_out(identity.authority(), config.https)
    {
        tracing::warn!("{text}");
    }
    let options = HttpOptions {
        budget: Budget::default(),
        clinic: config.clinic.clone(),
        cors_origins: config.cors_origins.clone(),
        authority: identity.as_ref().map(|it| Arc::clone(it.authority())),
    };
    let (stop, stop_mail) = (CancellationToken::new(), CancellationToken::new());
    let mut bound = listeners::bind(&app, config, &options, identity.as_ref())?;
    let (node, for_peers) = peers::open(data, config, &app, &stop).await?;
    let mut urls = listeners::urls(&bound, identity.as_deref());
    let peer_addr = for_peers.as_ref().map(Bound::addr);
    if let Some(for_peers) = for_peers {
        urls.push(listeners::peer_url(&for_peers, &node));
        bound.push(("peer ", for_peers));
    }
    let ready = listeners::ready_line(&urls);
    let control = Control::bind(data)?;

    tokio::spawn(signals.watch(stop.clone()));
    if let Some(identity) = identity {
        tokio::spawn(identity.keep_fresh(stop.clone()));
    }
    let links = tokio::spawn(peers::run(
        Arc::clone(&node),
        peer_addr,
        config.discovery,
        wanted,
    ));
    let control = tokio::spawn(control.serve(node, stop.clone()));
    let live = tokio::spawn(live::run(Arc::clone(&app), stop.clone()));
    let postman = postman.map(|postman| {
        let app = Arc::clone(&app);
        tokio::spawn(postman.run(stop_mail.clone(), move |lost| {
            note_lost(Arc::clone(&app), lost)
        }))
    });
    tokio::spawn(known::warn(Arc::clone(&app)));
    let told = tell(&urls).map_or_else(|| ready.clone(), |text| format!("{text}\n{ready}"));
    // Nobody has to read it.
    output::line(&told).or_else(|failure| match failure.exit {
        Exit::Ended => Ok(()),
        _ => Err(failure),
    })?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "{ready}");
    let bound = bound.into_iter().map(|(_, bound)| bound).collect();
    let cut = listen::serve(bound, connections, stop).await;
    if cut > 0 {
        tracing::warn!(cut, "connections were cut off: they took too long to stop");
    }
    if let Err(error) = live.await {
        tracing::error!(%error, "the task that tells what is new failed");
    }
    if let Err(error) = control.await {
        tracing::error!(%error, "the task that answers commands failed");
    }
    if let Err(error) = links.await {
        tracing::error!(%error, "the task that keeps the links failed");
    }
    // Nobody asks for mail any more.
    stop_mail.cancel();
    if let Some(postman) = postman {
        let sent = tokio::time::timeout(limits::STOP_TASKS_TIMEOUT, postman).await;
        if sent.is_err() {
            tracing::warn!("stopped before every mail that was not sent was noted");
        }
    }
    Ok(app)
}

/// Leaves a trace of mails that were given up.
async fn note_lost(app: Arc<App>, lost: Vec<GivenUp>) {
    let count = lost.len();
    if let Err(error) = mail::note_given_up(&app, lost).await {
        tracing::error!(%error, count, "mails that were given up are not in the audit log");
    }
}
