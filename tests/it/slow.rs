//! Clients that take their time: each is closed within its limit, and the others do not notice.

use std::time::{Duration, Instant};

use crate::connection::{Connection, request};
use crate::daemon::{Daemon, PATIENCE, command};

/// How long this daemon waits for anything, and how late it may be on a busy machine.
const IDLE_TIMEOUT: Duration = Duration::from_secs(1);

fn daemon(folder: &std::path::Path, settings: &[(&str, &str)]) -> Daemon {
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
    let since = Instant::now();
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
