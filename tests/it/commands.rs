//! The commands other than `serve`.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use stream_live_exporter::config::DEFAULT;

use crate::daemon::{Daemon, Ran, command, fixture, notification, on_day, path_in, ran, run, yesterday};

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";

/// The result of a successful command.
fn success(stdout: &str) -> Ran {
    Ran { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() }
}

/// Checks that a command failed, and that every line on standard error begins with the program's
/// name, then with the start given here, and contains the other parts.
fn assert_failed(failed: &Ran, lines: &[&[&str]]) {
    assert_eq!((failed.code, failed.stdout.as_str()), (Some(1), ""), "{}", failed.stderr);
    assert_eq!(failed.stderr.lines().count(), lines.len(), "{}", failed.stderr);
    for (line, parts) in failed.stderr.lines().zip(lines) {
        let line = line.strip_prefix("stream-live-exporter: ").expect("the program's name");
        assert!(line.starts_with(parts[0]) && parts.iter().all(|part| line.contains(part)), "{line}\n{parts:?}");
    }
}

fn binary(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder);
    command
}

#[test]
fn check_config_prints_every_default_and_creates_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let flags = ["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"];
    let checked = run(folder.path(), &[&["check-config"], &flags[..]].concat());
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    // With the default addresses, which other programs of this machine may use.
    let Ran { code, stdout, stderr } = run(folder.path(), &["check-config", "--syntax-only"]);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    let assignments = stdout.lines().map(|line| line.split_once("# default").expect("the origin").0.trim_end());
    let printed: BTreeSet<String> = assignments.map(|assignment| assignment.replace('"', "")).collect();
    let mut table = "";
    let mut defaults = BTreeSet::new();
    for line in DEFAULT.lines().filter(|line| !line.starts_with('#') && !line.is_empty() && !line.ends_with(" = []")) {
        match line.strip_prefix('[') {
            Some(name) => table = name.trim_end_matches(']'),
            None => _ = defaults.insert(format!("{table}.{line}").replace('"', "")),
        }
    }
    assert_eq!(printed, defaults);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn check_config_prints_the_origin_of_each_value_and_masks_secrets() {
    let checked = ran(binary(Path::new(CHECKOUT))
        .args(["--config.file=config/example.toml", "check-config", "--syntax-only", "--inputs.max=7"])
        .env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__X", "hunter2-hunter2-hunter2")
        .env("STREAM_LIVE_EXPORTER__WEB__CREATED_SAMPLES", "true"));
    assert_eq!((checked.code, checked.stderr.as_str()), (Some(0), ""));
    let assignments = checked.stdout.lines().take_while(|line| !line.is_empty());
    let lines: Vec<_> = assignments.map(|line| line.split_once("  #").expect("an origin")).collect();
    let lines: Vec<_> = lines.iter().map(|(line, origin)| format!("{} #{origin}", line.trim_end())).collect();
    for expected in [
        r#"webhook.listen_address = "127.0.0.1:10418" # config/example.toml"#,
        r#"webhook.path = "/webhook" # default"#,
        r#"webhook.secret_files.current = "/etc/stream-live-exporter/webhook-secret" # config/example.toml"#,
        r#"webhook.secrets.x = "<secret>" # STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__X"#,
        r#"web.created_samples = "true" # STREAM_LIVE_EXPORTER__WEB__CREATED_SAMPLES"#,
        r#"storage.retention = "1y" # config/example.toml: 365 days 6 hours"#,
        r#"inputs.max = "7" # --inputs.max"#,
        r#"inputs.2c28dd2cc444cb77578c4840b51e43a8.name = "Main stage" # config/example.toml"#,
        r#"inputs.2c28dd2cc444cb77578c4840b51e43a8.expected = "always" # config/example.toml"#,
        r#"inputs.eb222fcca08eeb1ae84c981ebe8aeeb6.expected[1] = "wed 18:00-19:00 Europe/London, before 10m" # config/example.toml"#,
    ] {
        assert!(lines.iter().any(|line| line == expected), "no {expected} in\n{}", checked.stdout);
    }
    assert!(!checked.stdout.contains("hunter2"), "{}", checked.stdout);
}

