//! `journal backup` and `journal export` beside a running daemon.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use crate::connection::{Connection, webhook_request};
use crate::daemon::{Daemon, OverWhenDropped, eventually, notification, path_in, run};
use crate::journal::exported;
use crate::tools::tool;

/// The error number `number` of an input.
fn error(input: usize, number: usize) -> String {
    let (minutes, seconds) = (number / 60, number % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    notification(&format!("{input:032x}"), "errored", &format!("2026-11-20T{hours:02}:{minutes:02}:{seconds:02}Z"))
}

fn backup(folder: &Path, to: &str) {
    let made = run(folder, &["journal", "backup", to]);
    assert_eq!((made.code, made.stderr.as_str()), (Some(0), ""));
}

/// The metrics about inputs.
fn of_inputs(daemon: &Daemon) -> BTreeMap<String, f64> {
    daemon.metrics().into_iter().filter(|(series, _)| series.starts_with("cloudflare_stream_live_")).collect()
}

#[test]
fn backup_under_load_has_every_event_that_was_answered_before_it() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let (over, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let (address, secret) = (daemon.public_address(), daemon.secret());
    thread::scope(|scope| {
        let _over = OverWhenDropped(&over);
        for input in 1..=3 {
            let (over, answered) = (&over, &answered);
            scope.spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                for number in (0..).take_while(|_| !over.load(Ordering::Acquire)) {
                    connection.send(&webhook_request(secret, &error(input, number))).unwrap();
                    assert_eq!(connection.read_answer().unwrap().status, "200 OK");
                    answered.fetch_add(1, Ordering::Release);
                }
            });
        }
        for number in 1..=4 {
            eventually("events arrive", || answered.load(Ordering::Acquire) >= number * 100);
            let before = answered.load(Ordering::Acquire);
            backup(folder.path(), &number.to_string());
            let copied = exported(folder.path(), &number.to_string()).len();
            assert!(copied >= before, "{copied} of {before} events");
        }
    });
    assert!(daemon.stop().success());
    let all = exported(folder.path(), "data");
    for number in 1..=4 {
        let copied = exported(folder.path(), &number.to_string());
        assert_eq!(copied, all[..copied.len()], "backup {number}");
    }
}

#[test]
fn restored_backup_has_the_same_metrics() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let input = "2c28dd2cc444cb77578c4840b51e43a8";
    for (event, time) in
        [("connected", "10:00"), ("disconnected", "10:20"), ("connected", "10:20:30"), ("disconnected", "11:00")]
    {
        let time = if time.len() == 5 { format!("{time}:00") } else { time.to_owned() };
        assert_eq!(daemon.post(&notification(input, event, &format!("2026-11-20T{time}Z"))).status, 200);
    }
    assert_eq!(daemon.post(&error(1, 1)).status, 200);
    let metrics = of_inputs(&daemon);
    backup(folder.path(), "copy");
    // What happens after the backup is not in it.
    assert_eq!(daemon.post(&error(1, 2)).status, 200);
    assert!(daemon.stop().success());

    // As docs/journal.md describes.
    fs::rename(folder.path().join("data"), folder.path().join("lost")).unwrap();
    fs::rename(folder.path().join("copy"), folder.path().join("data")).unwrap();
    fs::copy(folder.path().join("lost/webhook-secret"), folder.path().join("data/webhook-secret")).unwrap();
    let daemon = Daemon::start(folder.path());
    assert_eq!(of_inputs(&daemon), metrics);
    assert_eq!(daemon.post(&error(1, 1)).body, r#"{"outcome":"duplicate"}"#);
    assert_eq!(daemon.post(&error(1, 2)).body, r#"{"outcome":"recorded"}"#);
}

#[test]
fn backup_that_cannot_be_made_says_so_and_leaves_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let refused = |to: &str, parts: &[&str]| {
        let refused = run(folder.path(), &["journal", "backup", to]);
        assert_eq!((refused.code, refused.stdout.as_str()), (Some(1), ""), "{to}");
        assert!(parts.iter().all(|part| refused.stderr.contains(part)), "{}", refused.stderr);
    };
    refused("copy", &[&format!("{}: ", path_in(folder.path(), "data/journal.db")), "--storage.path"]);
    assert!(!folder.path().join("copy").exists());
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.post(&error(1, 1)).status, 200);
    refused("data", &["data: "]);
    refused("none/copy", &["none/copy: ", "(os error 2)"]);
    backup(folder.path(), "copy");
    let before = fs::read(folder.path().join("copy/journal.db")).unwrap();
    refused("copy", &["copy: "]);
    assert_eq!(fs::read(folder.path().join("copy/journal.db")).unwrap(), before);
    assert!(daemon.stop().success());

    // A damaged journal gives no backup.
    let database = crate::journal::database(folder.path());
    database.execute("UPDATE records SET kind = 'exploded' WHERE position = 2", []).unwrap();
    drop(database);
    refused("damaged", &["record 2", "journal salvage"]);
    assert!(!folder.path().join("damaged").exists());
}

