//! Opening SQLite the one safe way: every setting is made on every connection and read back.
//!
//! `synchronous=FULL` makes an acknowledged write survive a power cut. With NORMAL, simulated
//! power cuts lose acknowledged rows (docs/ARCHITECTURE.md, "Durability").

use std::fs::OpenOptions;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};

use super::StoreError;
use crate::limits;

/// SQLite 3.7.0 to 3.51.2 can corrupt a database when the write-ahead log is reset.
const SQLITE_VERSION_MIN: i32 = 3_051_003;

/// Opens the connection of the writer thread.
pub(super) fn open_writer(path: &Path) -> Result<Connection, StoreError> {
    if !path.exists() {
        return Err(StoreError::Missing(
            path.parent().unwrap_or(path).to_owned(),
        ));
    }
    let connection = open(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE,
        limits::WRITER_CACHE_KIB,
    )?;
    set(&connection, "journal_mode", "WAL", "wal")?;
    // See `wal.rs`.
    set(&connection, "wal_autocheckpoint", "0", "0")?;
    let bytes = limits::WAL_BYTES_MAX.to_string();
    set(&connection, "journal_size_limit", &bytes, &bytes)?;
    let (name, number) = synchronous();
    set(&connection, "synchronous", name, number)?;
    Ok(connection)
}

/// Opens the connection that copies the log back (`wal.rs`) and does nothing else.
pub(super) fn open_copier(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE,
        limits::READER_CACHE_KIB,
    )?;
    set(&connection, "wal_autocheckpoint", "0", "0")?;
    let (name, number) = synchronous();
    set(&connection, "synchronous", name, number)?;
    Ok(connection)
}

/// Opens a connection that cannot write.
pub(super) fn open_reader(path: &Path) -> Result<Connection, StoreError> {
    let connection = open(
        path,
        OpenFlags::SQLITE_OPEN_READ_WRITE,
        limits::READER_CACHE_KIB,
    )?;
    set(&connection, "query_only", "ON", "1")?;
    Ok(connection)
}

/// Opens a new, empty database for [`super::migrate::create`]. Only the owner may read it; SQLite
/// gives its log the same mode.
pub(super) fn open_new(path: &Path) -> Result<Connection, StoreError> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::Io(path.to_owned(), error))?;
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE;
    let connection = open(path, flags, limits::WRITER_CACHE_KIB)?;
    set(&connection, "journal_mode", "WAL", "wal")?;
    set(&connection, "synchronous", "FULL", "2")?;
    Ok(connection)
}

fn open(path: &Path, flags: OpenFlags, cache_kib: u32) -> Result<Connection, StoreError> {
    let version = rusqlite::version_number();
    if version < SQLITE_VERSION_MIN {
        return Err(StoreError::Damaged(format!(
            "SQLite {version} has the WAL-reset bug; {SQLITE_VERSION_MIN} or newer is needed"
        )));
    }
    let connection = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    connection.busy_timeout(limits::BUSY_TIMEOUT)?;
    connection.set_prepared_statement_cache_capacity(limits::STATEMENTS_MAX);
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
    // Otherwise statements are compiled again whenever a bound value changes (STAT4).
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
    set(&connection, "foreign_keys", "ON", "1")?;
    set(&connection, "trusted_schema", "OFF", "0")?;
    set(&connection, "cell_size_check", "ON", "1")?;
    set(&connection, "mmap_size", "0", "0")?;
    set(&connection, "temp_store", "MEMORY", "2")?;
    let cache = format!("-{cache_kib}");
    set(&connection, "cache_size", &cache, &cache)?;
    Ok(connection)
}

/// Sets a pragma and checks that it took: SQLite ignores what it does not know.
pub(super) fn set(
    connection: &Connection,
    name: &str,
    value: &str,
    shown: &str,
) -> Result<(), StoreError> {
    // Some pragmas answer with a row and some do not; either is fine here.
    connection.pragma_update(None, name, value)?;
    let found = connection.pragma_query_value(None, name, |row| {
        row.get_ref(0).map(|value| match value {
            rusqlite::types::ValueRef::Integer(number) => number.to_string(),
            other => other.as_str().unwrap_or_default().to_owned(),
        })
    });
    match found {
        Ok(found) if found == shown => Ok(()),
        // SQLite built without memory mapping has no such pragma, which is what is wanted.
        Err(rusqlite::Error::QueryReturnedNoRows) if name == "mmap_size" => Ok(()),
        Ok(found) => Err(StoreError::Damaged(format!(
            "{name} is {found}, not {shown}"
        ))),
        Err(error) => Err(error.into()),
    }
}

/// FULL, except in debug builds that were asked to lose data: the power-cut test proves with it
/// that it can fail.
fn synchronous() -> (&'static str, &'static str) {
    #[cfg(debug_assertions)]
    if std::env::var_os("ISLET_TEST_SYNCHRONOUS").is_some_and(|value| value == "NORMAL") {
        return ("NORMAL", "1");
    }
    ("FULL", "2")
}
