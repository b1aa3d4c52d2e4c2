//! Going on as another replica, when this one's log can no longer be trusted to be its only copy
//! (`islet_sync::incarnation`).
//!
//! What the replica wrote stays: its log becomes one like those of others, of which peers may know more. The
//! new one begins with an empty log, no rights, and row ids of its own. Must never use a seq of the old log again.

use islet_sync::chain::{Head, ReplicaId, Signer};
use islet_sync::id::ReplicaNumber;
use islet_sync::incarnation::{Database, Decision, at_start};
use rusqlite::{Connection, params};

use super::lease::Lease;
use super::log_state::LogState;
use super::{StoreError, WriteTx, logs, replica};

/// What the database says of itself, for the decision at the start.
pub(super) fn database(connection: &Connection) -> Result<Database, StoreError> {
    let sql = "SELECT replica_id, starts, change_seq FROM replica";
    Ok(connection.query_row(sql, [], |row| {
        Ok(Database {
            replica: ReplicaId(row.get(0)?),
            starts: row.get::<_, i64>(1)?.cast_unsigned(),
            seq: row.get::<_, i64>(2)?.cast_unsigned(),
        })
    })?)
}

/// Whether the database may go on as the replica that it is. A new one is known to nobody yet.
pub(super) fn decide(database: &Database, lease: &Lease) -> Decision {
    if database.starts == 0 && lease.outside.is_none() {
        return Decision::GoOn;
    }
    at_start(lease.outside.as_ref(), database, lease.same_machine())
}

/// Makes this database a new replica with this id and number. The caller writes its first change, which
/// introduces it.
///
/// # Errors
/// When the disk fails or the number is taken.
pub fn renew(
    tx: &mut WriteTx<'_>,
    signer: &Signer,
    id: ReplicaId,
    number: ReplicaNumber,
) -> Result<(), StoreError> {
    let old = replica::get(tx)?;
    let (me, head) = (tx.state().me, tx.state().head);
    while logs::seal(tx, signer)? > 0 {}
    let mark = islet_sync::causality::mark(&head.hash);
    let seq = head.seq.cast_signed();
    let sql = "INSERT INTO log (number, replica_id, public_key, seq, hash, applied, applied_mark)
               VALUES (?1, ?2, ?3, ?4, ?5, ?4, ?6)";
    let key = signer.public_key();
    tx.local(
        sql,
        params![me.get(), old.replica_id.0, key, seq, head.hash, mark],
    )?;
    let sql = "UPDATE replica SET number = ?, replica_id = ?, change_seq = 0, change_hash = ?, starts = 1";
    tx.local(sql, params![number.get(), id.0, id.genesis()])?;
    let fresh = LogState::load(tx.connection_of(), tx.state().lanes())?;
    let head = Head::genesis(id);
    tx.state_mut().become_replica(fresh, head);
    Ok(())
}
