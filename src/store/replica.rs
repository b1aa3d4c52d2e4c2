//! Which node and replica this database is.

use islet_sync::chain::ReplicaId;
use islet_sync::id::ReplicaNumber;

use super::StoreError;
use super::tx::Read;
use crate::domain::time::Timestamp;

/// What a database knows about itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replica {
    /// Number of the replica; 0 founded the network.
    pub number: u32,
    /// Random name of the replica.
    pub replica_id: ReplicaId,
    /// Name of the network.
    pub network: [u8; 16],
    /// Public id of the node: issuer of its access tokens.
    pub node_id: String,
    /// Name of the clinic, as it was at the start.
    pub clinic: String,
    /// When it was made.
    pub created_at: Timestamp,
}

/// The one row.
///
/// # Errors
/// When the disk fails or the row is missing.
pub fn get(tx: &impl Read) -> Result<Replica, StoreError> {
    let sql = "SELECT number, node_id, clinic, created_at, replica_id, network FROM replica";
    Ok(tx.connection().query_row(sql, [], |row| {
        Ok(Replica {
            number: row.get(0)?,
            node_id: row.get(1)?,
            clinic: row.get(2)?,
            created_at: Timestamp(row.get(3)?),
            replica_id: ReplicaId(row.get(4)?),
            network: row.get(5)?,
        })
    })?)
}

/// The number of this replica.
///
/// # Errors
/// When the disk fails or the row is missing.
pub fn number(tx: &impl Read) -> Result<ReplicaNumber, StoreError> {
    let number = tx
        .connection()
        .query_row("SELECT number FROM replica", [], |row| row.get(0))?;
    ReplicaNumber::new(number).map_err(|error| StoreError::Damaged(error.to_string()))
}
