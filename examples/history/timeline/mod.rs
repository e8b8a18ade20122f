//! Hours of history with known truth, as Prometheus would have collected them.
//!
//! ```text
//! script ─▶ timeline ─┬▶ replicas, scraped at every step ─▶ samples ─▶ promtool ─▶ data ─▶ rules ─▶ data
//!                  └▶ truth
//! ```
//!
//! A timeline states what happens and what it means. Two replicas live through it, made of the product's
//! own stages, and what a scrape of them would have found becomes samples. The shipped rules are
//! evaluated over that. What is true is counted from the timeline alone.

mod alerts;
pub mod inputs;
pub mod input_truth;
mod notification;
pub mod prometheus;
mod process;
mod replica;
mod rules;
mod samples;
mod script;
mod actions;
pub mod truth;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, ensure};
use stream_live_exporter::event::Timestamp;

use actions::Timeline;
use replica::Replica;
use rules::Grid;
use samples::Samples;
use truth::Truth;

/// The job that the rules count on.
const JOB: &str = "stream-live-exporter";
/// The replicas.
const INSTANCES: [&str; actions::REPLICAS] = ["exporter-1:10419", "exporter-2:10419"];

/// The programs that it takes.
#[derive(Debug, Clone)]
pub struct Tools {
    /// `promtool`.
    pub promtool: PathBuf,
    /// `prometheus`.
    pub prometheus: PathBuf,
}

/// A history that was made.
pub struct History {
    timeline: Timeline,
    step: Duration,
}

/// So much of the time before the timeline was scraped too.
const LEAD_IN: Duration = Duration::from_secs(15 * 60);

impl History {
    /// Makes the history that ends then and was scraped so often, with the rules of this folder, into
    /// another: `data` for Prometheus, and `truth.json` for people.
    pub fn make(tools: &Tools, folder: &Path, rules: &Path, end: Timestamp, step: Duration) -> anyhow::Result<Self> {
        fs::create_dir_all(folder).with_context(|| format!("{} cannot be made", folder.display()))?;
        let end = Timestamp::from_seconds(end.as_millis() / 1000 / step.as_secs() as i64 * step.as_secs() as i64);
        let timeline = script::build(end.minus(actions::LENGTH));
        let grid = Grid { begin: timeline.begin.minus(LEAD_IN), end, step };
        prometheus::load(&tools.promtool, folder, &scrape(&timeline, grid)?)?;
        rules::evaluate(tools, folder, rules, grid)?;
        let history = Self { timeline, step };
        let truth = File::create(folder.join("truth.json"))?;
        let hours = [6, 3, 1]
            .map(|hours| (format!("{hours}h"), history.truth(end.minus(Duration::from_secs(hours * 3600)), end)));
        serde_json::to_writer_pretty(truth, &std::collections::BTreeMap::from(hours))?;
        Ok(history)
    }

    /// The time at which it ends.
    pub fn end(&self) -> Timestamp {
        self.timeline.end()
    }

    /// What is true of it between two moments, as far as it was scraped.
    pub fn truth(&self, from: Timestamp, to: Timestamp) -> Truth {
        let scraped_from = self.timeline.begin.minus(LEAD_IN);
        Truth::of(&self.timeline, from.max(scraped_from), to.min(self.end()), self.step)
    }
}

/// Lets the replicas live through the timeline; what scrapes of them find.
fn scrape(timeline: &Timeline, grid: Grid) -> anyhow::Result<Samples> {
    let mut replicas = [Replica::new(INSTANCES[0], 1), Replica::new(INSTANCES[1], 2)];
    let mut samples = Samples::default();
    let mut actions = timeline.actions.iter().peekable();
    for at in grid.times() {
        while let Some(action) = actions.next_if(|action| action.at <= at) {
            replicas[action.replica].apply(action.at, &action.what)?;
        }
        let mut answering = 0;
        for replica in &mut replicas {
            let target = [("instance", replica.instance), ("job", JOB)];
            let exposition = replica.scrape(at);
            samples.gauge("up", &target, at, f64::from(u8::from(exposition.is_some())));
            if let Some(exposition) = exposition {
                samples.scrape(&exposition, &target, at);
                answering += 1;
            }
        }
        ensure!(answering > 0, "no replica answers at {at}: rules that hold their last word cannot be evaluated");
    }
    Ok(samples)
}
