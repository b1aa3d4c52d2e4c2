//! Who is it? Passwords, access tokens, refresh tokens, one-time codes and the throttle.
//!
//! Pure primitives: this module never opens the store, never speaks HTTP, never reads a clock and
//! never writes a secret to a log, an error or a `Debug` output. What may be done by whom is
//! decided elsewhere.
//!
//! * [`password`]: Argon2id on its own threads, and the rules for new passwords
//! * [`secret`]: a string that is wiped when dropped
//! * [`opaque`]: refresh tokens, recovery tokens and desk codes
//! * [`random`]: where the random bytes come from
//! * [`refresh`]: which answer a presented refresh token gets
//! * [`throttle`]: how many log-ins may fail
//! * [`token`]: signed access tokens

pub mod opaque;
pub mod password;
pub mod random;
pub mod refresh;
pub mod secret;
pub mod throttle;
pub mod token;

pub use random::{Random, RandomError, SystemRandom};
pub use secret::Secret;
