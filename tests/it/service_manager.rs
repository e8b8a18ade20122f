//! Messages to a service manager: readiness, status, reload, stop and watchdog.

use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::thread;
use std::time::Duration;

use stream_live_exporter::clock::Stopwatch;

use crate::connection::{Connection, webhook_request};
use crate::daemon::{Daemon, PATIENCE, command, eventually};
use crate::faults::hang::{HANG, end_strace, hang_syncs, start_hanging_command};
use crate::faults::{Fault, event, recorder, start_with_events, strace};

const WATCHDOG: Duration = Duration::from_secs(1);

/// The end of the socket that a service manager reads.
struct Manager {
    path: PathBuf,
    received: Receiver<String>,
    /// Lines of messages that were read.
    lines: Vec<String>,
}

impl Manager {
    fn new(folder: &Path) -> Self {
        let path = folder.join("notify");
        let socket = UnixDatagram::bind(&path).unwrap();
        let (sender, received) = channel();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length) = socket.recv(&mut buffer) {
                let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
                if message.lines().any(|line| sender.send(line.to_owned()).is_err()) {
                    return;
                }
            }
        });
        Self { path, received, lines: Vec::new() }
    }

    /// A service manager and its daemon, which is ready.
    fn with_daemon(folder: &Path) -> (Self, Daemon) {
        let manager = Self::new(folder);
        let daemon = Daemon::spawn(manager.supervise(command(folder)), folder);
        (manager, daemon)
    }

    /// A command that notifies this service manager.
    fn supervise(&self, mut command: Command) -> Command {
        command.env("NOTIFY_SOCKET", &self.path).env("WATCHDOG_USEC", WATCHDOG.as_micros().to_string());
        command
    }

    /// Reads messages until one has a line that starts with this.
    fn wait_for(&mut self, start: &str) -> String {
        let since = Stopwatch::start();
        loop {
            let rest = PATIENCE.saturating_sub(since.elapsed());
            let line = self.received.recv_timeout(rest).unwrap_or_else(|_| panic!("{start}: {:?}", self.lines));
            self.lines.push(line.clone());
            if line.starts_with(start) {
                return line;
            }
        }
    }

    /// The number of lines that have been read and start with this.
    fn count(&self, start: &str) -> usize {
        self.lines.iter().filter(|line| line.starts_with(start)).count()
    }
}

#[test]
fn service_manager_is_notified_of_readiness_reload_and_stop_in_this_order() {
    let folder = tempfile::tempdir().unwrap();
    let (mut manager, daemon) = Manager::with_daemon(folder.path());
    manager.wait_for("READY=1");
    for _ in 0..2 {
        manager.wait_for("WATCHDOG=1");
    }
    daemon.signal("HUP");
    manager.wait_for("RELOADING=1");
    assert_eq!(manager.count("READY=1"), 1);
    manager.wait_for("MONOTONIC_USEC=");
    manager.wait_for("READY=1");
    manager.wait_for("STATUS=");
    assert_eq!(daemon.post_private("/-/reload").status, 200);
    manager.wait_for("RELOADING=1");
    manager.wait_for("READY=1");
    assert_eq!(manager.count("STOPPING=1"), 0);
    assert!(daemon.stop().success());
    manager.wait_for("STOPPING=1");
    assert_eq!(manager.count("READY=1"), 3);
}

#[test]
fn hanging_start_is_extended_and_readiness_is_sent_only_after_the_restore() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    start_with_events(folder.path(), 3).kill();
    let database = folder.path().canonicalize().unwrap().join("data/journal.db");
    let mut manager = Manager::new(folder.path());
    let command = start_hanging_command(&strace, folder.path(), &format!("pwrite64:{HANG}"), &database);
    let daemon = Daemon::spawn_unready(manager.supervise(command), folder.path());
    let status = manager.wait_for("STATUS=restoring: the WAL checkpoint");
    assert!(daemon.get("/-/ready").body.starts_with(status.trim_start_matches("STATUS=")), "{status}");
    // A reload does not end the start.
    daemon.signal("HUP");
    daemon.wait_for("configuration reloaded");
    manager.wait_for("EXTEND_TIMEOUT_USEC=");
    manager.wait_for("WATCHDOG=1");
    assert_eq!([manager.count("READY=1"), manager.count("RELOADING=1")], [0, 0]);
    end_strace(&daemon);
    manager.wait_for("READY=1");
    daemon.wait_for("ready");
    assert!(daemon.stop().success());
}

#[test]
fn watchdog_is_fed_while_the_disk_hangs() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut manager, daemon) = Manager::with_daemon(folder.path());
    let hung = hang_syncs(&strace, &daemon);
    assert_eq!(daemon.post(&event(1)).status, 503);
    manager.wait_for("STATUS=journal: ");
    // For longer than a recorder may be without progress that does not wait for the disk.
    for _ in 0..26 {
        manager.wait_for("WATCHDOG=1");
    }
    assert_eq!(daemon.get("/-/ready").status, 503);
    drop(hung);
    manager.wait_for("STATUS=ready");
    assert!(daemon.stop().success());
}

#[test]
fn watchdog_is_not_fed_while_the_recorder_is_blocked_outside_of_the_disk() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    let (mut manager, daemon) = Manager::with_daemon(folder.path());
    // The recorder wakes the thread that answers a notification with a write. SQLite writes with other system calls.
    let blocked = Fault::of_thread(&strace, recorder(&daemon), &[&format!("write:{HANG}")]);
    let mut client = Connection::open(daemon.public_address()).unwrap();
    client.send(&webhook_request(daemon.secret(), &event(1))).unwrap();
    daemon.wait_for("recorder makes no progress, and does not wait for the disk");
    while manager.received.try_recv().is_ok() {}
    // Others, such as the status, may arrive.
    let silence = manager.received.recv_timeout(4 * WATCHDOG);
    assert_eq!(silence, Err(RecvTimeoutError::Timeout));
    drop(blocked);
    manager.wait_for("WATCHDOG=1");
    eventually("notifications are recorded", || daemon.post(&event(2)).status == 200);
    assert!(daemon.stop().success());
}
