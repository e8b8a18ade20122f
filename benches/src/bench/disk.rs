//! Effect of the disk: one connection compared with a bare fdatasync, and slow disks.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, ensure};
use rustix::process::{Pid, Signal, kill_process};

use crate::figures::{Figures, median};
use crate::plot::{Plot, Shape};
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{interrupt, scrape};

const CONNECTIONS: [usize; 4] = [1, 8, 64, 256];
const DELAYS: [(&str, Option<u32>); 4] =
    [("real disk", None), ("traced without delay", Some(0)), ("1 ms per sync", Some(1)), ("10 ms per sync", Some(10))];

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    single(setup, report)?;
    match &setup.strace {
        Some(strace) => slow(setup, strace, report),
        None => Ok(()),
    }
}

/// One connection and a bare fdatasync, in alternating rounds.
fn single(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (mut figures, names) = (
        Figures::default(),
        ["fdatasync after appending 4 KiB", "fdatasync after overwriting 4 KiB", Kind::Ours.name()],
    );
    let progress = setup.progress("disk", setup.rounds as usize);
    for _ in 0..setup.rounds {
        figures.add(names[0], "p50 ms", sync_millis(setup, true)?);
        figures.add(names[1], "p50 ms", sync_millis(setup, false)?);
        let mut server = Server::fresh(setup, Kind::Ours, None)?;
        server.load(1, None, setup.warm_up())?;
        let outcome = server.load(1, None, setup.duration())?;
        figures.add(names[2], "p50 ms", outcome.latency(0.5));
        figures.add(names[2], "p99 ms", outcome.latency(0.99));
        progress.inc(1);
    }
    progress.finish_and_clear();
    report.heading("One connection compared with a bare fdatasync", "One notification at a time.");
    let ratio = Some((names[0], "p50 ms"));
    report.table("disk", &figures, &names.map(str::to_owned), &["p50 ms", "p99 ms"], ratio);
    let ratio = figures.median(names[2], "p50 ms") / figures.median(names[0], "p50 ms");
    report.at_most("p50 with one connection, ratio to a bare fdatasync", ratio, 1.7);
    Ok(())
}

fn slow(setup: &Setup, strace: &Path, report: &mut Report) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let progress = setup.progress("slow", setup.rounds as usize * DELAYS.len() * CONNECTIONS.len());
    for _ in 0..setup.rounds {
        for (name, delay) in DELAYS {
            let mut server = Server::fresh(setup, Kind::Ours, None)?;
            server.load(64, None, setup.warm_up())?;
            let _delay = delay.map(|millis| Delay::inject(strace, &server, millis)).transpose()?;
            for connections in CONNECTIONS {
                let before = batches(&server)?;
                let outcome = server.load(connections, None, setup.duration() / 2)?;
                let after = batches(&server)?;
                let column = |what: &str| format!("{connections}: {what}");
                figures.add(name, &column("requests/s"), outcome.rate());
                // Each connection started with one notification, in a separate batch.
                let [events, syncs] = [after.0 - before.0, after.1 - before.1].map(|count| count - connections as f64);
                figures.add(name, &column("mean batch"), events / syncs);
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    report.heading(
        "Slow disks",
        "strace delays every sync of the recorder. A batch is the events of one sync. About half of the connections are in a \
         batch; the other half has just been answered and sends events for the next batch.",
    );
    let rows = DELAYS.map(|(name, _)| name.to_owned());
    for what in ["requests/s", "mean batch"] {
        let columns = CONNECTIONS.map(|connections| format!("{connections}: {what}"));
        report.table(&format!("slow, {what}"), &figures, &rows, &columns.each_ref().map(String::as_str), None);
    }
    let curve = |(name, _): &(&str, _)| {
        let point = |connections: &usize| figures.median(name, &format!("{connections}: mean batch"));
        let points = CONNECTIONS.iter().map(|connections| (*connections as f64, point(connections)));
        ((*name).to_owned(), points.collect())
    };
    let [x, y] = ["connections", "events per sync"];
    let series = DELAYS.iter().map(curve).collect();
    report.at_least(
        "mean batch of 64 connections, 10 ms per sync",
        figures.median(DELAYS[3].0, "64: mean batch"),
        28.0,
    );
    report.picture("batches", &Plot { title: "Mean batch over connections", shape: Shape::Lines { x, y, series } })
}

/// Number of committed events, and of batches.
fn batches(server: &Server) -> anyhow::Result<(f64, f64)> {
    let text = scrape::text(server.private)?;
    let value = |suffix| scrape::value(&text, &format!("stream_live_exporter_journal_batch_size_{suffix}"));
    Ok((value("sum")?, value("count")?))
}

/// Median duration of fdatasync after appending or overwriting 4 KiB, on the disk of the data folders.
pub fn sync_millis(setup: &Setup, append: bool) -> anyhow::Result<f64> {
    Ok(median(&syncs(&setup.work(), setup.warm_up(), append)?))
}

/// Longest fdatasync after appending 4 KiB.
pub fn longest_sync_millis(folder: &Path, duration: Duration) -> anyhow::Result<f64> {
    Ok(syncs(folder, duration, true)?.pop().unwrap_or_default())
}

/// Durations in milliseconds, ascending.
fn syncs(folder: &Path, duration: Duration, append: bool) -> anyhow::Result<Vec<f64>> {
    let path = folder.join("sync");
    let mut file = File::create(&path)?;
    let (began, mut millis) = (Instant::now(), Vec::new());
    while began.elapsed() < duration {
        interrupt::check()?;
        if !append {
            file.rewind()?;
        }
        file.write_all(&[0x5a; 4096])?;
        let sync = Instant::now();
        file.sync_data()?;
        millis.push(sync.elapsed().as_secs_f64() * 1e3);
    }
    std::fs::remove_file(path)?;
    millis.sort_by(f64::total_cmp);
    Ok(millis)
}

/// strace attached to the recorder: its syncs are delayed until this is dropped.
struct Delay(Child);

impl Delay {
    fn inject(strace: &Path, server: &Server, millis: u32) -> anyhow::Result<Self> {
        let threads = server.threads()?;
        let (recorder, _) =
            threads.iter().find(|(_, name)| name.trim() == "recorder").context("no thread named recorder")?;
        let mut command = Command::new(strace);
        command.args(["-o", "/dev/null", "-e", "signal=none", "-e", "trace=fdatasync,fsync"]);
        if millis > 0 {
            command.args(["-e", &format!("inject=fdatasync,fsync:delay_enter={millis}ms")]);
        }
        let mut strace = command.args(["-p", &recorder.to_string()]).stderr(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(strace.stderr.take().context("stderr is piped")?).read_line(&mut line)?;
        ensure!(line.contains("attached"), "strace cannot attach: {line}");
        Ok(Self(strace))
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        // On SIGTERM strace detaches before it exits. It has already exited if the traced process has.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}
