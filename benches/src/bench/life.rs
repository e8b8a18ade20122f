//! Start, idle, sizes, sustained load.

use std::fs;
use std::time::{Duration, Instant};

use crate::figures::Figures;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, journal};

const EVENTS: u64 = 1_000_000;
/// What takes long is measured for so many times the time of a figure: a minute, unless told otherwise.
const LONG: u32 = 12;
/// Some time after the last connection, which asked whether it was ready, what serves connections goes.
const SETTLES: Duration = Duration::from_secs(22);

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (mut figures, inputs) = (Figures::default(), setup.inputs as u64);
    let events = EVENTS.min(setup.largest).max(inputs);
    let progress = setup.progress("life", setup.rounds as usize + 3);
    for _ in 0..setup.rounds {
        let folder = journal::filled(setup, inputs, events / inputs)?;
        let worst = Server::start(setup, Kind::Ours, &folder, None)?;
        figures.add("start, no checkpoint, everything replayed, s", "", worst.ready_after.as_secs_f64());
        worst.stop()?;
        let usual = Server::start(setup, Kind::Ours, &folder, None)?;
        figures.add("start, up-to-date checkpoint, s", "", usual.ready_after.as_secs_f64());
        figures.add("MB resident after it", "", usual.memory()?);
        usual.stop()?;
        figures.add("bytes of disk per event", "", journal::size(&folder)? as f64 / events as f64);
        fs::remove_dir_all(folder)?;
        progress.inc(1);
    }
    figures.add("MB of the binary", "", setup.exporter.metadata()?.len() as f64 / 1e6);
    for idle in idle(setup, [Kind::Ours])? {
        figures.add("idle, no inputs: MB resident", "", idle.megabytes);
        figures.add("idle, no inputs: wake-ups per second", "", idle.wake_ups_per_second);
        figures.add("idle, no inputs: CPU, % of a core", "", idle.cpu_percent);
    }
    progress.inc(1);
    sustained(setup, &mut figures)?;
    progress.finish_and_clear();

    let words =
        format!("{events} kept events of {inputs} inputs; the time from the start of the process until it is ready.");
    report.heading("Life", &words);
    let rows = [
        "start, up-to-date checkpoint, s",
        "start, no checkpoint, everything replayed, s",
        "MB resident after it",
        "bytes of disk per event",
        "MB of the binary",
        "idle, no inputs: MB resident",
        "idle, no inputs: wake-ups per second",
        "idle, no inputs: CPU, % of a core",
        "sustained load: requests/s",
        "sustained load: MB after the first tenth",
        "sustained load: MB at the end",
        "sustained load: MB at the most",
        "sustained load: MB after a restart, the same inputs",
    ];
    report.table("life", &figures, &rows.map(str::to_owned), &[""], None);
    let goal = |report: &mut Report, row: &str, limit| report.goal(row, figures.median(row, ""), true, limit);
    goal(report, rows[0], 1.0);
    goal(report, rows[1], 2.0);
    goal(report, rows[3], 250.0);
    goal(report, rows[4], 12.0);
    goal(report, rows[5], 15.0);
    goal(report, rows[6], 0.1);
    let growth = figures.median(rows[10], "") / figures.median(rows[12], "");
    report.goal("memory at the end of sustained load, of that for the same inputs after a restart", growth, true, 1.5);
    Ok(())
}

/// What an idle process costs.
pub struct Idle {
    pub megabytes: f64,
    wake_ups_per_second: f64,
    /// CPU time, of one core.
    pub cpu_percent: f64,
}

/// Starts these servers without any input and lets all of them idle at the same time.
pub fn idle<const N: usize>(setup: &Setup, kinds: [Kind; N]) -> anyhow::Result<Vec<Idle>> {
    let servers: Vec<_> = kinds.iter().map(|kind| Server::fresh(setup, *kind, None)).collect::<anyhow::Result<_>>()?;
    interrupt::sleep(SETTLES)?;
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

/// Memory under a long load.
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
    figures.add("sustained load: MB at the most", "", server.peak()?);
    let folder = server.folder.clone();
    server.stop()?;
    let again = Server::start(setup, Kind::Ours, &folder, None)?;
    figures.add("sustained load: MB after a restart, the same inputs", "", again.memory()?);
    Ok(())
}
