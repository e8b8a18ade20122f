//! The results of the recording and alerting rules over the history.
//!
//! `promtool` does not backfill alerts or rules that depend on other rules. So a Prometheus lists the rules and
//! evaluates their expressions over the range; this module orders the rules by their dependencies and adds
//! the states of alerts.

use std::collections::BTreeMap;
use std::iter::successors;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use stream_live_exporter::event::Timestamp;

use super::actions::Outage;
use super::prometheus::Prometheus;
use super::samples::Samples;
use super::{Tools, alerts};

/// The times of the scrapes.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    pub begin: Timestamp,
    pub end: Timestamp,
    pub step: Duration,
}

/// A group in the response of the rules API.
#[derive(Debug, Deserialize)]
struct Group {
    /// In seconds.
    interval: f64,
    rules: Vec<Rule>,
}

/// A rule in the response of the rules API.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    pub name: String,
    query: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    /// `for` of an alert, in seconds.
    #[serde(default)]
    pub duration: f64,
    /// `keep_firing_for` of an alert, in seconds.
    #[serde(default)]
    pub keep_firing_for: f64,
    #[serde(rename = "type")]
    kind: String,
    /// The evaluation interval of the group.
    #[serde(skip)]
    pub interval: Duration,
}

pub type Values = BTreeMap<Timestamp, f64>;

/// Adds the series of the rules in the folder `rules` to the database.
pub fn evaluate(tools: &Tools, folder: &Path, rules: &Path, grid: Grid, outages: &[Outage]) -> anyhow::Result<()> {
    let (records, alerts): (Vec<_>, Vec<_>) =
        list(tools, rules, grid)?.into_iter().partition(|rule| rule.kind == "recording");
    for layer in layers(records).into_iter().chain(layers(alerts)) {
        add_all(tools, folder, grid, &layer)?;
        for outage in outages {
            let held: Vec<_> = layer.iter().filter_map(|rule| rule.during(outage, grid)).collect();
            let grid = Grid { begin: outage.from, end: outage.until.minus(Duration::from_nanos(1)), ..grid };
            add_all(tools, folder, grid, &held)?;
        }
    }
    Ok(())
}

/// Adds the series of these rules to the database.
fn add_all(tools: &Tools, folder: &Path, grid: Grid, rules: &[Rule]) -> anyhow::Result<()> {
    if rules.is_empty() {
        return Ok(());
    }
    let prometheus = Prometheus::serve(&tools.prometheus, folder, None, grid.step)?;
    let mut samples = Samples::create(folder)?;
    for rule in rules {
        rule.add(&prometheus, grid, &mut samples).with_context(|| rule.name.clone())?;
    }
    prometheus.stop()?;
    samples.load(&tools.promtool)
}

/// The rules as Prometheus reads them. It has an empty database, because it also evaluates them now.
fn list(tools: &Tools, rules: &Path, grid: Grid) -> anyhow::Result<Vec<Rule>> {
    let folder = tempfile::tempdir()?;
    let prometheus = Prometheus::serve(&tools.prometheus, folder.path(), Some(rules), grid.step)?;
    let groups = prometheus.get("rules", &[])?["groups"].take();
    let groups: Vec<Group> = serde_json::from_value(groups).context("unexpected response of the rules API")?;
    let of_group = |group: Group| {
        let interval = Duration::from_secs_f64(group.interval);
        group.rules.into_iter().map(move |rule| Rule { interval, ..rule })
    };
    Ok(groups.into_iter().flat_map(of_group).collect())
}

/// The rules in order of evaluation: each layer depends only on earlier layers.
///
/// A rule that reads its own last value is evaluated without one. In the rules of `deploy/prometheus` such values only
/// matter in an outage, which [`Rule::during`] adds.
fn layers(mut rules: Vec<Rule>) -> Vec<Vec<Rule>> {
    let mut layers = Vec::new();
    while !rules.is_empty() {
        let names: Vec<_> = rules.iter().map(|rule| rule.name.clone()).collect();
        let depends = |rule: &Rule| names.iter().any(|name| *name != rule.name && rule.reads(name));
        let (later, ready): (Vec<_>, Vec<_>) = rules.into_iter().partition(depends);
        assert!(!ready.is_empty(), "circular rules: {names:?}");
        layers.push(ready);
        rules = later;
    }
    layers
}

impl Rule {
    /// Whether the expression contains this name.
    fn reads(&self, name: &str) -> bool {
        self.query.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').any(|word| word == name)
    }

    /// The rule in an outage, if it reads its own last value. No other value changes that one in the outage, so it is
    /// that of the last evaluation before.
    fn during(&self, outage: &Outage, grid: Grid) -> Option<Self> {
        let before = self.evaluations(grid).take_while(|at| *at < outage.from).last()?;
        let last_value = format!("{} @ {}", self.name, before.as_millis() / 1000);
        let query = self.query.replace(&self.name, &last_value);
        self.reads(&self.name).then(|| Self { query, ..self.clone() })
    }

    /// Adds the series of the record or alert.
    fn add(&self, prometheus: &Prometheus, grid: Grid, samples: &mut Samples<'_>) -> anyhow::Result<()> {
        for (mut labels, values) in self.evaluate(prometheus, grid)? {
            labels.remove("__name__");
            labels.extend(self.labels.clone());
            if self.kind == "alerting" {
                alerts::add(self, &labels, &values, grid, samples)?;
                continue;
            }
            for (at, value) in values {
                for time in grid.until_next_evaluation(at, self.interval) {
                    samples.add(&self.name, &pairs(&labels), time, value)?;
                }
            }
        }
        Ok(())
    }

    /// Labels and values of the expression over the history.
    fn evaluate(&self, prometheus: &Prometheus, grid: Grid) -> anyhow::Result<Vec<(BTreeMap<String, String>, Values)>> {
        let seconds = |at: Timestamp| (at.as_millis() as f64 / 1000.0).to_string();
        let (start, end, step) = (seconds(grid.begin), seconds(grid.end), self.interval.as_secs_f64().to_string());
        let parameters = [("query", self.query.as_str()), ("start", &start), ("end", &end), ("step", &step)];
        let answer = prometheus.get("query_range", &parameters)?;
        answer["result"].as_array().context("expected a matrix")?.iter().map(read).collect()
    }

    pub fn evaluations(&self, grid: Grid) -> impl Iterator<Item = Timestamp> {
        Grid { step: self.interval, ..grid }.times()
    }
}

fn read(series: &Value) -> anyhow::Result<(BTreeMap<String, String>, Values)> {
    let labels = serde_json::from_value(series["metric"].clone())?;
    let values: Vec<(f64, String)> = serde_json::from_value(series["values"].clone())?;
    let time = |seconds| Timestamp::EPOCH.plus(Duration::from_secs_f64(seconds));
    let values = values.into_iter().map(|(at, value)| Ok((time(at), value.parse()?)));
    Ok((labels, values.collect::<anyhow::Result<_>>()?))
}

impl Grid {
    pub fn times(self) -> impl Iterator<Item = Timestamp> {
        successors(Some(self.begin), move |at| Some(at.plus(self.step))).take_while(move |at| *at <= self.end)
    }

    /// The times from an evaluation until before the next one. The value is repeated for each of them, because
    /// queries look back for less than a step.
    pub fn until_next_evaluation(self, at: Timestamp, interval: Duration) -> impl Iterator<Item = Timestamp> {
        Self { begin: at, end: self.end.min(at.plus(interval).minus(Duration::from_nanos(1))), ..self }.times()
    }
}

pub fn pairs(labels: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}
