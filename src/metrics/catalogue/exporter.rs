//! How the exporter itself is doing.

use super::{ALWAYS, Family, Kind, Label};

/// A counter without labels or with one closed label, present from the start.
const fn counter(
    name: &'static str,
    help: &'static str,
    labels: &'static [Label],
    zero: &'static str,
    series: &'static str,
    query: &'static str,
) -> Family {
    Family { name, kind: Kind::Counter, help, labels, zero, absent: ALWAYS, series, query }
}

/// A gauge without labels.
const fn gauge(
    name: &'static str,
    help: &'static str,
    zero: &'static str,
    absent: &'static str,
    query: &'static str,
) -> Family {
    Family { name, kind: Kind::Gauge, help, labels: &[], zero, absent, series: "1", query }
}

/// A histogram without labels.
const fn histogram(name: &'static str, help: &'static str, series: &'static str, query: &'static str) -> Family {
    Family { name, kind: Kind::Histogram, help, labels: &[], zero: "", absent: ALWAYS, series, query }
}

/// The build.
pub const BUILD_INFO: Family = Family {
    name: "stream_live_exporter_build_info",
    kind: Kind::Gauge,
    help: "What was built; the value is always 1.",
    labels: &[
        Label { name: "version", values: "the release" },
        Label { name: "revision", values: "the commit, `unknown` outside a checkout" },
        Label { name: "rustc", values: "the compiler" },
    ],
    zero: "does not occur",
    absent: ALWAYS,
    series: "1",
    query: "count by (version) (stream_live_exporter_build_info)",
};
/// Deliveries by outcome.
pub const NOTIFICATIONS: Family = counter(
    "stream_live_exporter_notifications_total",
    "Authenticated, well-formed deliveries by what became of them.",
    &[Label { name: "outcome", values: "`recorded`, `duplicate`, `test`, `ignored`" }],
    "none yet",
    "4",
    "sum by (outcome) (rate(stream_live_exporter_notifications_total[5m]))",
);
/// Ignored deliveries by reason.
pub const IGNORED: Family = counter(
    "stream_live_exporter_notifications_ignored_total",
    "Notifications that were understood, answered 2xx and not used.",
    &[Label {
        name: "reason",
        values: "`alert_type`, `event_type`, `input_id`, `no_data`, `updated_at`, `future`, `too_old`, \
                 `video_webhook`, `too_many_inputs`",
    }],
    "none yet",
    "9",
    "increase(stream_live_exporter_notifications_ignored_total[1d]) > 0",
);
/// Deliveries that were not strict JSON.
pub const LENIENT: Family = counter(
    "stream_live_exporter_notifications_lenient_total",
    "Notifications that were no strict JSON and were read with trailing commas and comments allowed.",
    &[],
    "none yet",
    "1",
    "increase(stream_live_exporter_notifications_lenient_total[1d])",
);
/// Late events.
pub const OUT_OF_ORDER: Family = counter(
    "stream_live_exporter_events_out_of_order_total",
    "Recorded events older than the evidence that was held: counted, not believed.",
    &[],
    "none yet",
    "1",
    "increase(stream_live_exporter_events_out_of_order_total[1d])",
);
/// Refused requests.
pub const REJECTED: Family = counter(
    "stream_live_exporter_requests_rejected_total",
    "Refused requests to the webhook.",
    &[Label {
        name: "reason",
        values: "`secret`, `method`, `encoding`, `too_large`, `timeout`, `not_json`, `overloaded`, `journal`",
    }],
    "none yet",
    "8",
    "sum by (reason) (increase(stream_live_exporter_requests_rejected_total[1h])) > 0",
);
/// Time to answer.
pub const REQUEST_DURATION: Family = histogram(
    "stream_live_exporter_request_duration_seconds",
    "Time from a webhook request's head to its answer.",
    "16",
    "histogram_quantile(0.99, rate(stream_live_exporter_request_duration_seconds_bucket[5m]))",
);
/// The last delivery.
pub const LAST_NOTIFICATION: Family = gauge(
    "stream_live_exporter_last_notification_timestamp_seconds",
    "Time of the last authenticated, well-formed delivery of any kind, in seconds since the Unix epoch.",
    "does not occur",
    "never",
    "time() - stream_live_exporter_last_notification_timestamp_seconds",
);
/// The last test.
pub const LAST_TEST: Family = gauge(
    "stream_live_exporter_last_test_timestamp_seconds",
    "Time of the last Save and Test, in seconds since the Unix epoch.",
    "does not occur",
    "never",
    "time() - stream_live_exporter_last_test_timestamp_seconds",
);
/// Which secrets are in use.
pub const SECRET_LAST_USED: Family = Family {
    name: "stream_live_exporter_secret_last_used_timestamp_seconds",
    kind: Kind::Gauge,
    help: "Time of the last delivery with that secret, in seconds since the Unix epoch.",
    labels: &[Label { name: "secret", values: "the secret's configured name" }],
    zero: "does not occur",
    absent: "never",
    series: "1 per secret",
    query: "time() - stream_live_exporter_secret_last_used_timestamp_seconds > 86400",
};
/// Durable events.
pub const APPENDS: Family = counter(
    "stream_live_exporter_journal_appends_total",
    "Events made durable.",
    &[],
    "none yet",
    "1",
    "rate(stream_live_exporter_journal_appends_total[5m])",
);
/// Batches that did not become durable.
pub const APPEND_FAILURES: Family = counter(
    "stream_live_exporter_journal_append_failures_total",
    "Batches that could not be made durable; their senders were answered 503.",
    &[],
    "none yet",
    "1",
    "increase(stream_live_exporter_journal_append_failures_total[5m]) > 0",
);
/// Time to commit.
pub const COMMIT_DURATION: Family = histogram(
    "stream_live_exporter_journal_commit_duration_seconds",
    "Time to make a batch durable.",
    "16",
    "histogram_quantile(0.99, rate(stream_live_exporter_journal_commit_duration_seconds_bucket[5m]))",
);
/// Events per batch.
pub const BATCH_SIZE: Family = histogram(
    "stream_live_exporter_journal_batch_size",
    "Events per durable batch that has any.",
    "14",
    "rate(stream_live_exporter_journal_batch_size_sum[5m]) / rate(stream_live_exporter_journal_batch_size_count[5m])",
);
/// Bytes on disk.
pub const JOURNAL_SIZE: Family = gauge(
    "stream_live_exporter_journal_size_bytes",
    "Size of the journal on disk.",
    "the journal cannot be found",
    ALWAYS,
    "deriv(stream_live_exporter_journal_size_bytes[1d])",
);
/// Kept events.
pub const JOURNAL_EVENTS: Family = gauge(
    "stream_live_exporter_journal_events",
    "Events that the journal keeps.",
    "none yet",
    ALWAYS,
    "stream_live_exporter_journal_events",
);
/// Inputs known at start.
pub const RESTORED_INPUTS: Family = gauge(
    "stream_live_exporter_restored_inputs",
    "Live inputs that were known from the journal at start.",
    "the journal was empty",
    ALWAYS,
    "stream_live_exporter_restored_inputs",
);
/// Known inputs.
pub const INPUTS: Family = gauge(
    "stream_live_exporter_inputs",
    "Known live inputs.",
    "none yet",
    ALWAYS,
    "stream_live_exporter_inputs / stream_live_exporter_inputs_limit",
);
/// The cap.
pub const INPUTS_LIMIT: Family = gauge(
    "stream_live_exporter_inputs_limit",
    "Configured number of live inputs; events of further ones are ignored.",
    "does not occur",
    ALWAYS,
    "stream_live_exporter_inputs / stream_live_exporter_inputs_limit > 0.9",
);
/// Forgotten inputs.
pub const INPUTS_EXPIRED: Family = counter(
    "stream_live_exporter_inputs_expired_total",
    "Live inputs forgotten after their retention.",
    &[],
    "none yet",
    "1",
    "increase(stream_live_exporter_inputs_expired_total[1d])",
);
/// Whether the configuration is what its files say.
pub const RELOAD_SUCCESSFUL: Family = gauge(
    "stream_live_exporter_config_last_reload_successful",
    "Whether the last attempt to load the configuration succeeded.",
    "the last reload failed and the configuration before it is in force",
    ALWAYS,
    "stream_live_exporter_config_last_reload_successful == 0",
);
/// When it was last read.
pub const RELOAD_TIMESTAMP: Family = gauge(
    "stream_live_exporter_config_last_reload_success_timestamp_seconds",
    "Time of the last successful load of the configuration, in seconds since the Unix epoch.",
    "does not occur",
    ALWAYS,
    "time() - stream_live_exporter_config_last_reload_success_timestamp_seconds",
);

