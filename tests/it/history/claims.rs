//! The expected values of panels.
//!
//! A panel is identified by the uid of its dashboard and its title, a target by its letter. Every target that
//! counts over the range or per bar must be listed.

use std::collections::BTreeSet;

use super::dashboard::{Panel, Target};
use super::grafana::{SCRAPE_INTERVAL, Series};
use super::scene::{Rows, Scene, disconnects, flag, lane, on_air, one, secrets, silence, since, state, sum};

use Figure::{Count, CountAmongOthers, Now, Seconds, Share};

/// How a value is compared with the truth.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Figure {
    /// The exact sum of all bars. A missing row is 0.
    Count,
    /// The same, but additional rows are allowed.
    CountAmongOthers,
    /// Seconds of a counter, with a tolerance of a step and a half.
    Seconds,
    /// A share of minutes, with a tolerance of one minute per input.
    Share,
    /// Exactly these rows, the last value of each, with this tolerance for floating-point times.
    Now(f64),
}

/// The expected values of a target.
pub struct Claim {
    /// The title of the panel, with its type if the title is not unique: `Firing alerts/stat`.
    pub panel: &'static str,
    pub target: &'static str,
    /// The label that identifies rows; empty for none.
    pub by: &'static str,
    pub figure: Figure,
    pub truth: fn(&Scene<'_>) -> Rows,
}

impl Claim {
    /// Whether this is the claim of the target.
    pub fn is_of(&self, panel: &Panel, target: &Target) -> bool {
        let named = self.panel == panel.title || self.panel == format!("{}/{}", panel.title, panel.kind);
        named && self.target == target.ref_id
    }

    /// The differences between the response and the truth; `None` if there are none.
    pub fn difference(&self, series: &[Series], scene: &Scene<'_>) -> Option<String> {
        let (shown, expected) = (self.rows(series), (self.truth)(scene));
        let among_others = self.figure == CountAmongOthers;
        let rows: BTreeSet<_> = shown.keys().filter(|_| !among_others).chain(expected.keys()).collect();
        let tolerance = match self.figure {
            Count | CountAmongOthers => 0.0,
            // `increase` extrapolates by up to half a step at each end of the range. In addition, scrapes before a late
            // disconnect have shown seconds that the truth does not contain.
            Seconds => SCRAPE_INTERVAL as f64 + 7.0,
            Share => scene.one_minute(),
            Now(tolerance) => tolerance,
        };
        // A missing counter is 0; a missing gauge is not.
        let nothing = match self.figure {
            Count | CountAmongOthers | Seconds => Some(0.0),
            Share | Now(_) => None,
        };
        let value = |rows: &Rows, row: &String| rows.get(row).copied().or(nothing);
        let wrong = rows.into_iter().filter_map(|row| match (value(&shown, row), value(&expected, row)) {
            (Some(shown), Some(expected)) if (shown - expected).abs() <= tolerance => None,
            (shown, expected) => Some(format!("{row:?} is {shown:?} instead of {expected:?}")),
        });
        let wrong: Vec<_> = wrong.collect();
        (!wrong.is_empty()).then(|| wrong.join("; "))
    }

