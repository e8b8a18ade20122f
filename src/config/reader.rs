//! Takes typed values out of the merged layers, and notes every problem on the way.
//!
//! A key that nobody took is a key that nobody knows.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use config::{Map, Value, ValueKind};

use super::InvalidConfig;
use super::layers::{Sources, environment_name, flag_name};
use super::values::Parsed;
use crate::event::InputId;
use crate::schedule::{Configured, Expectation};

/// What is wrong, where, with which key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    origin: String,
    key: Option<String>,
    message: String,
}

impl Problem {
    /// A problem in `origin`: a file, a variable or a flag.
    pub fn new(origin: impl Into<String>, key: Option<&str>, message: impl Into<String>) -> Self {
        Self { origin: origin.into(), key: key.map(str::to_owned), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.key {
            Some(key) => write!(f, "{}: {key}: {}", self.origin, self.message),
            None => write!(f, "{}: {}", self.origin, self.message),
        }
    }
}

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key, as it is called in a file.
    pub key: String,
    /// The value as it was given; a secret is masked.
    pub value: String,
    /// Where it came from: `default`, a file, a variable or a flag.
    pub origin: String,
}

pub(super) struct Reader {
    /// Every leaf by its full key, those taken already left out.
    leaves: BTreeMap<String, Value>,
    /// What a key falls back to when its value is bad, so that reading can go on.
    defaults: BTreeMap<String, Value>,
    effective: Vec<Effective>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(sources: &Sources) -> Result<Self, InvalidConfig> {
        let leaves = |sources: &Sources| sources.merged().map(|merged| leaves(merged).collect()).map_err(InvalidConfig);
        let defaults = leaves(&Sources::default())?;
        Ok(Self { leaves: leaves(sources)?, defaults, effective: Vec::new(), problems: Vec::new() })
    }

    /// Takes a key that holds one value.
    pub(super) fn scalar<T>(&mut self, key: &str, parse: fn(&str) -> Parsed<T>) -> T {
        if let Some(value) = self.leaves.remove(key) {
            let origin = origin(key, &value);
            match value.into_string().map_err(|_| "must be a single value".to_owned()).and_then(|text| {
                let parsed = parse(&text)?;
                Ok((text, parsed))
            }) {
                Ok((value, parsed)) => {
                    self.effective.push(Effective { key: key.to_owned(), value, origin });
                    return parsed;
                }
                Err(message) => self.problems.push(Problem::new(origin, Some(key), message)),
            }
        }
        let default = self.defaults.get(key).cloned().and_then(|value| value.into_string().ok());
        default.and_then(|default| parse(&default).ok()).expect("every key has a valid default")
    }

    /// Takes a table whose keys are names: those names with their texts and origins.
    pub(super) fn table(&mut self, key: &str) -> Vec<(String, String, String)> {
        let prefix = format!("{key}.");
        let names: Vec<String> = self.leaves.keys().filter(|leaf| leaf.starts_with(&prefix)).cloned().collect();
        let mut entries = Vec::new();
        for leaf in names {
            let value = self.leaves.remove(&leaf).expect("the leaf was listed");
            let origin = origin(&leaf, &value);
            match value.into_string() {
                Ok(text) => entries.push((leaf[prefix.len()..].to_owned(), text, origin)),
                Err(_) => self.problems.push(Problem::new(origin, Some(&leaf), "must be a single value")),
            }
        }
        entries
    }

    /// Takes the list of inputs.
    pub(super) fn inputs(&mut self, key: &str) -> BTreeMap<InputId, Configured> {
        let mut inputs = BTreeMap::new();
        let Some(list) = self.leaves.remove(key) else { return inputs };
        let origin = origin(key, &list);
        let ValueKind::Array(entries) = list.kind else {
            self.problems.push(Problem::new(origin, Some(key), "must be a list of tables with id and name"));
            return inputs;
        };
        for (index, entry) in entries.into_iter().enumerate() {
            let key = format!("inputs[{index}]");
            let Some((id, configured)) = self.input(entry, &origin, &key) else { continue };
            self.show(&format!("inputs.{id}.name"), &origin, &configured.name);
            self.show_expectation(&format!("inputs.{id}.expected"), &origin, &configured.expectation);
            if inputs.insert(id, configured).is_some() {
                self.problems.push(Problem::new(&origin, Some(&format!("{key}.id")), format!("{id} is listed twice")));
            }
        }
        inputs
    }

