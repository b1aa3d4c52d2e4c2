//! What the operator is told of changes that came and are not in the rows.

use islet_sync::exchange::Seal;
use islet_sync::frame::Kind as FrameKind;

use super::*;
use crate::service::replication::{ingest, outgoing, vector};
use crate::store::waiting::{self, LogTrouble};

async fn troubles(app: &App) -> Vec<LogTrouble> {
    app.store
        .read(|tx| waiting::troubles(tx))
        .await
        .map_err(|error: StoreError| error)
        .unwrap()
}

#[tokio::test]
async fn changes_wait_for_what_their_author_had_seen_and_are_told_of_by_name() {
    let net = Network::of(3).await;
    let [a, b, c] = [0, 1, 2].map(|n| &net.nodes[n]);
    let ana = patient(a, 30_111_222).await;
    pull(b, a).await;
    reading(b, &ana, 110.0, at(5)).await;
    reading(b, &ana, 111.0, at(4)).await;
    // Of all that the second node would send, its own log alone arrives.
    let mut frames = outgoing(b, 2, vector(c, 2).await.unwrap()).await.unwrap();
    while let Some(frame) = frames.recv().await {
        let own = frame.kind == FrameKind::Segment
            && Seal::split(&frame.payload).unwrap().0.number.get() == 1;
        if own || frame.kind == FrameKind::Replica {
            ingest(c, 1, frame).await.unwrap();
        }
    }
    let found = troubles(c).await;
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(
        (found[0].of.as_str(), found[0].waiting),
        ("another (number 1)", 2)
    );
    let (of, seq) = found[0].needs.clone().unwrap();
    assert_eq!(of, "A (number 0)");
    assert!(seq > 0);
    pull(c, b).await;
    assert_eq!(troubles(c).await, vec![]);
    assert_eq!(troubles(a).await, vec![]);
}
