//! Texts that people type: trimmed, bounded, without control characters.

use thiserror::Error;

/// Longest name, e-mail, insulin brand and the like, in characters.
pub const SHORT_CHARS_MAX: usize = 100;
/// Longest note or free text of a form, in characters.
pub const LONG_CHARS_MAX: usize = 2_000;

/// Why a value cannot be taken. The text says what to do and repeats nothing secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct Invalid(pub String);

impl Invalid {
    /// Shorthand for a fixed text.
    #[must_use]
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// A required line of text, trimmed.
///
/// # Errors
/// When it is empty, over [`SHORT_CHARS_MAX`] characters, or holds control characters.
pub fn line(value: &str) -> Result<String, Invalid> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Invalid::new("must not be empty"));
    }
    bounded(value, SHORT_CHARS_MAX, false)
}

/// A free text, kept as typed; may be empty and may have several lines.
///
/// # Errors
/// When it is over [`LONG_CHARS_MAX`] characters or holds control characters.
pub fn paragraph(value: &str) -> Result<String, Invalid> {
    bounded(value, LONG_CHARS_MAX, true)
}

fn bounded(value: &str, chars_max: usize, lines: bool) -> Result<String, Invalid> {
    let allowed = |c: char| !c.is_control() || (lines && matches!(c, '\n' | '\r' | '\t'));
    if !value.chars().all(allowed) {
        return Err(Invalid::new("must not contain control characters"));
    }
    if value.chars().count() > chars_max {
        return Err(Invalid(format!("must have at most {chars_max} characters")));
    }
    Ok(value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_and_bounded() {
        assert_eq!(line("  Ana  "), Ok("Ana".into()));
        assert!(line(" \t ").is_err());
        assert!(line("a\0b").is_err());
        assert!(line("a\nb").is_err());
        assert!(line(&"ñ".repeat(SHORT_CHARS_MAX)).is_ok());
        assert!(line(&"ñ".repeat(SHORT_CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn paragraphs_keep_their_lines() {
        assert_eq!(paragraph("a\nb "), Ok("a\nb ".into()));
        assert!(paragraph("a\u{7}").is_err());
    }
}
