//! The commands in documents: a script runs each block of commands, or the document says why not.

#![expect(clippy::wildcard_enum_match_arm, reason = "most parts of a document are ignored")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use pulldown_cmark::{CodeBlockKind, Event, Parser, Tag, TagEnd};
use regex_lite::Regex;

use crate::markdown::{code_spans, files, read, repository};

/// Languages of blocks that contain no commands. Blocks of commands are `sh`.
const OTHER_LANGUAGES: [&str; 7] = ["json", "promql", "sql", "text", "toml", "xml", "yaml"];

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

/// Scripts that may run blocks: those in tests/, tests/documents/ and the folders of deploy/.
fn scripts() -> Vec<String> {
    let folder = |path: PathBuf| fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
    let tests = folder(repository("tests")).chain(folder(repository("tests/documents")));
    let parts = folder(repository("deploy")).filter(|part| part.is_dir()).flat_map(folder);
    let scripts = tests.chain(parts).filter(|path| path.is_file() && path.extension().is_none());
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

/// The arguments of the program in a command of a document, with examples in place of placeholders.
fn arguments(command: &str) -> Option<Vec<String>> {
    let program = Regex::new(r"(?:^|.*[ /(])stream-live-exporter +([a-z-][^|&;()#<>]*)").unwrap();
    let quoted = Regex::new(r#""[^"]*"|'[^']*'"#).unwrap();
    let command = quoted.replace_all(command, "text");
    if command.trim_start().starts_with("helm ") {
        return None;
    }
    let examples = |word: &str| match word {
        "ID" => "2c28dd2cc444cb77578c4840b51e43a8".to_owned(),
        "COMMAND" => "check-config".to_owned(),
        word => word.to_owned(),
    };
    Some(program.captures(&command)?[1].split_whitespace().map(examples).collect())
}

/// All commands in blocks and code spans that start the program.
fn program_calls(markdown: &str) -> Vec<Vec<String>> {
    let (mut commands, mut block) = (code_spans(markdown).concat(), false);
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(language))) => block = &*language == "sh",
            Event::End(TagEnd::CodeBlock) => block = false,
            Event::Text(text) if block => {
                commands.extend(text.replace("\\\n", " ").lines().map(str::to_owned));
            }
            _ => {}
        }
    }
    commands.iter().filter_map(|command| arguments(command)).collect()
}

/// Whether the program knows the command and its flags: then `--help` after them succeeds.
fn is_known(arguments: &[String]) -> bool {
    let program = env!("CARGO_BIN_EXE_stream-live-exporter");
    Command::new(program).args(arguments).arg("--help").output().unwrap().status.success()
}

#[test]
fn every_documented_call_has_a_known_command_and_known_flags() {
    let (mut calls, mut unknown) = (0, Vec::new());
    for document in files("", "md") {
        for arguments in program_calls(&read(&document)) {
            calls += 1;
            if !is_known(&arguments) {
                unknown.push(format!("{}: {}", document.display(), arguments.join(" ")));
            }
        }
    }
    assert!(unknown.is_empty(), "{}", unknown.join("\n"));
    assert!(calls > 30, "only {calls} calls were found");
}

#[test]
fn unknown_commands_and_flags_are_found() {
    for (known, command) in [
        (true, "sudo -u stream-live-exporter stream-live-exporter --config.file=a.toml check-config"),
        (true, "x /stream-live-exporter inputs set ID connected --reason \"two words\" | y"),
        (false, "stream-live-exporter inputs put ID"),
        (false, "stream-live-exporter check-config --no-such-flag"),
    ] {
        let arguments = arguments(command).unwrap_or_else(|| panic!("{command}"));
        assert_eq!(is_known(&arguments), known, "{arguments:?}");
    }
    for other in ["apt-get remove stream-live-exporter", "helm install stream-live-exporter deploy/helm"] {
        assert_eq!(arguments(other), None);
    }
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
