//! Writing to standard output. A reader that has seen enough (`| head`) is no error.

use std::io::{self, ErrorKind, Write};

use super::Failure;

/// Prints `text` and a line end.
pub(super) fn line(text: &str) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    done(writeln!(out, "{text}").and_then(|()| out.flush()))
}

/// Prints `value` as indented JSON.
pub(super) fn json(value: &impl serde::Serialize) -> Result<(), Failure> {
    line(&encode(serde_json::to_string_pretty(value))?)
}

/// Prints `value` as JSON on one line.
pub(super) fn json_line(value: &impl serde::Serialize) -> Result<(), Failure> {
    line(&encode(serde_json::to_string(value))?)
}

fn encode(text: serde_json::Result<String>) -> Result<String, Failure> {
    text.map_err(|error| Failure::new(error.to_string()))
}

fn done(result: io::Result<()>) -> Result<(), Failure> {
    match result {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Err(Failure::ended()),
        Err(error) => Err(Failure::new(format!("cannot write the output: {error}"))),
        Ok(()) => Ok(()),
    }
}
