//! Many slow clients of every kind: each is disconnected after its time limit, repeatedly, while notifications are
//! answered.
//!
//! The latency of notifications during the flood is reported and not asserted: `cargo test --release --test it slow_clients`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, exchange, request};
use crate::daemon::{Daemon, LATENESS, OverWhenDropped, PATIENCE, command, eventually, notification};
use crate::tls::Pair;
use crate::tools::{report, tool};

/// Number of concurrent clients of each kind.
const CLIENTS: usize = 64;
/// The interval at which a slow client sends something.
const DRIP: Duration = Duration::from_millis(100);
/// Number of notifications that are timed without the flood, and at least during it: on one connection, and with one
/// handshake each.
const NOTIFICATIONS: u64 = 1000;
const HANDSHAKES: u64 = 250;
/// The longest of the time limits, plus the time until each of many clients notices the disconnect.
const LONGEST: Duration = Duration::from_secs(3).saturating_add(LATENESS).saturating_add(LATENESS);

/// A way to be slow.
struct Kind {
    name: &'static str,
    /// Sent at once.
    begins: Vec<u8>,
    /// Sent repeatedly, or nothing for a silent client.
    drips: &'static [u8],
    /// The possible beginnings of the response, if there is one.
    answers: &'static [&'static str],
}

impl Kind {
    fn new(name: &'static str, begins: &[&[u8]], drips: &'static [u8], answers: &'static [&'static str]) -> Self {
        Self { name, begins: begins.concat(), drips, answers }
    }

    /// Connects and is slow until it is disconnected.
    fn run(&self, address: &str) {
        let mut stream = TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(DRIP)).unwrap();
        let since = Stopwatch::start();
        let _ = stream.write_all(&self.begins);
        let mut answer = Vec::new();
        let mut buffer = [0; 1024];
        loop {
            match stream.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => answer.extend_from_slice(&buffer[..read]),
                // The daemon may have closed the connection already; the next read reports it.
                Err(error) if error.kind() == ErrorKind::WouldBlock => _ = stream.write_all(self.drips),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                // All processes were stopped for a moment.
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{}: {error}", self.name),
            }
            assert!(since.elapsed() < LONGEST, "{}: still open", self.name);
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(
            answer.is_empty() || self.answers.iter().any(|beginning| answer.starts_with(beginning)),
            "{}: {answer}",
            self.name
        );
    }
}

/// Every kind over plain HTTP, with and without a valid secret.
fn kinds(secret: &str) -> Vec<Kind> {
    let healthy = request("GET /-/healthy", b"");
    let right = request(&format!("POST /webhook | cf-webhook-auth: {secret} | content-length: 600"), b"{");
    let chunks = request(&format!("POST /webhook | cf-webhook-auth: {secret} | transfer-encoding: chunked"), b"");
    let wrong = request("POST /webhook | cf-webhook-auth: wrong | transfer-encoding: chunked", b"");
    let head = b"POST /webhook HTTP/1.1\r\nhost: x\r\nx: ";
    let timeout = &["HTTP/1.1 408 "];
    vec![
        Kind::new("no head", &[], b"", timeout),
        Kind::new("an unfinished head", &[head], b"", timeout),
        Kind::new("a head byte by byte", &[head], b"x", timeout),
        Kind::new("an idle connection", &[&healthy], b"", &["HTTP/1.1 200 "]),
        Kind::new("a second head byte by byte", &[&healthy, head], b"x", &["HTTP/1.1 200 "]),
        Kind::new("a body byte by byte", &[&right], b" ", timeout),
        Kind::new("a body chunk by chunk", &[&chunks], b"1\r\n \r\n", timeout),
        Kind::new("chunks after an answer", &[&wrong], b"1\r\n \r\n", &["HTTP/1.1 401 ", "HTTP/1.1 429 "]),
    ]
}

/// The beginning of a TLS record that announces more bytes than follow.
pub const HANDSHAKE: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

fn handshakes() -> Vec<Kind> {
    vec![
        Kind::new("no handshake", &[], b"", &[]),
        Kind::new("an unfinished handshake", &[HANDSHAKE], b"", &[]),
        Kind::new("a handshake byte by byte", &[HANDSHAKE], &[0], &[]),
    ]
}

/// Posts distinct notifications one after the other until `enough`. Returns their latencies in ascending order and the
/// number of retries. `post` returns the status, or `None` without a response.
///
/// On a busy machine a good client may be idle long enough to be disconnected. Like Cloudflare, it then retries, and the
/// latency includes that. Any status other than 200 is a failure.
fn timed(
    first: u64,
    mut post: impl FnMut(&str) -> Option<u16>,
    enough: impl Fn(u64) -> bool,
) -> (Vec<Duration>, usize) {
    let mut again = 0;
    let post = |number| {
        let body = notification(&format!("{number:032x}"), "connected", "2026-11-20T18:00:00Z");
        let since = Stopwatch::start();
        let status = loop {
            match post(&body) {
                Some(status) => break status,
                None => again += 1,
            }
            assert!(since.elapsed() < PATIENCE, "notification {number} is not answered");
        };
        assert_eq!(status, 200, "notification {number} was recorded");
        since.elapsed()
    };
    let mut times: Vec<_> = (first..).take_while(|number| !enough(number - first)).map(post).collect();
    times.sort_unstable();
    (times, again)
}

