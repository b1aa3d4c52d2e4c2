//! Logs that were written on in two ways (`islet_sync::branch`): where a run belongs, and which log is meant.
//!
//! A log and its branches are a *family*: they have one replica and one key. On the wire all of them go by the
//! name of the replica, since what a node calls a branch follows from what it knows; a run finds its place by its
//! content. Must never take a run that its author did not sign, nor guess which log somebody had seen.

use std::collections::BTreeMap;

use islet_sync::branch::{Branch, Names};
use islet_sync::causality::{Mark, Sighting};
use islet_sync::chain::{Hash, Head, SIGNATURE_LEN, SignedHead};
use islet_sync::dot::VersionVector;
use islet_sync::exchange::{Introduction, Position, Trail, Vector};
use islet_sync::id::{ReplicaNumber, RowId};
use rusqlite::{Connection, params};

use super::logs::{self, KnownLog};
use super::tx::{Read, all, one};
use super::{StoreError, replica};

/// The branches among the logs, by their numbers. Empty, and free of cost, in a network without forks.
#[derive(Clone, Debug, Default)]
pub(super) struct Branches(BTreeMap<ReplicaNumber, Branch>);

impl Branches {
    pub(super) fn load(connection: &Connection) -> Result<Self, StoreError> {
        let sql = "SELECT number, branch_of, branch_after, branch_first FROM log WHERE branch_of IS NOT NULL";
        let mut statement = connection.prepare(sql)?;
        let rows = statement.query_map([], |row| Ok((number_at(row, 0)?, branch_at(row, 1)?)))?;
        let mut branches = BTreeMap::new();
        for row in rows {
            let (number, branch) = row?;
            branches.extend(branch.map(|branch| (number, branch)));
        }
        Ok(Self(branches))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn get(&self, number: ReplicaNumber) -> Option<&Branch> {
        self.0.get(&number)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = (ReplicaNumber, &Branch)> {
        self.0.iter().map(|(number, branch)| (*number, branch))
    }

    /// Those that leave a log.
    pub(super) fn of(&self, log: ReplicaNumber) -> impl Iterator<Item = (ReplicaNumber, &Branch)> {
        self.iter().filter(move |(_, branch)| branch.of == log)
    }

    /// The log in which a sighting is found: the one that was named, or a branch of it.
    pub(super) fn find(
        &self,
        sighting: &Sighting,
        mark_at: &mut impl FnMut(ReplicaNumber, u64) -> Result<Option<Mark>, StoreError>,
    ) -> Result<Option<ReplicaNumber>, StoreError> {
        let base = self.get(sighting.of).map_or(0, |branch| branch.after);
        // Nothing of a log was seen, whichever it is.
        if sighting.seq == 0
            || (sighting.seq > base && mark_at(sighting.of, sighting.seq)? == Some(sighting.mark))
        {
            return Ok(Some(sighting.of));
        }
        for (of, _) in self.of(sighting.of) {
            let found = self.find(&Sighting { of, ..*sighting }, mark_at)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }
}

pub(super) fn number_at(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<ReplicaNumber> {
    ReplicaNumber::new(row.get(index)?).map_err(|_| rusqlite::Error::InvalidQuery)
}

/// A branch from three columns: of, after, first.
pub(super) fn branch_at(row: &rusqlite::Row<'_>, index: usize) -> rusqlite::Result<Option<Branch>> {
    if row.get::<_, Option<u32>>(index)?.is_none() {
        return Ok(None);
    }
    Ok(Some(Branch {
        of: number_at(row, index)?,
        after: row.get::<_, i64>(index + 1)?.cast_unsigned(),
        first: row.get(index + 2)?,
    }))
}

/// What the numbers in row ids mean, as it was stored: of the branches that were begun.
pub(super) fn load_names(
    connection: &Connection,
    branches: &Branches,
    has_begun: impl Fn(ReplicaNumber) -> bool,
) -> Result<Names, StoreError> {
    let mut names = Names::default();
    if branches.is_empty() {
        return Ok(names);
    }
    for (number, branch) in branches.iter().filter(|(number, _)| has_begun(*number)) {
        names.restore_branch(number, branch);
    }
    let mut rows = connection.prepare("SELECT entity, row_id, seq FROM branch_row")?;
    let rows = rows.query_map([], |row| {
        let id = RowId::from_i64(row.get(1)?).map_err(|_| rusqlite::Error::InvalidQuery)?;
        Ok((row.get(0)?, id, row.get::<_, i64>(2)?.cast_unsigned()))
    })?;
    for row in rows {
        let (entity, id, seq) = row?;
        names.restore_row(entity, id, seq);
    }
    let mut meant = connection.prepare("SELECT author, said, meant FROM branch_meaning")?;
    let meant = meant.query_map([], |row| {
        Ok((number_at(row, 0)?, number_at(row, 1)?, number_at(row, 2)?))
    })?;
    for row in meant {
        let (author, said, meant) = row?;
        names.restore_meant(author, said, meant);
    }
    Ok(names)
}

/// Keeps what is meant, for [`load_names`].
pub(super) fn save_meant(tx: &impl Read, names: &Names) -> Result<(), StoreError> {
    let execute = |sql: &str, values: &[u32]| {
        let mut statement = tx.connection().prepare_cached(sql)?;
        statement.execute(rusqlite::params_from_iter(values))
    };
    execute("DELETE FROM branch_meaning", &[])?;
    let sql = "INSERT INTO branch_meaning (author, said, meant) VALUES (?, ?, ?)";
    for (author, said, meant) in names.meant() {
        execute(sql, &[author.get(), said.get(), meant.get()])?;
    }
    Ok(())
}

/// All logs of the replica that this number names, the log itself first. This replica's own log counts as one without
/// branches.
///
/// # Errors
/// When the disk fails.
pub fn family(tx: &impl Read, number: ReplicaNumber) -> Result<Vec<KnownLog>, StoreError> {
    if let Some(log) = logs::known_log(tx, number)? {
        let who = log.introduction;
        let mut family = logs::of_replica(tx, who.replica)?;
        family.retain(|log| log.introduction.public_key == who.public_key);
        family.sort_by_key(|log| (log.introduction.branch.is_some(), log.introduction.number));
        return Ok(family);
    }
    Ok(Vec::new())
}

/// The head of a log at a seq of its own part: not of what it shares with the log that it left.
pub(super) fn own_head_at(
    tx: &impl Read,
    log: &KnownLog,
    seq: u64,
) -> Result<Option<Head>, StoreError> {
    let who = &log.introduction;
    if seq == log.head.seq && (who.branch.is_none() || seq > log.base.seq) {
        return Ok(Some(log.head));
    }
    if seq > log.head.seq || (who.branch.is_some() && seq <= log.base.seq) {
        return Ok(None);
    }
    logs::hash_at(tx, who.number, who.replica, seq)
}

/// Where a run belongs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placed {
    /// All of it is here: its end is this head of this log.
    Known(ReplicaNumber, Head),
    /// What comes before it is missing.
    Gap,
    /// Nothing that fits here, in these logs, is signed by its author.
    Forged(Vec<ReplicaNumber>),
    /// Its changes from `from` on are new.
    New(Box<New>),
}

/// The part of a run that is new.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct New {
    /// The log that it follows.
    pub log: KnownLog,
    /// Where it follows it: at its end, or else it is another continuation.
    pub at: Head,
    /// How many changes of the run are here.
    pub from: usize,
    /// The heads after its new changes.
    pub heads: Vec<Head>,
    /// The end.
    pub end: SignedHead,
}

impl New {
    /// Whether the log goes on here in another way.
    #[must_use]
    pub fn forks(&self) -> bool {
        self.at != self.log.head
    }
}

/// Finds where a run of one of these logs belongs; `digests` are those of its changes.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn place(
    tx: &impl Read,
    family: &[KnownLog],
    first_seq: u64,
    digests: &[Hash],
    signature: &[u8; SIGNATURE_LEN],
) -> Result<Placed, StoreError> {
    let Some(before) = first_seq.checked_sub(1).filter(|_| !digests.is_empty()) else {
        return Ok(Placed::Gap);
    };
    let mut placed = Placed::Gap;
    for log in family {
        let Some(at) = own_head_at(tx, log, before)? else {
            continue;
        };
        let heads = digests.iter().scan(at, |head, digest| {
            *head = head.append(digest);
            Some(*head)
        });
        let heads: Vec<Head> = heads.collect();
        let head = heads.last().copied().unwrap_or(at);
        let end = SignedHead {
            head,
            signature: *signature,
        };
        let who = &log.introduction;
        if end.verify(who.replica, &who.public_key).is_ok() {
            return follow(tx, family, log, at, heads, end);
        }
        let numbers = family.iter().map(|log| log.introduction.number);
        placed = Placed::Forged(numbers.collect());
    }
    Ok(placed)
}

/// Follows a run through the logs of a family as far as it is here.
fn follow<'a>(
    tx: &impl Read,
    family: &'a [KnownLog],
    mut log: &'a KnownLog,
    mut at: Head,
    mut heads: Vec<Head>,
    end: SignedHead,
) -> Result<Placed, StoreError> {
    let mut from = 0;
    loop {
        let common = common(tx, log, &heads[from..])?;
        if let Some(last) = common.checked_sub(1) {
            at = heads[from + last];
            from += common;
        }
        let number = log.introduction.number;
        let Some(next) = heads.get(from) else {
            return Ok(Placed::Known(number, at));
        };
        let leaves_here = Branch {
            of: number,
            after: at.seq,
            first: next.hash,
        };
        let child = family
            .iter()
            .find(|other| other.introduction.branch == Some(leaves_here));
        match child {
            Some(child) => (log, at, from) = (child, *next, from + 1),
            None => {
                let heads = heads.split_off(from);
                let log = log.clone();
                let new = New {
                    log,
                    at,
                    from,
                    heads,
                    end,
                };
                return Ok(Placed::New(Box::new(new)));
            }
        }
    }
}

