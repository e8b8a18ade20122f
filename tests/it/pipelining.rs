//! Requests behind one that ends the connection, `Expect: 100-continue`, and HTTP/1.0.

use std::fs;

use serde_json::Value;

use crate::connection::{Connection, request, webhook_request};
use crate::daemon::{Daemon, fixture, notification};
use crate::web_config::user;

/// The status of each response on one connection, until it is closed.
fn answers(address: &str, bytes: &[u8]) -> Vec<String> {
    let mut connection = Connection::open(address).unwrap();
    // The daemon may close the connection before everything is sent.
    let _ = connection.send(bytes);
    std::iter::from_fn(|| connection.read_answer().ok()).map(|answer| answer.status).collect()
}

fn http_10(request: &[u8]) -> Vec<u8> {
    String::from_utf8_lossy(request).replacen("HTTP/1.1", "HTTP/1.0", 1).into_bytes()
}

#[test]
fn request_behind_one_that_ends_the_connection_is_not_processed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let body = fixture("connected");
    let right = |headers: &str| {
        let head = format!("POST /webhook | cf-webhook-auth: {} | content-length: {}{headers}", daemon.secret(), 2);
        request(&head, b"{}")
    };
    let wrong = |framing: &str, body: &[u8]| request(&format!("POST /webhook | cf-webhook-auth: no | {framing}"), body);
    let healthy = "GET /-/healthy";
    let close = |head: &str| request(&format!("{head} | connection: close"), b"");
    for (first, statuses) in [
        (wrong("content-length: 0", b""), &["401 Unauthorized"][..]),
        (wrong("content-length: 2", b"{}"), &["401 Unauthorized"]),
        (wrong("transfer-encoding: chunked", b"2\r\n{}\r\n0\r\n\r\n"), &["401 Unauthorized"]),
        (request("GET /webhook", b""), &["401 Unauthorized"]),
        (close(healthy), &["200 OK"]),
        (request(&format!("{healthy} | Connection: x, Close"), b""), &["200 OK"]),
        (http_10(&request(healthy, b"")), &["200 OK"]),
        (right(" | connection: close"), &["200 OK"]),
        ([request(healthy, b""), wrong("content-length: 0", b"")].concat(), &["200 OK", "401 Unauthorized"]),
        ([request(healthy, b""), close(healthy)].concat(), &["200 OK"; 2]),
        // The first response waits for the disk.
        ([right(""), close(healthy)].concat(), &["200 OK"; 2]),
        ([right(""), right(""), right(" | connection: close")].concat(), &["200 OK"; 3]),
        ([right(""), http_10(&request(healthy, b""))].concat(), &["200 OK"; 2]),
        // The end of its body is not there yet.
        (request(&format!("{healthy} | transfer-encoding: chunked"), b"5\r\n"), &["200 OK"]),
        (request(&format!("{healthy} | content-length: 9000"), b""), &["200 OK"]),
        // The rest of a long body is discarded, not interpreted.
        (request(&format!("{healthy} | content-length: 900000"), &[b'x'; 300_000]), &["200 OK"]),
    ] {
        let pipelined = [&first[..], &webhook_request(daemon.secret(), &body), &request(healthy, b"")].concat();
        assert_eq!(answers(daemon.public_address(), &pipelined), statuses, "{}", String::from_utf8_lossy(&first));
    }
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(0.0));
    for head in ["GET /metrics | connection: close", "GET /nowhere | connection: close"] {
        let pipelined = [request(head, b""), request("POST /-/reload", b"")].concat();
        assert_eq!(answers(daemon.private_address(), &pipelined).len(), 1, "{head}");
    }
    assert!(!daemon.log().iter().any(|line| line["msg"] == "configuration reloaded"));
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let post = |second: u32| {
        let body =
            notification("2c28dd2cc444cb77578c4840b51e43a8", "errored", &format!("2026-11-20T18:00:{second:02}Z"));
        webhook_request(daemon.secret(), &body)
    };
    let requests: Vec<u8> = (0..30).flat_map(post).chain(request("GET /nowhere | connection: close", b"")).collect();
    let answers = answers(daemon.public_address(), &requests);
    assert_eq!(answers.len(), 31);
    assert!(answers[..30].iter().all(|status| status == "200 OK"), "{answers:?}");
    assert_eq!(answers[30], "404 Not Found");
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(30.0));
}

