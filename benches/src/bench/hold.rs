//! Notification latency during housekeeping: checkpoints, WAL checkpoints, retention, forgetting.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;

use crate::figures::Figures;
use crate::report::Report;
use crate::server::{Kind, Server};
use crate::setup::Setup;
use crate::{disk, journal, scrape};

const CONNECTIONS: usize = 64;
/// Notifications per second: enough for all inputs to change between two checkpoints.
const RATE: f64 = 2000.0;
/// Retention and forgetting start every minute: long enough for one start and the deletions that follow.
const DURATION: Duration = Duration::from_secs(80);
const EVENTS: u64 = 1_000_000;
/// A file system in memory, where syncs take no time: only the work of the exporter remains.
const MEMORY: &str = "/dev/shm";
/// All events of the history expire, and disconnected inputs are forgotten. Idle connections stay open. At level debug
/// the log has the duration of each task.
const SETTINGS: [(&str, &str); 4] = [
    ("STORAGE__RETENTION", "1h"),
    ("INPUTS__FORGET_AFTER", "1s"),
    ("WEBHOOK__IDLE_TIMEOUT", "10m"),
    ("LOG__LEVEL", "debug"),
];

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let places = [("disk", setup.work()), ("memory", PathBuf::from(MEMORY))];
    let bare = Kind::Bare.name();
    let progress = setup.progress("hold", setup.rounds as usize * (places.len() + 1));
    for _ in 0..setup.rounds {
        for (name, place) in places.iter().filter(|(_, place)| place.is_dir()) {
            progress.set_message(*name);
            exporter(setup, name, place, &mut figures)?;
            progress.inc(1);
        }
        progress.set_message(bare);
        latencies(&mut Server::fresh(setup, Kind::Bare, None)?, bare, &mut figures)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let words = format!(
        "{RATE} notifications per second from {} inputs for {} s, with latency from the time when a request was due. \
         Meanwhile every input is saved every five seconds, {EVENTS} events expire, and every disconnected input is \
         forgotten. {bare} has no housekeeping: its latency is that of the machine.",
        setup.inputs,
        DURATION.as_secs()
    );
    report.heading("Notification latency during housekeeping", &words);
    let rows = [places[0].0, places[1].0, bare].map(str::to_owned);
    let columns = [
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "max ms",
        "longest task ms",
        "longest bare fdatasync ms",
        "events expired",
        "inputs forgotten",
    ];
    report.table("hold", &figures, &rows, &columns, None);
    report.at_most(
        "longest housekeeping task in any round, in memory, ms",
        figures.largest(&rows[1], "longest task ms"),
        20.0,
    );
    report.at_most(
        "longest notification latency in any round, in memory, ms",
        figures.largest(&rows[1], "max ms"),
        20.0,
    );
    Ok(())
}

fn exporter(setup: &Setup, name: &str, place: &Path, figures: &mut Figures) -> anyhow::Result<()> {
    let history = journal::filled(setup, setup.inputs as u64, EVENTS.min(setup.largest) / setup.inputs as u64)?;
    let folder = place.join(format!("stream-live-exporter-hold-{}", std::process::id()));
    let _removed = Removed(&folder);
    fs::create_dir_all(folder.join("data"))?;
    for file in fs::read_dir(history.join("data"))? {
        let file = file?;
        fs::copy(file.path(), folder.join("data").join(file.file_name()))?;
    }
    let mut server = Server::configured(setup, Kind::Ours, &folder, None, &SETTINGS)?;
    let before = kept_and_forgotten(&server)?;
    let answered = latencies(&mut server, name, figures)?;
    let after = kept_and_forgotten(&server)?;
    figures.add(name, "events expired", before.0 + answered - after.0);
    figures.add(name, "inputs forgotten", after.1 - before.1);
    figures.add(name, "longest task ms", longest_task_millis(&server.log()?)?);
    figures.add(name, "longest bare fdatasync ms", disk::longest_sync_millis(&folder, DURATION / 4)?);
    server.stop()
}

/// Records notification latencies. Returns the number of responses.
fn latencies(server: &mut Server, name: &str, figures: &mut Figures) -> anyhow::Result<f64> {
    let outcome = server.load(CONNECTIONS, Some(RATE), DURATION)?;
    for (column, quantile) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999), ("max ms", 1.0)] {
        figures.add(name, column, outcome.latency(quantile));
    }
    Ok(outcome.answered as f64)
}

/// Longest housekeeping task in the log.
fn longest_task_millis(log: &str) -> anyhow::Result<f64> {
    let seconds = log.lines().filter(|line| line.contains("task done")).map(|line| {
        let value = line.split_whitespace().find_map(|pair| pair.strip_prefix("seconds="));
        Ok(value.with_context(|| format!("no seconds in {line}"))?.parse::<f64>()?)
    });
    let seconds: Vec<f64> = seconds.collect::<anyhow::Result<_>>()?;
    Ok(seconds.into_iter().reduce(f64::max).context("no housekeeping task in the log")? * 1e3)
}

/// Number of kept events, and of forgotten inputs.
fn kept_and_forgotten(server: &Server) -> anyhow::Result<(f64, f64)> {
    let text = scrape::text(server.private)?;
    let value = |name| scrape::value(&text, name);
    Ok((value("stream_live_exporter_journal_events")?, value("stream_live_exporter_inputs_forgotten_total{reason=\"silent\"}")?))
}

struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // A folder that cannot be removed is in a temporary place.
        let _ = fs::remove_dir_all(self.0);
    }
}
