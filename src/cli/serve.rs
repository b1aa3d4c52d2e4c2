//! `islet serve`: the running node, from the first byte read to the last one written.
//!
//! Prints one line on standard output when it is ready; everything else goes to the log. Must end
//! with 0 when it is told to stop, after finishing what was accepted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::control::Control;
use super::data_dir::TLS;
use super::{DataDir, Failure, log, node, output};
use crate::auth::SystemRandom;
use crate::auth::password::{HasherLimits, PasswordHasher};
use crate::config::{Address, Config, LogFormat};
use crate::http::app::{HttpOptions, routers};
use crate::http::listen::{self, Bound, Kind, Listener};
use crate::http::tls::{CertificateAuthority, TlsIdentity};
use crate::limits;
use crate::service::mail::Mailer;
use crate::service::{App, seed};

/// Options of `islet serve`; each wins over the environment and the configuration file.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  islet --data /var/lib/islet serve
  islet --data /var/lib/islet serve --https 192.168.1.10:443
  islet --data /tmp/try serve --http 127.0.0.1:0 --backoffice 127.0.0.1:0 --https off

Prints one line on standard output when it is ready:
  islet ready: http://127.0.0.1:8000 backoffice http://127.0.0.1:8001 \
https https://pi.local:8443 (CA sha256 AB:CD:...)

SIGTERM or SIGINT finishes what was accepted and exits 0; a second one exits at once.")]
pub(super) struct ServeArgs {
    /// Where the patients' API listens in plain HTTP, or off [default: 127.0.0.1:8000]
    #[arg(long, value_name = "ADDR")]
    http: Option<Address>,
    /// Where the back office listens in plain HTTP, or off [default: 127.0.0.1:8001]
    #[arg(long, value_name = "ADDR")]
    backoffice: Option<Address>,
    /// Where both listen in HTTPS, or off [default: 0.0.0.0:8443]
    #[arg(long, value_name = "ADDR")]
    https: Option<Address>,
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
        config.allow_plain_lan |= self.allow_plain_lan;
        config.log_format = self.log_format.unwrap_or(config.log_format);
    }
}

/// Runs `islet serve` until a signal.
///
/// # Errors
/// When the node cannot be opened or an address cannot be taken.
pub(super) fn run(args: &ServeArgs, data: &DataDir) -> Result<(), Failure> {
    data.require_node()?;
    let config = data.config(|config| args.apply(config))?;
    log::start(&config.log, config.log_format);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.workers)
        .max_blocking_threads(limits::BLOCKING_THREADS_MAX)
        .thread_name("islet-worker")
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start threads: {error}")))?;
    let served = runtime.block_on(serve(data, &config));
    runtime.shutdown_timeout(limits::STOP_TASKS_TIMEOUT);
    match Arc::into_inner(served?) {
        Some(app) => app.store.close(),
        None => tracing::error!("something still uses the database; it is left to recover"),
    }
    tracing::info!("stopped");
    Ok(())
}

/// Serves until a signal; the app comes back to be closed.
async fn serve(data: &DataDir, config: &Config) -> Result<Arc<App>, Failure> {
    let signals = Signals::new()?;
    let app = node::open(data, config, Mailer::default())
        .await
        .map_err(|error| error.into_failure(data))?;
    let app = Arc::new(app);
    let identity = config.https.get().map(|_| identity(data, config));
    let identity = identity.transpose()?;
    let options = HttpOptions {
        clinic: config.clinic.clone(),
        cors_origins: config.cors_origins.clone(),
        authority: identity
            .as_ref()
            .map(|identity| Arc::clone(identity.authority())),
    };
    let bound = bind(&app, config, &options, identity.as_ref())?;
    let ready = ready_line(&bound, identity.as_deref());

    let control = Control::bind(data)?;
    let stop = CancellationToken::new();
    tokio::spawn(signals.watch(stop.clone()));
    if let Some(identity) = identity {
        tokio::spawn(identity.keep_fresh(stop.clone()));
    }
    let control = tokio::spawn(control.serve(Arc::clone(&app), stop.clone()));
    tokio::spawn(warn_of_well_known(Arc::clone(&app)));
    output::line(&ready).or_else(|failure| match failure.text.as_str() {
        "" => Ok(()),
        _ => Err(failure),
    })?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), "{ready}");
    let cut = listen::serve(
        bound.into_iter().map(|(_, bound)| bound).collect(),
        config.connection_limits(),
        stop,
    )
    .await;
    if cut > 0 {
        tracing::warn!(
            connections = cut,
            "requests were cut off: they took too long to stop"
        );
    }
    if let Err(error) = control.await {
        tracing::error!(%error, "the task that answers commands failed");
    }
    Ok(app)
}