/// The first status of the response to this head; the body is sent after `100 Continue`, and then the second is returned.
fn expecting(address: &str, head: &str, body: &str) -> Vec<String> {
    let mut connection = Connection::open(address).unwrap();
    connection.send(&request(&format!("{head} | expect: 100-continue | content-length: {}", body.len()), b"")).unwrap();
    let first = connection.read_head().unwrap().status;
    if first != "100 Continue" {
        return vec![first];
    }
    connection.send(body.as_bytes()).unwrap();
    vec![first, connection.read_answer().unwrap().status]
}

#[test]
fn rejected_head_gets_no_100_continue() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let (address, secret, body) = (daemon.public_address(), daemon.secret(), fixture("connected"));
    let large = " ".repeat(65 << 10);
    for (head, body, statuses) in [
        (format!("POST /webhook | cf-webhook-auth: {secret}"), &body, &["100 Continue", "200 OK"][..]),
        (
            format!("POST /webhook | cf-webhook-auth: {secret} | content-encoding: identity"),
            &body,
            &["100 Continue", "200 OK"],
        ),
        ("POST /webhook".into(), &body, &["401 Unauthorized"]),
        ("POST /webhook | cf-webhook-auth: wrong".into(), &body, &["401 Unauthorized"]),
        (
            format!("POST /webhook | cf-webhook-auth: {secret} | cf-webhook-auth: {secret}"),
            &body,
            &["401 Unauthorized"],
        ),
        (format!("PUT /webhook | cf-webhook-auth: {secret}"), &body, &["405 Method Not Allowed"]),
        (
            format!("POST /webhook | cf-webhook-auth: {secret} | content-encoding: gzip"),
            &body,
            &["415 Unsupported Media Type"],
        ),
        (format!("POST /webhook | cf-webhook-auth: {secret}"), &large, &["413 Payload Too Large"]),
        ("POST /nowhere".into(), &body, &["404 Not Found"]),
    ] {
        assert_eq!(expecting(address, &head, body), statuses, "{head}");
    }
    let old = http_10(&request(&format!("POST /webhook | cf-webhook-auth: {secret} | expect: 100-continue"), b""));
    assert_eq!(answers(address, &old), ["400 Bad Request"], "HTTP/1.0 has no 100 Continue");
    let rejected = "stream_live_exporter_requests_rejected_total{reason=\"secret\"}";
    assert_eq!(daemon.metric(rejected), Some(3.0));
}

#[test]
fn rejected_head_gets_no_100_continue_from_the_private_listener() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{}}}", user("anna", "right"))).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.config.file=web.yml"]);
    let with = |user: &str| {
        let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, user);
        expecting(daemon.private_address(), &format!("POST /-/reload | authorization: Basic {basic}"), "x")
    };
    assert_eq!(expecting(daemon.private_address(), "POST /-/reload", "x"), ["401 Unauthorized"]);
    assert_eq!(with("anna:wrong"), ["401 Unauthorized"]);
    assert_eq!(with("anna:right").last().map(String::as_str), Some("200 OK"));
    assert_eq!(with("anna:right"), ["100 Continue", "200 OK"]);
    assert_eq!(with("anna:wrong"), ["401 Unauthorized"]);
}

#[test]
fn http_1_0_client_gets_no_chunks() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for keep_alive in ["", " | connection: keep-alive"] {
        let mut connection = Connection::open(daemon.private_address()).unwrap();
        connection.send(&http_10(&request(&format!("GET /api/v1/inputs{keep_alive}"), b""))).unwrap();
        let answer = String::from_utf8(connection.read_to_end().unwrap()).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.0 200 OK\r\n"), "{head}");
        assert!(!head.to_lowercase().contains("transfer-encoding"), "{head}");
        assert!(serde_json::from_str::<Value>(body).unwrap()["inputs"].is_array(), "{body}");
    }
}
