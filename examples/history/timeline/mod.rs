//! Generates hours of history for Prometheus, together with the values that queries must return.
//!
//! ```text
//! script ─▶ timeline ─┬▶ replicas, scraped at every step ─▶ samples ─▶ promtool ─▶ data ─▶ rules ─▶ data
//!                     └▶ truth
//! ```
//!
//! A timeline is a list of actions. Two replicas, made of the stages of the library, apply them; their
//! expositions become samples. The rules in `deploy/prometheus` are evaluated over these. The truth is
//! computed from the timeline alone. Instead, three replicas can share the journal of the first one.

mod actions;
mod alerts;
mod api;
mod changes;
pub mod input_truth;
pub mod inputs;
mod process;
pub mod prometheus;
mod replica;
mod rules;
mod samples;
mod script;
pub mod shared;
pub mod truth;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use stream_live_exporter::event::Timestamp;

use actions::Timeline;
use replica::Replica;
use rules::Grid;
use samples::Samples;
use truth::Truth;

/// The job name that the rules require.
const JOB: &str = "stream-live-exporter";
const INSTANCES: [&str; actions::REPLICAS] = ["exporter-1:10419", "exporter-2:10419"];
/// Scrapes begin this long before the timeline.
const LEAD_IN: Duration = Duration::from_secs(15 * 60);

/// Who has a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Journals {
    /// Each of two replicas has its own.
    Own,
    /// Three replicas share the journal of the first one.
    Shared,
}

#[derive(Debug, Clone)]
pub struct Tools {
    pub promtool: PathBuf,
    pub prometheus: PathBuf,
}

pub struct History {
    timeline: Timeline,
    step: Duration,
}

impl History {
    /// Generates the history that ends at `end`, with a scrape every `step` and the rules in the folder `rules`.
    /// Writes the Prometheus database `data` and `truth.json` into `folder`.
    pub fn generate(
        tools: &Tools,
        folder: &Path,
        rules: &Path,
        end: Timestamp,
        step: Duration,
        journals: Journals,
    ) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        let end = Timestamp::from_seconds(end.as_millis() / 1000 / step.as_secs() as i64 * step.as_secs() as i64);
        let timeline = script::build(end.minus(actions::LENGTH));
        let grid = Grid { begin: timeline.begin.minus(LEAD_IN), end, step };
        let mut samples = Samples::create(folder)?;
        match journals {
            Journals::Own => scrape(&timeline, grid, &mut samples)?,
            Journals::Shared => shared::scrape(&timeline, grid, &mut samples)?,
        }
        samples.load(&tools.promtool)?;
        rules::evaluate(tools, folder, rules, grid, &timeline.outages())?;
        let history = Self { timeline, step };
        let truths = [6, 3, 1]
            .map(|hours| (format!("{hours}h"), history.truth(end.minus(Duration::from_secs(hours * 3600)), end)));
        serde_json::to_writer_pretty(File::create(folder.join("truth.json"))?, &BTreeMap::from(truths))?;
        Ok(history)
    }

    pub fn end(&self) -> Timestamp {
        self.timeline.end()
    }

    /// The truth about this range, limited to the time that was scraped.
    pub fn truth(&self, from: Timestamp, to: Timestamp) -> Truth {
        let scraped_from = self.timeline.begin.minus(LEAD_IN);
        Truth::of(&self.timeline, from.max(scraped_from), to.min(self.end()), self.step)
    }
}

/// Applies the timeline to the replicas and scrapes them.
fn scrape(timeline: &Timeline, grid: Grid, samples: &mut Samples<'_>) -> anyhow::Result<()> {
    let mut replicas =
        [(INSTANCES[0], 1), (INSTANCES[1], 2)].map(|(instance, seed)| Replica::new(instance, seed, timeline.begin));
    let mut actions = timeline.actions.iter().peekable();
    for at in grid.times() {
        while let Some(action) = actions.next_if(|action| action.at <= at) {
            replicas[action.replica].apply(action.at, &action.kind)?;
        }
        for replica in &mut replicas {
            let target = [("instance", replica.instance), ("job", JOB)];
            let exposition = replica.scrape(at);
            samples.add("up", &target, at, f64::from(u8::from(exposition.is_some())))?;
            if let Some(exposition) = exposition {
                samples.scrape(&exposition, &target, at)?;
            }
        }
    }
    Ok(())
}
