//! The appointment queue.

use islet_sync::op::Value;
use rusqlite::Row;

use super::entity::{QUEUE_DAY, QUEUE_ENTRY};
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx, rights, settings};
use crate::domain::queue::{Prioritized, QueueDay, QueueEntry, QueueState, SIZE_DEFAULT};

/// The size that the next queue day opens with.
const SIZE_SETTING: &str = "queue_size";
const ENTRY: &str = "SELECT id, patient_id, state, priority FROM queue_entry";
const LIVE: &str = "state IN ('PENDING', 'ACCEPTED', 'DENIED', 'CREATED')";
/// Looks at live entries only: the entries of former days stay in the table for ever.
const BY_LIVE: &str = "INDEXED BY queue_entry_live";

/// The newest queue day; before the first one, a closed day with id 0.
///
/// # Errors
/// When the disk fails.
pub fn current_day(tx: &impl Read) -> Result<QueueDay, StoreError> {
    let sql = "SELECT id, size, closed_at FROM queue_day ORDER BY opened_at DESC, id DESC LIMIT 1";
    let day = one(tx, sql, [], |row| {
        let closed_at: Option<i64> = row.get(2)?;
        Ok(QueueDay {
            id: row.get(0)?,
            size: row.get(1)?,
            open: closed_at.is_none(),
        })
    })?;
    match day {
        Some(day) => Ok(day),
        None => Ok(QueueDay {
            id: 0,
            size: next_size(tx)?,
            open: false,
        }),
    }
}

/// The size that the next queue day opens with.
///
/// # Errors
/// When the disk fails.
pub fn next_size(tx: &impl Read) -> Result<i64, StoreError> {
    let size = settings::get(tx, SIZE_SETTING)?;
    Ok(size
        .and_then(|size| size.parse().ok())
        .unwrap_or(SIZE_DEFAULT))
}

/// Places that waiting and accepted patients hold. They move on with each new day, so those of
/// former days hold none.
///
/// # Errors
/// When the disk fails.
pub fn occupied(tx: &impl Read) -> Result<i64, StoreError> {
    let sql = "SELECT count(*) FROM queue_entry WHERE queue_day_id = ? AND state IN ('PENDING', 'ACCEPTED')";
    let day = current_day(tx)?;
    Ok(one(tx, sql, [day.id], |row| row.get(0))?.unwrap_or(0))
}

/// How many patients of a day were accepted, and how long that took in milliseconds: from the first who came to the last
/// decision. `None` before the first.
///
/// # Errors
/// When the disk fails.
pub fn pace(tx: &impl Read, day: &QueueDay) -> Result<Option<(i64, i64)>, StoreError> {
    let sql = "SELECT count(*), max(updated_at) - min(created_at) FROM queue_entry
               WHERE queue_day_id = ? AND state IN ('ACCEPTED', 'CREATED')";
    let found = one(tx, sql, [day.id], |row| {
        Ok((row.get(0)?, row.get::<_, Option<i64>>(1)?))
    })?;
    Ok(found.and_then(|(decided, taken)| Some((decided, taken?.max(0)))))
}

/// Opens a new day with the size that was last set, and moves those who still wait into it.
/// Entries that had ended stay behind as cleared.
///
/// # Errors
/// When the disk fails.
pub fn open_day(tx: &mut WriteTx<'_>) -> Result<i64, StoreError> {
    let (size, now) = (next_size(tx)?, tx.now().0);
    let before = live_entries(tx, None)?;
    let day = tx.insert(&QUEUE_DAY, &[size.into(), now.into(), Value::Null])?;
    rights::settle_size(
        tx,
        &QueueDay {
            id: day,
            size,
            open: true,
        },
    )?;
    for entry in before {
        if entry.state.occupies() {
            move_to_day(tx, entry.placement, day)?;
        } else {
            set_state(tx, entry.placement, QueueState::Cleared)?;
        }
    }
    Ok(day)
}

/// Moves an entry into a day, at the cost of one of its places.
///
/// # Errors
/// When the disk fails.
pub fn move_to_day(tx: &mut WriteTx<'_>, placement: i64, day: i64) -> Result<(), StoreError> {
    let now = tx.now().0;
    let values = [("queue_day_id", day.into()), ("updated_at", now.into())];
    tx.update(&QUEUE_ENTRY, placement, &values)?;
    rights::take(tx, day, placement)
}

/// Closes a day: nobody can submit any more, the entries stay.
///
/// # Errors
/// When the disk fails.
pub fn close_day(tx: &mut WriteTx<'_>, day: i64) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.update(&QUEUE_DAY, day, &[("closed_at", now.into())])
}

