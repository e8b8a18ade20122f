//! The layers of the configuration and their merging.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use config::{File, Map, Source, Value, ValueKind};

use super::DEFAULT;
use super::problem::Problem;
use super::values;
use crate::document::Syntax;

const ENVIRONMENT_PREFIX: &str = "STREAM_LIVE_EXPORTER__";

/// The variable that names the configuration file if no flag does.
const CONFIG_FILE_VARIABLE: &str = "STREAM_LIVE_EXPORTER__CONFIG__FILE";

/// Where a configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config.file`.
    pub file: Option<PathBuf>,
    /// The environment of the process.
    pub environment: Vec<(OsString, OsString)>,
    /// The other flags.
    pub flags: Vec<Flag>,
}

/// A flag that sets a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The flag as written on the command line.
    pub name: String,
    /// The key, as written in a file.
    pub key: String,
    /// The value.
    pub value: String,
}

/// The values of a layer that are not tables, by full key.
pub(super) type Leaves = BTreeMap<String, Leaf>;

/// A value and its origin: a file, a variable or a flag.
pub(super) struct Leaf {
    pub(super) value: Value,
    pub(super) origin: String,
}

impl Sources {
    /// The given file and flags, and the environment of this process.
    pub fn of_this_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Self { file, environment: std::env::vars_os().collect(), flags }
    }

    /// A variable of another program's protocol.
    pub fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().find(|(variable, _)| variable == name);
        found.and_then(|(_, value)| value.to_str())
    }

    /// All layers merged; later layers override earlier ones key by key.
    pub(super) fn merged(&self) -> Result<Leaves, Vec<Problem>> {
        let (mut leaves, mut problems) = (defaults(), Vec::new());
        for layer in [self.file_layer(), self.environment_layer(), Ok(self.flag_layer())] {
            match layer {
                Ok(layer) => leaves.extend(layer),
                Err(problem) => problems.push(problem),
            }
        }
        if problems.is_empty() { Ok(leaves) } else { Err(problems) }
    }

    /// The values of a key in the layers that can be read, the one in force first.
    pub(super) fn values(&self, key: &str) -> Vec<Value> {
        let layers = [Ok(self.flag_layer()), self.environment_layer(), self.file_layer()];
        layers.into_iter().flatten().filter_map(|mut layer| layer.remove(key)).map(|leaf| leaf.value).collect()
    }

    fn file_layer(&self) -> Result<Leaves, Problem> {
        let variable = || self.environment.iter().find(|(name, _)| name == CONFIG_FILE_VARIABLE);
        let Some(path) = self.file.clone().or_else(|| variable().map(|(_, path)| path.into())) else {
            return Ok(Leaves::new());
        };
        let origin = path.display().to_string();
        let problem = |message: String| Problem::new(&origin, None, message);
        let syntax = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => Syntax::Toml,
            Some("yaml" | "yml") => Syntax::Yaml,
            _ => return Err(problem("unknown format (expected .toml, .yaml or .yml)".into())),
        };
        let text = std::fs::read_to_string(&path).map_err(|error| {
            Problem::new(values::absolute(&path).display().to_string(), None, format!("cannot be read: {error}"))
        })?;
        let values = File::from_str(&text, syntax).collect().map_err(|error| problem(error.to_string()))?;
        let mut leaves = flatten(values, &origin);
        // `[[inputs]]` is short for `[[inputs.list]]`.
        if let Some(list) = leaves.remove("inputs") {
            let key = if matches!(list.value.kind, ValueKind::Array(_)) { "inputs.list" } else { "inputs" };
            leaves.insert(key.to_owned(), list);
        }
        Ok(leaves)
    }

    fn environment_layer(&self) -> Result<Leaves, Problem> {
        let mut leaves = Leaves::new();
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| *name != CONFIG_FILE_VARIABLE) else { continue };
            let Some(key) = name.strip_prefix(ENVIRONMENT_PREFIX) else { continue };
            let value = value.to_str().ok_or_else(|| Problem::new(name, None, "is not UTF-8"))?;
            let key = key.to_lowercase().replace("__", ".");
            let origin = environment_name(&key);
            leaves.insert(key, Leaf { value: value.into(), origin });
        }
        Ok(leaves)
    }

    fn flag_layer(&self) -> Leaves {
        let leaf = |flag: &Flag| Leaf { value: flag.value.as_str().into(), origin: flag.name.clone() };
        self.flags.iter().map(|flag| (flag.key.clone(), leaf(flag))).collect()
    }
}

pub(super) fn defaults() -> Leaves {
    let values = File::from_str(DEFAULT, Syntax::Toml).collect();
    flatten(values.expect("the defaults are TOML"), "default")
}

/// The name of a key in the environment.
pub(super) fn environment_name(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}{}", key.to_uppercase().replace('.', "__"))
}

/// The dots of a key separate tables. The `config` crate's own merging would also read `a[99999999]`
/// as a list of that length.
fn flatten(values: Map<String, Value>, origin: &str) -> Leaves {
    let mut leaves = Leaves::new();
    let mut pending: Vec<(String, Value)> = values.into_iter().collect();
    while let Some((key, value)) = pending.pop() {
        if let ValueKind::Table(table) = value.kind {
            pending.extend(table.into_iter().map(|(name, value)| (format!("{key}.{name}"), value)));
        } else if value.kind != ValueKind::Nil {
            leaves.insert(key, Leaf { value, origin: origin.to_owned() });
        }
    }
    leaves
}
