//! [`PasswordHash`]: what is stored instead of a password, and the Argon2id computation itself.
//!
//! Stored form of a new password, the PHC string format:
//!
//! ```text
//! $argon2id$v=19$m=19456,t=2,p=1$<salt, 16 bytes>$<hash, 32 bytes>
//! ```
//!
//! The legacy backend kept unsalted SHA-256. Its hashes are *wrapped* at import: Argon2id over the
//! lower-case hex digits, tagged by a `$sha256` in front of the PHC string, so that the weak form
//! is kept nowhere and nobody has to reset a password for the import:
//!
//! ```text
//! $sha256$argon2id$v=19$m=19456,t=2,p=1$<salt>$<hash>
//! ```
//!
//! A stored hash may come from a damaged or hostile database. Its cost is bounded when it is
//! parsed (`limits::PASSWORD_STORED_*`), before any memory is allocated for it.

use std::fmt;

use argon2::password_hash::phc;
use argon2::{Algorithm, Argon2, Block, Params, Version};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;

use super::normalize;
use crate::auth::{RandomError, Secret};
use crate::limits::{
    PASSWORD_STORED_BYTES_MAX, PASSWORD_STORED_LANES_MAX, PASSWORD_STORED_MEMORY_KIB_MAX,
    PASSWORD_STORED_PASSES_MAX,
};

/// Cost of a new hash (OWASP): 19 MiB of memory, two passes, one lane.
const MEMORY_KIB: u32 = 19 * 1024;
const PASSES: u32 = 2;
const LANES: u32 = 1;
/// Bytes of salt in a new hash (RFC 9106 section 3.1 recommends 16).
pub(super) const SALT_BYTES: usize = 16;
const OUTPUT_BYTES: usize = 32;
/// Marks a hash of a legacy hash.
const WRAPPED_TAG: &str = "$sha256";

/// Why a password could not be hashed or checked.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum HashError {
    /// Too many log-ins at once: answer 503 and let the caller try again.
    #[error("too many log-ins at once; try again in a few seconds")]
    Busy,
    /// The system gave no random bytes for the salt.
    #[error(transparent)]
    Random(#[from] RandomError),
    /// The computation itself failed, for instance for lack of memory.
    #[error("the password could not be hashed, perhaps for lack of memory; try again")]
    Internal,
}

/// Why a stored hash was not accepted. The text never contains the hash.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
pub enum StoredHashError {
    /// Not a string of the form that this module writes.
    #[error("the stored password hash is damaged; reset this user's password")]
    Malformed,
    /// The string asks for more memory or time than `limits` allow.
    #[error("the stored password hash asks for too much memory or time; reset the password")]
    TooExpensive,
}

/// The working memory of one hashing thread, reused from hash to hash: glibc does not give
/// Argon2's freed memory back to the system. Nothing is allocated before the first hash.
#[derive(Default)]
pub struct Memory(Vec<Block>);

impl Memory {
    /// Working memory that is allocated at the first hash.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// At least `count` blocks.
    fn blocks(&mut self, count: usize) -> Result<&mut [Block], HashError> {
        if self.0.len() < count {
            self.0
                .try_reserve_exact(count - self.0.len())
                .map_err(|_| HashError::Internal)?;
            self.0.resize(count, Block::new());
        }
        Ok(&mut self.0)
    }

    /// Gives back what a foreign hash with larger parameters needed beyond our own.
    fn trim(&mut self) {
        let own = MEMORY_KIB as usize;
        if self.0.len() > own {
            self.0.truncate(own);
            self.0.shrink_to_fit();
        }
    }
}

/// What the Argon2id hash was made from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Scheme {
    /// The password, in NFKC.
    Direct,
    /// The lower-case hex digits of the password's SHA-256.
    Wrapped,
}

/// A stored password hash whose cost is known to be bearable.
#[derive(Clone, PartialEq, Eq)]
pub struct PasswordHash {
    scheme: Scheme,
    memory_kib: u32,
    passes: u32,
    lanes: u32,
    salt: Vec<u8>,
    output: [u8; OUTPUT_BYTES],
}

impl PasswordHash {
    /// Reads the stored form.
    ///
    /// # Errors
    /// [`StoredHashError`] if it is damaged or asks for too much. Log-in must then go on with
    /// `None`, so that the answer takes the same time, and the node's operator must be told.
    pub fn parse(stored: &str) -> Result<Self, StoredHashError> {
        if stored.len() > PASSWORD_STORED_BYTES_MAX {
            return Err(StoredHashError::Malformed);
        }
        let (scheme, text) = match stored.strip_prefix(WRAPPED_TAG) {
            Some(rest) => (Scheme::Wrapped, rest),
            None => (Scheme::Direct, stored),
        };
        let malformed = StoredHashError::Malformed;
        let parsed = phc::PasswordHash::new(text).map_err(|_| malformed)?;
        if parsed.algorithm.as_str() != "argon2id" || parsed.version != Some(Version::V0x13.into())
        {
            return Err(malformed);
        }
        let (memory_kib, passes, lanes) = costs(&parsed.params)?;
        let output = parsed.hash.ok_or(malformed)?;
        Ok(Self {
            scheme,
            memory_kib,
            passes,
            lanes,
            salt: parsed.salt.ok_or(malformed)?.as_ref().to_vec(),
            output: output.as_bytes().try_into().map_err(|_| malformed)?,
        })
    }

