//! The source tree: which module may import which, and how long a file may be.
//!
//! The allowed imports are the table in ARCHITECTURE.md.

use std::collections::{BTreeMap, BTreeSet};
use std::mem::take;
use std::path::{Path, PathBuf};

use proc_macro2::{Delimiter, Spacing, TokenStream, TokenTree};

use crate::markdown::{files, read, tables};

const LONGEST_FILE: usize = 400;

/// A file of `src`, without its tests.
struct Source {
    /// Relative to `src`.
    path: PathBuf,
    code: TokenStream,
}

impl Source {
    fn new(path: impl Into<PathBuf>, text: &str) -> Self {
        Self { path: path.into(), code: without_tests(text.parse().expect("Rust code")) }
    }

    /// The path of its module: `metrics/catalogue/mod.rs` is `[metrics, catalogue]`.
    fn module(&self) -> Vec<String> {
        let mut module: Vec<_> =
            self.path.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        module.pop_if(|last| *last == "mod");
        module
    }

    fn top_module(&self) -> String {
        self.module().swap_remove(0)
    }

    /// All paths in the code that start with `crate` or `super`, as absolute paths.
    fn paths(&self) -> Vec<Vec<String>> {
        let absolute = |path: Vec<String>| {
            let mut module = self.module();
            let names = match path.first().map(String::as_str)? {
                "crate" => {
                    module.clear();
                    &path[1..]
                }
                "super" => {
                    let levels = path.iter().take_while(|name| *name == "super").count();
                    module.truncate(module.len().checked_sub(levels)?);
                    &path[levels..]
                }
                _ => return None,
            };
            (!names.is_empty()).then(|| [&module, names].concat())
        };
        paths(self.code.clone(), &[]).into_iter().filter_map(absolute).collect()
    }

    /// The other top-level modules that it imports.
    fn imports(&self) -> BTreeSet<String> {
        let modules = self.paths().into_iter().map(|mut path| path.swap_remove(0));
        modules.filter(|module| *module != self.top_module()).collect()
    }
}

/// The code without the items under `#[cfg(test)]`.
fn without_tests(code: TokenStream) -> TokenStream {
    let mut tokens = code.into_iter();
    let mut kept = Vec::new();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Group(group) if group.to_string().replace(' ', "") == "[cfg(test)]" => {
                // The `#` before it. The item ends with its body or a semicolon.
                kept.pop();
                tokens.find(|token| match token {
                    TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
                    TokenTree::Punct(punct) => punct.as_char() == ';',
                    TokenTree::Ident(_) | TokenTree::Literal(_) => false,
                });
            }
            TokenTree::Group(group) => {
                kept.push(proc_macro2::Group::new(group.delimiter(), without_tests(group.stream())).into());
            }
            TokenTree::Ident(_) | TokenTree::Punct(_) | TokenTree::Literal(_) => kept.push(token),
        }
    }
    kept.into_iter().collect()
}

/// All paths in the code, those in the groups of a `use` in full. `prefix` stands before the first path of each item.
fn paths(code: TokenStream, prefix: &[String]) -> Vec<Vec<String>> {
    let (mut paths, mut path) = (Vec::new(), prefix.to_vec());
    // Whether the next name continues the path, and whether a second colon makes it so.
    let (mut continues, mut half) = (true, false);
    for token in code {
        match token {
            TokenTree::Ident(name) => {
                if !continues {
                    paths.push(take(&mut path));
                }
                path.push(name.to_string());
                continues = false;
            }
            TokenTree::Punct(colon) if colon.as_char() == ':' => {
                continues = half;
                half = colon.spacing() == Spacing::Joint;
            }
            TokenTree::Group(group) if continues => paths.extend(self::paths(group.stream(), &path)),
            TokenTree::Group(group) => {
                paths.push(take(&mut path));
                paths.extend(self::paths(group.stream(), &[]));
                continues = true;
            }
            TokenTree::Punct(punct) => {
                if punct.as_char() == '*' && continues {
                    path.push("*".to_owned());
                }
                paths.push(take(&mut path));
                continues = true;
                if punct.as_char() == ',' {
                    path = prefix.to_vec();
                }
            }
            TokenTree::Literal(_) => {}
        }
    }
    paths.push(path);
    paths
}

/// Every file of `src` except the two roots and test modules.
fn sources() -> Vec<Source> {
    let sources = files("src", "rs").into_iter().map(|path| {
        let text = read(&path);
        Source::new(path.strip_prefix("src").unwrap(), &text)
    });
    let is_root = |path: &Path| ["lib.rs", "main.rs"].contains(&path.to_str().unwrap());
    sources.filter(|source| !is_root(&source.path) && !source.module().contains(&"tests".to_owned())).collect()
}

/// The table of ARCHITECTURE.md: each top-level module with all that it may import.
fn allowed() -> BTreeMap<String, BTreeSet<String>> {
    let architecture = read("ARCHITECTURE.md");
    let mut tables = tables(&architecture).into_iter();
    let table = tables.find(|table| table[0] == ["module", "imports"]).expect("a table | module | imports |");
    let rows = table.into_iter().skip(1).map(|row| {
        let imports = row[1].split(',').map(|name| name.trim().to_owned()).filter(|name| !name.is_empty());
        (row[0].trim_matches('`').to_owned(), imports.collect())
    });
    rows.collect()
}

/// Which top-level module imports which, each with one file that does.
fn imports(sources: &[Source]) -> BTreeMap<(String, String), &Path> {
    sources
        .iter()
        .flat_map(|source| {
            source.imports().into_iter().map(|import| ((source.top_module(), import), source.path.as_path()))
        })
        .collect()
}

