//! A full disk: expiry frees it, and a start on it serves the metrics.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;

use super::disk::{SECRET, check_not_ready, data, fill, with_mounts};
use super::{Fault, command_through, counted_events, event, recorder, start_with_events, strace};
use crate::daemon::{Daemon, eventually, path_in, ran};
use crate::journal::database;
use crate::tools::tool;

/// A command that runs the daemon with a small file system as its data folder, after this shell command in it.
fn on_small_disk(folder: &Path, unshare: &Path, prepare: &str) -> Command {
    let script =
        format!("mount -t tmpfs -o size=12m,mode=0700 tmpfs data && cd data && {prepare}; cd .. && exec \"$@\"");
    let mut command = command_through(folder, unshare, &with_mounts(&script));
    command.env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__TEST", SECRET);
    command
}

/// A folder with a journal whose records are thirty days old.
fn with_old_records(events: u64) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    assert!(start_with_events(folder.path(), events).stop().success());
    let month: i64 = 30 * 86_400 * 1_000_000_000;
    database(folder.path()).execute("UPDATE records SET recorded_at = recorded_at - ?1", [month]).unwrap();
    fs::rename(folder.path().join("data"), folder.path().join("saved")).unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    folder
}

#[test]
fn full_disk_is_writable_again_after_records_expired() {
    const OLD: u64 = 600;
    let Some(unshare) = tool("UNSHARE", Path::new("unshare")) else { return };
    let folder = with_old_records(OLD);
    let configuration = folder.path().join("exporter.toml");
    fs::write(&configuration, "").unwrap();
    let mut command = on_small_disk(folder.path(), &unshare, "cp -p ../saved/* .");
    command.arg("--config.file=exporter.toml");
    let daemon = Daemon::spawn(command, folder.path());
    let mut filler = File::create(data(&daemon, folder.path()).join("filler")).unwrap();
    fill(&mut filler);
    let mut accepted = OLD;
    while daemon.post_with(SECRET, &event(accepted + 1)).status == 200 {
        accepted += 1;
        fill(&mut filler);
    }
    check_not_ready(&daemon, "full");
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(accepted as f64));

    fs::write(&configuration, "[storage]\nretention = \"1d\"\n").unwrap();
    daemon.signal("HUP");
    daemon.wait_for("journal is writable again");
    eventually("the old records are deleted", || {
        daemon.metric("stream_live_exporter_journal_events") == Some((accepted - OLD) as f64)
    });
    // Other programs take the rest of the space. New records use the place of the deleted ones.
    fill(&mut filler);
    for number in 1..=50 {
        let answer = daemon.post_with(SECRET, &event(accepted + number));
        assert_eq!(answer.status, 200, "{number}: {answer:?}");
    }
    assert_eq!(daemon.get("/-/ready").status, 200);
    assert_eq!(counted_events(&daemon).iter().sum::<f64>(), (accepted + 50) as f64);
    // The last checkpoint may find no space.
    assert!(daemon.stop().success());
}

#[test]
fn stop_without_space_for_the_last_checkpoint_exits_0_and_the_next_start_shows_every_event() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let daemon = start_with_events(folder.path(), 20);
    let fault = Fault::of_thread(&strace, recorder(&daemon), &["pwrite64:error=ENOSPC"]);
    assert!(daemon.stop().success());
    drop(fault);
    let wal = fs::metadata(folder.path().join("data/journal.db-wal")).unwrap();
    assert!(wal.len() > 0, "there was space");
    let daemon = Daemon::start(folder.path());
    assert_eq!(counted_events(&daemon), [10.0, 10.0]);
    assert!(daemon.stop().success());
}

#[test]
fn first_start_without_a_secret_on_a_full_disk_is_refused_and_the_next_one_generates_it() {
    let Some(unshare) = tool("UNSHARE", Path::new("unshare")) else { return };
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("data")).unwrap();
    let script = "mount -t tmpfs -o size=1m,mode=0700 tmpfs data && cat /dev/zero >data/filler 2>/dev/null; \"$@\"; \
                  code=$?; rm data/filler; cp -pR data left; exit $code";
    let refused = ran(&mut command_through(folder.path(), &unshare, &with_mounts(script)));
    assert_eq!(refused.code, Some(1));
    let [error] = &refused.logged_errors()[..] else { panic!("{}", refused.stderr) };
    assert!(
        error.starts_with(&path_in(folder.path(), "data/webhook-secret: ")) && error.contains("(os error 28)"),
        "{error}"
    );
    // What the start left is no obstacle.
    fs::remove_dir(folder.path().join("data")).unwrap();
    fs::rename(folder.path().join("left"), folder.path().join("data")).unwrap();
    let daemon = Daemon::start(folder.path());
    assert_eq!(daemon.post(&event(1)).status, 200);
    assert!(daemon.stop().success());
}

#[test]
fn start_on_a_full_disk_serves_metrics_is_not_ready_and_recovers() {
    let Some(unshare) = tool("UNSHARE", Path::new("unshare")) else { return };
    // A stopped daemon leaves only the database, a killed one also a WAL. The first start finds nothing, or an empty
    // database of one that was killed at once.
    for (files, events) in
        [("journal.db webhook-secret", 20), ("journal.db journal.db-wal", 20), ("", 0), ("empty.db", 0)]
    {
        let folder = tempfile::tempdir().unwrap();
        let before = start_with_events(folder.path(), 20);
        if files.contains("wal") {
            before.kill();
        } else {
            assert!(before.stop().success());
        }
        fs::rename(folder.path().join("data"), folder.path().join("saved")).unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let empty = rusqlite::Connection::open(folder.path().join("saved/empty.db")).unwrap();
        empty.execute_batch("PRAGMA journal_mode = WAL").unwrap();
        drop(empty);
        let copy = |file: &str| format!("cp -p ../saved/{file} {} && ", file.replace("empty", "journal"));
        let copies = files.split_whitespace().map(copy).collect::<String>();
        let prepare = format!("{copies}cat /dev/zero >filler 2>/dev/null");
        let command = on_small_disk(folder.path(), &unshare, &prepare);
        let daemon = Daemon::spawn_unready(command, folder.path());
        daemon.wait_for("started, but not ready");

        check_not_ready(&daemon, "full");
        assert_eq!(counted_events(&daemon).iter().sum::<f64>(), f64::from(events), "{files}");
        assert_eq!(daemon.post_with(SECRET, &event(21)).status, 503, "{files}");
        assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(f64::from(events)), "{files}");

        // Half of the space is taken at once by others.
        let data = data(&daemon, folder.path());
        let filler = File::options().write(true).open(data.join("filler")).unwrap();
        filler.set_len(0).unwrap();
        filler.write_at(&[0; 4096], 0).unwrap();
        daemon.wait_for("journal is writable again");
        assert_eq!(daemon.get("/-/ready").body, "ready\n");
        assert_eq!(daemon.post_with(SECRET, &event(21)).body, r#"{"outcome":"recorded"}"#, "{files}");
        assert_eq!(daemon.post_with(SECRET, &event(20)).body.contains("duplicate"), events > 0, "{files}");
        assert_eq!(counted_events(&daemon).iter().sum::<f64>(), f64::from(events.max(1) + 1), "{files}");
        assert!(daemon.stop().success());
    }
}
