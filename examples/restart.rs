//! Measures a restart with a large journal: the time from process start to `/-/ready`.
//!
//! Creates a journal with a million events of ten thousand inputs in a temporary folder. Then starts the
//! released binary on it several times in each of two cases: after a normal stop, with an up-to-date
//! checkpoint, and in the worst case, without a checkpoint, so that every event is replayed. The files
//! are in the page cache, as after a restart of the process alone.
//!
//! ```sh
//! cargo run --profile dist --example restart
//! ```

mod dist_binary;

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, ensure};
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;
use stream_live_exporter::clock::{Stopwatch, now};
use stream_live_exporter::event::{
    ErrorClass, ErrorCode, ErrorDetail, Event, EventKind, InputId, Origin, Record, RecordKind, Timestamp,
};
use stream_live_exporter::journal::{DATABASE_FILE, SqliteJournal};

const EVENTS: u64 = 1_000_000;
const INPUTS: u64 = 10_000;
const BATCH: u64 = 10_000;
/// An odd number, so that the median is a measured value.
const ROUNDS: usize = 5;
/// Maximum duration of a restart.
const LIMIT: Duration = Duration::from_secs(5);

/// A measured start.
struct Start {
    /// From process start to ready.
    ready_after: Duration,
    /// Number of replayed events, from the log.
    replayed: u64,
}

/// Killed when dropped.
struct Daemon(Child);

fn main() -> anyhow::Result<()> {
    let binary = dist_binary::build()?;
    let folder = tempfile::tempdir().context("cannot create a temporary folder")?;
    fill(folder.path())?;
    let worst = measure("everything replayed", || {
        let (daemon, start) = start(&binary, folder.path())?;
        ensure!(start.replayed == EVENTS, "{} of {EVENTS} events were replayed", start.replayed);
        // Killed before it writes a checkpoint.
        drop(daemon);
        Ok(start)
    })?;
    let (daemon, _) = start(&binary, folder.path())?;
    daemon.stop()?;
    let usual = measure("up-to-date checkpoint", || {
        let (_daemon, start) = start(&binary, folder.path())?;
        ensure!(start.replayed == 0, "{} events were replayed despite the checkpoint", start.replayed);
        Ok(start)
    })?;
    let size = folder.path().join(DATABASE_FILE).metadata().context("the journal does not exist")?.len();
    report(size, &[("up-to-date checkpoint", usual), ("no checkpoint, everything replayed", worst)]);
    Ok(())
}

fn fill(folder: &Path) -> anyhow::Result<()> {
    let progress = progress("filling the journal", EVENTS);
    let mut journal = SqliteJournal::open(folder)?;
    let began = now().minus(Duration::from_secs(EVENTS));
    for batch in 0..EVENTS / BATCH {
        let mut records: Vec<_> = (batch * BATCH..(batch + 1) * BATCH).map(|number| record(number, began)).collect();
        journal.append(&mut records)?;
        journal.checkpoint_wal_if_large()?;
        progress.inc(BATCH);
    }
    progress.finish_and_clear();
    Ok(())
}

/// One event per second, inputs in turn: connected and disconnected alternate, every tenth event is an error.
fn record(number: u64, began: Timestamp) -> Record {
    let (input, turn) = (number % INPUTS, number / INPUTS);
    let kind = match turn % 10 {
        9 => EventKind::Errored(Box::new(ErrorDetail {
            code: ErrorCode::from(ErrorClass::ALL[(input % 6) as usize].label()),
            message: Some("Input GOP size or keyframe interval is out of range.".into()),
            ..ErrorDetail::default()
        })),
        even if even % 2 == 0 => EventKind::Connected,
        _ => EventKind::Disconnected,
    };
    let updated_at = began.plus(Duration::from_secs(number));
    let received_at = updated_at.plus(Duration::from_millis(1500));
    let input_id =
        InputId::from_bytes(u128::from(input).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835).to_be_bytes());
    let sent_at = Some(updated_at.plus(Duration::from_secs(1)));
    let event = Event { input_id, kind, updated_at, sent_at, received_at, origin: Origin::default() };
    Record { recorded_at: received_at, shown_until: updated_at, ..Record::new(RecordKind::Event(event, None)) }
}