#[test]
fn every_command_reports_all_problems_of_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = "[webhook]\npath = \"webhook\"\n\n[webhook.secrets]\nplain = \"hunter2\"\n\n[web]\nport = 1\n";
    fs::write(folder.path().join("bad.toml"), configuration).unwrap();
    let problems: [&[&str]; 6] = [
        &["bad.toml: webhook.path: ", "\"webhook\""],
        &["STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT: webhook.body_timeout: ", "0"],
        &["STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__EMPTY: webhook.secrets.empty: "],
        &["bad.toml: webhook.secrets.plain: "],
        &["--storage.retention: storage.retention: ", "\"long\"", "90d"],
        &["bad.toml: web.port: "],
    ];
    for command in [&["check-config"][..], &["check-config", "--syntax-only"], &["serve"], &[]] {
        let failed = ran(binary(folder.path())
            .args(["--config.file=bad.toml", "--storage.retention=long"])
            .args(command)
            .env("STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT", "0s")
            .env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__EMPTY", ""));
        assert!(!failed.stderr.contains("hunter2"), "{}", failed.stderr);
        match command {
            // `serve` logs its errors, in the format of the configuration if that can be read.
            [] | ["serve"] => {
                let logged = failed.logged_errors();
                assert_eq!((failed.code, logged.len()), (Some(1), problems.len()), "{}", failed.stderr);
                let has_parts = |(error, parts): (&String, &&[&str])| parts.iter().all(|part| error.contains(part));
                assert!(logged.iter().zip(&problems).all(has_parts), "{logged:?}");
            }
            _ => assert_failed(&failed, &problems),
        }
    }
    for command in [&["healthcheck"][..], &["journal", "verify"]] {
        let failed = ran(binary(folder.path()).arg("--config.file=bad.toml").args(command));
        assert_failed(&failed, &[problems[0], problems[3], problems[5]]);
    }
    let missing = run(folder.path(), &["--config.file=none.toml", "check-config"]);
    assert_failed(&missing, &[&[&path_in(folder.path(), "none.toml: "), "(os error 2)"]]);
}

#[test]
fn address_in_use_is_reported_with_its_key() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let taken = daemon.public_address();
    let failed =
        run(folder.path(), &["--web.listen-address=127.0.0.1:0", &format!("--webhook.listen-address={taken}")]);
    let [error] = &failed.logged_errors()[..] else { panic!("{}", failed.stderr) };
    assert!(error.starts_with("webhook.listen_address: "), "{error}");
    assert!(error.contains(taken) && error.contains("(os error 98)"), "{error}");
}

#[test]
fn version_has_release_revision_and_compiler() {
    let Ran { code, stdout, .. } = run(Path::new(CHECKOUT), &["--version"]);
    assert_eq!(code, Some(0));
    let start = format!("stream-live-exporter {} (revision ", env!("CARGO_PKG_VERSION"));
    let rest = stdout.strip_prefix(&start).unwrap_or_else(|| panic!("{stdout}"));
    let (revision, rustc) = rest.split_once(", rustc ").unwrap_or_else(|| panic!("{stdout}"));
    assert!(!revision.is_empty() && rustc.starts_with("1."), "{stdout}");
}

#[test]
fn completions_are_printed_for_every_shell() {
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c"), ("elvish", "set edit:")]
    {
        let Ran { code, stdout, stderr } = run(Path::new(CHECKOUT), &["completions", shell]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(stdout.contains(mark) && stdout.contains("healthcheck") && stdout.contains("webhook.path"), "{shell}");
    }
}

#[test]
fn healthcheck_succeeds_only_while_the_daemon_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let address = daemon.private_address().to_owned();
    let flag = format!("--web.listen-address={address}");
    assert_eq!(run(folder.path(), &["healthcheck", &flag]), success("ready\n"));
    assert!(daemon.stop().success());
    let failed = run(folder.path(), &["healthcheck", &flag]);
    assert_failed(&failed, &[&[&format!("http://{address}/-/ready")]]);
}

