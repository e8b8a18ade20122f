//! Floods of connections: notifications and scrapes pass while strangers open connections and keep them.
//!
//! The rate of the flood and the latencies are reported and not asserted: `cargo test --release --test it flood::`.

use std::collections::VecDeque;
use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, RawAnswer, request, webhook_request};
use crate::daemon::{Daemon, LATENESS, OverWhenDropped, command, eventually, fixture, notification};
use crate::slow_clients::{HANDSHAKE, percentiles};
use crate::tls::Pair;
use crate::tools::report;
use crate::web_config::{UNUSABLE, user};

/// Number of addresses that open connections.
const STRANGERS: u8 = 16;
/// The pause between two connections of one address. Opening one takes about a millisecond, so together they open more
/// than 2,000 per second, unless the machine is busy.
const PACE: Duration = Duration::from_micros(5500);
/// Each keeps more connections than the listener admits from it.
const KEPT: usize = 300;
/// Number of requests during the flood.
const REQUESTS: u64 = 200;
/// The daemon's time limit for strangers.
const STRANGER_TIMEOUT: Duration = Duration::from_secs(6);

fn stranger(number: u8) -> IpAddr {
    Ipv4Addr::new(127, 0, 0, 10 + number).into()
}

/// Opens connections from one address and keeps them: in turn idle, kept alive, and with an unfinished head or handshake.
fn open_and_keep(source: IpAddr, address: &str, opened: &AtomicUsize, over: &AtomicBool) {
    let mut kept = VecDeque::new();
    // Nothing is sent on this channel: receiving with a timeout sets the rate.
    let (_sender, pace) = channel::<()>();
    let healthy = request("GET /-/healthy", b"");
    let begins: [&[u8]; 4] = [b"", &healthy, b"POST /webhook HTTP/1.1\r\nhost: x\r\nx: ", HANDSHAKE];
    for begin in begins.iter().cycle() {
        if over.load(Ordering::Acquire) {
            return;
        }
        let _ = pace.recv_timeout(PACE);
        let Ok(mut connection) = Connection::open_from(source, address) else { continue };
        let _ = connection.send(begin);
        if *begin == healthy {
            // A machine that is too busy for the rate gets a lower one, instead of a backlog that overflows.
            let _ = connection.read_answer();
        }
        opened.fetch_add(1, Ordering::AcqRel);
        kept.push_back(connection);
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }
}

/// Sends requests on new connections while strangers flood the listener. Every request must be answered with 200 at its
/// first attempt. The latencies are reported.
fn flood(what: &str, address: &str, mut request: impl FnMut(u64) -> Option<RawAnswer>) {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    let _ = setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum });
    let (over, opened) = (AtomicBool::new(false), AtomicUsize::new(0));
    let since = Stopwatch::start();
    let mut times = thread::scope(|scope| {
        let _over = OverWhenDropped(&over);
        for number in 0..STRANGERS {
            let (opened, over) = (&opened, &over);
            scope.spawn(move || open_and_keep(stranger(number), address, opened, over));
        }
        eventually("the listener is full", || opened.load(Ordering::Acquire) > 1024);
        let request = |number| {
            let since = Stopwatch::start();
            let answer = request(number).unwrap_or_else(|| panic!("{what}: request {number} is not answered"));
            assert_eq!(answer.status, "200 OK", "{what}: request {number}");
            since.elapsed()
        };
        (0..REQUESTS).map(request).collect::<Vec<_>>()
    });
    times.sort_unstable();
    let rate = opened.into_inner() as f64 / since.elapsed().as_secs_f64();
    report(&format!("flood of {rate:.0} connections/s: {what}: {}", percentiles(&times)));
}

fn refused(daemon: &Daemon, listener: &str, reason: &str) -> f64 {
    let name = "stream_live_exporter_connections_refused_total";
    daemon.metric(&format!("{name}{{listener=\"{listener}\",reason=\"{reason}\"}}")).unwrap()
}

fn post(connection: &mut Connection, daemon: &Daemon, number: u64) -> Option<RawAnswer> {
    let body =
        notification(&format!("{:032x}", number % 100), "connected", &format!("2026-11-20T18:00:00.{number:03}Z"));
    connection.send(&webhook_request(daemon.secret(), &body)).ok()?;
    connection.read_answer().ok()
}

#[test]
fn notifications_are_accepted_at_the_first_attempt_during_a_flood() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let address = daemon.public_address();
    // One of the sender's addresses also has strangers' connections, as Cloudflare's addresses can.
    let sources = [Ipv4Addr::LOCALHOST.into(), stranger(0)];
    flood("notifications", address, |number| {
        let source = sources[usize::from(number % 2 == 1)];
        post(&mut Connection::open_from(source, address).ok()?, &daemon, number)
    });
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(REQUESTS as f64));
    assert!(refused(&daemon, "webhook", "evicted") > 0.0);
    assert_eq!(refused(&daemon, "webhook", "total") + refused(&daemon, "webhook", "peer"), 0.0);
    let warned = daemon.wait_for("connection limit reached: closed the longest idle connection without a valid secret");
    assert_eq!((warned["listener"].as_str(), warned["reason"].as_str()), (Some("webhook"), Some("evicted")));
    assert!(warned["peer"].as_str().unwrap().starts_with("127.0.0."), "{warned}");
}

#[test]
fn notifications_over_tls_are_accepted_at_the_first_attempt_during_a_flood() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    Pair::new().write(folder.path(), &mut command);
    let daemon = Daemon::spawn(command, folder.path());
    flood("notifications over TLS", daemon.public_address(), |number| {
        let body = notification(&format!("{number:032x}"), "connected", "2026-11-20T18:00:00Z");
        let status = daemon.try_post(&body)?.status;
        let status = if status == 200 { "200 OK".to_owned() } else { status.to_string() };
        Some(RawAnswer { status, headers: Default::default(), body: Vec::new() })
    });
    assert!(refused(&daemon, "webhook", "evicted") > 0.0);
}

