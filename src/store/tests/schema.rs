//! `schema.sql`, `entity.rs` and the statements agree.

use std::collections::BTreeSet;

use super::*;

const SCHEMA: &str = include_str!("../../../schema.sql");

/// The tables of the schema with the mark in the comment above each.
fn marked_tables() -> Vec<(&'static str, &'static str)> {
    let mut mark = "";
    let mut tables = Vec::new();
    for line in SCHEMA.lines() {
        if let Some(comment) = line.strip_prefix("-- [") {
            mark = comment.split([']', ' ']).next().unwrap();
        } else if let Some(rest) = line.strip_prefix("CREATE TABLE ") {
            tables.push((rest.split(' ').next().unwrap(), mark));
            mark = "";
        }
    }
    tables
}

async fn columns(node: &Node, table: &'static str) -> Vec<String> {
    let sql = "SELECT name FROM pragma_table_info(?) ORDER BY cid";
    let read = node
        .store()
        .read(move |tx| tx::all(tx, sql, [table], |row| row.get(0)));
    read.await.map_err(|error: StoreError| error).unwrap()
}

#[tokio::test]
async fn every_replicated_table_is_declared_with_exactly_its_columns() {
    let node = Node::new();
    let tables = marked_tables();
    let replicated: BTreeSet<_> = tables
        .iter()
        .filter(|(_, mark)| *mark == "replicated")
        .map(|(t, _)| *t)
        .collect();
    // Registers are the siblings of all of them.
    let declared: BTreeSet<_> = islet_sync::rules::ALL
        .iter()
        .map(|entity| entity.name)
        .chain(["register"])
        .collect();
    assert_eq!(replicated, declared);
    for entity in entity::rows() {
        let fields = entity.fields.iter().map(|field| field.name);
        let expected: Vec<String> = std::iter::once("id")
            .chain(fields)
            .map(str::to_owned)
            .collect();
        assert_eq!(
            columns(&node, entity.name).await,
            expected,
            "{}",
            entity.name
        );
    }
}

#[tokio::test]
async fn every_table_is_in_the_schema_file_strict_and_marked() {
    let node = Node::new();
    let sql = "SELECT name, strict FROM pragma_table_list WHERE type = 'table' AND name NOT LIKE 'sqlite_%' AND schema = 'main'";
    let read = node
        .store()
        .read(move |tx| tx::all(tx, sql, [], |row| Ok((row.get(0)?, row.get(1)?))));
    let found: Vec<(String, bool)> = read.await.map_err(|error: StoreError| error).unwrap();
    let tables = marked_tables();
    let names: BTreeSet<_> = tables
        .iter()
        .map(|(table, _)| (*table).to_owned())
        .collect();
    assert_eq!(
        found
            .iter()
            .map(|(name, _)| name.clone())
            .collect::<BTreeSet<_>>(),
        names
    );
    assert!(found.iter().all(|(_, strict)| *strict), "{found:?}");
    // The logs explain themselves instead.
    let unmarked: Vec<_> = tables
        .iter()
        .filter(|(_, mark)| mark.is_empty())
        .map(|(t, _)| *t)
        .collect();
    assert_eq!(unmarked, ["change", "segment", "audit_entry"]);
}

#[tokio::test]
async fn the_version_is_that_of_the_schema() {
    let node = Node::new();
    let sql = "SELECT user_version FROM pragma_user_version";
    let read = node
        .store()
        .read(move |tx| tx::one(tx, sql, [], |row| row.get::<_, i64>(0)));
    assert_eq!(
        read.await.map_err(|error: StoreError| error).unwrap(),
        Some(migrate::SCHEMA_VERSION)
    );
}
