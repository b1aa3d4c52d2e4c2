//! Log-ins and refresh tokens. Holds digests, never tokens.
//!
//! They are replicated, so that a phone may go on at any node. What a family of tokens has come to is read
//! from the rows of its tokens, of whichever node they are. Must never make a session good again that has ended.

use std::collections::BTreeSet;

use rusqlite::{Row, params};

use super::entity::{Entity, PATIENT, REFRESH_TOKEN, SESSION, STAFF};
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx};
use crate::auth::refresh::{FamilyState, RefreshRecord};
use crate::domain::actor::{Actor, Role, Who};
use crate::domain::audit::{Entry, Object, Outcome};
use crate::domain::time::Timestamp;
use crate::limits;

/// How much of a token's digest is stored, in bytes. Tokens are random, so nobody finds another with the
/// same half; and the logs of all nodes hold every digest for ever.
const DIGEST_BYTES: usize = 16;

/// Whose session or code it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// A patient's.
    Patient(i64),
    /// A member of staff's.
    Staff(i64),
}

impl Owner {
    pub(super) fn columns(self) -> (Option<i64>, Option<i64>) {
        match self {
            Self::Patient(id) => (Some(id), None),
            Self::Staff(id) => (None, Some(id)),
        }
    }

    /// The column that names it.
    pub(super) const fn column(self) -> &'static str {
        match self {
            Self::Patient(_) => "patient_id",
            Self::Staff(_) => "staff_id",
        }
    }

    pub(super) const fn account(self) -> (&'static Entity, i64) {
        match self {
            Self::Patient(id) => (&PATIENT, id),
            Self::Staff(id) => (&STAFF, id),
        }
    }

    pub(super) fn from_row(row: &Row<'_>, first: usize) -> rusqlite::Result<Self> {
        match (row.get(first)?, row.get(first + 1)?) {
            (Some(id), None) => Ok(Self::Patient(id)),
            (None, Some(id)) => Ok(Self::Staff(id)),
            _ => Err(rusqlite::Error::InvalidQuery),
        }
    }
}

/// What a request with an access token needs to know of its session.
#[derive(Clone, Debug)]
pub struct SessionStatus {
    /// Whose it is.
    pub owner: Owner,
    /// The newest generation of its tokens.
    pub generation: u64,
    /// Whether a token of that generation is known to have been used.
    pub generation_used: bool,
    /// Whether it was ended: by log-out, by staff, or for misuse.
    pub revoked: bool,
    /// Whether the account may not be used.
    pub blocked: bool,
    /// Whether the owner must choose another password first.
    pub password_reset_required: bool,
    /// The role of staff; `None` for patients, and for staff without any.
    pub role: Option<Role>,
}

/// How much of a digest is stored.
pub(super) fn stored_digest(digest: &[u8; 32]) -> &[u8] {
    &digest[..DIGEST_BYTES]
}

/// The newest generation of a session `s`, and whether a token of it was used here.
const GENERATION: &str =
    "coalesce((SELECT max(generation) FROM refresh_token WHERE session_id = s.id), 0)";
const IS_USED: &str =
    "EXISTS (SELECT 1 FROM session_use u WHERE u.session_id = s.id AND u.generation >=
    coalesce((SELECT max(generation) FROM refresh_token WHERE session_id = s.id), 0))";
/// Whether a session `s` of a patient `p` or a member of staff `f` has ended.
const IS_OVER: &str =
    "s.revoked_at IS NOT NULL OR s.access_epoch < coalesce(p.access_epoch, f.access_epoch)";
const WITH_ACCOUNT: &str =
    "LEFT JOIN patient p ON p.id = s.patient_id LEFT JOIN staff f ON f.id = s.staff_id";

/// The session of an access token.
///
/// # Errors
/// When the disk fails.
pub fn status(tx: &impl Read, jti: &str) -> Result<Option<SessionStatus>, StoreError> {
    let sql = format!(
        "SELECT s.patient_id, s.staff_id, {IS_OVER},
        coalesce(p.blocked, f.blocked), coalesce(p.password_reset_required, f.password_reset_required),
        (SELECT max(CASE role WHEN 'admin' THEN 2 ELSE 1 END) FROM staff_role r WHERE r.staff_id = s.staff_id),
        {GENERATION}, {IS_USED}
        FROM session s {WITH_ACCOUNT} WHERE s.jti = ? ORDER BY s.id LIMIT 1"
    );
    one(tx, &sql, [jti], |row| {
        let rank: Option<i64> = row.get(5)?;
        Ok(SessionStatus {
            owner: Owner::from_row(row, 0)?,
            generation: row.get::<_, i64>(6)?.cast_unsigned(),
            generation_used: row.get(7)?,
            revoked: row.get(2)?,
            blocked: row.get(3)?,
            password_reset_required: row.get(4)?,
            role: rank.map(|rank| if rank == 2 { Role::Admin } else { Role::Staff }),
        })
    })
}

