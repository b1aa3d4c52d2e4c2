//! Changes that came from other replicas: stored, and applied once all is here that their authors
//! had seen.
//!
//! Storing and applying are two steps: a run whose context is missing is durable at once and waits in
//! its log. An operation that cannot be applied is set aside and never stops what follows it.
//!
//! Must never apply a change before its context, twice, or beyond the point at which its author was cut off.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use islet_sync::apply::{self, ApplyError};
use islet_sync::branch::{Branch, Names};
use islet_sync::causality::{self, Causality, Mark, Ready, Sighting, mark};
use islet_sync::chain::SignedHead;
use islet_sync::change::{self, DecodeError};
use islet_sync::dot::VersionVector;
use islet_sync::hlc::Hlc;
use islet_sync::id::ReplicaNumber;
use islet_sync::op::Op;
use islet_sync::register::Stamp;
use islet_sync::segment::{self, Change, Segment};
use rusqlite::params;

use super::branches::Branches;
use super::logs::{self, KnownLog, Run};
use super::marks::Marks;
use super::rows::Rows;
use super::{StoreError, WriteTx, branches, patients, reconcile, removal, sessions};
use crate::limits;

/// A run of changes, decoded.
#[derive(Debug)]
pub struct Decoded {
    /// The changes.
    pub segment: Arc<Segment>,
    /// Marks of the chain hashes from a seq on, when they were counted.
    pub marks: (u64, Vec<Mark>),
}

impl Decoded {
    /// Of a run that is stored.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn read(bytes: &[u8]) -> Result<Self, StoreError> {
        let segment =
            segment::decode(bytes).map_err(|error| StoreError::Damaged(error.to_string()))?;
        Ok(Self {
            segment: Arc::new(segment),
            marks: (0, Vec::new()),
        })
    }

    fn mark_at(&self, seq: u64) -> Option<Mark> {
        let (first, marks) = &self.marks;
        marks
            .get(usize::try_from(seq.checked_sub(*first)?).ok()?)
            .copied()
    }
}

/// Stores a run that was checked against `known`. Returns false, and does nothing, when the log has
/// moved on since: check it again.
///
/// # Errors
/// When the disk fails.
pub fn store_run(
    tx: &mut WriteTx<'_>,
    known: &KnownLog,
    hlc: Hlc,
    run: &Run,
    end: &SignedHead,
) -> Result<bool, StoreError> {
    let now = logs::known_log(tx, run.number)?;
    if now.is_none_or(|now| now.head != known.head) {
        return Ok(false);
    }
    logs::insert_run(tx, hlc, run, &end.head)?;
    logs::set_stored(tx, run.number, &end.head)?;
    tx.state_mut().stored_runs += 1;
    Ok(true)
}

/// Applies what a run brings beyond what is applied of its log, as far as contexts are here, and
/// one transaction's worth of operations or until a person waits; nothing when something before it is missing. Answers
/// with how many changes it applied.
///
/// # Errors
/// When the disk fails.
pub fn apply_run(
    tx: &mut WriteTx<'_>,
    number: ReplicaNumber,
    run: &Decoded,
) -> Result<usize, StoreError> {
    let next = tx.state().causality.applied().seq(number) + 1;
    if run.segment.first_seq > next {
        return Ok(0);
    }
    let new = run
        .segment
        .changes()
        .skip_while(|(seq, _)| *seq < next)
        .map(|(_, change)| change);
    apply_changes(tx, number, new, |seq| run.mark_at(seq))
}

