//! How far a long command has come: a bar at a terminal, a line now and then elsewhere. On
//! standard error, so that the output stays clean.

use std::io::IsTerminal;
use std::sync::atomic::{AtomicU64, Ordering};

use indicatif::{ProgressBar, ProgressStyle};

/// Steps of the bar.
const STEPS: u64 = 1_000;
/// Steps between two lines where there is no terminal.
const LINE_STEPS: u64 = 250;

/// A bar, or lines.
pub(super) struct Progress {
    bar: Option<ProgressBar>,
    next_line: AtomicU64,
}

impl Progress {
    pub(super) fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(STEPS);
            if let Ok(style) =
                ProgressStyle::with_template("{bar:40} {percent:>3} %  {eta:>4} left  {msg}")
            {
                bar.set_style(style);
            }
            bar
        });
        Self {
            bar,
            next_line: AtomicU64::new(0),
        }
    }

    /// Shows that `share` (0 to 1) is done and `what` is being worked on.
    pub(super) fn show(&self, what: &str, share: f64) {
        let step = (share.clamp(0.0, 1.0) * STEPS as f64) as u64;
        match &self.bar {
            Some(bar) => {
                bar.set_message(what.to_owned());
                bar.set_position(step);
                if step >= STEPS {
                    bar.finish_and_clear();
                }
            }
            None if step >= self.next_line.load(Ordering::Relaxed) => {
                self.next_line.store(step + LINE_STEPS, Ordering::Relaxed);
                eprintln!("loading {what}: {} %", step / 10);
            }
            None => {}
        }
    }
}
