//! Links, headings, tables and code spans of a Markdown document.

#![expect(clippy::wildcard_enum_match_arm, reason = "most parts of a document are ignored")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{Event, Options, Parser, Tag, TagEnd};
use regex_lite::Regex;

/// The repository, or a file in it.
pub fn repository(path: impl AsRef<Path>) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

pub fn read(path: impl AsRef<Path>) -> String {
    let path = repository(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

/// All files with this extension below a folder, relative to the repository.
pub fn files(folder: &str, extension: &str) -> Vec<PathBuf> {
    let all = all_files(folder).into_iter();
    all.filter(|path| path.extension().is_some_and(|found| found == extension)).collect()
}

/// All files below a folder, relative to the repository. Build output and hidden folders are left out.
pub fn all_files(folder: &str) -> Vec<PathBuf> {
    let (mut folders, mut files) = (vec![repository(folder)], Vec::new());
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy();
            if path.is_dir() {
                if !name.starts_with('.') && !["target", "node_modules"].contains(&&*name) {
                    folders.push(path);
                }
            } else {
                files.push(path.strip_prefix(repository("")).unwrap().to_owned());
            }
        }
    }
    files.sort();
    files
}

fn events(markdown: &str) -> impl Iterator<Item = Event<'_>> {
    Parser::new_ext(markdown, Options::ENABLE_TABLES)
}

/// The targets of all links and pictures, in Markdown and in HTML.
pub fn links(markdown: &str) -> Vec<String> {
    let attribute = Regex::new(r#"\b(?:href|src|srcset)="([^" ]*)"#).unwrap();
    let mut targets = Vec::new();
    for event in events(markdown) {
        match event {
            Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) => targets.push(dest_url.into()),
            Event::Html(html) | Event::InlineHtml(html) => {
                targets.extend(attribute.captures_iter(&html).map(|found| found[1].to_owned()));
            }
            _ => {}
        }
    }
    targets
}

/// The anchors of all headings, as GitHub derives them from the text.
pub fn anchors(markdown: &str) -> BTreeSet<String> {
    let (mut anchors, mut seen) = (BTreeSet::new(), BTreeMap::<String, usize>::new());
    let mut heading: Option<String> = None;
    for event in events(markdown) {
        match event {
            Event::Start(Tag::Heading { .. }) => heading = Some(String::new()),
            Event::Text(text) | Event::Code(text) => heading.iter_mut().for_each(|heading| heading.push_str(&text)),
            Event::End(TagEnd::Heading(_)) => {
                let text = heading.take().unwrap_or_default().to_lowercase().replace(' ', "-");
                let anchor: String = text.chars().filter(|c| c.is_alphanumeric() || "-_".contains(*c)).collect();
                let repeated = seen.entry(anchor.clone()).or_default();
                anchors.insert(if *repeated == 0 { anchor } else { format!("{anchor}-{repeated}") });
                *repeated += 1;
            }
            _ => {}
        }
    }
    anchors
}

/// All tables, each as rows of cells, the heading first. Cells are Markdown.
pub fn tables(markdown: &str) -> Vec<Vec<Vec<&str>>> {
    let mut tables: Vec<Vec<Vec<&str>>> = Vec::new();
    for (event, range) in Parser::new_ext(markdown, Options::ENABLE_TABLES).into_offset_iter() {
        match event {
            Event::Start(Tag::Table(_)) => tables.push(Vec::new()),
            Event::Start(Tag::TableHead | Tag::TableRow) => tables.last_mut().unwrap().push(Vec::new()),
            Event::Start(Tag::TableCell) => {
                let row = tables.last_mut().unwrap().last_mut().unwrap();
                row.push(markdown[range].trim_matches(['|', ' ']));
            }
            _ => {}
        }
    }
    tables
}

/// The code spans of each paragraph, heading, list item and table cell.
pub fn code_spans(markdown: &str) -> Vec<Vec<String>> {
    let mut blocks = vec![Vec::new()];
    for event in events(markdown) {
        match event {
            Event::Start(Tag::Paragraph | Tag::Heading { .. } | Tag::Item | Tag::TableCell) => blocks.push(Vec::new()),
            Event::Code(code) => blocks.last_mut().unwrap().push(code.into()),
            _ => {}
        }
    }
    blocks
}

#[test]
fn links_headings_tables_and_code_are_read() {
    let markdown = "# One `two`, three!\n## Again\n## Again\n```\n# not a heading\n[not](a/link)\n```\n\
                    See [a](README.md), ![b](c.svg \"title\") and `[not](code)` [d](<e.md>), [h].\n\
                    <a href=\"f.md\"><img src=\"g.png\"></a>\n\n[h]: i.md#j\n\n\
                    | key | value |\n|---|---|\n| `k` | a `v`|\n| b ||\n";
    assert_eq!(anchors(markdown).into_iter().collect::<Vec<_>>(), ["again", "again-1", "one-two-three"]);
    assert_eq!(links(markdown), ["README.md", "c.svg", "e.md", "i.md#j", "f.md", "g.png"]);
    assert_eq!(tables(markdown), [[["key", "value"], ["`k`", "a `v`"], ["b", ""]]]);
    let code: Vec<_> = code_spans(markdown).into_iter().flatten().collect();
    assert_eq!(code, ["two", "[not](code)", "k", "v"]);
}