#[test]
fn scrapes_are_answered_at_the_first_attempt_during_a_flood() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let address = daemon.private_address();
    flood("scrapes", address, |_| {
        let mut connection = Connection::open(address).ok()?;
        connection.send(&request("GET /metrics", b"")).ok()?;
        connection.read_answer().ok()
    });
    assert!(refused(&daemon, "web", "evicted") > 0.0);
}

/// A request with the password of a user, on a connection that remains open.
fn logged_in(address: &str) -> Connection {
    let mut connection = Connection::open(address).unwrap();
    ask(&mut connection);
    connection
}

fn ask(connection: &mut Connection) {
    let basic = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, "anna:right");
    connection.send(&request(&format!("GET /-/healthy | authorization: Basic {basic}"), b"")).unwrap();
    assert_eq!(connection.read_answer().unwrap().status, "200 OK");
}

#[test]
fn private_connection_of_a_user_is_kept_and_strangers_give_way() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("web.yml"), format!("basic_auth_users: {{{}}}", user("anna", "right"))).unwrap();
    let daemon = Daemon::start_with(folder.path(), ["--web.config.file=web.yml"]);
    let address = daemon.private_address();
    let mut anna = logged_in(address);
    // 192 connections of one peer are admitted.
    let mut strangers: Vec<_> = (0..191).map(|_| Connection::open(address).unwrap()).collect();
    let mut newcomer = logged_in(address);
    assert_eq!(strangers[0].read_to_end().unwrap(), b"", "the longest idle stranger was evicted");
    assert!(strangers[190].is_open());
    ask(&mut anna);
    ask(&mut newcomer);
    assert!(!daemon.log().iter().any(|line| line["msg"] == UNUSABLE));
    drop(strangers);
}

fn limited(folder: &Path, per_peer: &str, trusted: &str) -> Command {
    let mut command = command(folder);
    for (key, value) in [("MAX_CONNECTIONS_PER_PEER", per_peer), ("TRUSTED_PROXIES", trusted), ("IDLE_TIMEOUT", "1h")] {
        command.env(format!("STREAM_LIVE_EXPORTER__WEBHOOK__{key}"), value);
    }
    command
}

#[test]
fn peer_with_valid_secrets_on_all_connections_is_refused_more() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(limited(folder.path(), "2", ""), folder.path());
    let address = daemon.public_address();
    let mut open: Vec<_> = (0..2).map(|_| Connection::open(address).unwrap()).collect();
    for (connection, number) in open.iter_mut().zip(0..) {
        assert_eq!(post(connection, &daemon, number).unwrap().status, "200 OK");
    }
    let mut refused_one = Connection::open(address).unwrap();
    let _ = refused_one.send(&request("GET /-/healthy", b""));
    assert!(refused_one.read_answer().is_err());
    assert_eq!((refused(&daemon, "webhook", "peer"), refused(&daemon, "webhook", "evicted")), (1.0, 0.0));
    let open_connections = "stream_live_exporter_connections{listener=\"webhook\"}";
    assert_eq!(daemon.metric(open_connections), Some(2.0));
    let warned = daemon
        .wait_for("connection limit reached: refused a connection, because all others have presented a valid secret");
    assert_eq!((warned["reason"].as_str(), warned["peer"].as_str()), (Some("peer"), Some("127.0.0.1")));
    assert!(warned["advice"].as_str().unwrap().contains("webhook.max_connections_per_peer"));
    drop(open);
    eventually("the closed connections do not count", || daemon.metric(open_connections) == Some(0.0));
}

#[test]
fn stranger_is_disconnected_long_before_the_idle_timeout() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::spawn(limited(folder.path(), "100", "127.0.0.2"), folder.path());
    let address = daemon.public_address();
    let healthy = |mut connection: Connection| {
        connection.send(&request("GET /-/healthy", b"")).unwrap();
        assert_eq!(connection.read_answer().unwrap().status, "200 OK");
        connection
    };
    let proxy = healthy(Connection::open_from(Ipv4Addr::new(127, 0, 0, 2).into(), address).unwrap());
    let mut sender = Connection::open(address).unwrap();
    assert_eq!(post(&mut sender, &daemon, 0).unwrap().status, "200 OK");
    let private = healthy(Connection::open(daemon.private_address()).unwrap());
    let since = Stopwatch::start();
    let mut stranger = healthy(Connection::open(address).unwrap());
    assert_eq!(stranger.read_to_end().unwrap(), b"");
    assert!(since.elapsed() < STRANGER_TIMEOUT + LATENESS, "{:?}", since.elapsed());
    for (connection, who) in [(&proxy, "proxy"), (&sender, "sender"), (&private, "client of an open listener")] {
        assert!(connection.is_open(), "{who}");
    }
    assert_eq!(post(&mut sender, &daemon, 1).unwrap().status, "200 OK");
}

#[test]
fn every_connection_is_counted_in_the_gauge() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let series = "stream_live_exporter_connections{listener=\"webhook\"}";
    assert_eq!(daemon.metric(series), Some(0.0));
    assert_eq!(daemon.post(&fixture("connected")).status, 200);
    let open: Vec<_> = (0..5).map(|_| Connection::open(daemon.public_address()).unwrap()).collect();
    eventually("five connections are open", || daemon.metric(series) == Some(5.0));
    drop(open);
    eventually("no connection is open", || daemon.metric(series) == Some(0.0));
}
