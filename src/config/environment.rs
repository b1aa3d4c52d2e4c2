//! `ISLET_…` variables: `ISLET_HTTP` is the key `http`, `ISLET_MAIL_HOST` the key `mail.host`.
//! An empty variable counts as absent.

use toml::{Table, Value};

use super::{Config, file};

/// Variables that are not configuration: the data directory, and what tests set.
const OTHERS: [&str; 2] = ["ISLET_DATA", "ISLET_TEST_"];

/// The process's variables that begin with `ISLET_`.
#[must_use]
pub fn islet_variables() -> Vec<(String, String)> {
    let text = std::env::vars_os()
        .filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?)));
    text.filter(|(name, _)| name.starts_with("ISLET_"))
        .collect()
}

/// `config` with what the variables say, and what is wrong with them.
pub(super) fn apply(config: Config, variables: &[(String, String)]) -> (Config, Vec<String>) {
    let keys = file::known_keys();
    let (mut config, mut problems) = (config, Vec::new());
    for (variable, text) in variables {
        if text.is_empty() || OTHERS.iter().any(|other| variable.starts_with(other)) {
            continue;
        }
        let Some((key, default)) = keys.iter().find(|(key, _)| variable_of(key) == *variable)
        else {
            problems.push(unknown(variable));
            continue;
        };
        match value_like(default, text).and_then(|value| with(&config, key, value)) {
            Ok(changed) => config = changed,
            Err(why) => problems.push(format!("environment variable {variable}: {why}")),
        }
    }
    (config, problems)
}

fn unknown(variable: &str) -> String {
    let names = file::known_keys()
        .into_iter()
        .map(|(key, _)| variable_of(&key));
    let nearest = names.min_by_key(|name| strsim::damerau_levenshtein(name, variable));
    let nearest = nearest.unwrap_or_default();
    format!("environment variable {variable} is unknown; did you mean {nearest}? If not, unset it")
}

fn variable_of(key: &str) -> String {
    format!("ISLET_{}", key.replace('.', "_").to_uppercase())
}

/// `text` as a value of the same kind as `default`.
fn value_like(default: &Value, text: &str) -> Result<Value, String> {
    let text = text.trim();
    match default {
        Value::Integer(_) => text
            .parse()
            .map(Value::Integer)
            .map_err(|_| format!("{text:?} is not a whole number")),
        Value::Boolean(_) => text
            .parse()
            .map(Value::Boolean)
            .map_err(|_| format!("{text:?} is neither true nor false")),
        Value::Array(_) => {
            let items = text
                .split(',')
                .map(|item| Value::String(item.trim().into()));
            Ok(Value::Array(items.collect()))
        }
        _ => Ok(Value::String(text.to_owned())),
    }
}

/// `config` with another value of one key.
pub(super) fn with(config: &Config, key: &str, value: Value) -> Result<Config, String> {
    let mut table = Table::try_from(config).map_err(|error| error.to_string())?;
    match key.split_once('.') {
        Some((section, key)) => {
            if let Some(Value::Table(section)) = table.get_mut(section) {
                section.insert(key.to_owned(), value);
            }
        }
        None => {
            table.insert(key.to_owned(), value);
        }
    }
    table
        .try_into()
        .map_err(|error: toml::de::Error| error.message().to_owned())
}
