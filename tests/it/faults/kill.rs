//! SIGKILL at each system call that writes or syncs.

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread;

use super::{
    Fault, INPUT, check_restart, command_through, event, journaled, post, post_on, recorder, start_with_events, strace,
    trace, updated_at,
};
use crate::connection::Connection;
use crate::daemon::{Daemon, fixture, notification, run};
use crate::tools::report;

/// The system calls that change files.
const CALLS: &str = "pwrite64,write,fdatasync,fsync,ftruncate,unlink,mkdir";
/// Number of rounds that run concurrently.
const CONCURRENCY: usize = 4;

/// Calls `round` with 1, 2, 3 and so on until it returns true: no kill happened. Reports and returns the number of kills.
fn until_not_killed(what: &str, round: impl Fn(u32) -> bool + Sync) -> u32 {
    let (next, survived) = (AtomicU32::new(1), AtomicBool::new(false));
    let killed = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..CONCURRENCY {
            scope.spawn(|| {
                while !survived.load(Ordering::Acquire) {
                    if round(next.fetch_add(1, Ordering::AcqRel)) {
                        survived.store(true, Ordering::Release);
                    } else {
                        killed.fetch_add(1, Ordering::AcqRel);
                    }
                }
            });
        }
    });
    let killed = killed.into_inner();
    report(&format!("SIGKILL: {killed} times {what}, recovered each time"));
    killed
}