    fn rows(&self, series: &[Series]) -> Rows {
        let mut rows = Rows::new();
        for Series { labels, points } in series {
            let mut values = points.iter().map(|(_, value)| *value).filter(|value| !value.is_nan());
            let value = match self.figure {
                Now(_) => values.next_back(),
                Count | CountAmongOthers | Seconds | Share => values.reduce(|sum, value| sum + value),
            };
            if let Some(value) = value {
                *rows.entry(labels.get(self.by).cloned().unwrap_or_default()).or_default() += value;
            }
        }
        rows
    }
}

const fn claim(
    panel: &'static str,
    target: &'static str,
    by: &'static str,
    figure: Figure,
    truth: fn(&Scene<'_>) -> Rows,
) -> Claim {
    Claim { panel, target, by, figure, truth }
}

/// A tolerance of a millisecond, for values in milliseconds.
const MILLISECOND: Figure = Now(1.0);
/// The same, for values in seconds.
const THOUSANDTH: Figure = Now(0.001);

const OVERVIEW: &[Claim] = &[
    claim("Expected but off air", "A", "", Now(0.0), |scene| {
        scene.number(|input| input.expected && input.metrics.connected == Some(false))
    }),
    claim("Off air for", "A", "name", THOUSANDTH, |scene| {
        let off = scene.by_name(|input| (state(input) == Some(2.0)).then(|| since(input)).flatten());
        let off: Rows = off.into_iter().map(|(name, since)| (name, scene.to - since)).collect();
        if off.is_empty() { [("expected inputs".to_owned(), -1.0)].into() } else { off }
    }),
    claim("Live", "A", "", Now(0.0), |scene| scene.number(|input| input.metrics.connected == Some(true))),
    claim("State unknown", "A", "", Now(0.0), |scene| {
        scene.number(|input| input.expected && input.metrics.connected.is_none())
    }),
    claim("Exporter", "A", "", Now(0.0), |_| one(2.0)),
    claim("Firing alerts/stat", "A", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity == "critical" && scene.chose(&firing.input_id))
    }),
    claim("Firing alerts/stat", "B", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity != "critical" && scene.chose(&firing.input_id))
    }),
    claim("Firing alerts/table", "A", "alertname", Now(0.0), |scene| {
        scene.alerts(|firing| scene.chose(&firing.input_id))
    }),
    claim("Errors", "A", "", Count, |scene| scene.total(|input| sum(&input.metrics.errors))),
    claim("Disconnects", "A", "", Count, |scene| scene.total(disconnects)),
    claim("On-air compliance", "A", "", Share, on_air),
    claim("Last notification", "A", "", THOUSANDTH, silence),
    // Inputs that are expected but not live have the upper lanes.
    claim("State of the inputs", "A", "name", Now(0.0), |scene| {
        scene.by_name(|input| lane(input).filter(|state| *state > 1.0))
    }),
    claim("State of the inputs", "B", "name", Now(0.0), |scene| {
        scene.by_name(|input| lane(input).filter(|state| *state <= 1.0))
    }),
    claim("Inputs", "A", "input_id", Now(0.0), |scene| scene.by_input(|input| Some(flag(input.expected)))),
    claim("Inputs", "B", "input_id", Now(0.0), |scene| {
        // The table also has a text for inputs that are unknown and not expected.
        scene.by_input(|input| lane(input).or(Some(-1.0)))
    }),
    claim("Inputs", "C", "input_id", THOUSANDTH, |scene| {
        let rows = scene.by_input(since);
        rows.into_iter().map(|(id, since)| (id, scene.to - since)).collect()
    }),
    claim("Inputs", "D", "input_id", MILLISECOND, |scene| {
        scene.by_input(|input| input.metrics.last_event_ms.values().max().map(|at| *at as f64))
    }),
    claim("Inputs", "E", "input_id", Count, |scene| scene.by_input(|input| Some(sum(&input.metrics.errors)))),
    claim("Inputs", "F", "input_id", Count, |scene| scene.by_input(|input| Some(disconnects(input)))),
    claim("Inputs", "G", "input_id", Count, |scene| scene.by_input(|input| Some(input.reconnects as f64))),
    claim("Inputs", "H", "input_id", Seconds, |scene| scene.by_input(|input| Some(input.connected_seconds))),
    claim("Errors by code", "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
    claim("Errors by code", "B", "code", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_error_ms)),
    claim("Errors over time", "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
    claim("Disconnects and reconnects", "A", "", Count, |scene| scene.total(disconnects)),
    claim("Disconnects and reconnects", "B", "", Count, |scene| scene.total(|input| input.reconnects as f64)),
    claim("Disconnects by input", "A", "name", Count, |scene| scene.by_name(|input| Some(disconnects(input)))),
    claim("Session duration", "A", "le", CountAmongOthers, |scene| {
        [("+Inf".to_owned(), scene.truth.finished_sessions as f64)].into()
    }),
    claim("Reconnect delay", "A", "le", CountAmongOthers, |scene| {
        [("+Inf".to_owned(), scene.truth.reconnect_delays as f64)].into()
    }),
    claim("Notifications by outcome", "A", "outcome", Count, |scene| scene.counts(|replica| &replica.notifications)),
    claim("Ignored", "A", "reason", Count, |scene| scene.counts(|replica| &replica.ignored)),
    claim("Rejected", "A", "reason", Count, |scene| scene.counts(|replica| &replica.rejected)),
    claim("Late notifications", "A", "", Count, |scene| one(scene.truth.late.in_cloudflare as f64)),
    claim("Late notifications", "B", "", Count, |scene| one(scene.truth.late.on_the_way as f64)),
    claim("Lost notifications", "A", "event", Count, |scene| scene.by_label(|input| &input.inconsistent)),
];

