//! The replicas of the network, and what is known of how far each has come.

use islet_sync::causality::mark;
use islet_sync::chain::{Head, ReplicaId};
use islet_sync::dot::VersionVector;
use islet_sync::id::ReplicaNumber;
use rusqlite::Row;

use super::branches::{self, Cuts};
use super::entity::MEMBER;
use super::logs::KnownLog;
use super::tx::{Read, all, one};
use super::{StoreError, WriteTx, removal};
use crate::domain::time::Timestamp;

/// One replica of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    /// Row id.
    pub id: i64,
    /// The number that its row ids carry.
    pub number: ReplicaNumber,
    /// Its random name.
    pub replica_id: ReplicaId,
    /// Signs its log and its connections to peers.
    pub public_key: [u8; 32],
    /// Signs its access tokens.
    pub token_key: [u8; 32],
    /// What people call its node.
    pub name: String,
    /// Where it is reached: HOST:PORT.
    pub addresses: Vec<String>,
    /// Since when.
    pub created_at: Timestamp,
    /// Set once it was revoked: its changes count up to this one. Ask [`is_out`] whether its node was.
    pub cut_seq: Option<u64>,
}

/// What a new row says.
#[derive(Clone, Debug)]
pub struct NewMember<'a> {
    /// See [`Member`]; so for all.
    pub number: ReplicaNumber,
    /// Random name.
    pub replica_id: ReplicaId,
    /// Key.
    pub public_key: [u8; 32],
    /// Key.
    pub token_key: [u8; 32],
    /// Name.
    pub name: &'a str,
    /// Addresses.
    pub addresses: &'a [String],
}

const SELECT: &str = "SELECT id, number, replica_id, public_key, token_key, name, addresses, created_at, cut_seq FROM member";

/// All replicas that ever were, in the order of their rows.
///
/// # Errors
/// When the disk fails.
pub fn list(tx: &impl Read) -> Result<Vec<Member>, StoreError> {
    all(tx, &format!("{SELECT} ORDER BY id"), [], from_row)
}

/// What people call the node of a replica, or of a branch of its log.
///
/// # Errors
/// When the disk fails.
pub fn name_of(tx: &impl Read, number: u32) -> Result<Option<String>, StoreError> {
    let sql = "SELECT name FROM member WHERE number = ? ORDER BY id LIMIT 1";
    if let Some(name) = one(tx, sql, [number], |row| row.get(0))? {
        return Ok(Some(name));
    }
    let sql = "SELECT branch_of FROM log WHERE number = ?";
    match one(tx, sql, [number], |row| row.get(0))?.flatten() {
        Some(left) => name_of(tx, left),
        None => Ok(None),
    }
}

/// What people call the node with this key now.
pub(super) fn name_of_key(members: &[Member], public_key: &[u8; 32]) -> String {
    let same = members.iter().filter(|it| it.public_key == *public_key);
    let newest = same.max_by_key(|it| (it.created_at, it.number));
    newest.map_or_else(|| "an unknown node".to_owned(), |it| it.name.clone())
}

/// Makes a replica known to the network.
///
/// # Errors
/// When the disk fails.
pub fn insert(tx: &mut WriteTx<'_>, new: &NewMember<'_>) -> Result<i64, StoreError> {
    let now = tx.now_of().0;
    let addresses = json(new.addresses)?;
    // Which access tokens are good is to be looked at again.
    tx.end_sessions();
    tx.insert(
        &MEMBER,
        &[
            i64::from(new.number.get()).into(),
            (&new.replica_id.0).into(),
            (&new.public_key).into(),
            (&new.token_key).into(),
            new.name.into(),
            (&addresses).into(),
            now.into(),
            None::<i64>.into(),
            None::<&str>.into(),
            None::<i64>.into(),
        ],
    )
}

/// Notes where a replica is reached.
///
/// # Errors
/// When the disk fails.
pub fn set_addresses(
    tx: &mut WriteTx<'_>,
    id: i64,
    addresses: &[String],
) -> Result<(), StoreError> {
    let addresses = json(addresses)?;
    tx.update(&MEMBER, id, &[("addresses", (&addresses).into())])
}

/// Says what people call a replica's node.
///
/// # Errors
/// When the disk fails.
pub fn set_name(tx: &mut WriteTx<'_>, id: i64, name: &str) -> Result<(), StoreError> {
    tx.update(&MEMBER, id, &[("name", name.into())])
}

