//! The merge rules: every replicated table, its fields in the order of their numbers, and how each
//! field merges. `docs/SYNC.md` explains them.
//!
//! Numbers are for ever: append entities and fields, never reorder or reuse. A field in no group is
//! written once, when its row is created.

use crate::kind::Kind;
use crate::register::{Constant, Order, Policy};

/// A replicated table.
#[derive(Debug)]
pub struct Entity {
    /// Number in the change log.
    pub code: u8,
    /// Table in the node's database.
    pub name: &'static str,
    /// Fields; the number of the first is 1.
    pub fields: &'static [Field],
    /// Fields that can be written again, those of a group always together.
    pub groups: &'static [Group],
    /// How its rows are named.
    pub shape: Shape,
    /// The entity whose rows own the sets of a [`Shape::Set`].
    pub owner: Option<u8>,
}

/// How the rows of an entity are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shape {
    /// By row id; created once, by the replica whose number the id holds.
    Rows,
    /// By the text in field 1; the other fields are one register.
    Map,
    /// By an owner's row id and the text in field 1: a set that each owner has.
    Set,
}

/// One field.
#[derive(Clone, Copy, Debug)]
pub struct Field {
    /// Column.
    pub name: &'static str,
    /// What it may hold.
    pub kind: Kind,
    /// Whether it may be empty. A field that is added to an entity that is in use may be.
    pub optional: bool,
    /// The entity whose row id it holds.
    pub refers: Option<u8>,
}

/// Fields that merge together.
#[derive(Debug)]
pub struct Group {
    /// Field numbers, ascending.
    pub fields: &'static [u8],
    /// How.
    pub merge: Merge,
}

/// How a group merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Merge {
    /// A register with siblings.
    Register(Policy),
    /// The greater value stays; no value is the smallest. A join by itself, without siblings.
    Greatest,
}

const fn field(name: &'static str, kind: Kind) -> Field {
    Field {
        name,
        kind,
        optional: false,
        refers: None,
    }
}

/// A field that may be empty.
const fn maybe(field: Field) -> Field {
    Field {
        optional: true,
        ..field
    }
}

const fn text(name: &'static str) -> Field {
    field(name, Kind::Text)
}

const fn int(name: &'static str) -> Field {
    field(name, Kind::ANY_INT)
}

const fn flag(name: &'static str) -> Field {
    field(name, Kind::FLAG)
}

const fn real(name: &'static str) -> Field {
    field(name, Kind::ANY_REAL)
}

/// A field that holds the id of a row of that entity.
const fn link(name: &'static str, entity: u8) -> Field {
    Field {
        refers: Some(entity),
        ..int(name)
    }
}

const fn register(fields: &'static [u8], order: Order, report: bool) -> Group {
    Group {
        fields,
        merge: Merge::Register(Policy { order, report }),
    }
}

/// Administrative: the last writer wins, causal order first.
const fn latest(fields: &'static [u8]) -> Group {
    register(fields, Order::Latest, false)
}

const fn greatest(fields: &'static [u8]) -> Group {
    Group {
        fields,
        merge: Merge::Greatest,
    }
}

/// Among concurrent writes, "yes" stays: a block, a place given back.
const YES: &[Constant] = &[Constant::Int(0), Constant::Int(1)];
/// A correction that did not know of the deletion survives it: 2 entered in error, 1 final.
const STATUS: &[Constant] = &[Constant::Int(2), Constant::Int(1)];
/// Weakest first. Who has sent the form is never put out; who left for good does not come back by an
/// acceptance that did not know, since the place may be given to another by then.
const STATE: &[Constant] = &[
    Constant::Text("PENDING"),
    Constant::Text("DENIED"),
    Constant::Text("ACCEPTED"),
    Constant::Text("NO_SHOW"),
    Constant::Text("CANCELLED"),
    Constant::Text("CLEARED"),
    Constant::Text("CREATED"),
];
/// The same, for what the field may hold.
const STATES: &[&str] = &[
    "PENDING",
    "DENIED",
    "ACCEPTED",
    "NO_SHOW",
    "CANCELLED",
    "CLEARED",
    "CREATED",
];
/// The number of a replica.
const NUMBER: Kind = Kind::Int(0, crate::id::REPLICA_NUMBER_MAX as i64);
/// A role taken away wins over the same role given.
const ABSENT: &[Constant] = &[Constant::Int(1), Constant::Int(0)];