/// How many of these heads, which follow each other, are the log's own: one that is not is followed by none that is.
fn common(tx: &impl Read, log: &KnownLog, heads: &[Head]) -> Result<usize, StoreError> {
    let is_own = |head: &Head| -> Result<bool, StoreError> {
        Ok(own_head_at(tx, log, head.seq)? == Some(*head))
    };
    let (mut low, mut high) = (0, heads.len());
    // Mostly none is, or all are.
    if heads.first().map(is_own).transpose()? == Some(false) {
        return Ok(0);
    }
    if heads.last().map(is_own).transpose()? == Some(true) {
        return Ok(high);
    }
    while low < high {
        let middle = usize::midpoint(low, high);
        if is_own(&heads[middle])? {
            low = middle + 1;
        } else {
            high = middle;
        }
    }
    Ok(low)
}

/// What another node has of the logs here, by its vector.
#[derive(Clone, Debug, Default)]
pub struct Theirs {
    /// How far it has each log's own part.
    pub known: BTreeMap<ReplicaNumber, u64>,
    /// How much more of each it has than is here, as far as that can be told.
    pub ahead: u64,
    /// Where its logs stand that are another version here.
    pub elsewhere: Vec<(ReplicaNumber, Position)>,
}

impl Theirs {
    /// What of it counts as applied there, when all is that is stored there.
    #[must_use]
    pub fn applied(&self, vector: &Vector) -> VersionVector {
        let mut applied = VersionVector::default();
        for (number, seq) in &self.known {
            applied.raise(*number, *seq);
        }
        // Also what is not here yet: until it is, nothing is known to be seen by its author.
        for (number, position) in vector.iter() {
            let is_other = self.elsewhere.iter().any(|(other, _)| *other == number);
            if !is_other {
                applied.raise(number, position.seq);
            }
        }
        applied
    }
}