/// Sets the size of the current day and of those to come.
///
/// # Errors
/// When the disk fails.
pub fn set_size(tx: &mut WriteTx<'_>, size: i64) -> Result<(), StoreError> {
    let day = current_day(tx)?;
    if day.id != 0 && day.size != size {
        tx.update(&QUEUE_DAY, day.id, &[("size", size.into())])?;
        rights::settle_size(tx, &QueueDay { size, ..day })?;
    }
    if next_size(tx)? != size {
        tx.set_setting(SIZE_SETTING, &size.to_string())?;
    }
    Ok(())
}

/// Puts a patient at the end of the waiting, for one of the rights that this replica has.
///
/// # Errors
/// When they are in the queue already or the disk fails.
pub fn insert_entry(tx: &mut WriteTx<'_>, day: i64, patient_id: i64) -> Result<i64, StoreError> {
    let now = tx.now().0;
    let placement = tx.insert(
        &QUEUE_ENTRY,
        &[
            day.into(),
            patient_id.into(),
            QueueState::Pending.as_str().into(),
            0.into(),
            Value::Null,
            now.into(),
            now.into(),
        ],
    )?;
    rights::take(tx, day, placement)?;
    Ok(placement)
}

/// Moves an entry to another state.
///
/// # Errors
/// When there is no such entry or the disk fails.
pub fn set_state(
    tx: &mut WriteTx<'_>,
    placement: i64,
    state: QueueState,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.update(
        &QUEUE_ENTRY,
        placement,
        &[("state", state.as_str().into()), ("updated_at", now.into())],
    )
}

/// Lets an entry go before others.
///
/// # Errors
/// When there is no such entry or the disk fails.
pub fn set_priority(
    tx: &mut WriteTx<'_>,
    placement: i64,
    priority: i64,
    reason: Option<&str>,
) -> Result<(), StoreError> {
    let now = tx.now().0;
    tx.update(
        &QUEUE_ENTRY,
        placement,
        &[
            ("priority", priority.into()),
            ("priority_reason", reason.into()),
            ("updated_at", now.into()),
        ],
    )
}

/// An entry of the current queue by placement; entries that were cleared or cancelled included.
///
/// # Errors
/// When the disk fails.
pub fn by_placement(tx: &impl Read, placement: i64) -> Result<Option<QueueEntry>, StoreError> {
    one(tx, &format!("{ENTRY} WHERE id = ?"), [placement], from_row)
}

/// The live entry of a patient.
///
/// # Errors
/// When the disk fails.
pub fn by_patient(tx: &impl Read, patient_id: i64) -> Result<Option<QueueEntry>, StoreError> {
    one(
        tx,
        &format!("{ENTRY} WHERE patient_id = ? AND {LIVE} ORDER BY created_at, id LIMIT 1"),
        [patient_id],
        from_row,
    )
}

/// The live entries, all or those in one state, by placement.
///
/// # Errors
/// When the disk fails.
pub fn live_entries(
    tx: &impl Read,
    state: Option<QueueState>,
) -> Result<Vec<QueueEntry>, StoreError> {
    let sql = format!(
        "{ENTRY} {BY_LIVE} WHERE {LIVE} AND state = coalesce(?, state) ORDER BY created_at, id"
    );
    all(tx, &sql, [state.map(QueueState::as_str)], from_row)
}

/// The live entries that go before others, the first of them first.
///
/// # Errors
/// When the disk fails.
pub fn prioritized(tx: &impl Read) -> Result<Vec<Prioritized>, StoreError> {
    let sql = format!(
        "SELECT id, patient_id, state, priority, priority_reason FROM queue_entry {BY_LIVE}
         WHERE {LIVE} AND priority > 0 ORDER BY priority DESC, id"
    );
    all(tx, &sql, [], |row| {
        Ok(Prioritized {
            entry: from_row(row)?,
            reason: row.get(4)?,
        })
    })
}

/// How many of the waiting go before this entry.
///
/// # Errors
/// When the disk fails.
pub fn rank(tx: &impl Read, entry: &QueueEntry) -> Result<i64, StoreError> {
    let sql = format!(
        "SELECT count(*) FROM queue_entry {BY_LIVE} WHERE {LIVE} AND state = 'PENDING'
         AND (priority > ?1 OR (priority = ?1 AND (created_at, id) <
           (SELECT created_at, id FROM queue_entry WHERE id = ?2)))"
    );
    Ok(one(tx, &sql, [entry.priority, entry.placement], |row| {
        row.get(0)
    })?
    .unwrap_or(0))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<QueueEntry> {
    let state: String = row.get(2)?;
    Ok(QueueEntry {
        placement: row.get(0)?,
        patient_id: row.get(1)?,
        state: QueueState::parse(&state).ok_or(rusqlite::Error::InvalidQuery)?,
        priority: row.get(3)?,
    })
}
