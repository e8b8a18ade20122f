//! Metrics of the `prometheus` crate: creates them from their families, and writes what was gathered.

use prometheus::core::{Collector, Desc, MetricVec, MetricVecBuilder};
use prometheus::proto::{MetricFamily, MetricType};
use prometheus::{Gauge, GaugeVec, Histogram, HistogramOpts, IntCounter, IntCounterVec, Opts, Registry};

use super::encode::{Encoder, Value};
use super::family::{Family, Kind, Label};
use crate::event::Timestamp;

/// Registers a metric that `update` sets when it is gathered. If `update` returns false, the metric is absent.
pub(super) fn watch<M: Metric>(
    registry: &Registry,
    metric: prometheus::Result<M>,
    update: impl Fn(&M) -> bool + Send + Sync + 'static,
) {
    let metric = metric.expect("the family is valid");
    let watched = Watched { metric, update: Box::new(update) };
    registry.register(Box::new(watched)).expect("each metric is registered once");
}

/// A metric that is updated when it is gathered.
struct Watched<M> {
    metric: M,
    update: Box<dyn Fn(&M) -> bool + Send + Sync>,
}

impl<M: Metric> Collector for Watched<M> {
    fn desc(&self) -> Vec<&Desc> {
        self.metric.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        if (self.update)(&self.metric) { self.metric.collect() } else { Vec::new() }
    }
}

/// A metric of the `prometheus` crate that can be created from its family.
pub(super) trait Metric: Collector + Clone + 'static {
    fn create(family: &Family) -> prometheus::Result<Self>;
}

impl Metric for IntCounter {
    fn create(family: &Family) -> prometheus::Result<Self> {
        Self::with_opts(opts(family))
    }
}

impl Metric for IntCounterVec {
    fn create(family: &Family) -> prometheus::Result<Self> {
        Ok(with_closed_values(Self::new(opts(family), &label_names(family))?, family))
    }
}

impl Metric for GaugeVec {
    fn create(family: &Family) -> prometheus::Result<Self> {
        Ok(with_closed_values(Self::new(opts(family), &label_names(family))?, family))
    }
}

fn label_names(family: &Family) -> Vec<&'static str> {
    family.labels.iter().map(|label| label.name).collect()
}

/// Creates the series of every combination of closed label values.
fn with_closed_values<B: MetricVecBuilder>(metrics: MetricVec<B>, family: &Family) -> MetricVec<B> {
    for values in label_values(family.labels) {
        metrics.with_label_values(&values);
    }
    metrics
}

/// Every combination of the values of closed labels.
fn label_values(labels: &[Label]) -> Vec<Vec<&'static str>> {
    let mut combinations = vec![Vec::new()];
    for label in labels {
        let values = label.closed_set().unwrap_or_default();
        let with_values =
            |first: &Vec<&'static str>| values.iter().map(|value| [&first[..], &[*value]].concat()).collect::<Vec<_>>();
        combinations = combinations.iter().flat_map(with_values).collect();
    }
    combinations
}

impl Metric for Gauge {
    fn create(family: &Family) -> prometheus::Result<Self> {
        Self::with_opts(opts(family))
    }
}

impl Metric for Histogram {
    fn create(family: &Family) -> prometheus::Result<Self> {
        Self::with_opts(HistogramOpts::from(opts(family)).buckets(family.buckets.to_vec()))
    }
}

pub(super) fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

/// Creates the metric of a family and registers it.
pub(super) fn register<M: Metric>(registry: &Registry, family: &Family) -> M {
    let metric = M::create(family).expect("the family is valid");
    registry.register(Box::new(metric.clone())).expect("the names of families are distinct");
    metric
}

/// Writes a family that was gathered from the registry.
pub(super) fn write(family: &MetricFamily, encoder: &mut Encoder, created: Timestamp) {
    let kind = match family.get_field_type() {
        MetricType::COUNTER => Kind::Counter,
        MetricType::HISTOGRAM => Kind::Histogram,
        MetricType::GAUGE | MetricType::SUMMARY | MetricType::UNTYPED => Kind::Gauge,
    };
    let mut out = encoder.begin(family.name(), kind, family.help(), created);
    for metric in family.get_metric() {
        let labels: Vec<_> = metric.get_label().iter().map(|label| (label.name(), label.value())).collect();
        match kind {
            Kind::Gauge => out.sample(&labels, Value::Float(metric.get_gauge().get_value())),
            Kind::Counter => out.sample(&labels, Value::Float(metric.get_counter().get_value())),
            Kind::Histogram => {
                let histogram = metric.get_histogram();
                let buckets = histogram.get_bucket().iter();
                let buckets = buckets.map(|bucket| (bucket.upper_bound(), bucket.cumulative_count()));
                let sum = Value::Float(histogram.get_sample_sum());
                out.histogram(&labels, buckets, sum, histogram.get_sample_count());
            }
        }
    }
}
