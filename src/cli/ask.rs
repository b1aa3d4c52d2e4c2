//! Asking the person at the terminal, and reading passwords from files. Must never print one.

use std::fs::File;
use std::io::{self, BufRead, IsTerminal, Read, Write};
use std::path::Path;

use zeroize::Zeroizing;

use super::Failure;
use crate::auth::Secret;
use crate::limits::PASSWORD_FILE_BYTES_MAX;

/// Whether somebody is there to answer.
pub(super) fn is_interactive() -> bool {
    io::stdin().is_terminal()
}

/// `given`, or what the person types, or `default` when they type nothing or nobody is there.
pub(super) fn or_ask(given: Option<&str>, what: &str, default: &str) -> Result<String, Failure> {
    if let Some(given) = given {
        return Ok(given.to_owned());
    }
    if !is_interactive() {
        return Ok(default.to_owned());
    }
    let mut answer = String::new();
    let mut out = io::stderr().lock();
    let asked = write!(out, "{what} [{default}]: ").and_then(|()| out.flush());
    asked
        .and_then(|()| io::stdin().lock().read_line(&mut answer))
        .map_err(|error| Failure::new(format!("cannot ask: {error}")))?;
    let answer = answer.trim();
    Ok(if answer.is_empty() { default } else { answer }.to_owned())
}

/// The password in `file` (`-` is standard input), or the one that the person types twice.
/// `option` is named when neither is possible.
pub(super) fn password(file: Option<&Path>, whose: &str, option: &str) -> Result<Secret, Failure> {
    if let Some(file) = file {
        return from_file(file);
    }
    if !is_interactive() {
        return Err(Failure::usage(format!(
            "nobody is here to type a password: give it with {option} FILE (- for standard input)"
        )));
    }
    loop {
        let first = prompt(&format!("Password of {whose}: "))?;
        if first.expose() == prompt("The same again: ")?.expose() {
            return Ok(first);
        }
        eprintln!("These were two different passwords.");
    }
}

fn prompt(text: &str) -> Result<Secret, Failure> {
    rpassword::prompt_password(text)
        .map(Secret::new)
        .map_err(|error| Failure::new(format!("cannot ask for a password: {error}")))
}

/// The only line of a file.
fn from_file(path: &Path) -> Result<Secret, Failure> {
    if path.as_os_str() == "-" {
        return one_line(io::stdin().lock(), "standard input");
    }
    let name = path.display().to_string();
    let file = File::open(path).map_err(|error| Failure::new(format!("{name}: {error}")))?;
    one_line(file, &name)
}

/// Reads one line of bounded length; `name` is for errors.
pub(crate) fn one_line(reader: impl Read, name: &str) -> Result<Secret, Failure> {
    let mut text = Zeroizing::new(String::new());
    reader
        .take(PASSWORD_FILE_BYTES_MAX + 1)
        .read_to_string(&mut text)
        .map_err(|error| Failure::new(format!("{name}: {error}")))?;
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let line = line.strip_suffix('\r').unwrap_or(line);
    if line.is_empty() || line.contains('\n') || text.len() as u64 > PASSWORD_FILE_BYTES_MAX {
        return Err(Failure::new(format!(
            "{name} must hold a password on one line and nothing else"
        )));
    }
    Ok(Secret::new(line.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_file_holds_one_line() {
        for (text, expected) in [
            ("secret word", "secret word"),
            ("secret word\n", "secret word"),
            (" ñandú \r\n", " ñandú "),
        ] {
            assert_eq!(one_line(text.as_bytes(), "f").unwrap().expose(), expected);
        }
        for bad in ["", "\n", "a\nb", "a\nb\n", &"x".repeat(5000)] {
            assert!(one_line(bad.as_bytes(), "f").is_err(), "{bad}");
        }
        assert!(one_line(&b"\xff\xfe"[..], "f").is_err());
    }
}
