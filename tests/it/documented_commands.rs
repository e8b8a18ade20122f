//! The commands in documents: a script runs each block of commands, or the document says why not.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use regex_lite::Regex;

use crate::markdown::{files, read, repository};

/// Languages of blocks that contain no commands. Blocks of commands are `sh`.
const OTHER_LANGUAGES: [&str; 6] = ["json", "promql", "text", "toml", "xml", "yaml"];

#[derive(Debug, Eq, PartialEq)]
enum Marker {
    /// The name by which a script runs the block.
    Run(String),
    NotRun(String),
}

/// The marker before each block of commands and before other blocks that have one, and problems of blocks and markers.
fn blocks(markdown: &str) -> (Vec<Option<Marker>>, Vec<String>) {
    let comment = Regex::new(r"^ *<!-- (run|not run): *(.*?) *-->$").unwrap();
    let (mut blocks, mut problems) = (Vec::new(), Vec::new());
    let mut marker = None;
    for event in Parser::new(markdown) {
        match event {
            Event::Html(html) => {
                if let Some(unused) = marker.take() {
                    problems.push(format!("no block follows {unused:?}"));
                }
                marker = comment.captures(html.trim_end()).map(|found| match &found[1] {
                    "run" => Marker::Run(found[2].to_owned()),
                    _ => Marker::NotRun(found[2].to_owned()),
                });
            }
            Event::Start(Tag::HtmlBlock) | Event::End(TagEnd::HtmlBlock) => {}
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => {
                if &*language == "sh" || marker.is_some() {
                    blocks.push(marker.take());
                } else if !OTHER_LANGUAGES.contains(&&*language) {
                    problems.push(format!("a block of the language {language:?}: use sh for commands"));
                }
            }
            _ => {
                if let Some(unused) = marker.take() {
                    problems.push(format!("no block follows {unused:?}"));
                }
            }
        }
    }
    (blocks, problems)
}

/// Scripts that may run blocks: tests/*, and the checks of deploy/.
fn scripts() -> Vec<String> {
    let folder = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let tests = folder(repository("tests")).chain(folder(repository("tests/documents")));
    let checks = folder(repository("deploy")).map(|part| part.join("check"));
    let scripts = tests.chain(checks).filter(|path| path.is_file() && path.extension().is_none());
    scripts.map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn is_run_by(script: &str, name: &str) -> bool {
    let word = |line: &str| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-').any(|word| word == name);
    script.lines().any(|line| !line.trim_start().starts_with('#') && word(line))
}

/// Problems of the markers in documents.
fn check(documents: &[(&Path, &str)], scripts: &[String]) -> Vec<String> {
    let (mut problems, mut names) = (Vec::new(), BTreeMap::new());
    for (document, markdown) in documents {
        let (blocks, mut found) = blocks(markdown);
        for (number, marker) in (1..).zip(blocks) {
            match marker {
                None => found.push(format!("block {number} of commands has no marker: see CONTRIBUTING.md")),
                Some(Marker::NotRun(reason)) if reason.split(' ').count() < 3 => {
                    found.push(format!("block {number} is not run, without a reason"));
                }
                Some(Marker::NotRun(_)) => {}
                Some(Marker::Run(name)) => {
                    if !scripts.iter().any(|script| is_run_by(script, &name)) {
                        found.push(format!("no script runs {name}"));
                    }
                    if names.insert(name.clone(), document).is_some() {
                        found.push(format!("two blocks have the name {name}"));
                    }
                }
            }
        }
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", document.display())));
    }
    problems
}

#[test]
fn every_block_of_commands_is_run_or_says_why_not() {
    let documents: Vec<_> = files("", "md").into_iter().map(|path| (read(&path), path)).collect();
    let documents: Vec<_> = documents.iter().map(|(text, path)| (&**path, &**text)).collect();
    let problems = check(&documents, &scripts());
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

#[test]
fn wrong_markers_of_commands_are_found() {
    let scripts = ["# unused-name\nblock used-name\n".to_owned()];
    let count = |markdown: &str| check(&[(Path::new("a.md"), markdown)], &scripts).len();
    for (problems, markdown) in [
        (0, "<!-- run: used-name -->\n```sh\nx\n```\n"),
        (0, "1. a\n\n   <!-- not run: it takes hours -->\n   ```sh\n   x\n   ```\n"),
        (0, "```text\nx\n```\n"),
        (1, "```sh\nx\n```\n"),
        (1, "```bash\nx\n```\n"),
        (1, "```\nx\n```\n"),
        (1, "<!-- not run: -->\n```sh\nx\n```\n"),
        (1, "<!-- run: unused-name -->\n```sh\nx\n```\n"),
        (1, "<!-- run: used -->\n```sh\nx\n```\n"),
        (2, "<!-- run: used-name -->\n\ntext\n\n```sh\nx\n```\n"),
        (1, "<!-- run: used-name -->\n```sh\nx\n```\n<!-- run: used-name -->\n```sh\nx\n```\n"),
    ] {
        assert_eq!(count(markdown), problems, "{markdown}");
    }
}
