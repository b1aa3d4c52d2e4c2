//! The SQL of the replicated tables, made from their declaration in [`islet_sync::rules`].
//!
//! Columns have the names and the order of the fields, after the row id. A test holds `schema.sql` to it.

use std::sync::LazyLock;

use islet_sync::rules::{ALL, Shape};
pub use islet_sync::rules::{
    APPOINTMENT, DESK_CODE, Entity, MEMBER, PATIENT, QUEUE_DAY, QUEUE_ENTRY, QUEUE_RIGHT, READING,
    REFRESH_TOKEN, RESOLUTION, SESSION, SETTING, SETTLEMENT, STAFF, STAFF_ROLE,
};

/// How many row counters there are: one for each entity.
pub(super) const COUNTERS: usize = ALL.len();

/// Inserts of whole rows, by the position of the entity.
static INSERTS: LazyLock<Vec<String>> = LazyLock::new(|| ALL.iter().copied().map(insert).collect());

/// Looks whether there is a row, by the position of the entity.
static EXISTS: LazyLock<Vec<String>> = LazyLock::new(|| {
    ALL.iter()
        .map(|it| format!("SELECT 1 FROM {} WHERE id = ?", it.name))
        .collect()
});

/// Looks whether there is a row.
pub(super) fn exists_sql(entity: &Entity) -> &'static str {
    &EXISTS[index(entity)]
}

/// The position of an entity among all.
pub(super) fn index(entity: &Entity) -> usize {
    ALL.iter()
        .position(|other| other.code == entity.code)
        .unwrap_or_default()
}

/// Inserts a row with all its fields.
pub(super) fn insert_sql(entity: &Entity) -> &'static str {
    &INSERTS[index(entity)]
}

/// The entities with row ids.
pub fn rows() -> impl Iterator<Item = &'static Entity> {
    ALL.iter()
        .copied()
        .filter(|entity| entity.shape == Shape::Rows)
}

fn insert(entity: &Entity) -> String {
    let columns: String = entity
        .fields
        .iter()
        .map(|field| format!(", {}", field.name))
        .collect();
    let values = ", ?".repeat(entity.fields.len());
    format!(
        "INSERT INTO {} (id{columns}) VALUES (?{values})",
        entity.name
    )
}
