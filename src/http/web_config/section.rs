//! Takes typed values out of YAML, key by key. Keys that are left at the end are unknown keys.

use config::{File, FileFormat, Map, Source, Value, ValueKind};

/// A value, or an error that names the key. Values that may be secret are not quoted.
pub(super) type Parsed<T> = Result<T, String>;

/// A mapping in the file, and the key that leads to it.
pub(super) struct Section {
    key: String,
    fields: Map<String, Value>,
}

impl Section {
    pub(super) fn root(text: &str) -> Parsed<Self> {
        let fields = File::from_str(text, FileFormat::Yaml).collect().map_err(|error| no_yaml(&error.to_string()))?;
        Ok(Self { key: String::new(), fields })
    }

    /// The full key of a field.
    pub(super) fn name(&self, field: &str) -> String {
        if self.key.is_empty() { field.to_owned() } else { format!("{}.{field}", self.key) }
    }

    /// Takes a mapping, which is empty if the key is missing.
    pub(super) fn section(&mut self, field: &str) -> Parsed<Self> {
        let key = self.name(field);
        let fields = self.take(field).map(Value::into_table).unwrap_or_else(|| Ok(Map::new()));
        Ok(Self { fields: fields.map_err(|_| format!("{key}: must be a mapping"))?, key })
    }

    /// Takes a string. An empty one counts as missing.
    pub(super) fn text(&mut self, field: &str) -> Parsed<Option<String>> {
        let text = self.take(field).map(Value::into_string).transpose();
        let text = text.map_err(|_| format!("{}: must be a single value", self.name(field)))?;
        Ok(text.filter(|text| !text.is_empty()))
    }

    /// Takes one of these names and returns its value.
    pub(super) fn choice<T: Copy>(&mut self, field: &str, choices: &[(impl AsRef<str>, T)]) -> Parsed<Option<T>> {
        self.text(field)?.map(|name| self.chosen(field, &name, choices)).transpose()
    }

    /// Takes a list of these names and returns their values.
    pub(super) fn choices<T: Copy>(&mut self, field: &str, choices: &[(impl AsRef<str>, T)]) -> Parsed<Vec<T>> {
        let names = self.list(field)?.unwrap_or_default();
        names.iter().map(|name| self.chosen(field, name, choices)).collect()
    }

    fn chosen<T: Copy>(&self, field: &str, name: &str, choices: &[(impl AsRef<str>, T)]) -> Parsed<T> {
        let chosen = choices.iter().find(|(known, _)| known.as_ref() == name).map(|(_, choice)| *choice);
        let known = || choices.iter().map(|(name, _)| name.as_ref()).collect::<Vec<_>>().join(", ");
        chosen.ok_or_else(|| format!("{}: {name:?} is not supported (expected {})", self.name(field), known()))
    }

    pub(super) fn boolean(&mut self, field: &str) -> Parsed<Option<bool>> {
        let boolean = self.take(field).map(Value::into_bool).transpose();
        boolean.map_err(|_| format!("{}: must be true or false", self.name(field)))
    }

    pub(super) fn list(&mut self, field: &str) -> Parsed<Option<Vec<String>>> {
        let list = self.take(field).map(Value::into_array).transpose();
        let list = list.and_then(|list| {
            list.map(|list| list.into_iter().map(Value::into_string).collect::<Result<_, _>>()).transpose()
        });
        list.map_err(|_| format!("{}: must be a list of strings", self.name(field)))
    }

    /// Takes all fields as strings, sorted by name.
    pub(super) fn texts(mut self) -> Parsed<Vec<(String, String)>> {
        let mut names: Vec<String> = self.fields.keys().cloned().collect();
        names.sort_unstable();
        names.into_iter().map(|name| Ok((name.clone(), self.text(&name)?.unwrap_or_default()))).collect()
    }

    /// Fails if a field is left.
    pub(super) fn finish(self) -> Parsed<()> {
        match self.fields.keys().min() {
            Some(unknown) => Err(format!("{}: unknown key", self.name(unknown))),
            None => Ok(()),
        }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| value.kind != ValueKind::Nil)
    }
}

/// The YAML scanner's message without the name of a duplicate key, which is the only thing that it quotes.
fn no_yaml(message: &str) -> String {
    match message.split_once(" at byte ").zip(message.rsplit_once(" line ")) {
        Some(((problem, _), (_, place))) => {
            let twice = problem.ends_with("duplicated key in mapping");
            format!("line {place}: {}", if twice { "duplicate key" } else { problem })
        }
        None => "not a YAML mapping".to_owned(),
    }
}