/// Starts the daemon. It is killed at call number `when` on these paths, or stopped when it is ready.
fn start_and_kill(strace: &Path, folder: &Path, paths: &[&str], when: u32) -> ExitStatus {
    let injection = format!("{CALLS}:signal=SIGKILL:when={when}");
    // With -D the daemon is the direct child, and strace a detached grandchild.
    let mut arguments = ["-D", "-f", "-o", "/dev/null", "-e", "signal=none"].map(str::to_owned).to_vec();
    arguments.extend(trace(&[&injection]));
    arguments.extend(paths.iter().flat_map(|path| ["-P".to_owned(), (*path).to_owned()]));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut child = command_through(folder, strace, &arguments).stderr(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    for line in lines {
        if line.contains("\"msg\":\"ready\"") {
            let _ = Command::new("kill").args(["-TERM", &child.id().to_string()]).status();
        }
    }
    child.wait().unwrap()
}

#[test]
fn sigkill_at_any_write_of_the_first_start_is_recovered() {
    let Some(strace) = strace() else { return };
    let killed = until_not_killed("in a first start", |when| {
        let folder = tempfile::tempdir().unwrap();
        let ended = start_and_kill(&strace, folder.path(), &[], when);
        check_restart(folder.path(), &BTreeSet::new(), &BTreeSet::new());
        ended.success()
    });
    assert!(killed > 15, "a first start has more than {killed} writes");
}

#[test]
fn sigkill_at_any_write_of_a_restart_is_recovered() {
    let Some(strace) = strace() else { return };
    let crashed = tempfile::tempdir().unwrap();
    let sent: BTreeSet<u64> = (1..=3).collect();
    start_with_events(crashed.path(), 3).kill();
    let killed = until_not_killed("in a restart after a crash", |when| {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        fs::create_dir(&data).unwrap();
        for file in ["journal.db", "journal.db-wal", "webhook-secret"] {
            fs::copy(crashed.path().join("data").join(file), data.join(file)).unwrap();
        }
        let paths = ["journal.db", "journal.db-wal"].map(|file| data.join(file).to_str().unwrap().to_owned());
        let ended = start_and_kill(&strace, folder.path(), &[&paths[0], &paths[1]], when);
        check_restart(folder.path(), &sent, &sent);
        ended.success()
    });
    assert!(killed > 5, "a restart has more than {killed} writes");
}

#[test]
fn sigkill_at_any_write_keeps_exactly_the_acknowledged_events() {
    let Some(strace) = strace() else { return };
    let killed = until_not_killed("while recording and stopping", |when| {
        let folder = tempfile::tempdir().unwrap();
        let daemon = Daemon::start(folder.path());
        let secret = daemon.secret().to_owned();
        let injection = format!("{CALLS}:signal=SIGKILL:when={when}");
        let fault = Fault::of_thread(&strace, recorder(&daemon), &[&injection]);
        let (mut sent, mut accepted) = (BTreeSet::new(), BTreeSet::new());
        for number in [1, 2, 1, 3] {
            sent.insert(number);
            match post(daemon.public_address(), &secret, &event(number)) {
                Some(answer) => {
                    assert_eq!(answer.status, "200 OK");
                    accepted.insert(number);
                }
                None => break,
            }
        }
        let _ = post(daemon.public_address(), &secret, &fixture("save-and-test-properly"));
        let _ = post(daemon.public_address(), &secret, &fixture("unknown-event-type"));
        let ended = daemon.stop();
        drop(fault);
        check_restart(folder.path(), &accepted, &sent);
        ended.success()
    });
    assert!(killed > 15, "recording and stopping have more than {killed} writes");
}

#[test]
fn sigkill_at_any_write_of_a_salvage_leaves_the_source_unchanged() {
    let Some(strace) = strace() else { return };
    let folder = tempfile::tempdir().unwrap();
    start_with_events(folder.path(), 3).kill();
    let damaged =
        ["journal.db", "journal.db-wal"].map(|file| (file, fs::read(folder.path().join("data").join(file)).unwrap()));
    let killed = until_not_killed("in a salvage", |when| {
        let folder = tempfile::tempdir().unwrap();
        let (data, new) = (folder.path().join("data"), folder.path().join("new"));
        fs::create_dir(&data).unwrap();
        damaged.iter().for_each(|(file, bytes)| fs::write(data.join(file), bytes).unwrap());
        let injection = format!("{CALLS}:signal=SIGKILL:when={when}");
        let mut salvage = Command::new(&strace);
        salvage.current_dir(folder.path()).args(["-f", "-o", "/dev/null"]).args(trace(&[&injection]));
        salvage.args([env!("CARGO_BIN_EXE_stream-live-exporter"), "journal", "salvage", "new"]);
        let survived = salvage.stdout(Stdio::null()).status().unwrap().success();
        for (file, bytes) in &damaged {
            assert!(fs::read(data.join(file)).unwrap() == *bytes, "killed at call {when}, and {file} has changed");
        }
        if !survived && new.exists() {
            let again = run(folder.path(), &["journal", "salvage", "new"]);
            assert_eq!(
                (again.code, again.stdout.as_str()),
                (Some(1), ""),
                "a salvage into a partly written folder is refused"
            );
            fs::remove_dir_all(&new).unwrap();
        }
        if !survived {
            assert_eq!(run(folder.path(), &["journal", "salvage", "new"]).code, Some(0), "killed at call {when}");
        }
        assert_eq!(journaled(folder.path(), "new").len(), 3, "killed at call {when}");
        survived
    });
    assert!(killed > 20, "a salvage has more than {killed} writes");
}

/// Posts errors of one input at these seconds, on several connections at once.
fn post_errors(daemon: &Daemon, seconds: std::ops::Range<u64>) {
    const CONNECTIONS: usize = 16;
    let (address, secret) = (daemon.public_address(), daemon.secret());
    thread::scope(|scope| {
        for first in 0..CONNECTIONS {
            let seconds = seconds.clone().skip(first).step_by(CONNECTIONS);
            scope.spawn(move || {
                let mut connection = Connection::open(address).unwrap();
                for second in seconds {
                    let body = notification(INPUT, "errored", &updated_at(second));
                    assert_eq!(post_on(&mut connection, secret, &body).unwrap().status, "200 OK");
                }
            });
        }
    });
}

#[test]
fn sigkill_keeps_the_number_of_errors_when_older_ones_fill_the_memory_of_events() {
    let folder = tempfile::tempdir().unwrap();
    let daemon = Daemon::start(folder.path());
    post_errors(&daemon, 240..4240);
    post_errors(&daemon, 0..240);
    let counted = |daemon: &Daemon| {
        let series = format!("cloudflare_stream_live_input_events_total{{input_id=\"{INPUT}\",event=\"errored\"}}");
        daemon.metric(&series)
    };
    let before = counted(&daemon);
    daemon.kill();
    let recorded = journaled(folder.path(), "data").len() as f64;
    assert_eq!(before, Some(recorded));
    let daemon = Daemon::start(folder.path());
    assert_eq!(counted(&daemon), before);
    // The same without the replay of the records.
    assert!(daemon.stop().success());
    assert_eq!(counted(&Daemon::start(folder.path())), before);
}
