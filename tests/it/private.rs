//! The private listener: status page, API, health checks, reload, metrics.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use jiff::civil::Date;
use serde_json::{Value, json};

use crate::connection::{Connection, exchange, request};
use crate::daemon::{Answer, Daemon, command, eventually, fixture, notification, on_day, yesterday};

const MAIN: &str = "2c28dd2cc444cb77578c4840b51e43a8";
const CHAPEL: &str = "eb222fcca08eeb1ae84c981ebe8aeeb6";
const YARD: &str = "0123456789abcdef0123456789abcdef";

/// A daemon with two configured inputs, one of which gets no events.
fn start(folder: &std::path::Path) -> Daemon {
    let names =
        format!("[[inputs]]\nid = \"{MAIN}\"\nname = \"Main stage\"\n\n[[inputs]]\nid = \"{YARD}\"\nname = \"Yard\"\n");
    fs::write(folder.join("exporter.toml"), names).unwrap();
    Daemon::start_with(folder, ["--config.file=exporter.toml"])
}

fn get_json(daemon: &Daemon, path: &str) -> Value {
    let Answer { status, body } = daemon.get(path);
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

/// Posts notifications of this day and checks their outcomes.
fn post_all(daemon: &Daemon, day: Date) {
    let at = |input: &str, event: &str, time: &str| notification(input, event, &format!("2026-11-20T{time}Z"));
    for (body, outcome) in [
        (at(MAIN, "connected", "18:00:00"), "recorded"),
        (at(MAIN, "connected", "18:00:00"), "duplicate"),
        (at(MAIN, "disconnected", "18:01:30.5"), "recorded"),
        (at(MAIN, "connected", "18:01:00"), "recorded"),
        (fixture("errored-unknown-code"), "recorded"),
        (at(CHAPEL, "connected", "18:00:00"), "recorded"),
        (at(CHAPEL, "disconnected", "18:00:10"), "recorded"),
        (at(CHAPEL, "connected", "18:00:20"), "recorded"),
        (at("11111111111", "connected", "18:00:00"), "ignored"),
        (notification(MAIN, "connected", "2126-01-01T00:00:00Z"), "ignored"),
        (fixture("save-and-test-properly"), "test"),
    ] {
        assert_eq!(daemon.post(&on_day(day, &body)).body, format!("{{\"outcome\":\"{outcome}\"}}"), "{body}");
    }
}

#[test]
fn status_page_links_to_every_endpoint() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.telemetry-path=/prometheus"]);
    let page = daemon.get("/");
    assert_eq!(page.status, 200);
    let links: Vec<_> = page.body.split("href=\"").skip(1).filter_map(|rest| rest.split('"').next()).collect();
    let pages = ["inputs", "events", "cloudflare"].map(|page| format!("./api/v1/{page}"));
    let [inputs, events, cloudflare] = pages.each_ref().map(String::as_str);
    for endpoint in ["./prometheus", inputs, events, cloudflare, "./-/ready", "./-/healthy"] {
        assert!(links.contains(&endpoint), "{endpoint}: {links:?}");
    }
    for link in links.into_iter().filter(|link| link.starts_with("./")) {
        // Relative to the page, which a proxy may serve under any path.
        assert_eq!(daemon.get(&link[1..]).status, 200, "{link}");
    }
    for elsewhere in ["/metrics", "/webhook", "/api/v1", "/favicon.ico"] {
        assert_eq!(daemon.get(elsewhere), Answer { status: 404, body: "not found\n".into() }, "{elsewhere}");
    }
}

#[test]
fn every_response_has_security_headers() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for head in ["GET /metrics", "GET /api/v1/inputs", "GET /-/ready", "GET /nowhere", "POST /-/reload"] {
        let answer = exchange(daemon.private_address(), head, b"");
        for (name, value) in [
            (
                "content-security-policy",
                "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
            ),
            ("x-content-type-options", "nosniff"),
            ("x-frame-options", "DENY"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-resource-policy", "same-origin"),
            ("cache-control", "no-store"),
        ] {
            assert_eq!(answer.header(name), value, "{head}: {name}");
        }
    }
}

#[test]
fn cross_origin_request_cannot_reload() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for (headers, status) in [
        ("", "200 OK"),
        (" | origin: http://stream.example.com", "200 OK"),
        (" | origin: http://stream.example.com | sec-fetch-site: same-origin", "200 OK"),
        (" | sec-fetch-site: none", "200 OK"),
        (" | origin: https://evil.example.com", "403 Forbidden"),
        (" | origin: http://stream.example.com:81", "403 Forbidden"),
        (" | origin: null", "403 Forbidden"),
        (" | sec-fetch-site: same-site", "403 Forbidden"),
        (" | origin: http://stream.example.com | sec-fetch-site: cross-site", "403 Forbidden"),
    ] {
        let reloads = || daemon.log().iter().filter(|line| line["msg"] == "configuration reloaded").count();
        let before = reloads();
        let answer = exchange(daemon.private_address(), &format!("POST /-/reload{headers}"), b"");
        assert_eq!(answer.status, status, "{headers}");
        if status == "200 OK" {
            daemon.wait_for_count("configuration reloaded", before + 1);
        } else {
            assert_eq!(reloads(), before, "{headers}");
        }
    }
}

