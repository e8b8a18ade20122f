//! The machine fails under the real binary: kills, disks, clocks, descriptors, floods.
//!
//! What a disk refuses is injected with strace, which attaches to the running daemon: its system calls
//! fail as long as a [`Fault`] lives. What the system itself can do, such as a small file system, is done.

mod clock;
mod corruption;
mod disk;
mod kill;
mod load;
mod process;
mod sync;

use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;

use serde_json::Value;

use crate::connection::{Connection, RawAnswer, request};
use crate::daemon::{Daemon, command, notification, run};
use crate::tools::tool;

const INPUT: &str = "2c28dd2cc444cb77578c4840b51e43a8";

/// The program that injects faults; `None` when it is to be skipped.
fn strace() -> Option<PathBuf> {
    tool("STRACE", Path::new("strace"))
}

/// System calls of a process or a thread that go wrong until this is dropped.
struct Fault(Child);

impl Fault {
    /// Of one thread.
    fn of_thread(strace: &Path, thread: u32, injections: &[&str]) -> Self {
        Self::inject(Command::new(strace).arg("-p").arg(thread.to_string()), injections)
    }

    /// Of a process with all its threads.
    fn of_process(strace: &Path, process: u32, injections: &[&str]) -> Self {
        Self::inject(Command::new(strace).arg("-f").arg("-p").arg(process.to_string()), injections)
    }

    fn inject(command: &mut Command, injections: &[&str]) -> Self {
        command.args(["-o", "/dev/null", "-e", "signal=none"]).args(trace(injections));
        let mut strace = command.stderr(Stdio::piped()).spawn().expect("strace runs");
        let mut lines = BufReader::new(strace.stderr.take().expect("it is piped")).lines();
        let line = lines.next().expect("strace says something").expect("it is text");
        assert!(line.contains("attached"), "strace cannot attach: {line}");
        thread::spawn(move || lines.for_each(drop));
        Self(strace)
    }
}

impl Drop for Fault {
    fn drop(&mut self) {
        // With SIGTERM it lets go of the process before it ends; it may have ended with the process.
        let _ = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).stderr(Stdio::null()).status();
        let _ = self.0.wait();
    }
}

/// strace's arguments for injections such as `write,fsync:error=EIO:when=1`.
fn trace(injections: &[&str]) -> Vec<String> {
    let calls: Vec<_> = injections.iter().filter_map(|injection| injection.split(':').next()).collect();
    let injections = injections.iter().flat_map(|injection| ["-e".to_owned(), format!("inject={injection}")]);
    ["-e".to_owned(), format!("trace={}", calls.join(","))].into_iter().chain(injections).collect()
}

/// The thread that owns the journal.
fn recorder(daemon: &Daemon) -> u32 {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid())).expect("the daemon runs");
    let mut tasks = tasks.map(|task| task.expect("a thread can be listed").path());
    let is_recorder = |task: &PathBuf| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "recorder\n");
    let task = tasks.find(is_recorder).expect("there is a recorder");
    task.file_name().and_then(|name| name.to_str()?.parse().ok()).expect("threads have numbers")
}

/// A distinct event.
fn event(number: u64) -> String {
    let kind = if number.is_multiple_of(2) { "connected" } else { "disconnected" };
    notification(INPUT, kind, &updated_at(number))
}

/// When the event with this number happened: the numbers count seconds.
fn updated_at(number: u64) -> String {
    let (minutes, seconds) = (number / 60, number % 60);
    let (hours, minutes) = (minutes / 60, minutes % 60);
    let (days, hours) = (hours / 24, hours % 24);
    format!("2026-11-{:02}T{hours:02}:{minutes:02}:{seconds:02}Z", 1 + days)
}

/// Posts on a connection of its own; `None` when the daemon did not live to answer.
fn post(address: &str, secret: &str, body: &str) -> Option<RawAnswer> {
    let mut connection = Connection::open(address).ok()?;
    post_on(&mut connection, secret, body)
}

fn post_on(connection: &mut Connection, secret: &str, body: &str) -> Option<RawAnswer> {
    connection.send(&posting(secret, body)).ok()?;
    connection.read_answer().ok()
}

fn posting(secret: &str, body: &str) -> Vec<u8> {
    let head = format!("POST /webhook | cf-webhook-auth: {secret} | content-length: {}", body.len());
    request(&head, body.as_bytes())
}

/// When the events in the journal happened, after checking that it is whole and none is there twice.
fn journaled(folder: &Path, storage: &str) -> BTreeSet<String> {
    let path = format!("--storage.path={storage}");
    let verified = run(folder, &[&path, "journal", "verify"]);
    assert_eq!((verified.code, verified.stderr.as_str()), (Some(0), ""));
    let exported = run(folder, &[&path, "journal", "export"]);
    assert_eq!((exported.code, exported.stderr.as_str()), (Some(0), ""));
    let lines: Vec<Value> = exported.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let events: BTreeSet<_> =
        lines.iter().map(|line| line["updated_at"].as_str().expect("a time").to_owned()).collect();
    assert_eq!(events.len(), lines.len(), "nothing is there twice");
    events
}

/// Starts again after whatever happened: what was accepted is there, nothing else than what was sent is, the metrics
/// say the same, and who was refused is taken now.
fn check_restart(folder: &Path, accepted: &BTreeSet<u64>, sent: &BTreeSet<u64>) {
    let daemon = Daemon::start(folder);
    let known = journaled(folder, "data");
    for number in sent {
        assert!(known.contains(&updated_at(*number)) || !accepted.contains(number), "{number} was answered and lost");
    }
    let unsent: Vec<_> = known.iter().filter(|at| !sent.iter().any(|number| updated_at(*number) == **at)).collect();
    assert!(unsent.is_empty(), "never sent: {unsent:?}");
    assert_eq!(daemon.metric("stream_live_exporter_journal_events"), Some(known.len() as f64));
    for number in sent.iter().chain([&999]) {
        let outcome = if known.contains(&updated_at(*number)) { "duplicate" } else { "recorded" };
        assert_eq!(daemon.post(&event(*number)).body, format!("{{\"outcome\":\"{outcome}\"}}"), "{number}");
    }
    assert!(daemon.stop().success());
    assert_eq!(journaled(folder, "data").len(), sent.len() + 1);
}

/// The command that runs another program which runs the daemon.
fn command_through(folder: &Path, program: &Path, arguments: &[&str]) -> Command {
    let daemon = command(folder);
    let mut command = Command::new(program);
    command.current_dir(folder).stdout(Stdio::null()).args(arguments);
    command.arg(daemon.get_program()).args(daemon.get_args());
    command
}
