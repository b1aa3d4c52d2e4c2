//! Is the database's schema the one of `schema.sql`? Whoever can write to the file can also drop a
//! trigger that keeps the logs append-only, or add one of their own.
//!
//! Must never: touch a table. What holds no data (triggers, indexes) can be made again.

use std::collections::BTreeMap;

use rusqlite::Connection;

use super::StoreError;
use super::migrate::SCHEMA;

/// A thing of the schema: its kind (`table`, `index`, `trigger` or `view`) and its name.
type Name = (String, String);

/// What differs from `schema.sql`.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Differences {
    /// The statements that make triggers and indexes again, after a `DROP` where there is a wrong one.
    pub(super) restorable: Vec<(Name, String)>,
    /// Tables that are missing or changed, triggers and views that do not belong here.
    pub(super) serious: Vec<String>,
    /// Tables and indexes that do not belong here; they do nothing by themselves.
    pub(super) harmless: Vec<String>,
}

impl Differences {
    /// All of them, for people.
    pub(super) fn all(&self) -> Vec<String> {
        let restorable = self
            .restorable
            .iter()
            .map(|((kind, name), _)| format!("{kind} {name} is missing or changed"));
        let others = self.serious.iter().chain(&self.harmless).cloned();
        restorable.chain(others).collect()
    }
}

/// Compares the database with `schema.sql`.
pub(super) fn differences(connection: &Connection) -> Result<Differences, StoreError> {
    let expected = expected()?;
    let mut found = read(connection)?;
    let mut differences = Differences::default();
    for ((kind, name), sql) in expected {
        let there = found.remove(&(kind.clone(), name.clone()));
        if there.as_deref().map(plain) == Some(plain(&sql)) {
            continue;
        }
        if kind == "table" {
            let what = there.map_or("is missing", |_| "was changed");
            differences.serious.push(format!("table {name} {what}"));
            continue;
        }
        let drop = there.map_or(String::new(), |_| format!("DROP {kind} {name}; "));
        let restore = format!("{drop}{sql}");
        differences.restorable.push(((kind, name), restore));
    }
    for (kind, name) in found.into_keys() {
        let text = format!("{kind} {name} does not belong here");
        if kind == "trigger" || kind == "view" {
            differences.serious.push(text);
        } else {
            differences.harmless.push(text);
        }
    }
    Ok(differences)
}

/// Tables of `schema.sql` that are not there.
pub(super) fn missing_tables(connection: &Connection) -> Result<Vec<String>, StoreError> {
    let found = read(connection)?;
    let missing = expected()?
        .into_keys()
        .filter(|name| !found.contains_key(name));
    let tables = missing.filter(|(kind, _)| kind == "table");
    Ok(tables.map(|(_, name)| name).collect())
}

fn expected() -> Result<BTreeMap<Name, String>, StoreError> {
    let model = Connection::open_in_memory()?;
    model.execute_batch(SCHEMA)?;
    read(&model)
}

/// Everything but what SQLite makes by itself.
fn read(connection: &Connection) -> Result<BTreeMap<Name, String>, StoreError> {
    let sql =
        "SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'";
    let mut statement = connection.prepare(sql)?;
    let rows = statement.query_map([], |row| Ok(((row.get(0)?, row.get(1)?), row.get(2)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A statement without comments and line ends, which another release may have written differently.
fn plain(sql: &str) -> String {
    let lines = sql
        .lines()
        .map(|line| line.split("--").next().unwrap_or(line));
    let words: Vec<&str> = lines.flat_map(str::split_whitespace).collect();
    words.join(" ")
}
