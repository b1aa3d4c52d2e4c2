//! Reading `config.toml`: every unknown key is named with its line and the nearest known one.

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

/// The known key that was probably meant.
pub(super) fn nearest(key: &str) -> Option<String> {
    let last = |name: &str| name.rsplit('.').next().unwrap_or_default().to_owned();
    // The same key in another section first, then the most similar one.
    let distance = |name: &str| {
        if last(name) == last(key) {
            0
        } else {
            strsim::damerau_levenshtein(name, key)
                .min(strsim::damerau_levenshtein(&last(name), &last(key)) + 1)
        }
    };
    let all = known_keys();
    let best = all.iter().map(|(name, _)| (distance(name), name)).min()?;
    (best.0 <= 2.max(last(key).len() / 3)).then(|| best.1.clone())
}

fn line_of(text: &str, offset: usize) -> usize {
    let before = text.as_bytes().iter().take(offset);
    1 + before.filter(|byte| **byte == b'\n').count()
}