fn apply_changes<'s>(
    tx: &mut WriteTx<'_>,
    number: ReplicaNumber,
    changes: impl Iterator<Item = Change<'s>>,
    mark_at: impl FnOnce(u64) -> Option<Mark>,
) -> Result<usize, StoreError> {
    let mut applying = Applying::go_on(tx);
    let cut = branches::cut(tx, number)?;
    let (mut done, mut ops_done) = (0, 0);
    let (mut look_at, ops_max) = (limits::APPLY_LOOK_OPS, tx.apply_ops());
    for change in changes {
        if ops_done >= ops_max || (ops_done >= look_at && tx.somebody_waits()) {
            break;
        }
        look_at = look_at.max(ops_done + limits::APPLY_LOOK_OPS);
        let Some(ops) = applying.step(number, &change, 0, cut)? else {
            break;
        };
        ops_done += ops.max(1);
        done += 1;
        if applying.begins_branch(number) {
            // Its context is what the author had seen up to here.
            let seq = applying.causality.applied().seq(number);
            let mark = applying.mark_at(number, seq)?;
            applying.causality.restore(number, seq, mark);
            applying.begin_branches(number, mark)?;
        }
    }
    if done == 0 {
        return Ok(0);
    }
    let applied = applying.causality.applied().seq(number);
    let applied_mark = match mark_at(applied) {
        Some(mark) => mark,
        None => applying.mark_at(number, applied)?,
    };
    applying.causality.restore(number, applied, applied_mark);
    logs::set_applied(tx, number, applied, applied_mark)?;
    let ended = applying.end(tx)?;
    if let Some(cut) = cut {
        removal::note_counted(tx, number, applied.min(cut))?;
    }
    if ended.touched_members {
        removal::note_heard(tx)?;
    }
    sessions::end_forked(tx, &ended.forked)?;
    if ended.touched_queue {
        reconcile::reconcile(tx)?;
    }
    Ok(done)
}

/// Changes on their way into the rows: of one log as they come in, or of all when the rows are made again.
pub(super) struct Applying<'a> {
    rows: Rows<'a>,
    pub(super) causality: Causality,
    names: Names,
    names_changed: bool,
    branches: Arc<Branches>,
    marks: Marks,
    /// What authors said that they had seen, and was not kept yet: author, log, seq.
    said: BTreeMap<(ReplicaNumber, ReplicaNumber), u64>,
    newest: Hlc,
}

/// What is to be done after changes were applied.
pub(super) struct Ended {
    pub(super) forked: BTreeSet<i64>,
    pub(super) touched_queue: bool,
    pub(super) touched_members: bool,
}

impl<'a> Applying<'a> {
    /// On top of what is applied.
    fn go_on(tx: &WriteTx<'a>) -> Self {
        let (state, own) = (tx.state(), tx.state().head);
        let mut causality = (*state.causality).clone();
        causality.restore(state.me, own.seq, mark(&own.hash));
        Self {
            causality,
            names: (*state.names).clone(),
            ..Self::afresh(tx)
        }
    }

    /// With nothing applied.
    pub(super) fn afresh(tx: &WriteTx<'a>) -> Self {
        let state = tx.state();
        Self {
            rows: Rows::new(tx.connection_of(), tx.now_of(), state.newest.clone()),
            causality: Causality::default(),
            names: Names::default(),
            names_changed: false,
            branches: Arc::clone(&state.branches),
            marks: state.marks.clone(),
            said: BTreeMap::new(),
            newest: Hlc::default(),
        }
    }

    /// Applies the next change of a log, and answers with how many operations it has; `None` when
    /// something that its author had seen is missing. `mark` is that of the log after it, when it is known. What comes
    /// after the cut has no effect.
    pub(super) fn step(
        &mut self,
        number: ReplicaNumber,
        change: &Change<'_>,
        mark: Mark,
        cut: Option<u64>,
    ) -> Result<Option<usize>, StoreError> {
        let seq = self.causality.applied().seq(number) + 1;
        let ops = match change::decode(&change.ops) {
            Ok(ops) => ops,
            Err(error) => {
                refuse_change(&self.rows, number, seq, &error)?;
                Vec::new()
            }
        };
        let seen = causality::seen(&ops);
        let Some(located) = self.located(number, &seen)? else {
            return Ok(None);
        };
        let context = self.causality.enter(number, &located, mark);
        let stamp = Stamp {
            hlc: change.hlc,
            replica: number,
            seq,
        };
        // What its node wrote after it was thrown out was seen by others perhaps, and has no effect.
        let counts = cut.is_none_or(|cut| seq <= cut);
        for (position, op) in ops.iter().enumerate().skip(seen.len()).filter(|_| counts) {
            if self.names.is_empty() {
                apply_op(&mut self.rows, context, stamp, op, position)?;
                continue;
            }
            let mut op = op.clone();
            self.names.translate(number, &mut op);
            if self.names.note(number, seq, &op) {
                let sql = "INSERT OR IGNORE INTO branch_row (entity, row_id, seq) VALUES (?, ?, ?)";
                let values = params![op.entity, op.row.get(), seq.cast_signed()];
                self.rows.execute(sql, values)?;
            }
            apply_op(&mut self.rows, context, stamp, &op, position)?;
        }
        for sighting in located.iter() {
            let said = self.said.entry((number, sighting.of)).or_default();
            *said = sighting.seq.max(*said);
        }
        self.newest = self.newest.max(change.hlc);
        Ok(Some(ops.len()))
    }

