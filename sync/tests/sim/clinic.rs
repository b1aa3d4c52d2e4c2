//! What people do at a replica: one random thing at a time, as the operations of one change.

use std::borrow::Cow;

use islet_sync::apply::RegisterKey;
use islet_sync::id::RowId;
use islet_sync::op::{Action, Op, Value};
use islet_sync::rules::{
    APPOINTMENT, Entity, PATIENT, QUEUE_DAY, QUEUE_ENTRY, READING, RESOLUTION, SETTING, SETTLEMENT,
    STAFF, STAFF_ROLE,
};

use super::queue::Step;
use super::replica::Replica;
use super::rng::Rng;

/// The clinical register of a reading.
pub(crate) fn reading_key(reading: i64) -> RegisterKey {
    RegisterKey {
        entity: READING.code,
        row: reading,
        group: 0,
        element: String::new(),
    }
}

fn op(
    entity: &Entity,
    action: Action,
    row: RowId,
    fields: Vec<(u8, Value<'static>)>,
) -> Op<'static> {
    Op {
        entity: entity.code,
        action,
        row,
        fields,
    }
}

fn text(value: String) -> Value<'static> {
    Value::Text(Cow::Owned(value))
}

fn some_row(replica: &Replica, entity: &'static Entity, rng: &mut Rng) -> Option<RowId> {
    let rows: Vec<RowId> = replica.state.rows(entity).map(|(id, _)| id).collect();
    // Mostly new ones: that is where nodes cross.
    let newest = &rows[rows.len().saturating_sub(3)..];
    if rng.chance(70) {
        rng.pick(newest)
    } else {
        rng.pick(&rows)
    }
    .copied()
}

/// Something that somebody does; `None` when the replica has to refuse it, or there is nothing to do it to.
pub(crate) fn something(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    match rng.below(100) {
        0..10 => Some(vec![new_patient(replica, rng)]),
        10..20 => new_reading(replica, rng),
        20..34 => correct(replica, rng),
        34..38 => Some(vec![setting(rng)]),
        38..42 => staff(replica, rng),
        42..46 => edit_patient(replica, rng),
        46..51 => appointment(replica, rng),
        51..54 => settle(replica, rng),
        _ => queue(replica, rng),
    }
}

pub(crate) fn new_patient(replica: &mut Replica, rng: &mut Rng) -> Op<'static> {
    let dni = text(format!("{}", rng.below(50)));
    let fields = vec![
        (1, dni),
        (2, text("Ana".into())),
        (7, Value::Int(0)),
        (13, Value::Int(0)),
    ];
    op(&PATIENT, Action::Create, replica.next_row(), fields)
}

pub(crate) fn new_reading(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    let patient = some_row(replica, &PATIENT, rng)?;
    let fields = vec![
        (1, Value::Int(patient.get())),
        (2, Value::Real(rng.between(40, 400) as f64)),
        (3, Value::Int(1)),
        (4, Value::Int(1)),
        (5, Value::Int(1)),
        (6, Value::Int(rng.between(0, 1000))),
        (7, Value::Int(0)),
        (8, Value::Null),
    ];
    Some(vec![op(
        &READING,
        Action::Create,
        replica.next_row(),
        fields,
    )])
}

/// A correction, or "entered in error".
pub(crate) fn correct(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    let reading = some_row(replica, &READING, rng)?;
    let status = if rng.chance(25) { 2 } else { 1 };
    let fields = vec![
        (2, Value::Real(rng.between(40, 400) as f64)),
        (3, Value::Int(1)),
        (5, Value::Int(status)),
        (8, Value::Null),
    ];
    Some(vec![op(&READING, Action::Set, reading, fields)])
}

fn setting(rng: &mut Rng) -> Op<'static> {
    let name = text(format!("s{}", rng.below(3)));
    let fields = vec![(1, name), (2, text(format!("{}", rng.below(100))))];
    op(&SETTING, Action::Set, RowId::from_i64(1).unwrap(), fields)
}

