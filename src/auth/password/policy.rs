//! [`PasswordPolicy`]: which new passwords are accepted.
//!
//! NIST SP 800-63B-4 section 3.1.1.2: a minimum length, a generous maximum, a list of
//! common passwords, nothing that the account itself tells, and no rules about kinds of characters.
//! The texts reach patients, so they are in plain Spanish and say what to do; operators get them in English.
//! They never repeat the password.

use icu_normalizer::DecomposingNormalizerBorrowed;
use thiserror::Error;

use super::normalize;
use crate::auth::Secret;
use crate::limits::{
    PASSWORD_CHARS_MAX, PASSWORD_NAME_CHARS_MIN, PASSWORD_PATIENT_CHARS_MIN,
    PASSWORD_STAFF_CHARS_MIN,
};

/// The passwords that are tried first, one a line, in lower case: the top of the usual lists, with
/// what is popular in Argentina.
const COMMON: &str = include_str!("common.txt");

/// Why a new password was refused.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum PolicyError {
    /// Too few characters.
    #[error("La contraseña debe tener al menos {min} caracteres")]
    TooShort {
        /// Fewest characters accepted.
        min: usize,
    },
    /// Too many characters.
    #[error("La contraseña puede tener como máximo {max} caracteres")]
    TooLong {
        /// Most characters accepted.
        max: usize,
    },
    /// On the list of common passwords, or made of one or two different characters.
    #[error("Esa contraseña es muy fácil de adivinar. Elija otra")]
    TooEasy,
    /// The DNI, or made of the name, user name or e-mail address of the account.
    #[error("La contraseña no puede ser el nombre, el DNI, el usuario ni el correo. Elija otra")]
    SameAsAccount,
}

impl PolicyError {
    /// The same for operators, of a value that was named before.
    #[must_use]
    pub fn in_english(&self) -> String {
        match self {
            Self::TooShort { min } => format!("must have at least {min} characters"),
            Self::TooLong { max } => format!("must have at most {max} characters"),
            Self::TooEasy => "is too easy to guess: choose another".to_owned(),
            Self::SameAsAccount => {
                "must not be the name, DNI, user name or e-mail address: choose another".to_owned()
            }
        }
    }
}

/// The rules for a new password of one kind of account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PasswordPolicy {
    /// Fewest characters.
    pub chars_min: usize,
    /// Most characters.
    pub chars_max: usize,
}

impl PasswordPolicy {
    /// Patients: 6 to 128 characters, as the app has it.
    pub const PATIENT: Self = Self {
        chars_min: PASSWORD_PATIENT_CHARS_MIN,
        chars_max: PASSWORD_CHARS_MAX,
    };

    /// Staff and admins: 12 to 128 characters.
    pub const STAFF: Self = Self {
        chars_min: PASSWORD_STAFF_CHARS_MIN,
        chars_max: PASSWORD_CHARS_MAX,
    };

    /// Accepts or refuses `password`; `account` are the DNI, names, user name and e-mail address of
    /// its owner, as far as there are any.
    ///
    /// # Errors
    /// [`PolicyError`] with a text for the owner.
    pub fn check(&self, password: &Secret, account: &[&str]) -> Result<(), PolicyError> {
        // Cheap and before the normalisation, which may take its time with a huge text.
        if password.expose().len() > self.chars_max.saturating_mul(4) {
            return Err(PolicyError::TooLong {
                max: self.chars_max,
            });
        }
        let password = normalize(password);
        let chars = password.expose().chars().count();
        if chars < self.chars_min {
            return Err(PolicyError::TooShort {
                min: self.chars_min,
            });
        }
        if chars > self.chars_max {
            return Err(PolicyError::TooLong {
                max: self.chars_max,
            });
        }
        let folded = Secret::new(password.expose().trim().to_lowercase());
        if is_monotonous(folded.expose()) || COMMON.lines().any(|line| line == folded.expose()) {
            return Err(PolicyError::TooEasy);
        }
        if tells_account(folded.expose(), account) {
            return Err(PolicyError::SameAsAccount);
        }
        Ok(())
    }
}

/// Whether `password` is one of the names of the account, or the part before the `@` of one; or
/// made of words of these names, with or without accents, and nothing else but digits and signs.
fn tells_account(password: &str, account: &[&str]) -> bool {
    let is_name = account.iter().any(|name| {
        let name = name.trim().to_lowercase();
        let local = name.split('@').next().unwrap_or_default();
        password == name || password == local
    });
    let names = account.iter().flat_map(|name| name.split('@').next());
    let names = names.map(without_accents).collect::<Vec<_>>().join(" ");
    let mut words: Vec<_> = names
        .split(|c: char| !c.is_alphabetic())
        .filter(|word| word.chars().count() >= PASSWORD_NAME_CHARS_MIN)
        .collect();
    // The longest first: a name may begin with another.
    words.sort_by_key(|word| std::cmp::Reverse(word.len()));
    let plain = Secret::new(without_accents(password));
    let take_out = |rest: Secret, word: &&str| Secret::new(rest.expose().replace(word, ""));
    let rest = words.iter().fold(plain.clone(), take_out);
    is_name || (rest.expose() != plain.expose() && !rest.expose().chars().any(char::is_alphabetic))
}

