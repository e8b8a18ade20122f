use std::io;
use std::sync::{Arc, Mutex};

use proptest::prelude::*;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;

use super::*;

#[derive(Clone, Default)]
struct Memory(Arc<Mutex<Vec<u8>>>);

impl io::Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What is logged by `log`, in one of the formats.
fn logged(json: bool, log: impl FnOnce()) -> String {
    let memory = Memory::default();
    let writer = memory.clone();
    let lines = fmt::layer().event_format(Lines { json }).with_writer(move || writer.clone());
    tracing::subscriber::with_default(tracing_subscriber::registry().with(lines), log);
    let written = memory.0.lock().unwrap().clone();
    String::from_utf8(written).unwrap()
}

/// Splits a line of logfmt as Go's decoders do. Values in quotes are unquoted like JSON.
fn parse(line: &str) -> Vec<(String, String)> {
    let (mut pairs, mut rest) = (Vec::new(), line.strip_suffix('\n').unwrap());
    while !rest.is_empty() {
        let (key, after) = rest.split_once('=').unwrap();
        let mut quoted = serde_json::Deserializer::from_str(after).into_iter::<String>();
        let (value, length) = match after.starts_with('"') {
            true => (quoted.next().unwrap().unwrap(), quoted.byte_offset()),
            false => {
                let length = after.find(' ').unwrap_or(after.len());
                (after[..length].to_owned(), length)
            }
        };
        pairs.push((key.to_owned(), value));
        rest = after[length..].strip_prefix(' ').unwrap_or(&after[length..]);
    }
    pairs
}

#[test]
fn both_formats_have_the_keys_of_prometheus_in_their_order() {
    let log = || {
        tracing::warn!(input_id = %"2c28", name = "Main stage", count = 3, share = 0.5, late = true, note = None::<&str>, "input changed");
    };
    let keys = ["time", "level", "source", "msg", "input_id", "name", "count", "share", "late"];
    let values = ["WARN", "input changed", "2c28", "Main stage", "3", "0.5", "true"];
    let pairs = parse(&logged(false, log));
    assert_eq!(pairs.iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), keys);
    let without = |key: &str| key != "time" && key != "source";
    let found: Vec<_> = pairs.iter().filter(|(key, _)| without(key)).map(|(_, value)| value.as_str()).collect();
    assert_eq!(found, values);
    assert_eq!((pairs[0].1.len(), &pairs[0].1[19..20], &pairs[0].1[23..]), (24, ".", "Z"), "{}", pairs[0].1);
    assert!(pairs[2].1.starts_with("tests.rs:"), "{}", pairs[2].1);

    let json = logged(true, log);
    let positions = keys.map(|key| json.find(&format!("\"{key}\":")).unwrap());
    assert!(positions.is_sorted(), "{json}");
    let line: Value = serde_json::from_str(&json).unwrap();
    assert_eq!((&line["msg"], &line["count"], &line["late"]), (&"input changed".into(), &3.into(), &true.into()));
}

/// Without blanks, so that only this character needs the quotes.
#[test]
fn each_control_or_format_character_is_escaped() {
    let characters = (0..=u32::from(char::MAX)).filter_map(char::from_u32).filter(|c| is_control_or_format(*c));
    for character in characters {
        let text = format!("a{character}b");
        for json in [false, true] {
            let written = logged(json, || tracing::info!(code = text, "input errored"));
            assert!(!written.trim_end_matches('\n').contains(is_control_or_format), "{written:?}");
        }
        assert_eq!(parse(&logged(false, || tracing::info!(code = text, "input errored"))).swap_remove(4).1, text);
    }
}

proptest! {
    /// `any::<String>()` has no control characters.
    #[test]
    fn any_text_stays_one_value_of_one_line(text in prop::collection::vec(any::<char>(), 0..12).prop_map(String::from_iter)) {
        for json in [false, true] {
            let written = logged(json, || tracing::info!(code = text, "input errored"));
            prop_assert!(!written.trim_end_matches('\n').contains(is_control_or_format), "{written:?}");
            let value = match json {
                true => serde_json::from_str::<Value>(&written).unwrap()["code"].as_str().unwrap().to_owned(),
                false => parse(&written).swap_remove(4).1,
            };
            prop_assert_eq!(&value, &text);
        }
    }
}
