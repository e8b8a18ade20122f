//! Configurations and the problems that are reported.
//!
//! Expected problems name origin, key and values; `…` stands for the words between them.

mod cloudflare;
mod properties;
mod secrets;
mod server;
mod warnings;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::fs;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, absolute};
use std::time::Duration;

use super::layers::environment_name;
use super::*;
use crate::event::Timestamp;

/// The sources: a file in a new folder, variables without their prefix, flags.
fn sources(folder: &Path, file: &str, text: &str, variables: &[(&str, &str)], flags: &[(&str, &str)]) -> Sources {
    let path = folder.join(file);
    fs::write(&path, text).unwrap();
    let variable = |(name, value): &(&str, &str)| (format!("STREAM_LIVE_EXPORTER__{name}").into(), value.into());
    let flag =
        |(key, value): &(&str, &str)| Flag { name: format!("--{key}"), key: (*key).into(), value: (*value).into() };
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

/// Whether the problems are these, line by line and no others.
fn assert_problems(problems: &str, expected: &str, text: &str) {
    let (lines, patterns): (Vec<_>, Vec<_>) = (problems.lines().collect(), expected.lines().collect());
    assert_eq!(lines.len(), patterns.len(), "{text}\n{problems}");
    for (line, pattern) in lines.iter().zip(patterns) {
        let rest = pattern.split('…').try_fold(*line, |rest, part| Some(rest.split_once(part.trim())?.1));
        let start = pattern.split('…').next().unwrap_or_default().trim();
        assert!(rest.is_some() && line.starts_with(start), "{text}\n{line}\n{pattern}");
    }
}

/// A bad file and its problems.
fn check(text: &str, expected: &str) {
    assert_problems(&load("site.toml", text, &[], &[]).unwrap_err(), expected, text);
}

#[test]
fn invalid_values_are_reported_with_what_was_expected() {
    check(
        "[webhook]\nlisten_address = \"everywhere\"",
        r#"site.toml: webhook.listen_address: … "everywhere" … HOST:PORT"#,
    );
    check("[web]\nlisten_address = \"::1:9000\"", r#"site.toml: web.listen_address: … "::1:9000" … [IPV6]:PORT"#);
    check("[web]\nlisten_address = []", "site.toml: web.listen_address: … HOST:PORT");
    check("[web]\nlisten_address = [\":1\", \"x\"]", r#"site.toml: web.listen_address: … "x" … HOST:PORT"#);
    check("[web]\nlisten_address = [[\":1\"]]", "site.toml: web.listen_address: must be a single value");
    check("[webhook]\npath = \"webhook\"", r#"site.toml: webhook.path: … "webhook" … / - . _ ~"#);
    check("[webhook]\npath = \"/-/healthy\"", "site.toml: webhook.path: /-/healthy …");
    check("[web]\ntelemetry_path = \"/\"", "site.toml: web.telemetry_path: / …");
    check("[web]\ntelemetry_path = \"/api/x\"", r#"site.toml: web.telemetry_path: "/api/x" …"#);
    for page in ["/inputs", "/inputs/metrics", "/unrecognized", "/actions/", "/updates"] {
        check(&format!("[web]\ntelemetry_path = {page:?}"), &format!("site.toml: web.telemetry_path: {page:?} …"));
    }
    check("[webhook]\nmax_body_size = \"big\"", r#"site.toml: webhook.max_body_size: … "big" … 64KiB"#);
    check("[webhook]\nmax_body_size = 0", "site.toml: webhook.max_body_size: … 0");
    check("[storage]\nretention = 90", r#"site.toml: storage.retention: … "90" … 90d"#);
    check("[storage]\nretention = \"101y\"", "site.toml: storage.retention: … 100 years");
    check("[webhook]\nqueue_size = 100001", "site.toml: webhook.queue_size: … 100000");
    check("[storage]\nretention = \"0s\"", "site.toml: storage.retention: … 0");
    check("[storage]\nretention = \"3m\"", "site.toml: storage.retention: … 1h … \"3m\" … 3 minutes");
    check("[storage]\nretention = \"59m 59s\"", "site.toml: storage.retention: … 1h …");
    check("[storage]\nretention = \"1M\"", "site.toml: storage.retention: … M … \"1M\" … m … d");
    check("[webhook]\nbody_timeout = \"1M 2s\"", "site.toml: webhook.body_timeout: … M …");
    check("[inputs]\nreconnect_window = \"1M\"", "site.toml: inputs.reconnect_window: … M …");
    check("[storage]\npath = \"\"", "site.toml: storage.path: …");
    check("[storage]\nspool_max = 0", "site.toml: storage.spool_max: … 0");
    for name in ["", "Public", "a-b", "1a", "a b", "a\"", "pg_x", "information_schema", &"a".repeat(64)] {
        check(&format!("[storage]\nschema = '{name}'"), &format!("site.toml: storage.schema: … {name:?} … 63 …"));
    }
    check("[inputs]\nmax = \"many\"", r#"site.toml: inputs.max: … "many""#);
    check("[inputs]\nmax = [1]", "site.toml: inputs.max: …");
    check("[web]\ncreated_samples = \"yes please\"", r#"site.toml: web.created_samples: … "yes please""#);
    check("[log]\nlevel = \"loud\"", r#"site.toml: log.level: … "loud" … error, warn, info, debug … trace"#);
    check("[log]\nformat = \"xml\"", r#"site.toml: log.format: … "xml" … auto, logfmt … json"#);
}

#[test]
fn unknown_keys_are_reported() {
    check("[webhook]\nadress = \"x\"", "site.toml: webhook.adress: unknown key");
    check(
        "[webhook]\nlisten-address = \":1\"",
        "site.toml: webhook.listen-address: unknown key … webhook.listen_address",
    );
    check("webhook = 5", "site.toml: webhook: unknown key");
    check("\"a[99999999999999]\" = 1", "site.toml: a[99999999999999]: unknown key");
    check("[\"\".log]\nlevel = \"info\"", "site.toml: .log.level: unknown key");
    check("[web.tls]\ncert = \"x\"", "site.toml: web.tls.cert: unknown key");
}

#[test]
fn every_problem_of_every_input_is_reported() {
    check("inputs = 5", "site.toml: inputs: unknown key");
    check(
        "[[inputs]]\nid = \"main\"\nname = \"Main\"\n[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nnmae = \"x\"",
        "site.toml: inputs[0].id: … 32 … \"main\"\n\
         site.toml: inputs[1].name: …\n\
         site.toml: inputs[1].nmae: unknown key",
    );
    check(
        "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\nexpected = \"sometimes\"",
        "site.toml: inputs[0].expected: … \"sometimes\" … always, never",
    );
    let twice = "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\n".repeat(2);
    check(&twice, "site.toml: inputs[1].id: 2c28dd2cc444cb77578c4840b51e43a8 …");
    check(
        "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\\nb\"",
        "site.toml: inputs[0].name: … 200 …",
    );
    let two = "[inputs]\nmax = 1\n[[inputs.list]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\n\
               [[inputs.list]]\nid = \"eb222fcca08eeb1ae84c981ebe8aeeb6\"\nname = \"b\"";
    check(two, "configuration: inputs.list: … 2 … inputs.max … 1");
}

#[test]
fn every_problem_of_every_window_is_reported() {
    let windows = |windows: &str, problems: &str| {
        let input = "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"a\"\nexpected = ";
        let problems: Vec<String> = problems
            .split('\n')
            .map(|problem| format!("site.toml: inputs[0].expected{}", problem.trim_start()))
            .collect();
        check(&format!("{input}{windows}"), &problems.join("\n"));
    };
    windows("[]", ": … always, never");
    windows("{ days = [\"mon\"] }", ": … always, never");
    windows("[5]", "[0]: … days, from, to … time_zone … from … until");
    windows(
        r#"[{ days = ["mon"], from = "25:00", to = "9", time_zone = "London", grace_before = "soon", zone = "x" }]"#,
        r#"[0].grace_before: … "soon" … 90d
           [0].from: … "25:00" … HH:MM
           [0].to: … "9" … HH:MM
           [0].time_zone: … "London" … Europe/London
           [0].zone: unknown key"#,
    );
    let good = r#"{ days = ["mon", "Sunday"], from = "22:00", to = "24:00", time_zone = "UTC" }"#;
    windows(
        &format!(r#"[{good}, {{ days = [], from = "10:00", to = "12:00" }}, {{ days = ["payday"], to = "12:00" }}]"#),
        r#"[1].days: … ["mon", "fri"]
           [1].time_zone: …
           [2].days: … "payday" … mon, tue, wed, thu, fri, sat … sun
           [2].from: …
           [2].time_zone: …"#,
    );
    windows(
        r#"[{ from = "2026-12-24", until = 2026-12-24T18:00:00 }, { from = "2026-12-24T18:00:00Z" }]"#,
        r#"[0].from: … RFC 3339 … "2026-12-24" … 2026-12-24T18:00:00+01:00
           [0].until: … RFC 3339 … "2026-12-24T18:00:00" … 2026-12-24T18:00:00+01:00
           [1].until: …"#,
    );
    windows(
        r#"[{ days = [" mon"], from = "10:00", to = "12:00", time_zone = "UTC" }]"#,
        r#"[0].days: … " mon" … mon, tue, wed, thu, fri, sat … sun"#,
    );
    windows(r#"[{ from = 2026-12-24T18:00:00Z, until = 2026-12-24T18:00:00+01:00 }]"#, "[0]: …");
    windows(
        r#"[{ days = ["mon"], from = "10:00", to = "11:00", time_zone = "UTC", grace_before = "-30m", grace_after = "-30m" },
            { days = ["mon"], from = "10:00", to = "11:00", time_zone = "UTC", grace_after = "13h" }]"#,
        "[0]: …\n[1]: … 12 hours",
    );
}

#[test]
fn addresses_are_a_list_in_every_layer() {
    const KEY: &str = "WEB__LISTEN_ADDRESS";
    for (file, text, variables, flags) in [
        ("site.toml", "[web]\nlisten_address = [\"127.0.0.1:1\", \"[::1]:2\"]", &[][..], &[][..]),
        ("site.yml", "web: {listen_address: [127.0.0.1:1, '[::1]:2']}", &[], &[]),
        ("site.toml", "[web]\nlisten_address = \":3\"", &[(KEY, "127.0.0.1:1,[::1]:2")], &[]),
        ("site.toml", "", &[(KEY, ":3")], &[("web.listen_address", "127.0.0.1:1, [::1]:2,")]),
    ] {
        let addresses = load(file, text, variables, flags).unwrap().web.listen_addresses;
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        assert_eq!(addresses, ["127.0.0.1:1", "[::1]:2"], "{text} {variables:?} {flags:?}");
    }
}

#[test]
fn effective_configuration_has_one_entry_per_window() {
    let text = r#"
        [[inputs]]
        id = "2c28dd2cc444cb77578c4840b51e43a8"
        name = "a"
        [[inputs.expected]]
        days = ["Saturday", "SUN"]
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
fn unreadable_file_is_reported_without_quoting_it() {
    check("[webhook\nx = 1", "site.toml: … line 1, column 9 …");
    check("[webhook.secrets]\na = \"hunter2", "site.toml: … line 2, column 13 …");
    let check = |text: &str, expected: &str| {
        let problems = load("site.yaml", text, &[], &[]).unwrap_err();
        assert_problems(&problems, &format!("site.yaml: {expected}"), text);
        assert!(!problems.contains("hunter2"), "{problems}");
    };
    for text in ["hunter2", "- hunter2", "{{ hunter2 }}: 1", "webhook: {secrets: {a: {{ hunter2 }} }}", "--- 1\n--- 2"]
    {
        check(text, "…");
    }
    check("a: 1\nb: 2\na: hunter2", "line 3 column 4: …");
    check("a: \"hunter2", "line 1 column 4: …");
    assert_problems(&load("site.conf", "", &[], &[]).unwrap_err(), "site.conf: … .toml, .yaml … .yml", "");
    let missing = Sources { file: Some("/nowhere/site.toml".into()), ..Sources::default() };
    let problems = Settings::load(&missing).unwrap_err().to_string();
    assert_problems(&problems, "/nowhere/site.toml: … (os error 2)", "");
}

#[test]
fn problems_of_all_layers_are_reported_at_once_with_their_origin() {
    let problems = load(
        "site.yaml",
        "webhook:\n  path: nope\nlog:\n  lvel: info\n",
        &[("STORAGE__RETENTION", "long"), ("WEBHOK__PATH", "/x")],
        &[("inputs.forget_after", "soon")],
    );
    assert_problems(
        &problems.unwrap_err(),
        "site.yaml: webhook.path: … \"nope\" …\n\
         STREAM_LIVE_EXPORTER__STORAGE__RETENTION: storage.retention: … \"long\" …\n\
         --inputs.forget_after: inputs.forget_after: … \"soon\" …\n\
         site.yaml: log.lvel: …\n\
         STREAM_LIVE_EXPORTER__WEBHOK__PATH: webhok.path: …",
        "",
    );
}

#[test]
fn variable_that_is_not_utf8_is_reported_without_its_value() {
    let name = "STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__A";
    let environment = vec![(OsString::from(name), OsString::from_vec(b"hunter2\xff".to_vec()))];
    let loaded = Settings::load(&Sources { environment, ..Sources::default() });
    assert_problems(&loaded.unwrap_err().to_string(), &format!("{name}: … UTF-8"), "");
}

#[test]
fn later_layer_overrides_earlier_one() {
    let path = |variables: &[_], flags: &[_]| {
        load("site.toml", "[storage]\npath = \"file\"", variables, flags).unwrap().storage.path
    };
    assert_eq!(load("site.toml", "", &[], &[]).unwrap().storage.path, absolute("data").unwrap());
    assert_eq!(path(&[], &[]), absolute("file").unwrap());
    assert_eq!(path(&[("STORAGE__PATH", "variable")], &[]), absolute("variable").unwrap());
    assert_eq!(path(&[("STORAGE__PATH", "variable")], &[("storage.path", "flag")]), absolute("flag").unwrap());
}

#[test]
fn configuration_file_can_be_given_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let mut sources = sources(folder.path(), "site.toml", "[storage]\npath = \"file\"", &[], &[]);
    let file = sources.file.take().unwrap();
    sources.environment.push(("STREAM_LIVE_EXPORTER__CONFIG__FILE".into(), file.into()));
    assert_eq!(Settings::load(&sources).unwrap().storage.path, absolute("file").unwrap());
}

#[test]
fn inputs_from_a_file_combine_with_limits_from_other_layers() {
    let text = "[[inputs]]\nid = \"2c28dd2cc444cb77578c4840b51e43a8\"\nname = \"Main stage\"";
    let settings = load("site.toml", text, &[("INPUTS__MAX", "7")], &[("inputs.reconnect_window", "1m 30s")]).unwrap();
    assert_eq!((settings.inputs.max, settings.inputs.reconnect_window), (7, Duration::from_secs(90)));
    assert_eq!(
        settings.inputs.configured.values().map(|input| input.name.as_ref()).collect::<Vec<_>>(),
        ["Main stage"]
    );
}

fn now() -> Timestamp {
    "2026-11-28T12:00:00Z".parse().unwrap()
}

#[test]
fn only_keys_that_are_not_reloadable_need_a_restart() {
    let variables = [("WEBHOOK__PATH", "/x"), ("WEBHOOK__BODY_TIMEOUT", "1s"), ("WEBHOOK__SECRETS__A", "hunter2")];
    let (old, new) = (load("site.toml", "", &[], &[]).unwrap(), load("site.toml", "", &variables, &[]).unwrap());
    assert_eq!(old.needs_restart(&new), ["webhook.path"]);
    assert_eq!(new.needs_restart(&old), ["webhook.path"]);
}

#[test]
fn keys_that_need_a_restart_keep_their_values_after_a_reload() {
    let variables = [("WEBHOOK__PATH", "/x"), ("WEBHOOK__BODY_TIMEOUT", "1s"), ("WEBHOOK__SECRETS__A", "hunter2")];
    let (old, new) = (load("site.toml", "", &[], &[]).unwrap(), load("site.toml", "", &variables, &[]).unwrap());
    let value = |key: &str| {
        let mut in_force = new.in_force(&old);
        in_force.find(|effective| effective.key == key).map(|effective| effective.value.as_str())
    };
    let keys = ["webhook.path", "webhook.body_timeout", "webhook.secrets.a"];
    assert_eq!(keys.map(value), ["/webhook", "1s", "<secret>"].map(Some));
    assert_eq!(new.in_force(&old).count(), new.effective.len());
}

#[test]
fn grafana_url_is_a_base_url_or_empty() {
    let url = |text: &str| Ok::<_, String>(load("site.toml", "", &[("WEB__GRAFANA_URL", text)], &[])?.web.grafana_url);
    assert_eq!(url(""), Ok(None));
    assert_eq!(url("https://grafana.example.com/sub/"), Ok(Some("https://grafana.example.com/sub".to_owned())));
    for invalid in ["grafana", "javascript:alert(1)", "https://a.example/?orgId=1", "https://a.example/#x"] {
        assert!(url(invalid).is_err(), "{invalid}");
    }
    let problem = url("https://me:hunter2@a.example").unwrap_err();
    assert!(!problem.contains("hunter2"), "{problem}");
}

#[test]
fn every_key_has_a_default_and_can_be_set_by_a_variable() {
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

/// Keys whose values are tables, which are shown one by one.
const LISTS: [&str; 2] = ["inputs.list", "cloudflare.accounts"];

#[test]
fn default_file_marks_the_keys_that_a_reload_applies() {
    let effective = Settings::load(&Sources::default()).unwrap().effective;
    let (mut table, mut comment) = ("", String::new());
    let mut marked = Vec::new();
    for line in DEFAULT.lines() {
        if let Some(text) = line.strip_prefix('#') {
            comment.push_str(text);
        } else if let Some(name) = line.strip_prefix('[') {
            table = name.trim_end_matches(']');
        } else if let Some((key, _)) = line.split_once(" = ") {
            marked.extend(comment.contains("(reload)").then(|| format!("{table}.{key}")));
        }
        if !line.starts_with('#') {
            comment.clear();
        }
    }
    let reloadable = effective.into_iter().filter(|effective| effective.reloadable).map(|effective| effective.key);
    assert_eq!(
        marked.iter().filter(|key| !LISTS.contains(&key.as_str())).cloned().collect::<BTreeSet<_>>(),
        reloadable.collect()
    );
}
