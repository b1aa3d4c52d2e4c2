//! What the labs share: how many rounds, at which moments, and what to do on a machine that
//! lacks the means.

use std::path::Path;
use std::process::{Command, ExitStatus};
use std::time::Duration;

pub(crate) use crate::support::skip;
use crate::support::{self, Node};

/// Rounds on one data directory; then a new one, so that the check stays fast and young databases
/// are cut as well as grown ones.
pub(crate) const ROUNDS_PER_NODE: u32 = 25;

/// How many rounds: `short`, unless the environment asks for a number.
pub(crate) fn rounds(short: u32) -> u32 {
    number("ISLET_LAB_ROUNDS").map_or(short, |rounds| u32::try_from(rounds).unwrap())
}

fn number(name: &str) -> Option<u64> {
    let value = std::env::var(name).ok()?;
    Some(value.parse().unwrap_or_else(|_| {
        panic!("{name} is `{value}`: give a number of 0 or more");
    }))
}

/// Moments that look random and are the same for the same seed (splitmix64).
pub(crate) struct Moments(u64);

impl Moments {
    pub(crate) fn new() -> Self {
        Self(number("ISLET_LAB_SEED").unwrap_or(1))
    }

    /// The next moment, from 50 ms to 400 ms.
    pub(crate) fn next(&mut self) -> Duration {
        Duration::from_micros(50_000 + self.below(350_000))
    }

    /// A number below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.0;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (bits ^ (bits >> 31)) % end
    }
}

/// The binary, silent: the labs make it complain on purpose. `ISLET_LOG` brings its voice back.
pub(crate) fn islet() -> Command {
    let mut command = support::islet();
    command.env(
        "ISLET_LOG",
        std::env::var("ISLET_LOG").unwrap_or("off".into()),
    );
    command
}

/// A new node in `data`, with the seed's patients.
pub(crate) fn seed(data: &Path) {
    support::run(islet().arg("seed").arg("--data").arg(data));
}

/// The status that a node ends with by itself. Waits for long, so that a node that goes on when it
/// must not fails the test.
pub(crate) async fn ended(node: &mut Node) -> ExitStatus {
    for _ in 0..1_000 {
        if let Some(status) = node.exit_status() {
            return status;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the node goes on");
}
