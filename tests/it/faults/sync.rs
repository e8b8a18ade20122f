//! Failed syncs: the kernel may drop the written pages and reports the error only once.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use super::disk::SECRET;
use super::{Fault, check_restart, event, post, recorder, start_with_events, strace, trace};
use crate::daemon::{Daemon, command, eventually, path_in, ran};
use crate::postgres::Cluster;

/// The exit code after a failed sync.
const SYNC_FAILED: Option<i32> = Some(74);

#[test]
fn failed_sync_answers_503_and_exits_74_and_a_restart_is_complete() {
    let Some(strace) = strace() else { return };
    let mut failures = 0;
    loop {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(folder.path());
        let injection = format!("fsync,fdatasync:error=EIO:when={}", failures + 1);
        let fault = Fault::of_thread(&strace, recorder(&daemon), &[&injection]);
        let (mut sent, mut accepted) = (BTreeSet::new(), BTreeSet::new());
        let mut refused = false;
        for number in 1..=3 {
            let Some(answer) = post(daemon.public_address(), daemon.secret(), &event(number)) else { break };
            sent.insert(number);
            if answer.status == "200 OK" {
                assert!(!refused, "accepted after a failed sync");
                accepted.insert(number);
            } else {
                assert_eq!(answer.status, "503 Service Unavailable");
                assert_eq!(answer.header("retry-after"), "5");
                refused = true;
                break;
            }
        }
        if refused {
            daemon.wait_for("sync failed; stopping, the next start recovers what was synced");
        } else {
            daemon.signal("TERM");
        }
        let ended = daemon.wait();
        drop(fault);
        check_restart(folder.path(), &accepted, &sent);
        if ended.success() {
            break;
        }
        assert_eq!(ended.code(), SYNC_FAILED, "sync {}", failures + 1);
        failures += 1;
    }
    // One for each event, one for the checkpoint, and two for the WAL checkpoint.
    assert!(failures >= 5, "only {failures} syncs were seen");
}

#[test]
fn notifications_are_synced_with_fdatasync_not_fsync() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    let fault = Fault::of_thread(&strace, recorder(&daemon), &["fsync:error=EIO"]);
    for number in 1..=3 {
        assert_eq!(daemon.post(&event(number)).status, 200);
    }
    drop(fault);
    assert!(daemon.stop().success());
    check_restart(folder.path(), &BTreeSet::from([1, 2, 3]), &BTreeSet::from([1, 2, 3]));
}

#[test]
fn start_with_a_failing_sync_exits_74() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = |injection: &str| {
        let daemon = command(folder.path());
        let mut start = Command::new(&strace);
        start.current_dir(folder.path()).args(["-f", "-o", "/dev/null", "-e", "signal=none"]);
        start.args(trace(&[injection])).arg(daemon.get_program()).args(daemon.get_args());
        ran(&mut start)
    };
    let first = start("fsync,fdatasync:error=EIO");
    assert_eq!(first.code, SYNC_FAILED, "{}", first.stderr);
    assert!(first.logged_errors()[0].starts_with(&path_in(folder.path(), "data/journal.db: ")), "{}", first.stderr);
    // After a crash the WAL must be synced before the daemon is ready.
    start_with_events(folder.path(), 1).kill();
    let wal = |folder: &Path| std::fs::read(folder.join("data/journal.db-wal")).unwrap();
    let before = wal(folder.path());
    let second = start("fsync,fdatasync:error=EIO");
    assert_eq!(second.code, SYNC_FAILED, "{}", second.stderr);
    assert!(!second.stderr.contains("\"msg\":\"ready\""), "{}", second.stderr);
    assert!(wal(folder.path()) == before, "the WAL is kept until it is checkpointed");
    check_restart(folder.path(), &BTreeSet::from([1]), &BTreeSet::from([1]));
}

#[test]
fn failed_sync_of_the_spool_while_it_is_drained_exits_74_and_a_restart_is_complete() {
    let (Some(strace), Some(mut cluster)) = (strace(), Cluster::start()) else { return };
    let folder = tempfile::tempdir().unwrap();
    let start = |cluster: &Cluster| {
        let mut command = command(folder.path());
        command.env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__TEST", SECRET);
        command.arg(format!("--storage.url={}", cluster.url()));
        command.arg(format!("--storage.password-file={}", cluster.password_file().display()));
        Daemon::spawn_unready(command, folder.path())
    };
    let daemon = start(&cluster);
    daemon.wait_for("ready");
    cluster.kill();
    for number in 1..=3 {
        assert_eq!(daemon.post_with(SECRET, &event(number)).status, 200);
    }
    let fault = Fault::of_thread(&strace, recorder(&daemon), &["fsync,fdatasync:error=EIO"]);
    cluster.restart();
    daemon.wait_for("sync failed; stopping, the next start recovers what was synced");
    let ended = daemon.wait();
    drop(fault);
    assert_eq!(ended.code(), SYNC_FAILED);
    let daemon = start(&cluster);
    let events = "SELECT count(*) FROM stream_live_exporter.events";
    eventually("the spool is in the journal", || cluster.psql(events) == "3");
    assert!(daemon.stop().success());
}
