//! Fetches places of the queue day from peers when a patient waits for one.
//!
//! Who is asked first has the most, as far as is known. Must never take longer than a patient waits.

use std::sync::Arc;

use tokio::sync::mpsc;

use super::node::PeerNode;
use crate::limits;
use crate::service::broker::Wanted;
use crate::service::replication;

/// Answers those who ask until the node stops. Questions that come meanwhile are answered by the same
/// round.
pub async fn run(node: Arc<PeerNode>, mut wanted: mpsc::Receiver<Wanted>) {
    loop {
        let first = tokio::select! {
            () = node.stop.cancelled() => return,
            first = wanted.recv() => first,
        };
        let Some(first) = first else {
            return;
        };
        let mut waiting = vec![first];
        while let Ok(next) = wanted.try_recv() {
            waiting.push(next);
        }
        let count = i64::try_from(waiting.len()).unwrap_or(i64::MAX);
        let got = fetch(&node, count.max(limits::RIGHTS_ASKED)).await;
        for answer in waiting {
            let _ = answer.send(got);
        }
    }
}

/// Whether somebody handed something over, and it has arrived.
async fn fetch(node: &PeerNode, count: i64) -> bool {
    let Ok(holders) = replication::holders(&node.app).await else {
        return false;
    };
    for number in holders {
        let Ok(request) = replication::rights_request(&node.app, count).await else {
            return false;
        };
        match node.ask_rights(number, request).await {
            Ok(answer) => match replication::take_rights(&node.app, number, &answer).await {
                Ok(0) => {}
                Ok(_) => return true,
                Err(error) => tracing::warn!(%error, number, "places were not handed over"),
            },
            Err(error) => tracing::debug!(%error, number, "a peer was not asked for places"),
        }
    }
    false
}