fn identity(data: &DataDir, config: &Config) -> Result<Arc<TlsIdentity>, Failure> {
    let authority = CertificateAuthority::open(&data.join(TLS));
    let authority = authority.map_err(|error| Failure::new(error.to_string()))?;
    TlsIdentity::new(Arc::new(authority), &config.hosts, SystemTime::now())
        .map(Arc::new)
        .map_err(|error| Failure::new(error.to_string()))
}

/// Takes all addresses; each comes with its name in the ready line.
fn bind(
    app: &Arc<App>,
    config: &Config,
    options: &HttpOptions,
    identity: Option<&Arc<TlsIdentity>>,
) -> Result<Vec<(&'static str, Bound)>, Failure> {
    let routers = routers(app, options);
    let tls = identity.map(|identity| Kind::Tls(Arc::clone(identity)));
    let wanted = [
        (
            "",
            config.http,
            Some(Kind::Plain),
            routers.patient,
            "--http",
        ),
        (
            "backoffice ",
            config.backoffice,
            Some(Kind::Plain),
            routers.backoffice,
            "--backoffice",
        ),
        ("https ", config.https, tls, routers.lan, "--https"),
    ];
    let mut bound = Vec::new();
    for (name, address, kind, app, option) in wanted {
        if let (Some(addr), Some(kind)) = (address.get(), kind) {
            let listener = Listener {
                addr,
                kind,
                app,
                option,
            };
            let taken = listen::bind(listener).map_err(|error| Failure::new(error.to_string()))?;
            bound.push((name, taken));
        }
    }
    Ok(bound)
}

/// What `islet serve` prints: every address with its real port.
fn ready_line(bound: &[(&'static str, Bound)], identity: Option<&TlsIdentity>) -> String {
    let mut line = "islet ready:".to_owned();
    for (name, bound) in bound {
        let url = match identity {
            Some(identity) if bound.url().starts_with("https:") => {
                let addr = bound.addr();
                let fingerprint = identity.authority().fingerprint();
                let host = host_for_people(addr, identity);
                format!("https://{host}:{} (CA sha256 {fingerprint})", addr.port())
            }
            _ => bound.url(),
        };
        line.push_str(&format!(" {name}{url}"));
    }
    line
}

/// A name that other machines find this one by, where it listens on all addresses.
fn host_for_people(addr: SocketAddr, identity: &TlsIdentity) -> String {
    let names = identity.names();
    let name = names.iter().find(|name| !name.starts_with("localhost"));
    match name {
        Some(name) if addr.ip().is_unspecified() => name.clone(),
        _ => match addr {
            SocketAddr::V4(addr) => addr.ip().to_string(),
            SocketAddr::V6(addr) => format!("[{}]", addr.ip()),
        },
    }
}

/// Says aloud that anybody can log in. The hasher is one of its own, so that the memory of the
/// check is given back.
async fn warn_of_well_known(app: Arc<App>) {
    let checked: Result<Vec<String>, crate::service::Error> = async {
        let candidates = app.store.read(|tx| seed::candidates(tx)).await?;
        if candidates.is_empty() {
            return Ok(Vec::new());
        }
        let limits = HasherLimits {
            threads: 1,
            ..HasherLimits::default()
        };
        match PasswordHasher::start(limits, Arc::new(SystemRandom)) {
            Ok(hasher) => seed::still_work(&hasher, candidates).await,
            Err(error) => Err(crate::service::Error::Internal(error.to_string())),
        }
    }
    .await;
    match checked {
        Ok(names) if names.is_empty() => {}
        Ok(names) => tracing::warn!(
            accounts = names.join(", "),
            "ANYBODY CAN LOG IN: these accounts have passwords that are printed in public; \
             this node is for tests and must not hold real patients"
        ),
        Err(error) => tracing::warn!(%error, "could not look for well-known log-ins"),
    }
}

/// SIGTERM and SIGINT.
struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn new() -> Result<Self, Failure> {
        let on = |kind| {
            let signal = signal(kind);
            signal.map_err(|error| Failure::new(format!("cannot wait for signals: {error}")))
        };
        Ok(Self {
            terminate: on(SignalKind::terminate())?,
            interrupt: on(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first signal stops, the second ends the process: acknowledged writes are durable.
    async fn watch(mut self, stop: CancellationToken) {
        self.next().await;
        tracing::info!("stopping: finishing what was accepted");
        stop.cancel();
        self.next().await;
        tracing::warn!("stopping at once");
        std::process::exit(1);
    }
}
