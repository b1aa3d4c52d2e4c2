//! How a use case asks the other nodes for places: through a channel, since it knows no network.
//!
//! Must never keep a patient waiting for a node that does not answer.

use tokio::sync::{mpsc, oneshot};

use crate::limits;

/// Somebody waits for rights to places. Answer whether some have come.
pub type Wanted = oneshot::Sender<bool>;

/// Asks whoever is at the other end of the channel.
#[derive(Clone, Debug, Default)]
pub struct Broker(Option<mpsc::Sender<Wanted>>);

impl Broker {
    /// A broker, and where its questions come out.
    #[must_use]
    pub fn channel() -> (Self, mpsc::Receiver<Wanted>) {
        let (sender, receiver) = mpsc::channel(limits::RIGHTS_WAITING_MAX);
        (Self(Some(sender)), receiver)
    }

    /// Whether rights have come. Alone in the network, and when too many ask, the answer is no.
    pub(super) async fn ask(&self) -> bool {
        let Some(sender) = &self.0 else {
            return false;
        };
        let (answer, answered) = oneshot::channel();
        if sender.try_send(answer).is_err() {
            return false;
        }
        let waited = tokio::time::timeout(limits::RIGHTS_TIMEOUT, answered).await;
        matches!(waited, Ok(Ok(true)))
    }
}
