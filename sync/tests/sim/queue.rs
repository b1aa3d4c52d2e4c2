//! The appointment queue over a replica: what the node's services do, with the same rules (`src/domain/queue.rs`,
//! [`islet_sync::escrow`]).

use islet_sync::apply::RegisterKey;
use islet_sync::dot::VersionVector;
use islet_sync::escrow::{Kind, Rights, Use, costs_right, is_unstable, may_rely_on};
use islet_sync::id::{ReplicaNumber, RowId};
use islet_sync::op::{Action, Op, Value};
use islet_sync::register::Sibling;
use islet_sync::rules::{QUEUE_DAY, QUEUE_ENTRY, QUEUE_RIGHT};

use super::mutation::Mutation;
use super::replica::Replica;
use super::state::{MemoryState, Row};

const DAY: u8 = 1;
const STATE: u8 = 3;
const REPLACED: u8 = 6;

/// What staff and patients do to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Accept,
    Deny,
    Create,
    Cancel,
    NoShow,
    PutBack,
    Clear,
}

impl Step {
    pub(crate) const ALL: [Self; 7] = [
        Self::Accept,
        Self::Deny,
        Self::Create,
        Self::Cancel,
        Self::NoShow,
        Self::PutBack,
        Self::Clear,
    ];

    /// The state that it leads to, if it may start from `from`.
    fn leads_to(self, from: &str) -> Option<&'static str> {
        let live = ["PENDING", "ACCEPTED", "DENIED", "CREATED"].contains(&from);
        let (to, starts) = match self {
            Self::Accept => ("ACCEPTED", from == "PENDING"),
            Self::Deny => ("DENIED", from == "PENDING"),
            Self::Create => ("CREATED", from == "ACCEPTED"),
            Self::Cancel => ("CANCELLED", occupies(from)),
            Self::NoShow => ("NO_SHOW", occupies(from)),
            Self::PutBack => ("PENDING", live && from != "PENDING"),
            Self::Clear => ("CLEARED", live),
        };
        starts.then_some(to)
    }
}

pub(crate) fn occupies(state: &str) -> bool {
    ["PENDING", "ACCEPTED"].contains(&state)
}

