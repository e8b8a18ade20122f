//! The commands that do one thing and end.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::daemon::{Daemon, Ran, command, fixture, notification, ran, run};

const CHECKOUT: &str = env!("CARGO_MANIFEST_DIR");
const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";

/// What a command prints that succeeds.
fn success(stdout: &str) -> Ran {
    Ran { code: Some(0), stdout: stdout.to_owned(), stderr: String::new() }
}

/// What a command prints that fails, without what begins each line.
fn failure(stderr: &str) -> Ran {
    let lines = stderr.lines().map(|line| format!("stream-live-exporter: {line}\n"));
    Ran { code: Some(1), stdout: String::new(), stderr: lines.collect() }
}

fn binary(folder: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.current_dir(folder);
    command
}

const DEFAULTS: &str = r#"webhook.listen_address = "0.0.0.0:10418"  # default
webhook.path = "/webhook"                 # default
webhook.max_body_size = "64KiB"           # default
webhook.body_timeout = "10s"              # default
webhook.queue_size = "4096"               # default
webhook.max_connections = "1024"          # default
webhook.max_connections_per_peer = "256"  # default
webhook.idle_timeout = "75s"              # default
webhook.max_failures_per_peer = "30"      # default
webhook.trusted_proxies = ""              # default
webhook.tls_cert_file = ""                # default
webhook.tls_key_file = ""                 # default
web.listen_address = "127.0.0.1:10419"    # default
web.telemetry_path = "/metrics"           # default
web.created_samples = "false"             # default
web.compression = "true"                  # default
web.config_file = ""                      # default
storage.path = "data"                     # default
storage.retention = "90d"                 # default
inputs.max = "10000"                      # default
inputs.reconnect_window = "60s"           # default
inputs.forget_after = "0s"                # default
log.level = "info"                        # default
log.format = "auto"                       # default
"#;

#[test]
fn check_config_shows_what_holds_without_any_configuration() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["check-config"]), success(DEFAULTS));
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is made");
}

#[test]
fn check_config_shows_where_each_value_comes_from_and_no_secret() {
    let checked = ran(binary(Path::new(CHECKOUT))
        .args(["--config.file=config/example.toml", "check-config", "--inputs.max=7"])
        .env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__X", "hunter2")
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
        r#"storage.retention = "1y" # config/example.toml"#,
        r#"inputs.max = "7" # --inputs.max"#,
        r#"inputs.2c28dd2cc444cb77578c4840b51e43a8.name = "Main stage" # config/example.toml"#,
        r#"inputs.2c28dd2cc444cb77578c4840b51e43a8.expected = "always" # config/example.toml"#,
        r#"inputs.eb222fcca08eeb1ae84c981ebe8aeeb6.expected[1] = "2026-12-24T18:00:00Z to 2026-12-24T19:00:00Z, before 10m" # config/example.toml"#,
    ] {
        assert!(lines.iter().any(|line| line == expected), "no {expected} in\n{}", checked.stdout);
    }
    assert!(!checked.stdout.contains("hunter2"), "{}", checked.stdout);
}

#[test]
fn a_bad_configuration_is_told_with_every_problem_by_every_command() {
    let folder = tempfile::tempdir().unwrap();
    let configuration = "[webhook]\npath = \"webhook\"\n\n[webhook.secrets]\nplain = \"hunter2\"\n\n[web]\nport = 1\n";
    fs::write(folder.path().join("bad.toml"), configuration).unwrap();
    let problems = "bad.toml: webhook.path: not a path: \"webhook\" (expected a slash, then letters, digits and / - . _ ~)\n\
                    STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT: webhook.body_timeout: must be more than 0\n\
                    bad.toml: webhook.secrets.plain: a secret by value may come from the environment only\n\
                    STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__EMPTY: webhook.secrets.empty: must not be empty\n\
                    --storage.retention: storage.retention: not a duration: \"long\" (expected for example 500ms, 60s or 90d)\n\
                    bad.toml: web.port: unknown key";
    for command in [&["check-config"][..], &["serve"], &[], &["healthcheck"], &["journal", "verify"]] {
        let told = ran(binary(folder.path())
            .args(["--config.file=bad.toml", "--storage.retention=long"])
            .args(command)
            .env("STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT", "0s")
            .env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__EMPTY", ""));
        let mut lines: Vec<_> = told.stderr.lines().collect();
        let expected = failure(problems);
        let mut expected_lines: Vec<_> = expected.stderr.lines().collect();
        lines.sort_unstable();
        expected_lines.sort_unstable();
        assert_eq!(lines, expected_lines, "{command:?}");
        assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""), "{command:?}");
    }
    let missing = run(folder.path(), &["--config.file=none.toml", "check-config"]);
    assert_eq!(missing, failure("none.toml: cannot be read: No such file or directory (os error 2)"));
}