#[test]
fn every_module_is_in_the_table() {
    let modules: BTreeSet<_> = sources().iter().map(Source::top_module).collect();
    assert_eq!(modules, allowed().into_keys().collect(), "left: src, right: ARCHITECTURE.md");
    let lib = read("src/lib.rs");
    let declared: BTreeSet<_> =
        lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).map(str::to_owned).collect();
    assert_eq!(declared, modules, "left: src/lib.rs, right: the files");
}

#[test]
fn modules_import_only_what_the_table_allows() {
    let (sources, allowed) = (sources(), allowed());
    let forbidden: Vec<_> = imports(&sources)
        .into_iter()
        .filter(|((module, import), _)| !allowed[module].contains(import))
        .map(|((module, import), path)| format!("src/{}: {module} must not import {import}", path.display()))
        .collect();
    assert!(forbidden.is_empty(), "{}", forbidden.join("\n"));
}

#[test]
fn every_import_in_the_table_is_used() {
    let sources = sources();
    let imports = imports(&sources);
    let allowed =
        allowed().into_iter().flat_map(|(module, uses)| uses.into_iter().map(move |import| (module.clone(), import)));
    let unused: Vec<_> = allowed.filter(|edge| !imports.contains_key(edge)).collect();
    assert!(unused.is_empty(), "remove from the table in ARCHITECTURE.md: {unused:?}");
}

/// The files and folders directly in a folder of `src` that import each other in a cycle.
fn cycle(sources: &[Source], folder: &[String]) -> Vec<String> {
    let mut imports: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for source in sources {
        let module = source.module();
        if module.len() > folder.len() && module.starts_with(folder) {
            let paths = source.paths().into_iter().filter(|path| path.starts_with(folder));
            let names = paths.filter_map(|path| path.get(folder.len()).cloned());
            let name = &module[folder.len()];
            imports.entry(name.clone()).or_default().extend(names.filter(|import| import != name));
        }
    }
    // A file that imports none of the remaining files, or that none of them imports, is in no cycle.
    loop {
        let imported: BTreeSet<_> = imports.values().flatten().cloned().collect();
        let (names, before): (BTreeSet<_>, _) = (imports.keys().cloned().collect(), imports.len());
        imports.retain(|name, uses| imported.contains(name) && !uses.is_disjoint(&names));
        if imports.len() == before {
            return names.into_iter().collect();
        }
    }
}

#[test]
fn source_files_have_no_import_cycles() {
    let sources = sources();
    let folders = sources.iter().flat_map(|source| {
        let module = source.module();
        (0..module.len()).map(move |length| module[..length].to_vec())
    });
    let folders: BTreeSet<_> = folders.collect();
    let cycles = folders.iter().map(|folder| (folder.join("/"), cycle(&sources, folder)));
    let cycles: Vec<_> = cycles.filter(|(_, files)| !files.is_empty()).collect();
    assert!(cycles.is_empty(), "these import each other: {cycles:?}");
}

#[test]
fn actix_is_used_only_for_http_and_the_servers() {
    let servers = ["src/daemon/application.rs", "src/simulate/cloudflare/serve.rs"].map(Path::new);
    let allowed = |path: &Path| path.starts_with("src/http") || servers.contains(&path);
    let uses_actix = |path: &PathBuf| {
        let code = read(path).parse().expect("Rust code");
        paths(code, &[]).iter().flatten().any(|name| name.starts_with("actix"))
    };
    let files = files("src", "rs").into_iter().filter(|path| !allowed(path));
    let others: Vec<_> = files.filter(uses_actix).collect();
    assert!(others.is_empty(), "actix outside src/http and {servers:?}: {others:?}");
}

#[test]
fn source_files_do_not_exceed_the_maximum_length() {
    let lines = files("src", "rs").into_iter().map(|path| (read(&path).lines().count(), path));
    let long: Vec<_> = lines.filter(|(lines, _)| *lines > LONGEST_FILE).collect();
    assert!(long.is_empty(), "more than {LONGEST_FILE} lines: {long:?}");
}

#[test]
fn every_form_of_import_is_found() {
    for (path, text, expected) in [
        ("live/fold.rs", "use crate::event::{Event, InputId};", vec!["event"]),
        ("live/mod.rs", "use crate::{event::{Event, InputId}, clock};", vec!["clock", "event"]),
        ("live/mod.rs", "use crate::{event as e, journal::SqliteJournal, };", vec!["event", "journal"]),
        ("recorder.rs", "use super::http::Webhook;", vec!["http"]),
        ("recorder/batch.rs", "use super::Outcome; fn f() { super::super::config::load() }", vec!["config"]),
        ("recorder/batch.rs", "use super::super::{cli, recorder};", vec!["cli"]),
        ("live/state.rs", "pub(crate) fn f(at: crate::clock::Stopwatch) {}", vec!["clock"]),
        (
            "live/state.rs",
            "fn f() { log!(\"{}\", crate::clock::now(), x = Some::<crate::http::A>(1)) }",
            vec!["clock", "http"],
        ),
        ("live/state.rs", "use crate::*;", vec!["*"]),
        ("live/state.rs", "//! [`crate::http`]\n/* crate::cli */ const A: &str = \"crate::http\";", vec![]),
        ("live/state.rs", "#[cfg(test)]\nmod tests { use crate::http; fn f() {} }\nuse crate::event;", vec!["event"]),
        (
            "live/state.rs",
            "#[cfg(test)]\nuse crate::http::{A, B};\nfn f<'a>() -> crate::event::Event {}",
            vec!["event"],
        ),
        ("live/state.rs", "mod a { #[cfg(test)] const A: [u8; 3] = crate::http::A; }", vec![]),
    ] {
        assert_eq!(Source::new(path, text).imports().into_iter().collect::<Vec<_>>(), expected, "{path}: {text}");
    }
}