fn op(entity: u8, action: Action, row: RowId, fields: Vec<(u8, Value<'static>)>) -> Op<'static> {
    Op {
        entity,
        action,
        row,
        fields,
    }
}

fn right(row: RowId, day: RowId, kind: Kind, count: i64) -> Op<'static> {
    let fields = vec![
        (1, Value::Int(day.get())),
        (2, Value::Int(kind as i64)),
        (3, Value::Int(count)),
        (REPLACED, Value::Int(0)),
    ];
    op(QUEUE_RIGHT.code, Action::Create, row, fields)
}

fn with(mut op: Op<'static>, number: u8, value: i64) -> Op<'static> {
    op.fields.push((number, Value::Int(value)));
    op.fields.sort_by_key(|(number, _)| *number);
    op
}

fn set_state(entry: RowId, state: &str) -> Op<'static> {
    let value = Value::Text(state.to_owned().into());
    op(QUEUE_ENTRY.code, Action::Set, entry, vec![(STATE, value)])
}

/// The siblings of an entry's state; none when it is as it was made.
pub(crate) fn state_siblings(state: &MemoryState, entry: i64) -> &[Sibling] {
    let key = RegisterKey {
        entity: QUEUE_ENTRY.code,
        row: entry,
        group: 1,
        element: String::new(),
    };
    state.register(&key).map_or(&[], |found| &found.0)
}

fn kind_of(row: &Row) -> Option<Kind> {
    Kind::from_code(row.int(2)?)
}

/// Whether a used right is still bound. With no `stable` it is asked who holds a place now, for certain.
pub(crate) fn is_held(state: &MemoryState, right: &Row, stable: Option<&VersionVector>) -> bool {
    let entry = right.int(5).unwrap_or_default();
    let shown = state
        .row(&QUEUE_ENTRY, entry)
        .map_or("", |row| row.text(STATE));
    let siblings = state_siblings(state, entry);
    let used = Use {
        replaced: right.int(REPLACED) == Some(1),
        occupies: occupies(shown),
        denied_unstable: shown == "DENIED" && stable.is_some_and(|cut| is_unstable(siblings, cut)),
    };
    used.is_held()
}

/// The rights of a replica to a day, as `state` has them.
pub(crate) fn rights(
    state: &MemoryState,
    day: RowId,
    whose: ReplicaNumber,
    stable: Option<&VersionVector>,
) -> Rights {
    let mut rights = Rights::default();
    for (id, row) in state.rows(&QUEUE_RIGHT) {
        if row.int(1) != Some(day.get()) {
            continue;
        }
        let (count, own) = (row.int(3).unwrap_or_default(), id.replica() == whose);
        match kind_of(row) {
            Some(Kind::Mint) if own && day.replica() == whose => rights.minted += count,
            Some(Kind::Transfer) => {
                if own {
                    rights.given += count;
                }
                if row.int(4) == Some(whose.get().into()) {
                    rights.received += count;
                }
            }
            Some(Kind::Burn) if own => rights.burnt += count,
            Some(Kind::Use) if own && is_held(state, row, stable) => rights.used += count,
            _ => {}
        }
    }
    rights
}

impl Replica {
    /// How many places of a day this replica may give out.
    pub(crate) fn available(&self, day: RowId) -> i64 {
        let stable = match self.mutation {
            Mutation::NoEscrow => return 1,
            Mutation::DenialFreesAtOnce => None,
            _ => Some(self.stable()),
        };
        rights(&self.state, day, self.me(), stable.as_ref()).available()
    }

    pub(crate) fn open_day(&mut self, size: i64) -> Vec<Op<'static>> {
        let day = self.next_row();
        let fields = vec![(1, Value::Int(size)), (2, Value::Int(0)), (3, Value::Null)];
        let mint = right(self.next_row(), day, Kind::Mint, size.max(1));
        vec![op(QUEUE_DAY.code, Action::Create, day, fields), mint]
    }

    fn use_right(&mut self, day: RowId, entry: RowId) -> Op<'static> {
        with(right(self.next_row(), day, Kind::Use, 1), 5, entry.get())
    }

    /// A patient asks for a place; `None` when there is none here.
    pub(crate) fn submit(&mut self, day: RowId, patient: RowId) -> Option<Vec<Op<'static>>> {
        if self.available(day) <= 0 {
            return None;
        }
        let entry = self.next_row();
        let fields = vec![
            (1, Value::Int(day.get())),
            (2, Value::Int(patient.get())),
            (STATE, Value::Text("PENDING".into())),
        ];
        let used = self.use_right(day, entry);
        Some(vec![
            op(QUEUE_ENTRY.code, Action::Create, entry, fields),
            used,
        ])
    }

    fn uses(&self, entry: RowId) -> Vec<RowId> {
        let is_use = |row: &Row| {
            kind_of(row) == Some(Kind::Use)
                && row.int(5) == Some(entry.get())
                && row.int(REPLACED) != Some(1)
        };
        self.state
            .rows(&QUEUE_RIGHT)
            .filter(|(_, row)| is_use(row))
            .map(|(id, _)| id)
            .collect()
    }

    /// Rights of this replica that are bound by an entry, and free once they are replaced.
    fn own_bound(&self, day: RowId, entry: RowId) -> i64 {
        let stable = self.stable();
        let is_bound = |used: &RowId| {
            let row = self.state.row(&QUEUE_RIGHT, used.get());
            used.replica() == self.me()
                && row.is_some_and(|row| {
                    row.int(1) == Some(day.get()) && is_held(&self.state, row, Some(&stable))
                })
        };
        self.uses(entry)
            .iter()
            .filter(|used| is_bound(used))
            .count() as i64
    }

    /// Gives an entry a right of this replica in place of those that it had; `None` when there is none.
    fn on_own_right(&mut self, day: RowId, entry: RowId) -> Option<Vec<Op<'static>>> {
        if self.available(day) + self.own_bound(day, entry) <= 0 {
            return None;
        }
        let replaced = vec![(REPLACED, Value::Int(1))];
        let mut ops: Vec<_> = self
            .uses(entry)
            .into_iter()
            .map(|used| op(QUEUE_RIGHT.code, Action::Set, used, replaced.clone()))
            .collect();
        ops.push(self.use_right(day, entry));
        // The day is written with the right, so that no other day can come to be shown whose right was replaced.
        let fields = vec![(DAY, Value::Int(day.get()))];
        ops.push(op(QUEUE_ENTRY.code, Action::Set, entry, fields));
        Some(ops)
    }

    fn day_of(&self, entry: RowId) -> Option<RowId> {
        RowId::from_i64(self.state.row(&QUEUE_ENTRY, entry.get())?.int(DAY)?).ok()
    }

    /// Whether the rights that were used for an entry hold its place also against what this replica does.
    fn may_rely(&self, entry: RowId) -> bool {
        let knows = |user: RowId| may_rely_on(&self.causality, self.me(), user.replica());
        self.mutation == Mutation::RelyOnAnybody || self.uses(entry).into_iter().any(knows)
    }

    pub(crate) fn step(&mut self, entry: RowId, step: Step) -> Option<Vec<Op<'static>>> {
        let from = self
            .state
            .row(&QUEUE_ENTRY, entry.get())?
            .text(STATE)
            .to_owned();
        let to = step.leads_to(&from)?;
        let needs_right = step == Step::PutBack || (step == Step::Accept && !self.may_rely(entry));
        let mut ops = if needs_right && self.mutation != Mutation::NoEscrow {
            self.on_own_right(self.day_of(entry)?, entry)?
        } else {
            Vec::new()
        };
        ops.push(set_state(entry, to));
        Some(ops)
    }

    /// Moves a waiting patient to another day.
    pub(crate) fn move_to(&mut self, entry: RowId, day: RowId) -> Option<Vec<Op<'static>>> {
        let row = self.state.row(&QUEUE_ENTRY, entry.get())?;
        if !occupies(row.text(STATE)) || self.day_of(entry)? == day {
            return None;
        }
        self.on_own_right(day, entry)
    }

    /// Settles states that crossed. What may bring a place back costs a right.
    pub(crate) fn settle_entry(&mut self, entry: RowId, to: &str) -> Option<Vec<Op<'static>>> {
        let from = self
            .state
            .row(&QUEUE_ENTRY, entry.get())?
            .text(STATE)
            .to_owned();
        let mut ops = Vec::new();
        if costs_right(&from, to) || (occupies(to) && !self.may_rely(entry)) {
            ops = self.on_own_right(self.day_of(entry)?, entry)?;
        }
        ops.push(set_state(entry, to));
        Some(ops)
    }

    /// Staff wish another size; who holds rights too many gives them up.
    pub(crate) fn resize(&mut self, day: RowId, size: i64) -> Option<Vec<Op<'static>>> {
        let fields = vec![(1, Value::Int(size))];
        let mut ops = vec![op(QUEUE_DAY.code, Action::Set, day, fields)];
        ops.extend(self.burn(day, self.places(day) - size));
        Some(ops)
    }

    /// Minted less burnt, as far as it is known here.
    fn places(&self, day: RowId) -> i64 {
        let mut places = 0;
        for (id, row) in self.state.rows(&QUEUE_RIGHT) {
            if row.int(1) == Some(day.get()) {
                let count = row.int(3).unwrap_or_default();
                match kind_of(row) {
                    Some(Kind::Mint) if id.replica() == day.replica() => places += count,
                    Some(Kind::Burn) => places -= count,
                    _ => {}
                }
            }
        }
        places
    }

    fn burn(&mut self, day: RowId, too_many: i64) -> Option<Op<'static>> {
        let count = too_many.min(self.available(day));
        (count > 0).then(|| right(self.next_row(), day, Kind::Burn, count))
    }

    /// Who opened a day makes as many places as staff wish.
    pub(crate) fn reconcile(&mut self, day: RowId) -> Option<Vec<Op<'static>>> {
        let size = self.state.row(&QUEUE_DAY, day.get())?.int(1)?;
        let missing = size - self.places(day);
        if day.replica() != self.me() || missing == 0 {
            return None;
        }
        if missing > 0 {
            return Some(vec![right(self.next_row(), day, Kind::Mint, missing)]);
        }
        Some(vec![self.burn(day, -missing)?])
    }

    /// Hands rights to a replica that asks.
    pub(crate) fn hand_over(
        &mut self,
        day: RowId,
        to: ReplicaNumber,
        wanted: i64,
    ) -> Option<Vec<Op<'static>>> {
        self.state.row(&QUEUE_DAY, day.get())?;
        let stable = self.stable();
        let count = rights(&self.state, day, self.me(), Some(&stable)).to_hand_over(wanted);
        if count <= 0 || to == self.me() {
            return None;
        }
        let transfer = right(self.next_row(), day, Kind::Transfer, count);
        Some(vec![with(transfer, 4, to.get().into())])
    }
}
