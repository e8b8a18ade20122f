//! Reads typed values from the merged layers and collects every problem.
//!
//! Reading a key removes it. The keys that are left at the end are unknown.

use std::{fmt, mem};

use config::Value;

use super::InvalidConfig;
use super::layers::{Leaf, Leaves, Sources, defaults};
use super::values::Parsed;

/// A problem and its place.
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
    /// The key, as written in a file.
    pub key: String,
    /// The value as given; secrets are masked.
    pub value: String,
    /// `default`, a file, a variable or a flag.
    pub origin: String,
    /// Whether a change takes effect on reload, without a restart.
    pub reloadable: bool,
}

pub(super) struct Reader {
    /// The values that have not been read yet.
    leaves: Leaves,
    /// Replace invalid values, so that reading can continue.
    defaults: Leaves,
    effective: Vec<Effective>,
    problems: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(sources: &Sources) -> Result<Self, InvalidConfig> {
        let leaves = sources.merged().map_err(InvalidConfig)?;
        Ok(Self { leaves, defaults: defaults(), effective: Vec::new(), problems: Vec::new() })
    }

    /// Reads a single value whose changes need a restart.
    pub(super) fn on_restart<T>(&mut self, key: &str, parse: fn(&str) -> Parsed<T>) -> T {
        self.scalar(key, false, parse)
    }

    /// Reads a single value whose changes take effect on reload.
    pub(super) fn on_reload<T>(&mut self, key: &str, parse: fn(&str) -> Parsed<T>) -> T {
        self.scalar(key, true, parse)
    }

    fn scalar<T>(&mut self, key: &str, reloadable: bool, parse: fn(&str) -> Parsed<T>) -> T {
        if let Some(Leaf { value, origin }) = self.take(key) {
            let parsed = single(value).and_then(|text| Ok((parse(&text)?, text)));
            if let Some((parsed, value)) = self.check(&origin, key, parsed) {
                self.effective.push(Effective { key: key.to_owned(), value, origin, reloadable });
                return parsed;
            }
        }
        let default = self.defaults.get(key).and_then(|leaf| parse(&single(leaf.value.clone()).ok()?).ok());
        default.expect("every key has a valid default")
    }

    /// Reads a table with names as keys: each name with its text and origin.
    pub(super) fn table(&mut self, key: &str) -> Vec<(String, String, String)> {
        let prefix = format!("{key}.");
        let (of_table, others): (Leaves, Leaves) =
            mem::take(&mut self.leaves).into_iter().partition(|(key, _)| key.starts_with(&prefix));
        self.leaves = others;
        let mut entries = Vec::new();
        for (key, Leaf { value, origin }) in of_table {
            if let Some(text) = self.check(&origin, &key, single(value)) {
                entries.push((key[prefix.len()..].to_owned(), text, origin));
            }
        }
        entries
    }

    pub(super) fn take(&mut self, key: &str) -> Option<Leaf> {
        self.leaves.remove(key)
    }

    /// The parsed value; or `None`, and the problem is reported.
    pub(super) fn check<T>(&mut self, origin: &str, key: &str, parsed: Parsed<T>) -> Option<T> {
        parsed.map_err(|message| self.problems.push(Problem::new(origin, Some(key), message))).ok()
    }

    /// Reports a problem between several keys.
    pub(super) fn conflict(&mut self, key: &str, message: &str) {
        self.problems.push(Problem::new("configuration", Some(key), message));
    }

    /// Adds a reloadable key to the effective configuration.
    pub(super) fn show(&mut self, key: String, origin: &str, value: &str) {
        self.effective.push(Effective { key, value: value.to_owned(), origin: origin.to_owned(), reloadable: true });
    }

    /// The effective configuration, if there were no problems.
    pub(super) fn finish(mut self) -> Result<Vec<Effective>, InvalidConfig> {
        let unknown = self.leaves.iter().map(|(key, leaf)| Problem::new(&leaf.origin, Some(key), "unknown key"));
        self.problems.extend(unknown);
        if self.problems.is_empty() { Ok(self.effective) } else { Err(InvalidConfig(self.problems)) }
    }
}

pub(super) fn single(value: Value) -> Parsed<String> {
    value.into_string().map_err(|_| "must be a single value".to_owned())
}