/// Reads a vector of another node against the logs here.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn theirs(
    tx: &impl Read,
    own: &KnownLog,
    known: &[KnownLog],
    vector: &Vector,
) -> Result<Theirs, StoreError> {
    let logs: Vec<&KnownLog> = known.iter().chain([own]).collect();
    let by_number = |number| {
        logs.iter()
            .find(|log| log.introduction.number == number)
            .copied()
    };
    let (mut theirs, mut implied) = (Theirs::default(), BTreeMap::<_, u64>::new());
    for (number, position) in vector.iter() {
        let Some(said) = by_number(number) else {
            theirs.ahead += position.seq;
            continue;
        };
        let Some((mut log, mut upto)) = locate(tx, &logs, said, position)? else {
            theirs.ahead += 1;
            theirs.elsewhere.push((number, position));
            continue;
        };
        theirs.ahead += position.seq.saturating_sub(upto);
        // Of a branch: nothing, when it stands before where the branch begins.
        let (told, seq) = match said.introduction.branch {
            Some(_) if position.seq <= said.base.seq => (number, said.base.seq),
            _ => (log.introduction.number, upto),
        };
        let known = theirs.known.entry(told).or_default();
        *known = seq.max(*known);
        while let Some(left) = log.introduction.branch
            && let Some(parent) = by_number(left.of)
        {
            (log, upto) = (parent, left.after);
            let known = implied.entry(left.of).or_default();
            *known = upto.max(*known);
        }
    }
    // What is told of a log itself counts, also when it is less than its branches let think: see `meeting`.
    for (number, seq) in implied {
        theirs.known.entry(number).or_insert(seq);
    }
    Ok(theirs)
}