const INPUT: &[Claim] = &[
    claim("State", "A", "", Now(0.0), |scene| scene.single(state)),
    claim("For", "A", "", THOUSANDTH, |scene| {
        scene.single(since).into_values().map(|since| (String::new(), scene.to - since)).collect()
    }),
    claim("Exporter", "A", "", Now(0.0), |_| one(2.0)),
    claim("Expected", "A", "", Now(0.0), |scene| scene.single(|input| Some(flag(input.expected)))),
    claim("Firing alerts/stat", "A", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity == "critical" && scene.chose(&firing.input_id))
    }),
    claim("Firing alerts/stat", "B", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity != "critical" && scene.chose(&firing.input_id))
    }),
    claim("Firing alerts/table", "A", "alertname", Now(0.0), |scene| {
        scene.alerts(|firing| scene.chose(&firing.input_id))
    }),
    claim("Input id", "A", "input_id", Now(0.0), |scene| scene.by_input(|_| Some(1.0))),
    claim("On-air compliance", "A", "", Share, on_air),
    claim("Time on air/stat", "A", "", Seconds, |scene| scene.total(|input| input.connected_seconds)),
    claim("Sessions", "A", "", Count, |scene| scene.total(|input| input.sessions as f64)),
    claim("Reconnects", "A", "", Count, |scene| scene.total(|input| input.reconnects as f64)),
    claim("Errors", "A", "", Count, |scene| scene.total(|input| sum(&input.metrics.errors))),
    claim("Lost notifications/stat", "A", "", Count, |scene| scene.total(|input| sum(&input.inconsistent))),
    claim("State and expectation", "A", "", Now(0.0), |scene| scene.single(state)),
    claim("State and expectation", "B", "", Now(0.0), |scene| scene.single(|input| Some(flag(input.expected)))),
    claim("Lost notifications/timeseries", "A", "event", Count, |scene| scene.by_label(|input| &input.inconsistent)),
    claim("Events over time", "A", "event", Count, |scene| scene.by_label(|input| &input.metrics.events)),
    claim("Last events", "A", "event", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_event_ms)),
    claim("Last events", "B", "event", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_event_ms)),
    claim("Errors by code", "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
    claim("Errors by code", "B", "code", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_error_ms)),
    claim("Errors over time", "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
];

