//! The import table: which module of `src` may use which, and what may be where.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::source::{without_comments_and_texts, without_tests};

/// Every top-level module with all that it uses. An edge that is missing here is forbidden; one that
/// nobody uses is to be taken out.
const TABLE: [(&str, &[&str]); 12] = [
    ("event", &[]),
    ("schedule", &["event"]),
    ("clock", &["event"]),
    ("accept", &["event"]),
    ("journal", &["event"]),
    ("live", &["schedule", "event"]),
    ("metrics", &["live", "event"]),
    ("recorder", &["journal", "live", "metrics", "clock", "schedule", "event"]),
    ("config", &["schedule", "event"]),
    ("telemetry", &[]),
    ("http", &["accept", "recorder", "metrics", "live", "clock", "event"]),
    (
        "cli",
        &[
            "accept",
            "clock",
            "config",
            "event",
            "http",
            "journal",
            "live",
            "metrics",
            "recorder",
            "schedule",
            "telemetry",
        ],
    ),
];

const LONGEST_FILE: usize = 400;

type Imports = BTreeMap<String, BTreeSet<String>>;

/// A file of `src`.
struct Source {
    /// Relative to `src`.
    path: PathBuf,
    text: String,
}

impl Source {
    /// Where in the tree of modules it is: `metrics/catalogue/mod.rs` is `[metrics, catalogue]`.
    fn module(&self) -> Vec<String> {
        let mut module: Vec<_> =
            self.path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.pop_if(|last| *last == "mod");
        module
    }

    fn is_test(&self) -> bool {
        self.module().iter().any(|part| part == "tests")
    }

    /// The code that is part of the program, without comments and the contents of texts.
    fn program(&self) -> String {
        without_tests(&without_comments_and_texts(&self.text))
    }

    /// The top-level modules that it uses.
    fn imports(&self) -> BTreeSet<String> {
        let code = self.program();
        let to_root = "super::".repeat(self.module().len());
        let mut imports = BTreeSet::new();
        for (at, _) in code.match_indices("crate::") {
            imports.extend(first_segments(&code[at + "crate::".len()..]));
        }
        for (at, _) in code.match_indices(&to_root) {
            // A longer chain than that compiles nowhere, so this is where it begins.
            imports.extend(first_segments(&code[at + to_root.len()..]));
        }
        imports.remove(&self.module()[0]);
        imports
    }
}

/// Every file of `src` but the two roots.
fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut folders = vec![root.clone()];
    let mut sources = Vec::new();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).expect("a folder of src can be read") {
            let path = entry.expect("a folder of src can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).expect("a source is text");
                let path = path.strip_prefix(&root).expect("it is in src").to_owned();
                sources.push(Source { path, text });
            }
        }
    }
    sources.retain(|source| !["lib.rs", "main.rs"].map(Path::new).contains(&source.path.as_path()));
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    sources
}

/// The names that a path begins with: one, or those of a group `{a::b, c}`.
fn first_segments(path: &str) -> Vec<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_alphanumeric() || "_*".contains(*c)).collect::<String>();
    let Some(group) = path.strip_prefix('{') else {
        return vec![word(path)];
    };
    let (mut depth, mut item, mut items) = (0, String::new(), Vec::new());
    for c in group.chars() {
        match (c, depth) {
            ('}', 0) => break,
            (',', 0) => items.push(std::mem::take(&mut item)),
            _ => {
                depth += i32::from(c == '{') - i32::from(c == '}');
                item.push(c);
            }
        }
    }
    items.push(item);
    items.iter().map(|item| word(item.trim())).filter(|name| !name.is_empty()).collect()
}

fn table() -> Imports {
    let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    TABLE.iter().map(|(module, uses)| ((*module).to_owned(), set(uses))).collect()
}

/// What uses what, each edge with one file that has it.
fn edges(sources: &[Source]) -> BTreeMap<(String, String), &Path> {
    let program = sources.iter().filter(|source| !source.is_test());
    program
        .flat_map(|source| {
            let module = source.module().swap_remove(0);
            source.imports().into_iter().map(move |import| ((module.clone(), import), source.path.as_path()))
        })
        .collect()
}

#[test]
fn every_module_is_in_the_table() {
    let modules: BTreeSet<_> = sources().iter().map(|source| source.module().swap_remove(0)).collect();
    assert_eq!(modules, table().into_keys().collect());
    let lib = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/lib.rs")).unwrap();
    let declared: BTreeSet<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect();
    assert_eq!(declared, modules, "src/lib.rs declares what is there");
}

#[test]
fn imports_point_one_way() {
    let (sources, table) = (sources(), table());
    let edges = edges(&sources);
    let forbidden: Vec<_> = edges
        .iter()
        .filter(|((module, import), _)| !table[module].contains(import))
        .map(|((module, import), path)| format!("src/{}: {module} must not use {import}", path.display()))
        .collect();
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
}

