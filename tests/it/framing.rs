//! Request smuggling: requests whose end two parsers could see differently.
//!
//! A proxy or tunnel in front of the daemon has parsed the same bytes. If it sees one request where the daemon sees
//! two, an attacker can hide a request in another one. Each case here is followed by a second request, which may be
//! answered only if its beginning is unambiguous.

use crate::connection::Connection;
use crate::daemon::{Daemon, command};

const OK: &[&str] = &["200 OK", "200 OK"];
const BAD: &[&str] = &["400 Bad Request"];
const CHUNKED: &str = "transfer-encoding: chunked";

fn daemon(folder: &std::path::Path) -> Daemon {
    let mut command = command(folder);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT", "300ms");
    Daemon::spawn(command, folder)
}

/// The status of each response to these bytes and to a health check that follows them.
fn answers(daemon: &Daemon, bytes: &str) -> Vec<String> {
    let mut connection = Connection::open(daemon.public_address()).unwrap();
    let healthy = "GET /-/healthy HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n";
    // The daemon may close the connection before everything is sent.
    let _ = connection.send(format!("{bytes}{healthy}").as_bytes());
    std::iter::from_fn(|| connection.read_answer().ok()).map(|answer| answer.status).collect()
}

/// Posts a notification with these header lines and this body.
fn check(daemon: &Daemon, headers: &str, body: &str, expected: &[&str]) {
    let head = format!("POST /webhook HTTP/1.1\r\nhost: x\r\ncf-webhook-auth: {}\r\n", daemon.secret());
    assert_eq!(answers(daemon, &format!("{head}{headers}\r\n\r\n{body}")), expected, "{headers:?} {body:?}");
}

#[test]
fn content_length_must_be_one_decimal_number() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path());
    for (headers, expected) in [
        ("content-length: 2", OK),
        ("Content-Length:\t2 ", OK),
        ("content-length: 02", OK),
        ("content-length: 2\r\ncontent-length: 2", BAD),
        ("content-length: 2\r\ncontent-length: 3", BAD),
        ("content-length: 2, 2", BAD),
        ("content-length: +2", BAD),
        ("content-length: -2", BAD),
        ("content-length: 0x2", BAD),
        ("content-length: 2 2", BAD),
        ("content-length: 99999999999999999999999", BAD),
        ("content-length: ", BAD),
        ("content-length : 2", BAD),
        ("x: a\r\n content-length: 2", BAD),
        // Without a length there is no body, so the body's bytes are an invalid next request.
        ("x: a", &["400 Bad Request", "400 Bad Request"]),
    ] {
        check(&daemon, headers, "{}", expected);
    }
}

#[test]
fn transfer_encoding_must_be_chunked_alone() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path());
    for (headers, expected) in [
        (CHUNKED, OK),
        ("Transfer-Encoding: Chunked", OK),
        ("transfer-encoding: chunked\r\ncontent-length: 2", BAD),
        ("content-length: 2\r\ntransfer-encoding: chunked", BAD),
        ("transfer-encoding: chunked\r\ntransfer-encoding: chunked", BAD),
        ("transfer-encoding: identity\r\ntransfer-encoding: chunked", BAD),
        ("transfer-encoding: gzip, chunked", BAD),
        ("transfer-encoding: chunked, gzip", BAD),
        ("transfer-encoding: chunked, identity", BAD),
        ("transfer-encoding: identity", BAD),
        ("transfer-encoding: xchunked", BAD),
        ("transfer-encoding: \"chunked\"", BAD),
        ("transfer-encoding: \u{b}chunked", BAD),
        ("transfer-encoding : chunked", BAD),
        ("transfer-encoding:\r\n chunked", BAD),
        ("transfer-encoding: ", BAD),
        // A different header, so the request has no body.
        ("transfer_encoding: chunked", &["400 Bad Request", "400 Bad Request"]),
    ] {
        check(&daemon, headers, "2\r\n{}\r\n0\r\n\r\n", expected);
    }
}