/// In lower case; `ñ` is `n`.
fn without_accents(text: &str) -> String {
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd().normalize(text);
    let is_accent = |c: &char| ('\u{300}'..='\u{36f}').contains(c);
    let plain: String = decomposed.chars().filter(|c| !is_accent(c)).collect();
    plain.to_lowercase()
}

/// Whether there are at most two different characters.
fn is_monotonous(password: &str) -> bool {
    let mut chars = password.chars();
    let first = chars.next();
    let second = chars.clone().find(|&other| Some(other) != first);
    chars.all(|other| Some(other) == first || Some(other) == second)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rstest::rstest;

    use super::*;

    fn check(policy: PasswordPolicy, password: &str) -> Result<(), PolicyError> {
        let account = [
            "40123456",
            "mgarcia",
            "Maria.Garcia@example.com",
            "María Eva",
            "Núñez",
        ];
        policy.check(&Secret::new(password.to_owned()), &account)
    }

    #[rstest]
    #[case::short("ab1c2", Err(PolicyError::TooShort { min: 6 }))]
    #[case::empty("", Err(PolicyError::TooShort { min: 6 }))]
    #[case::just_long_enough("ab1c2d", Ok(()))]
    #[case::six_letters_with_accents("ñandú7", Ok(()))]
    #[case::common("123456", Err(PolicyError::TooEasy))]
    #[case::common_in_capitals("QWERTY", Err(PolicyError::TooEasy))]
    #[case::common_in_argentina("argentina", Err(PolicyError::TooEasy))]
    #[case::one_character("zzzzzzzz", Err(PolicyError::TooEasy))]
    #[case::two_characters("z9z9z9z9z9", Err(PolicyError::TooEasy))]
    #[case::blank("        ", Err(PolicyError::TooEasy))]
    #[case::dni("40123456", Err(PolicyError::SameAsAccount))]
    #[case::username("MGarcia", Err(PolicyError::SameAsAccount))]
    #[case::mail("maria.garcia@example.com", Err(PolicyError::SameAsAccount))]
    #[case::mail_local_part("maria.garcia", Err(PolicyError::SameAsAccount))]
    #[case::surname("Núñez1", Err(PolicyError::SameAsAccount))]
    #[case::name_without_accent("maria-1985", Err(PolicyError::SameAsAccount))]
    #[case::names_in_a_row("NunezMaria!", Err(PolicyError::SameAsAccount))]
    #[case::part_of_the_mail("garcia2026", Err(PolicyError::SameAsAccount))]
    #[case::short_name("eva-2026", Ok(()))]
    #[case::name_and_more("maria y su perro", Ok(()))]
    #[case::phrase("mi perro come pasto", Ok(()))]
    fn patients(#[case] password: &str, #[case] expected: Result<(), PolicyError>) {
        assert_eq!(check(PasswordPolicy::PATIENT, password), expected);
    }

    #[test]
    fn staff_need_twelve_characters() {
        let short = check(PasswordPolicy::STAFF, "eleven char");
        assert_eq!(short, Err(PolicyError::TooShort { min: 12 }));
        assert_eq!(check(PasswordPolicy::STAFF, "twelve chars"), Ok(()));
        assert_eq!(
            check(PasswordPolicy::STAFF, "password1234"),
            Err(PolicyError::TooEasy)
        );
    }

    #[test]
    fn length_is_counted_in_characters_and_ends_at_128() {
        let long: String = "ñandú-".chars().cycle().take(128).collect();
        assert_eq!(check(PasswordPolicy::PATIENT, &long), Ok(()));
        let too_long = Err(PolicyError::TooLong { max: 128 });
        assert_eq!(
            check(PasswordPolicy::PATIENT, &format!("{long}x")),
            too_long
        );
        assert_eq!(
            check(PasswordPolicy::PATIENT, &"y".repeat(1 << 20)),
            too_long
        );
    }

    #[test]
    fn texts_are_plain_spanish() {
        let text = PolicyError::TooShort { min: 6 }.to_string();
        assert_eq!(text, "La contraseña debe tener al menos 6 caracteres");
    }

    #[test]
    fn the_list_is_clean_and_every_entry_is_refused() {
        let lines: Vec<_> = COMMON.lines().collect();
        assert!(lines.len() >= 300, "only {} passwords", lines.len());
        let mut sorted = lines.clone();
        sorted.sort_unstable();
        sorted.dedup();
        assert_eq!(sorted.len(), lines.len(), "the list has duplicates");
        for line in lines {
            assert!(
                line.chars().count() >= 6 && line.trim() == line,
                "useless entry {line:?}"
            );
            let refused = check(PasswordPolicy::PATIENT, line);
            assert_eq!(refused, Err(PolicyError::TooEasy), "{line}");
        }
    }

    proptest! {
        #[test]
        fn any_text_gets_an_answer(text in ".{0,200}") {
            let chars = normalize(&Secret::new(text.clone())).expose().chars().count();
            let answer = check(PasswordPolicy::PATIENT, &text);
            prop_assert!(answer.is_err() || (6..=128).contains(&chars));
        }
    }
}
