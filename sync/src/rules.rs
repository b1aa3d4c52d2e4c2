//! The merge rules: every replicated table, its fields in the order of their numbers, and how each
//! field merges. `docs/SYNC.md` explains them.
//!
//! Numbers are for ever: append entities and fields, never reorder or reuse. A field in no group is
//! written once, when its row is created.

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
#[derive(Debug)]
pub struct Field {
    /// Column.
    pub name: &'static str,
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

/// A field that holds no row id.
const fn plain(name: &'static str) -> Field {
    Field { name, refers: None }
}

/// A field that holds the id of a row of that entity.
const fn link(name: &'static str, entity: u8) -> Field {
    Field {
        name,
        refers: Some(entity),
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
        plain("dni"),
        plain("name"),
        plain("surname"),
        plain("email"),
        plain("tidepool"),
        plain("hospital_account"),
        plain("blocked"),
        plain("password_hash"),
        plain("password_reset_required"),
        plain("former_times_measured"),
        plain("former_max_streak"),
        plain("created_at"),
        plain("updated_at"),
        plain("access_epoch"),
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
        plain("username"),
        plain("email"),
        plain("blocked"),
        plain("password_hash"),
        plain("password_reset_required"),
        plain("created_at"),
        plain("updated_at"),
        plain("access_epoch"),
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
        plain("glucose_mg_dl"),
        plain("reading_type"),
        plain("source"),
        plain("status"),
        plain("measured_at"),
        plain("recorded_at"),
        plain("notes"),
    ],
    groups: &[register(&[2, 3, 5, 8], Order::Rank(5, STATUS), true)],
};

/// Queue days. The size is what staff wish; [`QUEUE_RIGHT`] says what there is.
pub static QUEUE_DAY: Entity = Entity {
    code: 4,
    name: "queue_day",
    shape: Shape::Rows,
    owner: None,
    fields: &[plain("size"), plain("opened_at"), plain("closed_at")],
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
        plain("state"),
        plain("priority"),
        plain("priority_reason"),
        plain("created_at"),
        plain("updated_at"),
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
        link("queue_entry_id", 5),
        plain("glucose_objective"),
        plain("insulin_type"),
        plain("dose"),
        plain("fast_insulin"),
        plain("fixed_dose"),
        plain("ratio"),
        plain("sensitivity"),
        plain("pump_type"),
        plain("control_data"),
        plain("motives"),
        plain("another_treatment"),
        plain("other_motive"),
        plain("created_at"),
        link("resolution_id", 7),
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
        plain("change_basal_type"),
        plain("change_basal_dose"),
        plain("change_basal_time"),
        plain("change_fast_type"),
        plain("change_ratio"),
        plain("change_sensitivity"),
        plain("emergency_care"),
        plain("needed_physical_appointment"),
        plain("glucose_scale"),
        link("staff_id", 2),
        plain("created_at"),
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
        plain("kind"),
        plain("count"),
        plain("to_replica"),
        link("queue_entry_id", 5),
        plain("replaced"),
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
        plain("number"),
        plain("replica_id"),
        plain("public_key"),
        plain("token_key"),
        plain("name"),
        plain("addresses"),
        plain("created_at"),
        plain("cut_seq"),
        plain("cut_hash"),
        plain("revoked_at"),
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
        plain("jti"),
        link("patient_id", 1),
        link("staff_id", 2),
        plain("access_epoch"),
        plain("created_at"),
        plain("expires_at"),
        plain("revoked_at"),
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
        plain("digest"),
        link("session_id", 10),
        plain("generation"),
        plain("opens"),
        plain("issued_at"),
        plain("expires_at"),
        plain("replaced"),
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
        plain("digest"),
        link("patient_id", 1),
        link("staff_id", 2),
        plain("access_epoch"),
        plain("created_at"),
        plain("expires_at"),
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
        plain("entity"),
        plain("row_id"),
        plain("field"),
        plain("reason"),
        link("staff_id", 2),
        plain("created_at"),
        plain("other_id"),
    ],
    groups: &[],
};

/// Roles of staff.
pub static STAFF_ROLE: Entity = Entity {
    code: 64,
    name: "staff_role",
    shape: Shape::Set,
    owner: Some(2),
    fields: &[plain("role"), plain("present")],
    groups: &[register(&[2], Order::Rank(2, ABSENT), false)],
};

/// Settings of the clinic.
pub static SETTING: Entity = Entity {
    code: 65,
    name: "setting",
    shape: Shape::Map,
    owner: None,
    fields: &[plain("name"), plain("value")],
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
