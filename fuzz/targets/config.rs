//! Any text as a configuration file, and beside it a variable of any name: a configuration or a list
//! of problems comes of it, never a panic, and no secret is told.
//!
//! `@@` in the text stands for a secret. It may be told back where it is the value of something that
//! is no secret; so when it stands where a secret belongs, or the file cannot be read at all, it must
//! not be there.

#![no_main]

use std::cell::LazyCell;
use std::fs;

use libfuzzer_sys::fuzz_target;
use stream_live_exporter::config::{InvalidConfig, Settings, Sources};
use stream_live_exporter::event::Timestamp;
use tempfile::TempDir;

const SECRET: &str = "hunter2-correct-horse";

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().expect("there is room for a file"));
}

fuzz_target!(|input: &[u8]| {
    // The first line is the variable's name.
    let Some((variable, text)) = str::from_utf8(input).ok().and_then(|input| input.split_once('\n')) else { return };
    if variable.contains(['\0', '=']) || variable.contains(SECRET) {
        return;
    }
    for format in ["toml", "yaml"] {
        let text = text.replace("@@", SECRET);
        check(load(format, &text, variable), "webhook.secrets");
        // As the value of a secret, in each of the ways that a text can be broken off.
        let secret = if format == "toml" {
            format!("[webhook.secrets]\na = \"{SECRET}\"\n{text}")
        } else {
            format!("webhook:\n  secrets:\n    a: {SECRET}\n{text}")
        };
        if !text.contains(SECRET) {
            check(load(format, &secret, variable), "");
        }
    }
});

fn load(format: &str, text: &str, variable: &str) -> Result<Settings, InvalidConfig> {
    let file = FOLDER.with(|folder| folder.path().join("site").with_extension(format));
    fs::write(&file, text).expect("there is room for a file");
    let environment = vec![
        ("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__B".into(), SECRET.into()),
        (format!("STREAM_LIVE_EXPORTER__{variable}").into(), "7".into()),
    ];
    Settings::load(&Sources { file: Some(file), environment, flags: Vec::new() })
}

/// Problems about keys that begin with `secret` do not tell it; nor do those that are about no key.
fn check(loaded: Result<Settings, InvalidConfig>, secret: &str) {
    match loaded {
        Ok(settings) => {
            for configured in settings.inputs.configured.values() {
                let times = [0, 1_795_300_000_000_000_000, i64::MAX].map(Timestamp::from_nanos);
                let _ = times.map(|time| configured.expectation.at(time));
            }
            assert!(settings.effective.iter().all(|effective| !effective.key.is_empty()));
            for effective in settings.effective.iter().filter(|effective| effective.key.starts_with("webhook.secrets."))
            {
                assert!(!effective.value.contains(SECRET), "{effective:?}");
            }
        }
        Err(InvalidConfig(problems)) => {
            assert!(!problems.is_empty());
            for problem in problems.iter().map(ToString::to_string) {
                let (_, told) = problem.split_once(": ").expect("a problem has an origin");
                let key = told.split_once(": ").map_or("", |(key, _)| key);
                // Keys are told by their names.
                if told.ends_with(": unknown key") || key.starts_with("webhook.") && key.contains(SECRET) {
                    continue;
                }
                let of_a_key = !key.is_empty() && !key.contains(' ');
                if !of_a_key || key.starts_with(secret) {
                    assert!(!told.contains(SECRET), "{problem}");
                }
            }
        }
    }
}
