//! System faults around the real binary: kills, disk errors, clock jumps, missing descriptors, overload.
//!
//! Disk errors are injected with strace, which attaches to the running daemon: system calls fail while a [`Fault`]
//! exists. Faults that the system can produce itself, such as a small file system, are real.

pub mod clock;
mod corruption;
mod disk;
mod full_disk;
pub mod hang;
mod kill;
mod load;
mod off_air;
mod process;
mod restart;
mod sync;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use crate::connection::{Connection, RawAnswer, webhook_request};
use crate::daemon::{Daemon, command, notification};
use crate::journal::exported;
use crate::tools::tool;

const INPUT: &str = "2c28dd2cc444cb77578c4840b51e43a8";

/// The program that injects faults; `None` if tests that need it are skipped.
pub fn strace() -> Option<PathBuf> {
    tool("STRACE", Path::new("strace"))
}

/// Injected faults in system calls of a process or a thread, until dropped.
pub struct Fault(Child);

impl Fault {
    /// Attaches to one thread.
    pub fn of_thread(strace: &Path, thread: u32, injections: &[&str]) -> Self {
        Self::inject(Command::new(strace).arg("-p").arg(thread.to_string()), injections)
    }

    /// Attaches to one thread, for system calls on one open file.
    fn of_file(strace: &Path, thread: u32, file: &Path, injections: &[&str]) -> Self {
        Self::inject(Command::new(strace).arg("-p").arg(thread.to_string()).arg("-P").arg(file), injections)
    }

    /// Attaches to all threads of a process.
    fn of_process(strace: &Path, process: u32, injections: &[&str]) -> Self {
        Self::inject(Command::new(strace).arg("-f").arg("-p").arg(process.to_string()), injections)
    }

    fn inject(command: &mut Command, injections: &[&str]) -> Self {
        command.args(["-o", "/dev/null", "-e", "signal=none"]).args(trace(injections));
        let mut strace = command.stderr(Stdio::piped()).spawn().expect("strace runs");
        let mut lines = BufReader::new(strace.stderr.take().expect("it is piped")).lines();
        let line = lines.next().expect("strace prints a line").expect("it is text");
        assert!(line.contains("attached"), "strace cannot attach: {line}");
        thread::spawn(move || lines.for_each(drop));
        Self(strace)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // On SIGTERM strace detaches before it exits. It may have exited together with the process.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// Arguments of strace for injections such as `write,fsync:error=EIO:when=1`.
fn trace(injections: &[&str]) -> Vec<String> {
    let calls: Vec<_> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
    let injections = injections.iter().flat_map(|injection| ["-e".to_owned(), format!("inject={injection}")]);
    ["-e".to_owned(), format!("trace={}", calls.join(","))].into_iter().chain(injections).collect()
}

/// The id of the recorder thread, which owns the journal.
pub fn recorder(daemon: &Daemon) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the daemon runs");
    let mut tasks = tasks.map(|task| task.expect("a thread can be listed").path());
    let is_recorder = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "recorder\n");
    let task = tasks.find(is_recorder).expect("there is a recorder");
    task.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("threads have numbers")
}

/// The notification of event number `number`.
pub fn event(number: u64) -> String {
    let kind = if number.is_multiple_of(2) { "connected" } else { "disconnected" };
    notification(INPUT, kind, &updated_at(number))
}

/// The time of event number `number`: one event per second.
pub fn updated_at(number: u64) -> String {
    let (minutes, seconds) = (number / 60, number % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let (days, hours) = (hours / 24, hours % 24);
    format!("2026-11-{:02}T{hours:02}:{minutes:02}:{seconds:02}Z", 1 + days)
}

/// Posts on a new connection; `None` if the daemon exits before it answers.
fn post(address: &str, secret: &str, body: &str) -> Option<RawAnswer> {
    let mut connection = Connection::open(address).ok()?;
    post_on(&mut connection, secret, body)
}

fn post_on(connection: &mut Connection, secret: &str, body: &str) -> Option<RawAnswer> {
    connection.send(&webhook_request(secret, body)).ok()?;
    connection.read_answer().ok()
}

/// Starts a daemon and records the events 1 to `events`.
pub fn start_with_events(folder: &Path, events: u64) -> Daemon {
    let daemon = Daemon::start(folder);
    for number in 1..=events {
        assert_eq!(daemon.post(&event(number)).status, 200);
    }
    daemon
}

/// The times of the recorded events. The journal must be valid and must have no event twice.
pub fn journaled(folder: &Path, storage: &str) -> BTreeSet<String> {
    let lines = exported(folder, storage);
    let times: BTreeSet<_> = lines.iter().map(|line| line["updated_at"].as_str().expect("a time").to_owned()).collect();
    assert_eq!(times.len(), lines.len(), "an event is recorded twice");
    times
}

/// The counters of connected and disconnected events.
fn counted_events(daemon: &Daemon) -> [f64; 2] {
    ["connected", "disconnected"].map(|kind| {
        let series = format!("cloudflare_stream_live_input_events_total{{input_id=\"{INPUT}\",event=\"{kind}\"}}");
        daemon.metric(&series).unwrap_or(0.0)
    })
}

/// Restarts after a fault and checks: every accepted event is recorded, no event is recorded that was not sent, the
/// metrics match the journal, and rejected events are accepted now.
fn check_restart(folder: &Path, accepted: &BTreeSet<u64>, sent: &BTreeSet<u64>) {
    let daemon = Daemon::start(folder);
    let known = journaled(folder, "data");
    for number in sent {
        assert!(
            known.contains(&updated_at(*number)) || !accepted.contains(number),
            "{number} was acknowledged but lost"
        );
    }
    let unsent: Vec<_> = known.iter().filter(|at| !sent.iter().any(|number| updated_at(*number) == **at)).collect();
    assert!(unsent.is_empty(), "recorded but never sent: {unsent:?}");
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(known.len() as f64));
    for number in sent.iter().chain([&999]) {
        let outcome = if known.contains(&updated_at(*number)) { "duplicate" } else { "recorded" };
        assert_eq!(daemon.post(&event(*number)).body, format!("{{\"outcome\":\"{outcome}\"}}"), "{number}");
    }
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder, "data").len(), sent.len() + 1);
}

/// A command that runs the daemon through another program.
fn command_through(folder: &Path, program: &Path, arguments: &[&str]) -> Command {
    let daemon = command(folder);
    let mut command = Command::new(program);
    command.current_dir(folder).stdout(Stdio::null()).args(arguments);
    command.arg(daemon.get_program()).args(daemon.get_args());
    command
}
