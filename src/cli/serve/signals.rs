//! When to stop.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::cli::Failure;

/// SIGTERM and SIGINT.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    pub(super) fn new() -> Result<Self, Failure> {
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
    pub(super) async fn watch(mut self, stop: CancellationToken) {
        self.next().await;
        tracing::info!("stopping: finishing what was accepted");
        stop.cancel();
        self.next().await;
        tracing::warn!("stopping at once");
        std::process::exit(1);
    }
}