/// Patients. Sessions and codes that were begun at a lower `access_epoch` have ended: so a block or a new
/// password also ends those of which its author did not know.
pub static PATIENT: Entity = Entity {
    code: 1,
    name: "patient",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        text("dni"),
        text("name"),
        text("surname"),
        text("email"),
        maybe(text("tidepool")),
        text("hospital_account"),
        flag("blocked"),
        text("password_hash"),
        flag("password_reset_required"),
        field("former_times_measured", Kind::Int(0, i64::MAX)),
        field("former_max_streak", Kind::Int(0, i64::MAX)),
        int("created_at"),
        int("updated_at"),
        maybe(int("access_epoch")),
    ],
    groups: &[
        latest(&[2]),
        latest(&[3]),
        latest(&[4]),
        latest(&[5]),
        latest(&[6]),
        register(&[7], Order::Rank(7, YES), false),
        latest(&[8, 9]),
        greatest(&[13]),
        greatest(&[14]),
    ],
};

/// Staff. For `access_epoch` see [`PATIENT`].
pub static STAFF: Entity = Entity {
    code: 2,
    name: "staff",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        text("username"),
        text("email"),
        flag("blocked"),
        text("password_hash"),
        flag("password_reset_required"),
        int("created_at"),
        int("updated_at"),
        maybe(int("access_epoch")),
    ],
    groups: &[
        latest(&[2]),
        register(&[3], Order::Rank(3, YES), false),
        latest(&[4, 5]),
        greatest(&[7]),
        greatest(&[8]),
    ],
};

/// Readings. What a correction changes is one clinical register.
pub static READING: Entity = Entity {
    code: 3,
    name: "reading",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        link("patient_id", 1),
        field("glucose_mg_dl", Kind::Real(0.0, 10_000.0)),
        field("reading_type", Kind::Int(1, 7)),
        field("source", Kind::Int(1, 4)),
        field("status", Kind::Int(1, 2)),
        int("measured_at"),
        int("recorded_at"),
        maybe(text("notes")),
        maybe(flag("again")),
    ],
    groups: &[register(&[2, 3, 5, 8], Order::Rank(5, STATUS), true)],
};

/// Queue days. The size is what staff wish; [`QUEUE_RIGHT`] says what there is.
pub static QUEUE_DAY: Entity = Entity {
    code: 4,
    name: "queue_day",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        field("size", Kind::Int(0, 10_000)),
        int("opened_at"),
        maybe(int("closed_at")),
    ],
    groups: &[latest(&[1]), greatest(&[3])],
};

/// Places in the queue.
pub static QUEUE_ENTRY: Entity = Entity {
    code: 5,
    name: "queue_entry",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        link("queue_day_id", 4),
        link("patient_id", 1),
        field("state", Kind::OneOf(STATES)),
        field("priority", Kind::Int(0, 9)),
        maybe(text("priority_reason")),
        int("created_at"),
        int("updated_at"),
    ],
    groups: &[
        latest(&[1]),
        register(&[3], Order::Rank(3, STATE), true),
        latest(&[4, 5]),
        greatest(&[7]),
    ],
};

/// Appointments: the form as it was sent. Which resolution holds is a clinical register.
pub static APPOINTMENT: Entity = Entity {
    code: 6,
    name: "appointment",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        link("patient_id", 1),
        maybe(link("queue_entry_id", 5)),
        real("glucose_objective"),
        text("insulin_type"),
        real("dose"),
        text("fast_insulin"),
        real("fixed_dose"),
        real("ratio"),
        real("sensitivity"),
        text("pump_type"),
        text("control_data"),
        text("motives"),
        maybe(text("another_treatment")),
        maybe(text("other_motive")),
        int("created_at"),
        maybe(link("resolution_id", 7)),
    ],
    groups: &[latest(&[2]), register(&[16], Order::Latest, true)],
};

