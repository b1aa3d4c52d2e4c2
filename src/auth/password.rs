//! Passwords: how they are stored, how they are checked and which ones are accepted.
//!
//! * [`PasswordHash`]: the stored form. Argon2id with the parameters of the OWASP Password Storage
//!   Cheat Sheet (m = 19 MiB, t = 2, p = 1; RFC 9106), in the PHC string format.
//! * [`PasswordHasher`]: the service that computes hashes on two threads of its own with a bounded
//!   queue, so that a storm of log-ins can neither fill the memory nor stop the readings.
//! * [`PasswordPolicy`]: which new passwords are accepted (NIST SP 800-63B: length and a list of
//!   common ones, no composition rules), with texts that patients can read.
//!
//! A password is normalised to Unicode NFKC before it is hashed, so that `ñ` typed on a phone and
//! on a desktop keyboard is the same password (NIST SP 800-63B-4 section 3.1.1.2). The legacy hash
//! inside a wrapped one was made from the bytes as they were typed, so those are not normalised.

mod hash;
mod hasher;
mod policy;

pub use hash::{HashError, Memory, PasswordHash, StoredHashError};
pub use hasher::{HasherLimits, PasswordHasher};
pub use policy::{PasswordPolicy, PolicyError};

use icu_normalizer::ComposingNormalizerBorrowed;

use super::Secret;

/// The password in Unicode NFKC.
fn normalize(password: &Secret) -> Secret {
    Secret::new(
        ComposingNormalizerBorrowed::new_nfkc()
            .normalize(password.expose())
            .into_owned(),
    )
}