#[test]
fn inputs_are_listed_with_their_state() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let day = yesterday();
    let at = |clock: &str| format!("{day}T{clock}Z");
    post_all(&daemon, day);
    let mut answer = get_json(&daemon, "/api/v1/inputs");
    assert!(answer["as_of"].as_str().unwrap().ends_with('Z'), "{answer}");
    // The input is connected, so its time grows.
    let running = answer["inputs"][2]["connected_seconds"].take();
    assert!(running.as_f64().unwrap() > 10.0, "{running}");
    assert_eq!(
        answer["inputs"],
        json!([
            {
                "id": YARD, "name": "Yard", "account": "", "enabled": null, "expected": false,
                "expected_change_at": null, "exception": null, "state": "unknown", "since": null, "connected_seconds": 0.0,
                "sessions": 0, "reconnects": 0, "events": {"connected": 0, "disconnected": 0, "errored": 0},
                "errors": {}, "last_event_at": null, "last_error": null,
            },
            {
                "id": MAIN, "name": "Main stage", "account": "9035f53656ca2b7a4e1b0f5b1f2b9c4d", "enabled": null,
                "expected": false,
                "expected_change_at": null, "exception": null, "state": "disconnected", "since": at("18:01:30.5"),
                "connected_seconds": 90.5, "sessions": 1, "reconnects": 0,
                "events": {"connected": 2, "disconnected": 1, "errored": 1}, "errors": {"other": 1},
                "last_event_at": at("18:06:00"),
                "last_error": {"code": "ERR_SOMETHING_NEW", "at": at("18:06:00")},
            },
            {
                "id": CHAPEL, "name": "", "account": "9035f53656ca2b7a4e1b0f5b1f2b9c4d", "enabled": null,
                "expected": false,
                "expected_change_at": null, "exception": null, "state": "connected", "since": at("18:00:20"),
                "connected_seconds": null, "sessions": 1, "reconnects": 1,
                "events": {"connected": 2, "disconnected": 1, "errored": 0}, "errors": {},
                "last_event_at": at("18:00:20"), "last_error": null,
            },
        ])
    );
}

/// Outcome, reason, input, event and time of the listed deliveries.
fn outcomes(events: &Value) -> Vec<[String; 5]> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let keys = ["outcome", "reason", "input_id", "event", "updated_at"];
    let events = events["events"].as_array().expect("the events are a list");
    events.iter().map(|event| keys.map(|key| text(&event[key]))).collect()
}

#[test]
fn recent_deliveries_are_listed_with_their_outcome_also_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let day = yesterday();
    let at = |clock: &str| format!("{day}T{clock}Z");
    post_all(&daemon, day);
    let answer = get_json(&daemon, "/api/v1/events");
    let newest = [
        ["test", "", "", "", ""],
        ["ignored", "future", "", "", ""],
        ["ignored", "input_id", "", "", ""],
        ["recorded", "", CHAPEL, "connected", &at("18:00:20")],
        ["recorded", "", CHAPEL, "disconnected", &at("18:00:10")],
        ["recorded", "", CHAPEL, "connected", &at("18:00:00")],
        ["recorded", "", MAIN, "errored", &at("18:06:00")],
        ["recorded", "inconsistent", MAIN, "connected", &at("18:01:00")],
        ["recorded", "", MAIN, "disconnected", &at("18:01:30.5")],
        ["duplicate", "", MAIN, "connected", &at("18:00:00")],
        ["recorded", "", MAIN, "connected", &at("18:00:00")],
    ];
    assert_eq!(outcomes(&answer), newest);
    assert_eq!(
        answer["events"][6]["error"],
        json!({
            "code": "ERR_SOMETHING_NEW", "message": "A code that this daemon has never heard of.",
            "video_codec": null, "audio_codec": null,
        })
    );
    assert_eq!(answer["events"][6]["sent_at"], at("18:06:03"));
    assert_eq!(answer["events"][6]["source"], "webhook");
    assert_eq!(outcomes(&get_json(&daemon, "/api/v1/events?limit=2")), newest[..2]);
    assert_eq!(daemon.get("/api/v1/events?limit=many").status, 400);

    assert!(daemon.stop().success());
    let daemon = start(folder.path());
    // Recorded deliveries are read from the journal with all details.
    let mut recorded = answer["events"].as_array().unwrap().clone();
    recorded.retain(|event| event["outcome"] == "recorded");
    // The journal does not have their peers.
    recorded.iter_mut().for_each(|event| event["peer"] = Value::Null);
    assert_eq!(get_json(&daemon, "/api/v1/events")["events"], Value::Array(recorded));
}

