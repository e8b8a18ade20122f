//! TOML and YAML documents as trees, with every number, boolean and time as it was written.
//!
//! The usual readers turn `007` into 7, `3.10` into 3.1, and 32 digits into a rounded number. Only the place that reads
//! a value knows whether it is a number or text, so this module interprets nothing but quotes and null: every scalar is
//! a string. Errors never quote the document, which may contain a secret.

use std::collections::BTreeMap;
use std::error::Error;

use config::{FileStoredFormat, Format, Map, Value, ValueKind};
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use yaml_rust2::parser::{Event, MarkedEventReceiver, Parser};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

/// A table of values.
pub type Table = Map<String, Value>;

/// The syntax of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Syntax {
    /// TOML.
    Toml,
    /// YAML whose root is a mapping. An empty document is an empty table.
    Yaml,
}

/// What some programs write at the beginning of a text file.
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Aliases of YAML are copies, so a short file could otherwise describe a huge tree.
const MAX_NODES: usize = 10_000_000;

/// Why a text is not a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct InvalidDocument(String);

impl Syntax {
    /// Reads a document.
    ///
    /// # Errors
    ///
    /// It does not have this syntax.
    pub fn read(self, text: &str) -> Result<Table, InvalidDocument> {
        match self {
            Self::Toml => from_toml(text),
            Self::Yaml => from_yaml(text),
        }
    }
}

impl Format for Syntax {
    fn parse(&self, _: Option<&String>, text: &str) -> Result<Table, Box<dyn Error + Send + Sync>> {
        Ok(self.read(text)?)
    }
}

impl FileStoredFormat for Syntax {
    fn file_extensions(&self) -> &'static [&'static str] {
        match self {
            Self::Toml => &["toml"],
            Self::Yaml => &["yaml", "yml"],
        }
    }
}

fn value(kind: impl Into<ValueKind>) -> Value {
    Value::new(None, kind)
}

fn count(value: &Value) -> usize {
    let inner = if let ValueKind::Array(values) = &value.kind {
        values.iter().map(count).sum()
    } else if let ValueKind::Table(table) = &value.kind {
        table.values().map(count).sum()
    } else {
        0
    };
    1 + inner
}

fn from_toml(text: &str) -> Result<Table, InvalidDocument> {
    // The parser skips a byte order mark itself.
    let table = DeTable::parse(text).map_err(|error| {
        // The lines with a `|` quote the document.
        let message = error.to_string();
        let lines = message.lines().filter(|line| !line.contains('|') && !line.trim().is_empty());
        InvalidDocument(lines.collect::<Vec<_>>().join(": "))
    })?;
    Ok(toml_table(text, table.into_inner()))
}

fn toml_table(text: &str, table: DeTable<'_>) -> Table {
    let entry = |(key, value): (Spanned<_>, _)| (String::from(key.into_inner()), toml_value(text, value));
    table.into_iter().map(entry).collect()
}

