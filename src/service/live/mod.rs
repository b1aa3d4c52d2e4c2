//! What happens, as it happens: one task looks after each commit what is new and tells all sessions; each keeps what
//! its account may see.
//!
//! A session is a cursor ([`super::changes`]). What it is told moves the cursor, and one that was too slow, or comes back
//! with the cursor of an earlier session, is told from the store what it missed. So nothing is lost, and nothing is
//! buffered for anybody. Must never tell before the commit, nor keep a session whose log-in has ended.

mod hub;
mod session;
mod ticket;

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{Semaphore, broadcast};
use tokio_util::sync::CancellationToken;

pub use hub::run;
pub use session::{Event, Session, Waiting};
pub use ticket::{Pass, redeem, ticket};

use super::changes::{Change, Cursor};
use super::queue::Standing;
use crate::limits;
use ticket::Tickets;

/// What one look of the hub found.
#[derive(Debug)]
struct Batch {
    /// From where on it tells; `None` when it does not say what happened: who has not heard of `to` looks for itself.
    from: Option<Cursor>,
    /// Who is who has changed: everybody looks for itself.
    relinked: bool,
    to: Cursor,
    changes: Vec<Change>,
    queue: Arc<Queue>,
    /// Conflicts that are open.
    conflicts: i64,
}

/// The queue as all see it.
#[derive(Debug, Default, PartialEq, Eq)]
struct Queue {
    day: i64,
    open: bool,
    waiting: i64,
    /// Of those who have a place.
    standings: BTreeMap<i64, Standing>,
}

/// What sessions are told by, and what bounds them.
#[derive(Debug)]
pub struct Live {
    batches: broadcast::Sender<Arc<Batch>>,
    sessions: Arc<Semaphore>,
    /// Sessions that read what they missed. The others wait, so that they do not crowd out requests.
    catching_up: Semaphore,
    tickets: Tickets,
    closing: CancellationToken,
}

impl Live {
    /// For at most so many sessions at once.
    #[must_use]
    pub fn new(sessions_max: usize) -> Self {
        Self {
            batches: broadcast::Sender::new(limits::LIVE_BATCHES_MAX),
            sessions: Arc::new(Semaphore::new(sessions_max)),
            catching_up: Semaphore::new(limits::LIVE_CATCH_UPS_AT_ONCE),
            tickets: Tickets::default(),
            closing: CancellationToken::new(),
        }
    }

    /// Ends all sessions: the node stops.
    pub fn close(&self) {
        self.closing.cancel();
    }
}