    /// What was seen, under the names that logs have here, with what a branch shares with the logs that it left. `None`
    /// when some of it is not applied here yet.
    fn located<'s>(
        &mut self,
        author: ReplicaNumber,
        seen: &'s [Sighting],
    ) -> Result<Option<Cow<'s, [Sighting]>>, StoreError> {
        if self.branches.is_empty() {
            let is_ready = self.is_ready(seen)?;
            return Ok(is_ready.then_some(Cow::Borrowed(seen)));
        }
        let (mut located, mut meant) = (Vec::new(), Vec::new());
        for sighting in seen {
            let mut part = *sighting;
            if sighting.seq > 0 {
                let mut mark_at =
                    |of, seq| known_mark(&self.rows, &self.causality, &self.marks, of, seq);
                let Some(of) = self.branches.find(sighting, &mut mark_at)? else {
                    return Ok(None);
                };
                meant.push((sighting.of, of));
                part.of = of;
            }
            loop {
                if self.causality.applied().seq(part.of) < part.seq {
                    return Ok(None);
                }
                located.push(part);
                let Some(branch) = self.branches.get(part.of) else {
                    break;
                };
                part = Sighting {
                    of: branch.of,
                    seq: branch.after,
                    mark: 0,
                };
            }
        }
        for (said, found) in meant {
            self.names_changed = true;
            self.names.see(author, said, found);
        }
        Ok(Some(Cow::Owned(located)))
    }

    /// Whether all that the author of a change had seen is applied here, and is the same here.
    fn is_ready(&self, seen: &[Sighting]) -> Result<bool, StoreError> {
        let mut failed = None;
        let ready = self.causality.is_ready(seen, |of, seq| {
            known_mark(&self.rows, &self.causality, &self.marks, of, seq).unwrap_or_else(|error| {
                failed = Some(error);
                None
            })
        });
        if let Some(error) = failed {
            return Err(error);
        }
        if let Ready::OtherBranch(sighting) = ready {
            let of = sighting.of.get();
            tracing::warn!(
                replica = of,
                seq = sighting.seq,
                "a change waits: its author had seen another log of that replica"
            );
        }
        Ok(ready == Ready::Now)
    }

    fn mark_at(&self, number: ReplicaNumber, seq: u64) -> Result<Mark, StoreError> {
        Ok(self.marks.at(&self.rows, number, seq)?.unwrap_or_default())
    }

    fn begins_branch(&self, of: ReplicaNumber) -> bool {
        let at = self.causality.applied().seq(of);
        let mut branches = self.branches.of(of);
        branches.any(|(number, branch)| branch.after == at && !self.causality.has_begun(number))
    }

    /// Begins the branches that leave a log where it is applied now, with this mark.
    pub(super) fn begin_branches(
        &mut self,
        of: ReplicaNumber,
        mark: Mark,
    ) -> Result<(), StoreError> {
        let at = self.causality.applied().seq(of);
        let branches = Arc::clone(&self.branches);
        let begin = |(number, branch): &(ReplicaNumber, &Branch)| {
            branch.after == at && !self.causality.has_begun(*number)
        };
        let begin: Vec<_> = branches.of(of).filter(begin).collect();
        for (number, branch) in begin {
            self.causality.branch(number, of, at, mark);
            self.names.branch(number, branch);
            self.names_changed = true;
            if let Some(context) = self.causality.context(number) {
                self.said
                    .extend(context.iter().map(|(of, seq)| ((number, of), seq)));
            }
            let sql = "UPDATE log SET applied = ?, applied_mark = ? WHERE number = ?";
            let values = params![at.cast_signed(), mark, number.get()];
            self.rows.execute(sql, values)?;
        }
        Ok(())
    }

    /// Keeps what was learned, and counts what came in.
    pub(super) fn end(self, tx: &mut WriteTx<'a>) -> Result<Ended, StoreError> {
        let Rows {
            ends_sessions,
            forked,
            readings,
            touched_queue,
            recount,
            touched_members,
            ..
        } = self.rows;
        for (patient, days) in readings.counted {
            if !recount.contains(&patient) {
                patients::count_past_readings(tx, patient, &days)?;
            }
        }
        for patient in recount {
            patients::recount(tx, patient)?;
        }
        if ends_sessions {
            tx.end_sessions();
        }
        for ((author, of), seq) in self.said {
            let sighting = Sighting { of, seq, mark: 0 };
            logs::save_context(tx.connection_of(), author, &[sighting])?;
        }
        if self.names_changed {
            branches::save_meant(tx, &self.names)?;
        }
        let now_ms = tx.now_of().0;
        let state = tx.state_mut();
        state.hlc = state.hlc.observe(self.newest, now_ms);
        state.unsaid = Arc::new(self.causality.unsaid(state.me));
        state.causality = Arc::new(self.causality);
        if self.names_changed || !self.names.is_empty() {
            state.names = Arc::new(self.names);
        }
        Ok(Ended {
            forked,
            touched_queue,
            touched_members,
        })
    }
}

