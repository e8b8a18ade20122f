//! A flood of slow clients, of every kind that there is: each is shut out in its time, over and over, and notifications
//! pass meanwhile.
//!
//! How long notifications take beside the flood is printed, not judged:
//! `cargo test --release --test it slow_clients -- --nocapture`.

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
use crate::daemon::{Daemon, PATIENCE, command, notification};
use crate::tls::Pair;
use crate::tools::tool;

/// So many clients of each kind at a time.
const CLIENTS: usize = 64;
/// A slow client sends something so often.
const DRIP: Duration = Duration::from_millis(100);
/// So many notifications are timed, alone and beside the flood.
const NOTIFICATIONS: u64 = 1000;

/// A way to be slow.
struct Kind {
    name: &'static str,
    /// What is sent at once.
    begins: Vec<u8>,
    /// What is sent again and again; nothing for who falls silent.
    drips: &'static [u8],
    /// How what is answered begins, unless nothing is.
    told: &'static [&'static str],
}

impl Kind {
    fn new(name: &'static str, begins: &[&[u8]], drips: &'static [u8], told: &'static [&'static str]) -> Self {
        Self { name, begins: begins.concat(), drips, told }
    }

    /// Connects and is slow until it is shut out.
    fn dawdle(&self, address: &str) {
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
                // The other side may be gone already: the next read says so.
                Err(error) if error.kind() == ErrorKind::WouldBlock => _ = stream.write_all(self.drips),
                Err(error) if error.kind() == ErrorKind::ConnectionReset => break,
                Err(error) => panic!("{}: {error}", self.name),
            }
            assert!(since.elapsed() < PATIENCE, "{}: still open", self.name);
        }
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.is_empty() || self.told.iter().any(|told| answer.starts_with(told)), "{}: {answer}", self.name);
    }
}

/// Every kind over plain HTTP. Who has a secret is no better than who has none.
fn kinds(secret: &str) -> Vec<Kind> {
    let healthy = request("GET /-/healthy", b"");
    let right = request(&format!("POST /webhook | cf-webhook-auth: {secret} | content-length: 600"), b"{");
    let chunks = request(&format!("POST /webhook | cf-webhook-auth: {secret} | transfer-encoding: chunked"), b"");
    let wrong = request("POST /webhook | cf-webhook-auth: wrong | transfer-encoding: chunked", b"");
    let head = b"POST /webhook HTTP/1.1\r\nhost: x\r\nx: ";
    let too_late = &["HTTP/1.1 408 "];
    vec![
        Kind::new("no head", &[], b"", too_late),
        Kind::new("a head that stops", &[head], b"", too_late),
        Kind::new("a head by the byte", &[head], b"x", too_late),
        Kind::new("an idle connection", &[&healthy], b"", &["HTTP/1.1 200 "]),
        Kind::new("a second head by the byte", &[&healthy, head], b"x", &["HTTP/1.1 200 "]),
        Kind::new("a body by the byte", &[&right], b" ", too_late),
        Kind::new("a body by the chunk", &[&chunks], b"1\r\n \r\n", too_late),
        Kind::new("chunks after an answer", &[&wrong], b"1\r\n \r\n", &["HTTP/1.1 401 ", "HTTP/1.1 429 "]),
    ]
}

/// The head of a TLS record that is longer than what follows.
const HANDSHAKE: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

fn handshakes() -> Vec<Kind> {
    vec![
        Kind::new("no handshake", &[], b"", &[]),
        Kind::new("a handshake that stops", &[HANDSHAKE], b"", &[]),
        Kind::new("a handshake by the byte", &[HANDSHAKE], &[0], &[]),
    ]
}

/// Times distinct notifications, one after the other; `post` says whether it was recorded.
fn timed(first: u64, mut post: impl FnMut(&str) -> bool) -> Vec<Duration> {
    let post = |number| {
        let body = notification(&format!("{number:032x}"), "connected", "2026-11-20T18:00:00Z");
        let since = Stopwatch::start();
        assert!(post(&body), "notification {number} was recorded");
        since.elapsed()
    };
    let mut times: Vec<_> = (first..first + NOTIFICATIONS).map(post).collect();
    times.sort_unstable();
    times
}

