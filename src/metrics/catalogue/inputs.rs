//! What is true of the live inputs, and of the notifications about them.

use super::{ALWAYS, Family, Kind, Label};

const INPUT_ID: Label = Label { name: "input_id", values: "the live input's id, 32 lower-case hexadecimal digits" };
const EVENT: Label = Label { name: "event", values: "`connected`, `disconnected`, `errored`" };
const STATE_EVENT: Label = Label { name: "event", values: "`connected`, `disconnected`" };
const CODE: Label = Label {
    name: "code",
    values: "`ERR_GOP_OUT_OF_RANGE`, `ERR_UNSUPPORTED_VIDEO_CODEC`, `ERR_UNSUPPORTED_AUDIO_CODEC`, \
             `ERR_STORAGE_QUOTA_EXHAUSTED`, `ERR_MISSING_SUBSCRIPTION`, `ERR_UNHEALTHY`, `other`",
};
const NAME: Label = Label { name: "name", values: "the configured name, empty when there is none" };

const UNKNOWN_INPUT: &str = "the input is not known";

/// Whether an input is connected.
pub const CONNECTED: Family = Family {
    name: "cloudflare_stream_live_input_connected",
    kind: Kind::Gauge,
    help: "Whether the newest evidence says that the live input is connected (1) or disconnected (0).",
    labels: &[INPUT_ID],
    zero: "disconnected",
    absent: "unknown: the input is known but there is no evidence yet; errors are no evidence",
    series: "1",
    query: "cloudflare_stream_live_input_connected == 0",
};

/// When the evidence happened.
pub const STATE_TIMESTAMP: Family = Family {
    name: "cloudflare_stream_live_input_state_timestamp_seconds",
    kind: Kind::Gauge,
    help: "Event time of the newest evidence behind the connected state, in seconds since the Unix epoch.",
    labels: &[INPUT_ID],
    zero: "does not occur",
    absent: "unknown, like `cloudflare_stream_live_input_connected`",
    series: "1",
    query: "time() - cloudflare_stream_live_input_state_timestamp_seconds",
};

/// Whether an input should be connected.
pub const EXPECTED: Family = Family {
    name: "cloudflare_stream_live_input_expected",
    kind: Kind::Gauge,
    help: "Whether the configuration says that the live input should be live now (1) or not (0).",
    labels: &[INPUT_ID],
    zero: "nobody misses it",
    absent: UNKNOWN_INPUT,
    series: "1",
    query: "cloudflare_stream_live_input_expected == 1 unless cloudflare_stream_live_input_connected == 1",
};

/// Events by kind.
pub const EVENTS: Family = Family {
    name: "cloudflare_stream_live_input_events_total",
    kind: Kind::Counter,
    help: "Distinct events of the live input.",
    labels: &[INPUT_ID, EVENT],
    zero: "no such event yet",
    absent: UNKNOWN_INPUT,
    series: "3",
    query: "increase(cloudflare_stream_live_input_events_total{event=\"disconnected\"}[1h])",
};

/// Errors by code.
pub const ERRORS: Family = Family {
    name: "cloudflare_stream_live_input_errors_total",
    kind: Kind::Counter,
    help: "Distinct errored events of the live input by error code; a code that is missing or unknown is other.",
    labels: &[INPUT_ID, CODE],
    zero: "no such error yet",
    absent: UNKNOWN_INPUT,
    series: "7",
    query: "sum by (code) (increase(cloudflare_stream_live_input_errors_total[1d]))",
};

/// The newest event by kind.
pub const LAST_EVENT: Family = Family {
    name: "cloudflare_stream_live_input_last_event_timestamp_seconds",
    kind: Kind::Gauge,
    help: "Event time of the live input's newest event of that kind, in seconds since the Unix epoch.",
    labels: &[INPUT_ID, EVENT],
    zero: "does not occur",
    absent: "never",
    series: "0 to 3",
    query: "time() - max by (input_id) (cloudflare_stream_live_input_last_event_timestamp_seconds)",
};

/// The newest error by code.
pub const LAST_ERROR: Family = Family {
    name: "cloudflare_stream_live_input_last_error_timestamp_seconds",
    kind: Kind::Gauge,
    help: "Event time of the live input's newest error with that code, in seconds since the Unix epoch.",
    labels: &[INPUT_ID, CODE],
    zero: "does not occur",
    absent: "never",
    series: "0 to 7",
    query: "time() - cloudflare_stream_live_input_last_error_timestamp_seconds < 300",
};

/// Broadcasts started.
pub const SESSIONS: Family = Family {
    name: "cloudflare_stream_live_input_sessions_total",
    kind: Kind::Counter,
    help: "Broadcasts started: connects that do not follow a disconnect within the reconnect window.",
    labels: &[INPUT_ID],
    zero: "none yet",
    absent: UNKNOWN_INPUT,
    series: "1",
    query: "increase(cloudflare_stream_live_input_sessions_total[1d])",
};

