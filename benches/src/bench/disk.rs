//! What the disk has to do with it.

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
    [("as it is", None), ("traced, not slower", Some(0)), ("1 ms per sync", Some(1)), ("10 ms per sync", Some(10))];

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    alone(setup, report)?;
    match &setup.strace {
        Some(strace) => slow(setup, strace, report),
        None => Ok(()),
    }
}

/// One connection beside a bare sync, by turns.
fn alone(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let (mut figures, names) =
        (Figures::default(), ["fdatasync of 4 KiB appended", "the same, written over", Kind::Ours.name()]);
    let progress = setup.progress("disk", setup.rounds as usize);
    for _ in 0..setup.rounds {
        figures.add(names[0], "median ms", sync_millis(setup, true)?);
        figures.add(names[1], "median ms", sync_millis(setup, false)?);
        let mut server = Server::fresh(setup, Kind::Ours, None)?;
        server.load(1, None, setup.warm_up())?;
        let outcome = server.load(1, None, setup.duration())?;
        figures.add(names[2], "median ms", outcome.latency(0.5));
        figures.add(names[2], "p99 ms", outcome.latency(0.99));
        progress.inc(1);
    }
    progress.finish_and_clear();
    report.heading("One connection beside a bare sync", "A notification at a time.");
    let ratio = Some((names[0], "median ms"));
    report.table("disk", &figures, &names.map(str::to_owned), &["median ms", "p99 ms"], ratio);
    let ratio = figures.median(names[2], "median ms") / figures.median(names[0], "median ms");
    report.goal("one connection alone, latency of a bare fdatasync's", ratio, true, 1.7);
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
                // Every connection began with a notification by itself.
                let [events, syncs] = [after.0 - before.0, after.1 - before.1].map(|count| count - connections as f64);
                figures.add(name, &column("mean batch"), events / syncs);
                progress.inc(1);
            }
        }
    }
    progress.finish_and_clear();
    report.heading(
        "Disks that are slow",
        "Every sync of the recorder is held up by strace. A batch is what shares one. Half of the connections are in it, \
         while the other half has just been answered and sends what will be in the next.",
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
    let [x, y] = ["connections", "notifications per sync"];
    let series = DELAYS.iter().map(curve).collect();
    report.goal(
        "mean batch of 64 connections, 10 ms per sync",
        figures.median(DELAYS[3].0, "64: mean batch"),
        false,
        28.0,
    );
    report.picture("batches", &Plot { title: "Mean batch over connections", shape: Shape::Lines { x, y, series } })
}

/// How many events were committed, in how many batches.
fn batches(server: &Server) -> anyhow::Result<(f64, f64)> {
    let text = scrape::text(server.private)?;
    let value = |suffix| scrape::value(&text, &format!("stream_live_exporter_journal_batch_size_{suffix}"));
    Ok((value("sum")?, value("count")?))
}

/// The median of syncs after writing 4 KiB, at the end or over what is there, on the disk of the data folders.
pub fn sync_millis(setup: &Setup, append: bool) -> anyhow::Result<f64> {
    Ok(median(&syncs(&setup.work(), setup.warm_up(), append)?))
}

/// The longest of syncs after appending 4 KiB.
pub fn longest_sync_millis(folder: &Path, duration: Duration) -> anyhow::Result<f64> {
    Ok(syncs(folder, duration, true)?.pop().unwrap_or_default())
}

/// Milliseconds, ascending.
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

/// strace on the recorder: its syncs take longer until this is dropped.
struct Delay(Child);

impl Delay {
    fn inject(strace: &Path, server: &Server, millis: u32) -> anyhow::Result<Self> {
        let threads = server.threads()?;
        let (recorder, _) =
            threads.iter().find(|(_, name)| name.trim() == "recorder").context("there is no recorder")?;
        let mut command = Command::new(strace);
        command.args(["-o", "/dev/null", "-e", "signal=none", "-e", "trace=fdatasync,fsync"]);
        if millis > 0 {
            command.args(["-e", &format!("inject=fdatasync,fsync:delay_enter={millis}ms")]);
        }
        let mut strace = command.args(["-p", &recorder.to_string()]).stderr(Stdio::piped()).spawn()?;
        let mut line = String::new();
        BufReader::new(strace.stderr.take().context("it is piped")?).read_line(&mut line)?;
        ensure!(line.contains("attached"), "strace cannot attach: {line}");
        Ok(Self(strace))
    }
}

impl Drop for Delay {
    fn drop(&mut self) {
        // With SIGTERM it lets go of the process before it ends; it may have ended with the process.
        let _ = kill_process(Pid::from_child(&self.0), Signal::TERM);
        let _ = self.0.wait();
    }
}
