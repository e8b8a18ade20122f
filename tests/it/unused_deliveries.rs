//! Rejected and ignored deliveries: warnings, the list of the API, and bodies that are kept.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use crate::connection::exchange;
use crate::daemon::{Daemon, command, eventually, fixture, notification};
use crate::journal::database;

const INPUT: &str = "0123456789abcdef0123456789abcdef";

/// A daemon that takes the client's address from `x-forwarded-for`, and rejects bodies above 1 KiB.
fn start(folder: &Path) -> Daemon {
    let mut command = command(folder);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__TRUSTED_PROXIES", "127.0.0.1");
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__MAX_FAILURES_PER_PEER", "1000");
    command.arg("--webhook.max-body-size=1KiB");
    Daemon::spawn(command, folder)
}

/// Sends a request as this peer, with `AUTH` for the header with the valid secret. Returns the status.
fn send(daemon: &Daemon, peer: &str, head: &str, body: &[u8]) -> u16 {
    let secret = format!("cf-webhook-auth: {}", daemon.secret());
    let head = format!("{} | x-forwarded-for: {peer}", head.replace("AUTH", &secret));
    let answer = exchange(daemon.public_address(), &head, body);
    answer.status.split(' ').next().unwrap().parse().unwrap()
}

fn post(daemon: &Daemon, peer: &str, body: &[u8]) -> u16 {
    send(daemon, peer, &format!("POST /webhook | AUTH | content-length: {}", body.len()), body)
}

fn listed(daemon: &Daemon, query: &str) -> Vec<Value> {
    let answer = daemon.get(&format!("/api/v1/events{query}"));
    assert_eq!(answer.status, 200, "{}", answer.body);
    let mut events: Value = serde_json::from_str(&answer.body).unwrap();
    std::mem::take(events["events"].as_array_mut().unwrap())
}

/// Reason, detail, peer and status.
fn cause(line: &Value) -> (String, String, String, u64) {
    let text = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("detail"), text("peer"), line["status"].as_u64().unwrap_or_default())
}

/// The warnings about deliveries so far.
fn warnings(daemon: &Daemon) -> Vec<Value> {
    daemon.log().into_iter().filter(|line| line["advice"].is_string()).collect()
}

#[test]
fn rejected_delivery_is_listed_and_warned_of_once_per_reason_and_peer() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let (one, two, six) = ("198.51.100.1", "198.51.100.2", "2001:db8::1");
    let requests = [
        (one, "POST /webhook | content-length: 612", "secret", "missing", 401, Some(612)),
        (one, "POST /webhook | cf-webhook-auth: guess | content-length: 5", "secret", "wrong", 401, Some(5)),
        (two, "POST /webhook | cf-webhook-auth: guess | transfer-encoding: chunked", "secret", "wrong", 401, None),
        (six, "POST /webhook | cf-webhook-auth: | content-length: 5", "secret", "wrong", 401, Some(5)),
        (one, "POST /webhook | AUTH | AUTH | content-length: 5", "secret", "repeated", 401, Some(5)),
        (one, "GET /webhook", "method", "unauthenticated", 401, None),
        (one, "GET /webhook | AUTH", "method", "", 405, None),
        (one, "POST /webhook | AUTH | content-encoding: gzip | content-length: 5", "encoding", "", 415, Some(5)),
        (one, "POST /webhook | AUTH | content-length: 1025", "too_large", "", 413, Some(1025)),
        (one, "POST /webhook | AUTH | transfer-encoding: chunked", "timeout", "incomplete", 400, None),
        (one, "POST /webhook2 | AUTH | content-length: 5", "path", "", 404, Some(5)),
    ];
    let mut expected = Vec::new();
    for (peer, head, reason, detail, status, size) in requests {
        let body = if reason == "timeout" { &b"nonsense\r\n"[..] } else { b"" };
        // The second one is suppressed in the log, but not in the list.
        for _ in 0..2 {
            assert_eq!(u64::from(send(&daemon, peer, head, body)), status, "{head}");
        }
        expected.push(((reason.to_owned(), detail.to_owned(), peer.to_owned(), status), size));
    }
    // Requests to other paths that have no secret are no deliveries.
    assert_eq!(send(&daemon, one, "POST /elsewhere", b""), 404);
    // The size is that of the received body.
    let chunked = "POST /webhook | AUTH | transfer-encoding: chunked";
    assert_eq!(send(&daemon, one, chunked, b"8\r\nnot json\r\n0\r\n\r\n"), 400);
    expected.push((("not_json".to_owned(), String::new(), one.to_owned(), 400), Some(8)));

    daemon.wait_for_count("delivery rejected", expected.len());
    let warned: Vec<_> = warnings(&daemon).iter().map(|line| (cause(line), line["size"].as_u64())).collect();
    assert_eq!(warned, expected);

    let rejected = listed(&daemon, "");
    let newest_first = expected.iter().rev().flat_map(|entry| {
        let repeated = if entry.0.0 == "not_json" { 1 } else { 2 };
        vec![entry.clone(); repeated]
    });
    let listed: Vec<_> = rejected.iter().map(|entry| (cause(entry), entry["size"].as_u64())).collect();
    assert_eq!(listed, newest_first.collect::<Vec<_>>());
    for entry in &rejected {
        let keys: Vec<_> = entry.as_object().unwrap().keys().map(String::as_str).collect();
        assert_eq!(keys, ["detail", "outcome", "peer", "reason", "received_at", "size", "status"]);
        assert_eq!(entry["outcome"], "rejected");
    }
    let page = daemon.get("/").body;
    // The newest of each cause: later ones replace earlier ones in the map.
    let causes = expected.iter().map(|((reason, detail, peer, status), _)| ((reason, detail), (peer, status)));
    for ((reason, detail), (peer, status)) in causes.collect::<BTreeMap<_, _>>() {
        let parts = [&format!(">{peer}<"), reason, detail, &format!("({status})")];
        let found = page.split("<tr>").any(|row| parts.iter().all(|part| row.contains(*part)));
        assert!(found, "no row of the page has {parts:?}");
    }
}

