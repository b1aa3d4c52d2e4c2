//! Settings that hold for the whole clinic. Set by [`super::WriteTx::set_setting`].

use super::StoreError;
use super::tx::{Read, one};

/// The value of a setting.
///
/// # Errors
/// When the disk fails.
pub fn get(tx: &impl Read, name: &str) -> Result<Option<String>, StoreError> {
    one(
        tx,
        "SELECT value FROM setting WHERE name = ?",
        [name],
        |row| row.get(0),
    )
}
