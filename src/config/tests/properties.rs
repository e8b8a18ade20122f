//! What holds for any configuration.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "hunter2-correct-horse";

/// What configuration files are made of, in any order: keys, values, and the marks of both formats.
fn fragments() -> impl Strategy<Value = String> {
    let lines = DEFAULT.lines().filter(|line| !line.starts_with('#')).map(|line| format!("{line}\n"));
    let marks = [
        "\n",
        " ",
        "  ",
        "=",
        ":",
        "\"",
        "'",
        "\"\"\"",
        "|",
        ">",
        "- ",
        "#",
        "[",
        "]",
        "[[",
        "]]",
        "{",
        "}",
        ",",
        ".",
        "&a ",
        "*a",
        "!t ",
        "@",
        "%",
        "\\",
        "\t",
        "\r",
        "é",
        "1",
        "7d",
        "64KiB",
        "true",
        "webhook",
        "secrets",
        "inputs",
        "id",
        "name",
        "expected",
        "days",
        "from",
        "to",
        "until",
        "time_zone",
        "grace_before",
        "UTC",
        "12:00",
        "mon",
        "2c28dd2cc444cb77578c4840b51e43a8",
        "2026-12-24T18:00:00Z",
        "a[99999999999999]",
    ];
    let fragments: Vec<String> = lines.chain(marks.map(str::to_owned)).collect();
    let fragment = prop_oneof![8 => prop::sample::select(fragments), 1 => ".{0,4}"];
    proptest::collection::vec(fragment, 0..24).prop_map(|fragments| fragments.concat())
}

fn file() -> impl Strategy<Value = &'static str> {
    prop_oneof![Just("site.toml"), Just("site.yaml")]
}

proptest! {
    #[test]
    fn any_text_is_a_configuration_or_has_problems(file in file(), text in fragments(), variable in "[A-Z_.\\[\\]0-9-]{0,16}") {
        match load(file, &text, &[(&variable, "7")], &[]) {
            Ok(settings) => prop_assert!(settings.inputs.configured.len() <= settings.inputs.max),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn no_value_makes_it_panic(key in prop::sample::select(keys()), value in prop_oneof![".{0,12}", "-?[0-9]{1,20}[a-zA-Z]{0,3}"]) {
        let _ = load("site.toml", "", &[], &[(&key, &value)]);
    }

    /// The file is one text, which somebody took for a configuration.
    #[test]
    fn of_a_file_without_keys_nothing_is_told(file in file(), before in "[^:=|\\[{]{0,8}", after in "[^:=|]{0,8}") {
        if let Err(told) = load(file, &format!("{before}{SECRET}{after}"), &[], &[]) {
            prop_assert!(!told.contains(SECRET), "{told}");
        }
    }

    /// The file breaks off, or goes on in a way that nobody understands, near a secret in its place.
    #[test]
    fn a_secret_in_its_place_is_never_told(
        file in file(),
        (opening, closing) in prop::sample::select(vec![("\"", "\""), ("'", "'"), ("\"", ""), ("", ""), ("\"\"\"", ""), ("|\n      ", "")]),
        text in fragments(),
    ) {
        let text = match file {
            "site.toml" => format!("[webhook.secrets]\na = {opening}{SECRET}{closing}{text}"),
            _ => format!("webhook:\n  secrets:\n    a: {opening}{SECRET}{closing}{text}"),
        };
        let loaded = load(file, &text, &[("WEBHOOK__SECRETS__B", SECRET)], &[]);
        let told = match loaded {
            Ok(settings) => format!("{settings:?}"),
            Err(problems) => problems,
        };
        prop_assert!(!told.contains(SECRET), "{told}\n{text}");
    }
}

/// The keys of all single values.
fn keys() -> Vec<String> {
    let effective = load("site.toml", "", &[], &[]).unwrap().effective;
    effective.into_iter().map(|effective| effective.key).collect()
}