#[test]
fn accepted_delivery_is_listed_with_its_peer() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let event = notification(INPUT, "connected", "2026-01-02T03:04:05Z");
    assert_eq!(post(&daemon, "2001:db8::1", event.as_bytes()), 200);
    let listed = &listed(&daemon, "")[0];
    assert_eq!((&listed["outcome"], &listed["peer"]), (&"recorded".into(), &"2001:db8::1".into()));
    let page = daemon.get("/").body;
    assert!(page.contains("2001:db8::1") && page.contains(&format!("./inputs/{INPUT}")), "{page}");
}

#[test]
fn too_many_failures_are_warned_of_like_failures() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__MAX_FAILURES_PER_PEER", "1");
    let daemon = Daemon::spawn(command, folder.path());
    let wrong = "POST /webhook | cf-webhook-auth: guess";
    for status in ["401 Unauthorized", "429 Too Many Requests", "429 Too Many Requests"] {
        assert_eq!(exchange(daemon.public_address(), wrong, b"").status, status);
    }
    let listed: Vec<_> = listed(&daemon, "").iter().map(cause).collect();
    let cause = |status| ("secret".to_owned(), "wrong".to_owned(), "127.0.0.1".to_owned(), status);
    assert_eq!(listed, [cause(429), cause(429), cause(401)]);
    daemon.wait_for("delivery rejected");
    assert_eq!(warnings(&daemon).len(), 1);
}

#[test]
fn ignored_delivery_is_warned_of_once_per_reason_and_peer() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let ignored = [
        ("alert_type", fixture("other-alert-type")),
        ("event_type", fixture("unknown-event-type")),
        ("input_id", fixture("policy-test-fake-input")),
        ("no_data", r#"{"text": "Hello", "input_id": "x"}"#.to_owned()),
        ("updated_at", notification(INPUT, "connected", "soon")),
        ("future", notification(INPUT, "connected", "2126-01-01T00:00:00Z")),
        ("video_webhook", fixture("video-webhook-by-mistake")),
    ];
    for (_, body) in &ignored {
        for peer in ["198.51.100.1", "198.51.100.1", "198.51.100.2"] {
            assert_eq!(post(&daemon, peer, body.as_bytes()), 200, "{body}");
        }
    }
    daemon.wait_for_count("delivery ignored", 2 * ignored.len());
    let mut counts = BTreeMap::new();
    for line in warnings(&daemon) {
        *counts
            .entry((line["reason"].as_str().unwrap().to_owned(), line["peer"].as_str().unwrap().to_owned()))
            .or_insert(0) += 1;
    }
    assert_eq!(counts.len(), 2 * ignored.len());
    for (reason, _) in ignored {
        assert_eq!(counts[&(reason.to_owned(), "198.51.100.1".to_owned())], 1, "{reason}");
    }
}