fn percentiles(times: &[Duration]) -> String {
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

/// Has all kinds of clients dawdle at once, and notifications arrive alone and beside them.
fn flood(daemon: &Daemon, kinds: &[Kind], mut post: impl FnMut(&str) -> bool) {
    let alone = timed(0, &mut post);
    let address = daemon.public_address();
    let (over, dawdling, shut_out) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let clients = kinds.len() * CLIENTS;
    let beside = thread::scope(|scope| {
        for kind in kinds.iter().cycle().take(clients) {
            scope.spawn(|| {
                dawdling.fetch_add(1, Ordering::AcqRel);
                while !over.load(Ordering::Acquire) {
                    kind.dawdle(address);
                    shut_out.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        while dawdling.load(Ordering::Acquire) < clients {
            thread::yield_now();
        }
        let beside = timed(NOTIFICATIONS, &mut post);
        over.store(true, Ordering::Release);
        beside
    });
    let shut_out = shut_out.into_inner();
    assert!(shut_out >= clients, "{shut_out} of {clients}");
    let (alone, beside) = (percentiles(&alone), percentiles(&beside));
    eprintln!("{clients} slow clients, shut out {shut_out} times; notifications: alone {alone}; beside them {beside}");
}

fn limited(folder: &Path) -> Command {
    let mut command = command(folder);
    for (key, value) in [("IDLE_TIMEOUT", "1s"), ("BODY_TIMEOUT", "1s"), ("MAX_CONNECTIONS_PER_PEER", "1024")] {
        command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value);
    }
    command
}

#[test]
fn slow_clients_are_shut_out_while_notifications_pass() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(limited(folder.path()), folder.path());
    let mut connection = Connection::open(daemon.public_address()).unwrap();
    flood(&daemon, &kinds(daemon.secret()), |body| {
        let head = format!("POST /webhook | cf-webhook-auth: {} | content-length: {}", daemon.secret(), body.len());
        connection.send(&request(&head, body.as_bytes())).unwrap();
        connection.read_answer().unwrap().status == "200 OK"
    });
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(2.0 * NOTIFICATIONS as f64));
}

#[test]
fn slow_handshakes_are_shut_out_while_notifications_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = limited(folder.path());
    Pair::new().write(folder.path(), &mut command);
    let daemon = Daemon::spawn(command, folder.path());
    flood(&daemon, &handshakes(), |body| daemon.post(body).status == 200);
}

/// What slowhttptest saw in each second, by the names of its columns.
fn slowhttptest(program: &Path, folder: &Path, url: &str, mode: &str) -> Vec<BTreeMap<String, u64>> {
    let mut command = Command::new(program);
    command.args([mode, "-c", "500", "-r", "500", "-i", "1", "-l", "30", "-p", "10", "-g", "-o", "seen", "-u", url]);
    let ran = command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap();
    assert!(ran.success(), "{ran}");
    let seen = fs::read_to_string(folder.join("seen.csv")).unwrap();
    let mut lines = seen.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
    let names = lines.next().expect("the first line has the names");
    let number = |text: String| text.trim().parse().expect("the columns are numbers");
    lines.map(|line| names.iter().cloned().zip(line.into_iter().map(number)).collect()).collect()
}

#[test]
fn slowhttptest_gets_nowhere() {
    let Some(program) = tool("SLOWHTTPTEST", Path::new("slowhttptest")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(limited(folder.path()), folder.path());
    for mode in ["-H", "-B"] {
        let seconds = slowhttptest(&program, folder.path(), daemon.webhook(), mode);
        let (first, last) = (&seconds[0], &seconds[seconds.len() - 1]);
        assert!(seconds.len() < 30, "{mode}: all were shut out before it gave up: {seconds:?}");
        assert!(last["Closed"] + last["Connected"] + last["Pending"] > 400, "{mode}: there was a crowd: {seconds:?}");
        let up = first["Service Available"];
        assert!(up > 0 && seconds.iter().all(|second| second["Service Available"] == up), "{mode}: {seconds:?}");
    }
}

#[test]
fn a_head_has_an_end() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let lines = |count: usize| {
        (0..count).fold(String::from("GET /-/healthy"), |mut head, number| {
            let _ = write!(head, " | x-{number}: y");
            head
        })
    };
    let address = daemon.public_address();
    // The host is one of them.
    assert_eq!(exchange(address, &lines(95), b"").status, "200 OK");
    assert_eq!(exchange(address, &lines(96), b"").status, "431 Request Header Fields Too Large");
    let long = |length: usize| format!("GET /-/healthy | x: {}", "y".repeat(length));
    assert_eq!(exchange(address, &long(100_000), b"").status, "200 OK");
    assert_eq!(exchange(address, &long(140_000), b"").status, "431 Request Header Fields Too Large");
}
