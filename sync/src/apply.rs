//! One operation on a state: the same for a write of this node and for one that came from a peer.
//!
//! [`State`] is what rows and siblings are kept in: SQLite in a node, maps in the simulator. Operations
//! must come in causal order ([`crate::causality`]); then any order ends in the same state.
//!
//! Must never change a field that its entity does not let change, nor guess at an operation that this
//! version does not know: such an operation is answered with [`Refusal`] and stays in the log.

use thiserror::Error;

use crate::dot::Context;
use crate::id::RowId;
use crate::op::{Action, Op, Value};
use crate::register::{self, Sibling, Stamp};
use crate::rules::{self, Entity, Group, Merge, Shape};

/// Which register.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RegisterKey {
    /// Entity.
    pub entity: u8,
    /// Row; 1 for a map.
    pub row: i64,
    /// Group of the entity's rules.
    pub group: u8,
    /// Element of a set or name in a map; empty for rows.
    pub element: String,
}

/// Where rows and siblings are kept.
pub trait State {
    /// Why it failed.
    type Error;

    /// By which change of its replica a row was made; `None` when there is no such row. A storage that does
    /// not keep the seq answers 0, and then takes it on trust that authors name only rows that they had seen.
    ///
    /// # Errors
    /// When the storage fails; so for all of them.
    fn made(&mut self, entity: &'static Entity, row: RowId) -> Result<Option<u64>, Self::Error>;

    /// The row that this id means, when rows that mean one thing were joined.
    ///
    /// # Errors
    /// When the storage fails.
    fn resolve(&mut self, _entity: &'static Entity, row: RowId) -> Result<RowId, Self::Error> {
        Ok(row)
    }

    /// Makes a row. All fields that the author knew are given.
    fn create(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        fields: &[(u8, Value<'_>)],
        stamp: Stamp,
    ) -> Result<(), Self::Error>;

    /// Shows these values of a row, of an element of a set, or under a name of a map.
    fn show(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        element: &str,
        fields: &[(u8, Value<'_>)],
    ) -> Result<(), Self::Error>;

    /// Raises an integer field to `value` when it is lower or has none.
    fn raise(
        &mut self,
        entity: &'static Entity,
        row: RowId,
        field: u8,
        value: i64,
    ) -> Result<(), Self::Error>;

    /// The siblings of a register, in the order of their stamps.
    fn siblings(&mut self, key: &RegisterKey) -> Result<Vec<Sibling>, Self::Error>;

    /// Replaces the siblings of a register. `conflict` says whether people are to look at them.
    fn set_siblings(
        &mut self,
        key: &RegisterKey,
        siblings: &[Sibling],
        conflict: bool,
    ) -> Result<(), Self::Error>;
}

/// Why an operation was not applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum Refusal {
    /// The entity is of a later version.
    #[error("this version does not know entity {0}")]
    UnknownEntity(u8),
    /// The field is of a later version, or may not be written again.
    #[error("field {1} of entity {0} cannot be set by this version")]
    UnknownField(u8, u8),
    /// The action makes no sense for the entity.
    #[error("entity {0} has no such action")]
    WrongAction(u8),
    /// The row was never created, or only in a way that this version does not know, or its author cannot
    /// have seen it.
    #[error("entity {0} has no row {1} that the author had seen")]
    NoRow(u8, i64),
    /// The row exists already, or is of a replica that the author is not.
    #[error("row {1} of entity {0} is not the author's to create")]
    NotOwned(u8, i64),
    /// A field is missing: of a new row, or beside those that it merges with.
    #[error("field {1} of entity {0} is missing")]
    Incomplete(u8, u8),
    /// A field cannot have such a value.
    #[error("field {1} of entity {0} cannot have this value")]
    WrongType(u8, u8),
}

/// Either the storage failed, or the operation cannot be applied.
#[derive(Debug)]
pub enum ApplyError<E> {
    /// Of the storage: nothing may be assumed, the transaction must be undone.
    State(E),
    /// Of the operation: it stays in the log, what follows goes on.
    Refused(Refusal),
}

impl<E> From<Refusal> for ApplyError<E> {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

/// Applies one operation. `context` is what its author had seen, its own earlier changes included.
///
/// # Errors
/// See [`ApplyError`]. An operation that is refused has changed nothing.
pub fn apply<S: State>(
    state: &mut S,
    context: &impl Context,
    stamp: Stamp,
    op: &Op<'_>,
) -> Result<(), ApplyError<S::Error>> {
    let entity = rules::entity(op.entity).ok_or(Refusal::UnknownEntity(op.entity))?;
    match (entity.shape, op.action) {
        (Shape::Rows, Action::Create) => create(state, entity, context, stamp, op),
        (Shape::Rows, Action::Set) => set(state, entity, context, stamp, op),
        (Shape::Set, Action::Add | Action::Remove) => {
            let present = Value::Int(i64::from(op.action == Action::Add));
            put(state, entity, context, stamp, op, vec![(2, present)])
        }
        (Shape::Map, Action::Set) => {
            let rest = op
                .fields
                .iter()
                .skip(1)
                .map(|(number, value)| (*number, value.to_static()));
            put(state, entity, context, stamp, op, rest.collect())
        }
        _ => Err(Refusal::WrongAction(op.entity).into()),
    }
}

/// What can be said of an operation without the state: whether its fields are known, whole, and have values that
/// they may have. For the tests of whoever writes operations: what this refuses, every peer will.
///
/// # Errors
/// With what is wrong.
pub fn check(op: &Op<'_>) -> Result<(), Refusal> {
    let entity = rules::entity(op.entity).ok_or(Refusal::UnknownEntity(op.entity))?;
    known_fields(entity, op)?;
    match op.action {
        Action::Create => whole_row(entity, op),
        Action::Set => whole_groups(entity, op),
        Action::Add | Action::Remove => Ok(()),
    }
}

fn create<S: State>(
    state: &mut S,
    entity: &'static Entity,
    context: &impl Context,
    stamp: Stamp,
    op: &Op<'_>,
) -> Result<(), ApplyError<S::Error>> {
    known_fields(entity, op)?;
    whole_row(entity, op)?;
    let own = op.row.replica() == stamp.replica;
    if !own
        || state
            .made(entity, op.row)
            .map_err(ApplyError::State)?
            .is_some()
    {
        return Err(Refusal::NotOwned(op.entity, op.row.get()).into());
    }
    seen_links(state, entity, context, stamp, op)?;
    state
        .create(entity, op.row, &op.fields, stamp)
        .map_err(ApplyError::State)
}

fn set<S: State>(
    state: &mut S,
    entity: &'static Entity,
    context: &impl Context,
    stamp: Stamp,
    op: &Op<'_>,
) -> Result<(), ApplyError<S::Error>> {
    known_fields(entity, op)?;
    for (number, value) in &op.fields {
        let (_, group) = entity
            .group_of(*number)
            .ok_or(Refusal::UnknownField(op.entity, *number))?;
        if group.merge == Merge::Greatest && !matches!(value, Value::Int(_)) {
            return Err(Refusal::WrongType(op.entity, *number).into());
        }
    }
    whole_groups(entity, op)?;
    if entity.passes()
        && state
            .made(entity, op.row)
            .map_err(ApplyError::State)?
            .is_none()
    {
        return Ok(());
    }
    seen_row(state, entity, op.row, context, stamp)?;
    seen_links(state, entity, context, stamp, op)?;
    let row = state.resolve(entity, op.row).map_err(ApplyError::State)?;
    for (position, group) in (0..).zip(entity.groups) {
        let fields = op
            .fields
            .iter()
            .filter(|(number, _)| group.fields.contains(number));
        let fields: Vec<_> = fields
            .map(|(number, value)| (*number, value.to_static()))
            .collect();
        if fields.is_empty() {
            continue;
        }
        let key = RegisterKey {
            entity: op.entity,
            row: row.get(),
            group: position,
            element: String::new(),
        };
        merge(
            state,
            entity,
            group,
            context,
            row,
            &key,
            Sibling { stamp, fields },
        )
        .map_err(ApplyError::State)?;
    }
    Ok(())
}

/// One element of a set, or one name of a map.
fn put<S: State>(
    state: &mut S,
    entity: &'static Entity,
    context: &impl Context,
    stamp: Stamp,
    op: &Op<'_>,
    fields: Vec<(u8, Value<'static>)>,
) -> Result<(), ApplyError<S::Error>> {
    known_fields(entity, op)?;
    let Some((1, Value::Text(element))) = op.fields.first() else {
        return Err(Refusal::WrongType(op.entity, 1).into());
    };
    let group = &entity.groups[0];
    if fields
        .iter()
        .map(|(number, _)| *number)
        .ne(group.fields.iter().copied())
    {
        return Err(Refusal::UnknownField(op.entity, 2).into());
    }
    if let Some(owner) = entity.owner.and_then(rules::entity) {
        seen_row(state, owner, op.row, context, stamp)?;
    }
    let key = RegisterKey {
        entity: op.entity,
        row: op.row.get(),
        group: 0,
        element: element.clone().into_owned(),
    };
    merge(
        state,
        entity,
        group,
        context,
        op.row,
        &key,
        Sibling { stamp, fields },
    )
    .map_err(ApplyError::State)
}

fn merge<S: State>(
    state: &mut S,
    entity: &'static Entity,
    group: &Group,
    context: &impl Context,
    row: RowId,
    key: &RegisterKey,
    new: Sibling,
) -> Result<(), S::Error> {
    let Merge::Register(policy) = group.merge else {
        for (number, value) in &new.fields {
            if let Value::Int(value) = value {
                state.raise(entity, row, *number, *value)?;
            }
        }
        return Ok(());
    };
    let mut siblings = state.siblings(key)?;
    register::write(&mut siblings, context, new);
    state.set_siblings(key, &siblings, policy.is_conflict(&siblings))?;
    match policy.shown(&siblings) {
        Some(shown) => state.show(entity, row, &key.element, &shown.fields),
        None => Ok(()),
    }
}

/// Every field is known, and has a value that it may have.
fn known_fields(entity: &Entity, op: &Op<'_>) -> Result<(), Refusal> {
    for (number, value) in &op.fields {
        let at = usize::from(*number).checked_sub(1);
        let field = at.and_then(|at| entity.fields.get(at));
        let field = field.ok_or(Refusal::UnknownField(op.entity, *number))?;
        let fits = field.kind.fits(value) || (field.optional && *value == Value::Null);
        if !fits {
            return Err(Refusal::WrongType(op.entity, *number));
        }
    }
    Ok(())
}

/// A new row has every field that may not be empty.
fn whole_row(entity: &Entity, op: &Op<'_>) -> Result<(), Refusal> {
    for (number, field) in (1..).zip(entity.fields) {
        if !field.optional && !op.fields.iter().any(|(other, _)| *other == number) {
            return Err(Refusal::Incomplete(op.entity, number));
        }
    }
    Ok(())
}

/// Every field of a group that is written is written: else what is shown would depend on the order in which
/// siblings came in.
fn whole_groups(entity: &Entity, op: &Op<'_>) -> Result<(), Refusal> {
    let is_set = |number: &u8| op.fields.iter().any(|(other, _)| other == number);
    for group in entity.groups {
        let missing = group.fields.iter().find(|number| !is_set(number));
        if let Some(number) = missing
            && group.merge != Merge::Greatest
            && group.fields.iter().any(is_set)
        {
            return Err(Refusal::Incomplete(op.entity, *number));
        }
    }
    Ok(())
}

/// An operation may name only rows that its author had seen: whether another row is here already depends on the
/// order in which concurrent changes came in, and must not decide anything.
fn seen_row<S: State>(
    state: &mut S,
    entity: &'static Entity,
    row: RowId,
    context: &impl Context,
    stamp: Stamp,
) -> Result<(), ApplyError<S::Error>> {
    let made = state.made(entity, row).map_err(ApplyError::State)?;
    let is_seen = |seq| {
        context.contains(row.replica(), seq) || (row.replica() == stamp.replica && seq == stamp.seq)
    };
    // What has passed may be forgotten here.
    if made.map_or(entity.passes(), is_seen) {
        return Ok(());
    }
    Err(Refusal::NoRow(entity.code, row.get()).into())
}

/// So also the rows that its values name.
fn seen_links<S: State>(
    state: &mut S,
    entity: &'static Entity,
    context: &impl Context,
    stamp: Stamp,
    op: &Op<'_>,
) -> Result<(), ApplyError<S::Error>> {
    for (number, value) in &op.fields {
        let field = &entity.fields[usize::from(*number) - 1];
        let Some(to) = field.refers.and_then(rules::entity) else {
            continue;
        };
        match value {
            Value::Null => {}
            Value::Int(id) => {
                let wrong = Refusal::WrongType(op.entity, *number);
                let row = RowId::from_i64(*id).map_err(|_| wrong)?;
                seen_row(state, to, row, context, stamp)?;
            }
            _ => return Err(Refusal::WrongType(op.entity, *number).into()),
        }
    }
    Ok(())
}
