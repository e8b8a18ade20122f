//! Warnings, and text that looks like a number.

use super::*;

const ID: &str = "2c28dd2cc444cb77578c4840b51e43a8";

/// The warnings about a file, by their keys.
pub(super) fn warned(text: &str) -> Vec<String> {
    let warnings = load("site.toml", text, &[], &[]).unwrap().warnings(now());
    let key = |warning: &Problem| {
        let warning = warning.to_string();
        let (origin, rest) = warning.split_once(": ").unwrap();
        assert!(origin.ends_with("site.toml") || origin == "default", "{warning}");
        rest.split(": ").next().unwrap_or_default().to_owned()
    };
    warnings.iter().map(key).collect()
}

#[test]
fn value_that_can_hardly_be_meant_is_warned_of() {
    assert_eq!(warned(""), [""; 0]);
    for (text, key) in [
        ("[webhook]\nmax_body_size = 64", "webhook.max_body_size"),
        ("[webhook]\nmax_body_size = \"2MiB\"", "webhook.max_body_size"),
        ("[webhook]\nbody_timeout = \"5ms\"", "webhook.body_timeout"),
        ("[webhook]\nbody_timeout = \"2m\"", "webhook.body_timeout"),
        ("[webhook]\nmax_connections_per_peer = 2000", "webhook.max_connections_per_peer"),
        ("[webhook]\ntrusted_proxies = \"10.0.0.0/8, ::/0\"", "webhook.trusted_proxies"),
        ("[webhook]\npath = \"/a/../webhook\"", "webhook.path"),
        ("[webhook]\npath = \"//webhook\"", "webhook.path"),
        ("[web]\ntelemetry_path = \"/./metrics\"", "web.telemetry_path"),
        ("[storage]\nretention = \"23h\"", "storage.retention"),
        ("[inputs]\nreconnect_window = \"2d\"", "inputs.reconnect_window"),
        ("[inputs]\nforget_after = \"59m\"", "inputs.forget_after"),
        ("[inputs]\nreorder_window = \"2h\"", "inputs.reorder_window"),
        ("[inputs]\nmax = 10_000_000", "inputs.max"),
    ] {
        assert_eq!(warned(text), [key], "{text}");
    }
    for text in [
        "[webhook]\nmax_body_size = \"4KiB\"",
        "[webhook]\npath = \"/hooks/webhook/\"",
        "[storage]\nretention = \"1d\"",
        "[inputs]\nforget_after = \"1h\"\nreconnect_window = \"0s\"",
    ] {
        assert_eq!(warned(text), [""; 0], "{text}");
    }
}

#[test]
fn window_in_the_past_and_repeated_name_are_warned_of() {
    let window = |from: &str, until: &str| format!("{{ from = {from}, until = {until}, grace_after = \"10m\" }}");
    let (past, now, future) = (
        window("2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"),
        window("2026-01-01T00:00:00Z", "2026-11-28T11:55:00Z"),
        window("2027-01-01T00:00:00Z", "2027-01-02T00:00:00Z"),
    );
    let input = |windows: &str| format!("[[inputs]]\nid = \"{ID}\"\nname = \"a\"\nexpected = [{windows}]\n");
    assert_eq!(
        warned(&input(&format!("{past}, {now}, {future}, {past}"))),
        [format!("inputs.{ID}.expected[0]"), format!("inputs.{ID}.expected[3]")]
    );
    let twice = format!("{}[[inputs]]\nid = \"{}\"\nname = \"a\"", input(&now), ID.replace('2', "3"));
    assert_eq!(warned(&twice).len(), 1);
}

#[test]
fn text_that_looks_like_a_number_is_kept() {
    let digits = "12345678901234567890123456789012";
    for name in ["007", "3.10", "1e3", "yes", "true", "0x10", "1_000", ".5", "'null'", "2026-12-24", "+1"] {
        let text = format!("inputs:\n  - {{id: {digits}, name: {name}}}");
        let settings = load("site.yaml", &text, &[], &[]).unwrap();
        let (id, input) = settings.inputs.configured.first_key_value().unwrap();
        assert_eq!((id.to_string().as_str(), input.name.as_ref()), (digits, name.trim_matches('\'')));
    }
    let toml = format!("[[inputs]]\nid = {digits}\nname = 3.10");
    let settings = load("site.toml", &toml, &[], &[]).unwrap();
    assert_eq!(settings.inputs.configured.values().next().unwrap().name.as_ref(), "3.10");
    for (file, text) in [("site.yaml", "inputs: [{id: 007, name: null}]"), ("site.yaml", "inputs: [{id: , name: ~}]")] {
        let problems = load(file, text, &[], &[]).unwrap_err();
        assert_problems(&problems, "site.yaml: inputs[0].id: …\nsite.yaml: inputs[0].name: …", text);
    }
    let yaml =
        "webhook: {secret_files: {007: 0815}, max_body_size: 65_536}\ninputs: {max: 10_000}\nweb: {compression: False}";
    let settings = load("site.yaml", yaml, &[], &[]).unwrap();
    assert_eq!(settings.webhook.secrets["007"], SecretSource::File(absolute("0815").unwrap()));
    assert_eq!(
        (settings.webhook.max_body_size, settings.inputs.max, settings.web.compression),
        (65_536, 10_000, false)
    );
}

#[test]
fn one_leading_byte_order_mark_of_the_file_is_skipped() {
    for (file, text) in [("site.toml", "\u{feff}[storage]\npath = \"x\""), ("site.yaml", "\u{feff}storage: {path: x}")]
    {
        assert_eq!(load(file, text, &[], &[]).unwrap().storage.path, absolute("x").unwrap(), "{file}");
    }
}

#[test]
fn durations_and_sizes_are_shown_in_words() {
    let text = "[webhook]\nmax_body_size = \"64kB\"\n[storage]\nretention = \"1h 30m\"";
    let settings = load("site.toml", text, &[], &[]).unwrap();
    let meaning = |key: &str| {
        let found = settings.effective.iter().find(|effective| effective.key == key);
        found.and_then(|effective| effective.meaning.clone()).unwrap_or_default()
    };
    for (key, words) in [
        ("webhook.max_body_size", "64000 bytes"),
        ("webhook.body_timeout", "10 seconds"),
        ("webhook.idle_timeout", "1 minute 15 seconds"),
        ("storage.retention", "1 hour 30 minutes"),
        ("inputs.reconnect_window", "1 minute"),
        ("inputs.forget_after", "0 seconds"),
        ("inputs.max", ""),
    ] {
        assert_eq!(meaning(key), words, "{key}");
    }
}

/// Every default with a unit is a duration or a size. The data folder means an absolute path.
#[test]
fn every_value_with_a_unit_has_a_meaning() {
    let effective = Settings::load(&Sources::default()).unwrap().effective;
    for Effective { key, value, meaning, .. } in effective {
        let has_unit = value.starts_with(|c: char| c.is_ascii_digit()) && value.ends_with(char::is_alphabetic);
        assert_eq!(meaning.is_some(), has_unit || key == "storage.path", "{key} = {value}");
    }
}
