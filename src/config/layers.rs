//! The layers of a configuration, and what a key is called in each.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use config::{ConfigError, Environment, File, FileFormat, Map, Source, Value, ValueKind};

use super::{DEFAULT, Problem};

const ENVIRONMENT_PREFIX: &str = "STREAM_LIVE_EXPORTER";

/// The variable that names the configuration file when no flag does.
const CONFIG_FILE_VARIABLE: &str = "STREAM_LIVE_EXPORTER__CONFIG__FILE";

/// How YAML's parser calls it, after the key.
const DUPLICATE_KEY: &str = "duplicated key in mapping";

/// Where a configuration is read from.
#[derive(Debug, Clone, Default)]
pub struct Sources {
    /// `--config.file`.
    pub file: Option<PathBuf>,
    /// The process's environment.
    pub environment: Vec<(OsString, OsString)>,
    /// The other flags.
    pub flags: Vec<Flag>,
}

/// A flag: a key and its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Flag {
    /// The key, as it is called in a file.
    pub key: String,
    /// The value as it was given.
    pub value: String,
}

impl Sources {
    /// The named file and flags, and this process's environment.
    pub fn of_this_process(file: Option<PathBuf>, flags: Vec<Flag>) -> Self {
        Self { file, environment: std::env::vars_os().collect(), flags }
    }

    fn file(&self) -> Option<PathBuf> {
        let variable = || self.environment.iter().find(|(name, _)| name == CONFIG_FILE_VARIABLE);
        self.file.clone().or_else(|| variable().map(|(_, path)| path.into()))
    }

    /// All layers, the later over the earlier.
    pub(super) fn merged(&self) -> Result<Value, Vec<Problem>> {
        let mut problems = Vec::new();
        let defaults =
            Layer::parse("default", &File::from_str(DEFAULT, FileFormat::Toml)).expect("the defaults are TOML");
        let mut layers = vec![defaults];
        match self.file().as_deref().map(Layer::from_file).transpose() {
            Ok(layer) => layers.extend(layer),
            Err(problem) => problems.push(problem),
        }
        match self.environment_layer() {
            Ok(layer) => layers.push(layer),
            Err(problem) => problems.push(problem),
        }
        let flags =
            self.flags.iter().map(|flag| (flag.key.clone(), Value::new(Some(&"flag".into()), flag.value.clone())));
        layers.push(Layer(flags.collect()));
        if !problems.is_empty() {
            return Err(problems);
        }
        let mut merged = Value::from(Map::<String, Value>::new());
        for (key, value) in layers.into_iter().flat_map(|layer| layer.0) {
            put(nested(&key, value), &mut merged);
        }
        Ok(merged)
    }

    fn environment_layer(&self) -> Result<Layer, Problem> {
        let prefix = format!("{ENVIRONMENT_PREFIX}__");
        let mut variables = Map::new();
        for (name, value) in &self.environment {
            let Some(name) = name.to_str().filter(|name| name.starts_with(&prefix) && *name != CONFIG_FILE_VARIABLE)
            else {
                continue;
            };
            let value = value.to_str().ok_or_else(|| Problem::new(name, None, "is not UTF-8"))?;
            variables.insert(name.to_owned(), value.to_owned());
        }
        let environment = Environment::with_prefix(ENVIRONMENT_PREFIX).separator("__").source(Some(variables));
        Ok(Layer::parse("environment", &environment).expect("the variables are UTF-8"))
    }
}

/// The name of a key in the environment.
pub fn environment_name(key: &str) -> String {
    format!("{ENVIRONMENT_PREFIX}__{}", key.to_uppercase().replace('.', "__"))
}

/// The name of a key on the command line.
pub fn flag_name(key: &str) -> String {
    match key.strip_prefix("webhook.secret_files.") {
        Some(name) => format!("--webhook.secret-file {name}"),
        // As all of Prometheus' exporters call it.
        None if key == "web.config_file" => "--web.config.file".to_owned(),
        None => format!("--{}", key.replace('_', "-")),
    }
}

/// The values of one layer. Every value knows its origin: a file's path, or what is given here.
#[derive(Debug)]
struct Layer(Map<String, Value>);