fn staff(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    if rng.chance(30) {
        let fields = vec![(1, text(format!("u{}", rng.below(9)))), (3, Value::Int(0))];
        return Some(vec![op(&STAFF, Action::Create, replica.next_row(), fields)]);
    }
    let member = some_row(replica, &STAFF, rng)?;
    let action = if rng.chance(50) {
        Action::Add
    } else {
        Action::Remove
    };
    let role = text(if rng.chance(50) { "admin" } else { "staff" }.into());
    Some(vec![op(&STAFF_ROLE, action, member, vec![(1, role)])])
}

fn edit_patient(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    let patient = some_row(replica, &PATIENT, rng)?;
    let fields = match rng.below(3) {
        0 => vec![(2, text(format!("n{}", rng.below(100))))],
        1 => vec![(7, Value::Int(rng.between(0, 1)))],
        _ => vec![(13, Value::Int(rng.between(0, 1000)))],
    };
    Some(vec![op(&PATIENT, Action::Set, patient, fields)])
}

fn appointment(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    if rng.chance(40) {
        let patient = some_row(replica, &PATIENT, rng)?;
        let fields = vec![(1, Value::Int(patient.get())), (16, Value::Null)];
        return Some(vec![op(
            &APPOINTMENT,
            Action::Create,
            replica.next_row(),
            fields,
        )]);
    }
    let appointment = some_row(replica, &APPOINTMENT, rng)?;
    let resolution = replica.next_row();
    let made = vec![
        (1, Value::Int(appointment.get())),
        (3, Value::Real(rng.between(1, 40) as f64)),
    ];
    let holds = vec![(16, Value::Int(resolution.get()))];
    Some(vec![
        op(&RESOLUTION, Action::Create, resolution, made),
        op(&APPOINTMENT, Action::Set, appointment, holds),
    ])
}

/// Settles a conflict of a reading or an entry: one of the values, and why.
fn settle(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    let open: Vec<RegisterKey> = replica
        .state
        .registers()
        .filter(|(key, (_, conflict))| *conflict && key.element.is_empty())
        .map(|(key, _)| key.clone())
        .collect();
    let key = rng.pick(&open)?.clone();
    let siblings = &replica.state.register(&key)?.0;
    let chosen = rng.pick(siblings)?.fields.clone();
    let row = RowId::from_i64(key.row).ok()?;
    let mut ops = match (key.entity == QUEUE_ENTRY.code, chosen.first()) {
        (true, Some((_, Value::Text(state)))) => replica.settle_entry(row, state)?,
        _ => vec![Op {
            entity: key.entity,
            action: Action::Set,
            row,
            fields: chosen,
        }],
    };
    if !replica.newer {
        return Some(ops);
    }
    let fields = vec![
        (1, Value::Int(key.entity.into())),
        (2, Value::Int(key.row)),
        (3, Value::Int(1)),
        (4, text("looked at both".into())),
    ];
    ops.push(op(&SETTLEMENT, Action::Create, replica.next_row(), fields));
    Some(ops)
}

fn queue(replica: &mut Replica, rng: &mut Rng) -> Option<Vec<Op<'static>>> {
    let some_day = some_row(replica, &QUEUE_DAY, rng);
    let Some(day) = some_day.filter(|_| rng.chance(95)) else {
        let days = replica.state.rows(&QUEUE_DAY).count();
        return (days < 4).then(|| replica.open_day(rng.between(1, 4)));
    };
    match rng.below(100) {
        0..35 => {
            let patient = some_row(replica, &PATIENT, rng)?;
            replica.submit(day, patient)
        }
        35..80 => {
            let entry = some_row(replica, &QUEUE_ENTRY, rng)?;
            // Mostly what crosses: accepting and denying.
            let step = if rng.chance(60) {
                Step::ALL[rng.below(2)]
            } else {
                *rng.pick(&Step::ALL)?
            };
            replica.step(entry, step)
        }
        80..84 => replica.resize(day, rng.between(0, 6)),
        84..90 => replica.reconcile(day),
        90..95 => {
            let entry = some_row(replica, &QUEUE_ENTRY, rng)?;
            replica.move_to(entry, day)
        }
        _ => {
            let members = replica.members();
            let to = *rng.pick(&members)?;
            replica.hand_over(day, to, rng.between(1, 3))
        }
    }
}