/// Begins a session whose first refresh token has `digest`.
///
/// # Errors
/// When the disk fails.
pub fn begin(
    tx: &mut WriteTx<'_>,
    jti: &str,
    owner: Owner,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    let now = tx.now();
    forget(tx)?;
    let (patient_id, staff_id) = owner.columns();
    let epoch = access_epoch(tx, owner)?;
    let row = tx.insert(
        &SESSION,
        &[
            jti.into(),
            patient_id.into(),
            staff_id.into(),
            epoch.into(),
            now.0.into(),
            expires_at.0.into(),
            None::<i64>.into(),
        ],
    )?;
    insert_token(
        tx,
        row,
        &FamilyState::begin(now.0),
        true,
        digest,
        expires_at,
    )
}

/// Forgets a few sessions and tokens that expired, without a change.
fn forget(tx: &WriteTx<'_>) -> Result<(), StoreError> {
    let (now, few) = (tx.now().0, limits::EXPIRED_ROWS_A_WRITE);
    let kept = i64::try_from(limits::SESSION_KEPT.as_millis()).unwrap_or(i64::MAX);
    for (table, before) in [
        ("session", now.saturating_sub(kept)),
        ("refresh_token", now),
    ] {
        let sql = format!(
            "DELETE FROM {table} WHERE id IN
             (SELECT id FROM {table} WHERE expires_at < ? ORDER BY expires_at LIMIT ?)"
        );
        tx.local(&sql, params![before, few])?;
    }
    Ok(())
}

/// What a session or code of this account must have to be good.
pub(super) fn access_epoch(tx: &impl Read, owner: Owner) -> Result<i64, StoreError> {
    let (entity, id) = owner.account();
    let sql = format!("SELECT access_epoch FROM {} WHERE id = ?", entity.name);
    Ok(one(tx, &sql, [id], |row| row.get(0))?.unwrap_or_default())
}

/// A presented refresh token with its family.
#[derive(Clone, Debug)]
pub struct Presented {
    /// Row id of the session.
    pub session: i64,
    /// What access tokens and the audit log call it.
    pub jti: String,
    /// Whose it is.
    pub owner: Owner,
    /// The token.
    pub record: RefreshRecord,
    /// The family.
    pub family: FamilyState,
}

/// Looks up a refresh token.
///
/// # Errors
/// When the disk fails.
pub fn presented(tx: &impl Read, digest: &[u8; 32]) -> Result<Option<Presented>, StoreError> {
    let sql = format!(
        "SELECT s.patient_id, s.staff_id, s.id, s.jti, t.generation, t.replaced, t.expires_at,
         {GENERATION}, {IS_USED}, {IS_OVER},
         (SELECT issued_at FROM refresh_token WHERE session_id = s.id ORDER BY generation DESC, issued_at DESC LIMIT 1)
         FROM refresh_token t JOIN session s ON s.id = t.session_id {WITH_ACCOUNT}
         WHERE t.digest = ? ORDER BY t.id LIMIT 1"
    );
    one(tx, &sql, [stored_digest(digest)], |row| {
        Ok(Presented {
            owner: Owner::from_row(row, 0)?,
            session: row.get(2)?,
            jti: row.get(3)?,
            record: RefreshRecord {
                generation: row.get::<_, i64>(4)?.cast_unsigned(),
                replaced: row.get(5)?,
                expires_at_ms: row.get(6)?,
            },
            family: FamilyState {
                generation: row.get::<_, i64>(7)?.cast_unsigned(),
                current_used: row.get(8)?,
                revoked: row.get(9)?,
                issued_at_ms: row.get(10)?,
            },
        })
    })
}

/// Stores the token that is handed out for `found`, whose family has become `family`.
///
/// # Errors
/// When the disk fails.
pub fn advance(
    tx: &mut WriteTx<'_>,
    found: &Presented,
    family: &FamilyState,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    // A session that is used for years must not keep every token that it ever had.
    forget(tx)?;
    let opens = family.generation > found.family.generation;
    insert_token(tx, found.session, family, opens, digest, expires_at)?;
    let sql = "UPDATE session SET expires_at = max(expires_at, ?) WHERE id = ?";
    tx.local(sql, [expires_at.0, found.session])?;
    Ok(())
}

/// An access token of this generation of a session was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct SessionUse {
    pub(super) session_id: String,
    pub(super) generation: u64,
}

/// Notes it.
pub(super) fn note_use(tx: &WriteTx<'_>, used: &SessionUse) -> Result<(), StoreError> {
    let sql = "INSERT INTO session_use (session_id, generation)
               SELECT id, ?2 FROM session WHERE jti = ?1 ORDER BY id LIMIT 1
               ON CONFLICT DO UPDATE SET generation = max(generation, excluded.generation)";
    tx.local(sql, params![used.session_id, used.generation.cast_signed()])?;
    Ok(())
}