    /// The form to store. Treat it as confidential: it can be attacked off line.
    #[must_use]
    pub fn to_stored(&self) -> String {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD_NO_PAD;
        let tag = if self.scheme == Scheme::Wrapped {
            WRAPPED_TAG
        } else {
            ""
        };
        format!(
            "{tag}$argon2id$v=19$m={},t={},p={}${}${}",
            self.memory_kib,
            self.passes,
            self.lanes,
            STANDARD_NO_PAD.encode(&self.salt),
            STANDARD_NO_PAD.encode(self.output),
        )
    }

    /// True if the hash should be replaced at the next successful log-in: a wrapped legacy hash,
    /// or parameters below today's.
    #[must_use]
    pub fn needs_rehash(&self) -> bool {
        self.is_wrapped()
            || self.memory_kib < MEMORY_KIB
            || self.passes < PASSES
            || self.salt.len() < SALT_BYTES
    }

    /// True for a wrapped legacy hash (its owner must also choose a new password).
    #[must_use]
    pub fn is_wrapped(&self) -> bool {
        self.scheme == Scheme::Wrapped
    }

    /// Hashes `password`. Blocks for some 100 ms.
    pub(super) fn compute(
        password: &Secret,
        salt: [u8; SALT_BYTES],
        memory: &mut Memory,
    ) -> Result<Self, HashError> {
        Self::fresh(Scheme::Direct, normalize(password).expose(), salt, memory)
    }

    /// The hash of `hex`, a SHA-256 in hexadecimal of the system before.
    #[cfg(test)]
    pub(crate) fn wrapped(hex: &str) -> Self {
        Self::fresh(Scheme::Wrapped, hex, [7; SALT_BYTES], &mut Memory::new()).unwrap()
    }

    fn fresh(
        scheme: Scheme,
        input: &str,
        salt: [u8; SALT_BYTES],
        memory: &mut Memory,
    ) -> Result<Self, HashError> {
        let mut hash = Self {
            scheme,
            salt: salt.to_vec(),
            ..Self::dummy()
        };
        hash.output = hash.argon2id(input, memory)?;
        Ok(hash)
    }

    /// Stands in for the hash of a user who does not exist: same cost, matches nothing.
    pub(super) fn dummy() -> Self {
        Self {
            scheme: Scheme::Direct,
            memory_kib: MEMORY_KIB,
            passes: PASSES,
            lanes: LANES,
            salt: vec![0; SALT_BYTES],
            output: [0; OUTPUT_BYTES],
        }
    }

    /// Whether `password` is the one that was hashed, in a time that tells nothing about where
    /// they differ. Both inputs are prepared for either scheme, so that they cost the same.
    pub(super) fn matches(
        &self,
        password: &Secret,
        memory: &mut Memory,
    ) -> Result<bool, HashError> {
        let direct = normalize(password);
        let wrapped = sha256_hex(password);
        let input = match self.scheme {
            Scheme::Direct => direct.expose(),
            Scheme::Wrapped => wrapped.expose(),
        };
        let output = self.argon2id(input, memory)?;
        Ok(output.ct_eq(&self.output).into())
    }

    fn argon2id(&self, input: &str, memory: &mut Memory) -> Result<[u8; OUTPUT_BYTES], HashError> {
        let params = Params::new(self.memory_kib, self.passes, self.lanes, Some(OUTPUT_BYTES))
            .map_err(|_| HashError::Internal)?;
        let blocks = memory.blocks(params.block_count())?;
        let mut output = [0; OUTPUT_BYTES];
        Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
            .hash_password_into_with_memory(input.as_bytes(), &self.salt, &mut output, blocks)
            .map_err(|_| HashError::Internal)?;
        memory.trim();
        Ok(output)
    }
}

impl fmt::Debug for PasswordHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PasswordHash({:?}, ..)", self.scheme)
    }
}

/// Memory in KiB, passes and lanes, each within its bounds; no other parameter is accepted.
fn costs(params: &phc::ParamsString) -> Result<(u32, u32, u32), StoredHashError> {
    let malformed = StoredHashError::Malformed;
    let number = |name| params.get_decimal(name).ok_or(malformed);
    let (memory_kib, passes, lanes) = (number("m")?, number("t")?, number("p")?);
    if params.iter().count() != 3 || passes == 0 || lanes == 0 {
        return Err(malformed);
    }
    if memory_kib > PASSWORD_STORED_MEMORY_KIB_MAX
        || passes > PASSWORD_STORED_PASSES_MAX
        || lanes > PASSWORD_STORED_LANES_MAX
    {
        return Err(StoredHashError::TooExpensive);
    }
    if memory_kib < 8 * lanes {
        return Err(malformed);
    }
    Ok((memory_kib, passes, lanes))
}

/// The legacy backend's hash: SHA-256 of the bytes as typed, in lower-case hex.
fn sha256_hex(password: &Secret) -> Secret {
    let digest = Sha256::digest(password.expose().as_bytes());
    let mut hex = String::with_capacity(64);
    for byte in digest {
        for nibble in [byte >> 4, byte & 15] {
            hex.push(char::from_digit(u32::from(nibble), 16).unwrap_or('0'));
        }
    }
    Secret::new(hex)
}

#[cfg(test)]
mod tests;