fn toml_value(text: &str, read: Spanned<DeValue<'_>>) -> Value {
    let span = read.span();
    match read.into_inner() {
        DeValue::String(string) => value(string.into_owned()),
        // With a T between date and time.
        DeValue::Datetime(datetime) => value(datetime.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => value(text.get(span).unwrap_or_default()),
        DeValue::Array(values) => value(values.into_iter().map(|value| toml_value(text, value)).collect::<Vec<_>>()),
        DeValue::Table(table) => value(toml_table(text, table)),
    }
}

fn from_yaml(text: &str) -> Result<Table, InvalidDocument> {
    let invalid = |error: &ScanError| {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        InvalidDocument(format!("line {line} column {column}: {}", error.info()))
    };
    let mut loader = Loader::default();
    let mut parser = Parser::new_from_str(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
    parser.load(&mut loader, true).map_err(|error| invalid(&error))?;
    if let Some(problem) = loader.problem {
        return Err(invalid(&problem));
    }
    let root = loader.root.unwrap_or_default();
    if root.kind == ValueKind::Nil {
        return Ok(Table::new());
    }
    root.into_table().map_err(|_| InvalidDocument("must be a YAML mapping of keys and values".to_owned()))
}

/// Builds the tree from the parser's events.
#[derive(Default)]
struct Loader {
    root: Option<Value>,
    /// The lists and tables that are not complete yet, the innermost last.
    open: Vec<Open>,
    /// Complete nodes by the number of their anchor.
    anchors: BTreeMap<usize, Value>,
    nodes: usize,
    problem: Option<ScanError>,
}

struct Open {
    anchor: usize,
    node: Incomplete,
}

enum Incomplete {
    List(Vec<Value>),
    /// With the key whose value comes next.
    Table(Table, Option<String>),
}

impl MarkedEventReceiver for Loader {
    fn on_event(&mut self, event: Event, mark: Marker) {
        if self.problem.is_none()
            && let Err(problem) = self.event(event)
        {
            self.problem = Some(ScanError::new(mark, problem));
        }
    }
}

impl Loader {
    fn event(&mut self, event: Event) -> Result<(), &'static str> {
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart if self.root.is_some() => Err("a second document begins"),
            Event::DocumentStart => Ok(()),
            Event::SequenceStart(anchor, _) => self.begin(anchor, Incomplete::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(anchor, Incomplete::Table(Table::new(), None)),
            Event::SequenceEnd | Event::MappingEnd => match self.open.pop() {
                Some(Open { anchor, node: Incomplete::List(list) }) => self.add(value(list), anchor),
                Some(Open { anchor, node: Incomplete::Table(table, _) }) => self.add(value(table), anchor),
                None => Ok(()),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let is_null = match tag.map(|tag| tag.suffix) {
                    Some(kind) => kind == "null",
                    None => style == TScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_str()),
                };
                self.add(if is_null && !self.expects_key() { Value::default() } else { value(text) }, anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or("the alias is part of its own anchor")?;
                self.nodes += count(&node);
                self.add(node, 0)
            }
        }
    }

    fn begin(&mut self, anchor: usize, node: Incomplete) -> Result<(), &'static str> {
        self.open.push(Open { anchor, node });
        Ok(())
    }

    fn expects_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { node: Incomplete::Table(_, None), .. }))
    }

    fn add(&mut self, node: Value, anchor: usize) -> Result<(), &'static str> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err("the document is too large");
        }
        if anchor > 0 {
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut().map(|open| &mut open.node) {
            None => self.root = Some(node),
            Some(Incomplete::List(list)) => list.push(node),
            Some(Incomplete::Table(table, key)) => match key.take() {
                None => *key = Some(node.into_string().map_err(|_| "a key must be text")?),
                Some(key) if table.contains_key(&key) => return Err("duplicate key"),
                Some(key) => _ = table.insert(key, node),
            },
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The tree in one line: `{key: text, key: [text, null]}`.
    fn shown(value: &Value) -> String {
        match &value.kind {
            ValueKind::String(text) => text.clone(),
            ValueKind::Nil => "null!".to_owned(),
            ValueKind::Array(values) => format!("[{}]", values.iter().map(shown).collect::<Vec<_>>().join(", ")),
            ValueKind::Table(table) => {
                let entries: BTreeMap<_, _> = table.iter().map(|(key, value)| (key, shown(value))).collect();
                let entries: Vec<_> = entries.iter().map(|(key, value)| format!("{key}: {value}")).collect();
                format!("{{{}}}", entries.join(", "))
            }
            ValueKind::Boolean(_)
            | ValueKind::I64(_)
            | ValueKind::I128(_)
            | ValueKind::U64(_)
            | ValueKind::U128(_)
            | ValueKind::Float(_) => panic!("interpreted: {value}"),
        }
    }

    fn yaml(text: &str) -> Result<String, String> {
        from_yaml(text).map(|table| shown(&value(table))).map_err(|error| error.to_string())
    }

    #[test]
    fn yaml_scalar_is_kept_as_written() {
        for text in [
            "12345678901234567890123456789012",
            "007",
            "0o17",
            "0x1F",
            "3.10",
            "1e3",
            "1e999",
            "1_000",
            "+5",
            "-0",
            ".5",
            "5.",
            ".inf",
            ".nan",
            "yes",
            "no",
            "on",
            "True",
            "FALSE",
            "y",
            "2026-12-24",
            "12:30:00",
            "10:30",
            "=",
            "<<",
        ] {
            assert_eq!(yaml(&format!("a: {text}")), Ok(format!("{{a: {text}}}")));
            assert_eq!(yaml(&format!("a: [{text}]")), Ok(format!("{{a: [{text}]}}")));
            assert_eq!(yaml(&format!("{text}: b")), Ok(format!("{{{text}: b}}")), "as a key");
        }
    }

    #[test]
    fn only_unquoted_null_is_null_and_only_as_a_value() {
        for null in ["", "~", "null", "Null", "NULL", "!!null x"] {
            assert_eq!(yaml(&format!("a: {null}\nb: c")), Ok("{a: null!, b: c}".to_owned()), "{null}");
        }
        for (text, node) in [("'null'", "null"), ("\"~\"", "~"), ("''", ""), ("!!str null", "null"), ("nUll", "nUll")] {
            assert_eq!(yaml(&format!("a: {text}")), Ok(format!("{{a: {node}}}")), "{text}");
        }
        assert_eq!(yaml("null: a\n~: b"), Ok("{null: a, ~: b}".to_owned()));
    }

    #[test]
    fn yaml_collections_and_aliases_are_read() {
        let text = "a: &list [1.0, {b: 2.50}]\nc: *list\nd: &key 007\n*key : e\n";
        let read = "{007: e, a: [1.0, {b: 2.50}], c: [1.0, {b: 2.50}], d: 007}";
        assert_eq!(yaml(text), Ok(read.to_owned()));
        for empty in ["", "# nothing", "---", "--- ~\n", "{}"] {
            assert_eq!(yaml(empty), Ok("{}".to_owned()), "{empty}");
        }
    }

    #[test]
    fn invalid_yaml_is_refused_with_its_place() {
        for (text, place) in [
            ("a: 1\nb: 2\na: hunter2", "line 3 column 4: "),
            ("a: \"hunter2", "line 1 column "),
            ("hunter2", ""),
            ("- hunter2", ""),
            ("a: 1\n---\nb: hunter2", "line 2 column "),
            ("{[hunter2]: 1}", "line 1 column "),
            ("a: &a [*a, hunter2]", "line 1 column "),
        ] {
            let problem = yaml(text).unwrap_err();
            assert!(problem.starts_with(place) && !problem.contains("hunter2"), "{text}: {problem}");
        }
    }

    #[test]
    fn aliases_cannot_make_a_huge_tree() {
        let levels =
            (1..12).map(|level| format!("a{level}: &a{level} [{}]\n", format!("*a{}, ", level - 1).repeat(10)));
        let text = format!("a0: &a0 x\n{}", levels.collect::<String>());
        assert!(yaml(&text).is_err());
    }

    #[test]
    fn toml_scalar_is_kept_as_written() {
        for text in ["3.10", "1e3", "0x1F", "1_000", "+5", "-0", "inf", "true", "12345678901234567890123456789012"] {
            let table = from_toml(&format!("a = {text}\n[[b]]\nc = [{text}]")).map(value);
            assert_eq!(table.map(|table| shown(&table)), Ok(format!("{{a: {text}, b: [{{c: [{text}]}}]}}")));
        }
        let table = from_toml("a = 2026-12-24 18:00:00+01:00\nb = \"007\"\n007 = 'c'").map(value);
        assert_eq!(table.map(|table| shown(&table)), Ok("{007: c, a: 2026-12-24T18:00:00+01:00, b: 007}".to_owned()));
    }

    #[test]
    fn one_leading_byte_order_mark_is_skipped() {
        assert_eq!(yaml("\u{feff}a: b"), Ok("{a: b}".to_owned()));
        let table = from_toml("\u{feff}a = 1.0").map(value);
        assert_eq!(table.map(|table| shown(&table)), Ok("{a: 1.0}".to_owned()));
        assert!(from_toml("\u{feff}\u{feff}a = 1").is_err());
        assert!(!from_yaml("\u{feff}\u{feff}a: b").is_ok_and(|table| table.contains_key("a")));
    }
}
