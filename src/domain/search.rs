//! What somebody typed to find a patient: words of the name, or the beginning of a DNI.
//!
//! Accents, case and the dots of a DNI make no difference.

use icu_normalizer::DecomposingNormalizerBorrowed;

use super::text::Invalid;

/// What is looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Search {
    words: Vec<String>,
    dni: String,
}

impl Search {
    /// Reads what was typed; `chars_max` bounds it.
    ///
    /// # Errors
    /// When there is nothing to look for, or it is too long.
    pub fn parse(text: &str, chars_max: usize) -> Result<Self, Invalid> {
        if text.chars().count() > chars_max {
            return Err(Invalid::new(
                format!("must have at most {chars_max} characters"),
                format!("puede tener como máximo {chars_max} caracteres"),
            ));
        }
        let words: Vec<String> = fold(text).split_whitespace().map(str::to_owned).collect();
        if words.is_empty() {
            return Err(Invalid::new("must not be empty", "no puede quedar vacío"));
        }
        Ok(Self {
            dni: bare(text),
            words,
        })
    }

    /// Whether this patient is meant: each word begins a word of the name, or the DNI begins like this.
    #[must_use]
    pub fn finds(&self, dni: &str, name: &str, surname: &str) -> bool {
        if bare(dni).starts_with(&self.dni) && !self.dni.is_empty() {
            return true;
        }
        let (name, surname) = (fold(name), fold(surname));
        let begins = |word: &String| {
            let mut of_name = name.split_whitespace().chain(surname.split_whitespace());
            of_name.any(|part| part.starts_with(word.as_str()))
        };
        self.words.iter().all(begins)
    }
}

/// Small letters without accents.
fn fold(text: &str) -> String {
    let apart = DecomposingNormalizerBorrowed::new_nfd().normalize(text);
    let is_accent = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    let plain = apart.chars().filter(|c| !is_accent(c));
    plain.flat_map(char::to_lowercase).collect()
}

/// A DNI without the dots and spaces that people write into it.
fn bare(dni: &str) -> String {
    let kept = dni.chars().filter(|c| c.is_ascii_alphanumeric());
    kept.map(|c| c.to_ascii_lowercase()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finds(typed: &str) -> bool {
        let search = Search::parse(typed, 100).unwrap();
        search.finds("30.111.222", "María José", "Núñez Pérez")
    }

    #[test]
    fn names_are_found_by_the_beginnings_of_their_words() {
        for typed in [
            "maria",
            "MARÍA",
            "nunez",
            "per mar",
            " jose  nu ",
            "30111",
            "30.111.222",
        ] {
            assert!(finds(typed), "{typed}");
        }
        for typed in ["aria", "maria gomez", "111222", "3011122299", "ana"] {
            assert!(!finds(typed), "{typed}");
        }
    }

    #[test]
    fn nothing_and_too_much_are_refused() {
        for bad in ["", "  ", &"a".repeat(101)] {
            assert!(Search::parse(bad, 100).is_err(), "{bad}");
        }
        // Signs alone are no DNI that everything begins with.
        assert!(!Search::parse("--", 100).unwrap().finds("1", "Ana", "Paz"));
    }
}
