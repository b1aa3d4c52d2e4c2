//! Reading `config.toml`: every unknown key is named with its line and the nearest known one.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::{Config, environment};

/// The file's configuration as far as it can be taken, and all that is wrong with it; the defaults
/// when there is no file.
pub(super) fn read(path: &Path) -> (Config, Vec<String>) {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&path.display().to_string(), &text),
        Err(error) if error.kind() == ErrorKind::NotFound => (Config::default(), Vec::new()),
        Err(error) => {
            let problem = format!("{} cannot be read: {error}", path.display());
            (Config::default(), vec![problem])
        }
    }
}

/// Parses `text`, each key by itself; `name` stands in front of each problem.
pub(super) fn parse(name: &str, text: &str) -> (Config, Vec<String>) {
    let mut config = Config::default();
    let read = DeTable::parse(text).and_then(|document| Ok((document, toml::from_str(text)?)));
    let (document, values): (_, Table) = match read {
        Ok(read) => read,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            let problem = format!("{name} line {line}: {}", error.message());
            return (config, vec![problem]);
        }
    };
    let mut found = Vec::new();
    find_unknown(document.get_ref(), "", &mut found);
    for (key, _) in known_keys() {
        let Some(value) = value_of(&values, &key) else {
            continue;
        };
        match environment::with(&config, &key, value.clone()) {
            Ok(changed) => config = changed,
            Err(why) => found.push((place_of(document.get_ref(), &key), format!("{key}: {why}"))),
        }
    }
    found.sort_unstable();
    let problems = found.into_iter().map(|(offset, problem)| {
        let line = line_of(text, offset);
        format!("{name} line {line}: {problem}")
    });
    (config, problems.collect())
}

fn value_of<'a>(values: &'a Table, key: &str) -> Option<&'a Value> {
    match key.split_once('.') {
        Some((section, key)) => values.get(section)?.as_table()?.get(key),
        None => values.get(key),
    }
}

/// Where a key is in the text.
fn place_of(document: &DeTable<'_>, key: &str) -> usize {
    let (first, rest) = key.split_once('.').unwrap_or((key, ""));
    let found = document.iter().find(|(key, _)| key.get_ref() == first);
    match found.map(|(key, value)| (key.span().start, value.get_ref())) {
        Some((_, DeValue::Table(inner))) if !rest.is_empty() => place_of(inner, rest),
        found => found.map_or(0, |(place, _)| place),
    }
}

/// Every key of the configuration in dotted form, with its default.
pub(super) fn known_keys() -> Vec<(String, Value)> {
    let defaults = Table::try_from(Config::default()).unwrap_or_default();
    let mut keys = Vec::new();
    for (name, value) in defaults {
        match value {
            Value::Table(section) => {
                keys.extend(
                    section
                        .into_iter()
                        .map(|(key, v)| (format!("{name}.{key}"), v)),
                );
            }
            value => keys.push((name, value)),
        }
    }
    keys
}

fn find_unknown(table: &DeTable<'_>, prefix: &str, unknown: &mut Vec<(usize, String)>) {
    let known = known_keys();
    for (key, value) in table {
        let path = format!("{prefix}{}", key.get_ref());
        let section = format!("{path}.");
        if known.iter().any(|(name, _)| name.starts_with(&section)) {
            match value.get_ref() {
                DeValue::Table(inner) => find_unknown(inner, &section, unknown),
                _ => unknown.push((
                    key.span().start,
                    format!("{path} must be a section [{path}]"),
                )),
            }
        } else if !known.iter().any(|(name, _)| *name == path) {
            let hint = nearest(&path).map_or_else(
                || "`islet config show` lists all keys".to_owned(),
                |known| format!("did you mean {known}?"),
            );
            unknown.push((key.span().start, format!("unknown key {path}; {hint}")));
        }
    }
}

/// The known key or section that was probably meant.
pub(super) fn nearest(key: &str) -> Option<String> {
    let (_, last) = split(key);
    let mut names: Vec<String> = known_keys().into_iter().map(|(name, _)| name).collect();
    let sections: BTreeSet<_> = names.iter().map(|name| split(name).0.to_owned()).collect();
    names.extend(sections.into_iter().filter(|section| !section.is_empty()));
    // The same key in another section first, then one that this one begins with or the most
    // similar one.
    let distance = |name: &String| {
        let (_, other) = split(name);
        if other == last {
            return 0;
        }
        if last.starts_with(other) || other.starts_with(last) {
            return 1;
        }
        let whole = strsim::damerau_levenshtein(name, key);
        whole.min(strsim::damerau_levenshtein(other, last) + 1)
    };
    let length = |name: &String| split(name).1.len().abs_diff(last.len());
    let best = names
        .into_iter()
        .min_by_key(|name| (distance(name), length(name)))?;
    (distance(&best) <= 2.max(last.len() / 3)).then_some(best)
}

/// Section and key; the section is empty at the top.
fn split(name: &str) -> (&str, &str) {
    name.rsplit_once('.').unwrap_or(("", name))
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}
