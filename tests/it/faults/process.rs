//! Descriptor limits, repeated signals, panics.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use super::{
    Fault, check_restart, command_through, event, journaled, post, post_on, recorder, start_with_events, strace,
};
use crate::connection::{Connection, exchange, request, webhook_request};
use crate::daemon::{Daemon, PATIENCE, command, eventually};
use crate::journal::database;
use crate::tools::tool;

#[test]
fn without_free_descriptors_open_connections_are_served_and_new_ones_wait() {
    let Some(prlimit) = tool("PRLIMIT", Path::new("prlimit")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let limit = limit_descriptors(&prlimit, &daemon, 40);
    let mut private = Connection::open(daemon.private_address()).unwrap();
    let mut scrape = |path: &str| {
        private.send(&request(&format!("GET {path}"), b"")).unwrap();
        private.read_answer().unwrap()
    };
    assert_eq!(scrape("/metrics").status, "200 OK");
    let mut open = Connection::open(daemon.public_address()).unwrap();
    assert_eq!(post_on(&mut open, daemon.secret(), &event(1)).unwrap().status, "200 OK");

    let crowd: Vec<_> = (0..80).map(|_| Connection::open(daemon.public_address()).unwrap()).collect();
    eventually("no descriptor is left", || descriptors(&daemon) >= limit);
    // Recording and scrapes on open connections need no new descriptor.
    assert_eq!(post_on(&mut open, daemon.secret(), &event(2)).unwrap().status, "200 OK");
    assert_eq!(scrape("/-/ready").text(), "ready\n");
    assert!(scrape("/metrics").text().contains("stream_live_exporter_journal_events 2\n"));
    // The daemon may have inherited a few descriptors with numbers above the limit.
    assert!(descriptors(&daemon) < limit + 40, "half of the new connections wait");
    // A new connection waits, and is served when others close.
    let (answer_tx, answered) = channel();
    let (address, secret) = (daemon.public_address(), daemon.secret());
    thread::scope(|scope| {
        scope.spawn(move || answer_tx.send(post(address, secret, &event(3)).map(|answer| answer.status)));
        drop(crowd);
        assert_eq!(answered.recv_timeout(PATIENCE).unwrap().as_deref(), Some("200 OK"));
    });
    drop(open);
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data").len(), 3);
}

/// Limits the daemon to this many more descriptors than it has now. Returns the limit.
fn limit_descriptors(prlimit: &Path, daemon: &Daemon, more: usize) -> usize {
    // The number now depends on the number of workers, and so on the machine.
    let limit = descriptors(daemon) + more;
    let mut prlimit = Command::new(prlimit);
    prlimit.args([format!("--pid={}", daemon.pid()), format!("--nofile={limit}:{limit}")]);
    assert!(prlimit.status().unwrap().success());
    limit
}

fn descriptors(daemon: &Daemon) -> usize {
    fs::read_dir(format!("/proc/{}/fd", daemon.pid())).unwrap().count()
}

#[test]
fn without_free_descriptors_idle_timeouts_still_apply() {
    let Some(prlimit) = tool("PRLIMIT", Path::new("prlimit")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__IDLE_TIMEOUT", "1s");
    let daemon = Daemon::spawn(command, folder.path());
    limit_descriptors(&prlimit, &daemon, 40);
    // A request, then a second head that does not end: only the idle timeout closes such a connection.
    let address = daemon.public_address();
    let stall = || {
        let mut connection = Connection::open(address).unwrap();
        connection.send(&request("GET /-/healthy", b"")).unwrap();
        assert_eq!(connection.read_answer().unwrap().status, "200 OK");
        // The daemon may have closed the idle connection already.
        let _ = connection.send(b"G");
        assert_eq!(connection.read_to_end().unwrap(), b"");
    };
    thread::scope(|scope| (0..120).for_each(|_| _ = scope.spawn(stall)));
    assert_eq!(daemon.post(&event(1)).status, 200);
}

#[test]
fn descriptor_limit_is_raised_and_a_low_hard_limit_is_logged() {
    let warning = "open file limit is lower than the connection limits need";
    let Some(prlimit) = tool("PRLIMIT", Path::new("prlimit")) else { return };
    // 512 public connections, 256 private ones, and 128 for the daemon itself.
    for (hard, warned) in [(895, true), (896, false)] {
        let folder = tempfile::tempdir().unwrap();
        let limit = format!("--nofile=100:{hard}");
        let daemon = Daemon::spawn(command_through(folder.path(), &prlimit, &[&limit]), folder.path());
        let limits = fs::read_to_string(format!("/proc/{}/limits", daemon.pid())).unwrap();
        let files = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
        let soft = files.split_whitespace().nth(3).unwrap();
        assert_eq!(soft, hard.to_string());
        let warnings: Vec<_> = daemon.log().into_iter().filter(|line| line["msg"] == warning).collect();
        assert_eq!(warnings.len(), usize::from(warned), "{hard}: {warnings:?}");
    }
}

#[test]
fn second_signal_exits_immediately_and_keeps_acknowledged_events() {
    for (first, second) in [("TERM", "TERM"), ("INT", "TERM"), ("TERM", "INT")] {
        let folder = tempfile::tempdir().unwrap();
        let mut patient = command(folder.path());
        patient.env("STREAM_LIVE_EXPORTER__WEBHOOK__BODY_TIMEOUT", "60s");
        let daemon = Daemon::spawn(patient, folder.path());
        assert_eq!(daemon.post(&event(1)).status, 200);
        // A request whose body does not arrive delays the graceful shutdown.
        let mut slow = Connection::open(daemon.public_address()).unwrap();
        let head =
            format!("POST /webhook | cf-webhook-auth: {} | expect: 100-continue | content-length: 10", daemon.secret());
        slow.send(&request(&head, b"")).unwrap();
        assert_eq!(slow.read_head().unwrap().status, "100 Continue");
        daemon.signal(first);
        daemon.wait_for("shutting down: finishing in-flight requests");
        daemon.signal(second);
        assert_eq!(daemon.wait().code(), Some(1), "{first}, {second}");
        // The request got no answer.
        assert!(slow.read_answer().is_err(), "{first}, {second}");
        check_restart(folder.path(), &BTreeSet::from([1]), &BTreeSet::from([1]));
    }
}

/// Checks the exit code, and that standard error has one panic and no private text.
fn check_panic(daemon: Daemon, code: Option<i32>, private: &[&str]) {
    let (ended, written) = daemon.wait_and_read();
    assert_eq!(ended.code(), code, "{written}");
    assert_eq!(written.matches("panicked at").count(), 1, "{written}");
    for private in private {
        assert!(!written.contains(private), "{private} in\n{written}");
    }
}

#[test]
fn signals_are_handled_while_a_reload_waits_for_a_hanging_disk() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__QUEUE_SIZE", "1");
    let daemon = Daemon::spawn(command, folder.path());
    assert_eq!(daemon.post(&event(1)).status, 200);
    let hung = Fault::of_thread(&strace, recorder(&daemon), &["fsync,fdatasync:delay_enter=600s"]);
    // One notification waits for the disk, one is in the queue: the next one is rejected.
    let mut waiting = Vec::new();
    eventually("the queue is full", || {
        let mut connection = Connection::open(daemon.public_address()).unwrap();
        connection.send(&webhook_request(daemon.secret(), &event(2 + waiting.len() as u64))).unwrap();
        waiting.push(connection);
        daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#) > Some(0.0)
    });
    let reloaded_at = || daemon.metric("stream_live_exporter_config_last_reload_success_timestamp_seconds");
    let before = reloaded_at();
    daemon.signal("HUP");
    eventually("the reload has started", || reloaded_at() > before);
    daemon.signal("TERM");
    daemon.wait_for("shutting down: finishing in-flight requests");
    daemon.signal("TERM");
    eventually("all threads but the one that waits for the disk have exited", || {
        daemon.process_status("State").starts_with('Z')
    });
    drop(hung);
    assert_eq!(daemon.wait().code(), Some(1));
    // The hanging sync may have finished or not.
    let sent = (1..2 + waiting.len() as u64).collect();
    check_restart(folder.path(), &BTreeSet::from([1]), &sent);
}

#[test]
fn panic_in_a_connection_closes_only_that_connection() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let secret = daemon.secret().to_owned();
    let mut other = Connection::open(daemon.public_address()).unwrap();
    assert_eq!(post_on(&mut other, daemon.secret(), &event(1)).unwrap().status, "200 OK");
    // The system call returns more bytes than the buffer has, so that a bounds check panics.
    let fault = Fault::of_process(&strace, daemon.pid(), &["recvfrom:retval=1000000:when=1"]);
    let mut panicked = Connection::open(daemon.public_address()).unwrap();
    panicked.send(&request("GET /-/healthy", b"")).unwrap();
    assert_eq!(panicked.read_to_end().unwrap(), b"", "closed without an answer");
    drop(fault);
    assert_eq!(post_on(&mut other, daemon.secret(), &event(2)).unwrap().text(), r#"{"outcome":"recorded"}"#);
    for number in 3..20 {
        assert_eq!(exchange(daemon.public_address(), "GET /-/healthy", b"").status, "200 OK");
        assert_eq!(daemon.post(&event(number)).status, 200);
    }
    assert_eq!(daemon.get("/-/ready").status, 200);
    drop(other);
    daemon.signal("TERM");
    check_panic(daemon, Some(0), &[secret.as_str(), &event(19)]);
    assert_eq!(journaled(folder.path(), "data").len(), 19);
}

#[test]
fn panic_in_the_recorder_stops_the_daemon_and_keeps_acknowledged_events() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start_with_events(folder.path(), 1);
    let secret = daemon.secret().to_owned();
    // The system call returns more bytes than the write test of the journal has, so that a bounds check panics.
    let scratch = folder.path().canonicalize().unwrap().join("data/journal.room");
    let fault = Fault::of_file(&strace, recorder(&daemon), &scratch, &["write:retval=1000000:when=1"]);
    let blocker = database(folder.path());
    blocker.execute_batch("BEGIN IMMEDIATE").unwrap();
    let answer = post(daemon.public_address(), &secret, &event(2)).expect("the lock is held for longer than a timeout");
    assert_eq!(answer.status, "503 Service Unavailable");
    check_panic(daemon, Some(1), &[secret.as_str(), &event(2)]);
    drop((fault, blocker));
    check_restart(folder.path(), &BTreeSet::from([1]), &BTreeSet::from([1, 2]));
}
