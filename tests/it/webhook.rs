//! The public listener, byte by byte: requests from the internet and the complete responses to them.

use std::collections::BTreeMap;
use std::fs;
use std::time::Duration;

use serde_json::Value;
use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, RawAnswer, exchange, request};
use crate::daemon::{Daemon, LATENESS, command, fixture, notification};

/// Rejections, with `ERROR` for `{"error": <text>}` and its length.
const UNAUTHORIZED: &str = "401 Unauthorized | connection: close | content-type: application/json | ERROR";
const NOT_ALLOWED: &str =
    "405 Method Not Allowed | allow: POST | connection: close | content-type: application/json | ERROR";
const TIMEOUT: &str = "408 Request Timeout | connection: close | content-type: application/json | ERROR";
const TOO_LARGE: &str = "413 Payload Too Large | connection: close | content-type: application/json | ERROR";
const ENCODED: &str = "415 Unsupported Media Type | connection: close | content-type: application/json | ERROR";
const NOT_JSON: &str = "400 Bad Request | content-type: application/json | ERROR";
const NOT_FOUND: &str = "404 Not Found | content-length: 10 | content-type: text/plain; charset=utf-8 | not found\n";
const RECORDED: &str = "200 OK | content-length: 22 | content-type: application/json | {\"outcome\":\"recorded\"}";
const DUPLICATE: &str = "200 OK | content-length: 23 | content-type: application/json | {\"outcome\":\"duplicate\"}";
const TEST: &str = "200 OK | content-length: 18 | content-type: application/json | {\"outcome\":\"test\"}";
const IGNORED: &str = "200 OK | content-length: 21 | content-type: application/json | {\"outcome\":\"ignored\"}";
const INPUT: &str = "0123456789abcdef0123456789abcdef";

/// The text of `{"error": <text>}`, and nothing else.
fn error(answer: &RawAnswer) -> Option<String> {
    let body: Value = serde_json::from_slice(&answer.body).ok()?;
    let members = body.as_object()?;
    (members.len() == 1).then(|| members.get("error")?.as_str().map(str::to_owned))?
}

/// The complete response except its date, with the text of an error replaced by `ERROR`.
fn shape(answer: &RawAnswer) -> String {
    let Some(text) = error(answer) else { return answer.to_string() };
    assert!(!text.is_empty());
    assert_eq!(answer.header("content-length"), answer.body.len().to_string());
    let mut answer = answer.clone();
    answer.headers.remove("content-length");
    answer.body = b"ERROR".to_vec();
    answer.to_string()
}

/// Sends one request, with `AUTH` for the header with the valid secret. Checks the response, and that the request is
/// counted as rejected with this reason, or not at all.
fn check(daemon: &Daemon, head: &str, body: impl AsRef<[u8]>, expected: &str, reason: Option<&str>) -> RawAnswer {
    let head = head.replace("AUTH", &format!("cf-webhook-auth: {}", daemon.secret()));
    let mut rejected = rejections(daemon);
    let answer = exchange(daemon.public_address(), &head, body.as_ref());
    assert_eq!(shape(&answer), expected, "{head}");
    if let Some(reason) = reason {
        let series = format!("stream_live_exporter_requests_rejected_total{{reason=\"{reason}\"}}");
        *rejected.get_mut(&series).expect("the reason is one of the label's values") += 1.0;
    }
    assert_eq!(rejections(daemon), rejected, "{head}");
    answer
}

fn rejections(daemon: &Daemon) -> BTreeMap<String, f64> {
    daemon.samples("stream_live_exporter_requests_rejected_total")
}

/// The head of a valid request with this body.
fn post(body: &[u8]) -> String {
    format!("POST /webhook | AUTH | content-length: {}", body.len())
}

#[test]
fn unauthenticated_request_gets_401_before_its_body_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let secret = daemon.secret().to_owned();
    let (start, wrong) = (&secret[..63], "0".repeat(64));
    for head in [
        "POST /webhook | content-length: 5",
        "POST /webhook | cf-webhook-auth:  | content-length: 5",
        &format!("POST /webhook | cf-webhook-auth: {wrong} | content-length: 5"),
        &format!("POST /webhook | cf-webhook-auth: {start} | content-length: 5"),
        &format!("POST /webhook | cf-webhook-auth: {secret}0 | content-length: 5"),
        &format!("POST /webhook | cf-webhook-auth: {} | content-length: 5", secret.to_uppercase()),
        "POST /webhook | AUTH | AUTH | content-length: 5",
        &format!("POST /webhook | AUTH | cf-webhook-auth: {wrong} | content-length: 5"),
        "POST /webhook?cf-webhook-auth=1 | content-length: 5",
        &format!("POST /webhook | authorization: Bearer {secret} | content-length: 5"),
        "POST /webhook | transfer-encoding: chunked",
        // The secret is checked before everything else.
        "POST /webhook | content-length: 999999999999",
        "POST /webhook | content-encoding: gzip | content-length: 5",
    ] {
        // None of the announced bodies is sent.
        check(&daemon, head, "", UNAUTHORIZED, Some("secret"));
    }
}

