//! Reading `config.toml`: every unknown key is named with its line and the nearest known one.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::path::Path;

use toml::de::{DeTable, DeValue};
use toml::{Table, Value};

use super::{Config, ConfigError};

/// The file's configuration; the defaults when there is no file.
pub(super) fn read(path: &Path) -> Result<Config, ConfigError> {
    match std::fs::read_to_string(path) {
        Ok(text) => parse(&path.display().to_string(), &text),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(Config::default()),
        Err(error) => Err(ConfigError(vec![format!(
            "{} cannot be read: {error}",
            path.display()
        )])),
    }
}

/// Parses `text`; `name` stands in front of each problem.
pub(super) fn parse(name: &str, text: &str) -> Result<Config, ConfigError> {
    let explain = |error: toml::de::Error| {
        let line = error.span().map_or(1, |span| line_of(text, span.start));
        ConfigError(vec![format!("{name} line {line}: {}", error.message())])
    };
    let document = DeTable::parse(text).map_err(explain)?;
    let mut unknown = Vec::new();
    find_unknown(document.get_ref(), "", &mut unknown);
    if unknown.is_empty() {
        return toml::from_str(text).map_err(explain);
    }
    unknown.sort_unstable();
    let problems = unknown.into_iter().map(|(offset, key)| {
        let line = line_of(text, offset);
        let hint = nearest(&key).map_or_else(
            || "`islet config show` lists all keys".to_owned(),
            |known| format!("did you mean {known}?"),
        );
        format!("{name} line {line}: unknown key {key}; {hint}")
    });
    Err(ConfigError(problems.collect()))
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
            if let DeValue::Table(inner) = value.get_ref() {
                find_unknown(inner, &section, unknown);
            }
        } else if !known.iter().any(|(name, _)| *name == path) {
            unknown.push((key.span().start, path));
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