#[test]
fn an_address_that_is_taken_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let taken = daemon.public_address();
    let told = run(folder.path(), &["--web.listen-address=127.0.0.1:0", &format!("--webhook.listen-address={taken}")]);
    let problem =
        format!("webhook.listen_address: cannot listen on {taken}: {taken}: Address already in use (os error 98)");
    assert_eq!((told.code, told.stderr), (Some(1), failure(&problem).stderr));
}

#[test]
fn the_version_names_release_revision_and_compiler() {
    let Ran { code, stdout, .. } = run(Path::new(CHECKOUT), &["--version"]);
    assert_eq!(code, Some(0));
    let start = format!("stream-live-exporter {} (revision ", env!("CARGO_PKG_VERSION"));
    let rest = stdout.strip_prefix(&start).unwrap_or_else(|| panic!("{stdout}"));
    let (revision, rustc) = rest.split_once(", rustc ").unwrap_or_else(|| panic!("{stdout}"));
    assert!(!revision.is_empty() && rustc.starts_with("1."), "{stdout}");
}

#[test]
fn every_shell_gets_completions() {
    for (shell, mark) in
        [("bash", "complete -F"), ("zsh", "#compdef"), ("fish", "complete -c"), ("elvish", "set edit:")]
    {
        let Ran { code, stdout, stderr } = run(Path::new(CHECKOUT), &["completions", shell]);
        assert_eq!((code, stderr.as_str()), (Some(0), ""), "{shell}");
        assert!(stdout.contains(mark) && stdout.contains("healthcheck") && stdout.contains("webhook.path"), "{shell}");
    }
}

#[test]
fn a_health_check_tells_whether_the_daemon_is_ready() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let address = daemon.private_address().to_owned();
    let flag = format!("--web.listen-address={address}");
    assert_eq!(run(folder.path(), &["healthcheck", &flag]), success("ready\n"));
    assert!(daemon.stop().success());
    let told = run(folder.path(), &["healthcheck", &flag]);
    assert_eq!((told.code, told.stdout.as_str()), (Some(1), ""));
    let start = format!("stream-live-exporter: http://{address}/-/ready does not answer: ");
    assert!(told.stderr.starts_with(&start), "{}", told.stderr);
}

#[test]
fn an_export_has_every_event_with_all_that_was_said() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for body in [
        fixture("errored-at-top-level"),
        notification(MAIN, "connected", "2026-11-20T18:00:00.5+02:00"),
        fixture("errored-without-details"),
        fixture("save-and-test-properly"),
        notification(MAIN, "connected", "2026-11-20T16:00:00Z"),
        fixture("errored-at-top-level"),
    ] {
        assert_eq!(daemon.post(&body).status, 200);
    }
    // While the daemon runs, and after.
    let exported = run(folder.path(), &["journal", "export"]);
    assert!(daemon.stop().success());
    assert_eq!(run(folder.path(), &["journal", "export"]), exported);
    assert_eq!((exported.code, exported.stderr.as_str()), (Some(0), ""));
    let mut lines: Vec<Value> = exported.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &mut lines {
        let [recorded, received] = ["recorded_at", "received_at"].map(|key| line[key].take());
        assert!(
            received.as_str() <= recorded.as_str() && received.as_str() > Some("2026-11-2"),
            "{received} {recorded}"
        );
    }
    let line = |seq: u32, event: &str, updated_at: &str, sent_at: &str, note: Value, code: Value, message: Value| {
        json!({
            "seq": seq, "recorded_at": null, "received_at": null, "sent_at": sent_at, "updated_at": updated_at,
            "input_id": MAIN, "event": event, "note": note, "code": code, "message": message,
            "video_codec": null, "audio_codec": null,
        })
    };
    let (code, message) = ("ERR_UNSUPPORTED_AUDIO_CODEC".into(), "Audio codec is unsupported.".into());
    let sent = "2026-11-20T18:00:05Z";
    let none = || Value::Null;
    assert_eq!(
        lines,
        [
            line(1, "errored", "2026-11-20T18:07:00Z", "2026-11-20T18:07:03Z", none(), code, message),
            line(2, "connected", "2026-11-20T16:00:00.5Z", sent, none(), none(), none()),
            line(3, "errored", "2026-11-20T18:08:00Z", "2026-11-20T18:08:03Z", none(), none(), none()),
            line(4, "connected", "2026-11-20T16:00:00Z", sent, "out_of_order".into(), none(), none()),
        ]
    );
}

