//! What this replica has to put right after changes of others came in: the queue's own housekeeping.
//!
//! Each thing is done by one replica only (its author, or the one that opened the day), as an ordinary
//! change, so that nothing is done twice and everybody sees the same. Must come to rest: done twice, the
//! second time does nothing.

use super::tx::all;
use super::{StoreError, WriteTx, queue, rights};
use crate::domain::queue::QueueState;

/// Puts right what concerns this replica. The caller appends the audit entry.
///
/// # Errors
/// When the disk fails.
pub(super) fn reconcile(tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
    end_later_entries(tx)?;
    let day = queue::current_day(tx)?;
    let (first, last) = tx.state().me.row_ids();
    if !(first..=last).contains(&day.id) {
        return Ok(());
    }
    rights::settle_size(tx, &day)?;
    // Who waits since a day that was opened elsewhere at the same time moves on, while there are places.
    let sql = "SELECT id FROM queue_entry INDEXED BY queue_entry_live
               WHERE state IN ('PENDING', 'ACCEPTED', 'DENIED', 'CREATED')
               AND state IN ('PENDING', 'ACCEPTED') AND queue_day_id <> ? ORDER BY created_at, id";
    let waiting: Vec<i64> = all(tx, sql, [day.id], |row| row.get(0))?;
    for placement in waiting {
        if rights::available(tx, &day)? <= 0 {
            break;
        }
        queue::move_to_day(tx, placement, day.id)?;
    }
    Ok(())
}

/// A patient who asked on two nodes has two entries; the earlier counts, and who wrote the later ends it.
fn end_later_entries(tx: &mut WriteTx<'_>) -> Result<(), StoreError> {
    let (first, last) = tx.state().me.row_ids();
    let sql = "SELECT id FROM queue_entry AS later INDEXED BY queue_entry_live
               WHERE state IN ('PENDING', 'ACCEPTED', 'DENIED', 'CREATED') AND id BETWEEN ? AND ?
               AND EXISTS (SELECT 1 FROM queue_entry AS earlier INDEXED BY queue_entry_live
                 WHERE earlier.state IN ('PENDING', 'ACCEPTED', 'DENIED', 'CREATED')
                 AND earlier.patient_id = later.patient_id
                 AND (earlier.created_at, earlier.id) < (later.created_at, later.id))";
    let later: Vec<i64> = all(tx, sql, [first, last], |row| row.get(0))?;
    for placement in later {
        queue::set_state(tx, placement, QueueState::Cleared)?;
    }
    Ok(())
}
