//! A disk that does not respond: notifications get 503, readiness names the operation, metrics and signals go on, and the
//! daemon recovers by itself.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use stream_live_exporter::clock::{self, Stopwatch};

use super::{
    Fault, check_restart, command_through, counted_events, event, journaled, post_on, recorder, start_with_events,
    strace, trace,
};
use crate::connection::{Connection, webhook_request};
use crate::daemon::{Daemon, LATENESS, command, eventually};

/// No test waits for this long: the injected delay ends with the injection.
pub const HANG: &str = "delay_enter=600s";
/// A request is answered, and readiness fails, within this time.
const DEADLINE: Duration = Duration::from_secs(5);
const WRITE_STARTED: &str = "stream_live_exporter_journal_write_started_timestamp_seconds";

/// All syncs of the recorder hang until the result is dropped.
pub fn hang_syncs(strace: &Path, daemon: &Daemon) -> Fault {
    Fault::of_thread(strace, recorder(daemon), &[&format!("fsync,fdatasync:{HANG}")])
}

fn seconds_since_epoch() -> f64 {
    clock::now().as_millis() as f64 / 1000.0
}

/// Waits until readiness fails because this operation hangs.
fn wait_until_hanging(daemon: &Daemon, operation: &str) {
    eventually("readiness fails", || {
        let answer = daemon.get("/-/ready");
        answer.status == 503 && answer.body.starts_with("journal: ") && answer.body.contains(operation)
    });
}

#[test]
fn hanging_sync_answers_503_in_time_shows_in_readiness_and_metrics_and_recovers() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start_with_events(folder.path(), 2);
    let connected = format!("cloudflare_stream_live_input_connected_seconds_total{{input_id=\"{}\"}}", super::INPUT);
    let shown = daemon.metric(&connected);
    assert!(shown > Some(0.0), "the connection lasts");
    let before = seconds_since_epoch();
    let hung = hang_syncs(&strace, &daemon);
    let stopwatch = Stopwatch::start();
    let answer = daemon.post(&event(3));
    assert_eq!(answer.status, 503, "{answer:?}");
    let took = stopwatch.elapsed();
    assert!(took < DEADLINE + LATENESS, "answered after {took:?}");

    wait_until_hanging(&daemon, "append");
    let ready = daemon.get("/-/ready").body;
    let since = ready.split_whitespace().find_map(|word| word.parse::<stream_live_exporter::event::Timestamp>().ok());
    let started = daemon.metric(WRITE_STARTED).expect("a write is under way");
    assert!(before <= started && started <= seconds_since_epoch(), "{started}");
    assert_eq!(since.expect("readiness says since when").as_millis() as f64 / 1000.0, started);
    daemon.wait_for("disk hangs; notifications are answered 503 until it responds");

    // Counters and the shown time stand still.
    assert_eq!(daemon.metric(&connected), shown);
    assert_eq!(counted_events(&daemon).iter().sum::<f64>(), 2.0);
    assert_eq!(daemon.post(&event(4)).status, 503);
    assert_eq!(daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="journal"}"#), Some(2.0));

    drop(hung);
    eventually("readiness returns", || daemon.get("/-/ready").status == 200);
    daemon.wait_for("disk responds again");
    // What was queued is recorded, so what the sender repeats is a duplicate.
    eventually("the queue is recorded", || counted_events(&daemon).iter().sum::<f64>() == 4.0);
    for number in [3, 4] {
        assert_eq!(daemon.post(&event(number)).body, r#"{"outcome":"duplicate"}"#);
    }
    eventually("no write is under way", || daemon.metric(WRITE_STARTED).is_none());
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data").len(), 4);
}

#[test]
fn full_queue_of_a_hanging_disk_answers_503_and_everything_queued_is_recorded() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__QUEUE_SIZE", "2");
    let daemon = Daemon::spawn(command, folder.path());
    let hung = hang_syncs(&strace, &daemon);
    let mut waiting = Vec::new();
    let mut refused = None;
    for number in 1..=10 {
        let mut connection = Connection::open(daemon.public_address()).unwrap();
        connection.send(&webhook_request(daemon.secret(), &event(number))).unwrap();
        waiting.push(connection);
        if daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#) > Some(0.0) {
            refused = waiting.pop();
            break;
        }
    }
    let answer = refused.expect("the queue is full").read_answer().unwrap();
    assert_eq!((answer.status.as_str(), answer.header("retry-after")), ("503 Service Unavailable", "5"));
    let queued = waiting.len();
    for mut connection in waiting {
        assert_eq!(connection.read_answer().unwrap().status, "503 Service Unavailable");
    }
    drop(hung);
    eventually("the queue is recorded", || counted_events(&daemon).iter().sum::<f64>() == queued as f64);
    assert!(daemon.stop().success());
}

