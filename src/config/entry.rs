//! A table in a list: an input, a window or an account.

use config::Value;

use super::reader::{Reader, single};
use super::values::Parsed;
use crate::document::Table;

/// A table in a list. Methods return `None` after reporting a problem.
pub(super) struct Entry<'a> {
    pub(super) reader: &'a mut Reader,
    /// The fields that have not been read yet.
    pub(super) fields: Table,
    pub(super) origin: &'a str,
    pub(super) key: &'a str,
}

impl<'a> Entry<'a> {
    /// The table that the list has. Anything else has no fields, so that the required ones are missing.
    pub(super) fn new(reader: &'a mut Reader, value: Value, origin: &'a str, key: &'a str) -> Self {
        Self { reader, fields: value.into_table().unwrap_or_default(), origin, key }
    }

    pub(super) fn field<T>(&mut self, name: &str, parse: fn(&str) -> Parsed<T>) -> Option<T> {
        let value = self.fields.remove(name).ok_or_else(|| "is missing".to_owned());
        let parsed = value.and_then(single).and_then(|text| parse(&text));
        self.reader.check(self.origin, &format!("{}.{name}", self.key), parsed)
    }

    pub(super) fn refuse_unknown(&mut self) {
        for name in self.fields.keys() {
            let unknown: Parsed<()> = Err("unknown key".to_owned());
            self.reader.check(self.origin, &format!("{}.{name}", self.key), unknown);
        }
    }
}
