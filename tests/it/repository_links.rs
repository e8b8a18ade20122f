//! Links to the repository and names of release files: the manifest determines them.

use std::fs;

use regex_lite::Regex;

use crate::markdown::{all_files, repository};

/// Problems of links and versions in a text, and how many of them it has.
fn check(text: &str) -> (Vec<String>, usize) {
    let link = Regex::new(r"(?:https?://)?\bgithub\.com/[\w.-]+/stream-live-exporter\b").unwrap();
    let version = Regex::new(r"\bstream-live-exporter[-_](\d+\.\d+\.\d+)|/releases/download/v(\d+\.\d+\.\d+)").unwrap();
    let (mut problems, mut found) = (Vec::new(), 0);
    // The regular expressions are slow, so other lines are left out first.
    for line in text.lines().filter(|line| line.contains(env!("CARGO_PKG_NAME"))) {
        for link in link.find_iter(line) {
            found += 1;
            if link.as_str() != env!("CARGO_PKG_REPOSITORY") {
                problems.push(link.as_str().to_owned());
            }
        }
        for captures in version.captures_iter(line) {
            found += 1;
            let version = captures.get(1).or(captures.get(2)).expect("one of both matches");
            if version.as_str() != env!("CARGO_PKG_VERSION") {
                problems.push(captures[0].to_owned());
            }
        }
    }
    (problems, found)
}

#[test]
fn links_to_the_repository_and_release_files_are_those_of_the_manifest() {
    let (mut problems, mut links) = (Vec::new(), 0);
    for path in all_files("") {
        // Binary files have no links.
        let Ok(text) = fs::read_to_string(repository(&path)) else { continue };
        let (found, count) = check(&text);
        problems.extend(found.into_iter().map(|problem| format!("{}: {problem}", path.display())));
        links += count;
    }
    assert!(problems.is_empty(), "not of {}:\n{}", env!("CARGO_PKG_REPOSITORY"), problems.join("\n"));
    assert!(links > 20, "only {links} links were found");
}

#[test]
fn wrong_links_to_the_repository_are_found() {
    let [host, name] = ["github.com", "stream-live-exporter"];
    let (link, version) = (env!("CARGO_PKG_REPOSITORY"), env!("CARGO_PKG_VERSION"));
    assert_eq!(check(&format!("{link}/releases/download/v{version}/{name}_{version}_amd64.deb")), (vec![], 3));
    for wrong in [
        format!("https://{host}/another/{name}"),
        format!("http://{host}/{name}/{name}"),
        format!("{link}/releases/download/v{}/SHA256SUMS", "99.0.0"),
        format!("{name}-99.0.0.linux-amd64.tar.gz"),
    ] {
        assert_eq!(check(&wrong).0.len(), 1, "{wrong}");
    }
}