/// Which log a position lies in, and how much of it is here. One that is ahead of everything that is known here is
/// taken for what it is called: whether it is, shows when its owner sends the rest.
fn locate<'a>(
    tx: &impl Read,
    logs: &[&'a KnownLog],
    said: &'a KnownLog,
    position: Position,
) -> Result<Option<(&'a KnownLog, u64)>, StoreError> {
    let (replica, key) = (said.introduction.replica, said.introduction.public_key);
    let family = logs.iter().filter(|log| {
        let who = &log.introduction;
        (who.replica, who.public_key) == (replica, key)
    });
    for log in std::iter::once(&said).chain(family) {
        let head = own_head_at(tx, log, position.seq)?;
        if head.is_some_and(|head| Position::from(&head) == position) {
            return Ok(Some((log, position.seq)));
        }
    }
    let ahead = position.seq > said.head.seq;
    Ok(ahead.then_some((said, said.head.seq)))
}

/// Where a log stood, for a node that has another version of it.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn trail(tx: &impl Read, log: &KnownLog, from: u64) -> Result<Trail, StoreError> {
    let Introduction {
        number, replica, ..
    } = log.introduction;
    let mut positions = Vec::new();
    for seq in Trail::seqs(from) {
        let head = logs::hash_at(tx, number, replica, seq)?;
        positions.extend(head.map(|head| Position::from(&head)));
    }
    Ok(Trail { number, positions })
}

/// The last seq of a run here up to which a log is the same as on a trail.
///
/// # Errors
/// When the disk fails or a stored run is damaged.
pub fn shared(tx: &impl Read, log: &KnownLog, trail: &Trail) -> Result<u64, StoreError> {
    let Introduction {
        number, replica, ..
    } = log.introduction;
    for position in &trail.positions {
        let head = logs::hash_at(tx, number, replica, position.seq)?;
        if head.is_some_and(|head| Position::from(&head) == *position) {
            return run_end(tx, number, position.seq);
        }
    }
    Ok(0)
}

/// The end of the last run of a log that ends at or before `seq`; what is in no run yet counts change by change.
fn run_end(tx: &impl Read, number: ReplicaNumber, seq: u64) -> Result<u64, StoreError> {
    let sql = "SELECT first_seq - 1 FROM segment WHERE number = ? AND last_seq > ? ORDER BY last_seq LIMIT 1";
    let before: Option<i64> = one(tx, sql, params![number.get(), seq.cast_signed()], |row| {
        row.get(0)
    })?;
    Ok(before.map_or(seq, |before| seq.min(before.cast_unsigned())))
}

/// This replica's own log, like those of others.
///
/// # Errors
/// When the disk fails.
pub fn own_log(tx: &impl Read, public_key: [u8; 32]) -> Result<KnownLog, StoreError> {
    let me = replica::get(tx)?;
    let head = logs::own_head(tx)?;
    let introduction = Introduction {
        number: replica::number(tx)?,
        replica: me.replica_id,
        public_key,
        branch: None,
    };
    Ok(KnownLog {
        introduction,
        head,
        base: Head::genesis(me.replica_id),
        applied: head.seq,
        stopped: None,
    })
}

/// A log that was written on in two ways, for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fork {
    /// The log.
    pub of: ReplicaNumber,
    /// What people call its node.
    pub name: String,
    /// The last change that both have.
    pub after: u64,
    /// The name of the other continuation.
    pub number: ReplicaNumber,
    /// When this node learned of it.
    pub seen_at: crate::domain::time::Timestamp,
}