/// Resolutions.
pub static RESOLUTION: Entity = Entity {
    code: 7,
    name: "resolution",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        link("appointment_id", 6),
        maybe(text("change_basal_type")),
        maybe(real("change_basal_dose")),
        maybe(text("change_basal_time")),
        maybe(text("change_fast_type")),
        maybe(real("change_ratio")),
        maybe(real("change_sensitivity")),
        flag("emergency_care"),
        flag("needed_physical_appointment"),
        maybe(text("glucose_scale")),
        maybe(link("staff_id", 2)),
        int("created_at"),
    ],
    groups: &[],
};

/// Rights to places of a queue day: minted, handed over, burnt or used. See [`crate::escrow`].
pub static QUEUE_RIGHT: Entity = Entity {
    code: 8,
    name: "queue_right",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        link("queue_day_id", 4),
        field("kind", Kind::Int(1, 4)),
        field("count", Kind::Int(1, 10_000)),
        maybe(field("to_replica", NUMBER)),
        maybe(link("queue_entry_id", 5)),
        flag("replaced"),
    ],
    groups: &[greatest(&[6])],
};

/// Replicas of the network, and the keys of their nodes.
pub static MEMBER: Entity = Entity {
    code: 9,
    name: "member",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        field("number", NUMBER),
        field("replica_id", Kind::Bytes(Some(16))),
        field("public_key", Kind::Bytes(Some(32))),
        field("token_key", Kind::Bytes(Some(32))),
        text("name"),
        text("addresses"),
        int("created_at"),
        maybe(field("cut_seq", Kind::Int(0, i64::MAX))),
        maybe(field("cut_hash", Kind::Bytes(Some(32)))),
        maybe(int("revoked_at")),
    ],
    groups: &[
        latest(&[5]),
        latest(&[6]),
        register(&[8, 9, 10], Order::Smallest(8), false),
    ],
};

/// Log-ins. A session is over once `revoked_at` is set: to the greatest value, and nothing is smaller than
/// none, so that no write, concurrent or later, brings a session back. `expires_at` is that of the newest token.
/// [Passing](Entity::passes).
pub static SESSION: Entity = Entity {
    code: 10,
    name: "session",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        text("jti"),
        maybe(link("patient_id", 1)),
        maybe(link("staff_id", 2)),
        int("access_epoch"),
        int("created_at"),
        int("expires_at"),
        maybe(int("revoked_at")),
    ],
    groups: &[greatest(&[4]), greatest(&[6]), greatest(&[7])],
};

/// Refresh tokens that were handed out, as digests. `opens` is 1 for the token that opened its generation: two
/// of one generation were given out by nodes that did not know of each other. [Passing](Entity::passes).
pub static REFRESH_TOKEN: Entity = Entity {
    code: 11,
    name: "refresh_token",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        field("digest", Kind::Bytes(None)),
        link("session_id", 10),
        int("generation"),
        flag("opens"),
        int("issued_at"),
        int("expires_at"),
        flag("replaced"),
    ],
    groups: &[greatest(&[7])],
};

/// One-time codes that were handed out at the desk, as digests. The newest of an account counts, while its
/// `access_epoch` is the account's. [Passing](Entity::passes).
pub static DESK_CODE: Entity = Entity {
    code: 13,
    name: "desk_code",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        field("digest", Kind::Bytes(None)),
        maybe(link("patient_id", 1)),
        maybe(link("staff_id", 2)),
        int("access_epoch"),
        int("created_at"),
        int("expires_at"),
    ],
    groups: &[],
};

/// Conflicts that people have settled, with their reason.
pub static SETTLEMENT: Entity = Entity {
    code: 12,
    name: "settlement",
    shape: Shape::Rows,
    owner: None,
    fields: &[
        field("entity", Kind::Int(0, 255)),
        int("row_id"),
        field("field", Kind::Int(0, 255)),
        text("reason"),
        maybe(link("staff_id", 2)),
        int("created_at"),
        maybe(int("other_id")),
    ],
    groups: &[],
};