#[test]
fn export_has_every_event_with_all_of_its_fields() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let day = yesterday();
    let at = |clock: &str| format!("{day}T{clock}Z");
    for body in [
        fixture("errored-at-top-level"),
        notification(MAIN, "connected", "2026-11-20T18:00:00.5+02:00"),
        fixture("errored-without-details"),
        fixture("save-and-test-properly"),
        notification(MAIN, "connected", "2026-11-20T16:00:01Z"),
        fixture("errored-at-top-level"),
    ] {
        assert_eq!(daemon.post(&on_day(day, &body)).status, 200);
    }
    // While the daemon runs, and after.
    let exported = run(folder.path(), &["journal", "export"]);
    assert!(daemon.stop().success());
    assert_eq!(run(folder.path(), &["journal", "export"]), exported);
    assert_eq!((exported.code, exported.stderr.as_str()), (Some(0), ""));
    let mut lines: Vec<Value> = exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let rules = lines.remove(0);
    assert_eq!([&rules["seq"], &rules["record"], &rules["configured"]], [&json!(1), &json!("rules"), &json!([])]);
    for line in &mut lines {
        let [recorded, received] = ["recorded_at", "received_at"].map(|key| line[key].take());
        assert!(
            received.as_str() <= recorded.as_str() && received.as_str() > Some("2026-11-2"),
            "{received} {recorded}"
        );
    }
    let line = |seq: u32, event: &str, updated_at: &str, sent_at: &str, note: Value, code: Value, message: Value| {
        json!({
            "seq": seq, "record": "event", "recorded_at": null, "received_at": null, "sent_at": at(sent_at), "updated_at": at(updated_at),
            "input_id": MAIN, "event": event, "note": note, "code": code, "message": message,
            "video_codec": null, "audio_codec": null, "source": "webhook",
            "account_id": "9035f53656ca2b7a4e1b0f5b1f2b9c4d", "policy_id": "0da2b59ef118439d8097bdfb215203c9",
        })
    };
    let (code, message) = ("ERR_UNSUPPORTED_AUDIO_CODEC".into(), "Audio codec is unsupported.".into());
    let sent = "18:00:05";
    let none = || Value::Null;
    assert_eq!(
        lines,
        [
            line(2, "errored", "18:07:00", "18:07:03", none(), code, message),
            line(3, "connected", "16:00:00.5", sent, none(), none(), none()),
            line(4, "errored", "18:08:00", "18:08:03", none(), none(), none()),
            line(5, "connected", "16:00:01", sent, "inconsistent".into(), none(), none()),
        ]
    );
}

#[test]
fn journal_verify_succeeds_unless_the_journal_is_missing_or_damaged() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["journal", "verify"]).code, Some(1), "there is no journal yet");
    let daemon = Daemon::start(folder.path());
    for name in ["connected", "errored-unhealthy", "disconnected"] {
        assert_eq!(daemon.post(&fixture(name)).status, 200);
    }
    assert!(daemon.stop().success());
    let verified = run(folder.path(), &["journal", "verify"]);
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    assert!(verified.stdout.contains("3 events") && verified.stdout.contains("1 inputs"), "{}", verified.stdout);
    let database = rusqlite::Connection::open(folder.path().join("data/journal.db")).unwrap();
    database.execute("DELETE FROM records WHERE position = 3", []).unwrap();
    let file = format!("{}: ", path_in(folder.path(), "data/journal.db"));
    let salvage: &[&str] = &["", "journal salvage FOLDER", "docs/journal.md"];
    let damaged = run(folder.path(), &["journal", "verify"]);
    assert_failed(&damaged, &[&[file.as_str()], &["", "record 4", "record 2"], salvage]);
    database.execute("UPDATE records SET kind = 'exploded' WHERE position = 2", []).unwrap();
    let damaged = run(folder.path(), &["journal", "verify"]);
    assert_failed(&damaged, &[&[file.as_str(), "record 2"], salvage]);
}

