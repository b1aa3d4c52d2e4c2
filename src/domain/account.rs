//! What patients and staff have in common: e-mail addresses and user names.

use super::text::{self, Invalid};

/// An e-mail address that could be delivered: one `@`, a local part, a domain with a dot.
///
/// Deliberately simpler than RFC 5321: the only proof of an address is a mail that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// # Errors
    /// When the text is not an address.
    pub fn parse(value: &str) -> Result<Self, Invalid> {
        let value = text::line(value)?;
        let well_formed = value.split_once('@').is_some_and(|(local, domain)| {
            !local.is_empty()
                && local.len() <= 64
                && !domain.contains('@')
                && domain.contains('.')
                && domain.split('.').all(|label| !label.is_empty())
                && !value.contains(|c: char| c.is_whitespace() || "<>()[],;:\\\"".contains(c))
        });
        if !well_formed {
            return Err(Invalid::new(
                "must be an e-mail address such as ana@example.org",
                "debe ser una dirección como ana@example.org",
            ));
        }
        Ok(Self(value))
    }

    /// The address as typed.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The log-in name of a member of staff: 3 to 50 letters, digits, `.`, `-` or `_`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Username(String);

impl Username {
    /// # Errors
    /// When the text is not a user name.
    pub fn parse(value: &str) -> Result<Self, Invalid> {
        let ok = (3..=50).contains(&value.len())
            && value
                .chars()
                .all(|c| c.is_ascii_alphanumeric() || ".-_".contains(c));
        if !ok {
            return Err(Invalid::new(
                "must be 3 to 50 letters, digits, dots, dashes or underscores",
                "debe tener de 3 a 50 letras, números, puntos, guiones o guiones bajos",
            ));
        }
        Ok(Self(value.to_owned()))
    }

    /// The name as typed; compared without regard to case.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        for good in [
            "ana@clinic.test",
            "test40123456@diabetactic.com",
            " a.b+c@x.co ",
        ] {
            assert!(Email::parse(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "ana",
            "@x.y",
            "a@",
            "a@b",
            "a@b..c",
            "a b@c.d",
            "a@b@c.d",
            "a@b.c\r\nBcc: x@y.z",
            "<a@b.c>",
        ] {
            assert!(Email::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn user_names() {
        assert!(Username::parse("dra.paz").is_ok());
        for bad in ["", "ab", "a b c", "ñandú", &"x".repeat(51)] {
            assert!(Username::parse(bad).is_err(), "{bad}");
        }
    }
}
