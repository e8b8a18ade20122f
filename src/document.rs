//! TOML and YAML documents as trees, with every number, boolean and time as it was written.
//!
//! The usual readers turn `007` into 7, `3.10` into 3.1, and 32 digits into a rounded number. Only the place that reads
//! a value knows whether it is a number or text, so this module interprets nothing but quotes and null. Errors never
//! quote the document, which may contain a secret.

use std::collections::BTreeMap;

use thiserror::Error;
use toml::Spanned;
use toml::de::{DeTable, DeValue};
use yaml_rust2::parser::{Event, MarkedEventReceiver, Parser};
use yaml_rust2::scanner::{Marker, ScanError, TScalarStyle};

/// A table of nodes.
pub type Table = BTreeMap<String, Node>;

/// What some programs write at the beginning of a text file.
const BYTE_ORDER_MARK: &str = "\u{feff}";
/// Aliases of YAML are copies, so a short file could otherwise describe a huge tree.
const MAX_NODES: usize = 10_000_000;

/// A value of a document.
#[derive(Clone, PartialEq, Eq)]
pub enum Node {
    /// A string without its quotes; a number, boolean or time as written.
    Text(String),
    /// YAML's null, or no value.
    Null,
    /// A list.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Why a text is not a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{0}")]
pub struct InvalidDocument(String);

impl Node {
    /// The node as a table, if it is one.
    pub fn into_table(self) -> Option<Table> {
        match self {
            Self::Table(table) => Some(table),
            Self::Text(_) | Self::Null | Self::List(_) => None,
        }
    }

    /// The node as a list, if it is one.
    pub fn into_list(self) -> Option<Vec<Self>> {
        match self {
            Self::List(list) => Some(list),
            Self::Text(_) | Self::Null | Self::Table(_) => None,
        }
    }

    /// The node as text, if it is a single value.
    pub fn into_text(self) -> Option<String> {
        match self {
            Self::Text(text) => Some(text),
            Self::Null | Self::List(_) | Self::Table(_) => None,
        }
    }

    fn count(&self) -> usize {
        match self {
            Self::Text(_) | Self::Null => 1,
            Self::List(nodes) => 1 + nodes.iter().map(Self::count).sum::<usize>(),
            Self::Table(table) => 1 + table.values().map(Self::count).sum::<usize>(),
        }
    }
}

/// Reads a TOML document.
///
/// # Errors
///
/// It is not TOML.
pub fn from_toml(text: &str) -> Result<Table, InvalidDocument> {
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
    let entry = |(key, value): (Spanned<_>, _)| (String::from(key.into_inner()), toml_node(text, value));
    table.into_iter().map(entry).collect()
}

fn toml_node(text: &str, value: Spanned<DeValue<'_>>) -> Node {
    let span = value.span();
    match value.into_inner() {
        DeValue::String(string) => Node::Text(string.into_owned()),
        // With a T between date and time.
        DeValue::Datetime(datetime) => Node::Text(datetime.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) | DeValue::Boolean(_) => {
            Node::Text(text.get(span).unwrap_or_default().to_owned())
        }
        DeValue::Array(values) => Node::List(values.into_iter().map(|value| toml_node(text, value)).collect()),
        DeValue::Table(table) => Node::Table(toml_table(text, table)),
    }
}

/// Reads a YAML document whose root is a mapping. An empty document is an empty table.
///
/// # Errors
///
/// It is not YAML, or has another root or several documents.
pub fn from_yaml(text: &str) -> Result<Table, InvalidDocument> {
    let invalid = |error: &ScanError| {
        let (line, column) = (error.marker().line(), error.marker().col() + 1);
        InvalidDocument(format!("line {line} column {column}: {}", error.info()))
    };
    let mut loader = Loader::default();
    let mut parser = Parser::new_from_str(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text));
    parser.load(&mut loader, true).map_err(|error| invalid(&error))?;
    match (loader.problem, loader.root) {
        (Some(problem), _) => Err(invalid(&problem)),
        (None, None | Some(Node::Null)) => Ok(Table::new()),
        (None, Some(Node::Table(table))) => Ok(table),
        (None, Some(Node::Text(_) | Node::List(_))) => {
            Err(InvalidDocument("must be a YAML mapping of keys and values".to_owned()))
        }
    }
}

/// Builds the tree from the parser's events.
#[derive(Default)]
struct Loader {
    root: Option<Node>,
    /// The lists and tables that are not complete yet, the innermost last.
    open: Vec<Open>,
    /// Complete nodes by the number of their anchor.
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    problem: Option<ScanError>,
}

struct Open {
    anchor: usize,
    node: Incomplete,
}

enum Incomplete {
    List(Vec<Node>),
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
                Some(Open { anchor, node: Incomplete::List(list) }) => self.add(Node::List(list), anchor),
                Some(Open { anchor, node: Incomplete::Table(table, _) }) => self.add(Node::Table(table), anchor),
                None => Ok(()),
            },
            Event::Scalar(text, style, anchor, tag) => {
                let is_null = match tag.map(|tag| tag.suffix) {
                    Some(kind) => kind == "null",
                    None => style == TScalarStyle::Plain && ["", "~", "null", "Null", "NULL"].contains(&text.as_str()),
                };
                self.add(if is_null && !self.expects_key() { Node::Null } else { Node::Text(text) }, anchor)
            }
            Event::Alias(anchor) => {
                let node = self.anchors.get(&anchor).cloned().ok_or("the alias is part of its own anchor")?;
                self.nodes += node.count();
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

    fn add(&mut self, node: Node, anchor: usize) -> Result<(), &'static str> {
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
                None => *key = Some(node.into_text().ok_or("a key must be text")?),
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
    fn shown(node: &Node) -> String {
        match node {
            Node::Text(text) => text.clone(),
            Node::Null => "null!".to_owned(),
            Node::List(nodes) => format!("[{}]", nodes.iter().map(shown).collect::<Vec<_>>().join(", ")),
            Node::Table(table) => {
                let entries: Vec<_> = table.iter().map(|(key, node)| format!("{key}: {}", shown(node))).collect();
                format!("{{{}}}", entries.join(", "))
            }
        }
    }

    fn yaml(text: &str) -> Result<String, String> {
        from_yaml(text).map(|table| shown(&Node::Table(table))).map_err(|error| error.to_string())
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
            let table = from_toml(&format!("a = {text}\n[[b]]\nc = [{text}]")).map(Node::Table);
            assert_eq!(table.map(|node| shown(&node)), Ok(format!("{{a: {text}, b: [{{c: [{text}]}}]}}")));
        }
        let table = from_toml("a = 2026-12-24 18:00:00+01:00\nb = \"007\"\n007 = 'c'").map(Node::Table);
        assert_eq!(table.map(|node| shown(&node)), Ok("{007: c, a: 2026-12-24T18:00:00+01:00, b: 007}".to_owned()));
    }

    #[test]
    fn one_leading_byte_order_mark_is_skipped() {
        assert_eq!(yaml("\u{feff}a: b"), Ok("{a: b}".to_owned()));
        let table = from_toml("\u{feff}a = 1.0").map(Node::Table);
        assert_eq!(table.map(|node| shown(&node)), Ok("{a: 1.0}".to_owned()));
        assert!(from_toml("\u{feff}\u{feff}a = 1").is_err());
        assert!(!from_yaml("\u{feff}\u{feff}a: b").is_ok_and(|table| table.contains_key("a")));
    }
}
