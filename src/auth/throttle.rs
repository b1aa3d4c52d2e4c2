//! The throttle of log-ins: so many *failed* ones a minute for an account, and so many accounts with
//! failed ones for an address.
//!
//! (OWASP Authentication Cheat Sheet, "Login Throttling"; NIST SP 800-63B-4 section 3.2.2.)
//! A right password never counts and is never refused for what others do right: a waiting room may
//! log in at the same second from one address. But it is not known to be right until the hash is
//! computed, and a hundred guesses sent at once must not all be tried. So every attempt under way
//! counts as a failure until it is decided: an account or address with `f` failures may have
//! `limit - f` attempts under way. Those beyond *wait* a bounded time until one is decided; once
//! there are `limit` failures they are refused. Since the node computes only two hashes at once,
//! five at a time make nobody wait longer than the hashing itself would.
//!
//! * An address answers for accounts, not for attempts: a whole clinic may share it, and one person who
//!   mistypes five times must not shut the door on the others. Whoever tries a common password on many
//!   accounts is stopped at the sixth; with five accounts, by the limit of each.
//! * A success forgives the account's failures, and what the address answers for because of it; not
//!   the other accounts: with one of one's own one could otherwise guess those of others without end.
//! * An attempt that ends without a verdict (the node was busy) counts for nothing: its caller has
//!   learnt nothing. So that nobody spends the node's hashes by hanging up, check the password and
//!   record the outcome in a task that goes on when the connection is closed.
//! * Addresses of IPv6 count by their /64, which is what one subscriber gets. Behind a reverse
//!   proxy pass the address of the client, else the whole world is one address.
//! * Unknown accounts are counted like known ones, so that the answer tells nothing.
//! * The memory is bounded. If it is full, the entry with the fewest failures makes room; to push
//!   out a full one, an attacker needs `limit` failures, each a hash, for every entry there is,
//!   which takes longer than the window.
//!
//! No clock: times are milliseconds of any monotonic clock. Nothing is kept over a restart.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use thiserror::Error;
use tokio::sync::{Notify, Semaphore};

mod windows;

use crate::limits::{
    LOGIN_ACCOUNT_FAILURES_MAX, LOGIN_ADDRESS_FAILURES_MAX, LOGIN_KEYS_MAX, LOGIN_WAIT_MAX,
    LOGIN_WAITERS_MAX, LOGIN_WINDOW, RECOVERY_MAILS_A_WINDOW_MAX,
};
use windows::{Admission, Keys, Windows};

/// What is tried. Each kind counts for itself: those who ask for a mail because they forgot their
/// password must not shut out the others behind the same address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Tried {
    /// A password.
    LogIn,
    /// To have a recovery mail sent.
    RecoveryMail,
    /// A recovery code.
    RecoveryCode,
}

/// The bounds of a [`Throttle`]; the default takes them from `limits`.
#[derive(Debug, Clone, Copy)]
pub struct ThrottleLimits {
    /// Failures of one account within the window.
    pub account_failures: usize,
    /// Accounts with failures of one address within the window.
    pub address_failures: usize,
    /// Recovery mails of one account within the window.
    pub account_mails: usize,
    /// How long a failure counts.
    pub window_ms: u64,
    /// Accounts, and addresses, that are remembered.
    pub keys: usize,
    /// Attempts that may wait at once.
    pub waiters: usize,
    /// How long one may wait.
    pub wait: Duration,
}

impl Default for ThrottleLimits {
    fn default() -> Self {
        Self {
            account_failures: LOGIN_ACCOUNT_FAILURES_MAX,
            address_failures: LOGIN_ADDRESS_FAILURES_MAX,
            account_mails: RECOVERY_MAILS_A_WINDOW_MAX,
            window_ms: LOGIN_WINDOW.as_secs() * 1_000,
            keys: LOGIN_KEYS_MAX,
            waiters: LOGIN_WAITERS_MAX,
            wait: LOGIN_WAIT_MAX,
        }
    }
}

/// Refused without looking at the password: answer 429 with `Retry-After`.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq)]
#[error("too many failed log-ins; try again in {seconds} s")]
pub struct RetryAfter {
    /// Whole seconds until it is worth trying again, at least 1.
    pub seconds: u64,
}