#[test]
fn unauthenticated_request_other_than_post_gets_401_and_counts_as_method() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for head in [
        "GET /webhook",
        "GET /webhook?check=1",
        "GET /webhook | cf-webhook-auth: wrong",
        "GET /webhook | AUTH | AUTH",
        "OPTIONS /webhook",
        "DELETE /webhook",
        "PUT /webhook | content-length: 5",
    ] {
        check(&daemon, head, "", UNAUTHORIZED, Some("method"));
    }
    let before = rejections(&daemon);
    assert_eq!(exchange(daemon.public_address(), "HEAD /webhook", b"").status, "401 Unauthorized");
    let method = "stream_live_exporter_requests_rejected_total{reason=\"method\"}";
    assert_eq!(rejections(&daemon)[method], before[method] + 1.0);
    // Monitors have a path of their own.
    let healthy = "200 OK | content-length: 8 | content-type: text/plain; charset=utf-8";
    check(&daemon, "HEAD /-/healthy", "", healthy, None);
}

#[test]
fn invalid_request_is_rejected_with_its_cause() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--webhook.max-body-size=1KiB"]);
    for verb in ["GET", "PUT", "DELETE", "PATCH", "OPTIONS"] {
        check(&daemon, &format!("{verb} /webhook | AUTH"), "", NOT_ALLOWED, Some("method"));
    }
    let head = format!("HEAD /webhook | cf-webhook-auth: {}", daemon.secret());
    let mut without_body = exchange(daemon.public_address(), &head, b"");
    assert!(without_body.headers.remove("content-length").is_some());
    assert_eq!(format!("{without_body} | ERROR"), NOT_ALLOWED);
    let counted = daemon.metric("stream_live_exporter_requests_rejected_total{reason=\"method\"}");
    assert_eq!(counted, Some(6.0));

    for name in ["gzip", "br", "deflate", "zstd", "GZIP", "identity, gzip"] {
        let head = format!("POST /webhook | AUTH | content-encoding: {name} | content-length: 2");
        check(&daemon, &head, "", ENCODED, Some("encoding"));
    }

    let answer = check(&daemon, "POST /webhook | AUTH | content-length: 1025", "", TOO_LARGE, Some("too_large"));
    assert!(answer.text().contains(" 1024 "), "the response names the limit: {}", answer.text());
    let unfinished = format!("400\r\n{}\r\n1\r\n \r\n", " ".repeat(0x400));
    check(&daemon, "POST /webhook | AUTH | transfer-encoding: chunked", unfinished, TOO_LARGE, Some("too_large"));

    for (body, position) in [
        (&b"not json"[..], "line 1, column 2"),
        (br#"{"a": }"#, "line 1, column 7"),
        (b"{\n\"secret-looking\": nope}", "line 2, column 20"),
        (br#"{"data": {"input_id": "2c28"#, "line 1, column 27"),
        (b"{} {}", "line 1, column 4"),
        (b" 17", "line 1, column 3"),
    ] {
        let answer = check(&daemon, &post(body), body, NOT_JSON, Some("not_json"));
        assert!(error(&answer).unwrap().ends_with(position), "{}", answer.text());
    }
}

#[test]
fn slow_body_gets_408() {
    let folder = tempfile::tempdir().unwrap();
    let mut slow = command(folder.path());
    slow.env("STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT", "200ms");
    let daemon = Daemon::spawn(slow, folder.path());
    for (head, beginning) in [
        ("POST /webhook | AUTH | content-length: 2", ""),
        ("POST /webhook | AUTH | content-length: 2", "{"),
        ("POST /webhook | AUTH | transfer-encoding: chunked", "2\r\n{}\r\n"),
    ] {
        let since = Stopwatch::start();
        check(&daemon, head, beginning, TIMEOUT, Some("timeout"));
        assert!(since.elapsed() < Duration::from_millis(200) + LATENESS, "{head}: {:?}", since.elapsed());
    }
}

#[test]
fn other_paths_of_the_public_listener_get_404() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for head in [
        "GET /",
        "GET /metrics",
        "GET /-/ready",
        "POST /-/reload",
        "POST /-/healthy",
        "DELETE /-/healthy",
        "GET /api/v1/inputs",
        "POST /webhook/ | AUTH",
        "POST /webhook2 | AUTH",
        "POST /WEBHOOK | AUTH",
        "POST //webhook | AUTH",
        "GET /data/webhook-secret",
    ] {
        check(&daemon, head, "", NOT_FOUND, None);
    }
    let healthy = "200 OK | content-length: 8 | content-type: text/plain; charset=utf-8";
    check(&daemon, "GET /-/healthy", "", &format!("{healthy} | healthy\n"), None);
    check(&daemon, "HEAD /-/healthy", "", healthy, None);
}

