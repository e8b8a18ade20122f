//! Exceptions to schedules: `inputs expect`, the API, and where they are shown.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};
use stream_live_exporter::clock;
use stream_live_exporter::event::Timestamp;

use crate::corrections::{CHAPEL, MAIN, connect, send, start_beyond_loopback};
use crate::daemon::{Daemon, Ran, command, eventually, ran, run};
use crate::web_config::user;

const AS_JSON: &str = " | content-type: application/json";
const HOUR: Duration = Duration::from_secs(3600);

fn expect(daemon: &Daemon, folder: &Path, arguments: &[&str]) -> Ran {
    run(folder, &[&["inputs", "expect"], arguments, &["--url", &daemon.private]].concat())
}

/// `expected`, and when it changes, of an input in the metrics. Asserts that the API says the same.
fn exposed(daemon: &Daemon, id: &str) -> (Option<f64>, Option<f64>) {
    let metric = |name: &str| daemon.metric(&format!("cloudflare_stream_live_input_{name}{{input_id=\"{id}\"}}"));
    let (expected, change) = (metric("expected"), metric("expected_change_timestamp_seconds"));
    let input = input(daemon, id);
    assert_eq!(expected, Some(f64::from(u8::from(input["expected"] == true))));
    assert_eq!(change, input["expected_change_at"].as_str().map(seconds));
    (expected, change)
}

/// An RFC 3339 time in seconds, as metrics have it.
fn seconds(time: &str) -> f64 {
    time.parse::<Timestamp>().unwrap().as_millis() as f64 / 1000.0
}

fn input(daemon: &Daemon, id: &str) -> Value {
    let inputs: Value = serde_json::from_str(&daemon.get("/api/v1/inputs").body).unwrap();
    inputs["inputs"].as_array().unwrap().iter().find(|input| input["id"] == id).cloned().unwrap_or_default()
}

fn exceptions(folder: &Path) -> Vec<Value> {
    let exported = run(folder, &["journal", "export"]).stdout;
    let lines = exported.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line["record"] == "exception").collect()
}

fn check(ran: &Ran, code: i32, text: &str) {
    let output = if code == 0 { &ran.stdout } else { &ran.stderr };
    assert!(ran.code == Some(code) && output.contains(text), "{text}: {ran:?}");
}

/// A folder with an input that is always expected.
fn always_expected() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let text = format!("[[inputs]]\nid = \"{MAIN}\"\nname = \"Main\"\nexpected = \"always\"\n");
    fs::write(folder.path().join("exporter.toml"), text).unwrap();
    folder
}

#[test]
fn exception_is_shown_at_once_and_survives_a_stop_and_a_crash_until_it_is_cleared() {
    let folder = always_expected();
    let start = || Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    let mut daemon = start();
    connect(&daemon, CHAPEL);
    assert_eq!((exposed(&daemon, MAIN), exposed(&daemon, CHAPEL)), ((Some(1.0), None), (Some(0.0), None)));
    let until = clock::now().plus(HOUR).to_string();
    check(&expect(&daemon, folder.path(), &[MAIN, "off", "--until", &until, "--reason", "no show"]), 0, &until);
    check(&expect(&daemon, folder.path(), &[CHAPEL, "on", "--until", &until]), 0, &until);
    let at_end = Some(seconds(&until));
    let [no_show, extra_show] = [(false, json!("no show")), (true, Value::Null)]
        .map(|(expected, reason)| json!({"expected": expected, "until": until, "user": null, "reason": reason}));
    for restart in [Daemon::kill, |daemon: Daemon| assert!(daemon.stop().success()), Daemon::kill] {
        assert_eq!((exposed(&daemon, MAIN), exposed(&daemon, CHAPEL)), ((Some(0.0), at_end), (Some(1.0), at_end)));
        assert_eq!(
            [MAIN, CHAPEL].map(|id| input(&daemon, id)["exception"].clone()),
            [no_show.clone(), extra_show.clone()]
        );
        restart(daemon);
        assert_eq!(run(folder.path(), &["journal", "verify"]).code, Some(0));
        daemon = start();
    }
    for changed in ["cleared", "no exception"] {
        check(&expect(&daemon, folder.path(), &[MAIN, "--clear", "--reason", "it takes place"]), 0, changed);
        assert_eq!(
            (exposed(&daemon, MAIN), input(&daemon, MAIN)["exception"].clone()),
            ((Some(1.0), None), Value::Null)
        );
    }
    let recorded = exceptions(folder.path());
    let fields = recorded.iter().map(|one| ["input_id", "expected", "until", "reason"].map(|field| one[field].clone()));
    assert_eq!(
        fields.collect::<Vec<_>>(),
        [
            [json!(MAIN), json!(false), json!(until), json!("no show")],
            [json!(CHAPEL), json!(true), json!(until), Value::Null],
            [json!(MAIN), Value::Null, Value::Null, json!("it takes place")],
        ]
    );
}

