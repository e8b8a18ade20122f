//! Compares sender, journal and metrics.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, ensure};
use serde_json::Value;
use stream_live_exporter::event::InputId;

use super::Run;
use super::daemon::{Site, agent};
use super::load::Sent;

const SCRAPE_INTERVAL: Duration = Duration::from_secs(1);
const PREFIX: &str = "cloudflare_stream_live_";
/// After a kill, the daemon does not know the time of its last scrape. If its clock has gone back, this counter can be
/// behind by the time since the last record.
const BEHIND_AFTER_KILL: (&str, f64) = ("connected_seconds_total", 1.0);

/// Scrapes until the run is over. Counters that survive restarts must never fall.
pub fn counters_never_fall(run: &Run) -> anyhow::Result<()> {
    let (agent, mut at) = (agent(), Duration::ZERO);
    let mut shown = BTreeMap::<String, f64>::new();
    while !run.is_over() {
        at = run.stopwatch.elapsed().max(at) + SCRAPE_INTERVAL;
        run.wait_until(at);
        let Some(exposition) = run.site.scrape(&agent) else { continue };
        for (series, value) in samples(&exposition) {
            let is_counter = ["_total", "_bucket", "_count"]
                .iter()
                .any(|end| series.split('{').next().is_some_and(|name| name.ends_with(end)));
            if !series.starts_with(PREFIX) || !is_counter {
                continue;
            }
            let tolerance = if series.contains(BEHIND_AFTER_KILL.0) { BEHIND_AFTER_KILL.1 } else { 0.0 };
            let before = shown.insert(series.to_owned(), value).unwrap_or_default();
            ensure!(value >= before - tolerance, "{series} fell from {before} to {value}");
        }
    }
    Ok(())
}

fn samples(exposition: &str) -> impl Iterator<Item = (&str, f64)> {
    let lines = exposition.lines().filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.rsplit_once(' ')).filter_map(|(series, value)| Some((series, value.parse().ok()?)))
}

/// Compares everything after the run, on a new start with the right clock. Returns a summary.
pub fn agreement(site: &Site, sent: &BTreeMap<InputId, Sent>) -> anyhow::Result<String> {
    site.set_clock(0)?;
    site.run(&["journal", "verify"])?;
    let mut recorded = BTreeMap::<(String, String), u64>::new();
    for line in site.run(&["journal", "export"])?.lines() {
        let line: Value = serde_json::from_str(line)?;
        if let (Some(input_id), Some(event)) = (line["input_id"].as_str(), line["event"].as_str()) {
            *recorded.entry((input_id.to_owned(), event.to_owned())).or_default() += 1;
        }
    }
    let daemon = site.start()?;
    let agent = agent();
    let mut exposition = None;
    while exposition.is_none() {
        exposition = site.scrape(&agent);
    }
    let exposition = exposition.context("it was scraped")?;
    let metrics: BTreeMap<&str, f64> = samples(&exposition).collect();
    let mut total = 0;
    for (input_id, sent) in sent {
        let metric = |name: &str, label: &str| {
            metrics.get(&*format!("{PREFIX}input_{name}{{input_id=\"{input_id}\"{label}}}")).copied()
        };
        let check = |name: &str, label: &str, expected: u64| {
            let found = metric(name, label).unwrap_or_default();
            ensure!(found == expected as f64, "{name} {input_id} {label}: {found} instead of {expected}");
            Ok(())
        };
        for (event, count) in &sent.truth.events {
            check("events_total", &format!(",event=\"{event}\""), *count)?;
            let in_journal = recorded.get(&(input_id.to_string(), (*event).to_owned())).copied().unwrap_or_default();
            ensure!(in_journal == *count, "{input_id} {event}: {in_journal} in the journal instead of {count}");
            total += count;
        }
        for (code, count) in &sent.truth.errors {
            check("errors_total", &format!(",code=\"{code}\""), *count)?;
        }
        check("sessions_total", "", sent.sessions)?;
        check("reconnects_total", "", sent.reconnects)?;
        if let Some(connected) = sent.truth.connected {
            check("connected", "", u64::from(connected))?;
        }
    }
    daemon.stop()?;
    Ok(format!("{total} events of {} inputs agree", sent.len()))
}
