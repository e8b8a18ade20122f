//! The expected rows of a panel, for the chosen variables.

use std::collections::{BTreeMap, BTreeSet};

use stream_live_exporter::event::InputId;

use stream_live_exporter::simulate::Counts;

use super::timeline::input_truth::RangeTruth;
use super::timeline::truth::{Firing, ReplicaTruth, Truth};

/// Numbers by label value; a panel without rows has the empty label value.
pub type Rows = BTreeMap<String, f64>;

/// The truth and the chosen variables.
pub struct Scene<'a> {
    pub truth: &'a Truth,
    /// The truth of the last 30 days and of the last hour, for the on-air budget.
    pub month: &'a Truth,
    pub hour: &'a Truth,
    /// The chosen inputs; empty for all.
    pub inputs: BTreeSet<InputId>,
    /// The chosen accounts; empty for all.
    pub accounts: BTreeSet<String>,
    /// The chosen instances; empty for all.
    pub instances: BTreeSet<String>,
    /// The end of the range, in seconds since the epoch.
    pub to: f64,
}

impl Scene<'_> {
    pub fn chose(&self, input_id: &InputId) -> bool {
        let account = self.truth.inputs.get(input_id).map(|input| input.account);
        (self.inputs.is_empty() || self.inputs.contains(input_id))
            && (self.accounts.is_empty() || account.is_some_and(|account| self.accounts.contains(account)))
    }

    pub fn chosen(&self) -> impl Iterator<Item = (&InputId, &RangeTruth)> {
        self.truth.inputs.iter().filter(|(input_id, _)| self.chose(input_id))
    }

    pub fn replicas(&self) -> impl Iterator<Item = (&str, &ReplicaTruth)> {
        let all = self.truth.replicas.iter().map(|(instance, replica)| (*instance, replica));
        all.filter(|(instance, _)| self.instances.is_empty() || self.instances.contains(*instance))
    }

    pub fn total(&self, of: fn(&RangeTruth) -> f64) -> Rows {
        one(self.chosen().map(|(_, input)| of(input)).sum())
    }

    pub fn number(&self, counts: fn(&RangeTruth) -> bool) -> Rows {
        one(self.chosen().filter(|(_, input)| counts(input)).count() as f64)
    }

    pub fn single(&self, of: fn(&RangeTruth) -> Option<f64>) -> Rows {
        self.chosen().filter_map(|(_, input)| Some((String::new(), of(input)?))).collect()
    }

    pub fn by_input(&self, of: fn(&RangeTruth) -> Option<f64>) -> Rows {
        self.chosen().filter_map(|(input_id, input)| Some((input_id.to_string(), of(input)?))).collect()
    }

    pub fn by_name(&self, of: fn(&RangeTruth) -> Option<f64>) -> Rows {
        self.chosen().filter_map(|(input_id, input)| Some((name(input_id, input), of(input)?))).collect()
    }

    pub fn by_label(&self, of: fn(&RangeTruth) -> &Counts) -> Rows {
        let mut rows = Rows::new();
        for (label, count) in self.chosen().flat_map(|(_, input)| of(input)) {
            *rows.entry((*label).to_owned()).or_default() += *count as f64;
        }
        rows
    }

    /// The newest times by label, in milliseconds.
    pub fn newest(&self, of: fn(&RangeTruth) -> &BTreeMap<&'static str, i64>) -> Rows {
        let mut rows = Rows::new();
        for (label, at) in self.chosen().flat_map(|(_, input)| of(input)) {
            let newest = rows.entry((*label).to_owned()).or_default();
            *newest = newest.max(*at as f64);
        }
        rows
    }

    /// One minute of each expected input, as a share of all.
    pub fn one_minute(&self) -> f64 {
        let expected = || self.chosen().map(|(_, input)| input.every_minute.expected).filter(|looks| *looks > 0);
        expected().count() as f64 / expected().sum::<u64>().max(1) as f64
    }

    pub fn all(&self, of: fn(&ReplicaTruth) -> f64) -> Rows {
        one(self.replicas().map(|(_, replica)| of(replica)).sum())
    }

    pub fn by_instance(&self, of: fn(&ReplicaTruth) -> Option<f64>) -> Rows {
        self.replicas().filter_map(|(instance, replica)| Some((instance.to_owned(), of(replica)?))).collect()
    }

    pub fn counts(&self, of: fn(&ReplicaTruth) -> &Counts) -> Rows {
        let mut rows = Rows::new();
        for (label, count) in self.replicas().flat_map(|(_, replica)| of(replica)) {
            *rows.entry((*label).to_owned()).or_default() += *count as f64;
        }
        rows
    }

    pub fn firing(&self, counts: impl Fn(&Firing) -> bool) -> Rows {
        one(self.truth.firing_at_end.iter().filter(|firing| counts(firing)).count() as f64)
    }

    pub fn alerts(&self, counts: impl Fn(&Firing) -> bool) -> Rows {
        let mut rows = Rows::new();
        for firing in self.truth.firing_at_end.iter().filter(|firing| counts(firing)) {
            *rows.entry(firing.alertname.to_owned()).or_default() += 1.0;
        }
        rows
    }
}

/// Share of its expected time that an input should be on air, by the shipped rules.
pub const OBJECTIVE: f64 = 0.995;