#[test]
fn exception_ends_by_itself() {
    let folder = always_expected();
    let daemon = Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    // Longer for a machine that is too busy to scrape during a short one.
    let seen = ["2s", "8s", "20s"].into_iter().find_map(|length| {
        check(&expect(&daemon, folder.path(), &[MAIN, "off", "--until", length]), 0, MAIN);
        let within = exposed(&daemon, MAIN) != (Some(1.0), None);
        eventually("the exception ends", || input(&daemon, MAIN)["exception"].is_null());
        within.then(|| exposed(&daemon, MAIN))
    });
    assert_eq!(seen, Some((Some(1.0), None)));
}

#[test]
fn api_sets_and_clears_an_exception_and_a_request_that_is_not_understood_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    let path = |id: &str| format!("/api/v1/inputs/{id}/expectation");
    let post = format!("POST {}{AS_JSON}", path(MAIN));
    let in_hours = |hours: u32| clock::now().plus(HOUR * hours).to_string();
    let body = |expected: &str, until: &str| format!(r#"{{"expected": "{expected}", "until": "{until}"}}"#);
    let on = body("on", &in_hours(1));
    let long = format!(r#"{{"expected": "on", "until": "{}", "reason": "{}"}}"#, in_hours(1), "x".repeat(501));
    let longer = format!(r#"{{"expected": "on", "until": "{}", "reason": "{}"}}"#, in_hours(1), "x".repeat(5000));
    for (head, body, status) in [
        (format!("POST {}", path(MAIN)), on.as_str(), 415),
        (post.clone(), "", 400),
        (post.clone(), "{}", 400),
        (post.clone(), r#"{"expected": "on"}"#, 400),
        (post.clone(), &body("yes", &in_hours(1)), 400),
        (post.clone(), &body("on", "2h"), 400),
        (post.clone(), &body("on", "2026-11-20T18:00:00"), 400),
        (post.clone(), &body("on", "2026-11-20T18:00:00Z"), 400),
        (post.clone(), &body("off", &in_hours(367 * 24)), 400),
        (post.clone(), &on.replace('}', r#", "to": 1}"#), 400),
        (post.clone(), &on.replace('}', r#", "reason": "a\nb"}"#), 400),
        (post.clone(), &long, 400),
        (post.clone(), &longer, 413),
        (format!("POST {}{AS_JSON}", path("main")), &on, 400),
        (format!("POST {}{AS_JSON}", path(CHAPEL)), &on, 404),
        (format!("POST {}?until=1{AS_JSON}", path(MAIN)), &on, 400),
        (format!("POST {}{AS_JSON} | origin: https://evil.example.com", path(MAIN)), &on, 403),
        (format!("DELETE {}", path(CHAPEL)), "", 404),
        (format!("DELETE {}?until=1", path(MAIN)), "", 400),
        (format!("DELETE {} | origin: https://evil.example.com", path(MAIN)), "", 403),
        (format!("GET {}", path(MAIN)), "", 405),
    ] {
        let (answered, answer) = send(&daemon, &head, body);
        assert_eq!(answered, status, "{head} {body}: {answer}");
        assert!(answered == 405 || answer["error"].is_string(), "{head} {body}: {answer}");
    }
    assert_eq!((exceptions(folder.path()).len(), exposed(&daemon, MAIN)), (0, (Some(0.0), None)));

    let until = in_hours(2);
    let set = format!(r#"{{"expected": "on", "until": "{until}", "reason": "extra show"}}"#);
    let exception = json!({"expected": true, "until": until, "user": null, "reason": "extra show"});
    for changed in [true, false] {
        let answer = send(&daemon, &post, &set);
        assert_eq!(answer, (200, json!({"id": MAIN, "exception": exception, "changed": changed})));
        assert_eq!(exposed(&daemon, MAIN), (Some(1.0), Some(seconds(&until))));
    }
    // A newer one replaces it.
    assert_eq!(send(&daemon, &post, &body("off", &until)).0, 200);
    assert_eq!(exposed(&daemon, MAIN), (Some(0.0), None), "the schedule says the same at its end");
    for changed in [true, false] {
        let answer = send(&daemon, &format!("DELETE {}?reason=over", path(MAIN)), "");
        assert_eq!(answer, (200, json!({"id": MAIN, "exception": null, "changed": changed})));
    }
    let reasons: Vec<_> = exceptions(folder.path()).iter().map(|one| one["reason"].clone()).collect();
    assert_eq!(reasons, [json!("extra show"), Value::Null, json!("over")]);
    let corrections = daemon.samples("stream_live_exporter_corrections_total");
    assert!(corrections.values().all(|count| *count == 0.0), "{corrections:?}");
}

#[test]
fn exception_needs_the_same_authorization_as_a_correction() {
    for (arguments, status) in [(&[][..], 403), (&["--web.enable-admin-api"], 200)] {
        let folder = tempfile::tempdir().unwrap();
        let daemon = start_beyond_loopback(folder.path(), arguments);
        connect(&daemon, MAIN);
        let path = format!("/api/v1/inputs/{MAIN}/expectation");
        let body = format!(r#"{{"expected": "on", "until": "{}"}}"#, clock::now().plus(HOUR));
        assert_eq!(send(&daemon, &format!("POST {path}{AS_JSON}"), &body).0, status, "{arguments:?}");
        assert_eq!(send(&daemon, &format!("DELETE {path}"), "").0, status, "{arguments:?}");
        assert_eq!(exceptions(folder.path()).len(), if status == 200 { 2 } else { 0 }, "{arguments:?}");
    }
}

#[test]
fn exception_has_the_user_of_the_request() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{}}}", user("anna", "right"))).unwrap();
    fs::write(folder.path().join("password"), "right").unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.config.file=web.yml"]);
    connect(&daemon, MAIN);
    check(&expect(&daemon, folder.path(), &[MAIN, "on", "--until", "1h"]), 1, "401");
    let access = ["--user", "anna", "--password-file", "password"];
    check(&expect(&daemon, folder.path(), &[&[MAIN, "on", "--until", "1h"], &access[..]].concat()), 0, MAIN);
    let users: Vec<_> = exceptions(folder.path()).iter().map(|one| one["user"].clone()).collect();
    assert_eq!(users, ["anna"]);
    let listed = run(folder.path(), &[&["inputs", "list", "--url", &daemon.private], &access[..]].concat());
    check(&listed, 0, "by anna");
}

#[test]
fn command_line_that_is_not_understood_has_exit_code_2_and_an_impossible_end_1() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    for arguments in [
        &[MAIN][..],
        &[MAIN, "on"],
        &[MAIN, "--until", "1h"],
        &[MAIN, "yes", "--until", "1h"],
        &[MAIN, "on", "--until", "22:00"],
        &[MAIN, "on", "--until", "2M"],
        &[MAIN, "on", "--until", "1h", "--clear"],
        &[MAIN, "--clear", "--until", "1h"],
        &["main", "on", "--until", "1h"],
    ] {
        check(&expect(&daemon, folder.path(), arguments), 2, "--help");
    }
    check(&expect(&daemon, folder.path(), &[MAIN, "on", "--until", "2026-11-20T18:00:00Z"]), 1, "400");
    check(&expect(&daemon, folder.path(), &[MAIN, "on", "--until", "400d"]), 1, "400");
    check(&expect(&daemon, folder.path(), &[CHAPEL, "on", "--until", "1h"]), 1, "404");
    check(&expect(&daemon, folder.path(), &[CHAPEL, "--clear"]), 1, "404");
    assert_eq!(exceptions(folder.path()), [Value::Null; 0]);
}

#[test]
fn journal_of_a_stopped_daemon_gets_exceptions_offline() {
    let folder = tempfile::tempdir().unwrap();
    let offline = |arguments: &[&str]| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
        command.current_dir(folder.path()).args(["inputs", "expect"]).args(arguments).arg("--offline");
        ran(command.env("SUDO_USER", "anna"))
    };
    check(&offline(&[MAIN, "on", "--until", "1h"]), 1, "data");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0, "nothing is created");
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    check(&offline(&[MAIN, "on", "--until", "1h"]), 1, "in use");
    assert!(daemon.stop().success());
    check(&offline(&[MAIN, "on", "--until", "2026-11-20T18:00:00Z"]), 1, "future");
    check(&offline(&[MAIN, "on", "--until", "400d"]), 1, "year");
    check(&offline(&[CHAPEL, "on", "--until", "1h"]), 1, CHAPEL);
    check(&offline(&[MAIN, "--clear"]), 0, MAIN);
    check(&offline(&[MAIN, "on", "--until", "1h", "--reason", "show"]), 0, MAIN);
    let listed = run(folder.path(), &["inputs", "list", "--offline"]);
    check(&listed, 0, "by anna (offline): show");
    let [recorded] = &exceptions(folder.path())[..] else { panic!("one exception") };
    assert_eq!((&recorded["user"], &recorded["reason"]), (&json!("anna (offline)"), &json!("show")));
    let daemon = Daemon::start(folder.path());
    assert_eq!(exposed(&daemon, MAIN).0, Some(1.0));
    assert_eq!(run(folder.path(), &["journal", "verify"]).code, Some(0));
}

#[test]
fn backup_and_salvage_keep_exceptions() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    connect(&daemon, MAIN);
    check(&expect(&daemon, folder.path(), &[MAIN, "on", "--until", "1h"]), 0, MAIN);
    let recorded = exceptions(folder.path());
    assert_eq!(run(folder.path(), &["journal", "backup", "copy"]).code, Some(0));
    assert!(daemon.stop().success());
    assert_eq!(run(folder.path(), &["journal", "salvage", "new"]).code, Some(0));
    for storage in ["copy", "new"] {
        fs::copy(folder.path().join("data/webhook-secret"), folder.path().join(storage).join("webhook-secret"))
            .unwrap();
        let path = format!("--storage.path={storage}");
        let exported = run(folder.path(), &[&path, "journal", "export"]).stdout;
        assert!(exported.lines().any(|line| serde_json::from_str::<Value>(line).unwrap() == recorded[0]), "{exported}");
        let daemon = Daemon::start_with(folder.path(), [&path]);
        assert_eq!(exposed(&daemon, MAIN).0, Some(1.0), "{storage}");
        assert!(daemon.stop().success());
    }
}

/// The lines of the forecast.
fn forecast(checked: &Ran) -> Vec<String> {
    assert_eq!(checked.code, Some(0), "{checked:?}");
    checked.stdout.lines().skip_while(|line| !line.starts_with('#')).map(str::to_owned).collect()
}

#[test]
fn check_config_shows_the_exceptions_of_the_running_daemon_or_the_schedule_alone() {
    let folder = always_expected();
    let daemon = Daemon::start_with(folder.path(), ["--config.file=exporter.toml"]);
    let listen = format!("--web.listen-address={}", daemon.private_address());
    let check_config = |more: &[&str]| {
        let listen = ["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"];
        let arguments = [&["--config.file=exporter.toml"][..], &listen, &["check-config"]].concat();
        run(folder.path(), &[&arguments[..], more].concat())
    };
    assert_eq!(forecast(&check_config(&["--url", &daemon.private])), [""; 0]);
    check(&expect(&daemon, folder.path(), &[MAIN, "off", "--until", "1h", "--reason", "no show"]), 0, MAIN);
    let found = run(
        folder.path(),
        &["--config.file=exporter.toml", "--webhook.listen-address=127.0.0.1:0", &listen, "check-config"],
    );
    assert_eq!(found.stderr, "");
    let lines = forecast(&found);
    assert!(lines[0].contains(MAIN) && lines[1].contains("no show") && lines[2].ends_with("  expected"), "{lines:?}");
    // Nothing listens there.
    let alone = check_config(&["--url", "http://127.0.0.1:1"]);
    assert!(alone.stderr.contains("warning") && alone.stderr.contains("http://127.0.0.1:1"), "{alone:?}");
    assert_eq!(forecast(&alone), [""; 0]);
    assert!(daemon.stop().success());
    let stopped = check_config(&["--url", "http://127.0.0.1:1"]);
    assert_eq!((stopped.stderr.as_str(), forecast(&stopped)), ("", vec![]));
}

#[test]
fn exception_is_logged_with_the_input() {
    let folder = always_expected();
    let mut command = command(folder.path());
    command.arg("--config.file=exporter.toml");
    let daemon = Daemon::spawn(command, folder.path());
    check(&expect(&daemon, folder.path(), &[MAIN, "off", "--until", "1h", "--reason", "no show"]), 0, MAIN);
    let line = daemon.wait_for("schedule exception recorded");
    let fields = ["input_id", "name", "expected", "reason"].map(|field| line[field].to_string());
    assert_eq!(fields, [json!(MAIN), json!("Main"), json!(false), json!("no show")].map(|value| value.to_string()));
    check(&expect(&daemon, folder.path(), &[MAIN, "--clear"]), 0, MAIN);
    daemon.wait_for("schedule exception cleared");
}
