//! Kills, clock jumps, a hanging disk and floods.

use std::collections::VecDeque;
use std::fmt;
use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use anyhow::{Context, bail};
use fastrand::Rng;

use super::Run;
use super::daemon::{Daemon, agent};

const KILL_INTERVAL: Duration = Duration::from_secs(20);
/// In seconds.
const CLOCK_RANGE: i64 = 240;
/// When the disk hangs, as a part of the duration of the run.
const HANG_AT: f64 = 0.5;
/// The last part of the run has no kills, so that everything is accepted.
const CALM: Duration = Duration::from_secs(5);
const START_TIMEOUT: Duration = Duration::from_secs(60);
/// Connections of the flood that stay open, and the pause between two of them.
const HELD: usize = 800;
const FLOOD_PACE: Duration = Duration::from_millis(5);

/// Number of faults.
#[derive(Default)]
pub struct Counts {
    kills: u32,
    stops: u32,
    jumps: u32,
    hangs: u32,
}

impl fmt::Display for Counts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kills, stops, jumps, hangs } = self;
        write!(f, "{kills} kills, {stops} stops, {jumps} clock jumps, {hangs} hangs of the disk")
    }
}

/// Injects faults until the run is over. Returns the daemon, which is running.
pub fn run(run: &Run, mut daemon: Daemon, seed: u64) -> anyhow::Result<(Daemon, Counts)> {
    let (mut rng, mut counts) = (Rng::with_seed(seed), Counts::default());
    let hang_at = run.duration.mul_f64(HANG_AT);
    wait_until_ready(run)?;
    let mut next = KILL_INTERVAL;
    while next + CALM < run.duration && !run.is_over() {
        // A jump in the middle of the interval, so that it is not at the same time as a kill.
        run.wait_until(next - KILL_INTERVAL / 2);
        run.site.set_clock(rng.i64(-CLOCK_RANGE..=CLOCK_RANGE))?;
        counts.jumps += 1;
        if counts.hangs == 0 && run.stopwatch.elapsed() >= hang_at {
            let hang = hang_disk(&daemon)?;
            counts.hangs += 1;
            next += KILL_INTERVAL;
            run.wait_until(next);
            end_trace(hang)?;
        }
        run.wait_until(next);
        if rng.u8(..) < 64 {
            daemon.stop()?;
            counts.stops += 1;
        } else {
            daemon.kill()?;
            counts.kills += 1;
        }
        run.progress.set_message(counts.to_string());
        daemon = run.site.start()?;
        wait_until_ready(run)?;
        next += Duration::from_millis(rng.u64(15_000..25_000));
    }
    run.wait_until(run.duration);
    Ok((daemon, counts))
}

fn wait_until_ready(run: &Run) -> anyhow::Result<()> {
    let (agent, since) = (agent(), stream_live_exporter::clock::Stopwatch::start());
    while since.elapsed() < START_TIMEOUT {
        if agent.get(format!("http://{}/-/ready", run.site.private)).call().is_ok_and(|answer| answer.status() == 200) {
            return Ok(());
        }
        std::thread::park_timeout(Duration::from_millis(50));
    }
    bail!("the daemon is not ready after {START_TIMEOUT:?}; its log is in {}", run.site.folder().display())
}

/// One sync of the recorder takes 20 seconds.
fn hang_disk(daemon: &Daemon) -> anyhow::Result<Child> {
    let tasks = fs::read_dir(format!("/proc/{}/task", daemon.pid()))?.filter_map(Result::ok);
    let recorder = tasks
        .map(|task| task.path())
        .find(|task| fs::read_to_string(task.join("comm")).is_ok_and(|name| name == "recorder\n"));
    let recorder = recorder.context("the daemon has no recorder")?;
    let mut strace = Command::new("strace");
    strace.arg("-p").arg(recorder.file_name().context("a thread has an id")?);
    strace.args(["-o", "/dev/null", "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=20s:when=1"]);
    strace.stderr(Stdio::null()).spawn().context("cannot start strace")
}

fn end_trace(mut strace: Child) -> anyhow::Result<()> {
    Command::new("kill").args(["-TERM", &strace.id().to_string()]).status()?;
    strace.wait()?;
    Ok(())
}

/// Opens connections that send nothing, and keeps the newest open.
pub fn flood(run: &Run) {
    let Ok(address) = run.site.public.parse::<SocketAddr>() else { return };
    let mut held = VecDeque::new();
    let mut at = Duration::ZERO;
    while !run.is_over() {
        at += FLOOD_PACE;
        run.wait_until(at);
        // The daemon may be down, or refuse the connection.
        if let Ok(connection) = TcpStream::connect_timeout(&address, Duration::from_secs(1)) {
            held.push_back(connection);
        }
        if held.len() > HELD {
            held.pop_front();
        }
    }
}
