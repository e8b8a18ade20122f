//! Full, read-only and slow disks: notifications get 503 with the cause, and the daemon recovers by itself.

use std::fs::{self, File};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::channel;
use std::thread;

use procfs::net::{TcpNetEntry, TcpState};
use procfs::process::{FDInfo, FDTarget, Process};

use super::{Fault, command_through, counted_events, event, journaled, post, recorder, start_with_events, strace};
use crate::daemon::{Daemon, eventually, path_in, ran, run};
use crate::tools::tool;

pub(super) const SECRET: &str = "of-the-test";

/// Arguments of `unshare` that run a command in its own mount namespace.
pub(super) fn with_mounts(script: &str) -> Vec<&str> {
    // Mounting needs root; other users get it in a user namespace.
    let root = fs::metadata("/proc/self").expect("/proc exists").uid() == 0;
    let namespaces: &[&str] = if root { &["--mount"] } else { &["--mount", "--map-root-user"] };
    [namespaces, &["sh", "-c", script, "sh"]].concat()
}

/// The data folder in the mount namespace of the daemon.
pub(super) fn data(daemon: &Daemon, folder: &Path) -> PathBuf {
    let path = folder.join("data");
    Path::new(&format!("/proc/{}/root", daemon.pid())).join(path.strip_prefix("/").expect("it is absolute"))
}

/// Writes until the file system is full.
pub(super) fn fill(file: &mut File) {
    for size in [4096, 1] {
        while file.write_all(&vec![0; size]).is_ok() {}
    }
}

/// Checks that the readiness endpoint answers 503 and names the journal and the cause.
pub(super) fn check_not_ready(daemon: &Daemon, cause: &str) {
    let answer = daemon.get("/-/ready");
    assert!(answer.status == 503 && answer.body.starts_with("journal: ") && answer.body.contains(cause), "{answer:?}");
}

#[test]
fn full_disk_answers_503_shows_only_durable_events_and_recovers() {
    let Some(unshare) = tool("UNSHARE", Path::new("unshare")) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let script = "mount -t tmpfs -o size=2m,mode=0700 tmpfs data && exec \"$@\"";
    let mut small = command_through(folder.path(), &unshare, &with_mounts(script));
    small.env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__TEST", SECRET);
    let daemon = Daemon::spawn(small, folder.path());
    let data = data(&daemon, folder.path());
    assert_eq!(daemon.post_with(SECRET, &event(1)).status, 200);

    let filler = data.join("filler");
    let mut file = File::create(&filler).unwrap();
    fill(&mut file);
    // The WAL file has free space for a few events.
    let mut accepted = 1;
    while daemon.post_with(SECRET, &event(accepted + 1)).status == 200 {
        accepted += 1;
        fill(&mut file);
    }
    for _ in 0..3 {
        assert_eq!(daemon.post_with(SECRET, &event(accepted + 1)).status, 503);
        check_not_ready(&daemon, "full");
        assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(accepted as f64));
        assert_eq!(counted_events(&daemon).iter().sum::<f64>(), accepted as f64);
    }
    assert_eq!(daemon.get("/-/healthy").status, 200);
    daemon.wait_for("journal cannot be written; notifications are refused until it can");

    drop(file);
    fs::remove_file(&filler).unwrap();
    daemon.wait_for("journal is writable again");
    assert_eq!(daemon.get("/-/ready").body, "ready\n");
    assert_eq!(daemon.post_with(SECRET, &event(accepted + 1)).body, r#"{"outcome":"recorded"}"#);
    // The tmpfs disappears with the daemon, so the test checks a copy: the files that a crash would leave.
    let copy = folder.path().join("copy");
    fs::create_dir(&copy).unwrap();
    for file in ["journal.db", "journal.db-wal"] {
        fs::copy(data.join(file), copy.join(file)).unwrap();
    }
    assert_eq!(journaled(folder.path(), "copy").len() as u64, accepted + 1);
    assert!(daemon.stop().success());
}

#[test]
fn read_only_file_system_answers_503_and_recovers_when_writable() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start_with_events(folder.path(), 1);
    let fault = Fault::of_thread(&strace, recorder(&daemon), &["pwrite64,ftruncate,openat,unlink:error=EROFS"]);
    assert_eq!(daemon.post(&event(2)).status, 503);
    check_not_ready(&daemon, "read-only");
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(1.0));
    drop(fault);
    daemon.wait_for("journal is writable again");
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert_eq!(daemon.post(&event(2)).body, r#"{"outcome":"recorded"}"#);
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data").len(), 2);
}

#[test]
fn start_on_a_read_only_file_system_is_refused_and_salvage_works() {
    let Some(unshare) = tool("UNSHARE", Path::new("unshare")) else { return };
    let folder = tempfile::tempdir().unwrap();
    start_with_events(folder.path(), 1).kill();
    let script = "mount --bind data data && mount -o remount,bind,ro data && exec \"$@\"";
    let refused = ran(&mut command_through(folder.path(), &unshare, &with_mounts(script)));
    assert_eq!(refused.code, Some(1));
    let [error] = &refused.logged_errors()[..] else { panic!("{}", refused.stderr) };
    assert!(error.starts_with(&path_in(folder.path(), "data: ")) && error.ends_with("(os error 30)"), "{error}");
    let mut salvage = Command::new(unshare);
    salvage.current_dir(folder.path()).args(with_mounts(script));
    salvage.args([env!("CARGO_BIN_EXE_stream-live-exporter"), "journal", "salvage", "new"]);
    let salvaged = ran(&mut salvage);
    assert_eq!((salvaged.code, salvaged.stderr.as_str()), (Some(0), ""));
    assert_eq!(run(folder.path(), &["--storage.path=new", "journal", "verify"]).code, Some(0));
    assert_eq!(journaled(folder.path(), "new").len(), 1);
}