#[test]
fn draining_daemon_is_not_ready_and_answers_in_flight_requests() {
    let folder = tempfile::tempdir().unwrap();
    let mut patient = command(folder.path());
    patient.env("STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT", "60s");
    let daemon = Daemon::spawn(patient, folder.path());
    assert_eq!(daemon.get("/-/ready"), Answer { status: 200, body: "ready\n".into() });
    let body = fixture("connected");
    let secret = daemon.secret();
    let head =
        format!("POST /webhook | cf-webhook-auth: {secret} | expect: 100-continue | content-length: {}", body.len());
    let mut connection = Connection::open(daemon.public_address()).unwrap();
    connection.send(&request(&head, b"")).unwrap();
    assert_eq!(connection.read_head().unwrap().status, "100 Continue");

    daemon.signal("TERM");
    daemon.wait_for("shutting down: finishing in-flight requests");
    let ready = daemon.get("/-/ready");
    assert_eq!((ready.status, ready.body.split(':').next()), (503, Some("draining")));
    assert_eq!(daemon.get("/-/healthy").status, 200);
    assert_eq!(daemon.get("/metrics").status, 200);

    connection.send(body.as_bytes()).unwrap();
    let answer = connection.read_answer().unwrap();
    assert_eq!((answer.status.as_str(), answer.text()), ("200 OK", r#"{"outcome":"recorded"}"#));
    assert_eq!(answer.header("connection"), "close");
    assert!(daemon.wait().success());
}

/// The lines of an exposition without their values.
fn without_values(text: &str) -> Vec<String> {
    let lines = text.lines().map(|line| match line.rsplit_once(' ') {
        Some((series, _)) if !line.starts_with('#') => series.to_owned(),
        _ => line.to_owned(),
    });
    lines.collect()
}

#[test]
fn metrics_are_compressed_on_request() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    post_all(&daemon, yesterday());
    let plain = exchange(daemon.private_address(), "GET /metrics | connection: close", b"");
    assert_eq!(plain.header("content-encoding"), "");
    let answer = exchange(daemon.private_address(), "GET /metrics | accept-encoding: gzip | connection: close", b"");
    assert_eq!((answer.status.as_str(), answer.header("content-encoding")), ("200 OK", "gzip"));
    assert_eq!(answer.body[..2], [0x1f, 0x8b]);
    assert!(answer.body.len() * 3 < plain.body.len(), "{} of {} bytes", answer.body.len(), plain.body.len());
    let mut gzip = Command::new("gzip").arg("-dc").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    gzip.stdin.take().unwrap().write_all(&answer.body).unwrap();
    let output = gzip.wait_with_output().unwrap();
    assert!(output.status.success());
    assert_eq!(without_values(std::str::from_utf8(&output.stdout).unwrap()), without_values(plain.text()));
}

#[test]
fn metrics_are_uncompressed_if_compression_is_off() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEB__COMPRESSION", "false");
    let daemon = Daemon::spawn(command, folder.path());
    let answer = exchange(daemon.private_address(), "GET /metrics | accept-encoding: gzip | connection: close", b"");
    assert_eq!((answer.status.as_str(), answer.header("content-encoding")), ("200 OK", ""));
    assert!(answer.text().starts_with("# HELP "));
}

#[test]
fn accept_header_selects_the_format() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    post_all(&daemon, yesterday());
    let (text, open) =
        ("text/plain; version=0.0.4; charset=utf-8", "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let connected = format!("cloudflare_stream_live_input_connected{{input_id=\"{CHAPEL}\"}} 1\n");
    for (accept, format) in [
        ("text/plain", text),
        ("*/*", text),
        ("application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5", open),
        ("text/plain;q=0.9,application/openmetrics-text;version=1.0.0;q=0.5", text),
    ] {
        let answer = exchange(daemon.private_address(), &format!("GET /metrics | accept: {accept}"), b"");
        assert_eq!((answer.status.as_str(), answer.header("content-type")), ("200 OK", format), "{accept}");
        assert_eq!(answer.text().ends_with("\n# EOF\n"), format == open, "{accept}");
        assert_eq!(answer.text().matches("# EOF").count(), usize::from(format == open), "{accept}");
        assert!(answer.text().contains(&connected), "{accept}");
    }
}

#[test]
fn restarted_daemon_is_ready_and_has_its_inputs() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    post_all(&daemon, yesterday());
    daemon.kill();
    let mut quiet = command(folder.path());
    quiet.arg("--inputs.max=1");
    let daemon = Daemon::spawn(quiet, folder.path());
    eventually("the daemon is ready", || daemon.get("/-/ready").status == 200);
    // The limit applies to new inputs only.
    assert_eq!(daemon.metric("stream_live_exporter_restored_inputs"), Some(2.0));
    assert_eq!(daemon.post(&notification(MAIN, "connected", "2026-11-20T19:00:00Z")).body, r#"{"outcome":"recorded"}"#);
    assert_eq!(daemon.post(&notification(YARD, "connected", "2026-11-20T19:00:00Z")).body, r#"{"outcome":"ignored"}"#);
}