/// When a certificate is of no more use.
pub const CERTIFICATE_EXPIRY: Family = Family {
    name: "stream_live_exporter_tls_certificate_expiry_timestamp_seconds",
    kind: Kind::Gauge,
    help: "End of the validity of the listener's certificate, in seconds since the Unix epoch.",
    labels: &[Label { name: "listener", values: "`webhook`, `web`" }],
    zero: "does not occur",
    absent: "the listener speaks plain HTTP",
    series: "1 per listener with TLS",
    query: "stream_live_exporter_tls_certificate_expiry_timestamp_seconds - time() < 14 * 86400",
};

/// The exporter's own families.
pub const OWN: [&Family; 23] = [
    &BUILD_INFO,
    &NOTIFICATIONS,
    &IGNORED,
    &LENIENT,
    &OUT_OF_ORDER,
    &REJECTED,
    &REQUEST_DURATION,
    &LAST_NOTIFICATION,
    &LAST_TEST,
    &SECRET_LAST_USED,
    &APPENDS,
    &APPEND_FAILURES,
    &COMMIT_DURATION,
    &BATCH_SIZE,
    &JOURNAL_SIZE,
    &JOURNAL_EVENTS,
    &RESTORED_INPUTS,
    &INPUTS,
    &INPUTS_LIMIT,
    &INPUTS_EXPIRED,
    &RELOAD_SUCCESSFUL,
    &RELOAD_TIMESTAMP,
    &CERTIFICATE_EXPIRY,
];

