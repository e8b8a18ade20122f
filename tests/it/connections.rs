//! Who may stay connected: clients that take their time, that come in crowds, that guess.

use std::path::Path;
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, exchange, request};
use crate::daemon::{Daemon, PATIENCE, command, eventually, fixture};

/// How long this daemon waits for anything, and how late it may be on a busy machine.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

fn daemon(folder: &Path, settings: &[(&str, &str)]) -> Daemon {
    let mut command = command(folder);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", "1s");
    command.envs(settings.iter().map(|(key, value)| (format!("STREAM_LIVE_EXPORTER__{key}"), value)));
    Daemon::spawn(command, folder)
}

/// Sends `bytes`, reads so many answers, and then does nothing any more until it is shut out: what
/// came after the answers.
fn dawdle(address: &str, bytes: &[u8], answers: usize) -> Vec<u8> {
    let mut connection = Connection::open(address).unwrap();
    connection.send(bytes).unwrap();
    for _ in 0..answers {
        connection.read_answer().unwrap();
    }
    let since = Stopwatch::start();
    let rest = connection.read_to_end().unwrap_or_else(|error| panic!("still open after {PATIENCE:?}: {error}"));
    assert!(since.elapsed() > IDLE_TIMEOUT / 2, "it was not given its time");
    rest
}

#[test]
fn whoever_dawdles_is_shut_out() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), &[]);
    let healthy = request("GET /-/healthy", b"");
    let head = b"POST /webhook HTTP/1.1\r\nhost: x\r\n";
    for address in [daemon.public_address(), daemon.private_address()] {
        assert_eq!(dawdle(address, b"", 0), b"", "nothing is sent");
        assert_eq!(dawdle(address, &healthy, 1), b"", "a kept-alive connection idles");
        assert_eq!(dawdle(address, &[&healthy[..], head].concat(), 1), b"", "the second head is not finished");
        assert_eq!(dawdle(address, &[&healthy[..], &healthy, b"G"].concat(), 2), b"", "nor the third");
        dawdle(address, head, 0);
    }
    let unfinished = request("GET /-/healthy | transfer-encoding: chunked", b"5\r\nab");
    assert_eq!(dawdle(daemon.private_address(), &unfinished, 1), b"", "a body that nobody asked for does not end");
}

/// A connection that the daemon has taken in, and keeps.
fn taken(address: &str) -> Connection {
    let mut connection = Connection::open(address).unwrap();
    connection.send(&request("GET /-/healthy", b"")).unwrap();
    assert_eq!(connection.read_answer().unwrap().status, "200 OK");
    connection
}

/// Whether a new connection is shut out at once.
fn crowded(address: &str) -> bool {
    let mut connection = Connection::open(address).unwrap();
    let _ = connection.send(&request("GET /-/healthy", b""));
    connection.read_answer().is_err()
}

fn crowd(folder: &Path, total: &str, per_peer: &str, trusted: &str) -> Daemon {
    let mut command = command(folder);
    for (key, value) in
        [("MAX_CONNECTIONS", total), ("MAX_CONNECTIONS_PER_PEER", per_peer), ("TRUSTED_PROXIES", trusted)]
    {
        command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value);
    }
    Daemon::spawn(command, folder)
}

#[test]
fn a_peer_has_so_many_connections_and_gets_them_back() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = crowd(folder.path(), "100", "3", "");
    let address = daemon.public_address();
    let mut open: Vec<_> = (0..3).map(|_| taken(address)).collect();
    assert!(crowded(address));
    assert!(!crowded(daemon.private_address()), "the other listener has its own");
    open.pop();
    eventually("the place is free again", || !crowded(address));
    drop(open);
}

#[test]
fn all_together_have_so_many_connections_and_a_trusted_proxy_may_take_them_all() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = crowd(folder.path(), "5", "1", "127.0.0.0/8");
    let address = daemon.public_address();
    let open: Vec<_> = (0..5).map(|_| taken(address)).collect();
    assert!(crowded(address));
    drop(open);
    eventually("the places are free again", || !crowded(address));
}

fn status(address: &str, head: &str) -> String {
    exchange(address, head, b"").status
}

#[test]
fn whoever_guesses_is_told_to_go_away_and_the_right_secret_still_passes() {
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
    assert_eq!(
        limited.to_string(),
        "429 Too Many Requests | connection: close | content-length: 29 | content-type: application/json | \
         retry-after: 60 | {\"error\":\"too many attempts\"}",
        "a missing secret is a wrong one"
    );
    let somebody_else = "POST /webhook | cf-webhook-auth: wrong | x-forwarded-for: 203.0.113.9";
    assert_eq!(status(address, somebody_else), "401 Unauthorized");
    assert_eq!(daemon.metric("stream_live_exporter_requests_rejected_total{reason=\"secret\"}"), Some(9.0));
    let body = fixture("connected");
    let right = format!(
        "POST /webhook | cf-webhook-auth: {} | x-forwarded-for: 198.51.100.1 | content-length: {}",
        daemon.secret(),
        body.len()
    );
    assert_eq!(exchange(address, &right, body.as_bytes()).status, "200 OK");
}