#[test]
fn flood_of_rejected_requests_hides_neither_recorded_deliveries_nor_other_reasons() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    assert_eq!(post(&daemon, "203.0.113.1", b"not json"), 400);
    assert_eq!(send(&daemon, "203.0.113.1", "POST /webhook | cf-webhook-auth: guess", b""), 401);
    assert_eq!(daemon.post(&fixture("connected")).status, 200);
    for stranger in 0..200 {
        for head in ["POST /webhook", "POST /webhook | cf-webhook-auth: guess", "GET /webhook"] {
            // Twice from one peer, so that it displaces its own entries.
            let peer = format!("198.51.100.{}", stranger % 10);
            assert_eq!(send(&daemon, &peer, head, b""), 401);
        }
    }
    for query in ["", "?limit=5", "?limit=1000"] {
        let events = listed(&daemon, query);
        let has = |outcome: &str, reason: &str| {
            events.iter().any(|event| event["outcome"] == outcome && (reason.is_empty() || event["reason"] == reason))
        };
        assert!(has("recorded", "") && has("rejected", "not_json"), "{query}: {events:?}");
        assert!(events.len() < 100, "{query}: {}", events.len());
    }
    let of_peer = listed(&daemon, "").into_iter().filter(|event| event["peer"] == "203.0.113.1").count();
    assert_eq!(of_peer, 2);
}

#[test]
fn authenticated_body_that_is_not_json_is_kept() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let bodies: [&[u8]; 5] = [b"not json", b"[]", b"\xff\x00\xfe", b"{\"text\": \"cut off", b""];
    for body in bodies {
        assert_eq!(post(&daemon, "198.51.100.1", body), 400, "{}", String::from_utf8_lossy(body));
        let wrong = format!("POST /webhook | cf-webhook-auth: guess | content-length: {}", body.len());
        assert_eq!(send(&daemon, "198.51.100.1", &wrong, body), 401);
    }
    let count = |reason| daemon.metric(&format!("stream_live_exporter_requests_rejected_total{{reason=\"{reason}\"}}"));
    assert_eq!((count("not_json"), count("secret")), (Some(5.0), Some(5.0)));
    let counted = daemon.samples("stream_live_exporter_notifications_total");
    assert_eq!(counted.values().sum::<f64>(), 0.0, "{counted:?}");
    assert_eq!(daemon.metric("stream_live_exporter_last_notification_timestamp_seconds"), None);
    daemon.kill();
    let database = database(folder.path());
    let mut select = database.prepare("SELECT reason, body FROM unrecognized ORDER BY seq").unwrap();
    let rows = select.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
    let kept: Vec<(String, Vec<u8>)> = rows.map(Result::unwrap).collect();
    assert_eq!(kept, bodies.map(|body| ("not_json".to_owned(), body.to_vec())));
}

#[test]
fn body_that_is_not_json_gets_503_while_it_cannot_be_kept() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let database = database(folder.path());
    database.execute_batch("BEGIN IMMEDIATE").unwrap();
    assert_eq!(post(&daemon, "198.51.100.1", b"not json"), 503);
    database.execute_batch("ROLLBACK").unwrap();
    eventually("the daemon is ready", || daemon.get("/-/ready").status == 200);
    assert_eq!(post(&daemon, "198.51.100.1", b"not json"), 400);
}

#[test]
fn notification_with_a_mark_or_invalid_bytes_is_recorded_and_counted_as_lenient() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = start(folder.path());
    let at = |second: u8| notification(INPUT, "connected", &format!("2026-11-20T18:00:0{second}Z"));
    let latin_1 = at(2).replace("Live Webhook Test", "caf#").into_bytes();
    let latin_1 = latin_1.into_iter().map(|byte| if byte == b'#' { 0xe9 } else { byte }).collect();
    for body in [format!("\u{feff}{}", at(1)).into_bytes(), latin_1] {
        assert_eq!(post(&daemon, "198.51.100.1", &body), 200, "{}", String::from_utf8_lossy(&body));
    }
    assert_eq!(daemon.metric("stream_live_exporter_notifications_lenient_total"), Some(2.0));
    assert_eq!(daemon.metric("stream_live_exporter_notifications_total{outcome=\"recorded\"}"), Some(2.0));
}
