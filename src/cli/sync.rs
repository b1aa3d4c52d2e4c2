//! `islet sync`: exchange with one peer now, with progress.

use std::sync::Arc;
use std::time::Duration;

use super::control::{Request, Response, ask_running, close, open_here};
use super::progress::Progress;
use super::{DataDir, Failure, node, output};
use crate::limits;
use crate::peer::PeerNode;
use crate::peer::manual::SyncReport;

/// Options of `islet sync`.
#[derive(Debug, clap::Args)]
#[command(after_help = "A node that runs does this by itself. Examples:
  islet --data /var/lib/islet sync --peer consultorio-2
  islet --data /var/lib/islet sync --peer 192.168.1.10:8444 --json")]
pub(super) struct SyncArgs {
    /// Name, number or id of the peer, or an address where it is
    #[arg(long, value_name = "PEER")]
    peer: String,
    /// Print what was done as JSON
    #[arg(long)]
    json: bool,
}

/// Runs `islet sync`.
///
/// # Errors
/// When there is no such peer, it cannot be reached, or the connection breaks.
pub(super) fn run(args: &SyncArgs, data: &DataDir) -> Result<(), Failure> {
    data.require_node()?;
    let progress = Progress::new();
    let report = node::block_on(async {
        let begin = Request::BeginSync(args.peer.clone());
        if let Some(response) = ask_running(data, &begin).await? {
            return follow(data, response, &progress).await;
        }
        let opened = open_here(data).await;
        let opened = opened.map_err(|error| error.into_failure(data))?;
        let report = here(&opened, &args.peer, &progress).await;
        close(opened);
        report
    })?;
    if args.json {
        return output::json(&report);
    }
    output::line(&format!(
        "In step with {}: {} bytes came in {} pieces, {} pieces went.",
        report.peer, report.received_bytes, report.received_frames, report.sent_frames
    ))
}

/// Looks at a sync of the running node until it is over.
async fn follow(
    data: &DataDir,
    mut response: Response,
    progress: &Progress,
) -> Result<SyncReport, Failure> {
    loop {
        let report = match response {
            Response::Sync(report) => report,
            Response::Refused { exit, text } => return Err(Failure { exit, text }),
            other => return Err(Failure::new(format!("unexpected answer: {other:?}"))),
        };
        if let Some(ended) = ended(report, progress) {
            return ended;
        }
        tokio::time::sleep(limits::SYNC_LOOK_EVERY).await;
        let next = ask_running(data, &Request::ShowSync).await?;
        response = next.ok_or_else(|| Failure::new("the node has stopped"))?;
    }
}

/// Syncs with a peer from within this process.
pub(super) async fn here(
    node: &Arc<PeerNode>,
    peer: &str,
    progress: &Progress,
) -> Result<SyncReport, Failure> {
    let sync = node.begin_sync(peer).await?;
    let pause: Duration = limits::SYNC_LOOK_EVERY;
    loop {
        if let Some(ended) = ended(sync.report(), progress) {
            return ended;
        }
        tokio::time::sleep(pause).await;
    }
}

/// Shows how far it is; the result when it is over.
fn ended(report: SyncReport, progress: &Progress) -> Option<Result<SyncReport, Failure>> {
    match (&report.error, report.done) {
        (Some(error), _) => Some(Err(Failure::new(format!(
            "not in step with {}: {error}",
            report.peer
        )))),
        (None, true) => {
            if report.expected_changes > 0 {
                progress.show("changes", 1.0);
            }
            Some(Ok(report))
        }
        (None, false) => {
            if report.expected_changes > 0 {
                let missing = report.missing_changes as f64 / report.expected_changes as f64;
                progress.show("changes", 1.0 - missing);
            }
            None
        }
    }
}