/// All that are known, the newest first.
///
/// # Errors
/// When the disk fails.
pub fn forks(tx: &impl Read) -> Result<Vec<Fork>, StoreError> {
    let sql = "SELECT number, branch_of, branch_after, branch_seen_at,
               coalesce((SELECT name FROM member m WHERE m.replica_id = log.replica_id ORDER BY m.id LIMIT 1), '?')
               FROM log WHERE branch_of IS NOT NULL ORDER BY branch_seen_at DESC, number";
    all(tx, sql, [], |row| {
        Ok(Fork {
            number: number_at(row, 0)?,
            of: number_at(row, 1)?,
            after: row.get::<_, i64>(2)?.cast_unsigned(),
            seen_at: crate::domain::time::Timestamp(row.get(3)?),
            name: row.get(4)?,
        })
    })
}

/// Where logs were cut off, since their nodes were thrown out.
pub(super) struct Cuts {
    rows: Vec<(ReplicaNumber, Head, [u8; 32])>,
    branches: Branches,
}

impl Cuts {
    pub(super) fn load(tx: &impl Read) -> Result<Self, StoreError> {
        let sql =
            "SELECT number, cut_seq, cut_hash, public_key FROM member WHERE cut_seq IS NOT NULL";
        let rows = all(tx, sql, [], |row| {
            let hash: Option<Hash> = row.get(2)?;
            let head = Head {
                seq: row.get::<_, i64>(1)?.cast_unsigned(),
                hash: hash.unwrap_or_default(),
            };
            Ok((number_at(row, 0)?, head, row.get(3)?))
        })?;
        let branches = if rows.is_empty() {
            Branches::default()
        } else {
            Branches::load(tx.connection())?
        };
        Ok(Self { rows, branches })
    }

    /// The same after logs were written on in another way.
    pub(super) fn again(self, tx: &impl Read) -> Result<Self, StoreError> {
        let branches = Branches::load(tx.connection())?;
        Ok(Self { branches, ..self })
    }

    /// After which change a log with this key counts no more; `None` while the key is trusted. Nothing counts of what
    /// whoever threw the node out did not know: of replicas that it became, and of branches.
    pub(super) fn of(
        &self,
        tx: &impl Read,
        number: ReplicaNumber,
        public_key: &[u8; 32],
    ) -> Result<Option<u64>, StoreError> {
        let same = || self.rows.iter().filter(|(_, _, key)| key == public_key);
        if same().next().is_none() {
            return Ok(None);
        }
        let own = same().filter(|(of, ..)| *of == number);
        let own = own.map(|(_, head, _)| head.seq).min().unwrap_or(0);
        let family = if self.branches.is_empty() {
            Vec::new()
        } else {
            family(tx, number)?
        };
        if family.len() < 2 {
            return Ok(Some(own));
        }
        let numbers: Vec<_> = family.iter().map(|log| log.introduction.number).collect();
        let mut cut = 0;
        for (of, head, _) in same().filter(|(of, ..)| numbers.contains(of)) {
            let upto = within(tx, &self.branches, &family, *of, head, number)?;
            cut = upto.max(cut);
        }
        Ok(Some(cut))
    }
}

/// How much of a log counts when its family was cut off at a head of the log `of`.
fn within(
    tx: &impl Read,
    branches: &Branches,
    family: &[KnownLog],
    of: ReplicaNumber,
    cut: &Head,
    number: ReplicaNumber,
) -> Result<u64, StoreError> {
    let (mut at, mut upto) = (of, cut.seq);
    for log in family {
        if own_head_at(tx, log, cut.seq)? == Some(*cut) {
            at = log.introduction.number;
        }
    }
    while at != number {
        let Some(branch) = branches.get(at) else {
            return Ok(0);
        };
        (at, upto) = (branch.of, branch.after);
    }
    Ok(upto)
}

/// After which change a log counts no more, when its node was thrown out.
pub(super) fn cut(tx: &impl Read, number: ReplicaNumber) -> Result<Option<u64>, StoreError> {
    let cuts = Cuts::load(tx)?;
    if cuts.rows.is_empty() {
        return Ok(None);
    }
    match logs::known_log(tx, number)? {
        Some(log) => cuts.of(tx, number, &log.introduction.public_key),
        None => Ok(None),
    }
}
