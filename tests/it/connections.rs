//! Who may stay connected: clients that take their time, that come in crowds, that guess.

use std::io::ErrorKind;
use std::path::Path;
use std::thread;
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, exchange, request};
use crate::daemon::{Daemon, LATENESS, PATIENCE, command, eventually, fixture};

/// How long this daemon waits for anything: longer than a busy machine leaves a client between two steps.
const IDLE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long the server itself waits for the first head of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// More than a listener of the standard library lets wait, and as many as the private one serves of one peer.
const CROWD: usize = 256;

fn daemon(folder: &Path, idle_timeout: Duration) -> Daemon {
    let mut command = command(folder);
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", format!("{}s", idle_timeout.as_secs()));
    Daemon::spawn(command, folder)
}

/// Sends `bytes`, reads so many answers, and then does nothing any more until it is shut out, which must be after
/// `limit`: what came after the answers.
fn dawdle(address: &str, bytes: &[u8], answers: usize, limit: Duration) -> Vec<u8> {
    // Before it connects: the daemon's own watch begins later than ours, whatever the machine does meanwhile.
    let since = Stopwatch::start();
    let mut connection = Connection::open(address).unwrap();
    connection.send(bytes).unwrap();
    for _ in 0..answers {
        connection.read_answer().unwrap();
    }
    let answered = Stopwatch::start();
    let rest = connection.read_to_end().unwrap_or_else(|error| panic!("still open after {PATIENCE:?}: {error}"));
    assert!(since.elapsed() > limit / 2, "it was not given its time: {:?}", since.elapsed());
    assert!(answered.elapsed() < limit + LATENESS, "it was given too much time: {:?}", answered.elapsed());
    rest
}

#[test]
fn whoever_dawdles_is_shut_out() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), IDLE_TIMEOUT);
    let healthy = request("GET /-/healthy", b"");
    let head = b"POST /webhook HTTP/1.1\r\nhost: x\r\n";
    let cases = [
        (Vec::new(), 0, "nothing is sent"),
        (head.to_vec(), 0, "the first head is not finished"),
        (healthy.clone(), 1, "a kept-alive connection idles"),
        ([&healthy[..], head].concat(), 1, "the second head is not finished"),
        ([&healthy[..], &healthy, b"G"].concat(), 2, "nor the third"),
    ];
    let unfinished =
        (request("GET /-/healthy | transfer-encoding: chunked", b"5\r\nab"), 1, "a body that nobody asked for");
    let (public, private) = (daemon.public_address(), daemon.private_address());
    let everywhere = cases.iter().flat_map(|case| [(public, case), (private, case)]);
    // All at once, because each takes its time.
    thread::scope(|scope| {
        for (address, (bytes, answers, what)) in everywhere.chain([(private, &unfinished)]) {
            scope.spawn(move || assert_eq!(dawdle(address, bytes, *answers, IDLE_TIMEOUT), b"", "{address}: {what}"));
        }
    });
}

#[test]
fn a_crowd_that_comes_at_once_waits_until_it_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__MAX_CONNECTIONS_PER_PEER", CROWD.to_string());
    let daemon = Daemon::spawn(command, folder.path());
    for address in [daemon.public_address(), daemon.private_address()] {
        daemon.signal("STOP");
        let crowd: Vec<_> = (0..CROWD).map(|_| Connection::open(address).unwrap()).collect();
        daemon.signal("CONT");
        for mut connection in crowd {
            connection.send(&request("GET /-/healthy", b"")).unwrap();
            assert_eq!(connection.read_answer().unwrap().status, "200 OK");
        }
    }
}

#[test]
fn a_first_head_that_does_not_come_is_given_up_long_before_an_idle_connection() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), Duration::from_secs(3600));
    thread::scope(|scope| {
        for address in [daemon.public_address(), daemon.private_address()] {
            for beginning in ["", "G", "GET /-/healthy HTTP/1.1\r\nhost: x\r\nx: "] {
                scope.spawn(move || {
                    let answer = dawdle(address, beginning.as_bytes(), 0, HEAD_TIMEOUT);
                    let told = String::from_utf8_lossy(&answer);
                    assert!(told.starts_with("HTTP/1.1 408 Request Timeout\r\n"), "{address}: {beginning:?}: {told}");
                });
            }
        }
    });
}

#[test]
fn answers_that_nobody_takes_are_not_kept_for_ever() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = daemon(folder.path(), IDLE_TIMEOUT);
    thread::scope(|scope| {
        for (address, head) in [(daemon.public_address(), "GET /-/healthy"), (daemon.private_address(), "GET /metrics")]
        {
            scope.spawn(move || {
                let many = request(head, b"").repeat(100);
                let mut connection = Connection::open(address).unwrap();
                // Nothing is ever read. When there is no room for answers any more no request is taken either, and
                // so the last that could be sent is what the end is measured from.
                let (mut sent, mut since) = (0, Stopwatch::start());
                let error = loop {
                    match connection.send(&many) {
                        Ok(()) => (sent, since) = (sent + many.len(), Stopwatch::start()),
                        Err(error) => break error,
                    }
                };
                let took = since.elapsed();
                assert!(matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe), "{head}: {error}");
                assert!(took < IDLE_TIMEOUT + LATENESS, "{head}: it was given too much time: {took:?} ({sent} bytes)");
            });
        }
    });
    assert_eq!(exchange(daemon.public_address(), "GET /-/healthy", b"").status, "200 OK");
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