#[test]
fn chunk_must_have_its_declared_length() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path());
    for (body, expected) in [
        ("2\r\n{}\r\n0\r\n\r\n", OK),
        ("1\r\n{\r\n1\r\n}\r\n0\r\n\r\n", OK),
        ("2;name=value\r\n{}\r\n0\r\n\r\n", OK),
        ("2 \r\n{}\r\n0\r\n\r\n", OK),
        // Trailers are ignored.
        ("2\r\n{}\r\n0\r\ncontent-length: 9\r\n\r\n", OK),
        ("0x2\r\n{}\r\n0\r\n\r\n", BAD),
        ("+2\r\n{}\r\n0\r\n\r\n", BAD),
        ("-2\r\n{}\r\n0\r\n\r\n", BAD),
        (" 2\r\n{}\r\n0\r\n\r\n", BAD),
        ("\r\n{}\r\n0\r\n\r\n", BAD),
        ("2\n{}\n0\n\n", BAD),
        ("2;a\n{}\r\n0\r\n\r\n", BAD),
        ("2\r\n{}0\r\n\r\n", BAD),
        ("10000000000000002\r\n{}\r\n0\r\n\r\n", BAD),
    ] {
        check(&daemon, CHUNKED, body, expected);
    }
    let broken = daemon.metric("stream_live_exporter_requests_rejected_total{reason=\"timeout\"}");
    assert_eq!(broken, Some(9.0), "each rejection by the webhook is counted");
}

#[test]
fn request_head_must_follow_the_standard() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path());
    for (headers, expected) in [
        ("x: a\0b\r\ncontent-length: 2", BAD),
        ("x\0y: a\r\ncontent-length: 2", BAD),
        ("x: a\rb\r\ncontent-length: 2", BAD),
        (": a\r\ncontent-length: 2", BAD),
        ("abc\r\ncontent-length: 2", BAD),
        ("host: y\r\ncontent-length: 2", BAD),
        // RFC 9112, section 2.2, allows a line feed alone as line end.
        ("x: a\ncontent-length: 2", OK),
        ("connection: content-length\r\ncontent-length: 2", OK),
        ("connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\ncontent-length: 2", OK),
        // An upgrade is not supported: the body has no end and times out.
        ("connection: upgrade\r\nupgrade: websocket\r\ncontent-length: 2", &["408 Request Timeout"]),
    ] {
        check(&daemon, headers, "{}", expected);
    }
    for (request, expected) in [
        ("GET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n", OK),
        ("GET /-/healthy HTTP/1.1\r\nhost: x\r\ncontent-length: 4\r\n\r\nGET ", OK),
        ("GET /-/healthy HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", OK),
        ("\r\n\r\nGET /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n", OK),
        ("get /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n", &["404 Not Found", "200 OK"]),
        ("GET /x/../-/healthy HTTP/1.1\r\nhost: x\r\n\r\n", &["404 Not Found", "200 OK"]),
        ("CONNECT x:80 HTTP/1.1\r\nhost: x\r\n\r\n", &["404 Not Found"]),
        ("GET /-/healthy HTTP/1.1\r\n\r\n", BAD),
        ("GET /-/healthy HTTP/1.2\r\nhost: x\r\n\r\n", BAD),
        ("GET /-/healthy HTTP/2.0\r\nhost: x\r\n\r\n", BAD),
        ("GET  /-/healthy HTTP/1.1\r\nhost: x\r\n\r\n", BAD),
        ("GET\t/-/healthy\tHTTP/1.1\r\nhost: x\r\n\r\n", BAD),
        ("GET /-/healthy\r\n", BAD),
        ("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", BAD),
        ("POST /webhook HTTP/1.0\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n", BAD),
    ] {
        assert_eq!(answers(&daemon, request), expected, "{request:?}");
    }
}