#[test]
fn single_failed_write_rejects_one_notification() {
    let Some(strace) = strace() else { return };
    for error in ["EIO", "EDQUOT"] {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(folder.path());
        let fault = Fault::of_thread(&strace, recorder(&daemon), &[&format!("pwrite64:error={error}:when=2")]);
        assert_eq!(daemon.post(&event(1)).status, 503, "{error}");
        daemon.wait_for("journal is writable again");
        assert_eq!(daemon.post(&event(1)).body, r#"{"outcome":"recorded"}"#, "{error}");
        drop(fault);
        assert!(daemon.stop().success());
        assert_eq!(journaled(folder.path(), "data").len(), 1);
    }
}

#[test]
fn write_without_space_is_tried_again_after_a_wal_checkpoint() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start_with_events(folder.path(), 1);
    let fault = Fault::of_thread(&strace, recorder(&daemon), &["pwrite64:error=ENOSPC:when=2"]);
    assert_eq!(daemon.post(&event(2)).body, r#"{"outcome":"recorded"}"#);
    drop(fault);
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data").len(), 2);
}

#[test]
fn slow_disk_batches_waiting_notifications_and_shows_in_the_metrics() {
    // Long enough for all requests to arrive during a few commits on a busy machine, and far from the time that a request
    // waits.
    const DELAY: f64 = 0.5;
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let fault = Fault::of_thread(&strace, recorder(&daemon), &["fsync,fdatasync:delay_enter=500ms"]);
    let (answer_tx, answered) = channel();
    let (address, secret) = (daemon.public_address(), daemon.secret());
    thread::scope(|scope| {
        for number in 1..=20 {
            let answer_tx = answer_tx.clone();
            scope.spawn(move || answer_tx.send(post(address, secret, &event(number)).map(|answer| answer.status)));
        }
    });
    drop(answer_tx);
    assert_eq!(answered.iter().collect::<Vec<_>>(), vec![Some("200 OK".to_owned()); 20]);
    let commits = daemon.metric("stream_live_exporter_journal_commit_duration_seconds_count").unwrap();
    let seconds = daemon.metric("stream_live_exporter_journal_commit_duration_seconds_sum").unwrap();
    assert!((1.0..10.0).contains(&commits), "20 notifications took {commits} commits");
    assert!(seconds >= commits * DELAY, "{commits} commits took {seconds} s");
    assert_eq!(daemon.get("/-/ready").status, 200);
    drop(fault);
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data").len(), 20);
}

/// The address with its port where a process listens. For a process whose log is not readable.
fn listening(process: u32, address: &str) -> Option<SocketAddr> {
    let process = Process::new(process.try_into().expect("processes have small numbers")).ok()?;
    let is_socket = |inode| move |file: &FDInfo| matches!(file.target, FDTarget::Socket(socket) if socket == inode);
    let files: Vec<_> = process.fd().ok()?.filter_map(Result::ok).collect();
    let mut sockets = process.tcp().ok()?.into_iter().filter(|socket| socket.state == TcpState::Listen);
    let is_own = |socket: &TcpNetEntry| files.iter().any(is_socket(socket.inode));
    let found = sockets.find(|socket| socket.local_address.ip().to_string() == address && is_own(socket));
    found.map(|socket| socket.local_address)
}

#[test]
fn unwritable_log_does_not_stop_recording() {
    let folder = tempfile::tempdir().unwrap();
    let mut daemon = Command::new(env!("CARGO_BIN_EXE_stream-live-exporter"));
    daemon.current_dir(folder.path()).env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__TEST", SECRET);
    daemon.args(["--webhook.listen-address=127.0.0.3:0", "--web.listen-address=127.0.0.1:0"]);
    let mut daemon = daemon.stderr(File::options().write(true).open("/dev/full").unwrap()).spawn().unwrap();
    let mut public = None;
    eventually("it listens", || {
        public = listening(daemon.id(), "127.0.0.3");
        public.is_some()
    });
    let public = public.expect("it listens").to_string();
    let answer = |number: u64| Some(post(&public, SECRET, &event(number))?.status);
    eventually("it is ready", || answer(1).is_some());
    for number in 2..=5 {
        assert_eq!(answer(number).as_deref(), Some("200 OK"));
    }
    assert!(Command::new("kill").arg(daemon.id().to_string()).status().unwrap().success());
    assert!(daemon.wait().unwrap().success());
    assert_eq!(journaled(folder.path(), "data").len(), 5);
}

#[test]
fn failing_wal_checkpoints_are_warned_of_once_and_notifications_are_recorded() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start_with_events(folder.path(), 1);
    let database = folder.path().canonicalize().unwrap().join("data/journal.db");
    let fault = Fault::of_file(&strace, recorder(&daemon), &database, &["pwrite64:error=EIO"]);
    let warnings = || {
        let warning = "WAL cannot be transferred to the database; it grows until it can";
        daemon.log().iter().filter(|line| line["msg"] == warning).count()
    };
    let mut number = 1;
    let mut record = || {
        number += 1;
        assert_eq!(daemon.post(&event(number)).body, r#"{"outcome":"recorded"}"#);
        number
    };
    while warnings() == 0 {
        assert!(record() < 1000, "the WAL is large");
    }
    for _ in 0..20 {
        record();
    }
    assert_eq!((warnings(), daemon.get("/-/ready").status), (1, 200));
    drop(fault);
    let recorded = record();
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder.path(), "data").len() as u64, recorded);
}
