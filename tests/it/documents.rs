//! The documents: configuration keys and defaults, links, and the names of files and tests.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::Value;
use stream_live_exporter::config::{DEFAULT, Settings, Sources};

use crate::markdown::{anchors, code_spans, files, links, read, repository, tables};

/// Every key of the default configuration with its default.
fn defaults() -> BTreeMap<String, Value> {
    let source = config::File::from_str(DEFAULT, config::FileFormat::Toml);
    let defaults: BTreeMap<String, BTreeMap<String, Value>> =
        config::Config::builder().add_source(source).build().unwrap().try_deserialize().unwrap();
    let keys = |(table, keys): (String, BTreeMap<String, Value>)| {
        keys.into_iter().map(move |(key, value)| (format!("{table}.{key}"), value))
    };
    defaults.into_iter().flat_map(keys).collect()
}

/// How the table writes a default. It describes empty lists and tables in words.
fn shown(default: &Value) -> String {
    match default {
        Value::String(text) if text.is_empty() => "none".to_owned(),
        Value::String(text) => format!("`{text}`"),
        Value::Array(_) | Value::Object(_) => String::new(),
        Value::Null | Value::Bool(_) | Value::Number(_) => format!("`{default}`"),
    }
}

#[test]
fn configuration_table_has_every_key_with_its_default() {
    let (defaults, document) = (defaults(), read("docs/configuration.md"));
    let rows = tables(&document).into_iter().flatten().filter_map(|row| {
        let key = row[0].strip_prefix('`')?.split_once('`')?.0;
        Some((key, row[1]))
    });
    let rows: BTreeMap<_, _> = rows.collect();
    for (key, default) in &defaults {
        let documented =
            rows.get(key.as_str()).unwrap_or_else(|| panic!("docs/configuration.md has no row | `{key}` | DEFAULT |"));
        let shown = shown(default);
        assert!(documented.starts_with(&shown), "docs/configuration.md: {key}: {documented}, not {shown}");
    }
    let is_table = |name: &str| defaults.keys().any(|key| key.starts_with(&format!("{name}.")));
    let unknown: Vec<_> = rows
        .into_keys()
        .filter(|name| name.split_once('.').is_some_and(|(table, _)| is_table(table)) && !defaults.contains_key(*name))
        .collect();
    assert!(
        unknown.is_empty(),
        "docs/configuration.md documents keys that config/default.toml does not have: {unknown:?}"
    );
}

#[test]
fn example_configuration_loads() {
    let file = Some(repository("config/example.toml"));
    let settings = Settings::load(&Sources { file, ..Sources::default() }).unwrap_or_else(|error| panic!("{error}"));
    assert!(!settings.inputs.configured.is_empty(), "the example shows how inputs get their names");
}

#[test]
fn every_relative_link_leads_to_a_file_and_a_heading() {
    let mut broken = Vec::new();
    for document in files("", "md") {
        for target in links(&read(&document)) {
            if let Err(problem) = follow(&document, &target) {
                broken.push(format!("{}: {target}: {problem}", document.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Checks that a relative link leads to a file, and to a heading of it if the link has an anchor.
fn follow(document: &Path, target: &str) -> Result<(), &'static str> {
    if target.starts_with("//") || target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').unwrap_or((target, ""));
    let path = if path.is_empty() { document.to_owned() } else { document.with_file_name(path) };
    if !repository(&path).exists() {
        return Err("no such file");
    }
    let has_headings = path.extension().is_some_and(|extension| extension == "md");
    if has_headings && !anchor.is_empty() && !anchors(&read(&path)).contains(anchor) {
        return Err("no such heading");
    }
    Ok(())
}

#[test]
fn broken_links_are_found() {
    let metrics = Path::new("METRICS.md");
    assert_eq!(follow(metrics, "no-such-file.md"), Err("no such file"));
    assert_eq!(follow(metrics, "METRICS.md#no-such-heading"), Err("no such heading"));
    assert_eq!(follow(metrics, "#metrics"), Ok(()));
}

/// A path of this repository, such as `src/http/peer.rs` or `docs/`.
fn is_path(text: &str) -> bool {
    let folders = ["src/", "tests/", "docs/", "deploy/", "fuzz/", "benches/", "grafana/", "config/", "examples/"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    folders.iter().any(|folder| text.starts_with(folder)) && text.chars().all(plain)
}

/// Whether this looks like the name of a test: at least three words.
fn is_test(text: &str) -> bool {
    text.matches('_').count() >= 2 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// Checks code spans that name files and, after each file, tests in it. Returns the problems and the number of tests.
fn check_names(spans: &[String]) -> (Vec<String>, usize) {
    let (mut problems, mut file, mut tests) = (Vec::new(), None, 0);
    for text in spans {
        if is_path(text) {
            let path = repository(text);
            if !path.exists() {
                problems.push(format!("there is no {text}"));
            }
            file = fs::read_to_string(path).ok().map(|code| (text, code));
        } else if let Some((path, code)) = file.as_ref().filter(|_| is_test(text)) {
            tests += 1;
            if !code.contains(&format!("fn {text}(")) {
                problems.push(format!("{path} has no test {text}"));
            }
        }
    }
    (problems, tests)
}

#[test]
fn every_threat_and_fault_names_a_test() {
    let security = read("SECURITY.md");
    let rows: Vec<_> = tables(&security)
        .into_iter()
        .filter(|table| table[0].last() == Some(&"tests"))
        .flat_map(|table| table.into_iter().skip(1))
        .collect();
    assert!(rows.len() > 50, "all tables with tests are read");
    let untested: Vec<_> = rows
        .into_iter()
        .filter(|row| check_names(&code_spans(row.last().unwrap()).concat()).1 == 0)
        .map(|row| row.join(" | "))
        .collect();
    assert!(untested.is_empty(), "SECURITY.md: rows without a test:\n{}", untested.join("\n"));
}

#[test]
fn files_and_tests_named_in_documents_exist() {
    let mut problems = Vec::new();
    for document in files("", "md") {
        for spans in code_spans(&read(&document)) {
            let found = check_names(&spans).0;
            problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", document.display())));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn wrong_names_of_files_and_tests_are_found() {
    let check = |markdown: &str| check_names(&code_spans(markdown).concat());
    let here = "`tests/it/documents.rs`";
    let good = format!("{here} (`example_configuration_loads`, `EROFS`, `webhook.path`)");
    assert_eq!(check(&good), (Vec::new(), 1));
    let bad = format!("{here} (`no_such_test_here`), `tests/it/no-such-file.rs` (`example_configuration_loads`)");
    assert_eq!(check(&bad).0.len(), 2);
}

#[test]
fn settings_without_a_configuration_are_the_defaults() {
    let defaults = defaults();
    for entry in Settings::load(&Sources::default()).unwrap().effective {
        let default = &defaults[&entry.key];
        assert_eq!(default.as_str().map_or_else(|| default.to_string(), str::to_owned), entry.value, "{}", entry.key);
    }
}