const EXPORTER: &[Claim] = &[
    claim("Exporter", "A", "instance", Now(0.0), |scene| scene.by_instance(|_| Some(1.0))),
    claim("Version", "A", "version", Now(0.0), |scene| {
        [(env!("CARGO_PKG_VERSION").to_owned(), scene.replicas().count() as f64)].into()
    }),
    claim("Running for", "A", "", THOUSANDTH, |scene| {
        scene.replicas().map(|(_, replica)| scene.to - replica.last_start).reduce(f64::min).map(one).unwrap_or_default()
    }),
    claim("Configuration", "A", "", Now(0.0), |_| one(1.0)),
    claim("Firing alerts/stat", "A", "", Now(0.0), |scene| scene.firing(|firing| firing.severity == "critical")),
    claim("Firing alerts/stat", "B", "", Now(0.0), |scene| scene.firing(|firing| firing.severity != "critical")),
    claim("Journal failures", "A", "", Count, |scene| scene.all(|replica| replica.append_failures as f64)),
    claim("Rejected requests", "A", "", Count, |scene| scene.all(|replica| sum(&replica.rejected))),
    claim("Last notification", "A", "", THOUSANDTH, silence),
    claim("Clock skew", "A", "", Count, |scene| one(scene.truth.clock_skew as f64)),
    claim("Inputs of limit", "A", "", Now(0.0), |scene| one(scene.truth.inputs.len() as f64 / 10_000.0)),
    claim("Notifications by outcome", "A", "outcome", Count, |scene| scene.counts(|replica| &replica.notifications)),
    claim("Ignored by reason", "A", "reason", Count, |scene| scene.counts(|replica| &replica.ignored)),
    claim("Rejected by reason", "A", "reason", Count, |scene| scene.counts(|replica| &replica.rejected)),
    claim("Request duration", "A", "le", CountAmongOthers, |scene| {
        let answered = scene.all(|replica| sum(&replica.notifications) + sum(&replica.rejected));
        answered.into_values().map(|requests| ("+Inf".to_owned(), requests)).collect()
    }),
    claim("Delay within Cloudflare", "A", "le", CountAmongOthers, delays),
    claim("Delay of delivery", "A", "le", CountAmongOthers, delays),
    claim("Doubtful events", "A", "", Count, |scene| {
        // Independent of the chosen inputs.
        one(scene.truth.inputs.values().map(|input| sum(&input.inconsistent)).sum())
    }),
    claim("Doubtful events", "B", "", Count, |scene| one(scene.truth.out_of_order as f64)),
    claim("Doubtful events", "C", "", Count, |scene| one(scene.truth.clock_skew as f64)),
    claim("Doubtful events", "D", "", Count, |scene| scene.all(|replica| replica.lenient as f64)),
    claim("Secrets", "A", "secret", MILLISECOND, secrets),
    claim("Secrets", "B", "secret", MILLISECOND, secrets),
    claim("Append failures", "A", "instance", Count, |scene| {
        scene.by_instance(|replica| Some(replica.append_failures as f64))
    }),
    claim("Events appended", "A", "instance", Count, |scene| {
        scene.by_instance(|replica| replica.notifications.get("recorded").map(|recorded| *recorded as f64))
    }),
    claim("Events kept", "A", "instance", Now(0.0), |scene| scene.by_instance(|replica| Some(replica.kept as f64))),
    claim("Known inputs", "A", "instance", Now(0.0), |scene| {
        let inputs = scene.truth.inputs.len() as f64;
        scene.replicas().map(|(instance, _)| (instance.to_owned(), inputs)).collect()
    }),
    claim("Inputs forgotten", "A", "instance", Count, |_| Rows::new()),
    claim("Instances", "A", "instance", MILLISECOND, |scene| {
        scene.by_instance(|replica| Some(1000.0 * replica.last_start))
    }),
    claim("Instances", "B", "instance", MILLISECOND, |scene| {
        scene.by_instance(|replica| Some(1000.0 * replica.last_reload))
    }),
    claim("Instances", "C", "instance", MILLISECOND, |scene| {
        scene.by_instance(|replica| replica.last_test.map(|at| 1000.0 * at))
    }),
    claim("Instances", "D", "instance", Now(0.0), |scene| {
        let inputs = scene.truth.inputs.len() as f64;
        scene.by_instance(|_| Some(0.0)).into_keys().map(|instance| (instance, inputs)).collect()
    }),
    claim("Instances", "E", "instance", Now(0.0), |scene| scene.by_instance(|replica| Some(replica.restored as f64))),
];

/// Every recorded event has a delay. Independent of the chosen inputs.
fn delays(scene: &Scene<'_>) -> Rows {
    [("+Inf".to_owned(), scene.truth.inputs.values().map(|input| sum(&input.metrics.events)).sum())].into()
}

/// The claims of a dashboard.
pub fn claims(dashboard: &str) -> &'static [Claim] {
    match dashboard {
        "stream-live-overview" => OVERVIEW,
        "stream-live-input" => INPUT,
        "stream-live-exporter" => EXPORTER,
        unknown => panic!("add the claims of {unknown}"),
    }
}
