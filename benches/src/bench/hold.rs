//! Who waits for the recorder's other duties: checkpoint, expiry, forgetting.

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
/// Enough for all inputs to change between two checkpoints.
const RATE: f64 = 2000.0;
/// Old events and silent inputs are looked for every minute; this is one time and what follows from it.
const DURATION: Duration = Duration::from_secs(80);
const EVENTS: u64 = 1_000_000;
/// A disk of memory, whose syncs take no time: what is left is what the exporter does itself.
const MEMORY: &str = "/dev/shm";
/// Everything of the history is old, and whoever has disconnected is forgotten. A connection that is not needed stays.
/// The log tells how long each duty took.
const SETTINGS: [(&str, &str); 4] = [
    ("STORAGE__RETENTION", "1s"),
    ("INPUTS__FORGET_AFTER", "1s"),
    ("WEBHOOK__IDLE_TIMEOUT", "10m"),
    ("LOG__LEVEL", "debug"),
];

pub fn measure(setup: &Setup, report: &mut Report) -> anyhow::Result<()> {
    let mut figures = Figures::default();
    let places = [("on the disk", setup.work()), ("on a disk of memory", PathBuf::from(MEMORY))];
    let idler = Kind::Bare.name();
    let progress = setup.progress("hold", setup.rounds as usize * (places.len() + 1));
    for _ in 0..setup.rounds {
        for (name, place) in places.iter().filter(|(_, place)| place.is_dir()) {
            progress.set_message(*name);
            held(setup, name, place, &mut figures)?;
            progress.inc(1);
        }
        progress.set_message(idler);
        waits(&mut Server::fresh(setup, Kind::Bare, None)?, idler, &mut figures)?;
        progress.inc(1);
    }
    progress.finish_and_clear();
    let words = format!(
        "{RATE} notifications per second about {} inputs for {} s, latency from when a request was due, while every \
         input is saved every five seconds, {EVENTS} kept events are past their retention and every input that has \
         disconnected is forgotten. What {idler}, which does nothing else, lets wait is the machine's own.",
        setup.inputs,
        DURATION.as_secs()
    );
    report.heading("Who waits for checkpoints and expiry", &words);
    let rows = [places[0].0, places[1].0, idler].map(str::to_owned);
    let columns = [
        "p50 ms",
        "p99 ms",
        "p99.9 ms",
        "longest ms",
        "longest duty ms",
        "longest bare sync ms",
        "events expired",
        "inputs forgotten",
    ];
    report.table("hold", &figures, &rows, &columns, None);
    report.goal(
        "longest that a checkpoint, a transfer of the log or an expiry holds a notification, on a disk of memory, in any round, ms",
        figures.largest(&rows[1], "longest duty ms"),
        true,
        20.0,
    );
    report.goal(
        "longest wait of a notification while checkpoints are written and events expire, on a disk of memory, in any round, ms",
        figures.largest(&rows[1], "longest ms"),
        true,
        20.0,
    );
    Ok(())
}

fn held(setup: &Setup, name: &str, place: &Path, figures: &mut Figures) -> anyhow::Result<()> {
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
    let answered = waits(&mut server, name, figures)?;
    let after = kept_and_forgotten(&server)?;
    figures.add(name, "events expired", before.0 + answered - after.0);
    figures.add(name, "inputs forgotten", after.1 - before.1);
    figures.add(name, "longest duty ms", longest_duty_millis(&server.log()?)?);
    figures.add(name, "longest bare sync ms", disk::longest_sync_millis(&folder, DURATION / 4)?);
    server.stop()
}

/// How long notifications wait; how many were answered.
fn waits(server: &mut Server, name: &str, figures: &mut Figures) -> anyhow::Result<f64> {
    let outcome = server.load(CONNECTIONS, Some(RATE), DURATION)?;
    for (what, quantile) in [("p50 ms", 0.5), ("p99 ms", 0.99), ("p99.9 ms", 0.999), ("longest ms", 1.0)] {
        figures.add(name, what, outcome.latency(quantile));
    }
    Ok(outcome.answered as f64)
}

/// How long notifications waited for one of the recorder's duties at the most, by the log.
fn longest_duty_millis(log: &str) -> anyhow::Result<f64> {
    let seconds = log.lines().filter(|line| line.contains("message=\"duty done\"")).map(|line| {
        let value = line.split_whitespace().find_map(|pair| pair.strip_prefix("seconds="));
        Ok(value.with_context(|| format!("no seconds in {line}"))?.parse::<f64>()?)
    });
    let seconds: Vec<f64> = seconds.collect::<anyhow::Result<_>>()?;
    Ok(seconds.into_iter().reduce(f64::max).context("the log tells of no duty")? * 1e3)
}

/// How many events are kept, and how many inputs were forgotten.
fn kept_and_forgotten(server: &Server) -> anyhow::Result<(f64, f64)> {
    let text = scrape::text(server.private)?;
    let value = |name| scrape::value(&text, name);
    Ok((value("stream_live_exporter_journal_events")?, value("stream_live_exporter_inputs_expired_total")?))
}

struct Removed<'a>(&'a Path);

impl Drop for Removed<'_> {
    fn drop(&mut self) {
        // What cannot be removed lies in a temporary place.
        let _ = fs::remove_dir_all(self.0);
    }
}
