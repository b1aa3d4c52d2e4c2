//! Opening the node in a data directory: keys, database, and everything the use cases work with.

use std::sync::Arc;
use std::time::Instant;

use super::{DataDir, Failure};
use crate::auth::password::{HasherLimits, PasswordHasher};
use crate::auth::throttle::Throttle;
use crate::auth::token::TokenKeys;
use crate::auth::{Random, SystemRandom};
use crate::clock::{Clock, SystemClock};
use crate::config::Config;
use crate::limits;
use crate::service::live::Live;
use crate::service::mail::Mailer;
use crate::service::{App, Broker, Meeting, SessionCache, replication};
use crate::store::{Store, StoreError, replica};

/// Opens the node and takes the lock on its directory until the store is closed.
///
/// # Errors
/// When there is no node, a key is missing, or another process has the directory
/// ([`StoreError::Locked`] in [`OpenError::Locked`]).
pub async fn open(data: &DataDir, config: &Config, mailer: Mailer) -> Result<App, OpenError> {
    open_at(data, config, mailer, Arc::new(SystemClock)).await
}

/// The same with another clock.
///
/// # Errors
/// As for [`open`].
pub async fn open_at(
    data: &DataDir,
    config: &Config,
    mailer: Mailer,
    clock: Arc<dyn Clock>,
) -> Result<App, OpenError> {
    data.require_node()?;
    let random: Arc<dyn Random> = Arc::new(SystemRandom);
    let (audit_key, token_key) = (data.audit_key()?, data.token_key()?);
    let store = match Store::open(data.path(), audit_key, Arc::clone(&clock)) {
        Err(StoreError::Locked(_)) => return Err(OpenError::Locked),
        store => store.map_err(Failure::from)?,
    };
    for odd in store.restore_schema().await.map_err(Failure::from)? {
        tracing::warn!("the database is not as it was made: {odd}");
    }
    let replica = store
        .read(|tx| replica::get(tx))
        .await
        .map_err(Failure::from)?;
    let tokens = TokenKeys::from_pkcs8(&replica.node_id, &token_key)
        .map_err(|error| Failure::new(error.to_string()))?;
    let hasher = PasswordHasher::start(HasherLimits::default(), Arc::clone(&random))
        .map_err(|error| Failure::new(format!("cannot start password threads: {error}")))?;
    let renewal = store.renewal();
    let app = App {
        store,
        hasher,
        tokens,
        session_cache: SessionCache::default(),
        throttle: Throttle::new(config.throttle()),
        mailer,
        lifetimes: config.lifetimes(),
        clock,
        random,
        broker: Broker::default(),
        live: Live::new(config.connections.total_max / limits::LIVE_SHARE),
        signer: Arc::new(data.signer()?),
        applying: tokio::sync::Mutex::default(),
        meeting: Meeting::default(),
        started: Instant::now(),
    };
    if let Some(reason) = renewal {
        replication::renew(&app, reason)
            .await
            .map_err(Failure::from)?;
    }
    Ok(app)
}

/// Why a node was not opened.
#[derive(Debug)]
pub enum OpenError {
    /// Another process has the directory.
    Locked,
    /// Anything else.
    Failed(Failure),
}

impl From<Failure> for OpenError {
    fn from(failure: Failure) -> Self {
        Self::Failed(failure)
    }
}

impl OpenError {
    /// For commands that cannot go on when another process has the directory.
    #[must_use]
    pub fn into_failure(self, data: &DataDir) -> Failure {
        match self {
            Self::Locked => Failure::new(format!(
                "{} is in use by another islet process: stop it first",
                data.path().display()
            )),
            Self::Failed(failure) => failure,
        }
    }
}

/// Runs a command's future on a small runtime.
///
/// # Errors
/// The future's own, or when the system gives no runtime.
pub fn block_on<T>(future: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::new(format!("cannot start: {error}")))?
        .block_on(future)
}
