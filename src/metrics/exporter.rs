//! The metrics that the exporter observes while it runs.

use std::time::Duration;

use prometheus::{Gauge, GaugeVec, Histogram, IntCounter, IntCounterVec, Registry};

use super::family::LabelValues::{Closed, Open};
use super::family::{COUNTER, Family, GAUGE, HISTOGRAM, Label};
use super::registry::{Metric, opts, register, watch};
use crate::event::{IgnoredReason, Timestamp};

/// From the sync of a fast disk to that of a slow one, and for requests that wait for it.
const SECONDS: [f64; 13] = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0];
const REJECTION_REASONS: [&str; 9] =
    ["secret", "method", "encoding", "too_large", "timeout", "not_json", "overloaded", "journal", "spool"];
const API_ACCOUNT: Label =
    Label { name: "account", values: Open("the configured name of the account, empty for one without a name") };
/// What an operator or Cloudflare's API changes an input to.
const CORRECTED_TO: [&str; 4] = ["connected", "disconnected", "forgotten", "deleted"];
const LISTENERS: [&str; 2] = ["webhook", "web"];
const BATCH_SIZES: [f64; 11] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0];

/// Defines [`Exporter`] with a field for each metric, and [`FAMILIES`] with their documentation.
macro_rules! exporter_metrics {
    ($($field:ident: $metric:ident { name: $name:literal, help: $help:literal, $($rest:tt)* })*) => {
        /// The metrics that the exporter observes while it runs. They start at 0 with the process.
        #[derive(Debug)]
        pub struct Exporter {
            pub(super) registry: Registry,
            pub(super) created_samples: bool,
            pub(super) started_at: Timestamp,
            $(#[doc = $help] pub $field: $metric,)*
        }

        pub(super) static FAMILIES: &[Family] = &[$(Family { name: $name, help: $help, $($rest)* }),*];

        impl Exporter {
            /// Creates all metrics with the value 0.
            pub fn new(started_at: Timestamp, created_samples: bool) -> Self {
                let registry = Registry::new();
                $(let $field = register(&registry, const { &Family { name: $name, help: $help, $($rest)* } });)*
                Self { registry, created_samples, started_at, $($field),* }
            }
        }
    };
}

exporter_metrics! {
    notifications: IntCounterVec {
        name: "stream_live_exporter_notifications_total",
        help: "Number of authenticated, well-formed deliveries, by outcome.",
        labels: &[Label { name: "outcome", values: Closed(&["recorded", "duplicate", "test", "ignored"]) }],
        series: "4",
        query: "sum by (outcome) (rate(stream_live_exporter_notifications_total[5m]))",
        ..COUNTER
    }
    ignored: IntCounterVec {
        name: "stream_live_exporter_notifications_ignored_total",
        help: "Number of notifications that were understood and answered 2xx, but not used, by reason.",
        labels: &[Label { name: "reason", values: Closed(&IgnoredReason::LABELS) }],
        series: "9",
        query: "increase(stream_live_exporter_notifications_ignored_total[1d]) > 0",
        ..COUNTER
    }
    lenient: IntCounter {
        name: "stream_live_exporter_notifications_lenient_total",
        help: "Number of notifications that were not strict JSON in UTF-8 and were read leniently: with a byte order mark, \
               invalid bytes, trailing commas or comments.",
        query: "increase(stream_live_exporter_notifications_lenient_total[1d])",
        ..COUNTER
    }
    rejected: IntCounterVec {
        name: "stream_live_exporter_requests_rejected_total",
        help: "Number of requests to the webhook that were rejected, by reason. Those that are not POST count as method, \
               also without a valid secret.",
        labels: &[Label { name: "reason", values: Closed(&REJECTION_REASONS) }],
        series: "9",
        query: "sum by (reason) (increase(stream_live_exporter_requests_rejected_total[1h])) > 0",
        ..COUNTER
    }
    request_duration: Histogram {
        name: "stream_live_exporter_request_duration_seconds",
        help: "Time from the head of a webhook request to its response, in seconds.",
        buckets: &SECONDS,
        series: "16",
        query: "histogram_quantile(0.99, rate(stream_live_exporter_request_duration_seconds_bucket[5m]))",
        ..HISTOGRAM
    }
    appends: IntCounter {
        name: "stream_live_exporter_journal_appends_total",
        help: "Number of events written durably to the journal.",
        query: "rate(stream_live_exporter_journal_appends_total[5m])",
        ..COUNTER
    }
    append_failures: IntCounter {
        name: "stream_live_exporter_journal_append_failures_total",
        help: "Number of batches that could not be written durably. All their requests were answered 503.",
        query: "increase(stream_live_exporter_journal_append_failures_total[5m]) > 0",
        ..COUNTER
    }
    commit_duration: Histogram {
        name: "stream_live_exporter_journal_commit_duration_seconds",
        help: "Time to write a batch durably, in seconds.",
        buckets: &SECONDS,
        series: "16",
        query: "histogram_quantile(0.99, rate(stream_live_exporter_journal_commit_duration_seconds_bucket[5m]))",
        ..HISTOGRAM
    }
    batch_size: Histogram {
        name: "stream_live_exporter_journal_batch_size",
        help: "Number of events per durable batch, without batches that have no event.",
        buckets: &BATCH_SIZES,
        series: "14",
        query: "rate(stream_live_exporter_journal_batch_size_sum[5m]) / \
                rate(stream_live_exporter_journal_batch_size_count[5m])",
        ..HISTOGRAM
    }
    inputs_forgotten: IntCounterVec {
        name: "stream_live_exporter_inputs_forgotten_total",
        help: "Number of live inputs that were forgotten: silent for inputs.forget_after, by an operator, or deleted at Cloudflare.",
        labels: &[Label { name: "reason", values: Closed(&["silent", "operator", "deleted"]) }],
        series: "3",
        query: "increase(stream_live_exporter_inputs_forgotten_total[1d])",
        ..COUNTER
    }
    corrections: IntCounterVec {
        name: "stream_live_exporter_corrections_total",
        help: "Number of changes of a live input that no notification reported, by who made them and what the input was changed to. \
               Those of cloudflare are lost notifications, which its API revealed.",
        labels: &[
            Label { name: "source", values: Closed(&["operator", "cloudflare"]) },
            Label { name: "to", values: Closed(&CORRECTED_TO) },
        ],
        series: "8",
        query: "sum by (source, to) (increase(stream_live_exporter_corrections_total[1d])) > 0",
        ..COUNTER
    }
    cloudflare_requests: IntCounterVec {
        name: "stream_live_exporter_cloudflare_requests_total",
        help: "Number of requests to Cloudflare's API, by endpoint and result.",
        labels: &[
            Label { name: "endpoint", values: Open("`token`, `inputs`, `input`, `destinations`, `policies`, \
                `available_alerts`, `silences`, `history`, `quality`") },
            Label { name: "result", values: Open("`ok`, `client_error`, `rate_limited`, `server_error`, `timeout`, \
                `network`, `invalid`") },
        ],
        absent: "the API is not used, or has no such request",
        series: "7 per endpoint in use",
        query: "sum by (endpoint, result) (increase(stream_live_exporter_cloudflare_requests_total{result!=\"ok\"}[1h])) > 0",
        ..COUNTER
    }
    cloudflare_last_success: GaugeVec {
        name: "stream_live_exporter_cloudflare_last_success_timestamp_seconds",
        help: "When a task with Cloudflare's API last completed, by account and task, in seconds since the Unix epoch.",
        labels: &[API_ACCOUNT, Label { name: "task", values: Open("`inventory`, `status`, `destination`, `history`, `quality`") }],
        absent: "it has not completed since the start, or is switched off",
        series: "at most 5 per account",
        query: "time() - stream_live_exporter_cloudflare_last_success_timestamp_seconds",
        ..GAUGE
    }
    cloudflare_oldest_status: GaugeVec {
        name: "stream_live_exporter_cloudflare_oldest_status_timestamp_seconds",
        help: "When the live input was asked for its status whose last answer is the oldest, by account, in seconds since the \
               Unix epoch.",
        labels: &[API_ACCOUNT],
        absent: "not all inputs have been asked since the start, or reconciliation is off",
        series: "1 per account",
        query: "time() - stream_live_exporter_cloudflare_oldest_status_timestamp_seconds",
        ..GAUGE
    }
    cloudflare_destination_success: GaugeVec {
        name: "stream_live_exporter_cloudflare_destination_last_success_timestamp_seconds",
        help: "When Cloudflare last delivered a notification to the webhook destination, according to its API, by account, in \
               seconds since the Unix epoch.",
        labels: &[API_ACCOUNT],
        absent: "never, or not known",
        series: "at most 1 per account",
        query: "time() - stream_live_exporter_cloudflare_destination_last_success_timestamp_seconds",
        ..GAUGE
    }
    cloudflare_destination_failure: GaugeVec {
        name: "stream_live_exporter_cloudflare_destination_last_failure_timestamp_seconds",
        help: "When Cloudflare last failed to deliver a notification to the webhook destination, according to its API, by \
               account, in seconds since the Unix epoch.",
        labels: &[API_ACCOUNT],
        absent: "never, or not known",
        series: "at most 1 per account",
        query: "stream_live_exporter_cloudflare_destination_last_failure_timestamp_seconds > \
                stream_live_exporter_cloudflare_destination_last_success_timestamp_seconds",
        ..GAUGE
    }
    cloudflare_policy_delivering: GaugeVec {
        name: "stream_live_exporter_cloudflare_policy_delivering",
        help: "Whether an enabled notification policy sends all live input events to the webhook destination and no silence is \
               over it (1) or not (0), according to Cloudflare's API, by account.",
        labels: &[API_ACCOUNT],
        zero: "notifications are missing: there is no such policy, or it is disabled, silenced or filtered",
        absent: "not known",
        series: "at most 1 per account",
        query: "stream_live_exporter_cloudflare_policy_delivering == 0",
        ..GAUGE
    }
    connections: GaugeVec {
        name: "stream_live_exporter_connections",
        help: "Number of open connections, by listener.",
        labels: &[Label { name: "listener", values: Closed(&LISTENERS) }],
        series: "2",
        zero: "no connection is open",
        query: "stream_live_exporter_connections{listener=\"webhook\"}",
        ..GAUGE
    }
    connections_refused: IntCounterVec {
        name: "stream_live_exporter_connections_refused_total",
        help: "Number of connections that were closed because of a limit, by listener and reason: total and peer \
               (a new connection, because all others have presented a valid secret), evicted (the longest idle \
               connection without a valid secret, in favour of a new one).",
        labels: &[
            Label { name: "listener", values: Closed(&LISTENERS) },
            Label { name: "reason", values: Closed(&["total", "peer", "evicted"]) },
        ],
        series: "6",
        query: "sum by (listener, reason) (increase(stream_live_exporter_connections_refused_total[1h])) > 0",
        ..COUNTER
    }
    reload_successful: Gauge {
        name: "stream_live_exporter_config_last_reload_successful",
        help: "Whether the last attempt to load the configuration succeeded (1) or failed (0).",
        zero: "the last reload failed, and the previous configuration is still in force",
        query: "stream_live_exporter_config_last_reload_successful == 0",
        ..GAUGE
    }
    reload_timestamp: Gauge {
        name: "stream_live_exporter_config_last_reload_success_timestamp_seconds",
        help: "Time of the last successful load of the configuration, in seconds since the Unix epoch.",
        query: "time() - stream_live_exporter_config_last_reload_success_timestamp_seconds",
        ..GAUGE
    }
}

pub(super) static CERTIFICATE_EXPIRY: Family = Family {
    name: "stream_live_exporter_tls_certificate_expiry_timestamp_seconds",
    help: "End of the validity of the listener's certificate, in seconds since the Unix epoch.",
    labels: &[Label { name: "listener", values: Closed(&LISTENERS) }],
    absent: "the listener speaks plain HTTP",
    series: "1 per listener with TLS",
    query: "stream_live_exporter_tls_certificate_expiry_timestamp_seconds - time() < 14 * 86400",
    ..GAUGE
};

pub(super) static JOURNAL_WRITE_STARTED: Family = Family {
    name: "stream_live_exporter_journal_write_started_timestamp_seconds",
    help: "Start of the disk operation on the journal that is in progress, in seconds since the Unix epoch.",
    absent: "no operation is in progress",
    series: "at most 1",
    query: "time() - stream_live_exporter_journal_write_started_timestamp_seconds > 5",
    ..GAUGE
};

pub(super) static LOG_LINES_DROPPED: Family = Family {
    name: "stream_live_exporter_log_lines_dropped_total",
    help: "Number of log lines that were lost because standard error was too slow or failed.",
    query: "increase(stream_live_exporter_log_lines_dropped_total[5m]) > 0",
    ..COUNTER
};

impl Exporter {
    /// Counts a delivery by its outcome, and by the reason if it was ignored.
    pub fn notified(&self, outcome: &str, ignored: Option<IgnoredReason>) {
        self.notifications.with_label_values(&[outcome]).inc();
        if let Some(reason) = ignored {
            self.ignored.with_label_values(&[reason.label()]).inc();
        }
    }

    /// Observes a durable batch. A batch without events has no size: it would distort the mean number of events.
    pub fn committed(&self, events: usize, duration: Duration) {
        self.appends.inc_by(events as u64);
        self.commit_duration.observe(duration.as_secs_f64());
        if events > 0 {
            self.batch_size.observe(events as f64);
        }
    }

    /// Records an attempt to load the configuration.
    pub fn reloaded(&self, now: Timestamp, successfully: bool) {
        self.reload_successful.set(f64::from(u8::from(successfully)));
        if successfully {
            self.reload_timestamp.set(seconds(now));
        }
    }

    /// Exposes the end of validity of a listener's certificate. It is read at each scrape.
    pub fn watch_certificate(&self, listener: &str, not_after: impl Fn() -> Timestamp + Send + Sync + 'static) {
        let opts = opts(&CERTIFICATE_EXPIRY).const_label(CERTIFICATE_EXPIRY.labels[0].name, listener);
        watch(&self.registry, Gauge::with_opts(opts), move |gauge| {
            gauge.set(seconds(not_after()));
            true
        });
    }

    /// Exposes when the recorder's operation on the disk began, if one is under way. It is read at each scrape.
    pub fn watch_journal_write(&self, since: impl Fn() -> Option<Timestamp> + Send + Sync + 'static) {
        watch(&self.registry, Gauge::create(&JOURNAL_WRITE_STARTED), move |gauge| {
            let since = since();
            gauge.set(since.map_or(0.0, seconds));
            since.is_some()
        });
    }

    /// Exposes the number of dropped log lines. It is read at each scrape.
    pub fn watch_dropped_log_lines(&self, count: impl Fn() -> u64 + Send + Sync + 'static) {
        watch(&self.registry, IntCounter::create(&LOG_LINES_DROPPED), move |counter| {
            counter.inc_by(count().saturating_sub(counter.get()));
            true
        });
    }
}

pub(super) fn seconds(timestamp: Timestamp) -> f64 {
    timestamp.as_millis() as f64 / 1000.0
}
