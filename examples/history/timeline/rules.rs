//! What the shipped rules would have made of the history: their records and their alerts.
//!
//! Nobody evaluates rules in the past, so it is done here, by the book: Prometheus itself says which
//! rules there are and evaluates their expressions at every moment; the pending and firing of alerts
//! over time is what is added. Rules that read records come after those records.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::Context;
use serde::Deserialize;
use serde_json::Value;
use stream_live_exporter::event::Timestamp;

use super::prometheus::{Prometheus, load};
use super::samples::Samples;
use super::{Tools, alerts};

/// The times at which the history has samples.
#[derive(Debug, Clone, Copy)]
pub struct Grid {
    /// The first.
    pub begin: Timestamp,
    /// The last.
    pub end: Timestamp,
    /// From one to the next.
    pub step: Duration,
}

/// A group of rules as Prometheus tells it.
#[derive(Debug, Deserialize)]
struct Group {
    /// In seconds.
    interval: f64,
    rules: Vec<Rule>,
}

/// A rule as Prometheus tells it.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    /// Of the record or the alert.
    pub name: String,
    /// Its expression.
    pub query: String,
    /// What it adds to its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// `for`, in seconds, of an alert.
    #[serde(default)]
    pub duration: f64,
    /// In seconds, of an alert.
    #[serde(default)]
    pub keep_firing_for: f64,
    #[serde(rename = "type")]
    kind: String,
    /// Of its group.
    #[serde(skip)]
    interval: Duration,
}

/// The values of a series by time.
pub type Values = BTreeMap<Timestamp, f64>;
/// Labels of a series, and its values.
type Series = (BTreeMap<String, String>, Values);

/// Adds the records and alerts of the rules in this folder to the data.
pub fn evaluate(tools: &Tools, folder: &Path, rules: &Path, grid: Grid) -> anyhow::Result<()> {
    let rules = shipped(tools, rules, grid)?;
    let (records, alerts): (Vec<_>, Vec<_>) = rules.into_iter().partition(|rule| rule.kind == "recording");
    for layer in layers(records).into_iter().chain(layers(alerts)) {
        let prometheus = Prometheus::start(&tools.prometheus, folder, None, grid.step)?;
        let mut samples = Samples::default();
        for rule in &layer {
            for (labels, values) in series(&prometheus, rule, grid)? {
                rule.follow(&rule.labelled(labels), &values, grid, &mut samples);
            }
        }
        prometheus.stop()?;
        load(&tools.promtool, folder, &samples)?;
    }
    Ok(())
}

/// The rules, as a Prometheus says that has loaded them.
fn shipped(tools: &Tools, rules: &Path, grid: Grid) -> anyhow::Result<Vec<Rule>> {
    // Of its own, because it would evaluate them now.
    let folder = tempfile::tempdir()?;
    let prometheus = Prometheus::start(&tools.prometheus, folder.path(), Some(rules), grid.step)?;
    let groups = prometheus.ask("rules", &[])?["groups"].take();
    let groups: Vec<Group> = serde_json::from_value(groups).context("the rules are not what they used to be")?;
    let of_group = |group: Group| {
        let interval = Duration::from_secs_f64(group.interval);
        group.rules.into_iter().map(move |rule| Rule { interval, ..rule })
    };
    Ok(groups.into_iter().flat_map(of_group).collect())
}

/// Rules in the order in which they can be evaluated: what a layer reads is in the ones before.
///
/// A rule that reads itself begins without a past. The shipped ones do so to hold their last word while
/// no exporter answers, and in the timeline one always does.
fn layers(mut rules: Vec<Rule>) -> Vec<Vec<Rule>> {
    let mut layers = Vec::new();
    while !rules.is_empty() {
        let names: Vec<_> = rules.iter().map(|rule| rule.name.clone()).collect();
        let reads = |rule: &Rule, name: &String| *name != rule.name && rule.reads(name);
        let (ready, later): (Vec<_>, Vec<_>) =
            rules.into_iter().partition(|rule| !names.iter().any(|name| reads(rule, name)));
        assert!(!ready.is_empty(), "rules read each other in a circle: {names:?}");
        layers.push(ready);
        rules = later;
    }
    layers
}

/// What the expression gives at every evaluation.
fn series(prometheus: &Prometheus, rule: &Rule, grid: Grid) -> anyhow::Result<Vec<Series>> {
    let (start, end) = (seconds(grid.begin), seconds(grid.end));
    let step = format!("{}", rule.interval.as_secs_f64());
    let parameters = [("query", rule.query.as_str()), ("start", &start), ("end", &end), ("step", &step)];
    let answer = prometheus.ask("query_range", &parameters).with_context(|| rule.name.clone())?;
    let result = answer["result"].as_array().context("a range is a matrix")?;
    result.iter().map(|series| read(series).with_context(|| format!("{}: {series}", rule.name))).collect()
}

fn read(series: &Value) -> anyhow::Result<Series> {
    let mut labels: BTreeMap<String, String> = serde_json::from_value(series["metric"].clone())?;
    labels.remove("__name__");
    let values: Vec<(f64, String)> = serde_json::from_value(series["values"].clone())?;
    let values = values.into_iter().map(|(at, value)| Ok((time(at), value.parse()?)));
    Ok((labels, values.collect::<anyhow::Result<_>>()?))
}

impl Rule {
    fn labelled(&self, mut labels: BTreeMap<String, String>) -> BTreeMap<String, String> {
        labels.extend(self.labels.clone());
        labels
    }

    /// Whether the record or alert of this name stands in its expression, as a whole word.
    fn reads(&self, name: &str) -> bool {
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
        self.query.match_indices(name).any(|(at, name)| {
            let (before, after) = (self.query[..at].chars().next_back(), self.query[at + name.len()..].chars().next());
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    }

    /// Writes what it makes of these values: a record, or an alert.
    fn follow(&self, labels: &BTreeMap<String, String>, values: &Values, grid: Grid, samples: &mut Samples) {
        if self.kind == "alerting" {
            return alerts::follow(self, labels, values, grid, samples);
        }
        for (at, value) in values {
            grid.hold(*at, self.interval, |at| samples.gauge(&self.name, &pairs(labels), at, *value));
        }
    }

    /// The times at which it is evaluated.
    pub fn evaluations(&self, grid: Grid) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(Some(grid.begin), |at| Some(at.plus(self.interval))).take_while(move |at| *at <= grid.end)
    }

    /// From one evaluation to the next.
    pub fn interval(&self) -> Duration {
        self.interval
    }
}

impl Grid {
    /// Every time of the grid, in order.
    pub fn times(self) -> impl Iterator<Item = Timestamp> {
        std::iter::successors(Some(self.begin), move |at| Some(at.plus(self.step)))
            .take_while(move |at| *at <= self.end)
    }

    /// What was found at this time is what one sees until the next evaluation.
    pub fn hold(self, at: Timestamp, interval: Duration, mut sample: impl FnMut(Timestamp)) {
        let held = Self { begin: at, end: self.end.min(at.plus(interval).minus(Duration::from_nanos(1))), ..self };
        held.times().for_each(&mut sample);
    }
}

/// Labels as pairs.
pub fn pairs(labels: &BTreeMap<String, String>) -> Vec<(&str, &str)> {
    labels.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect()
}

fn seconds(at: Timestamp) -> String {
    format!("{}", at.as_millis() as f64 / 1000.0)
}

fn time(seconds: f64) -> Timestamp {
    Timestamp::EPOCH.plus(Duration::from_secs_f64(seconds))
}