#[test]
fn hanging_housekeeping_is_noticed_without_a_notification() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    // The first sync is that of the event, the second one that of the checkpoint a few seconds later.
    let injection = format!("fsync,fdatasync:{HANG}:when=2");
    let hung = Fault::of_thread(&strace, recorder(&daemon), &[&injection]);
    assert_eq!(daemon.post(&event(1)).status, 200);
    wait_until_hanging(&daemon, "checkpoint");
    drop(hung);
    eventually("readiness returns", || daemon.get("/-/ready").status == 200);
    assert!(daemon.stop().success());
}

#[test]
fn sigterm_during_a_hanging_sync_exits_74_in_time_and_keeps_acknowledged_events() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start_with_events(folder.path(), 1);
    let hung = hang_syncs(&strace, &daemon);
    let mut client = Connection::open(daemon.public_address()).unwrap();
    client.send(&webhook_request(daemon.secret(), &event(2))).unwrap();
    wait_until_hanging(&daemon, "append");
    daemon.signal("TERM");
    let line = daemon.wait_for("the daemon ends");
    assert!(line["error"].as_str().unwrap().contains("append"), "{line}");
    assert_eq!(client.read_answer().unwrap().status, "503 Service Unavailable");
    // The thread that hangs in the disk keeps the process from ending completely.
    eventually("the other threads have exited", || daemon.process_status("State").starts_with('Z'));
    drop(hung);
    assert_eq!(daemon.wait().code(), Some(74));
    check_restart(folder.path(), &BTreeSet::from([1]), &BTreeSet::from([1, 2]));
}

#[test]
fn reload_is_answered_while_the_disk_hangs_and_the_queue_is_full() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut command = command(folder.path());
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__QUEUE_SIZE", "1");
    let daemon = Daemon::spawn(command, folder.path());
    let hung = hang_syncs(&strace, &daemon);
    let mut waiting = Vec::new();
    eventually("the queue is full", || {
        let mut connection = Connection::open(daemon.public_address()).unwrap();
        connection.send(&webhook_request(daemon.secret(), &event(1 + waiting.len() as u64))).unwrap();
        waiting.push(connection);
        daemon.metric(r#"stream_live_exporter_requests_rejected_total{reason="overloaded"}"#) > Some(0.0)
    });
    assert_eq!(daemon.post_private("/-/reload").status, 200);
    drop(hung);
    let mut client = Connection::open(daemon.public_address()).unwrap();
    eventually("notifications are recorded", || {
        post_on(&mut client, daemon.secret(), &event(50)).is_some_and(|answer| answer.status == "200 OK")
    });
    assert!(daemon.stop().success());
}

/// The command that runs a daemon whose system calls on a file hang.
pub fn start_hanging_command(strace: &Path, folder: &Path, injection: &str, file: &Path) -> Command {
    // With -D the daemon is the direct child, and strace a detached grandchild.
    let file = file.display().to_string();
    let mut arguments = ["-D", "-f", "-o", "/dev/null", "-e", "signal=none", "-P", &file].map(str::to_owned).to_vec();
    arguments.extend(trace(&[injection]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    command_through(folder, strace, &arguments)
}

/// Ends the strace that has attached to this process. On SIGTERM it would wait for the end of the delay.
pub fn end_strace(daemon: &Daemon) {
    let tracer = daemon.process_status("TracerPid");
    let killed = Command::new("kill").args(["-KILL", &tracer]).stderr(Stdio::null()).status();
    assert!(killed.unwrap().success());
}

#[test]
fn hanging_start_is_shown_by_readiness_and_ended_by_the_first_signal() {
    let Some(strace) = strace() else { return };
    // A read of the database hangs while it is opened, and a write of it at the WAL checkpoint after the restore.
    for (injection, operation) in [("pread64", "opening"), ("pwrite64", "WAL checkpoint")] {
        for signal in ["TERM", "INT"] {
            let folder = tempfile::tempdir().unwrap();
            start_with_events(folder.path(), 3).kill();
            let database: PathBuf = folder.path().canonicalize().unwrap().join("data/journal.db");
            let command = start_hanging_command(&strace, folder.path(), &format!("{injection}:{HANG}"), &database);
            let daemon = Daemon::spawn_unready(command, folder.path());
            eventually("readiness names the operation", || {
                let answer = daemon.get("/-/ready");
                answer.status == 503 && answer.body.contains(operation)
            });
            assert_eq!([daemon.get("/metrics").status, daemon.get("/-/healthy").status], [503, 200]);
            daemon.signal(signal);
            daemon.wait_for("stopped before the journal was restored");
            end_strace(&daemon);
            assert_eq!(daemon.wait().code(), Some(0), "SIG{signal}");
            check_restart(folder.path(), &BTreeSet::from([1, 2, 3]), &BTreeSet::from([1, 2, 3]));
        }
    }
}