    fn input(&mut self, entry: Value, origin: &str, key: &str) -> Option<(InputId, Configured)> {
        let mut fields = entry.into_table().unwrap_or_default();
        let id = self.field(&mut fields, origin, key, "id", |text| {
            text.parse::<InputId>().map_err(|error| format!("{error}, not {text:?}"))
        });
        let name = self.field(&mut fields, origin, key, "name", input_name);
        let expectation = match fields.remove("expected") {
            Some(expected) => self.expectation(expected, origin, &format!("{key}.expected")),
            None => Some(Expectation::default()),
        };
        self.refuse(&fields, origin, key);
        Some((id?, Configured { name: name?, expectation: expectation? }))
    }

    /// Notes every field that nobody took.
    pub(super) fn refuse(&mut self, fields: &Map<String, Value>, origin: &str, entry: &str) {
        for unknown in fields.keys() {
            self.problems.push(Problem::new(origin, Some(&format!("{entry}.{unknown}")), "unknown key"));
        }
    }

    /// Takes a field of an entry of a list.
    pub(super) fn field<T>(
        &mut self,
        fields: &mut Map<String, Value>,
        origin: &str,
        entry: &str,
        field: &str,
        parse: fn(&str) -> Parsed<T>,
    ) -> Option<T> {
        let parsed = match fields.remove(field).map(Value::into_string) {
            None => Err("is missing".to_owned()),
            Some(Err(_)) => Err("must be a single value".to_owned()),
            Some(Ok(text)) => parse(&text),
        };
        match parsed {
            Ok(parsed) => Some(parsed),
            Err(message) => {
                self.problems.push(Problem::new(origin, Some(&format!("{entry}.{field}")), message));
                None
            }
        }
    }

    /// Notes a problem with a key as a whole.
    pub(super) fn problem(&mut self, key: &str, message: impl Into<String>) {
        self.problems.push(Problem::new("configuration", Some(key), message));
    }

    /// Notes a problem that was found elsewhere.
    pub(super) fn report(&mut self, problem: Problem) {
        self.problems.push(problem);
    }

    /// Notes what is in force, as it may be shown.
    pub(super) fn show(&mut self, key: &str, origin: &str, shown: &str) {
        self.effective.push(Effective { key: key.to_owned(), value: shown.to_owned(), origin: origin.to_owned() });
    }

    /// The effective configuration, when there was no problem.
    pub(super) fn finish(mut self) -> Result<Vec<Effective>, InvalidConfig> {
        for (key, value) in &self.leaves {
            self.problems.push(Problem::new(origin(key, value), Some(key), "unknown key"));
        }
        if self.problems.is_empty() { Ok(self.effective) } else { Err(InvalidConfig(self.problems)) }
    }
}

fn input_name(text: &str) -> Parsed<Arc<str>> {
    match text.chars().count() {
        0 => Err("must not be empty".into()),
        1..=200 if !text.chars().any(char::is_control) => Ok(text.into()),
        _ => Err("must be at most 200 characters and no control characters".into()),
    }
}

/// The origin as its owner would look for it.
fn origin(key: &str, value: &Value) -> String {
    match value.origin() {
        Some("environment") => environment_name(key),
        Some("flag") => flag_name(key),
        origin => origin.unwrap_or("configuration").to_owned(),
    }
}

/// All values that are no tables, by their full keys.
fn leaves(root: Value) -> impl Iterator<Item = (String, Value)> {
    let mut found = Vec::new();
    let mut pending: Vec<(String, Value)> = root.into_table().unwrap_or_default().into_iter().collect();
    while let Some((path, value)) = pending.pop() {
        match value.kind {
            ValueKind::Table(table) => {
                pending.extend(table.into_iter().map(|(key, value)| (format!("{path}.{key}"), value)));
            }
            // A key without a value says nothing.
            ValueKind::Nil => {}
            ValueKind::Boolean(_)
            | ValueKind::I64(_)
            | ValueKind::I128(_)
            | ValueKind::U64(_)
            | ValueKind::U128(_)
            | ValueKind::Float(_)
            | ValueKind::String(_)
            | ValueKind::Array(_) => found.push((path, value)),
        }
    }
    found.into_iter()
}