/// Cuts off all replicas that a node was, as far as their logs are here, and the branches of those logs, which get rows of
/// their own for that.
///
/// # Errors
/// When the disk fails.
pub fn revoke_node(tx: &mut WriteTx<'_>, public_key: &[u8; 32]) -> Result<(), StoreError> {
    let members = list(tx)?;
    let same = members
        .iter()
        .filter(|it| it.public_key == *public_key && it.cut_seq.is_none());
    for member in same {
        let family = branches::family(tx, member.number)?;
        let own = |log: &&KnownLog| log.introduction.number == member.number;
        let head = family.iter().find(own).map(|log| log.head);
        let head = head.unwrap_or_else(|| Head::genesis(member.replica_id));
        set_cut(tx, member.id, &head)?;
        let branches = family
            .iter()
            .filter(|log| log.introduction.branch.is_some());
        for log in branches {
            let id = insert_branch(tx, member, log.introduction.number)?;
            set_cut(tx, id, &log.head)?;
        }
    }
    removal::note_heard(tx)
}

/// A row for a branch, which is older than any replica of its node, since it is none.
fn insert_branch(
    tx: &mut WriteTx<'_>,
    member: &Member,
    branch: ReplicaNumber,
) -> Result<i64, StoreError> {
    let addresses = json(&member.addresses)?;
    tx.insert(
        &MEMBER,
        &[
            i64::from(branch.get()).into(),
            (&member.replica_id.0).into(),
            (&member.public_key).into(),
            (&member.token_key).into(),
            (&*member.name).into(),
            (&addresses).into(),
            0.into(),
            None::<i64>.into(),
            None::<&str>.into(),
            None::<i64>.into(),
        ],
    )
}

/// Cuts a replica off after a change.
///
/// # Errors
/// When the disk fails.
pub fn set_cut(tx: &mut WriteTx<'_>, id: i64, end: &Head) -> Result<(), StoreError> {
    let now = tx.now_of().0;
    tx.update(
        &MEMBER,
        id,
        &[
            ("cut_seq", end.seq.cast_signed().into()),
            ("cut_hash", (&end.hash).into()),
            ("revoked_at", now.into()),
        ],
    )
}

/// Whether the node with this key was thrown out. With one of the replicas that it was, all are, those too that
/// it became without the knowledge of whoever threw it out: the key is trusted no more.
#[must_use]
pub fn is_out(members: &[Member], public_key: &[u8; 32]) -> bool {
    let mut same = members.iter().filter(|it| it.public_key == *public_key);
    same.any(|member| member.cut_seq.is_some())
}

/// Whether a replica will write nothing any more that counts: its node is another one now, or was thrown out. Alone in
/// a network that has no rows yet, a node knows only of those that it was itself.
#[must_use]
pub fn is_gone(members: &[Member], number: u32) -> bool {
    let member = members.iter().find(|it| it.number.get() == number);
    member.map_or(members.is_empty(), |it| {
        !is_newest(members, it) || is_out(members, &it.public_key)
    })
}

/// What every member has applied; `None` when this node is alone in its network.
///
/// Nobody waits for a node that was thrown out, once all of it that counts is here.
///
/// # Errors
/// When the disk fails.
pub(super) fn stable(tx: &WriteTx<'_>) -> Result<Option<VersionVector>, StoreError> {
    let state = tx.state();
    let members = list(tx)?;
    let applied = |number| state.causality.applied().seq(number);
    let (mut live, mut ended) = (Vec::new(), Vec::new());
    let cuts = Cuts::load(tx)?;
    for member in &members {
        match cuts.of(tx, member.number, &member.public_key)? {
            Some(cut) if applied(member.number) >= cut => {}
            // What it wrote before may cross something that happened here.
            Some(_) => live.push(member.number),
            None if is_newest(&members, member) => live.push(member.number),
            None => ended.push(member.number),
        }
    }
    if live.iter().chain(&ended).all(|number| *number == state.me) {
        return Ok(None);
    }
    let mut causality = (*state.causality).clone();
    causality.restore(state.me, state.head.seq, mark(&state.head.hash));
    Ok(Some(causality.stable(
        state.me,
        &live,
        &ended,
        &state.acknowledged.lock(),
    )))
}

/// Whether it is the replica that its node is now: those before it ended when the node was restored.
#[must_use]
pub fn is_newest(members: &[Member], member: &Member) -> bool {
    let age = |it: &Member| (it.created_at, it.number);
    let same = members
        .iter()
        .filter(|other| other.public_key == member.public_key);
    same.max_by_key(|other| age(other))
        .is_none_or(|newest| newest.id == member.id)
}

fn json(addresses: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(addresses).map_err(|error| StoreError::Damaged(error.to_string()))
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Member> {
    let addresses: String = row.get(6)?;
    Ok(Member {
        id: row.get(0)?,
        number: ReplicaNumber::new(row.get(1)?).map_err(|_| rusqlite::Error::InvalidQuery)?,
        replica_id: ReplicaId(row.get(2)?),
        public_key: row.get(3)?,
        token_key: row.get(4)?,
        name: row.get(5)?,
        addresses: serde_json::from_str(&addresses).unwrap_or_default(),
        created_at: Timestamp(row.get(7)?),
        cut_seq: row.get::<_, Option<i64>>(8)?.map(i64::cast_unsigned),
    })
}
