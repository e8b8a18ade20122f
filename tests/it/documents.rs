//! The documents: what they say of the configuration is true, and where they point to is something.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use stream_live_exporter::config::{DEFAULT, Settings, Sources};

const DOCUMENTS: [&str; 17] = [
    "README.md",
    "ARCHITECTURE.md",
    "METRICS.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "deploy/proxy/README.md",
    "docs/journal.md",
    "docs/performance.md",
    "docs/testing.md",
    "docs/runbooks.md",
    "deploy/alertmanager/README.md",
    "deploy/compose/README.md",
    "grafana/README.md",
    "docs/web-config.md",
    "docs/rotation.md",
    "benches/instructions/README.md",
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn read(document: &str) -> String {
    fs::read_to_string(root().join(document)).unwrap_or_else(|error| panic!("{document} cannot be read: {error}"))
}

/// Every key of the default configuration with its default; of a table that is empty there, the table.
fn defaults() -> BTreeMap<String, Option<String>> {
    let mut defaults = BTreeMap::new();
    let mut table = String::new();
    for line in DEFAULT.lines() {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            table = name.to_owned();
            defaults.insert(table.clone(), None);
        } else if let Some((key, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            defaults.remove(&table);
            let value = Some(value.trim().trim_matches('"').to_owned()).filter(|value| value != "[]");
            defaults.insert(format!("{table}.{}", key.trim()), value);
        }
    }
    defaults
}

/// The rows of a document's tables that begin with something in backquotes: that, and the next cell.
fn rows(markdown: &str) -> BTreeMap<String, String> {
    let rows = markdown.lines().filter_map(|line| {
        let (name, rest) = line.trim().strip_prefix("| `")?.split_once('`')?;
        Some((name.to_owned(), rest.split('|').nth(1)?.trim().to_owned()))
    });
    rows.collect()
}

#[test]
fn the_readme_has_every_key_of_the_configuration_and_its_default() {
    let (defaults, rows) = (defaults(), rows(&read("README.md")));
    for (key, default) in &defaults {
        let documented = rows.get(key).unwrap_or_else(|| panic!("README.md has no row | `{key}` | DEFAULT |"));
        if let Some(default) = default {
            let shown = if default.is_empty() { "none".to_owned() } else { format!("`{default}`") };
            assert!(documented.starts_with(&shown), "README.md: {key}: {documented}, not {shown}");
        }
    }
    let is_table = |name: &str| defaults.keys().any(|key| key.split_once('.').is_some_and(|(table, _)| table == name));
    let unknown: Vec<_> = rows
        .keys()
        .filter(|name| name.split_once('.').is_some_and(|(table, _)| is_table(table)) && !defaults.contains_key(*name))
        .collect();
    assert!(unknown.is_empty(), "README.md documents keys that config/default.toml does not have: {unknown:?}");
}

#[test]
fn the_example_configuration_loads() {
    let file = Some(root().join("config/example.toml"));
    let settings = Settings::load(&Sources { file, ..Sources::default() }).unwrap_or_else(|error| panic!("{error}"));
    assert!(!settings.inputs.configured.is_empty(), "the example shows how inputs get their names");
}

#[test]
fn every_relative_link_leads_somewhere() {
    let mut broken = Vec::new();
    for document in DOCUMENTS {
        for target in links(&read(document)) {
            if let Err(problem) = follow(document, &target) {
                broken.push(format!("{document}: {target}: {problem}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// Whether a link leads to a file, and to a heading of it when it names one.
fn follow(document: &str, target: &str) -> Result<(), String> {
    if target.starts_with("//") || target.contains("://") || target.starts_with("mailto:") {
        return Ok(());
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let here = Path::new(document);
    let path = if path.is_empty() { here.to_owned() } else { here.with_file_name(path) };
    let full = root().join(&path);
    if !full.exists() {
        return Err("there is no such file".to_owned());
    }
    match anchor {
        Some(anchor) if path.extension().is_some_and(|extension| extension == "md") => {
            let text = fs::read_to_string(full).map_err(|error| error.to_string())?;
            let found = anchors(&text).contains(anchor);
            found.then_some(()).ok_or_else(|| "there is no such heading".to_owned())
        }
        _ => Ok(()),
    }
}

/// The lines outside of fenced blocks.
fn prose(markdown: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    markdown.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```") || line.trim_start().starts_with("~~~");
        fenced ^= fence;
        !fenced && !fence
    })
}

/// The targets of all links and pictures: `[text](target)`, `[label]: target`, `href` and `src`.
fn links(markdown: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(markdown) {
        let line: String = line.split('`').step_by(2).collect();
        let mut take = |rest: &str, ends: &[char]| {
            let target = rest.split(ends).next().unwrap_or_default().trim_matches(['<', '>']);
            targets.push(target.to_owned());
        };
        line.match_indices("](").for_each(|(at, opening)| take(&line[at + opening.len()..], &[')', ' ']));
        for opening in ["href=\"", "src=\"", "srcset=\""] {
            line.match_indices(opening).for_each(|(at, _)| take(&line[at + opening.len()..], &['"', ' ']));
        }
        if let Some((_, target)) = line.strip_prefix('[').and_then(|line| line.split_once("]: ")) {
            take(target, &[' ']);
        }
    }
    targets
}

/// The anchors of all headings, made from their text as the usual renderers do.
fn anchors(markdown: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let headings =
        prose(markdown).filter(|line| line.trim_start_matches('#').starts_with(' ') && line.starts_with('#'));
    headings
        .map(|heading| {
            let text = heading.trim_start_matches('#').trim().to_lowercase();
            let kept = text.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c));
            let slug: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
            let count = seen.entry(slug.clone()).or_default();
            *count += 1;
            if *count == 1 { slug } else { format!("{slug}-{}", *count - 1) }
        })
        .collect()
}

/// What is in backquotes on a line.
fn quoted(line: &str) -> impl Iterator<Item = &str> {
    line.split('`').skip(1).step_by(2)
}

/// A path of this repository, such as `src/http/peer.rs` or `docs/`.
fn is_path(text: &str) -> bool {
    let folders = ["src/", "tests/", "docs/", "deploy/", "fuzz/", "benches/", "grafana/", "config/", "examples/"];
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-".contains(c);
    folders.iter().any(|folder| text.starts_with(folder)) && text.chars().all(plain)
}

/// The name of a test: a sentence.
fn is_sentence(text: &str) -> bool {
    text.matches('_').count() >= 2 && text.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_')
}

/// What is wrong with a line that names files and, after each, tests in it; and how many tests it names.
fn check_tests(line: &str) -> (Vec<String>, usize) {
    let (mut wrong, mut code, mut named) = (Vec::new(), None, 0);
    for text in quoted(line) {
        if is_path(text) {
            code = fs::read_to_string(root().join(text)).ok();
            if !root().join(text).exists() {
                wrong.push(format!("there is no {text}"));
            }
        } else if let Some(code) = code.as_ref().filter(|_| is_sentence(text)) {
            named += 1;
            if !code.contains(&format!("fn {text}(")) {
                wrong.push(format!("there is no {text} where it is said to be"));
            }
        }
    }
    (wrong, named)
}

#[test]
fn every_threat_and_fault_names_tests_that_exist() {
    let security = read("SECURITY.md");
    let tables =
        security.split("\n\n").filter(|block| block.lines().next().is_some_and(|head| head.ends_with("| tests |")));
    let rows: Vec<_> = tables.flat_map(|table| table.lines().skip(2)).collect();
    assert!(rows.len() > 50, "all tables are read");
    let mut wrong = Vec::new();
    for row in rows {
        let (problems, named) = check_tests(row.trim_end_matches('|').rsplit('|').next().unwrap_or_default());
        wrong.extend(problems);
        if named == 0 {
            wrong.push(format!("no test is named: {row}"));
        }
    }
    assert!(wrong.is_empty(), "SECURITY.md: {}", wrong.join("\n"));
}

#[test]
fn the_files_and_tests_that_documents_name_exist() {
    let wrong: Vec<_> = ["docs/testing.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md"]
        .into_iter()
        .flat_map(|document| prose(&read(document)).flat_map(|line| check_tests(line).0).collect::<Vec<_>>())
        .collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_reader_of_documents_sees_links_and_headings() {
    let markdown = "# One `two`, three!\n## Again\n## Again\n```\n# not a heading\n[not](a/link)\n```\n\
                    See [a](README.md), ![b](c.svg \"title\") and `[not](code)` [d](<e.md>).\n\
                    <a href=\"f.md\"><img src=\"g.png\"></a>\n[h]: i.md#j\n";
    assert_eq!(anchors(markdown).into_iter().collect::<Vec<_>>(), ["again", "again-1", "one-two-three"]);
    assert_eq!(links(markdown), ["README.md", "c.svg", "e.md", "f.md", "g.png", "i.md#j"]);
    assert!(follow("README.md", "no-such-file.md").is_err());
    assert!(follow("METRICS.md", "METRICS.md#no-such-heading").is_err());
    assert_eq!(follow("METRICS.md", "#metrics"), Ok(()));
    let here = "`tests/it/documents.rs`";
    let good = format!("{here} (`the_example_configuration_loads`, `EROFS`, `webhook.path`)");
    assert_eq!(check_tests(&good), (Vec::new(), 1));
    let bad = format!("{here} (`no_such_test_here`), `tests/it/no-such-file.rs` (`the_example_configuration_loads`)");
    assert_eq!(check_tests(&bad).0.len(), 2);
}

#[test]
fn the_keys_of_the_defaults_are_all_found() {
    let defaults = defaults();
    assert_eq!(defaults["webhook.listen_address"].as_deref(), Some("0.0.0.0:10418"));
    assert_eq!((&defaults["webhook.secret_files"], &defaults["inputs.list"]), (&None, &None));
    assert!(!defaults.contains_key("webhook") && !defaults.contains_key("inputs"), "{defaults:?}");
    for entry in Settings::load(&Sources::default()).unwrap().effective {
        assert_eq!(defaults[&entry.key].as_ref(), Some(&entry.value), "{}", entry.key);
    }
}
