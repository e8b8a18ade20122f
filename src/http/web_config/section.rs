//! Takes typed values out of YAML, key by key. Keys that are left at the end are unknown keys.

use config::{Value, ValueKind};

use crate::document::{Syntax, Table};

/// A value, or an error that names the key. Values that may be secret are not quoted.
pub(super) type Parsed<T> = Result<T, String>;

/// A mapping in the file, and the key that leads to it.
pub(super) struct Section {
    key: String,
    fields: Table,
}

impl Section {
    pub(super) fn root(text: &str) -> Parsed<Self> {
        let fields = Syntax::Yaml.read(text).map_err(|error| error.to_string())?;
        Ok(Self { key: String::new(), fields })
    }

    /// The full key of a field.
    pub(super) fn name(&self, field: &str) -> String {
        if self.key.is_empty() { field.to_owned() } else { format!("{}.{field}", self.key) }
    }

    /// Takes a mapping, which is empty if the key is missing.
    pub(super) fn section(&mut self, field: &str) -> Parsed<Self> {
        let key = self.name(field);
        let fields = self.take(field).map_or_else(|| Some(Table::new()), |value| value.into_table().ok());
        Ok(Self { fields: fields.ok_or_else(|| format!("{key}: must be a mapping"))?, key })
    }

    /// Takes a string. An empty one counts as missing.
    pub(super) fn text(&mut self, field: &str) -> Parsed<Option<String>> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let text = value.into_string().map_err(|_| format!("{}: must be a single value", self.name(field)))?;
        Ok(Some(text).filter(|text| !text.is_empty()))
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
        let Some(value) = self.take(field) else { return Ok(None) };
        // YAML has more words for these in the version that the reference reads.
        match value.into_string().map(|text| text.to_ascii_lowercase()).as_deref() {
            Ok("true" | "yes" | "on") => Ok(Some(true)),
            Ok("false" | "no" | "off") => Ok(Some(false)),
            _ => Err(format!("{}: must be true or false", self.name(field))),
        }
    }

    pub(super) fn list(&mut self, field: &str) -> Parsed<Option<Vec<String>>> {
        let Some(value) = self.take(field) else { return Ok(None) };
        let texts = value.into_array().and_then(|list| list.into_iter().map(Value::into_string).collect());
        texts.map(Some).map_err(|_| format!("{}: must be a list of strings", self.name(field)))
    }

    /// Takes all fields as strings, sorted by name.
    pub(super) fn texts(mut self) -> Parsed<Vec<(String, String)>> {
        let names: Vec<String> = self.fields.keys().cloned().collect();
        names.into_iter().map(|name| Ok((name.clone(), self.text(&name)?.unwrap_or_default()))).collect()
    }

    /// Fails if a field is left.
    pub(super) fn finish(self) -> Parsed<()> {
        match self.fields.keys().next() {
            Some(unknown) => Err(format!("{}: unknown key", self.name(unknown))),
            None => Ok(()),
        }
    }

    fn take(&mut self, field: &str) -> Option<Value> {
        self.fields.remove(field).filter(|value| value.kind != ValueKind::Nil)
    }
}
