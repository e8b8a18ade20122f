//! How the exporter itself is doing, in one registry that is passed around.

use std::time::Duration;

use prometheus::core::{Collector, Desc};
use prometheus::proto::MetricFamily;
use prometheus::{Gauge, Histogram, HistogramOpts, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry};

use super::catalogue::Family;
use super::catalogue::exporter as catalogue;
use super::process::Process;
use crate::event::{IgnoredReason, Timestamp};

/// From a fast disk's sync to a slow one's, and from an idle answer to one that waited for it.
const SECONDS: [f64; 13] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
const BATCH_SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// What the exporter counts about itself since it started.
#[derive(Debug)]
pub struct Exporter {
    registry: Registry,
    created_samples: bool,
    started_at: Timestamp,
    notifications: IntCounterVec,
    ignored: IntCounterVec,
    lenient: IntCounter,
    rejected: IntCounterVec,
    request_duration: Histogram,
    appends: IntCounter,
    append_failures: IntCounter,
    commit_duration: Histogram,
    batch_size: Histogram,
    inputs_expired: IntCounter,
    reload_successful: IntGauge,
    reload_timestamp: Gauge,
}

/// The closed sets of label values that are counted from the start.
#[derive(Debug, Clone, Copy)]
pub struct LabelValues {
    /// Of `outcome`.
    pub outcomes: &'static [&'static str],
    /// Of a rejection's `reason`.
    pub rejections: &'static [&'static str],
}

impl Exporter {
    /// Counts from `started_at`, everything at 0.
    pub fn new(started_at: Timestamp, created_samples: bool, values: LabelValues) -> Self {
        let registry = Registry::new();
        let ignored: Vec<_> = IgnoredReason::ALL.into_iter().map(IgnoredReason::label).collect();
        let build_info = build_info();
        register(&registry, build_info);
        register(&registry, Process::new());
        Self {
            notifications: counters(&registry, &catalogue::NOTIFICATIONS, values.outcomes),
            ignored: counters(&registry, &catalogue::IGNORED, &ignored),
            lenient: counter(&registry, &catalogue::LENIENT),
            rejected: counters(&registry, &catalogue::REJECTED, values.rejections),
            request_duration: histogram(&registry, &catalogue::REQUEST_DURATION, &SECONDS),
            appends: counter(&registry, &catalogue::APPENDS),
            append_failures: counter(&registry, &catalogue::APPEND_FAILURES),
            commit_duration: histogram(&registry, &catalogue::COMMIT_DURATION, &SECONDS),
            batch_size: histogram(&registry, &catalogue::BATCH_SIZE, &BATCH_SIZES),
            inputs_expired: counter(&registry, &catalogue::INPUTS_EXPIRED),
            reload_successful: register(&registry, new(IntGauge::with_opts(opts(&catalogue::RELOAD_SUCCESSFUL)))),
            reload_timestamp: register(&registry, new(Gauge::with_opts(opts(&catalogue::RELOAD_TIMESTAMP)))),
            registry,
            created_samples,
            started_at,
        }
    }

    /// A delivery with this outcome, and the reason if it was ignored, has been answered.
    pub fn notified(&self, outcome: &str, ignored: Option<IgnoredReason>) {
        self.notifications.with_label_values(&[outcome]).inc();
        if let Some(reason) = ignored {
            self.ignored.with_label_values(&[reason.label()]).inc();
        }
    }

    /// A notification was no strict JSON.
    pub fn read_leniently(&self) {
        self.lenient.inc();
    }

    /// A request was refused.
    pub fn rejected(&self, reason: &str) {
        self.rejected.with_label_values(&[reason]).inc();
    }

    /// A webhook request was answered after so long.
    pub fn answered(&self, duration: Duration) {
        self.request_duration.observe(duration.as_secs_f64());
    }

    /// A batch of so many events became durable in so long. One that only keeps bodies without an event has no size: it
    /// would drag an average of events below 1.
    pub fn committed(&self, events: usize, duration: Duration) {
        self.appends.inc_by(events as u64);
        self.commit_duration.observe(duration.as_secs_f64());
        if events > 0 {
            self.batch_size.observe(events as f64);
        }
    }

    /// A batch could not be made durable.
    pub fn append_failed(&self) {
        self.append_failures.inc();
    }

    /// So many inputs were forgotten.
    pub fn inputs_expired(&self, count: usize) {
        self.inputs_expired.inc_by(count as u64);
    }

    /// The configuration was loaded, or could not be.
    pub fn reloaded(&self, now: Timestamp, successfully: bool) {
        self.reload_successful.set(i64::from(successfully));
        if successfully {
            self.reload_timestamp.set(now.as_millis() as f64 / 1000.0);
        }
    }

    /// Exposes the end of validity of a listener's certificate, which is asked for at every scrape.
    pub fn watch_certificate(&self, listener: &str, not_after: impl Fn() -> Timestamp + Send + Sync + 'static) {
        let gauge = new(Gauge::with_opts(opts(&catalogue::CERTIFICATE_EXPIRY).const_label("listener", listener)));
        let expiry = Expiry { gauge, not_after: Box::new(not_after) };
        self.registry.register(Box::new(expiry)).expect("a listener has one certificate");
    }

    pub(super) fn gather(&self) -> Vec<MetricFamily> {
        self.registry.gather()
    }

    pub(super) fn started_at(&self) -> Timestamp {
        self.started_at
    }

    pub(super) fn created_samples(&self) -> bool {
        self.created_samples
    }
}

/// Asks for its value when it is gathered.
struct Expiry {
    gauge: Gauge,
    not_after: Box<dyn Fn() -> Timestamp + Send + Sync>,
}

impl Collector for Expiry {
    fn desc(&self) -> Vec<&Desc> {
        self.gauge.desc()
    }

    fn collect(&self) -> Vec<MetricFamily> {
        self.gauge.set((self.not_after)().as_millis() as f64 / 1000.0);
        self.gauge.collect()
    }
}

fn build_info() -> IntGaugeVec {
    let labels: Vec<_> = catalogue::BUILD_INFO.labels.iter().map(|label| label.name).collect();
    let build_info = new(IntGaugeVec::new(opts(&catalogue::BUILD_INFO), &labels));
    let values = [env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"), env!("BUILD_RUSTC")];
    build_info.with_label_values(&values).set(1);
    build_info
}

fn counter(registry: &Registry, family: &Family) -> IntCounter {
    register(registry, new(IntCounter::with_opts(opts(family))))
}

/// A counter with one closed label, every value of it present at 0.
fn counters(registry: &Registry, family: &Family, values: &[&str]) -> IntCounterVec {
    let labels: Vec<_> = family.labels.iter().map(|label| label.name).collect();
    let counters = register(registry, new(IntCounterVec::new(opts(family), &labels)));
    for value in values {
        counters.with_label_values(&[value]);
    }
    counters
}

fn histogram(registry: &Registry, family: &Family, bounds: &[f64]) -> Histogram {
    let opts = HistogramOpts::new(family.name, family.help).buckets(bounds.to_vec());
    register(registry, new(Histogram::with_opts(opts)))
}

fn opts(family: &Family) -> Opts {
    Opts::new(family.name, family.help)
}

fn new<T>(metric: prometheus::Result<T>) -> T {
    metric.expect("the catalogue's names are valid")
}

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("the catalogue's names are distinct");
    collector
}
