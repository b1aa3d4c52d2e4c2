//! Patients.

use std::borrow::Cow;

use super::account::Email;
use super::text::Invalid;

/// National identity number: the name a patient logs in with.
///
/// Argentina's DNI has seven or eight digits, but passports and old documents also occur, and the
/// legacy system took up to 50 characters: letters, digits, `.` and `-`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Dni(String);

impl Dni {
    /// # Errors
    /// When the text is not a DNI.
    pub fn parse(value: &str) -> Result<Self, Invalid> {
        let value = Self::canonical(value);
        let ok = (1..=50).contains(&value.len())
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-".contains(c));
        if !ok {
            return Err(Invalid::new(
                "must be a DNI: 1 to 50 letters, digits, dots or dashes",
                "debe ser un DNI: de 1 a 50 letras, números, puntos o guiones",
            ));
        }
        Ok(Self(value.into_owned()))
    }

    /// The one form of a number that some people write with dots: `30.111.222` is `30111222`. Whoever is looked for by
    /// what somebody typed is looked for by this.
    #[must_use]
    pub fn canonical(typed: &str) -> Cow<'_, str> {
        let typed = typed.trim();
        let digits = || typed.bytes().filter(|byte| *byte != b'.');
        if typed.contains('.')
            && digits().next().is_some()
            && digits().all(|it| it.is_ascii_digit())
        {
            return Cow::Owned(typed.replace('.', ""));
        }
        Cow::Borrowed(typed)
    }

    /// The text in its one form.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// A patient as staff register one. The password travels apart, as a hash.
#[derive(Clone, Debug)]
pub struct NewPatient {
    /// Log-in name.
    pub dni: Dni,
    /// Given name.
    pub name: String,
    /// Family name.
    pub surname: String,
    /// Where recovery mails go.
    pub email: Email,
    /// Tidepool account.
    pub tidepool: Option<String>,
    /// Number in the hospital's own records; unique.
    pub hospital_account: String,
    /// Whether the account may not be used.
    pub blocked: bool,
    /// Readings counted elsewhere before.
    pub former_times_measured: i64,
    /// Longest streak reached elsewhere before.
    pub former_max_streak: i64,
}

/// New values of some fields of a patient; `None` leaves a field as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PatientPatch {
    /// Given name.
    pub name: Option<String>,
    /// Family name.
    pub surname: Option<String>,
    /// Where recovery mails go.
    pub email: Option<Email>,
    /// Tidepool account; `Some(None)` removes it.
    pub tidepool: Option<Option<String>>,
    /// Number in the hospital's own records.
    pub hospital_account: Option<String>,
    /// Whether the account may not be used.
    pub blocked: Option<bool>,
}

/// A stored patient with the counters that the app shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Patient {
    /// Row id.
    pub id: i64,
    /// Log-in name.
    pub dni: String,
    /// Given name.
    pub name: String,
    /// Family name.
    pub surname: String,
    /// Where recovery mails go.
    pub email: String,
    /// Tidepool account.
    pub tidepool: Option<String>,
    /// Number in the hospital's own records.
    pub hospital_account: String,
    /// Whether the account may not be used.
    pub blocked: bool,
    /// Readings that count, here and before.
    pub times_measured: i64,
    /// Days in a row, as of today.
    pub streak: i64,
    /// Longest streak ever.
    pub max_streak: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_numbers() {
        for good in ["1000", "30111222", " 40123456 ", "30.111.222", "AAB123456"] {
            assert!(Dni::parse(good).is_ok(), "{good}");
        }
        for bad in ["", " ", "30 111", "1;DROP", "ñ", &"1".repeat(51)] {
            assert!(Dni::parse(bad).is_err(), "{bad}");
        }
        for (typed, stored) in [
            ("30.111.222", "30111222"),
            (" 5.123.456", "5123456"),
            ("AR.30", "AR.30"),
            ("..", ".."),
        ] {
            assert_eq!(Dni::parse(typed).unwrap().as_str(), stored);
        }
    }
}