impl Layer {
    fn parse(origin: &str, source: &impl Source) -> Result<Self, ConfigError> {
        let mut values = source.collect()?;
        for value in values.values_mut() {
            set_origin(value, origin);
        }
        Ok(Self(values))
    }

    fn from_file(path: &Path) -> Result<Self, Problem> {
        let origin = path.display().to_string();
        let problem = |message: String| Problem::new(&origin, None, message);
        let format = match path.extension().and_then(|extension| extension.to_str()) {
            Some("toml") => FileFormat::Toml,
            Some("yaml" | "yml") => FileFormat::Yaml,
            _ => {
                return Err(problem("not a configuration file: expected .toml, .yaml or .yml".into()));
            }
        };
        let text = std::fs::read_to_string(path).map_err(|error| problem(format!("cannot be read: {error}")))?;
        let mut layer = Self::parse(&origin, &File::from_str(&text, format))
            .map_err(|error| problem(without_quotes(&error, format)))?;
        layer.expand_inputs();
        Ok(layer)
    }

    /// `[[inputs]]` is short for `[[inputs.list]]`.
    fn expand_inputs(&mut self) {
        if let Some(inputs) = self.0.get_mut("inputs").filter(|inputs| matches!(inputs.kind, ValueKind::Array(_))) {
            let list = std::mem::replace(&mut inputs.kind, ValueKind::Nil);
            let list = Value::new(inputs.origin().map(str::to_owned).as_ref(), list);
            inputs.kind = ValueKind::Table([("list".to_owned(), list)].into_iter().collect());
        }
    }
}

/// The value in tables inside each other, as the dots of its key say. The key means nothing else: for
/// the library's own merging `a[9999999999]` is a list of that length.
fn nested(key: &str, value: Value) -> Value {
    key.rsplit('.').fold(value, |value, name| {
        let table: Map<String, Value> = [(name.to_owned(), value)].into_iter().collect();
        Value::from(table)
    })
}

/// Puts a value over another: a table key by key, anything else as a whole.
fn put(over: Value, value: &mut Value) {
    match (&mut value.kind, &over.kind) {
        (ValueKind::Table(table), ValueKind::Table(_)) => {
            for (name, over) in over.into_table().unwrap_or_default() {
                put(over, table.entry(name).or_insert_with(|| Value::new(None, ValueKind::Nil)));
            }
        }
        _ => *value = over,
    }
}

fn set_origin(value: &mut Value, origin: &str) {
    let mut kind = std::mem::replace(&mut value.kind, ValueKind::Nil);
    match &mut kind {
        ValueKind::Table(table) => table.values_mut().for_each(|value| set_origin(value, origin)),
        ValueKind::Array(values) => values.iter_mut().for_each(|value| set_origin(value, origin)),
        ValueKind::Nil
        | ValueKind::Boolean(_)
        | ValueKind::I64(_)
        | ValueKind::I128(_)
        | ValueKind::U64(_)
        | ValueKind::U128(_)
        | ValueKind::Float(_)
        | ValueKind::String(_) => {}
    }
    *value = Value::new(Some(&origin.to_owned()), kind);
}

/// The parser's message without what it quotes: there may be a secret in it.
fn without_quotes(error: &ConfigError, format: FileFormat) -> String {
    let message = error.to_string();
    let lines = message.lines().filter(|line| !line.contains('|') && !line.trim().is_empty());
    let message = lines.collect::<Vec<_>>().join(": ");
    if format != FileFormat::Yaml {
        return message;
    }
    // What YAML's parser finds wrong has a place, and quotes a key at the most; any other error quotes values.
    let is_place =
        |text: &str| text.split(' ').all(|word| word.parse::<u64>().is_ok() || ["line", "column"].contains(&word));
    match message.rsplit_once(" at byte ").filter(|(_, place)| is_place(place)) {
        Some((problem, place)) if problem.ends_with(DUPLICATE_KEY) => format!("{DUPLICATE_KEY} at byte {place}"),
        Some(_) => message,
        None => "not one table of keys with values".to_owned(),
    }
}