/// Runs a scenario against the daemon and compares the simulator's truth file with the metrics.
fn check_simulation(scenario: &str) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let simulation = run(
        folder.path(),
        &[
            "simulate",
            "--url",
            &daemon.webhook,
            "--scenario",
            scenario,
            "--inputs=9",
            "--rate=300",
            "--duration=700ms",
            "--seed=4",
            "--truth-file=truth.json",
        ],
    );
    assert_eq!((simulation.code, simulation.stderr.as_str()), (Some(0), ""), "{}", simulation.stdout);
    let truth: Value = serde_json::from_slice(&fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
    assert_eq!(truth["uncertain"], 0);
    let metrics = daemon.metrics();
    let value = |series: &str| metrics.get(series).copied();
    let posted = daemon.samples("stream_live_exporter_notifications_total").values().sum::<f64>();
    assert_eq!(truth["posted"].as_f64(), Some(posted));
    let counts = |object: &Value| {
        let members = object.as_object().expect("an object").iter();
        members.map(|(name, value)| (name.clone(), value.as_f64().expect("a number"))).collect::<Vec<_>>()
    };
    for (outcome, count) in counts(&truth["outcomes"]) {
        let series = format!("stream_live_exporter_notifications_total{{outcome=\"{outcome}\"}}");
        assert_eq!(value(&series), Some(count), "{scenario}: {series}");
    }
    let inputs = truth["inputs"].as_object().unwrap();
    assert!(!inputs.is_empty(), "{truth}");
    let known = daemon.samples("cloudflare_stream_live_input_info");
    assert_eq!(known.len(), inputs.len());
    for (id, input) in inputs {
        let metric = |name: &str, labels: &str| {
            value(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{id}\"{labels}}}"))
        };
        assert_eq!(metric("connected", ""), input["connected"].as_f64(), "{scenario}: {id}");
        let since = input["state_timestamp_ms"].as_f64().map(|millis| millis / 1000.0);
        assert_eq!(metric("state_timestamp_seconds", ""), since, "{scenario}: {id}");
        for (family, label, unit, member) in [
            ("events_total", "event", 1.0, "events"),
            ("errors_total", "code", 1.0, "errors"),
            ("last_event_timestamp_seconds", "event", 1000.0, "last_event_ms"),
        ] {
            for (name, value) in counts(&input[member]) {
                let labels = format!(",{label}=\"{name}\"");
                assert_eq!(metric(family, &labels), Some(value / unit), "{scenario}: {id} {family} {name}");
            }
        }
    }
}

#[test]
fn truth_file_of_every_scenario_equals_the_metrics() {
    for scenario in ["steady", "flapping", "errors", "storm", "out-of-order", "duplicates"] {
        check_simulation(scenario);
    }
}

#[test]
fn simulate_fails_with_the_reason_when_notifications_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    fs::write(folder.path().join("wrong"), "hunter2\n").unwrap();
    let simulate = |url: &str, secret: &str| {
        run(folder.path(), &["simulate", "--url", url, "--secret-file", secret, "--rate=50", "--duration=100ms"])
    };
    let refused = simulate(&daemon.webhook, "wrong");
    assert_eq!(refused.code, Some(1));
    assert!(
        refused.stdout.contains("401") && refused.stdout.contains(&path_in(folder.path(), "wrong\n")),
        "{}",
        refused.stdout
    );
    assert!(!refused.stdout.contains("hunter2"), "{}", refused.stdout);
    let nowhere = simulate(&daemon.webhook.replace("/webhook", "/nowhere"), "data/webhook-secret");
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stdout.contains("404"), "{}", nowhere.stdout);
    let missing = simulate(&daemon.webhook, "missing");
    assert_failed(&missing, &[&[&path_in(folder.path(), "missing: "), "(os error 2)", "--secret-file"]]);
    let url = daemon.webhook.clone();
    assert!(daemon.stop().success());
    let down = simulate(&url, "data/webhook-secret");
    assert_eq!(down.code, Some(1));
    assert!(down.stdout.contains("Connection refused"), "{}", down.stdout);
}

#[test]
fn serve_is_the_default_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command(folder.path());
    serve.arg("serve");
    let daemon = Daemon::spawn(serve, folder.path());
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert!(daemon.stop().success());
}
