//! What patients and staff have in common: e-mail addresses and user names.

use super::text::{self, Invalid};

/// An e-mail address that could be delivered: one `@`, a local part, a domain with a dot, all of it in ASCII
/// (other letters need mail servers that speak RFC 6531).
///
/// Deliberately simpler than RFC 5321, without quotes: the only proof of an address is a mail that arrives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// # Errors
    /// When the text is not an address.
    pub fn parse(value: &str) -> Result<Self, Invalid> {
        let value = text::line(value)?;
        let well_formed = value.split_once('@').is_some_and(|(local, domain)| {
            local.len() <= 64
                && local.split('.').all(is_atom)
                && domain.contains('.')
                && domain.split('.').all(is_label)
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

/// RFC 5322, section 3.2.3.
fn is_atom(text: &str) -> bool {
    let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-/=?^_`{|}~".contains(c);
    !text.is_empty() && text.chars().all(allowed)
}

/// RFC 1123, section 2.1.
fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '-')
        && !text.starts_with('-')
        && !text.ends_with('-')
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
            "o'higgins_1@sub-1.xn--and-6ma2c.com.ar",
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
            "a@-b.com",
            "a@b-.com",
            "á@b.com",
            "a@ñandú.com",
            ".a@b.com",
            "a..b@c.com",
            "a\"b@c.com",
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
