//! The schema and its versions, kept in SQLite's `user_version`.
//!
//! `schema.sql` is always the newest schema; `migrations/` will hold the steps between released
//! ones. Nothing is released yet, so there are none.

use std::path::Path;

use islet_sync::chain::ReplicaId;
use rusqlite::{Connection, params};

use super::{StoreError, audit, connection};
use crate::domain::actor::Actor;
use crate::domain::audit::{Entry, Object};
use crate::domain::time::Timestamp;

/// The version that `schema.sql` describes.
pub(super) const SCHEMA_VERSION: i64 = 1;
pub(super) const SCHEMA: &str = include_str!("../../schema.sql");

/// What a new database is told about itself.
#[derive(Clone, Debug)]
pub struct NewReplica {
    /// Number of the replica; 0 founds a network.
    pub number: u32,
    /// Random name of the replica.
    pub replica_id: ReplicaId,
    /// Random name of the network, made by the replica that founds it.
    pub network: [u8; 16],
    /// Public id of the node.
    pub node_id: String,
    /// Name of the clinic.
    pub clinic: String,
    /// Now.
    pub created_at: Timestamp,
}

/// Creates the database, complete or not at all: it is built beside its place and then moved.
pub(super) fn create(
    path: &Path,
    replica: &NewReplica,
    audit_key: &[u8; 32],
) -> Result<(), StoreError> {
    if path.exists() {
        return Err(StoreError::Exists(path.parent().unwrap_or(path).to_owned()));
    }
    let building = path.with_extension("new");
    let io = |error| StoreError::Io(building.clone(), error);
    // What a crash left of an earlier try, and what belongs to it.
    for suffix in ["new", "new-wal", "new-shm", "new-journal"] {
        match std::fs::remove_file(path.with_extension(suffix)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(io(error)),
            _ => {}
        }
    }
    let mut connection = connection::open_new(&building)?;
    let tx = connection.transaction()?;
    tx.execute_batch(SCHEMA)?;
    let actor = Actor::operator();
    let entry = Entry::new(&actor, "node.init").on(Object::Node, i64::from(replica.number));
    let hash = audit::append(
        &tx,
        audit_key,
        &audit::GENESIS,
        1,
        replica.created_at,
        &entry,
        None,
    )?;
    tx.execute(
        "INSERT INTO replica (only_row, number, replica_id, network, node_id, clinic, created_at, hlc,
                              change_seq, change_hash, audit_seq, audit_hash)
         VALUES (1, ?1, ?2, ?3, ?4, ?5, ?6, 0, 0, ?7, 1, ?8)",
        params![
            replica.number,
            replica.replica_id.0,
            replica.network,
            replica.node_id,
            replica.clinic,
            replica.created_at.0,
            replica.replica_id.genesis(),
            hash
        ],
    )?;
    tx.pragma_update(None, "user_version", SCHEMA_VERSION)?;
    tx.commit()?;
    // Leaves a single file without a write-ahead log beside it.
    connection::set(&connection, "journal_mode", "DELETE", "delete")?;
    drop(connection);
    std::fs::rename(&building, path).map_err(io)?;
    let dir = path.parent().unwrap_or(path);
    std::fs::File::open(dir)
        .and_then(|dir| dir.sync_all())
        .map_err(io)
}

/// Brings an existing database to [`SCHEMA_VERSION`].
pub(super) fn migrate(connection: &Connection) -> Result<(), StoreError> {
    check(connection)
}

/// Whether the database has the schema that this version works with.
pub(super) fn check(connection: &Connection) -> Result<(), StoreError> {
    let found: i64 = connection.pragma_query_value(None, "user_version", |row| row.get(0))?;
    match found {
        SCHEMA_VERSION => Ok(()),
        0 => Err(StoreError::Damaged("it has no schema".into())),
        found => Err(StoreError::Newer {
            found,
            known: SCHEMA_VERSION,
        }),
    }
}