/// Starts a backup under strace, with faults in its writes. The process id is that of the backup.
fn backup_with(strace: &Path, folder: &Path, injection: &str) -> Child {
    let mut command = Command::new(strace);
    command.current_dir(folder).args(["-D", "-f", "-o", "/dev/null", "-e", "trace=pwrite64", "-e"]);
    command.arg(format!("inject=pwrite64:{injection}")).arg(env!("CARGO_BIN_EXE_stream-live-exporter"));
    command.args(["journal", "backup", "copy"]).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().unwrap()
}

#[test]
fn interrupted_or_failed_backup_leaves_nothing_and_a_killed_one_does_not_block_the_next() {
    let Some(strace) = tool("STRACE", Path::new("strace")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    for number in 0..100 {
        assert_eq!(daemon.post(&error(1, number)).status, 200);
    }
    let copy = folder.path().join("copy");
    let full = backup_with(&strace, folder.path(), "error=ENOSPC:when=3+").wait().unwrap();
    assert_eq!((full.code(), copy.exists()), (Some(1), false));
    for signal in ["INT", "TERM", "KILL"] {
        let mut child = backup_with(&strace, folder.path(), "delay_enter=200ms");
        let unfinished = copy.join(".unfinished/journal.db");
        eventually("it writes", || fs::metadata(&unfinished).is_ok_and(|file| file.len() > 0));
        assert!(
            Command::new("kill").args([&format!("-{signal}"), &child.id().to_string()]).status().unwrap().success()
        );
        let ended = child.wait().unwrap();
        assert_eq!(copy.exists(), signal == "KILL", "{signal}: {ended}");
        assert!(!copy.join("journal.db").exists());
        if signal != "KILL" {
            assert_eq!(ended.code(), Some(1), "{signal}");
        }
    }
    backup(folder.path(), "copy");
    assert_eq!(fs::read_dir(copy).unwrap().count(), 1);
    assert_eq!(exported(folder.path(), "copy").len(), 100);
}

#[test]
fn paused_export_does_not_let_the_wal_grow() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    // More than a pipe holds.
    let post = |numbers: std::ops::Range<usize>| {
        numbers.for_each(|number| assert_eq!(daemon.post(&error(1, number)).status, 200));
    };
    post(0..600);
    let mut export = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    export.current_dir(folder.path()).args(["journal", "export"]).stdout(Stdio::piped());
    let mut export = export.spawn().unwrap();
    let mut lines = BufReader::with_capacity(64, export.stdout.take().unwrap()).lines();
    assert!(lines.next().is_some_and(|line| line.is_ok()));
    post(600..2400);
    let wal = fs::metadata(folder.path().join("data/journal.db-wal")).unwrap().len();
    assert!(wal < 6 << 20, "the WAL has {wal} bytes");
    assert!(lines.count() >= 600);
    assert!(export.wait().unwrap().success());
}
