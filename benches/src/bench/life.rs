//! Start, idle, sizes, sustained load.

use std::fs;
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, journal};

const EVENTS: u64 = 1_000_000;
/// Factor for the duration of long measurements: one minute by default.
const LONG: u32 = 12;
/// Time for the effects of the start and the readiness checks to end.
const SETTLE_TIME: Duration = Duration::from_secs(22);

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (mut figures, inputs) = (Figures::default(), setup.inputs as u64);
    let events = EVENTS.min(setup.largest).max(inputs);
    let progress = setup.progress("life", setup.rounds as usize + 3);
    for _ in 0..setup.rounds {
        let folder = journal::filled(setup, inputs, events / inputs)?;
        let replayed = Server::start(setup, Kind::Ours, &folder, None)?;
        figures.add("start without a checkpoint, s", "", replayed.ready_after.as_secs_f64());
        replayed.stop()?;
        let restored = Server::start(setup, Kind::Ours, &folder, None)?;
        figures.add("start with an up-to-date checkpoint, s", "", restored.ready_after.as_secs_f64());
        figures.add("MB resident after a start", "", restored.memory()?);
        restored.stop()?;
        figures.add("disk bytes per event", "", journal::size(&folder)? as f64 / events as f64);
        fs::remove_dir_all(folder)?;
        progress.inc(1);
    }
    figures.add("size of the binary, MB", "", setup.exporter.metadata()?.len() as f64 / 1e6);
    for idle in idle(setup, [Kind::Ours])? {
        figures.add("idle, no inputs: MB resident", "", idle.megabytes);
        figures.add("idle, no inputs: wake-ups per second", "", idle.wake_ups_per_second);
        figures.add("idle, no inputs: CPU, % of a core", "", idle.cpu_percent);
    }
    progress.inc(1);
    sustained(setup, &mut figures)?;
    progress.finish_and_clear();

    let words =
        format!("{events} kept events of {inputs} inputs. Start: from the start of the process until it is ready.");
    report.heading("Start, idle, sustained load", &words);
    let rows = [
        "start with an up-to-date checkpoint, s",
        "start without a checkpoint, s",
        "MB resident after a start",
        "disk bytes per event",
        "size of the binary, MB",
        "idle, no inputs: MB resident",
        "idle, no inputs: wake-ups per second",
        "idle, no inputs: CPU, % of a core",
        "sustained load: requests/s",
        "sustained load: MB after the first tenth",
        "sustained load: MB at the end",
        "sustained load: MB at peak",
        "sustained load: MB after a restart",
    ];
    report.table("life", &figures, &rows.map(str::to_owned), &[""], None);
    let at_most = |report: &mut Report, row: &str, limit| report.at_most(row, figures.median(row, ""), limit);
    at_most(report, rows[0], 1.0);
    at_most(report, rows[1], 2.0);
    at_most(report, rows[3], 250.0);
    at_most(report, rows[4], 12.0);
    at_most(report, rows[5], 15.0);
    at_most(report, rows[7], 0.1);
    let growth = figures.median(rows[10], "") / figures.median(rows[12], "");
    report.at_most("memory at the end of sustained load, ratio to that after a restart", growth, 1.5);
    Ok(())
}

/// Resource usage of an idle process.
pub struct Idle {
    pub megabytes: f64,
    wake_ups_per_second: f64,
    /// CPU time in percent of one core.
    pub cpu_percent: f64,
}

/// Starts these servers without inputs and measures them while all of them are idle at the same time.
pub fn idle<const N: usize>(setup: &Setup, kinds: [Kind; N]) -> anyhow::Result<Vec<Idle>> {
    let servers: Vec<_> = kinds.iter().map(|kind| Server::fresh(setup, *kind, None)).collect::<anyhow::Result<_>>()?;
    interrupt::sleep(SETTLE_TIME)?;
    let began = Instant::now();
    let usage = |server: &Server| anyhow::Ok((server.sleeps()?, server.cpu()?));
    let before: Vec<_> = servers.iter().map(usage).collect::<anyhow::Result<_>>()?;
    interrupt::sleep(setup.duration() * LONG)?;
    let seconds = began.elapsed().as_secs_f64();
    let after = servers.iter().zip(before).map(|(server, (sleeps, cpu))| {
        Ok(Idle {
            megabytes: server.memory()?,
            wake_ups_per_second: (server.sleeps()? - sleeps) as f64 / seconds,
            cpu_percent: (server.cpu()? - cpu) / 1e6 / seconds * 100.0,
        })
    });
    after.collect()
}

/// Throughput and memory under a long load.
fn sustained(setup: &Setup, figures: &mut Figures) -> anyhow::Result<()> {
    let mut server = Server::fresh(setup, Kind::Ours, None)?;
    let (began, mut answered, mut memory) = (Instant::now(), 0, Vec::new());
    while began.elapsed() < setup.duration() * LONG {
        answered += server.load(64, None, setup.duration() / 5)?.answered;
        memory.push(server.memory()?);
    }
    figures.add("sustained load: requests/s", "", answered as f64 / began.elapsed().as_secs_f64());
    figures.add("sustained load: MB after the first tenth", "", memory[memory.len() / 10]);
    figures.add("sustained load: MB at the end", "", memory[memory.len() - 1]);
    figures.add("sustained load: MB at peak", "", server.peak()?);
    let folder = server.folder.clone();
    server.stop()?;
    let again = Server::start(setup, Kind::Ours, &folder, None)?;
    figures.add("sustained load: MB after a restart", "", again.memory()?);
    Ok(())
}