/// Marks all but the newest `keep` live tokens of a generation as replaced.
///
/// # Errors
/// When the disk fails.
pub fn replace_siblings(
    tx: &mut WriteTx<'_>,
    session: i64,
    family: &FamilyState,
    keep: u32,
) -> Result<(), StoreError> {
    let sql =
        "SELECT id FROM refresh_token WHERE session_id = ? AND generation = ? AND replaced = 0
               ORDER BY issued_at DESC, id DESC LIMIT -1 OFFSET ?";
    let values = params![session, generation(family)?, keep];
    let replaced: Vec<i64> = all(tx, sql, values, |row| row.get(0))?;
    for id in replaced {
        tx.update(&REFRESH_TOKEN, id, &[("replaced", 1_i64.into())])?;
    }
    Ok(())
}

/// The row of a session, by what access tokens call it.
///
/// # Errors
/// When the disk fails.
pub fn by_jti(tx: &impl Read, jti: &str) -> Result<Option<i64>, StoreError> {
    let sql = "SELECT id FROM session WHERE jti = ? ORDER BY id LIMIT 1";
    one(tx, sql, [jti], |row| row.get(0))
}

/// When the bearer of a good session chose the account's present password; none when somebody else did, or nobody
/// since the session began. Of the older sessions, only that of whoever chooses another password goes on
/// ([`revoke_all`]).
///
/// # Errors
/// When the disk fails.
pub fn password_chosen_at(
    tx: &impl Read,
    jti: &str,
    owner: Owner,
) -> Result<Option<Timestamp>, StoreError> {
    let sql = format!(
        "SELECT s.access_epoch FROM session s {WITH_ACCOUNT} WHERE s.id = ? AND s.{} = ?
         AND NOT ({IS_OVER}) AND s.created_at < s.access_epoch",
        owner.column()
    );
    let (_, id) = owner.account();
    let Some(session) = by_jti(tx, jti)? else {
        return Ok(None);
    };
    one(tx, &sql, [session, id], |row| row.get(0).map(Timestamp))
}

/// Ends one session, once and for all.
///
/// # Errors
/// When the disk fails.
pub fn revoke(tx: &mut WriteTx<'_>, session: i64) -> Result<(), StoreError> {
    let sql = "SELECT 1 FROM session WHERE id = ? AND revoked_at IS NULL";
    if one(tx, sql, [session], |_| Ok(()))?.is_some() {
        let now = tx.now().0;
        tx.update(&SESSION, session, &[("revoked_at", now.into())])?;
    }
    Ok(())
}

/// Ends all sessions and recovery codes of an account, but for the session `except`: also those that another
/// node gives out before it knows of this. The codes stay until they expire, spent: one of them may be sent again.
///
/// # Errors
/// When the disk fails.
pub fn revoke_all(
    tx: &mut WriteTx<'_>,
    owner: Owner,
    except: Option<&str>,
) -> Result<(), StoreError> {
    let epoch = access_epoch(tx, owner)?;
    let next = tx.now().0.max(epoch.saturating_add(1));
    let (entity, id) = owner.account();
    tx.update(entity, id, &[("access_epoch", next.into())])?;
    let kept = except.map(|jti| by_jti(tx, jti));
    if let Some(kept) = kept.transpose()?.flatten() {
        tx.update(&SESSION, kept, &[("access_epoch", next.into())])?;
    }
    Ok(())
}

/// Ends sessions whose refresh token was exchanged by two nodes, see `families.rs`. Each node that finds it
/// says so: whatever rows others have forgotten, all come to know.
pub(super) fn end_forked(tx: &mut WriteTx<'_>, sessions: &BTreeSet<i64>) -> Result<(), StoreError> {
    let sql = "SELECT jti, patient_id, staff_id FROM session WHERE id = ? AND revoked_at IS NULL";
    for session in sessions {
        let read = |row: &Row<'_>| Ok((row.get(0)?, Owner::from_row(row, 1)?));
        let Some((jti, owner)) = one(tx, sql, [session], read)? else {
            continue;
        };
        revoke(tx, *session)?;
        let actor = Actor::system().becomes(Who::System, Some(jti));
        let entry = Entry::new(&actor, "session.refresh")
            .outcome(Outcome::Denied)
            .detail(
                "exchanged at two nodes that were cut off from each other: the session was ended",
            );
        tx.append_audit(&match owner {
            Owner::Patient(id) => entry.of_patient(id).on(Object::Patient, id),
            Owner::Staff(id) => entry.on(Object::Staff, id),
        })?;
    }
    Ok(())
}

fn insert_token(
    tx: &mut WriteTx<'_>,
    session: i64,
    family: &FamilyState,
    opens: bool,
    digest: &[u8; 32],
    expires_at: Timestamp,
) -> Result<(), StoreError> {
    tx.insert(
        &REFRESH_TOKEN,
        &[
            stored_digest(digest).into(),
            session.into(),
            generation(family)?.into(),
            opens.into(),
            family.issued_at_ms.into(),
            expires_at.0.into(),
            false.into(),
        ],
    )?;
    Ok(())
}

fn generation(family: &FamilyState) -> Result<i64, StoreError> {
    i64::try_from(family.generation).map_err(|e| StoreError::Damaged(e.to_string()))
}
