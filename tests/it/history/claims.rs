//! The expected values of panels.
//!
//! A panel is identified by the uid of its dashboard and its id, a target by its letter. Every target that
//! counts over the range or per bar must be listed.

use std::collections::BTreeSet;

use super::dashboard::{Panel, Target};
use super::grafana::{SCRAPE_INTERVAL, Series};
use super::scene::{
    OBJECTIVE, Rows, Scene, budget_left, change, disconnects, fastest_use, flag, lane, least_budget_left,
    live_not_expected, live_of_expected, off_air_since, on_air, one, secrets, silence, since, state, sum,
    without_label,
};
use super::timeline::input_truth::RangeTruth;

use Figure::{Count, CountAmongOthers, Elsewhere, Exists, Now, NowAmongOthers, Number, Seconds, Share};

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
    /// The same, but additional rows are allowed.
    NowAmongOthers(f64),
    /// The number of series in each row.
    Number,
    /// Exactly these rows, with any value.
    Exists,
    /// Another test compares all targets of the panel together.
    Elsewhere,
}

/// The expected values of a target.
pub struct Claim {
    /// The id of the panel.
    pub panel: u64,
    pub target: &'static str,
    /// The label that identifies rows; empty for none.
    pub by: &'static str,
    pub figure: Figure,
    pub truth: fn(&Scene<'_>) -> Rows,
}

impl Claim {
    /// Whether this is the claim of the target.
    pub fn is_of(&self, panel: &Panel, target: &Target) -> bool {
        self.panel == panel.id && self.target == target.ref_id
    }

