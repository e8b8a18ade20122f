//! Limits of connections: slow clients, many clients, clients that guess secrets.

use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, exchange, request, webhook_request};
use crate::daemon::{Daemon, LATENESS, PATIENCE, command, eventually, fixture};

/// The daemon's idle timeout: longer than a busy machine delays a client between two steps.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// The server's time limit for the first head of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// More than the standard library's backlog of 128.
const BURST: usize = 256;
/// As many as the private listener admits from one peer.
const PRIVATE_BURST: usize = 64;

fn daemon(folder: &Path, idle_timeout: Duration) -> Daemon {
    let mut command = command(folder);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", format!("{}s", idle_timeout.as_secs()));
    Daemon::spawn(command, folder)
}

/// Sends `bytes`, reads this number of answers, and then waits until it is disconnected, which must happen after
/// `limit`. Returns the bytes after the answers.
fn idle_until_disconnected(address: &str, bytes: &[u8], answers: usize, limit: Duration) -> Vec<u8> {
    // Started before the connection, so that the daemon's timer cannot start earlier.
    let since = Stopwatch::start();
    let mut connection = Connection::open(address).unwrap();
    connection.send(bytes).unwrap();
    for _ in 0..answers {
        connection.read_answer().unwrap();
    }
    let answered = Stopwatch::start();
    let rest = connection.read_to_end().unwrap_or_else(|error| panic!("still open after {PATIENCE:?}: {error}"));
    assert!(since.elapsed() > limit / 2, "disconnected too early: {:?}", since.elapsed());
    assert!(answered.elapsed() < limit + LATENESS, "disconnected too late: {:?}", answered.elapsed());
    rest
}

#[test]
fn slow_clients_are_disconnected() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), IDLE_TIMEOUT);
    let healthy = request("GET /-/healthy", b"");
    let head = b"POST /webhook HTTP/1.1\r\nhost: x\r\n";
    let cases = [
        (Vec::new(), 0, "nothing is sent"),
        (head.to_vec(), 0, "the first head is not finished"),
        (healthy.clone(), 1, "an idle keep-alive connection"),
        ([&healthy[..], head].concat(), 1, "the second head is not finished"),
        ([&healthy[..], &healthy, b"G"].concat(), 2, "the third head is not finished"),
    ];
    let (public, private) = (daemon.public_address(), daemon.private_address());
    let everywhere = cases.iter().flat_map(|case| [(public, case), (private, case)]);
    // In parallel, because each waits for a timeout.
    thread::scope(|scope| {
        for (address, (bytes, answers, what)) in everywhere {
            scope.spawn(move || {
                assert_eq!(idle_until_disconnected(address, bytes, *answers, IDLE_TIMEOUT), b"", "{address}: {what}");
            });
        }
    });
}

#[test]
fn burst_of_connections_waits_in_the_backlog() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__MAX_CONNECTIONS_PER_PEER", BURST.to_string());
    let daemon = Daemon::spawn(command, folder.path());
    for (address, size) in [(daemon.public_address(), BURST), (daemon.private_address(), PRIVATE_BURST)] {
        daemon.signal("STOP");
        let burst: Vec<_> = (0..size).map(|_| Connection::open(address).unwrap()).collect();
        daemon.signal("CONT");
        for mut connection in burst {
            connection.send(&request("GET /-/healthy", b"")).unwrap();
            assert_eq!(connection.read_answer().unwrap().status, "200 OK");
        }
    }
}

#[test]
fn missing_first_head_gets_408_before_the_idle_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), Duration::from_secs(3600));
    thread::scope(|scope| {
        for address in [daemon.public_address(), daemon.private_address()] {
            for beginning in ["", "G", "GET /-/healthy HTTP/1.1\r\nhost: x\r\nx: "] {
                scope.spawn(move || {
                    let answer = idle_until_disconnected(address, beginning.as_bytes(), 0, HEAD_TIMEOUT);
                    let answer = String::from_utf8_lossy(&answer);
                    assert!(
                        answer.starts_with("HTTP/1.1 408 Request Timeout\r\n"),
                        "{address}: {beginning:?}: {answer}"
                    );
                });
            }
        }
    });
}