/// Flaps.
pub const RECONNECTS: Family = Family {
    name: "cloudflare_stream_live_input_reconnects_total",
    kind: Kind::Counter,
    help: "Connects within the reconnect window after a disconnect, also those between two scrapes.",
    labels: &[INPUT_ID],
    zero: "none yet",
    absent: UNKNOWN_INPUT,
    series: "1",
    query: "increase(cloudflare_stream_live_input_reconnects_total[10m]) > 3",
};

/// Time on air.
pub const CONNECTED_SECONDS: Family = Family {
    name: "cloudflare_stream_live_input_connected_seconds_total",
    kind: Kind::Counter,
    help: "Time that the live input is known to have been connected, the running connection included.",
    labels: &[INPUT_ID],
    zero: "never connected",
    absent: UNKNOWN_INPUT,
    series: "1",
    query: "rate(cloudflare_stream_live_input_connected_seconds_total[1h])",
};

/// Lost notifications.
pub const INCONSISTENT_EVENTS: Family = Family {
    name: "cloudflare_stream_live_input_inconsistent_events_total",
    kind: Kind::Counter,
    help: "Events that repeat the state already held at a later time: the notification in between was lost.",
    labels: &[INPUT_ID, STATE_EVENT],
    zero: "no loss was noticed",
    absent: UNKNOWN_INPUT,
    series: "2",
    query: "sum(increase(cloudflare_stream_live_input_inconsistent_events_total[1d]))",
};

/// The inventory.
pub const INFO: Family = Family {
    name: "cloudflare_stream_live_input_info",
    kind: Kind::Gauge,
    help: "A known live input and its configured name; the value is always 1.",
    labels: &[INPUT_ID, NAME],
    zero: "does not occur",
    absent: UNKNOWN_INPUT,
    series: "1",
    query: "cloudflare_stream_live_input_connected * on (instance, input_id) group_left (name) cloudflare_stream_live_input_info",
};

/// How long broadcasts last.
pub const SESSION_DURATION: Family = Family {
    name: "cloudflare_stream_live_input_session_duration_seconds",
    kind: Kind::Histogram,
    help: "Duration of finished broadcasts, from the first connect to the disconnect that no reconnect followed.",
    labels: &[],
    zero: "",
    absent: ALWAYS,
    series: "15",
    query: "histogram_quantile(0.5, rate(cloudflare_stream_live_input_session_duration_seconds_bucket[1d]))",
};

/// How long encoders stay away.
pub const RECONNECT_DELAY: Family = Family {
    name: "cloudflare_stream_live_input_reconnect_delay_seconds",
    kind: Kind::Histogram,
    help: "Time from a disconnect to the next connect, within the reconnect window or not, up to an hour.",
    labels: &[],
    zero: "",
    absent: ALWAYS,
    series: "15",
    query: "histogram_quantile(0.9, rate(cloudflare_stream_live_input_reconnect_delay_seconds_bucket[1d]))",
};

/// The time inside Cloudflare.
pub const SOURCE_DELAY: Family = Family {
    name: "cloudflare_stream_live_notification_source_delay_seconds",
    kind: Kind::Histogram,
    help: "Time from an event to Cloudflare's notification of it (ts - updated_at), over recorded events.",
    labels: &[],
    zero: "",
    absent: ALWAYS,
    series: "15",
    query: "histogram_quantile(0.9, rate(cloudflare_stream_live_notification_source_delay_seconds_bucket[1h]))",
};

/// The time on the way.
pub const DELIVERY_DELAY: Family = Family {
    name: "cloudflare_stream_live_notification_delivery_delay_seconds",
    kind: Kind::Histogram,
    help: "Time from Cloudflare's notification (ts, whole seconds) to its receipt, over recorded events.",
    labels: &[],
    zero: "",
    absent: ALWAYS,
    series: "15",
    query: "histogram_quantile(0.9, rate(cloudflare_stream_live_notification_delivery_delay_seconds_bucket[1h]))",
};

/// Clocks that disagree.
pub const CLOCK_SKEW: Family = Family {
    name: "cloudflare_stream_live_notification_clock_skew_total",
    kind: Kind::Counter,
    help: "Recorded events whose notification was received before it was sent: one of the clocks is wrong.",
    labels: &[],
    zero: "the clocks agree as far as can be seen",
    absent: ALWAYS,
    series: "1",
    query: "increase(cloudflare_stream_live_notification_clock_skew_total[1h]) > 0",
};

/// The families with a series per input.
pub const PER_INPUT: [&Family; 12] = [
    &CONNECTED,
    &STATE_TIMESTAMP,
    &EXPECTED,
    &EVENTS,
    &ERRORS,
    &LAST_EVENT,
    &LAST_ERROR,
    &SESSIONS,
    &RECONNECTS,
    &CONNECTED_SECONDS,
    &INCONSISTENT_EVENTS,
    &INFO,
];

/// The families over all inputs.
pub const OVERALL: [&Family; 5] = [&SESSION_DURATION, &RECONNECT_DELAY, &SOURCE_DELAY, &DELIVERY_DELAY, &CLOCK_SKEW];
