//! A flood of slow clients, of every kind that there is: each is shut out in its time, over and over, and notifications
//! pass meanwhile.
//!
//! How long notifications take beside the flood is reported, not judged: `cargo test --release --test it slow_clients`.

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

/// So many clients of each kind at a time.
const CLIENTS: usize = 64;
/// A slow client sends something so often.
const DRIP: Duration = Duration::from_millis(100);
/// So many notifications are timed, alone and at the least beside the flood: on one connection, and each with a handshake
/// of its own.
const NOTIFICATIONS: u64 = 1000;
const HANDSHAKES: u64 = 250;
/// The longest limit of those that shut slow clients out, and how late each of a crowd may notice it.
const LONGEST: Duration = Duration::from_secs(3).saturating_add(LATENESS).saturating_add(LATENESS);

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
            assert!(since.elapsed() < LONGEST, "{}: still open", self.name);
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
pub const HANDSHAKE: &[u8] = &[22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3];

fn handshakes() -> Vec<Kind> {
    vec![
        Kind::new("no handshake", &[], b"", &[]),
        Kind::new("a handshake that stops", &[HANDSHAKE], b"", &[]),
        Kind::new("a handshake by the byte", &[HANDSHAKE], &[0], &[]),
    ]
}

/// Posts distinct notifications, one after the other, each until it is answered, until there are `enough`: how long each
/// took, in order, and how often one had to be posted again. `post` says what it was answered, if it was.
///
/// A busy machine may leave a good client idle for as long as it takes to be shut out, as a slow one; like Cloudflare, it
/// tries again, and that takes its time. Any other answer than 200 is a failure.
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
            assert!(since.elapsed() < PATIENCE, "notification {number} is never answered");
        };
        assert_eq!(status, 200, "notification {number} was recorded");
        since.elapsed()
    };
    let mut times: Vec<_> = (first..).take_while(|number| !enough(number - first)).map(post).collect();
    times.sort_unstable();
    (times, again)
}

fn percentiles(times: &[Duration]) -> String {
    let at = |percent: usize| times[times.len() * percent / 100].as_secs_f64() * 1000.0;
    format!("p50 {:.2} ms, p99 {:.2} ms", at(50), at(99))
}

/// Has all kinds of clients dawdle at once, and notifications arrive alone and beside them.
fn flood(daemon: &Daemon, kinds: &[Kind], notifications: u64, mut post: impl FnMut(&str) -> Option<u16>) {
    let (alone, _) = timed(0, &mut post, |posted| posted == notifications);
    let address = daemon.public_address();
    let (over, dawdling, shut_out) = (AtomicBool::new(false), AtomicUsize::new(0), AtomicUsize::new(0));
    let clients = kinds.len() * CLIENTS;
    let (beside, again) = thread::scope(|scope| {
        let _over = OverWhenDropped(&over);
        for kind in kinds.iter().cycle().take(clients) {
            scope.spawn(|| {
                dawdling.fetch_add(1, Ordering::AcqRel);
                while !over.load(Ordering::Acquire) {
                    kind.dawdle(address);
                    shut_out.fetch_add(1, Ordering::AcqRel);
                }
            });
        }
        eventually("all of them are there", || dawdling.load(Ordering::Acquire) == clients);
        // Until all of them have been shut out, and others are there in their place.
        let since = Stopwatch::start();
        let all_out = || shut_out.load(Ordering::Acquire) >= clients;
        let enough = |posted| posted >= notifications && (all_out() || since.elapsed() > PATIENCE);
        timed(notifications, &mut post, enough)
    });
    // All that was posted beside them is there, once.
    let all = alone.len() + beside.len();
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(all as f64));
    let shut_out = shut_out.into_inner();
    assert!(shut_out >= clients, "{shut_out} of {clients} were shut out");
    let kinds = kinds.iter().map(|kind| kind.name).collect::<Vec<_>>().join(", ");
    let (alone, beside, posted) = (percentiles(&alone), percentiles(&beside), beside.len());
    report(&format!(
        "slow clients: {clients} at a time ({kinds}), shut out {shut_out} times; {posted} notifications \
         beside them, {again} of them posted again: {beside}; alone: {alone}"
    ));
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
fn slow_handshakes_are_shut_out_while_notifications_pass() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = limited(folder.path());
    Pair::new().write(folder.path(), &mut command);
    let daemon = Daemon::spawn(command, folder.path());
    flood(&daemon, &handshakes(), HANDSHAKES, |body| daemon.try_post(body).map(|answer| answer.status));
}

/// What slowhttptest saw in each second, by the names of its columns.
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
fn slowhttptest_gets_nowhere() {
    let Some(program) = tool("SLOWHTTPTEST", Path::new("slowhttptest")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(limited(folder.path()), folder.path());
    // Slow heads and bodies are shut out long before it gives up. Slow readers have all of our short answers from the
    // start, and take their time over what nobody holds for them any more: they stay until its end.
    for (mode, length, stays) in [("-H", "120", false), ("-B", "120", false), ("-X", "10", true)] {
        let seconds = slowhttptest(&program, folder.path(), daemon.webhook(), mode, length);
        let (first, last) = (&seconds[0], &seconds[seconds.len() - 1]);
        let all = length.parse::<usize>().expect("a number of seconds");
        assert!(stays || seconds.len() < all, "{mode}: all were shut out before it gave up: {seconds:?}");
        assert!(last["Closed"] + last["Connected"] + last["Pending"] > 250, "{mode}: there was a crowd: {seconds:?}");
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