fn measure(what: &str, mut round: impl FnMut() -> anyhow::Result<Start>) -> anyhow::Result<Vec<Duration>> {
    let progress = progress(what, ROUNDS as u64);
    let mut measured = Vec::new();
    for _ in 0..ROUNDS {
        measured.push(round()?.ready_after);
        progress.inc(1);
    }
    progress.finish_and_clear();
    measured.sort();
    Ok(measured)
}

/// Starts the daemon and waits until it is ready.
fn start(binary: &Path, folder: &Path) -> anyhow::Result<(Daemon, Start)> {
    let mut command = Command::new(binary);
    command
        .arg(format!("--storage.path={}", folder.display()))
        .args(["--webhook.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0", "--log.format=json"])
        // The daemon generates a secret only together with a new journal.
        .env("STREAM_LIVE_EXPORTER__WEBHOOK__SECRETS__RESTART", "of-the-restart-example")
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let stopwatch = Stopwatch::start();
    let mut child = command.spawn().context("cannot start the binary")?;
    let stderr = child.stderr.take().context("standard error is not piped")?;
    let daemon = Daemon(child);
    let mut log = BufReader::new(stderr).lines();
    let mut wait_for = |message: &str| {
        let mut lines = log.by_ref().map_while(Result::ok).filter_map(|line| serde_json::from_str(&line).ok());
        lines.find(|line: &Value| line["msg"] == message).with_context(|| format!("the log has no message {message:?}"))
    };
    let listening = wait_for("listening")?;
    let restored = wait_for("journal restored")?;
    let metrics = listening["metrics"].as_str().context("the log does not have the URL of the metrics")?;
    let ready = metrics.replace("/metrics", "/-/ready");
    let agent: ureq::Agent = ureq::Agent::config_builder().http_status_as_error(false).proxy(None).build().into();
    while agent.get(&ready).call()?.status() != 200 {}
    let ready_after = stopwatch.elapsed();
    // Keep reading the log: a full pipe would block the daemon.
    std::thread::spawn(move || log.for_each(drop));
    Ok((
        daemon,
        Start {
            ready_after,
            replayed: restored["replayed"].as_u64().context("the log does not have the number of replayed events")?,
        },
    ))
}

impl Daemon {
    /// Stops it with SIGTERM, so that it writes its checkpoint.
    fn stop(mut self) -> anyhow::Result<()> {
        let sent = Command::new("kill").args(["-TERM", &self.0.id().to_string()]).status()?;
        ensure!(sent.success(), "cannot send SIGTERM to the daemon");
        ensure!(self.0.wait()?.success(), "the daemon did not exit with code 0");
        Ok(())
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        // It may have exited already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn progress(what: &str, length: u64) -> ProgressBar {
    let style = ProgressStyle::with_template("{msg:21} {bar:30} {pos} of {len}").expect("the template is well-formed");
    ProgressBar::new(length).with_style(style).with_message(what.to_owned())
}

#[expect(clippy::print_stdout, reason = "the figures are the output")]
fn report(size: u64, cases: &[(&str, Vec<Duration>)]) {
    println!(
        "{EVENTS} events, {INPUTS} inputs, {:.0} MB; process start to ready, {ROUNDS} rounds, in seconds\n",
        size as f64 / 1e6
    );
    println!("{:36} {:>7} {:>7} {:>7}", "", "min", "median", "max");
    for (case, sorted) in cases {
        let figures = [sorted[0], sorted[ROUNDS / 2], sorted[ROUNDS - 1]].map(|time| time.as_secs_f64());
        let verdict = if sorted[ROUNDS / 2] <= LIMIT { "" } else { "  too slow" };
        println!("{case:36} {:7.3} {:7.3} {:7.3}{verdict}", figures[0], figures[1], figures[2]);
    }
}
