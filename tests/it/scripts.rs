//! The shell scripts.

use std::fs;

use regex_lite::Regex;

use crate::markdown::{all_files, repository};

/// The pipes into a command that may stop before it has read everything.
///
/// A script with `pipefail` then takes the end of the writer by SIGPIPE for a failure, but only if the writer is the
/// slower one. `grep` also stops early if its output is `/dev/null`.
fn pipes_that_stop_early(script: &str) -> Vec<&str> {
    let pipe =
        Regex::new(r"(?m)(?:^|[^|])\|\s*(?:head\b|grep\b[^|\n]*(?: -\w*[qm]| --quiet| --max-count|>\s*/dev/null))")
            .unwrap();
    pipe.find_iter(script).map(|found| found.as_str()).collect()
}

#[test]
fn scripts_do_not_pipe_into_commands_that_stop_early() {
    let (mut problems, mut scripts) = (Vec::new(), 0);
    for path in all_files("").into_iter().chain([".ci/run".into()]) {
        // Binary files are no scripts.
        let Ok(text) = fs::read_to_string(repository(&path)) else { continue };
        if text.lines().next().is_some_and(|line| line.starts_with("#!") && line.ends_with("sh"))
            || path.extension().is_some_and(|found| found == "sh")
        {
            scripts += 1;
            problems.extend(pipes_that_stop_early(&text).iter().map(|pipe| format!("{}: {pipe}", path.display())));
        }
    }
    assert!(problems.is_empty(), "read the output of the command with <<<, or all of it:\n{}", problems.join("\n"));
    assert!(scripts > 20, "only {scripts} scripts were found");
}

#[test]
fn every_form_of_a_pipe_that_stops_early_is_found() {
    for early in
        ["a | head -n 1", "a |\n    grep -q b", "a | grep -Eq b", "a | grep . >/dev/null", "a | grep b --max-count 1"]
    {
        assert_eq!(pipes_that_stop_early(early).len(), 1, "{early}");
    }
    for whole in ["a || grep -q b c", "a | grep b", "a | grep -E b | sort >/dev/null", "grep -q a <<<b", "a | tail"] {
        assert!(pipes_that_stop_early(whole).is_empty(), "{whole}");
    }
}