    /// The differences between the response and the truth; `None` if there are none.
    pub fn difference(&self, series: &[Series], scene: &Scene<'_>) -> Option<String> {
        if self.figure == Elsewhere {
            return None;
        }
        let (shown, expected) = (self.rows(series), (self.truth)(scene));
        let among_others = matches!(self.figure, CountAmongOthers | NowAmongOthers(_));
        let rows: BTreeSet<_> = shown.keys().filter(|_| !among_others).chain(expected.keys()).collect();
        let tolerance = match self.figure {
            Count | CountAmongOthers | Number => 0.0,
            // `increase` extrapolates by up to half a step at each end of the range. In addition, scrapes before a late
            // disconnect have shown seconds that the truth does not contain.
            Seconds => SCRAPE_INTERVAL as f64 + 7.0,
            Share => scene.one_minute(),
            Now(tolerance) | NowAmongOthers(tolerance) => tolerance,
            Exists | Elsewhere => f64::INFINITY,
        };
        // A missing counter is 0; a missing gauge is not.
        let nothing = match self.figure {
            Count | CountAmongOthers | Seconds => Some(0.0),
            Share | Now(_) | NowAmongOthers(_) | Number | Exists | Elsewhere => None,
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
                Now(_) | NowAmongOthers(_) | Exists | Elsewhere => values.next_back(),
                Number => values.next_back().map(|_| 1.0),
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
    panel: u64,
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

/// The time from an event to its notification, scrape and evaluation, for values in milliseconds.
const SCRAPES: Figure = NowAmongOthers(15_000.0);
/// The budget of a month is evaluated every four minutes, which is this much of the budget of six hours.
const MONTH: Figure = Now(2.5);
/// That of an hour every minute.
const HOUR: Figure = Now(4.0);

fn unplanned(input: &RangeTruth) -> f64 {
    input.disconnects_while_expected as f64
}

fn planned(input: &RangeTruth) -> f64 {
    disconnects(input) - unplanned(input)
}

const OVERVIEW: &[Claim] = &[
    claim(2, "A", "", Now(0.0), |scene| scene.number(|input| input.expected && input.metrics.connected == Some(false))),
    claim(30, "A", "name", THOUSANDTH, |scene| {
        let off = scene.by_name(|input| (state(input) == Some(2.0)).then(|| since(input)).flatten());
        let off: Rows = off.into_iter().map(|(name, since)| (name, scene.to - since)).collect();
        if off.is_empty() { [("expected inputs".to_owned(), -1.0)].into() } else { off }
    }),
    claim(3, "A", "expected", Now(0.0), live_of_expected),
    claim(3, "B", "", Now(0.0), live_not_expected),
    claim(4, "A", "", Now(0.0), |scene| scene.number(|input| input.expected && input.metrics.connected.is_none())),
    claim(5, "A", "", Now(0.0), |_| one(2.0)),
    claim(6, "A", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity == "critical" && scene.chose(&firing.input_id))
    }),
    claim(6, "B", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity != "critical" && scene.chose(&firing.input_id))
    }),
    claim(12, "A", "alertname", Number, |scene| scene.alerts(|firing| scene.chose(&firing.input_id))),
    claim(12, "A", "alertname", SCRAPES, off_air_since),
    claim(7, "A", "", Count, |scene| scene.total(|input| sum(&input.metrics.errors))),
    claim(8, "A", "", Count, |scene| scene.total(unplanned)),
    claim(8, "B", "", Count, |scene| scene.total(planned)),
    claim(9, "A", "", Share, on_air),
    claim(36, "A", "", Now(0.0), |_| one(OBJECTIVE)),
    claim(36, "B", "name", MONTH, least_budget_left),
    claim(36, "C", "name", HOUR, fastest_use),
    claim(10, "A", "", THOUSANDTH, silence),
    // Inputs that are expected but not live have the upper lanes.
    claim(11, "A", "name", Now(0.0), |scene| scene.by_name(|input| lane(input).filter(|state| *state > 1.0))),
    claim(11, "B", "name", Now(0.0), |scene| scene.by_name(|input| lane(input).filter(|state| *state <= 1.0))),
    claim(14, "A", "input_id", Now(0.0), |scene| scene.by_input(|input| Some(flag(input.expected)))),
    claim(14, "B", "input_id", Now(0.0), |scene| {
        // The table also has a text for inputs that are unknown and not expected.
        scene.by_input(|input| lane(input).or(Some(-1.0)))
    }),
    claim(14, "C", "input_id", THOUSANDTH, |scene| {
        let rows = scene.by_input(since);
        rows.into_iter().map(|(id, since)| (id, scene.to - since)).collect()
    }),
    claim(14, "D", "input_id", MILLISECOND, |scene| {
        scene.by_input(|input| input.metrics.last_event_ms.values().max().map(|at| *at as f64))
    }),
    claim(14, "E", "input_id", Count, |scene| scene.by_input(|input| Some(sum(&input.metrics.errors)))),
    claim(14, "F", "input_id", Count, |scene| scene.by_input(|input| Some(unplanned(input)))),
    claim(14, "I", "input_id", Count, |scene| scene.by_input(|input| Some(planned(input)))),
    claim(14, "J", "input_id", MILLISECOND, |scene| scene.by_input(|input| change(input).filter(|_| input.expected))),
    claim(14, "K", "input_id", MILLISECOND, |scene| scene.by_input(|input| change(input).filter(|_| !input.expected))),
    claim(14, "L", "input_id", MONTH, budget_left),
    claim(14, "G", "input_id", Count, |scene| scene.by_input(|input| Some(input.reconnects as f64))),
    claim(14, "H", "input_id", Seconds, |scene| scene.by_input(|input| Some(input.connected_seconds))),
    claim(16, "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
    claim(16, "B", "code", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_error_ms)),
    claim(17, "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
    claim(19, "A", "", Count, |scene| scene.total(unplanned)),
    claim(19, "B", "", Count, |scene| scene.total(planned)),
    claim(19, "C", "", Count, |scene| scene.total(|input| input.reconnects as f64)),
    claim(37, "A", "", Elsewhere, |_| Rows::new()),
    claim(37, "B", "", Elsewhere, |_| Rows::new()),
    claim(37, "C", "", Elsewhere, |_| Rows::new()),
    claim(37, "D", "", Elsewhere, |_| Rows::new()),
    claim(37, "E", "", Elsewhere, |_| Rows::new()),
    claim(20, "A", "name", Count, |scene| scene.by_name(|input| Some(disconnects(input)))),
    claim(22, "A", "le", CountAmongOthers, |scene| [("+Inf".to_owned(), scene.truth.reconnect_delays as f64)].into()),
    claim(24, "A", "outcome", Count, |scene| scene.counts(|replica| &replica.notifications)),
    claim(25, "A", "reason", Count, |scene| scene.counts(|replica| &replica.ignored)),
    claim(26, "A", "reason", Count, |scene| scene.counts(|replica| &replica.rejected)),
    claim(27, "A", "", Count, |scene| one(scene.truth.late.in_cloudflare as f64)),
    claim(27, "B", "", Count, |scene| one(scene.truth.late.on_the_way as f64)),
    claim(29, "A", "event", Count, |scene| scene.by_label(|input| &input.inconsistent)),
    claim(31, "A", "to", Count, |scene| scene.counts(|replica| &replica.corrections)),
];

const INPUT: &[Claim] = &[
    claim(2, "A", "", Now(0.0), |scene| scene.single(state)),
    claim(3, "A", "", THOUSANDTH, |scene| {
        scene.single(since).into_values().map(|since| (String::new(), scene.to - since)).collect()
    }),
    claim(25, "A", "", Now(0.0), |_| one(2.0)),
    claim(4, "A", "", Now(0.0), |scene| scene.single(|input| Some(flag(input.expected)))),
    claim(5, "A", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity == "critical" && scene.chose(&firing.input_id))
    }),
    claim(5, "B", "", Now(0.0), |scene| {
        scene.firing(|firing| firing.severity != "critical" && scene.chose(&firing.input_id))
    }),
    claim(14, "A", "alertname", Number, |scene| scene.alerts(|firing| scene.chose(&firing.input_id))),
    claim(14, "A", "alertname", SCRAPES, off_air_since),
    claim(30, "A", "change", MILLISECOND, |scene| {
        let label = |input: &RangeTruth| if input.expected { "expected until" } else { "next expected from" };
        scene.chosen().filter_map(|(_, input)| Some((label(input).to_owned(), change(input)?))).collect()
    }),
    claim(31, "A", "", Now(0.0), |_| one(OBJECTIVE)),
    claim(31, "B", "", MONTH, |scene| without_label(budget_left(scene))),
    claim(31, "C", "", HOUR, |scene| without_label(fastest_use(scene))),
    claim(32, "A", "", Count, |scene| scene.total(unplanned)),
    claim(32, "B", "", Count, |scene| scene.total(planned)),
    claim(33, "A", "", Elsewhere, |_| Rows::new()),
    claim(33, "B", "", Elsewhere, |_| Rows::new()),
    claim(33, "C", "", Elsewhere, |_| Rows::new()),
    claim(33, "D", "", Elsewhere, |_| Rows::new()),
    claim(33, "E", "", Elsewhere, |_| Rows::new()),
    claim(6, "A", "input_id", Now(0.0), |scene| scene.by_input(|_| Some(1.0))),
    claim(7, "A", "", Share, on_air),
    claim(8, "A", "", Seconds, |scene| scene.total(|input| input.connected_seconds)),
    claim(9, "A", "", Count, |scene| scene.total(|input| input.sessions as f64)),
    claim(10, "A", "", Count, |scene| scene.total(|input| input.reconnects as f64)),
    claim(11, "A", "", Count, |scene| scene.total(|input| sum(&input.metrics.errors))),
    claim(12, "A", "", Count, |scene| scene.total(|input| sum(&input.inconsistent))),
    claim(13, "A", "", Now(0.0), |scene| scene.single(state)),
    claim(13, "B", "", Now(0.0), |scene| scene.single(|input| Some(flag(input.expected)))),
    claim(24, "A", "event", Count, |scene| scene.by_label(|input| &input.inconsistent)),
    claim(16, "A", "event", Count, |scene| scene.by_label(|input| &input.metrics.events)),
    claim(17, "A", "event", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_event_ms)),
    claim(17, "B", "event", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_event_ms)),
    claim(19, "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
    claim(19, "B", "code", MILLISECOND, |scene| scene.newest(|input| &input.metrics.last_error_ms)),
    claim(20, "A", "code", Count, |scene| scene.by_label(|input| &input.metrics.errors)),
    claim(27, "A", "", Exists, was_live),
    claim(27, "B", "", Exists, was_live),
    claim(28, "A", "", Exists, was_live),
    claim(28, "B", "", Exists, was_live),
    claim(29, "A", "", Exists, was_live),
    claim(29, "B", "", Exists, was_live),
];