pub fn percentiles(times: &[Duration]) -> String {
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

/// Measures notifications without slow clients, and then during a flood of all kinds of slow clients.
fn flood(daemon: &Daemon, kinds: &[Kind], notifications: u64, mut post: impl FnMut(&str) -> Option<u16>) {
    let (alone, _) = timed(0, &mut post, |posted| posted == notifications);
    let address = daemon.public_address();
    let (over, running, disconnected) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let clients = kinds.len() * CLIENTS;
    let (beside, again) = thread::scope(|scope| {
        let _over = OverWhenDropped(&over);
        for kind in kinds.iter().cycle().take(clients) {
            scope.spawn(|| {
                running.fetch_add(1, Ordering::AcqRel);
                while !over.load(Ordering::Acquire) {
                    kind.run(address);
                    disconnected.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        eventually("all clients are running", || running.load(Ordering::Acquire) == clients);
        // Until as many clients have been disconnected as run at the same time.
        let since = Stopwatch::start();
        let all_disconnected = || disconnected.load(Ordering::Acquire) >= clients;
        let enough = |posted| posted >= notifications && (all_disconnected() || since.elapsed() > PATIENCE);
        timed(notifications, &mut post, enough)
    });
    // Every notification is recorded exactly once.
    let all = alone.len() + beside.len();
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(all as f64));
    let disconnected = disconnected.into_inner();
    assert!(disconnected >= clients, "{disconnected} of {clients} were disconnected");
    let kinds = kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let (alone, beside, posted) = (percentiles(&alone), percentiles(&beside), beside.len());
    report(&format!(
        "slow clients: {clients} concurrent ({kinds}), {disconnected} disconnects; {posted} notifications \
         during the flood, {again} retries: {beside}; without it: {alone}"
    ));
}

fn limited(folder: &Path) -> Command {
    let mut command = command(folder);
    for (key, value) in [
        ("IDLE_TIMEOUT", "1s"),
        ("BODY_TIMEOUT", "1s"),
        ("MAX_CONNECTIONS", "1024"),
        ("MAX_CONNECTIONS_PER_PEER", "1024"),
    ] {
        command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value);
    }
    command
}

#[test]
fn slow_clients_are_disconnected_while_notifications_pass() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(limited(folder.path()), folder.path());
    let mut kept_alive = None;
    flood(&daemon, &kinds(daemon.secret()), NOTIFICATIONS, |body| {
        let mut connection = kept_alive.take().or_else(|| Connection::open(daemon.public_address()).ok())?;
        let head = format!("POST /webhook | cf-webhook-auth: {} | content-length: {}", daemon.secret(), body.len());
        connection.send(&request(&head, body.as_bytes())).ok()?;
        let answer = connection.read_answer().ok()?;
        kept_alive = Some(connection);
        Some(answer.status.split(' ').next()?.parse().expect("a status is a number"))
    });
}

#[test]
fn slow_handshakes_are_disconnected_while_notifications_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = limited(folder.path());
    Pair::new().write(folder.path(), &mut command);
    let daemon = Daemon::spawn(command, folder.path());
    flood(&daemon, &handshakes(), HANDSHAKES, |body| daemon.try_post(body).map(|answer| answer.status));
}

/// The columns of slowhttptest's output by name, for each second.
fn slowhttptest(program: &Path, folder: &Path, url: &str, mode: &str, length: &str) -> Vec<BTreeMap<String, u64>> {
    let mut command = Command::new(program);
    command.args([mode, "-c", "500", "-r", "500", "-i", "1", "-l", length, "-p", "30", "-g", "-o", "seen", "-u", url]);
    let ran = command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(ran.success(), "{ran}");
    let seen = fs::read_to_string(folder.join("seen.csv")).unwrap();
    let mut lines = seen.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let names = lines.next().expect("the first line has the names");
    let number = |text: String| text.trim().parse().expect("the columns are numbers");
    lines.map(|line| names.iter().cloned().zip(line.into_iter().map(number)).collect()).collect()
}

#[test]
fn slowhttptest_does_not_reduce_availability() {
    let Some(program) = tool("SLOWHTTPTEST", Path::new("slowhttptest")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(limited(folder.path()), folder.path());
    // Slow heads and bodies are disconnected long before slowhttptest ends. Slow readers get the short responses at once
    // into their own buffers, so their connections remain until slowhttptest ends.
    for (mode, length, stays) in [("-H", "120", false), ("-B", "120", false), ("-X", "10", true)] {
        let seconds = slowhttptest(&program, folder.path(), daemon.webhook(), mode, length);
        let (first, last) = (&seconds[0], &seconds[seconds.len() - 1]);
        let all = length.parse::<usize>().expect("a number of seconds");
        assert!(stays || seconds.len() < all, "{mode}: all were disconnected before it ended: {seconds:?}");
        assert!(
            last["Closed"] + last["Connected"] + last["Pending"] > 250,
            "{mode}: there were many clients: {seconds:?}"
        );
        let up = first["Service Available"];
        assert!(up > 0 && seconds.iter().all(|second| second["Service Available"] == up), "{mode}: {seconds:?}");
    }
}

#[test]
fn request_head_is_limited_in_lines_and_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let lines = |count: usize| {
        (0..count).fold(String::from("GET /-/healthy"), |mut head, number| {
            let _ = write!(head, " | x-{number}: y");
            head
        })
    };
    let address = daemon.public_address();
    // The host header is one of the lines.
    assert_eq!(exchange(address, &lines(95), b"").status, "200 OK");
    assert_eq!(exchange(address, &lines(96), b"").status, "431 Request Header Fields Too Large");
    let long = |length: usize| format!("GET /-/healthy | x: {}", "y".repeat(length));
    assert_eq!(exchange(address, &long(16_000), b"").status, "200 OK");
    for length in [17_000, 140_000, 1_400_000] {
        assert_eq!(exchange(address, &long(length), b"").status, "431 Request Header Fields Too Large", "{length}");
    }
}
