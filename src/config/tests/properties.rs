//! Properties of any configuration.

use proptest::prelude::*;

use super::*;

const SECRET: &str = "hunter2-correct-horse";

/// Fragments of configuration files in any order: keys, values, and the syntax of both formats.
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
    fn any_text_is_a_valid_configuration_or_has_problems(file in file(), text in fragments(), variable in "[A-Z_.\\[\\]0-9-]{0,16}") {
        match load(file, &text, &[(&variable, "7")], &[]) {
            Ok(settings) => prop_assert!(settings.inputs.configured.len() <= settings.inputs.max),
            Err(problems) => prop_assert!(!problems.is_empty()),
        }
    }

    #[test]
    fn arbitrary_values_do_not_panic(key in prop::sample::select(keys()), value in prop_oneof![".{0,12}", "-?[0-9]{1,20}[a-zA-Z]{0,3}"]) {
        let _ = load("site.toml", "", &[], &[(&key, &value)]);
    }

    /// An operator may pass the file of a secret as the configuration by mistake.
    #[test]
    fn file_without_keys_is_not_quoted(file in file(), before in "[^:=|\\[{]{0,8}", after in "[^:=|]{0,8}") {
        if let Err(problems) = load(file, &format!("{before}{SECRET}{after}"), &[], &[]) {
            prop_assert!(!problems.contains(SECRET), "{problems}");
        }
    }

    /// The syntax error is near the secret.
    #[test]
    fn secret_is_never_quoted(
        file in file(),
        (opening, closing) in prop::sample::select(vec![("\"", "\""), ("'", "'"), ("\"", ""), ("", ""), ("\"\"\"", ""), ("|\n      ", "")]),
        text in fragments(),
    ) {
        let text = match file {
            "site.toml" => format!("[webhook.secrets]\na = {opening}{SECRET}{closing}{text}"),
            _ => format!("webhook:\n  secrets:\n    a: {opening}{SECRET}{closing}{text}"),
        };
        let loaded = load(file, &text, &[("WEBHOOK__SECRETS__B", SECRET)], &[]);
        let shown = match loaded {
            Ok(settings) => format!("{settings:?}"),
            Err(problems) => problems,
        };
        prop_assert!(!shown.contains(SECRET), "{shown}\n{text}");
    }
}

/// The keys of all single values.
fn keys() -> Vec<String> {
    let effective = load("site.toml", "", &[], &[]).unwrap().effective;
    effective.into_iter().map(|effective| effective.key).collect()
}