/// Counts failed log-ins. Cheap to clone; the clones share their counts.
#[derive(Clone)]
pub struct Throttle {
    windows: Arc<Mutex<Windows>>,
    decided: Arc<Notify>,
    waiters: Arc<Semaphore>,
    wait: Duration,
}

impl Throttle {
    /// A throttle without any failures.
    #[must_use]
    pub fn new(limits: ThrottleLimits) -> Self {
        Self {
            windows: Arc::new(Mutex::new(Windows::new(limits))),
            decided: Arc::default(),
            waiters: Arc::new(Semaphore::new(limits.waiters)),
            wait: limits.wait,
        }
    }

    /// [`Throttle::check_for`] a log-in.
    ///
    /// # Errors
    /// [`RetryAfter`] if there were too many failures, or too many attempts are waiting.
    pub async fn check(
        &self,
        account: &str,
        address: IpAddr,
        now_ms: impl Fn() -> u64,
    ) -> Result<Attempt, RetryAfter> {
        self.check_for(Tried::LogIn, account, address, now_ms).await
    }

    /// Asks to try a password for `account` (with its kind, such as `patient:40123456`) from
    /// `address`. Tell the [`Attempt`] how it ended. `now_ms` reads a monotonic clock.
    ///
    /// # Errors
    /// [`RetryAfter`] if there were too many failures, or too many attempts are waiting.
    pub async fn check_for(
        &self,
        what: Tried,
        account: &str,
        address: IpAddr,
        now_ms: impl Fn() -> u64,
    ) -> Result<Attempt, RetryAfter> {
        let keys = Keys::new(what, account, address);
        match self.try_admit(keys, now_ms()) {
            Admission::Admitted => return Ok(self.attempt(keys)),
            Admission::Refused(retry_after) => return Err(retry_after),
            Admission::Wait => {}
        }
        let crowded = RetryAfter { seconds: 1 };
        let _waiter = self.waiters.try_acquire().map_err(|_| crowded)?;
        tokio::time::timeout(self.wait, self.wait_for_admission(keys, now_ms))
            .await
            .map_err(|_| crowded)?
    }

    async fn wait_for_admission(
        &self,
        keys: Keys,
        now_ms: impl Fn() -> u64,
    ) -> Result<Attempt, RetryAfter> {
        loop {
            let decided = self.decided.notified();
            tokio::pin!(decided);
            // From here on no decision is missed, whoever makes it.
            decided.as_mut().enable();
            match self.try_admit(keys, now_ms()) {
                Admission::Admitted => return Ok(self.attempt(keys)),
                Admission::Refused(retry_after) => return Err(retry_after),
                Admission::Wait => decided.await,
            }
        }
    }

    fn try_admit(&self, keys: Keys, now_ms: u64) -> Admission {
        self.with_windows(|windows| windows.try_admit(keys, now_ms))
    }

    fn attempt(&self, keys: Keys) -> Attempt {
        Attempt {
            throttle: self.clone(),
            keys,
        }
    }

    fn with_windows<T>(&self, change: impl FnOnce(&mut Windows) -> T) -> T {
        change(&mut self.windows.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// What takes no more attempts for now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[must_use = "somebody should know"]
pub struct Closed {
    /// The account.
    pub account: bool,
    /// The address.
    pub address: bool,
}

/// An admitted attempt: counts as a failure until it is decided or dropped.
#[must_use = "an attempt that is dropped counts for nothing"]
pub struct Attempt {
    throttle: Throttle,
    keys: Keys,
}

impl Attempt {
    /// The password was wrong, or there is no such account. Tells what this failure was the last
    /// of: what comes next is refused, and is not worth a note each time.
    pub fn record_failure(self, now_ms: u64) -> Closed {
        self.throttle
            .with_windows(|windows| windows.record_failure(self.keys, now_ms))
    }

    /// The password was right: forgives the earlier failures of this account.
    pub fn record_success(self) {
        self.throttle
            .with_windows(|windows| windows.forgive_account(self.keys));
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        self.throttle
            .with_windows(|windows| windows.release(self.keys));
        self.throttle.decided.notify_waiters();
    }
}

#[cfg(test)]
mod tests;
