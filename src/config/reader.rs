//! Reads typed values from the merged layers and collects every problem.
//!
//! Reading a key removes it. The keys that are left at the end are unknown.

use std::mem;
use std::path::{Path, PathBuf};
use std::time::Duration;

use config::{Value, ValueKind};

use super::layers::{Leaf, Leaves, Sources, defaults};
use super::problem::Problem;
use super::values::{self, Parsed, duration_in_words, in_words};
use super::{InvalidConfig, spelling};

/// One key of the effective configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Effective {
    /// The key, as written in a file.
    pub key: String,
    /// The value as given; secrets are masked.
    pub value: String,
    /// What a duration or a size means, in words; where a relative path leads.
    pub meaning: Option<String>,
    /// `default`, a file, a variable or a flag.
    pub origin: String,
    /// Whether a change takes effect on reload, without a restart.
    pub reloadable: bool,
}

impl Effective {
    /// The key with its value, in quotes.
    pub fn assignment(&self) -> String {
        let Self { key, value, .. } = self;
        format!("{key} = {value:?}")
    }

    /// Where the value comes from and what it means.
    pub fn comment(&self) -> String {
        let Self { origin, meaning, .. } = self;
        meaning.as_ref().map_or_else(|| origin.clone(), |meaning| format!("{origin}: {meaning}"))
    }
}

pub(super) struct Reader {
    /// The values that have not been read yet.
    leaves: Leaves,
    /// Replace invalid values, so that reading can continue.
    defaults: Leaves,
    effective: Vec<Effective>,
    problems: Vec<Problem>,
    warnings: Vec<Problem>,
}

impl Reader {
    pub(super) fn new(sources: &Sources) -> Result<Self, InvalidConfig> {
        let leaves = sources.merged().map_err(InvalidConfig)?;
        Ok(Self { leaves, defaults: defaults(), effective: Vec::new(), problems: Vec::new(), warnings: Vec::new() })
    }

    /// Reads a single value whose changes need a restart.
    pub(super) fn on_restart<T>(&mut self, key: &str, parse: fn(&str) -> Parsed<T>) -> T {
        self.value(key, false, single, parse, |_| None)
    }

    /// Reads a value or a list whose changes need a restart. `parse` gets the elements separated by commas, as variables
    /// and flags write them.
    pub(super) fn list_on_restart<T>(&mut self, key: &str, parse: fn(&str) -> Parsed<T>) -> T {
        self.value(key, false, joined, parse, |_| None)
    }

    /// Reads a single value whose changes take effect on reload.
    pub(super) fn on_reload<T>(&mut self, key: &str, parse: fn(&str) -> Parsed<T>) -> T {
        self.value(key, true, single, parse, |_| None)
    }

    pub(super) fn duration_on_restart(&mut self, key: &str, parse: fn(&str) -> Parsed<Duration>) -> Duration {
        self.value(key, false, single, parse, |duration| Some(duration_in_words(*duration)))
    }

    pub(super) fn duration_on_reload(&mut self, key: &str, parse: fn(&str) -> Parsed<Duration>) -> Duration {
        self.value(key, true, single, parse, |duration| Some(duration_in_words(*duration)))
    }

    pub(super) fn size_on_reload(&mut self, key: &str) -> usize {
        self.value(key, true, single, values::size, |size| Some(in_words(*size as u128, "byte")))
    }

    pub(super) fn path_on_restart(&mut self, key: &str) -> PathBuf {
        self.value(key, false, single, values::path, |path| Some(path.display().to_string()))
    }

    pub(super) fn optional_path_on_restart(&mut self, key: &str) -> Option<PathBuf> {
        self.value(key, false, single, values::optional_path, |path| Some(path.as_ref()?.display().to_string()))
    }

    pub(super) fn optional_path_on_reload(&mut self, key: &str) -> Option<PathBuf> {
        self.value(key, true, single, values::optional_path, |path| Some(path.as_ref()?.display().to_string()))
    }

    fn value<T>(
        &mut self,
        key: &str,
        reloadable: bool,
        text: fn(Value) -> Parsed<String>,
        parse: fn(&str) -> Parsed<T>,
        meaning: fn(&T) -> Option<String>,
    ) -> T {
        if let Some(Leaf { value, origin }) = self.take(key) {
            let parsed = text(value).and_then(|text| Ok((parse(&text)?, text)));
            if let Some((parsed, value)) = self.check(&origin, key, parsed) {
                let meaning = meaning(&parsed).filter(|meaning| *meaning != value);
                self.effective.push(Effective { key: key.to_owned(), value, meaning, origin, reloadable });
                return parsed;
            }
        }
        let default = self.defaults.get(key).and_then(|leaf| parse(&text(leaf.value.clone()).ok()?).ok());
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

    /// Reports a value that works and is dangerous.
    pub(super) fn warn(&mut self, origin: &str, key: &str, message: impl Into<String>) {
        self.warnings.push(Problem::new(origin, Some(key), message));
    }

    /// Adds a reloadable key to the effective configuration.
    pub(super) fn show(&mut self, key: String, origin: &str, value: &str) {
        self.show_with_meaning(key, origin, value, None);
    }

    /// Adds a reloadable path to the effective configuration.
    pub(super) fn show_path(&mut self, key: String, origin: &str, value: &str) {
        let path = values::absolute(Path::new(value)).display().to_string();
        self.show_with_meaning(key, origin, value, Some(path).filter(|path| path != value));
    }

    fn show_with_meaning(&mut self, key: String, origin: &str, value: &str, meaning: Option<String>) {
        let (value, origin) = (value.to_owned(), origin.to_owned());
        self.effective.push(Effective { key, value, meaning, origin, reloadable: true });
    }

    /// The effective configuration and the warnings, if there were no problems.
    pub(super) fn finish(mut self) -> Result<(Vec<Effective>, Vec<Problem>), InvalidConfig> {
        let unknown = self.leaves.iter().map(|(key, leaf)| {
            let known = spelling::known_key(key).map(|known| format!(" (did you mean {known}?)")).unwrap_or_default();
            Problem::new(&leaf.origin, Some(key), format!("unknown key{known}"))
        });
        self.problems.extend(unknown);
        if self.problems.is_empty() { Ok((self.effective, self.warnings)) } else { Err(InvalidConfig(self.problems)) }
    }
}

pub(super) fn single(value: Value) -> Parsed<String> {
    if value.kind == ValueKind::Nil {
        return Err("has no value (quote it if it is text)".to_owned());
    }
    value.into_string().map_err(|_| "must be a single value".to_owned())
}

/// A single value, or the elements of a list separated by commas.
fn joined(value: Value) -> Parsed<String> {
    let ValueKind::Array(values) = value.kind else { return single(value) };
    Ok(values.into_iter().map(single).collect::<Parsed<Vec<_>>>()?.join(", "))
}