#[test]
fn notification_is_accepted_with_any_content_type_and_framing() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--webhook.max-body-size=1KiB"]);
    let body = notification(INPUT, "connected", "2026-11-20T18:00:00Z");
    check(&daemon, &post(body.as_bytes()), &body, RECORDED, None);
    let length = body.len();
    for headers in [
        format!("content-length: {length} | content-type: application/json"),
        format!("content-length: {length} | content-type: text/plain"),
        format!("content-length: {length} | content-type: application/x-www-form-urlencoded"),
        format!("content-length: {length} | content-type: none of this"),
        format!("content-length: {length} | content-encoding: identity"),
    ] {
        check(&daemon, &format!("POST /webhook | AUTH | {headers}"), &body, DUPLICATE, None);
    }
    let (head, tail) = body.split_at(100);
    let chunked = format!("64\r\n{head}\r\n{:x}\r\n{tail}\r\n0\r\n\r\n", tail.len());
    check(&daemon, "POST /webhook | AUTH | transfer-encoding: chunked", chunked, DUPLICATE, None);
    check(&daemon, &post(body.as_bytes()).replace("/webhook", "/webhook?from=cloudflare"), &body, DUPLICATE, None);
    let just_fits = format!("{body}{}", " ".repeat(1024 - length));
    check(&daemon, &post(just_fits.as_bytes()), &just_fits, DUPLICATE, None);
}

#[test]
fn every_fixture_gets_its_outcome() {
    let outcomes = [
        ("connected", RECORDED),
        ("disconnected", RECORDED),
        ("docs-disconnected", RECORDED),
        ("docs-errored-trailing-comma", RECORDED),
        ("errored-at-top-level", RECORDED),
        ("errored-unhealthy", RECORDED),
        ("errored-unknown-code", RECORDED),
        ("errored-without-details", RECORDED),
        ("other-alert-type", IGNORED),
        ("policy-test-fake-input", IGNORED),
        ("save-and-test-correctly", TEST),
        ("save-and-test-properly", TEST),
        ("unknown-event-type", IGNORED),
        ("video-webhook-by-mistake", IGNORED),
    ];
    let fixtures = fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/notifications")).unwrap();
    assert_eq!(fixtures.count(), outcomes.len(), "every fixture is listed");
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for (name, outcome) in outcomes {
        let body = fixture(name);
        check(&daemon, &post(body.as_bytes()), &body, outcome, None);
        let again = if outcome == RECORDED { DUPLICATE } else { outcome };
        check(&daemon, &post(body.as_bytes()), &body, again, None);
    }
    let outcomes = daemon.samples("stream_live_exporter_notifications_total");
    let outcomes: Vec<_> = outcomes.iter().map(|(series, count)| (series.split('"').nth(1).unwrap(), *count)).collect();
    assert_eq!(outcomes, [("duplicate", 8.0), ("ignored", 8.0), ("recorded", 8.0), ("test", 4.0)]);
    assert_eq!(daemon.metric("stream_live_exporter_notifications_lenient_total"), Some(2.0));
}

#[test]
fn non_http_bytes_are_not_logged_as_errors() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for garbage in [&b"garbage\r\n\r\n"[..], b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"] {
        let mut connection = Connection::open(daemon.public_address()).unwrap();
        connection.send(garbage).unwrap();
        let answer = connection.read_to_end().unwrap();
        assert!(answer.starts_with(b"HTTP/1.1 400 Bad Request\r\n"), "{}", String::from_utf8_lossy(&answer));
    }
    assert_eq!(daemon.post(&fixture("connected")).status, 200);
    daemon.wait_for("input changed");
    let errors: Vec<_> = daemon.log().into_iter().filter(|line| line["level"] == "ERROR").collect();
    assert!(errors.is_empty(), "{errors:?}");
}

#[test]
fn rejected_request_closes_its_connection_even_if_its_body_does_not_end() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let elsewhere = "POST /elsewhere | transfer-encoding: chunked";
    for (head, status) in [
        ("POST /webhook | content-length: 5", "401 Unauthorized"),
        ("POST /webhook | transfer-encoding: chunked", "401 Unauthorized"),
        (elsewhere, "404 Not Found"),
    ] {
        let mut connection = Connection::open(daemon.public_address()).unwrap();
        connection.send(&request(head, b"")).unwrap();
        assert_eq!(connection.read_answer().unwrap().status, status, "{head}");
        let end = connection.read_to_end();
        assert!(end.as_ref().is_ok_and(Vec::is_empty), "{head}: still open: {end:?}");
    }
}
