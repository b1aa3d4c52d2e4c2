//! Logs go to standard error. Must never hold passwords, tokens or query strings: who logs sees to
//! it, since `Secret` has no text form.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt;

use crate::config::LogFormat;

/// Starts logging what `filter` (checked by the configuration) lets through.
pub(super) fn start(filter: &str, format: LogFormat) {
    let builder = fmt()
        .with_env_filter(EnvFilter::new(filter))
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    // A second start in one process changes nothing.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}
