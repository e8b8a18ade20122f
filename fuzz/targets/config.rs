//! Arbitrary text as a configuration file, with an environment variable of any name: the result is a configuration or a
//! list of problems, without a panic, and no secret is printed.
//!
//! `@@` in the text stands for a secret. A problem may quote it as the value of a key that is not secret. It must not
//! appear if it is the value of a secret, or if the file cannot be parsed.

#![no_main]

use std::cell::LazyCell;
use std::fs;

use libfuzzer_sys::fuzz_target;
use stream_live_exporter::config::{InvalidConfig, Settings, Sources};
use stream_live_exporter::event::Timestamp;
use tempfile::TempDir;

const SECRET: &str = "hunter2-correct-horse";

thread_local! {
    static FOLDER: LazyCell<TempDir> = LazyCell::new(|| tempfile::tempdir().expect("a temporary file can be written"));
}

fuzz_target!(|input: &[u8]| {
    // The first line is the name of the variable.
    let Some((variable, text)) = str::from_utf8(input).ok().and_then(|input| input.split_once('\n')) else { return };
    if variable.contains(['\0', '=']) || variable.contains(SECRET) {
        return;
    }
    for format in ["toml", "yaml"] {
        let text = text.replace("@@", SECRET);
        check(load(format, &text, variable), "webhook.secrets");
        // As the value of a secret, before arbitrary text that may break the syntax.
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
    fs::write(&file, text).expect("a temporary file can be written");
    let environment = vec![
        ("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__B".into(), SECRET.into()),
        (format!("STREAM_LIVE_EXPORTER__{variable}").into(), "7".into()),
    ];
    Settings::load(&Sources { file: Some(file), environment, flags: Vec::new() })
}

/// Problems without a key, or with a key that starts with `secret`, must not contain the secret.
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
                let (_, message) = problem.split_once(": ").expect("a problem has an origin");
                let key = message.split_once(": ").map_or("", |(key, _)| key);
                // Problems name the key.
                if message.ends_with(": unknown key") || key.starts_with("webhook.") && key.contains(SECRET) {
                    continue;
                }
                let has_key = !key.is_empty() && !key.contains(' ');
                if !has_key || key.starts_with(secret) {
                    assert!(!message.contains(SECRET), "{problem}");
                }
            }
        }
    }
}
