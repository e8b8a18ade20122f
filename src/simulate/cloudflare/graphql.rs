//! GraphQL as far as queries of one account need it: fields, aliases, arguments and variables.

use serde_json::{Value, json};

/// A query with its variables.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) fields: Vec<Field>,
    pub(super) variables: Value,
}

/// A field that is selected.
#[derive(Debug)]
pub(super) struct Field {
    /// Its name in the answer.
    pub(super) alias: String,
    pub(super) name: String,
    /// The tokens between its parentheses.
    arguments: Vec<String>,
    pub(super) fields: Vec<Field>,
}

/// An error, which GraphQL reports with status 200.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct QueryError {
    message: String,
    code: &'static str,
    path: Vec<String>,
}

impl QueryError {
    pub(super) const BUDGET: Self = Self { message: String::new(), code: "budget", path: Vec::new() };

    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { message: message.into(), code, path: Vec::new() }
    }

    pub(super) fn at(self, path: &[&str]) -> Self {
        Self { path: path.iter().map(|&part| part.to_owned()).collect(), ..self }
    }

    pub(super) fn answer(self) -> Value {
        let message = if self.code == "budget" { "rate limiter budget depleted" } else { &self.message };
        let path = if self.path.is_empty() { Value::Null } else { json!(self.path) };
        let extensions = json!({ "code": self.code, "timestamp": "2026-11-28T12:00:00.000000000Z" });
        json!({ "data": null, "errors": [{ "message": message, "path": path, "extensions": extensions }] })
    }
}

/// Reads the body of a request.
pub(super) fn parsed(body: &[u8]) -> Result<Query, QueryError> {
    let invalid = || QueryError::new("parser", "error parsing the query");
    let body: Value = serde_json::from_slice(body).map_err(|_| invalid())?;
    let tokens = tokens(body["query"].as_str().ok_or_else(invalid)?).ok_or_else(invalid)?;
    // "query Name($variable: Type)" before the selection says nothing that is needed.
    let start = top_level_brace(&tokens).ok_or_else(invalid)?;
    let mut rest = &tokens[start..];
    let fields = selection(&mut rest).ok_or_else(invalid)?;
    if !rest.is_empty() {
        return Err(invalid());
    }
    Ok(Query { fields, variables: body["variables"].clone() })
}

/// Names, numbers, strings with their quotes, and punctuation.
fn tokens(text: &str) -> Option<Vec<String>> {
    let mut tokens = Vec::new();
    let mut rest = text.trim_start_matches(is_ignored);
    while let Some(first) = rest.chars().next() {
        let length = if first == '#' {
            rest.find('\n').unwrap_or(rest.len())
        } else if first == '"' {
            rest[1..].find('"')? + 2
        } else if is_word(first) {
            rest.find(|c| !is_word(c)).unwrap_or(rest.len())
        } else {
            first.len_utf8()
        };
        if first != '#' {
            tokens.push(rest[..length].to_owned());
        }
        rest = rest[length..].trim_start_matches(is_ignored);
    }
    Some(tokens)
}

fn is_ignored(c: char) -> bool {
    c.is_whitespace() || c == ','
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '$' | '-' | '.')
}

fn top_level_brace(tokens: &[String]) -> Option<usize> {
    let mut depth = 0;
    tokens.iter().position(|token| {
        match token.as_str() {
            "(" => depth += 1,
            ")" => depth -= 1,
            _ => {}
        }
        token == "{" && depth == 0
    })
}

/// The fields between the next braces.
fn selection(rest: &mut &[String]) -> Option<Vec<Field>> {
    let mut fields = Vec::new();
    take(rest, "{")?;
    while take(rest, "}").is_none() {
        let mut name = word(rest)?;
        let alias = name.clone();
        if take(rest, ":").is_some() {
            name = word(rest)?;
        }
        let arguments = if take(rest, "(").is_some() { arguments(rest)? } else { Vec::new() };
        let nested = if rest.first().is_some_and(|token| token == "{") { selection(rest)? } else { Vec::new() };
        fields.push(Field { alias, name, arguments, fields: nested });
    }
    Some(fields)
}

/// The tokens up to the closing parenthesis.
fn arguments(rest: &mut &[String]) -> Option<Vec<String>> {
    let end = rest.iter().position(|token| token == ")")?;
    let arguments = rest[..end].to_vec();
    *rest = &rest[end + 1..];
    Some(arguments)
}

fn take(rest: &mut &[String], token: &str) -> Option<()> {
    let (first, others) = rest.split_first()?;
    if first != token {
        return None;
    }
    *rest = others;
    Some(())
}

fn word(rest: &mut &[String]) -> Option<String> {
    let (first, others) = rest.split_first()?;
    *rest = others;
    first.chars().all(is_word).then(|| first.clone())
}

impl Field {
    /// The value of an argument, or of a member of `filter`.
    pub(super) fn argument(&self, name: &str, variables: &Value) -> Option<Value> {
        let value = |name: &str| {
            let name_at = self.arguments.windows(2).position(|pair| pair[0] == name && pair[1] == ":")?;
            self.arguments.get(name_at + 2)
        };
        let Some(token) = value(name) else {
            let filter = value("filter")?.strip_prefix('$')?;
            return Some(variables[filter][name].clone()).filter(|value| !value.is_null());
        };
        match token.strip_prefix('$') {
            Some(variable) => Some(variables[variable].clone()).filter(|value| !value.is_null()),
            None => serde_json::from_str(token).ok(),
        }
    }

    /// The error about a field that is not in the schema.
    pub(super) fn unknown(&self) -> QueryError {
        QueryError::new("validation", format!("unknown field \"{}\"", self.name))
    }
}
