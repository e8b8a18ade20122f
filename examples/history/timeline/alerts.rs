//! The states of an alert over time: inactive, pending, firing, kept firing.
//!
//! They follow the rules of Prometheus, and so do the two series: `ALERTS` and `ALERTS_FOR_STATE`.

use std::collections::BTreeMap;
use std::io;
use std::time::Duration;

use stream_live_exporter::event::Timestamp;

use super::rules::{Grid, Rule, Values, pairs};
use super::samples::Samples;

#[derive(Clone, Copy)]
struct Active {
    since: Timestamp,
    firing: bool,
    /// The first evaluation without a value.
    missing_since: Option<Timestamp>,
}

/// Adds the series of the alert with these labels. `values` has the times at which its expression has a value.
pub fn add(
    rule: &Rule,
    labels: &BTreeMap<String, String>,
    values: &Values,
    grid: Grid,
    samples: &mut Samples<'_>,
) -> io::Result<()> {
    let [hold, keep] = [rule.duration, rule.keep_firing_for].map(Duration::from_secs_f64);
    let mut active: Option<Active> = None;
    for at in rule.evaluations(grid) {
        active = match (active, values.contains_key(&at)) {
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
            let mut labels = pairs(labels);
            labels.push(("alertname", &rule.name));
            for time in grid.until_next_evaluation(at, rule.interval) {
                samples.add("ALERTS_FOR_STATE", &labels, time, (active.since.as_millis() / 1000) as f64)?;
            }
            labels.push(("alertstate", if active.firing { "firing" } else { "pending" }));
            for time in grid.until_next_evaluation(at, rule.interval) {
                samples.add("ALERTS", &labels, time, 1.0)?;
            }
        }
    }
    Ok(())
}