/// Time off air by input, as a share of what the objective allows; inputs that were never expected have no row.
fn used<'a>(scene: &Scene<'a>, of: &'a Truth) -> impl Iterator<Item = (&'a InputId, &'a RangeTruth, f64)> {
    let chosen: BTreeSet<_> = scene.chosen().map(|(input_id, _)| *input_id).collect();
    let inputs =
        of.inputs.iter().filter(move |(input_id, input)| chosen.contains(input_id) && input.expected_seconds > 0.0);
    inputs.map(|(input_id, input)| {
        let off_air = 1.0 - input.on_air_seconds / input.expected_seconds;
        (input_id, input, off_air / (1.0 - OBJECTIVE))
    })
}

/// What is left of the budget of 30 days, by the id of the input.
pub fn budget_left(scene: &Scene<'_>) -> Rows {
    used(scene, scene.month).map(|(input_id, _, used)| (input_id.to_string(), 1.0 - used)).collect()
}

/// The least of it, by the name of its input.
pub fn least_budget_left(scene: &Scene<'_>) -> Rows {
    let most = used(scene, scene.month).max_by(|one, other| one.2.total_cmp(&other.2));
    most.map(|(input_id, input, used)| (name(input_id, input), 1.0 - used)).into_iter().collect()
}

/// The highest share of the allowed rate in the last hour, by the name of its input.
pub fn fastest_use(scene: &Scene<'_>) -> Rows {
    let most = used(scene, scene.hour).max_by(|one, other| one.2.total_cmp(&other.2));
    most.map(|(input_id, input, used)| (name(input_id, input), used)).into_iter().collect()
}

fn name(input_id: &InputId, input: &RangeTruth) -> String {
    if input.name.is_empty() { input_id.to_string() } else { input.name.to_owned() }
}

/// The same two without a label, for one input.
pub fn without_label(rows: Rows) -> Rows {
    rows.into_values().map(|value| (String::new(), value)).collect()
}

/// Live inputs that are expected, by the number of expected inputs.
pub fn live_of_expected(scene: &Scene<'_>) -> Rows {
    let expected = || scene.chosen().filter(|(_, input)| input.expected);
    let live = expected().filter(|(_, input)| input.metrics.connected == Some(true)).count();
    [(expected().count().to_string(), live as f64)].into()
}

/// Live inputs that are not expected; no row if there are none.
pub fn live_not_expected(scene: &Scene<'_>) -> Rows {
    let mut rows = scene.number(|input| !input.expected && input.metrics.connected == Some(true));
    rows.retain(|_, number| *number > 0.0);
    rows
}

/// When the expectation changes next, in milliseconds.
pub fn change(input: &RangeTruth) -> Option<f64> {
    input.expected_change.map(|at| 1000.0 * at)
}

/// The page about an input that is off air, with the time of the disconnect in milliseconds.
pub fn off_air_since(scene: &Scene<'_>) -> Rows {
    let off = scene.chosen().filter(|(_, input)| state(input) == Some(2.0)).filter_map(|(_, input)| since(input));
    off.map(|since| ("StreamLiveInputOffAirWhileExpected".to_owned(), 1000.0 * since)).collect()
}

/// The share of the expected time that was on air.
pub fn on_air(scene: &Scene<'_>) -> Rows {
    let expected: u64 = scene.chosen().map(|(_, input)| input.every_minute.expected).sum();
    let on_air: u64 = scene.chosen().map(|(_, input)| input.every_minute.on_air).sum();
    if expected == 0 { Rows::new() } else { one(on_air as f64 / expected as f64) }
}

/// The time since the last delivery.
pub fn silence(scene: &Scene<'_>) -> Rows {
    let last = scene.replicas().filter_map(|(_, replica)| replica.last_notification).reduce(f64::max);
    last.map(|last| one(scene.to - last)).unwrap_or_default()
}

/// The last use of each secret, in milliseconds.
pub fn secrets(scene: &Scene<'_>) -> Rows {
    let mut rows = Rows::new();
    for (secret, at) in scene.replicas().flat_map(|(_, replica)| &replica.secrets) {
        let newest = rows.entry((*secret).to_owned()).or_default();
        *newest = newest.max(1000.0 * at);
    }
    rows
}

pub fn one(value: f64) -> Rows {
    [(String::new(), value)].into()
}

pub fn flag(flag: bool) -> f64 {
    f64::from(u8::from(flag))
}

pub fn sum(counts: &Counts) -> f64 {
    counts.values().sum::<u64>() as f64
}

pub fn disconnects(input: &RangeTruth) -> f64 {
    input.metrics.events["disconnected"] as f64
}

/// 0 off, 1 live, 2 off air although expected; `None` if unknown.
pub fn state(input: &RangeTruth) -> Option<f64> {
    input.metrics.connected.map(|connected| if connected { 1.0 } else { 2.0 * flag(input.expected) })
}

/// The same, and 1.5 if unknown although expected.
pub fn lane(input: &RangeTruth) -> Option<f64> {
    state(input).or(input.expected.then_some(1.5))
}

/// Event time of the newest connect or disconnect, in seconds since the epoch.
pub fn since(input: &RangeTruth) -> Option<f64> {
    input.metrics.state_timestamp_ms.map(|millis| millis as f64 / 1000.0)
}
