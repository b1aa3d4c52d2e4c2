//! The part of a serving node that speaks with other nodes.

use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::cli::{DataDir, Failure, network};
use crate::config::Config;
use crate::http::listen::{self, Bound, Kind, Listener};
use crate::limits;
use crate::peer::{PeerNode, discovery, links, places, server, tls};
use crate::service::broker::Wanted;
use crate::service::{App, replication};

/// The node as its network knows it, and the port for its peers unless that is off.
pub(super) async fn open(
    data: &DataDir,
    config: &Config,
    app: &Arc<App>,
    stop: &CancellationToken,
) -> Result<(Arc<PeerNode>, Option<Bound>), Failure> {
    let failed = |error: &dyn Display| Failure::new(error.to_string());
    let node = network::node(data, config, Arc::clone(app), stop.clone())?;
    let Some(addr) = config.peer.get() else {
        return Ok((node, None));
    };
    let settings = tls::server_config(&node.identity).map_err(|error| failed(&error))?;
    let bound = listen::bind(Listener {
        addr,
        kind: Kind::Mutual(settings),
        app: server::router(&node),
        option: "--peer",
    });
    let bound = bound.map_err(|error| failed(&error))?;
    node.set_addresses(network::reached_at(bound.addr()));
    node.announce().await?;
    Ok((node, Some(bound)))
}

/// Keeps the links until the node stops. A node that does not listen, which has no `addr`, keeps
/// none either: off is off, both ways.
pub(super) async fn run(
    node: Arc<PeerNode>,
    addr: Option<SocketAddr>,
    discovery: bool,
    wanted: mpsc::Receiver<Wanted>,
) {
    if let Err(error) = replication::catch_up(&node.app).await {
        tracing::error!(%error, "what other nodes sent before the last stop is not applied yet");
    }
    let Some(addr) = addr else {
        return tidy(&node).await;
    };
    let find = async {
        if discovery && let Err(error) = discovery::run(Arc::clone(&node), addr).await {
            tracing::warn!("{error}");
        }
    };
    tokio::join!(
        links::run(Arc::clone(&node)),
        places::run(Arc::clone(&node), wanted),
        tidy(&node),
        find
    );
}

/// Keeps the logs small until the node stops.
async fn tidy(node: &PeerNode) {
    loop {
        if let Err(error) = replication::tidy(&node.app).await {
            tracing::warn!(%error, "the logs were not tidied");
        }
        tokio::select! {
            () = node.stop.cancelled() => return,
            () = tokio::time::sleep(limits::TIDY_EVERY) => {}
        }
    }
}