/// Cloudflare measures the quality of live inputs.
fn was_live(scene: &Scene<'_>) -> Rows {
    scene.single(|input| (input.connected_seconds > 0.0).then_some(1.0))
}

const EXPORTER: &[Claim] = &[
    claim(2, "A", "instance", Now(0.0), |scene| scene.by_instance(|_| Some(1.0))),
    claim(3, "A", "version", Now(0.0), |scene| {
        [(env!("CARGO_PKG_VERSION").to_owned(), scene.replicas().count() as f64)].into()
    }),
    claim(4, "A", "", THOUSANDTH, |scene| {
        scene.replicas().map(|(_, replica)| scene.to - replica.last_start).reduce(f64::min).map(one).unwrap_or_default()
    }),
    claim(5, "A", "", Now(0.0), |_| one(1.0)),
    claim(6, "A", "", Now(0.0), |scene| scene.firing(|firing| firing.severity == "critical")),
    claim(6, "B", "", Now(0.0), |scene| scene.firing(|firing| firing.severity != "critical")),
    claim(7, "A", "", Count, |scene| scene.all(|replica| replica.append_failures as f64)),
    claim(8, "A", "", Count, |scene| scene.all(|replica| sum(&replica.rejected))),
    claim(9, "A", "", THOUSANDTH, silence),
    claim(10, "A", "", Count, |scene| one(scene.truth.clock_skew as f64)),
    claim(11, "A", "", Now(0.0), |scene| one(scene.truth.inputs.len() as f64 / 10_000.0)),
    claim(13, "A", "outcome", Count, |scene| scene.counts(|replica| &replica.notifications)),
    claim(14, "A", "reason", Count, |scene| scene.counts(|replica| &replica.ignored)),
    claim(15, "A", "reason", Count, |scene| scene.counts(|replica| &replica.rejected)),
    claim(16, "A", "le", CountAmongOthers, |scene| {
        let answered = scene.all(|replica| sum(&replica.notifications) + sum(&replica.rejected));
        answered.into_values().map(|requests| ("+Inf".to_owned(), requests)).collect()
    }),
    claim(17, "A", "le", CountAmongOthers, delays),
    claim(18, "A", "le", CountAmongOthers, delays),
    claim(19, "A", "", Count, |scene| {
        // Independent of the chosen inputs.
        one(scene.truth.inputs.values().map(|input| sum(&input.inconsistent)).sum())
    }),
    claim(19, "B", "", Count, |scene| one(scene.truth.out_of_order as f64)),
    claim(19, "C", "", Count, |scene| one(scene.truth.clock_skew as f64)),
    claim(19, "D", "", Count, |scene| scene.all(|replica| replica.lenient as f64)),
    claim(20, "A", "secret", MILLISECOND, secrets),
    claim(20, "B", "secret", MILLISECOND, secrets),
    claim(24, "A", "instance", Count, |scene| scene.by_instance(|replica| Some(replica.append_failures as f64))),
    claim(25, "A", "instance", Count, |scene| scene.by_instance(|replica| Some(replica.appended as f64))),
    claim(27, "A", "instance", Now(0.0), |scene| scene.by_instance(|replica| Some(replica.kept as f64))),
    claim(29, "A", "instance", Now(0.0), |scene| {
        let inputs = scene.truth.inputs.len() as f64;
        scene.replicas().map(|(instance, _)| (instance.to_owned(), inputs)).collect()
    }),
    claim(30, "A", "reason", Count, |_| Rows::new()),
    claim(35, "B", "", Now(0.0), |_| Rows::new()),
    claim(38, "A", "reason", Count, |scene| scene.counts(|replica| &replica.refused)),
    claim(39, "A", "instance", Count, |_| Rows::new()),
    claim(40, "A", "listener", MILLISECOND, |scene| {
        let ends = scene.replicas().map(|(_, replica)| 1000.0 * replica.certificate_end);
        ends.reduce(f64::min).map(|end| [("webhook".to_owned(), end)].into()).unwrap_or_default()
    }),
    claim(41, "A", "instance", Now(0.0), |_| Rows::new()),
    claim(42, "A", "to", Count, |scene| scene.counts(|replica| &replica.corrections)),
    claim(47, "B", "instance", MILLISECOND, |scene| {
        scene.by_instance(|replica| replica.last_failure.map(|at| 1000.0 * at))
    }),
    claim(49, "A", "instance", THOUSANDTH, |scene| {
        scene.by_instance(|replica| replica.last_downtime.map(|down| down.until - down.from))
    }),
    claim(49, "B", "instance", Now(0.0), |scene| {
        scene.by_instance(|replica| replica.last_downtime.map(|down| flag(down.backfilled)))
    }),
    claim(31, "A", "instance", MILLISECOND, |scene| scene.by_instance(|replica| Some(1000.0 * replica.last_start))),
    claim(31, "B", "instance", MILLISECOND, |scene| scene.by_instance(|replica| Some(1000.0 * replica.last_reload))),
    claim(31, "C", "instance", MILLISECOND, |scene| {
        scene.by_instance(|replica| replica.last_test.map(|at| 1000.0 * at))
    }),
    claim(31, "D", "instance", Now(0.0), |scene| {
        let inputs = scene.truth.inputs.len() as f64;
        scene.by_instance(|_| Some(0.0)).into_keys().map(|instance| (instance, inputs)).collect()
    }),
    claim(31, "E", "instance", Now(0.0), |scene| scene.by_instance(|replica| Some(replica.restored as f64))),
    claim(57, "A", "", Elsewhere, |_| Rows::new()),
];

/// Every event that was delivered has a delay. Independent of the chosen inputs.
fn delays(scene: &Scene<'_>) -> Rows {
    [("+Inf".to_owned(), scene.truth.delivered as f64)].into()
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
