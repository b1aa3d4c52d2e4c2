//! The use cases, one per function: may this actor do it, then one write transaction or one read.
//!
//! Everything that can change or show clinical data goes through here, whoever asks: the legacy
//! API, later APIs, web pages, the command line. Must never know HTTP or SQL.
//!
//! Every write is repeatable: asking twice for the same thing gives the same answer and does it
//! once, because phones send a request again when they lose the answer.

pub mod appointments;
pub mod audit;
pub mod broker;
pub mod changes;
pub mod clinic;
pub mod conflicts;
mod error;
pub mod invitations;
pub mod live;
pub mod mail;
pub mod node;
mod passwords;
pub mod patients;
mod policy;
pub mod queue;
pub mod readings;
pub mod recovery;
pub mod replication;
pub mod seed;
mod session_cache;
pub mod sessions;
pub mod staff;
#[cfg(test)]
pub(crate) mod testing;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use error::{ConflictFault, Error, Expectation, InvitationFault};

use islet_sync::chain::Signer;

use crate::auth::password::PasswordHasher;
use crate::auth::throttle::{Closed, Throttle};
use crate::auth::token::TokenKeys;
use crate::auth::{Random, RandomError};
use crate::clock::Clock;
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Outcome};
use crate::store::{Audited, Lane, Store, WriteTx};
pub use broker::Broker;
use live::Live;
use mail::Mailer;
pub use replication::Meeting;
pub use session_cache::SessionCache;

/// How long things live. All of it is configuration.
#[derive(Clone, Copy, Debug)]
pub struct Lifetimes {
    /// Access tokens.
    pub access: Duration,
    /// Refresh tokens, from their last use.
    pub refresh: Duration,
    /// Recovery links for patients, by mail.
    pub patient_recovery: Duration,
    /// Recovery links for staff, by mail.
    pub staff_recovery: Duration,
    /// One-time codes handed out at the desk.
    pub desk_code: Duration,
}

/// What the use cases work with. Cheap to share behind an [`Arc`].
pub struct App {
    /// The database.
    pub store: Store,
    /// Password hashing threads.
    pub hasher: PasswordHasher,
    /// Keys of access tokens.
    pub tokens: TokenKeys,
    /// Counts failed log-ins.
    pub throttle: Throttle,
    /// Tokens that were found good.
    pub session_cache: SessionCache,
    /// Sends mail, when there is a way to.
    pub mailer: Mailer,
    /// How long things live.
    pub lifetimes: Lifetimes,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// The source of secrets.
    pub random: Arc<dyn Random>,
    /// Asks other nodes for places in the queue.
    pub broker: Broker,
    /// Tells live sessions what happens.
    pub live: Live,
    /// The node's key, by which its log is signed.
    pub signer: Arc<Signer>,
    /// One at a time applies what waits in the logs of others.
    pub applying: tokio::sync::Mutex<()>,
    /// Where this node and its peers look for what differs in a log.
    pub meeting: Meeting,
    /// When the node started: the zero of the monotonic clock.
    pub started: Instant,
}

impl std::fmt::Debug for App {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("App")
    }
}

impl App {
    /// Runs a write that somebody waits for. When it is refused (see [`Error::is_refusal`]), which
    /// undoes it, `refusal` goes into the audit log with the reason.
    async fn write<T, F>(&self, refusal: Entry, job: F) -> Result<T, Error>
    where
        F: FnOnce(&mut WriteTx<'_>) -> Result<Audited<T>, Error> + Send + 'static,
        T: Send + 'static,
    {
        self.write_in(Lane::Interactive, refusal, job).await
    }

    /// The same in a lane of choice.
    async fn write_in<T, F>(&self, lane: Lane, refusal: Entry, job: F) -> Result<T, Error>
    where
        F: FnOnce(&mut WriteTx<'_>) -> Result<Audited<T>, Error> + Send + 'static,
        T: Send + 'static,
    {
        let result = self.store.write(lane, job).await;
        if let Err(error) = &result
            && error.is_refusal()
        {
            self.store
                .note_access(refusal.outcome(Outcome::Failed).detail(error.code()))?;
        }
        result
    }

    /// Leaves a trace of what the throttle keeps out from now on: `entry` with what was closed.
    /// Those who are refused leave none, since they could fill the log without the cost of a hash.
    fn note_closed(&self, entry: &Entry, closed: Closed) -> Result<(), Error> {
        let named = [(closed.account, "account"), (closed.address, "address")];
        for (_, what) in named.into_iter().filter(|(closed, _)| *closed) {
            let entry = entry.clone().outcome(Outcome::Denied);
            self.store
                .note_access(entry.detail(format!("too many failures: {what}")))?;
        }
        Ok(())
    }

    /// Milliseconds since the start, never going back.
    fn monotonic_ms(&self) -> u64 {
        u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// A new session id: 128 random bits in hexadecimal. Not a secret.
    fn session_id(&self) -> Result<String, RandomError> {
        let mut bytes = [0; 16];
        self.random.fill(&mut bytes)?;
        Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
    }
}

/// The address that a throttle counts by; commands on the machine count as loopback.
fn address(actor: &Actor) -> IpAddr {
    actor.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
}

#[cfg(test)]
mod tests;
