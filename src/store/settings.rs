//! Settings that hold for the whole clinic, by name.

use super::tx::{Read, one};
use super::{StoreError, WriteTx};

/// The value of a setting, when it was ever set.
///
/// # Errors
/// When the disk fails.
pub fn get(tx: &impl Read, name: &str) -> Result<Option<String>, StoreError> {
    let sql = "SELECT value FROM setting WHERE name = ?";
    one(tx, sql, [name], |row| row.get(0))
}

/// Sets a value.
///
/// # Errors
/// When the disk fails.
pub fn set(tx: &mut WriteTx<'_>, name: &'static str, value: &str) -> Result<(), StoreError> {
    tx.set_setting(name, value)
}
