//! Opaque secrets that are handed to a person or a phone once: refresh tokens, tokens in recovery
//! mails and codes that staff read out at the desk.
//!
//! Only [`digest`](OpaqueToken::digest) is ever stored. The digests are BLAKE3 in `derive_key`
//! mode with a context of their own for each purpose, so that a secret of one kind is never
//! accepted as another. No salt and no slow hash: a token has 256 random bits. A desk code has 48
//! and could be guessed off line from a stolen database, so it must be short-lived, single-use and
//! throttled like a password.
//!
//! The tokens have prefixes (`irt_`, `imt_`) so that secret scanners and people recognise them.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use thiserror::Error;
use zeroize::Zeroizing;

use super::{Random, RandomError, Secret};
use crate::limits::OPAQUE_BYTES_MAX;

/// Random bytes in a token.
const TOKEN_BYTES: usize = 32;
/// Characters of a desk code.
const CODE_CHARS: usize = 10;
/// No 0 O, 1 I L, and no U V: `V` sounds like `B` in Spanish, and `U` is written like it.
const CODE_ALPHABET: &[u8; 29] = b"23456789ABCDEFGHJKMNPQRSTWXYZ";

/// What was presented has not the form of such a secret; answer as for an unknown one.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("not a token or code of this kind; request a new one")]
pub struct NotOpaque;

/// What an [`OpaqueToken`] is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Renewing a session, `irt_...`.
    Refresh,
    /// Choosing a new password, `imt_...`: sent by mail.
    Recovery,
    /// Beginning a live session once, `itk_...`.
    Ticket,
}

impl Purpose {
    fn prefix(self) -> &'static str {
        match self {
            Self::Refresh => "irt_",
            Self::Recovery => "imt_",
            Self::Ticket => "itk_",
        }
    }

    /// Changing one of these texts makes every stored digest of its kind worthless.
    fn context(self) -> &'static str {
        match self {
            Self::Refresh => "islet 2026-01 refresh token digest",
            Self::Recovery => "islet 2026-01 recovery token digest",
            Self::Ticket => "islet 2026-01 ticket digest",
        }
    }
}

/// A token of 256 random bits, 47 characters that are safe in URLs and forms.
#[derive(Debug, Clone)]
pub struct OpaqueToken {
    purpose: Purpose,
    text: Secret,
}

impl OpaqueToken {
    /// Makes a new token.
    ///
    /// # Errors
    /// [`RandomError`] if there are no random bytes.
    pub fn generate(purpose: Purpose, random: &dyn Random) -> Result<Self, RandomError> {
        let mut bytes = Zeroizing::new([0; TOKEN_BYTES]);
        random.fill(bytes.as_mut())?;
        let mut text = purpose.prefix().to_owned();
        URL_SAFE_NO_PAD.encode_string(bytes.as_ref(), &mut text);
        Ok(Self {
            purpose,
            text: Secret::new(text),
        })
    }

    /// Reads a token that somebody presents.
    ///
    /// # Errors
    /// [`NotOpaque`] unless it has exactly the form of [`OpaqueToken::generate`].
    pub fn parse(purpose: Purpose, text: &str) -> Result<Self, NotOpaque> {
        if text.len() > OPAQUE_BYTES_MAX {
            return Err(NotOpaque);
        }
        let encoded = text.strip_prefix(purpose.prefix()).ok_or(NotOpaque)?;
        let bytes = Zeroizing::new(URL_SAFE_NO_PAD.decode(encoded).map_err(|_| NotOpaque)?);
        if bytes.len() != TOKEN_BYTES {
            return Err(NotOpaque);
        }
        Ok(Self {
            purpose,
            text: Secret::new(text.to_owned()),
        })
    }

    /// The token, for the one answer or mail that carries it.
    #[must_use]
    pub fn expose(&self) -> &str {
        self.text.expose()
    }

    /// What to store and to look up by.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        blake3::derive_key(self.purpose.context(), self.text.expose().as_bytes())
    }
}

/// A one-time code that staff read out to a patient: ten characters that are hard to confuse.
#[derive(Debug, Clone)]
pub struct DeskCode(Secret);

impl DeskCode {
    /// Makes a new code.
    ///
    /// # Errors
    /// [`RandomError`] if there are no random bytes.
    pub fn generate(random: &dyn Random) -> Result<Self, RandomError> {
        let mut code = Zeroizing::new(String::with_capacity(CODE_CHARS));
        // Bytes that do not fit a whole number of alphabets are drawn again: no character is
        // likelier than another. One draw practically always suffices.
        let mut bytes = Zeroizing::new([0; 4 * CODE_CHARS]);
        while code.len() < CODE_CHARS {
            random.fill(bytes.as_mut())?;
            let fair = 256 / CODE_ALPHABET.len() * CODE_ALPHABET.len();
            let drawn = bytes
                .iter()
                .map(|&byte| usize::from(byte))
                .filter(|&byte| byte < fair);
            for byte in drawn.take(CODE_CHARS - code.len()) {
                code.push(char::from(CODE_ALPHABET[byte % CODE_ALPHABET.len()]));
            }
        }
        Ok(Self(Secret::new(std::mem::take(&mut *code))))
    }

    /// Reads a code that a patient typed: case, spaces and dashes do not matter, and `V` is
    /// taken for the `B` that it was heard as.
    ///
    /// # Errors
    /// [`NotOpaque`] if ten characters of the alphabet do not remain.
    pub fn parse(typed: &str) -> Result<Self, NotOpaque> {
        if typed.len() > OPAQUE_BYTES_MAX {
            return Err(NotOpaque);
        }
        let mut code = Zeroizing::new(String::with_capacity(typed.len()));
        for typed in typed.chars() {
            match typed.to_ascii_uppercase() {
                'V' => code.push('B'),
                letter if letter.is_ascii() && CODE_ALPHABET.contains(&(letter as u8)) => {
                    code.push(letter);
                }
                other if is_separator(other) => {}
                _ => return Err(NotOpaque),
            }
        }
        if code.len() != CODE_CHARS {
            return Err(NotOpaque);
        }
        Ok(Self(Secret::new(std::mem::take(&mut *code))))
    }

    /// The code in groups of 3, 4 and 3 characters, to be read out: `7KQ-M2RT-9XA`.
    #[must_use]
    pub fn grouped(&self) -> Secret {
        let code = self.0.expose();
        Secret::new(format!("{}-{}-{}", &code[..3], &code[3..7], &code[7..]))
    }

    /// What to store and to look up by.
    #[must_use]
    pub fn digest(&self) -> [u8; 32] {
        blake3::derive_key("islet 2026-01 desk code digest", self.0.expose().as_bytes())
    }
}

/// Blanks, and the dashes that keyboards and word processors make of `-`.
fn is_separator(letter: char) -> bool {
    letter.is_whitespace() || matches!(letter, '-' | '.' | '_' | '\u{2010}'..='\u{2015}')
}

#[cfg(test)]
mod tests;