const NO_PROC: &str = "the system has no `/proc`";

/// Processor time.
pub const CPU_SECONDS: Family = Family {
    name: "process_cpu_seconds_total",
    kind: Kind::Counter,
    help: "Total user and system CPU time spent in seconds.",
    labels: &[],
    zero: "less than a clock tick",
    absent: NO_PROC,
    series: "1",
    query: "rate(process_cpu_seconds_total{job=\"stream-live-exporter\"}[5m])",
};
/// Open descriptors.
pub const OPEN_FDS: Family = gauge(
    "process_open_fds",
    "Number of open file descriptors.",
    "does not occur",
    NO_PROC,
    "process_open_fds{job=\"stream-live-exporter\"} / process_max_fds",
);
/// Allowed descriptors.
pub const MAX_FDS: Family = gauge(
    "process_max_fds",
    "Maximum number of open file descriptors.",
    "does not occur",
    NO_PROC,
    "process_max_fds{job=\"stream-live-exporter\"}",
);
/// Address space.
pub const VIRTUAL_MEMORY: Family = gauge(
    "process_virtual_memory_bytes",
    "Virtual memory size in bytes.",
    "does not occur",
    NO_PROC,
    "process_virtual_memory_bytes{job=\"stream-live-exporter\"}",
);
/// Memory in use.
pub const RESIDENT_MEMORY: Family = gauge(
    "process_resident_memory_bytes",
    "Resident memory size in bytes.",
    "does not occur",
    NO_PROC,
    "process_resident_memory_bytes{job=\"stream-live-exporter\"}",
);
/// When it started.
pub const START_TIME: Family = gauge(
    "process_start_time_seconds",
    "Start time of the process since the Unix epoch in seconds.",
    "does not occur",
    NO_PROC,
    "time() - process_start_time_seconds{job=\"stream-live-exporter\"}",
);
/// Threads.
pub const THREADS: Family = gauge(
    "process_threads",
    "Number of threads of the process.",
    "does not occur",
    NO_PROC,
    "process_threads{job=\"stream-live-exporter\"}",
);

/// The process's families.
pub const PROCESS: [&Family; 7] =
    [&CPU_SECONDS, &OPEN_FDS, &MAX_FDS, &VIRTUAL_MEMORY, &RESIDENT_MEMORY, &START_TIME, &THREADS];