/// The mark of a log at a seq that is stored here.
fn known_mark(
    rows: &Rows<'_>,
    causality: &Causality,
    marks: &Marks,
    of: ReplicaNumber,
    seq: u64,
) -> Result<Option<Mark>, StoreError> {
    if causality.applied().seq(of) == seq && causality.mark(of).is_some() {
        return Ok(causality.mark(of));
    }
    marks.at(rows, of, seq)
}

fn apply_op(
    rows: &mut Rows<'_>,
    context: &VersionVector,
    stamp: Stamp,
    op: &Op<'_>,
    position: usize,
) -> Result<(), StoreError> {
    let reason = match apply::apply(rows, context, stamp, op) {
        Ok(()) => return Ok(()),
        Err(ApplyError::Refused(refusal)) => refusal.to_string(),
        // A CHECK sees the values alone, and rows that are referred to come before in every order; keys that two
        // nodes may both give out have no constraint (`collisions`, `twins`). So it is refused on every node.
        Err(ApplyError::State(error)) if error.is_constraint() => error.to_string(),
        Err(ApplyError::State(error)) => return Err(error),
    };
    refuse(rows, stamp.replica, stamp.seq, position, op.entity, &reason)
}

fn refuse_change(
    rows: &Rows<'_>,
    number: ReplicaNumber,
    seq: u64,
    error: &DecodeError,
) -> Result<(), StoreError> {
    refuse(rows, number, seq, 0, 0, &error.to_string())
}

fn refuse(
    rows: &Rows<'_>,
    number: ReplicaNumber,
    seq: u64,
    position: usize,
    entity: u8,
    reason: &str,
) -> Result<(), StoreError> {
    tracing::warn!(
        replica = number.get(),
        seq,
        position,
        reason,
        "an operation was set aside"
    );
    let sql = "INSERT OR REPLACE INTO refused_op (number, seq, position, entity, reason) VALUES (?, ?, ?, ?, ?)";
    let position = i64::try_from(position).unwrap_or(i64::MAX);
    rows.execute(
        sql,
        params![number.get(), seq.cast_signed(), position, entity, reason],
    )?;
    Ok(())
}
