//! The private listener's methods, HTTP/1.0, and query parameters.

use std::io::Read;

use flate2::read::GzDecoder;

use crate::connection::{Connection, exchange, request};
use crate::daemon::{Daemon, fixture};
use crate::parser;

const PATHS: [&str; 7] =
    ["/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/inputs", "/api/v1/events", "/api/v1/cloudflare"];

/// Sends a request of HTTP/1.0 and reads until the connection ends. Returns the head and the body.
fn http_1_0(address: &str, head: &str, body: &str) -> (String, Vec<u8>) {
    let mut connection = Connection::open(address).unwrap();
    let head = head.replace(" | ", "\r\n").replacen("\r\n", " HTTP/1.0\r\n", 1);
    connection.send(format!("{head}\r\n\r\n{body}").as_bytes()).unwrap();
    let answer = connection.read_to_end().unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("a head");
    (String::from_utf8(answer[..end].to_vec()).unwrap().to_lowercase(), answer[end + 4..].to_vec())
}

fn is_complete(path: &str, body: &[u8]) -> bool {
    let text = std::str::from_utf8(body).unwrap();
    match path {
        "/metrics" => parser::parse(text, false).is_ok_and(|families| !families.is_empty()),
        path if path.starts_with("/api/") => serde_json::from_str::<serde_json::Value>(text).is_ok(),
        "/" => text.ends_with("</html>\n"),
        _ => text.ends_with('\n'),
    }
}

#[test]
fn response_to_http_1_0_has_no_chunks_and_is_complete_when_the_connection_ends() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.post(&fixture("connected")).status, 200);
    for path in PATHS {
        for accepted in ["identity", "gzip"] {
            let head = format!("GET {path} | accept-encoding: {accepted}");
            let (head, body) = http_1_0(daemon.private_address(), &head, "");
            assert!(head.starts_with("http/1.0 200 ok\r\n"), "{path}: {head}");
            assert!(!head.contains("transfer-encoding"), "{path}: {head}");
            let body = if head.contains("content-encoding: gzip") {
                let mut plain = Vec::new();
                GzDecoder::new(&body[..]).read_to_end(&mut plain).unwrap();
                plain
            } else {
                body
            };
            assert!(is_complete(path, &body), "{path}: {head}\n{}", String::from_utf8_lossy(&body));
        }
    }
    // Without a length, only the end of the connection ends the body.
    let (head, body) = http_1_0(daemon.private_address(), "GET /metrics | connection: keep-alive", "");
    assert!(!head.contains("keep-alive") && !head.contains("transfer-encoding"), "{head}");
    assert!(is_complete("/metrics", &body));
    let (head, body) = http_1_0(daemon.private_address(), "HEAD /metrics | connection: keep-alive", "");
    assert!(head.starts_with("http/1.0 200 ok\r\n") && !head.contains("transfer-encoding"), "{head}");
    assert_eq!(body, b"");

    let post = fixture("connected");
    let authenticated =
        format!("POST /webhook | cf-webhook-auth: {} | content-length: {}", daemon.secret(), post.len());
    for (head, status) in [
        (authenticated.as_str(), "200 ok"),
        ("POST /webhook | content-length: 0", "401 unauthorized"),
        ("GET /-/healthy | accept: */*", "200 ok"),
        ("GET /nowhere | accept: */*", "404 not found"),
    ] {
        let (head, body) = http_1_0(daemon.public_address(), head, if head == authenticated { &post } else { "" });
        assert!(head.starts_with(&format!("http/1.0 {status}\r\n")), "{head}");
        assert!(head.contains(&format!("content-length: {}", body.len())), "{head}");
    }
}

#[test]
fn head_is_answered_like_get_without_the_body() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for path in PATHS.into_iter().chain(["/nowhere"]) {
        for headers in ["", " | accept-encoding: gzip", " | accept: application/openmetrics-text"] {
            let mut connection = Connection::open(daemon.private_address()).unwrap();
            connection.send(&request(&format!("HEAD {path}{headers}"), b"")).unwrap();
            let mut of_head = connection.read_head().unwrap();
            // If a body followed, it would be read as the next answer.
            connection.send(&request(&format!("GET {path}{headers}"), b"")).unwrap();
            let mut of_get = connection.read_answer().unwrap();
            assert!(!of_get.body.is_empty(), "{path}{headers}");
            of_get.body.clear();
            for answer in [&mut of_head, &mut of_get] {
                answer.headers.remove("date");
                // The texts of the times differ in length.
                if path.starts_with("/api/") {
                    answer.headers.entry("content-length".to_owned()).and_modify(String::clear);
                }
            }
            assert_eq!(of_head, of_get, "{path}{headers}");
        }
    }
}

#[test]
fn other_methods_get_405_with_the_allowed_ones() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let cases =
        PATHS.iter().flat_map(|path| ["POST", "PUT", "DELETE", "OPTIONS"].map(|method| (method, *path, "GET, HEAD")));
    for (method, path, allowed) in cases.chain([("GET", "/-/reload", "POST"), ("DELETE", "/-/reload", "POST")]) {
        let answer = exchange(daemon.private_address(), &format!("{method} {path}"), b"");
        assert_eq!(
            (answer.status.as_str(), answer.header("allow")),
            ("405 Method Not Allowed", allowed),
            "{method} {path}"
        );
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{method} {path}");
        assert!(answer.text().contains(allowed), "{method} {path}: {}", answer.text());
    }
    for path in ["/nowhere", "/api/v1/nothing", "/api/v1/inputs/"] {
        let answer = exchange(daemon.private_address(), &format!("GET {path}"), b"");
        assert_eq!((answer.status.as_str(), answer.text()), ("404 Not Found", "not found\n"), "{path}");
        assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{path}");
    }
}

#[test]
fn unusable_query_parameter_gets_400_with_its_name_its_value_and_what_is_allowed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for (query, parts) in [
        ("/api/v1/events?limit=abc", ["limit", "abc", "1000"]),
        ("/api/v1/events?limit=0", ["limit", "\"0\"", "1000"]),
        ("/api/v1/events?limit=1001", ["limit", "1001", "1000"]),
        ("/api/v1/events?limit=", ["limit", "\"\"", "1000"]),
        ("/api/v1/events?limt=5", ["limt", "\"5\"", "limit"]),
        ("/api/v1/events?limit=5&limit=6", ["limit", "\"6\"", "once"]),
        ("/api/v1/inputs?limit=5", ["limit", "\"5\"", "none"]),
    ] {
        for method in ["GET", "HEAD"] {
            let answer = exchange(daemon.private_address(), &format!("{method} {query}"), b"");
            assert_eq!(answer.status, "400 Bad Request", "{query}");
            assert_eq!(answer.header("content-type"), "text/plain; charset=utf-8", "{query}");
            let missing = parts.iter().find(|part| method == "GET" && !answer.text().contains(*part));
            assert_eq!(missing, None, "{query}: {}", answer.text());
        }
    }
    for path in ["/api/v1/events?", "/api/v1/events?limit=7", "/api/v1/events?limit=%37", "/metrics?collect=all"] {
        assert_eq!(daemon.get(path).status, 200, "{path}");
    }
}