#[test]
fn a_journal_is_verified_whole_or_told_damaged() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(run(folder.path(), &["journal", "verify"]).code, Some(1), "there is none yet");
    let daemon = Daemon::start(folder.path());
    for name in ["connected", "errored-unhealthy", "disconnected"] {
        assert_eq!(daemon.post(&fixture(name)).status, 200);
    }
    assert!(daemon.stop().success());
    let whole = "data/journal.db: whole; 3 events up to number 3, 1 inputs, 0 events after the checkpoint\n";
    assert_eq!(run(folder.path(), &["journal", "verify"]), success(whole));
    let database = rusqlite::Connection::open(folder.path().join("data/journal.db")).unwrap();
    database.execute("DELETE FROM events WHERE seq = 2", []).unwrap();
    let damaged = failure(
        "data/journal.db: damaged\nevent 3 follows event 1\n`stream-live-exporter journal salvage FOLDER` makes a new \
         journal of all that can be read, and leaves this one as it is: see docs/journal.md",
    );
    assert_eq!(run(folder.path(), &["journal", "verify"]), damaged);
    database.execute("UPDATE events SET event = 'exploded' WHERE seq = 1", []).unwrap();
    let damaged = run(folder.path(), &["journal", "verify"]);
    assert_eq!(damaged.code, Some(1));
    assert!(damaged.stderr.contains("data/journal.db: event 1 is damaged: "), "{}", damaged.stderr);
}

/// Plays a scenario at the daemon, and compares what the simulator takes for true with the metrics.
fn check_simulation(scenario: &str) {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let told = run(
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
    assert_eq!((told.code, told.stderr.as_str()), (Some(0), ""), "{}", told.stdout);
    let truth: Value = serde_json::from_slice(&fs::read(folder.path().join("truth.json")).unwrap()).unwrap();
    assert_eq!(truth["uncertain"], 0);
    let posted = daemon.samples("stream_live_exporter_notifications_total").values().sum::<f64>();
    assert_eq!(truth["posted"].as_f64(), Some(posted));
    let counts = |object: &Value| {
        let members = object.as_object().expect("an object").iter();
        members.map(|(name, value)| (name.clone(), value.as_f64().expect("a number"))).collect::<Vec<_>>()
    };
    for (outcome, count) in counts(&truth["outcomes"]) {
        let series = format!("stream_live_exporter_notifications_total{{outcome=\"{outcome}\"}}");
        assert_eq!(daemon.metric(&series), Some(count), "{scenario}: {series}");
    }
    let inputs = truth["inputs"].as_object().unwrap();
    assert!(!inputs.is_empty(), "{truth}");
    let known = daemon.samples("cloudflare_stream_live_input_info");
    assert_eq!(known.len(), inputs.len());
    for (id, input) in inputs {
        let metric = |name: &str, labels: &str| {
            daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{id}\"{labels}}}"))
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
fn a_simulation_that_is_refused_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    fs::write(folder.path().join("wrong"), "hunter2\n").unwrap();
    let simulate = |url: &str, secret: &str| {
        run(folder.path(), &["simulate", "--url", url, "--secret-file", secret, "--rate=50", "--duration=100ms"])
    };
    let refused = simulate(&daemon.webhook, "wrong");
    assert_eq!(refused.code, Some(1));
    assert!(refused.stdout.contains("401") && refused.stdout.contains(" wrong\n"), "{}", refused.stdout);
    assert!(!refused.stdout.contains("hunter2"), "{}", refused.stdout);
    let nowhere = simulate(&daemon.webhook.replace("/webhook", "/nowhere"), "data/webhook-secret");
    assert_eq!(nowhere.code, Some(1));
    assert!(nowhere.stdout.contains("404"), "{}", nowhere.stdout);
    let missing = simulate(&daemon.webhook, "missing");
    let cause = "cannot read the secret file missing: No such file or directory (os error 2)";
    assert_eq!(missing, failure(cause));
    let url = daemon.webhook.clone();
    assert!(daemon.stop().success());
    let down = simulate(&url, "data/webhook-secret");
    assert_eq!(down.code, Some(1));
    assert!(down.stdout.contains("Connection refused"), "{}", down.stdout);
}

#[test]
fn a_daemon_is_what_runs_without_a_command() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command(folder.path());
    serve.arg("serve");
    let daemon = Daemon::spawn(serve, folder.path());
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert!(daemon.stop().success());
}
