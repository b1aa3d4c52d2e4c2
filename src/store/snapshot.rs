//! Looking into a database from another process, whether or not a node is serving it.
//!
//! Takes no lock on the directory and changes nothing: not a row, and what a node that ended badly
//! has left in its write-ahead log stays there.

use std::path::Path;
use std::sync::Arc;

use rusqlite::Connection;
use rusqlite::config::DbConfig;

use super::{DATABASE_FILE, ReadTx, StoreError, audit, connection, migrate, schema};
use crate::clock::Clock;

/// Read-only access to a node's database.
pub struct Snapshot {
    connection: Connection,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Snapshot")
    }
}

impl Snapshot {
    /// Opens the database in `dir`.
    ///
    /// # Errors
    /// When there is none, it is damaged, or it belongs to a newer version.
    pub fn open(dir: &Path, clock: Arc<dyn Clock>) -> Result<Self, StoreError> {
        let path = dir.join(DATABASE_FILE);
        if !path.exists() {
            return Err(StoreError::Missing(dir.to_owned()));
        }
        let connection = connection::open_reader(&path)?;
        // SQLite would fold it into the database when the last connection closes. Without it,
        // closing only removes the empty files that opening has made.
        let log = std::fs::metadata(path.with_extension("db-wal"));
        let left_behind = log.is_ok_and(|log| log.len() > 0);
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, left_behind)?;
        migrate::check(&connection)?;
        Ok(Self { connection, clock })
    }

    /// Runs `job` in one consistent view. Blocks; there is no time limit.
    ///
    /// # Errors
    /// The job's own, or that of the disk.
    pub fn read<T, E>(&self, job: impl FnOnce(&ReadTx<'_>) -> Result<T, E>) -> Result<T, E>
    where
        E: From<StoreError>,
    {
        let tx = self.connection.unchecked_transaction();
        let tx = tx.map_err(StoreError::from)?;
        job(&ReadTx::new(&tx, self.clock.now()))
    }

    /// What differs from the schema that a new node has; empty when nothing does.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn schema_problems(&self) -> Result<Vec<String>, StoreError> {
        Ok(schema::differences(&self.connection)?.all())
    }

    /// Tables that somebody has removed.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn missing_tables(&self) -> Result<Vec<String>, StoreError> {
        schema::missing_tables(&self.connection)
    }

    /// Reads the whole audit log of the node in `dir`, which this database is of, and tells what is
    /// wrong with it. One view for each stretch: a long one would keep the write-ahead log of a
    /// running node from being begun anew.
    ///
    /// # Errors
    /// When the disk fails.
    pub fn verify_audit(
        &self,
        dir: &Path,
        key: [u8; 32],
    ) -> Result<audit::AuditReport, StoreError> {
        let mut verifier = audit::Verifier::new(key, dir);
        while !self.read(|tx| verifier.step(tx))? {}
        Ok(verifier.report)
    }

    /// What SQLite's own check of the file finds; empty when it is whole.
    ///
    /// # Errors
    /// When the file cannot even be checked.
    pub fn quick_check(&self) -> Result<Vec<String>, StoreError> {
        let mut statement = self.connection.prepare("PRAGMA quick_check")?;
        let rows = statement.query_map([], |row| row.get::<_, String>(0))?;
        let found = rows.collect::<Result<Vec<_>, _>>()?;
        Ok(found.into_iter().filter(|line| line != "ok").collect())
    }
}