#[test]
fn connection_with_unread_responses_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), IDLE_TIMEOUT);
    thread::scope(|scope| {
        for (address, head) in [(daemon.public_address(), "GET /-/healthy"), (daemon.private_address(), "GET /metrics")]
        {
            scope.spawn(move || {
                let many = request(head, b"").repeat(100);
                let mut connection = Connection::open(address).unwrap();
                // The client reads nothing. When the buffers for responses are full, the daemon reads no further requests.
                // The timeout is measured from the last request that could be sent.
                let (mut sent, mut since) = (0, Stopwatch::start());
                let error = loop {
                    match connection.send(&many) {
                        Ok(()) => (sent, since) = (sent + many.len(), Stopwatch::start()),
                        Err(error) => break error,
                    }
                };
                let took = since.elapsed();
                assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{head}: {error}");
                assert!(took < IDLE_TIMEOUT + LATENESS, "{head}: disconnected too late: {took:?} ({sent} bytes)");
            });
        }
    });
    assert_eq!(exchange(daemon.public_address(), "GET /-/healthy", b"").status, "200 OK");
}

/// A connection on which the valid secret was presented.
fn admitted(daemon: &Daemon) -> Connection {
    let mut connection = Connection::open(daemon.public_address()).unwrap();
    connection.send(&webhook_request(daemon.secret(), &fixture("connected"))).unwrap();
    assert_eq!(connection.read_answer().unwrap().status, "200 OK");
    connection
}

/// Whether a new connection is closed at once.
fn is_full(address: &str) -> bool {
    let mut connection = Connection::open(address).unwrap();
    let _ = connection.send(&request("GET /-/healthy", b""));
    connection.read_answer().is_err()
}

fn limited(folder: &Path, total: &str, per_peer: &str, trusted: &str) -> Daemon {
    let mut command = command(folder);
    for (key, value) in
        [("MAX_CONNECTIONS", total), ("MAX_CONNECTIONS_PER_PEER", per_peer), ("TRUSTED_PROXIES", trusted)]
    {
        command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value);
    }
    Daemon::spawn(command, folder)
}

#[test]
fn connections_per_peer_are_limited_until_others_close() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = limited(folder.path(), "100", "3", "");
    let address = daemon.public_address();
    let mut open: Vec<_> = (0..3).map(|_| admitted(&daemon)).collect();
    assert!(is_full(address));
    assert!(!is_full(daemon.private_address()), "the other listener has its own limit");
    open.pop();
    eventually("the closed connection does not count", || !is_full(address));
    drop(open);
}

#[test]
fn total_connections_are_limited_and_a_trusted_proxy_may_use_all() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = limited(folder.path(), "5", "1", "127.0.0.0/8");
    let address = daemon.public_address();
    let open: Vec<_> = (0..5).map(|_| admitted(&daemon)).collect();
    assert!(is_full(address));
    drop(open);
    eventually("the closed connections do not count", || !is_full(address));
}

fn status(address: &str, head: &str) -> String {
    exchange(address, head, b"").status
}

#[test]
fn wrong_secrets_are_rate_limited_and_the_valid_one_still_passes() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__MAX_FAILURES_PER_PEER", "5");
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__TRUSTED_PROXIES", "127.0.0.1");
    let daemon = Daemon::spawn(command, folder.path());
    let address = daemon.public_address();
    let wrong = "POST /webhook | cf-webhook-auth: wrong | x-forwarded-for: 203.0.113.9, 198.51.100.1";
    let answers: Vec<_> = (0..7).map(|_| status(address, wrong)).collect();
    assert_eq!(answers[..5], ["401 Unauthorized"; 5]);
    assert_eq!(answers[5..], ["429 Too Many Requests"; 2]);
    let limited = exchange(address, "POST /webhook | x-forwarded-for: 198.51.100.1", b"");
    assert_eq!(limited.status, "429 Too Many Requests", "a missing secret counts as a wrong one");
    for (name, value) in [("connection", "close"), ("content-type", "application/json"), ("retry-after", "60")] {
        assert_eq!(limited.header(name), value, "{name}");
    }
    assert!(serde_json::from_str::<serde_json::Value>(limited.text()).unwrap()["error"].is_string());
    let other_client = "POST /webhook | cf-webhook-auth: wrong | x-forwarded-for: 203.0.113.9";
    assert_eq!(status(address, other_client), "401 Unauthorized");
    assert_eq!(daemon.metric("stream_live_exporter_requests_rejected_total{reason=\"secret\"}"), Some(9.0));
    assert_eq!(daemon.post_private("/-/reload").status, 200);
    assert_eq!(status(address, wrong), "429 Too Many Requests", "a reload does not reset the count");
    let body = fixture("connected");
    let right = format!(
        "POST /webhook | cf-webhook-auth: {} | x-forwarded-for: 198.51.100.1 | content-length: {}",
        daemon.secret(),
        body.len()
    );
    assert_eq!(exchange(address, &right, body.as_bytes()).status, "200 OK");
}
