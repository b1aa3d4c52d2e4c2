//! Texts that people type: trimmed, bounded, without characters that act on those around them.

use std::borrow::Cow;

use thiserror::Error;

/// Longest name, e-mail, insulin brand and the like, in characters.
pub const SHORT_CHARS_MAX: usize = 100;
/// Longest note or free text of a form, in characters.
pub const LONG_CHARS_MAX: usize = 2_000;

/// Why a value cannot be taken. The texts say what to do and repeat nothing secret: English for
/// commands and logs, Spanish for the people of the clinic.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{english}")]
pub struct Invalid {
    english: Cow<'static, str>,
    spanish: Cow<'static, str>,
    /// Whether the Spanish text is a sentence of its own, or says something of a named value.
    sentence: bool,
}

impl Invalid {
    /// What both languages say of the value, such as `must not be empty`.
    #[must_use]
    pub fn new(
        english: impl Into<Cow<'static, str>>,
        spanish: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            english: english.into(),
            spanish: spanish.into(),
            sentence: false,
        }
    }

    /// A Spanish sentence that needs no name of the value, where nobody reads English.
    #[must_use]
    pub fn sentence(spanish: impl Into<Cow<'static, str>>) -> Self {
        let spanish = spanish.into();
        Self::sentences(spanish.clone(), spanish)
    }

    /// What to say of the value in English, and a Spanish sentence that needs no name of it.
    #[must_use]
    pub fn sentences(
        english: impl Into<Cow<'static, str>>,
        spanish: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            english: english.into(),
            spanish: spanish.into(),
            sentence: true,
        }
    }

    /// A Spanish sentence about the value that people know by this name.
    #[must_use]
    pub fn in_spanish(&self, name: &str) -> String {
        let text = self.spanish.trim_end_matches('.');
        if self.sentence {
            format!("{text}.")
        } else {
            format!("{name}: {text}.")
        }
    }
}

/// A required line of text, trimmed.
///
/// # Errors
/// When it is empty, over [`SHORT_CHARS_MAX`] characters, or holds control characters, those that turn the
/// direction of writing among them: a name must not rearrange the line that it is shown in.
pub fn line(value: &str) -> Result<String, Invalid> {
    let value = value.trim();
    if value.is_empty() {
        return Err(Invalid::new("must not be empty", "no puede quedar vacío"));
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
    let allowed = |c: char| match c {
        '\n' | '\r' | '\t' => lines,
        // Separators of lines, and what turns the direction (UAX #9, section 2). Notes keep what they were
        // pasted with.
        '\u{2028}' | '\u{2029}' | '\u{61c}' | '\u{200e}' | '\u{200f}' => lines,
        '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => lines,
        other => !other.is_control(),
    };
    if !value.chars().all(allowed) {
        return Err(Invalid::new(
            "must not contain control characters",
            "tiene caracteres que no se pueden usar",
        ));
    }
    if value.chars().count() > chars_max {
        return Err(Invalid::new(
            format!("must have at most {chars_max} characters"),
            format!("puede tener como máximo {chars_max} caracteres"),
        ));
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
        for turned in [
            "Ana\u{202e}zaP",
            "\u{2066}Ana",
            "A\u{200f}na",
            "A\u{2028}na",
        ] {
            assert!(line(turned).is_err(), "{turned:?}");
            assert!(paragraph(turned).is_ok(), "{turned:?}");
        }
        assert!(line(&"ñ".repeat(SHORT_CHARS_MAX)).is_ok());
        assert!(line(&"ñ".repeat(SHORT_CHARS_MAX + 1)).is_err());
    }

    #[test]
    fn what_is_wrong_is_a_sentence_in_spanish() {
        let empty = line("").unwrap_err();
        assert_eq!(empty.in_spanish("Nombre"), "Nombre: no puede quedar vacío.");
        assert_eq!(empty.to_string(), "must not be empty");
        let weak = Invalid::sentence("Elija otra");
        assert_eq!(weak.in_spanish("Contraseña"), "Elija otra.");
    }

    #[test]
    fn paragraphs_keep_their_lines() {
        assert_eq!(paragraph("a\nb "), Ok("a\nb ".into()));
        assert!(paragraph("a\u{7}").is_err());
    }
}