/// Roles of staff.
pub static STAFF_ROLE: Entity = Entity {
    code: 64,
    name: "staff_role",
    shape: Shape::Set,
    owner: Some(2),
    fields: &[
        field("role", Kind::OneOf(&["staff", "admin"])),
        flag("present"),
    ],
    groups: &[register(&[2], Order::Rank(2, ABSENT), false)],
};

/// Settings of the clinic.
pub static SETTING: Entity = Entity {
    code: 65,
    name: "setting",
    shape: Shape::Map,
    owner: None,
    fields: &[text("name"), text("value")],
    groups: &[latest(&[2])],
};

/// All of them.
pub static ALL: &[&Entity] = &[
    &PATIENT,
    &STAFF,
    &READING,
    &QUEUE_DAY,
    &QUEUE_ENTRY,
    &APPOINTMENT,
    &RESOLUTION,
    &QUEUE_RIGHT,
    &MEMBER,
    &SESSION,
    &REFRESH_TOKEN,
    &SETTLEMENT,
    &DESK_CODE,
    &STAFF_ROLE,
    &SETTING,
];

/// The entity with this number; `None` when this version does not know it.
#[must_use]
pub fn entity(code: u8) -> Option<&'static Entity> {
    ALL.iter().find(|entity| entity.code == code).copied()
}

impl Entity {
    /// Whether a row means nothing any more after its `expires_at`. A node may forget such rows by itself, and
    /// passes over operations on a row that it does not have.
    #[must_use]
    pub fn passes(&self) -> bool {
        [SESSION.code, REFRESH_TOKEN.code, DESK_CODE.code].contains(&self.code)
    }

    /// The number of a field.
    #[must_use]
    pub fn number(&self, name: &str) -> Option<u8> {
        let position = self.fields.iter().position(|field| field.name == name)?;
        u8::try_from(position + 1).ok()
    }

    /// The group that a field is written with, and its position.
    #[must_use]
    pub fn group_of(&self, field: u8) -> Option<(u8, &'static Group)> {
        let position = self
            .groups
            .iter()
            .position(|group| group.fields.contains(&field))?;
        Some((u8::try_from(position).ok()?, &self.groups[position]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_state_has_a_rank() {
        let ranked: Vec<_> = STATE
            .iter()
            .map(|state| match state {
                Constant::Text(text) => *text,
                Constant::Int(_) => "",
            })
            .collect();
        assert_eq!(ranked, STATES);
    }

    #[test]
    fn numbers_are_distinct_and_every_rule_names_fields_that_exist() {
        for entity in ALL {
            assert_eq!(
                ALL.iter().filter(|other| other.code == entity.code).count(),
                1
            );
            assert_ne!(entity.code, crate::causality::SEEN);
            assert_eq!(entity.owner.is_some(), entity.shape == Shape::Set);
            let mut grouped: Vec<u8> = Vec::new();
            if entity.passes() {
                // A row that is forgotten must leave nothing behind.
                assert!(entity.number("expires_at").is_some(), "{}", entity.name);
                let joins = |group: &Group| group.merge == Merge::Greatest;
                assert!(entity.groups.iter().all(joins), "{}", entity.name);
            }
            for group in entity.groups {
                assert!(group.fields.is_sorted(), "{}", entity.name);
                if let Merge::Register(Policy {
                    order: Order::Rank(field, _) | Order::Smallest(field),
                    ..
                }) = group.merge
                {
                    assert!(group.fields.contains(&field), "{}", entity.name);
                }
                grouped.extend(group.fields);
            }
            for field in &grouped {
                assert!(
                    (1..=entity.fields.len()).contains(&usize::from(*field)),
                    "{}",
                    entity.name
                );
                assert_eq!(
                    grouped.iter().filter(|other| *other == field).count(),
                    1,
                    "{}",
                    entity.name
                );
            }
            for field in entity.fields {
                assert!(field.refers.is_none() || field.kind == Kind::ANY_INT);
                assert!(
                    field
                        .refers
                        .is_none_or(|code| super::entity(code).is_some()),
                    "{}",
                    field.name
                );
            }
        }
    }
}
