//! The metrics of each live input.

use std::borrow::Cow;
use std::time::Duration;

use super::encode::Value;
use super::family::LabelValues::{Closed, Open};
use super::family::{COUNTER, Entry, Family, GAUGE, Label};
use crate::event::{ErrorClass, EventKind, InputId, Timestamp};
use crate::live::{Counters, Evidence, Input, PendingChange, Quality, State, Statistics};

/// How the samples of an input are read.
#[derive(Debug, Clone, Copy)]
pub(super) enum Read {
    /// Reads one value for each value of the second label, or a single one if there is no second label.
    Values(fn(&InputView<'_>, &mut Values)),
    /// The same, unless the state can have no such values. A scrape then does not pay for them.
    ValuesIf(fn(&State) -> bool, fn(&InputView<'_>, &mut Values)),
    /// Reads the values of the second and the third label. The value of the sample is 1.
    LabelValues(for<'a> fn(&InputView<'a>) -> [Cow<'a, str>; 2]),
}

/// A live input at the time of a scrape.
pub(super) struct InputView<'a> {
    pub(super) input_id: InputId,
    pub(super) input: &'a Input,
    pub(super) pending: Option<PendingChange>,
    pub(super) state: &'a State,
    pub(super) as_of: Timestamp,
    pub(super) wall_clock: Timestamp,
}

impl InputView<'_> {
    fn counters(&self) -> Counters {
        self.input.counters(self.as_of, self.state.rules())
    }

    fn evidence(&self) -> Option<Evidence> {
        self.input.evidence_with(self.pending)
    }
}

/// The values of the series of an input, in order. A series without a value has no sample.
#[derive(Debug)]
pub(super) struct Values(pub(super) Vec<Option<Value>>);

impl Values {
    fn put(&mut self, value: impl Into<Value>) {
        self.0.push(Some(value.into()));
    }

    fn put_all(&mut self, values: impl IntoIterator<Item = impl Into<Value>>) {
        self.0.extend(values.into_iter().map(|value| Some(value.into())));
    }

    fn put_known(&mut self, values: impl IntoIterator<Item = Option<impl Into<Value>>>) {
        self.0.extend(values.into_iter().map(|value| value.map(Into::into)));
    }
}

const INPUT_ID: Label =
    Label { name: "input_id", values: Open("the id of the live input, 32 lower-case hexadecimal digits") };
const EVENT: Label = Label { name: "event", values: Closed(&EventKind::NAMES) };
const STATE_EVENT: Label = Label { name: "event", values: Closed(&EventKind::STATE_NAMES) };
const CODE: Label = Label { name: "code", values: Closed(&ErrorClass::LABELS) };
const NAME: Label = Label {
    name: "name",
    values: Open("the configured name, otherwise the name at Cloudflare, empty if neither is known"),
};
const ACCOUNT: Label = Label {
    name: "account",
    values: Open("the configured name of the Cloudflare account, otherwise its id, empty if neither is known"),
};
const STAT: Label = Label { name: "stat", values: Closed(&["avg", "max"]) };

const UNKNOWN_INPUT: &str = "the input is not known";

const INPUT_GAUGE: Family = Family { labels: &[INPUT_ID], absent: UNKNOWN_INPUT, ..GAUGE };
const INPUT_COUNTER: Family = Family { labels: &[INPUT_ID], absent: UNKNOWN_INPUT, ..COUNTER };

const QUALITY: Family = Family {
    labels: &[INPUT_ID, STAT],
    absent: "not known: `cloudflare.quality` is off, or the input has not sent media recently",
    series: "0 or 2",
    ..GAUGE
};

pub(super) static FAMILIES: [Entry<Read>; 17] = [
    Family {
        name: "cloudflare_stream_live_input_connected",
        help: "Whether the live input is connected (1) or disconnected (0), according to its newest connected or disconnected event or a newer correction by an operator.",
        zero: "disconnected",
        absent: "unknown: the input is known, but it has neither connected nor disconnected yet; errors do not count",
        query: "cloudflare_stream_live_input_connected == 0",
        ..INPUT_GAUGE
    }
    .with(Read::Values(|view, values| values.put_known([view.evidence().map(|evidence| evidence.connected)]))),
    Family {
        name: "cloudflare_stream_live_input_state_timestamp_seconds",
        help: "Event time of the event, or time of the correction by an operator, that determines the connected state, in seconds since the Unix epoch.",
        absent: "unknown, like `cloudflare_stream_live_input_connected`",
        query: "time() - cloudflare_stream_live_input_state_timestamp_seconds",
        ..INPUT_GAUGE
    }
    .with(Read::Values(|view, values| values.put_known([view.evidence().map(|evidence| evidence.updated_at)]))),
    Family {
        name: "cloudflare_stream_live_input_expected",
        help: "Whether the live input should be live now (1) or not (0), according to the configuration, or to an exception while one is in force.",
        zero: "not expected to be live",
        query: "cloudflare_stream_live_input_expected == 1 unless cloudflare_stream_live_input_connected == 1",
        ..INPUT_GAUGE
    }
    .with(Read::Values(|view, values| values.put(view.state.expected(&view.input_id, view.wall_clock)))),
    Family {
        name: "cloudflare_stream_live_input_expected_change_timestamp_seconds",
        help: "When cloudflare_stream_live_input_expected changes next, by the configuration and an exception to it, in seconds since the Unix epoch.",
        absent: "it never changes again",
        query: "cloudflare_stream_live_input_expected_change_timestamp_seconds - time()",
        ..INPUT_GAUGE
    }
    .with(Read::ValuesIf(State::has_plans, |view, values| {
        let change = view.state.plan(&view.input_id).next_change(view.wall_clock);
        values.put_known([change.map(|change| change.at)]);
    })),
    Family {
        name: "cloudflare_stream_live_input_events_total",
        help: "Number of distinct events of the live input, by kind.",
        labels: &[INPUT_ID, EVENT],
        zero: "no such event yet",
        series: "3",
        query: "increase(cloudflare_stream_live_input_events_total{event=\"disconnected\"}[1h])",
        ..INPUT_COUNTER
    }
    .with(Read::Values(|view, values| values.put_all(view.input.events()))),
    Family {
        name: "cloudflare_stream_live_input_errors_total",
        help: "Number of distinct errored events of the live input, by error code. A missing or unknown code counts as other.",
        labels: &[INPUT_ID, CODE],
        zero: "no such error yet",
        series: "7",
        query: "sum by (code) (increase(cloudflare_stream_live_input_errors_total[1d]))",
        ..INPUT_COUNTER
    }
    .with(Read::Values(|view, values| values.put_all(view.input.errors.counts()))),
    Family {
        name: "cloudflare_stream_live_input_last_event_timestamp_seconds",
        help: "Event time of the newest event of the live input, by kind, in seconds since the Unix epoch.",
        labels: &[INPUT_ID, EVENT],
        absent: "no such event yet",
        series: "0 to 3",
        query: "time() - max by (input_id) (cloudflare_stream_live_input_last_event_timestamp_seconds)",
        ..INPUT_GAUGE
    }
    .with(Read::Values(|view, values| values.put_known(view.input.last_event()))),
    Family {
        name: "cloudflare_stream_live_input_last_error_timestamp_seconds",
        help: "Event time of the newest errored event of the live input, by error code, in seconds since the Unix epoch.",
        labels: &[INPUT_ID, CODE],
        absent: "no such error yet",
        series: "0 to 7",
        query: "time() - cloudflare_stream_live_input_last_error_timestamp_seconds < 300",
        ..INPUT_GAUGE
    }
    .with(Read::Values(|view, values| values.put_known(view.input.errors.last()))),
    Family {
        name: "cloudflare_stream_live_input_sessions_total",
        help: "Number of sessions started: connects that do not follow a disconnect within the reconnect window.",
        query: "increase(cloudflare_stream_live_input_sessions_total[1d])",
        ..INPUT_COUNTER
    }
    .with(Read::Values(|view, values| values.put(view.counters().sessions))),
    Family {
        name: "cloudflare_stream_live_input_reconnects_total",
        help: "Number of connects within the reconnect window after a disconnect, including those between two scrapes.",
        query: "increase(cloudflare_stream_live_input_reconnects_total[10m]) > 3",
        ..INPUT_COUNTER
    }
    .with(Read::Values(|view, values| values.put(view.counters().reconnects))),
    Family {
        name: "cloudflare_stream_live_input_connected_seconds_total",
        help: "Time the live input has been connected, including the current connection, in seconds.",
        zero: "never connected",
        query: "rate(cloudflare_stream_live_input_connected_seconds_total[1h])",
        ..INPUT_COUNTER
    }
    .with(Read::Values(|view, values| values.put(millis(view.counters().connected_time)))),
    Family {
        name: "cloudflare_stream_live_input_inconsistent_events_total",
        help: "Number of events that repeat the state of the live input by event time, by kind. Before each, at least \
               one notification was lost or is later than inputs.reorder_window; how many and which is not known. \
               Counted once that window has passed: 5 to 10 minutes late by default. Corrections do not count.",
        labels: &[INPUT_ID, STATE_EVENT],
        zero: "no loss detected",
        series: "2",
        query: "sum(increase(cloudflare_stream_live_input_inconsistent_events_total[1d]))",
        ..INPUT_COUNTER
    }
    .with(Read::Values(|view, values| values.put_all(view.counters().inconsistent))),
    Family {
        name: "cloudflare_stream_live_input_info",
        help: "A known live input with its name and its account. The value is always 1.",
        labels: &[INPUT_ID, NAME, ACCOUNT],
        query: "cloudflare_stream_live_input_connected * on (instance, input_id) group_left (name) \
                cloudflare_stream_live_input_info",
        ..INPUT_GAUGE
    }
    .with(Read::LabelValues(|view| {
        [view.state.name(&view.input_id).into(), view.state.account(&view.input_id, view.input)]
    })),
    Family {
        name: "cloudflare_stream_live_input_enabled",
        help: "Whether the live input may be streamed to (1) or is disabled (0), according to Cloudflare's API.",
        zero: "disabled: an encoder cannot connect",
        absent: "not known: the API is not used or has not said it",
        query: "cloudflare_stream_live_input_enabled == 0",
        ..INPUT_GAUGE
    }
    .with(Read::ValuesIf(State::has_api_facts, |view, values| {
        let listed = view.state.listed(&view.input_id);
        values.put_known([listed.and_then(|(_, listed)| listed.enabled)]);
    })),
    Family {
        name: "cloudflare_stream_live_input_gop_duration_seconds",
        help: "Keyframe interval of the live input in the newest complete minute, in seconds. Sampled by Cloudflare, and \
               minutes old.",
        query: "cloudflare_stream_live_input_gop_duration_seconds{stat=\"max\"} > 8",
        ..QUALITY
    }
    .with(Read::ValuesIf(State::has_api_facts, |view, values| put_quality(view, values, |quality| quality.gop_duration))),
    Family {
        name: "cloudflare_stream_live_input_upload_duration_ratio",
        help: "Duration of uploads from the encoder divided by the duration of the media in them, in the newest complete \
               minute. Above 1, the encoder is slower than real time and viewers buffer. Sampled by Cloudflare, and \
               minutes old.",
        query: "cloudflare_stream_live_input_upload_duration_ratio{stat=\"avg\"} > 1",
        ..QUALITY
    }
    .with(Read::ValuesIf(State::has_api_facts, |view, values| put_quality(view, values, |quality| quality.upload_duration_ratio))),
    Family {
        name: "cloudflare_stream_live_input_bitrate_bits_per_second",
        help: "Bit rate of the live input in the newest complete minute, in bits per second. Sampled by Cloudflare, and \
               minutes old.",
        query: "cloudflare_stream_live_input_bitrate_bits_per_second{stat=\"avg\"}",
        ..QUALITY
    }
    .with(Read::ValuesIf(State::has_api_facts, |view, values| put_quality(view, values, |quality| quality.bitrate))),
];

fn put_quality(view: &InputView<'_>, values: &mut Values, of: fn(&Quality) -> Statistics) {
    let Statistics { avg, max } = view.state.quality(&view.input_id).map(of).unwrap_or_default();
    values.put_known([avg, max]);
}

fn millis(duration: Duration) -> Value {
    Value::Millis(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}