#[test]
fn every_edge_of_the_table_is_used() {
    let sources = sources();
    let edges = edges(&sources);
    let allowed =
        table().into_iter().flat_map(|(module, uses)| uses.into_iter().map(move |used| (module.clone(), used)));
    let unused: Vec<_> = allowed.filter(|edge| !edges.contains_key(edge)).collect();
    assert!(unused.is_empty(), "take out of the table what nobody uses: {unused:?}");
}

#[test]
fn the_architecture_has_the_same_table() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let document = fs::read_to_string(&path).expect("ARCHITECTURE.md exists");
    let table = table();
    let mut documented = Imports::new();
    for (module, uses) in document.lines().filter_map(|line| row(line, &table)) {
        assert!(!documented.contains_key(&module), "ARCHITECTURE.md has two rows for {module}");
        documented.insert(module, uses);
    }
    for (module, uses) in &table {
        let row = documented.get(module).unwrap_or_else(|| {
            panic!(
                "ARCHITECTURE.md has no row | `{module}` | {} |",
                uses.iter().cloned().collect::<Vec<_>>().join(", ")
            )
        });
        assert_eq!(row, uses, "ARCHITECTURE.md's row of {module}, left, and the table of tests/it/structure.rs");
    }
}

/// Reads ``| `recorder` | journal, live |``; nothing when the line is not of that form.
fn row(line: &str, table: &Imports) -> Option<(String, BTreeSet<String>)> {
    let mut cells = line.trim().strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim);
    let (module, uses, None) = (cells.next()?, cells.next()?, cells.next()) else { return None };
    let module = module.strip_prefix('`')?.strip_suffix('`')?.to_owned();
    if !table.contains_key(&module) {
        return None;
    }
    let uses = uses.split(',').map(|name| name.trim().trim_matches('`')).filter(|name| !["", "nothing"].contains(name));
    let uses: BTreeSet<_> = uses.map(str::to_owned).collect();
    uses.iter().all(|name| table.contains_key(name)).then_some((module, uses))
}

#[test]
fn no_http_type_outside_http() {
    let allowed = |path: &Path| path.starts_with("http") || path == Path::new("cli/serve.rs");
    let knowing: Vec<_> = sources()
        .iter()
        .filter(|source| !allowed(&source.path) && without_comments_and_texts(&source.text).contains("actix"))
        .map(|source| source.path.display().to_string())
        .collect();
    assert!(knowing.is_empty(), "actix outside src/http and src/cli/serve.rs: {knowing:?}");
}

#[test]
fn no_source_is_long() {
    let long: Vec<_> = sources()
        .iter()
        .map(|source| (source.path.display().to_string(), source.text.lines().count()))
        .filter(|(_, lines)| *lines > LONGEST_FILE)
        .collect();
    assert!(long.is_empty(), "more than {LONGEST_FILE} lines: {long:?}");
}

#[test]
fn the_reader_of_imports_sees_every_form() {
    let source = |path: &str, text: &str| Source { path: path.into(), text: text.to_owned() };
    for (path, text, expected) in [
        ("live/fold.rs", "use crate::event::{Event, InputId};", vec!["event"]),
        ("live/mod.rs", "use crate::{event::{Event, InputId}, clock};", vec!["clock", "event"]),
        ("live/mod.rs", "use crate::{\n    event,\n    journal::Journal,\n};", vec!["event", "journal"]),
        ("recorder.rs", "use super::http::Webhook;", vec!["http"]),
        ("recorder/batch.rs", "use super::Outcome; fn f() { super::super::config::load() }", vec!["config"]),
        ("recorder/batch.rs", "use super::super::{cli, recorder};", vec!["cli"]),
        ("live/state.rs", "fn f(at: crate::clock::Stopwatch) {}", vec!["clock"]),
        ("live/state.rs", "use crate::*;", vec!["*"]),
        ("live/state.rs", "//! [`crate::http`]\n/* crate::cli */ const A: &str = \"crate::http\";", vec![]),
        (
            "live/state.rs",
            "const A: &str = r#\"\"crate::cli\"#; const B: char = '\"'; use crate::event as e;",
            vec!["event"],
        ),
        (
            "live/state.rs",
            "#[cfg(test)]\nmod tests { use crate::http; fn f() { \"}\"; } }\nuse crate::event;",
            vec!["event"],
        ),
        (
            "live/state.rs",
            "#[cfg(test)]\nuse crate::http;\nfn f<'a>(x: &'a str) -> crate::event::Event {}",
            vec!["event"],
        ),
    ] {
        assert_eq!(source(path, text).imports().into_iter().collect::<Vec<_>>(), expected, "{path}: {text}");
    }
}
