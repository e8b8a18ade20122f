//! Configurations and what is said about them, through one `check`.

mod properties;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::{fs, path::Path};

use super::*;

/// The sources: a file in a new folder, variables without their prefix, flags.
fn sources(folder: &Path, file: &str, text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let path = folder.join(file);
    fs::write(&path, text).unwrap();
    let variable = |(name, value): &(&str, &str)| (format!("STREAM_LIVE_EXPORTER__{name}").into(), value.into());
    let flag = |(key, value): &(&str, &str)| Flag { key: (*key).into(), value: (*value).into() };
    Sources {
        file: Some(path),
        environment: variables.iter().map(variable).collect(),
        flags: flags.iter().map(flag).collect(),
    }
}

fn load(file: &str, text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Result<Settings, String> {
    let folder = tempfile::tempdir().unwrap();
    let loaded = Settings::load(&sources(folder.path(), file, text, variables, flags));
    loaded.map_err(|invalid| invalid.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

fn load_secrets(settings: &Settings) -> Result<Secrets, InvalidConfig> {
    Secrets::load(&settings.webhook.secrets, &settings.storage.path)
}

/// A bad file, and exactly what is said about it, line by line.
fn check(text: &str, expected: &str) {
    assert_eq!(load("site.toml", text, &[], &[]).unwrap_err(), expected, "{text}");
}

#[test]
fn bad_values_say_what_was_expected() {
    check(
        "[webhook]\nlisten_address = \"everywhere\"",
        r#"site.toml: webhook.listen_address: not an address: "everywhere" (expected HOST:PORT, [IPV6]:PORT or :PORT)"#,
    );
    check(
        "[web]\nlisten_address = \"::1:9000\"",
        r#"site.toml: web.listen_address: not an address: "::1:9000" (expected HOST:PORT, [IPV6]:PORT or :PORT)"#,
    );
    check(
        "[webhook]\npath = \"webhook\"",
        r#"site.toml: webhook.path: not a path: "webhook" (expected a slash, then letters, digits and / - . _ ~)"#,
    );
    check("[webhook]\npath = \"/-/healthy\"", "site.toml: webhook.path: /-/healthy is taken by the health check");
    check("[web]\ntelemetry_path = \"/\"", "site.toml: web.telemetry_path: / is taken by the landing page");
    check("[web]\ntelemetry_path = \"/api/x\"", r#"site.toml: web.telemetry_path: "/api/x" is taken by the API"#);
    check(
        "[webhook]\nmax_body_size = \"big\"",
        r#"site.toml: webhook.max_body_size: not a size: "big" (expected for example 64KiB)"#,
    );
    check("[webhook]\nmax_body_size = 0", "site.toml: webhook.max_body_size: must be more than 0");
    check(
        "[storage]\nretention = 90",
        r#"site.toml: storage.retention: not a duration: "90" (expected for example 500ms, 60s or 90d)"#,
    );
    check("[storage]\nretention = \"101y\"", "site.toml: storage.retention: must be at most 100 years");
    check("[webhook]\nqueue_size = 100001", "site.toml: webhook.queue_size: must be at most 100000");
    check("[storage]\nretention = \"0s\"", "site.toml: storage.retention: must be more than 0");
    check("[storage]\npath = \"\"", "site.toml: storage.path: must not be empty");
    check("[inputs]\nmax = \"many\"", r#"site.toml: inputs.max: not a whole number: "many""#);
    check("[inputs]\nmax = [1]", "site.toml: inputs.max: must be a single value");
    check(
        "[web]\ncreated_samples = \"yes please\"",
        r#"site.toml: web.created_samples: neither true nor false: "yes please""#,
    );
    check(
        "[log]\nlevel = \"loud\"",
        r#"site.toml: log.level: not a level: "loud" (expected error, warn, info, debug or trace)"#,
    );
    check("[log]\nformat = \"xml\"", r#"site.toml: log.format: not a format: "xml" (expected auto, logfmt or json)"#);
}

#[test]
fn unknown_keys_are_named() {
    check("[webhook]\nadress = \"x\"", "site.toml: webhook.adress: unknown key");
    check("webhook = 5", "site.toml: webhook: unknown key");
    check("\"a[99999999999999]\" = 1", "site.toml: a[99999999999999]: unknown key");
    check("[\"\".log]\nlevel = \"info\"", "site.toml: .log.level: unknown key");
    check("[web.tls]\ncert = \"x\"", "site.toml: web.tls.cert: unknown key");
}

#[test]
fn inputs_are_checked_one_by_one() {
    check("inputs = 5", "site.toml: inputs: unknown key");
    check(
        "[[inputs]]\nid = \"main\"\nname = \"Main\"\n[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nnmae = \"x\"",
        "site.toml: inputs[0].id: not an input id: expected 32 hexadecimal digits, not \"main\"\n\
         site.toml: inputs[1].name: is missing\n\
         site.toml: inputs[1].nmae: unknown key",
    );
    check(
        "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\nexpected = \"sometimes\"",
        "site.toml: inputs[0].expected: not an expectation: \"sometimes\" (expected always, never or a list of windows)",
    );
    let twice = "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\n".repeat(2);
    check(&twice, "site.toml: inputs[1].id: 2c28dd2cc444cb77578c4840b51e43a8 is listed twice");
    check(
        "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\\nb\"",
        "site.toml: inputs[0].name: must be at most 200 characters and no control characters",
    );
    let two = "[inputs]\nmax = 1\n[[inputs.list]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\n\
               [[inputs.list]]\nid = \"eb222fcca08eeb1ae84c981ebe8aeeb6\"\nname = \"b\"";
    check(two, "configuration: inputs.list: lists 2 inputs, but inputs.max is 1");
}

#[test]
fn windows_are_checked_one_by_one() {
    let windows = |windows: &str, problems: &str| {
        let input = "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\nexpected = ";
        let problems: Vec<String> = problems
            .split('\n')
            .map(|problem| format!("site.toml: inputs[0].expected{}", problem.trim_start()))
            .collect();
        check(&format!("{input}{windows}"), &problems.join("\n"));
    };
    windows("[]", ": lists no windows (expected always, never or a list of windows)");
    windows("{ days = [\"mon\"] }", ": not an expectation (expected always, never or a list of windows)");
    windows("[5]", "[0]: not a window (expected days, from, to and time_zone, or from and until)");
    windows(
        r#"[{ days = ["mon"], from = "25:00", to = "9", time_zone = "London", grace_before = "soon", zone = "x" }]"#,
        r#"[0].grace_before: not a duration: "soon" (expected for example 500ms, 60s or 90d)
           [0].from: not a time of day: "25:00" (expected HH:MM, for example 09:30)
           [0].to: not a time of day: "9" (expected HH:MM, for example 09:30)
           [0].time_zone: not a time zone: "London" (expected an IANA name, for example Europe/London)
           [0].zone: unknown key"#,
    );
    let good = r#"{ days = ["mon", "Sunday"], from = "22:00", to = "24:00", time_zone = "UTC" }"#;
    windows(
        &format!(r#"[{good}, {{ days = [], from = "10:00", to = "12:00" }}, {{ days = ["payday"], to = "12:00" }}]"#),
        r#"[1].days: must be a list of days, for example ["mon", "fri"]
           [1].time_zone: is missing
           [2].days: not a day: "payday" (expected mon, tue, wed, thu, fri, sat or sun)
           [2].from: is missing
           [2].time_zone: is missing"#,
    );
    windows(
        r#"[{ from = "2026-12-24", until = 2026-12-24T18:00:00 }, { from = "2026-12-24T18:00:00Z" }]"#,
        r#"[0].from: not an RFC 3339 instant since 1970: "2026-12-24" (expected for example 2026-12-24T18:00:00+01:00)
           [0].until: not an RFC 3339 instant since 1970: "2026-12-24T18:00:00" (expected for example 2026-12-24T18:00:00+01:00)
           [1].until: is missing"#,
    );
    windows(r#"[{ from = 2026-12-24T18:00:00Z, until = 2026-12-24T18:00:00+01:00 }]"#, "[0]: ends before it begins");
    windows(
        r#"[{ days = ["mon"], from = "10:00", to = "11:00", time_zone = "UTC", grace_before = "-30m", grace_after = "-30m" },
            { days = ["mon"], from = "10:00", to = "11:00", time_zone = "UTC", grace_after = "13h" }]"#,
        "[0]: is never open: its graces leave nothing of it\n[1]: has a grace of more than 12 hours",
    );
}

#[test]
fn windows_are_shown_as_they_are_understood() {
    let text = r#"
        [[inputs]]
        id = "2c28dd2cc444cb77578c4840b51e43a8"
        name = "a"
        [[inputs.expected]]
        days = ["saturday", "sun"]
        from = "10:00"
        to = "24:00"
        time_zone = "Europe/London"
        grace_before = "-1m 30s"
        [[inputs.expected]]
        from = 2026-12-24T18:00:00+01:00
        until = "2026-12-24T20:00:00+01:00"
        grace_after = "10m""#;
    let settings = load("site.toml", text, &[], &[]).unwrap();
    let shown = settings.effective.iter().filter(|effective| effective.key.contains(".expected"));
    let shown: Vec<String> = shown.map(|effective| format!("{} {}", effective.key, effective.value)).collect();
    assert_eq!(
        shown,
        [
            "inputs.2c28dd2cc444cb77578c4840b51e43a8.expected[0] sat,sun 10:00-00:00 Europe/London, before -1m 30s",
            "inputs.2c28dd2cc444cb77578c4840b51e43a8.expected[1] \
             2026-12-24T17:00:00Z to 2026-12-24T19:00:00Z, after 10m",
        ]
    );
}

#[test]
fn secrets_belong_in_files_or_the_environment() {
    check(
        "[webhook.secrets]\ncloudflare = \"hunter2\"",
        "site.toml: webhook.secrets.cloudflare: a secret by value may come from the environment only",
    );
    check(
        "[webhook.secret_files]\n\"Two Words\" = \"x\"",
        "site.toml: webhook.secret_files.Two Words: not a secret's name: expected up to 64 lower-case letters, digits, - and _",
    );
    let both = load("site.toml", "[webhook.secret_files]\na = \"x\"", &[("WEBHOOK__SECRETS__A", "hunter2")], &[]);
    assert_eq!(
        both.unwrap_err(),
        "STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__A: webhook.secrets.a: webhook.secret_files has a secret named a too"
    );
}

#[test]
fn files_that_cannot_be_read_are_named_and_not_quoted() {
    check("[webhook\nx = 1", "site.toml: TOML parse error at line 1, column 9: unclosed table, expected `]`");
    check(
        "[webhook.secrets]\na = \"hunter2",
        "site.toml: TOML parse error at line 2, column 13: invalid basic string, expected `\"`",
    );
    let check = |text: &str, expected: &str| {
        assert_eq!(load("site.yaml", text, &[], &[]).unwrap_err(), format!("site.yaml: {expected}"), "{text}");
    };
    for text in ["hunter2", "- hunter2", "{{ hunter2 }}: 1", "webhook: {secrets: {a: {{ hunter2 }} }}", "--- 1\n--- 2"]
    {
        check(text, "not one table of keys with values");
    }
    check("a: 1\nb: 2\na: hunter2", "duplicated key in mapping at byte 13 line 3 column 4");
    check("a: \"hunter2", "while scanning a quoted scalar, found unexpected end of stream at byte 3 line 1 column 4");
    assert_eq!(
        load("site.conf", "", &[], &[]).unwrap_err(),
        "site.conf: not a configuration file: expected .toml, .yaml or .yml"
    );
    let missing = Sources { file: Some("/nowhere/site.toml".into()), ..Sources::default() };
    assert_eq!(
        Settings::load(&missing).unwrap_err().to_string(),
        "/nowhere/site.toml: cannot be read: No such file or directory (os error 2)"
    );
}

#[test]
fn every_layer_names_its_problems_by_its_own_words_and_all_at_once() {
    let problems = load(
        "site.yaml",
        "webhook:\n  path: nope\nlog:\n  lvel: info\n",
        &[("STORAGE__RETENTION", "long"), ("WEBHOK__PATH", "/x")],
        &[("inputs.forget_after", "soon")],
    );
    assert_eq!(
        problems.unwrap_err(),
        "site.yaml: webhook.path: not a path: \"nope\" (expected a slash, then letters, digits and / - . _ ~)\n\
         STREAM_LIVE_EXPORTER__STORAGE__RETENTION: storage.retention: not a duration: \"long\" (expected for example 500ms, 60s or 90d)\n\
         --inputs.forget-after: inputs.forget_after: not a duration: \"soon\" (expected for example 500ms, 60s or 90d)\n\
         site.yaml: log.lvel: unknown key\n\
         STREAM_LIVE_EXPORTER__WEBHOK__PATH: webhok.path: unknown key"
    );
}

#[test]
fn a_variable_that_is_not_utf8_is_named_and_not_shown() {
    let name = "STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__A";
    let environment = vec![(OsString::from(name), OsString::from_vec(b"hunter2\xff".to_vec()))];
    let loaded = Settings::load(&Sources { environment, ..Sources::default() });
    assert_eq!(loaded.unwrap_err().to_string(), format!("{name}: is not UTF-8"));
}

#[test]
fn the_later_layer_wins() {
    let path = |variables: &[_], flags: &[_]| {
        load("site.toml", "[storage]\npath = \"file\"", variables, flags).unwrap().storage.path
    };
    assert_eq!(load("site.toml", "", &[], &[]).unwrap().storage.path, Path::new("data"));
    assert_eq!(path(&[], &[]), Path::new("file"));
    assert_eq!(path(&[("STORAGE__PATH", "variable")], &[]), Path::new("variable"));
    assert_eq!(path(&[("STORAGE__PATH", "variable")], &[("storage.path", "flag")]), Path::new("flag"));
}

#[test]
fn the_file_may_be_named_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = sources(folder.path(), "site.toml", "[storage]\npath = \"file\"", &[], &[]);
    let file = sources.file.take().unwrap();
    sources.environment.push(("STREAM_LIVE_EXPORTER__CONFIG__FILE".into(), file.into()));
    assert_eq!(Settings::load(&sources).unwrap().storage.path, Path::new("file"));
}

#[test]
fn inputs_in_a_file_and_limits_elsewhere_go_together() {
    let text = "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"Main stage\"";
    let settings = load("site.toml", text, &[("INPUTS__MAX", "7")], &[("inputs.reconnect_window", "1m 30s")]).unwrap();
    assert_eq!((settings.inputs.max, settings.inputs.reconnect_window), (7, Duration::from_secs(90)));
    assert_eq!(
        settings.inputs.configured.values().map(|input| input.name.as_ref()).collect::<Vec<_>>(),
        ["Main stage"]
    );
}

#[test]
fn secrets_stay_what_they_are_and_are_never_shown() {
    let variables = [("WEBHOOK__SECRETS__CLOUDFLARE", "0012e5")];
    let settings = load("site.toml", "", &variables, &[]).unwrap();
    let secrets = load_secrets(&settings).unwrap();
    assert_eq!(secrets.named[0].1.expose(), "0012e5");
    assert!(!format!("{settings:?} {secrets:?}").contains("0012e5"));
}

#[test]
fn secret_files_hold_one_line() {
    let folder = tempfile::tempdir().unwrap();
    let read = |content: &[u8]| {
        let file = folder.path().join("secret");
        fs::write(&file, content).unwrap();
        let flag = ("webhook.secret_files.a", file.to_str().unwrap());
        let secrets = load_secrets(&load("site.toml", "", &[], &[flag]).unwrap());
        let secrets = secrets.map(|secrets| secrets.named[0].1.expose().to_owned());
        secrets.map_err(|invalid| invalid.to_string().replace(&format!("{}: ", file.display()), ""))
    };
    assert_eq!(read(b"s3cret\r\n"), Ok("s3cret".into()));
    assert_eq!(read(b" spaces count \n"), Ok(" spaces count ".into()));
    assert_eq!(read(b"\n"), Err("holds no secret".into()));
    assert_eq!(read(b"a\nb"), Err("the secret has control characters: expected one line".into()));
    assert_eq!(read(b"\xff"), Err("the secret is not UTF-8".into()));
}

#[test]
fn without_a_secret_one_is_made_for_its_owner_alone_and_kept() {
    let folder = tempfile::tempdir().unwrap();
    let settings = load("site.toml", "", &[], &[("storage.path", folder.path().to_str().unwrap())]).unwrap();
    let made = load_secrets(&settings).unwrap();
    let file = folder.path().join("webhook-secret");
    assert_eq!((made.named[0].0.as_str(), made.named[0].1.expose().len()), ("default", 64));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(made.own_file.as_deref(), Some(file.as_path()));
    assert_eq!(load_secrets(&settings).unwrap(), made);
}

#[test]
fn a_secret_that_is_made_takes_the_place_of_no_other_file() {
    let folder = tempfile::tempdir().unwrap();
    let settings = load("site.toml", "", &[], &[("storage.path", folder.path().to_str().unwrap())]).unwrap();
    let named = ["webhook-secret.new", "webhook-secret.old", "webhook-secret-2"];
    named.iter().for_each(|name| fs::write(folder.path().join(name), "Cloudflare's\n").unwrap());
    // A start that was cut off has left it, or somebody who wants to read ours.
    let elsewhere = folder.path().join("elsewhere");
    symlink(&elsewhere, folder.path().join(".webhook-secret.unfinished")).unwrap();
    load_secrets(&settings).unwrap();
    for name in named {
        assert_eq!(fs::read_to_string(folder.path().join(name)).unwrap(), "Cloudflare's\n", "{name}");
    }
    assert!(!elsewhere.exists());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 4);
}

#[test]
fn every_key_has_a_default_and_every_spelling() {
    let settings = Settings::load(&Sources::default()).unwrap();
    assert!(settings.effective.iter().all(|effective| effective.origin == "default"));
    for Effective { key, value, .. } in settings.effective {
        let name = environment_name(&key);
        let environment = vec![(name.clone().into(), value.clone().into())];
        let loaded = Settings::load(&Sources { environment, ..Sources::default() }).unwrap();
        let found = loaded.effective.into_iter().find(|effective| effective.key == key).unwrap();
        assert_eq!((found.value, found.origin), (value, name));
    }
}
