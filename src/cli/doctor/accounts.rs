//! Checks of accounts: invented people, passwords that everybody knows, and hashes that nobody can match.

use std::sync::Arc;

use super::Finding;
use crate::auth::SystemRandom;
use crate::auth::password::{HasherLimits, PasswordHash, PasswordHasher};
use crate::cli::{Failure, node};
use crate::demo;
use crate::limits::DOCTOR_PAGE;
use crate::service::seed;
use crate::store::{ReadTx, Snapshot, StoreError, patients, staff};

/// A demo must not become a clinic.
pub(super) fn invented(snapshot: &Snapshot) -> Finding {
    let check = "people";
    match snapshot.read(|tx| demo::seed_of(tx)) {
        Ok(None) => Finding::ok(check, "this is no demo"),
        Ok(Some(seed)) => Finding::warn(
            check,
            format!(
                "this is the demo with seed {seed}, all people are invented: start with a new \
                 data directory for real patients"
            ),
        ),
        Err(error) => Finding::fail(check, error.to_string()),
    }
}

/// Nobody should be able to log in with the log-ins of `islet seed`.
pub(super) fn well_known(snapshot: &Snapshot) -> Finding {
    let check = "known log-ins";
    match usable(snapshot) {
        Ok(names) if names.is_empty() => Finding::ok(check, "none"),
        Ok(names) => Finding::warn(
            check,
            format!(
                "ANYBODY CAN LOG IN as {}: no real patient may be on this node; block these \
                 accounts or start with a new data directory",
                names.join(", ")
            ),
        ),
        Err(failure) => Finding::fail(check, failure.text),
    }
}

fn usable(snapshot: &Snapshot) -> Result<Vec<String>, Failure> {
    let candidates = snapshot.read(|tx| seed::candidates(tx))?;
    if candidates.is_empty() {
        return Ok(Vec::new());
    }
    let hasher = PasswordHasher::start(HasherLimits::default(), Arc::new(SystemRandom));
    let hasher = hasher.map_err(|error| Failure::new(error.to_string()))?;
    node::block_on(async { Ok(seed::still_work(&hasher, candidates).await?) })
}

/// Each stored hash must be one that a password can match.
pub(super) fn damaged_hashes(snapshot: &Snapshot) -> Finding {
    let check = "password hashes";
    match snapshot.read(damaged) {
        Ok(names) if names.is_empty() => Finding::ok(check, "all readable"),
        Ok(names) => Finding::fail(
            check,
            format!(
                "damaged for {}: they cannot log in; run `islet user reset-password` for each",
                names.join(", ")
            ),
        ),
        Err(error) => Finding::fail(check, error.to_string()),
    }
}

fn damaged(tx: &ReadTx<'_>) -> Result<Vec<String>, StoreError> {
    let is_damaged = |hash: &str| PasswordHash::parse(hash).is_err();
    let mut names = Vec::new();
    let mut after = 0;
    loop {
        let page = staff::list(tx, after, DOCTOR_PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        let bad = page.iter().filter(|staff| is_damaged(&staff.password_hash));
        names.extend(bad.map(|staff| format!("staff {}", staff.username)));
    }
    after = 0;
    loop {
        let page = patients::list(tx, after, DOCTOR_PAGE)?;
        let Some(last) = page.last() else { break };
        after = last.id;
        for patient in &page {
            let login = patients::login_by_id(tx, patient.id)?;
            if login.is_none_or(|login| is_damaged(&login.password_hash)) {
                names.push(format!("patient {}", patient.dni));
            }
        }
    }
    Ok(names)
}
