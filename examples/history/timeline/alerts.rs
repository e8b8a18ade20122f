//! How an alert goes on over time: pending, firing, kept firing, gone.
//!
//! The states are those of Prometheus' own evaluation of alerting rules, and the series are the two
//! that it writes, `ALERTS` and `ALERTS_FOR_STATE`.

use std::collections::BTreeMap;
use std::time::Duration;

use stream_live_exporter::event::Timestamp;

use super::rules::{Grid, Rule, Values, pairs};
use super::samples::Samples;

#[derive(Clone, Copy)]
struct Active {
    since: Timestamp,
    firing: bool,
    /// When the expression last stopped to give it.
    missing_since: Option<Timestamp>,
}

/// Follows the alert with these labels, which the expression gave at these times.
pub fn follow(rule: &Rule, labels: &BTreeMap<String, String>, given: &Values, grid: Grid, samples: &mut Samples) {
    let [hold, keep] = [rule.duration, rule.keep_firing_for].map(Duration::from_secs_f64);
    let mut active: Option<Active> = None;
    for at in rule.evaluations(grid) {
        active = match (active, given.contains_key(&at)) {
            (None, true) => Some(Active { since: at, firing: false, missing_since: None }),
            (None, false) => None,
            (Some(active), true) => Some(Active { missing_since: None, ..active }),
            (Some(active), false) => {
                let missing_since = active.missing_since.unwrap_or(at);
                let kept = active.firing && at.since(missing_since).unwrap_or_default() < keep;
                kept.then_some(Active { missing_since: Some(missing_since), ..active })
            }
        };
        if let Some(active) = &mut active {
            active.firing |= at.since(active.since).unwrap_or_default() >= hold;
            grid.hold(at, rule.interval(), |at| write(rule, labels, *active, at, samples));
        }
    }
}

fn write(rule: &Rule, labels: &BTreeMap<String, String>, active: Active, at: Timestamp, samples: &mut Samples) {
    let mut labels = pairs(labels);
    labels.push(("alertname", &rule.name));
    samples.gauge("ALERTS_FOR_STATE", &labels, at, (active.since.as_millis() / 1000) as f64);
    labels.push(("alertstate", if active.firing { "firing" } else { "pending" }));
    samples.gauge("ALERTS", &labels, at, 1.0);
}
