//! The metrics that are computed from the view but do not belong to one input.

use super::encode::FamilyWriter;
use super::family::LabelValues::Open;
use super::family::{COUNTER, Entry, Family, GAUGE, HISTOGRAM, Label};
use crate::live::{Downtime, Durations, View};

/// Writes the samples of a family.
type Write = fn(&Overall<'_>, &mut FamilyWriter<'_>);

/// What all families are read from.
pub(super) struct Overall<'a> {
    pub(super) view: &'a View,
    /// Computed once, because it takes a walk over all inputs.
    pub(super) durations: Durations,
}

/// Twelve buckets, `+Inf`, the sum and the count.
const DURATIONS: Family = Family { series: "15", ..HISTOGRAM };

pub(super) static FAMILIES: [Entry<Write>; 17] = [
    Family {
        name: "stream_live_exporter_build_info",
        help: "Version, revision and compiler of the exporter. The value is always 1.",
        labels: &[
            Label { name: "version", values: Open("the release") },
            Label { name: "revision", values: Open("the commit, `unknown` if built outside a checkout") },
            Label { name: "rustc", values: Open("the compiler") },
        ],
        query: "count by (version) (stream_live_exporter_build_info)",
        ..GAUGE
    }
    .with(|_, out| {
            out.labelled(&[env!("CARGO_PKG_VERSION"), env!("BUILD_REVISION"), env!("BUILD_RUSTC")], 1_u64);
        }),
    Family {
        name: "cloudflare_stream_live_input_session_duration_seconds",
        help: "Duration of finished sessions, from the first connect to the last disconnect, in seconds. Observed \
               once no notification within inputs.reorder_window can change it: 5 to 10 minutes late by default.",
        query: "histogram_quantile(0.5, rate(cloudflare_stream_live_input_session_duration_seconds_bucket[1d]))",
        ..DURATIONS
    }
    .with(|from, out| out.durations(&from.durations.session_duration)),
    Family {
        name: "cloudflare_stream_live_input_reconnect_delay_seconds",
        help: "Time from a disconnect to the next connect, within the reconnect window or not, up to one hour, in \
               seconds. Observed 5 to 10 minutes late by default, as session durations are.",
        query: "histogram_quantile(0.9, rate(cloudflare_stream_live_input_reconnect_delay_seconds_bucket[1d]))",
        ..DURATIONS
    }
    .with(|from, out| out.durations(&from.durations.reconnect_delay)),
    Family {
        name: "cloudflare_stream_live_notification_source_delay_seconds",
        help: "Time from an event to its notification by Cloudflare (ts - updated_at), in seconds. \
               Observed for each recorded event with a plausible ts.",
        query: "histogram_quantile(0.9, rate(cloudflare_stream_live_notification_source_delay_seconds_bucket[1h]))",
        ..DURATIONS
    }
    .with(|from, out| out.durations(&from.view.state.totals().source_delay)),
    Family {
        name: "cloudflare_stream_live_notification_delivery_delay_seconds",
        help: "Time from the notification by Cloudflare (ts, in whole seconds) to its receipt, in seconds. \
               Observed for each recorded event with a plausible ts.",
        query: "histogram_quantile(0.9, \
                rate(cloudflare_stream_live_notification_delivery_delay_seconds_bucket[1h]))",
        ..DURATIONS
    }
    .with(|from, out| out.durations(&from.view.state.totals().delivery_delay)),
    Family {
        name: "cloudflare_stream_live_notification_clock_skew_total",
        help: "Number of recorded events whose notification was received before it was sent: one of the clocks is wrong.",
        zero: "no clock error detected",
        query: "increase(cloudflare_stream_live_notification_clock_skew_total[1h]) > 0",
        ..COUNTER
    }
    .with(|from, out| out.value(from.view.state.totals().clock_skew)),
    Family {
        name: "stream_live_exporter_events_out_of_order_total",
        help: "Number of recorded events that are older than the reorder window of their input \
               (inputs.reorder_window). They are counted and do not change anything else.",
        query: "increase(stream_live_exporter_events_out_of_order_total[1d])",
        ..COUNTER
    }
    .with(|from, out| out.value(from.view.state.totals().out_of_order)),
    Family {
        name: "stream_live_exporter_last_notification_timestamp_seconds",
        help: "Time of the last authenticated, well-formed delivery of any kind, also if it was ignored, in seconds \
               since the Unix epoch.",
        absent: "no delivery yet",
        query: "time() - stream_live_exporter_last_notification_timestamp_seconds",
        ..GAUGE
    }
    .with(|from, out| out.known(from.view.gauge_state().last_seen().last)),
    Family {
        name: "stream_live_exporter_last_test_timestamp_seconds",
        help: "Time of the last Save and Test notification, in seconds since the Unix epoch.",
        absent: "no test yet",
        query: "time() - stream_live_exporter_last_test_timestamp_seconds",
        ..GAUGE
    }
    .with(|from, out| out.known(from.view.gauge_state().last_seen().last_test)),
    Family {
        name: "stream_live_exporter_secret_last_used_timestamp_seconds",
        help: "Time of the last delivery with that secret, in seconds since the Unix epoch.",
        labels: &[Label { name: "secret", values: Open("the configured name of the secret") }],
        absent: "no delivery with that secret yet",
        series: "1 per secret",
        query: "time() - stream_live_exporter_secret_last_used_timestamp_seconds > 86400",
        ..GAUGE
    }
    .with(|from, out| {
            for (secret, time) in &from.view.gauge_state().last_seen().by_secret {
                out.labelled(&[secret], *time);
            }
        }),
    Family {
        name: "stream_live_exporter_journal_size_bytes",
        help: "Size of the journal on disk, in bytes.",
        zero: "the size of the journal cannot be determined",
        query: "deriv(stream_live_exporter_journal_size_bytes[1d])",
        ..GAUGE
    }
    .with(|from, out| out.value(from.view.journal_size_bytes)),
    Family {
        name: "stream_live_exporter_journal_events",
        help: "Number of events in the journal.",
        zero: "none yet",
        query: "stream_live_exporter_journal_events",
        ..GAUGE
    }
    .with(|from, out| out.value(from.view.journal_events)),
    Family {
        name: "stream_live_exporter_restored_inputs",
        help: "Number of live inputs that were restored from the journal at start.",
        zero: "the journal was empty",
        query: "stream_live_exporter_restored_inputs",
        ..GAUGE
    }
    .with(|from, out| out.value(from.view.restored_inputs as u64)),
    Family {
        name: "stream_live_exporter_last_downtime_seconds",
        help: "How long the exporter did not run before it started, in seconds: up to a minute more after a crash.",
        zero: "it was restarted at once",
        absent: "it has not run before",
        series: "at most 1",
        query: "stream_live_exporter_last_downtime_seconds > 300",
        ..GAUGE
    }
    .with(|from, out| {
            if let Some(Downtime { from, until, .. }) = from.view.downtime {
                out.value(until.since(from).unwrap_or_default().as_secs_f64());
            }
        }),
    Family {
        name: "stream_live_exporter_last_downtime_backfilled",
        help: "Whether Cloudflare's notification history was read for the time in which the exporter did not run (1) or not (0).",
        zero: "events of that time may be missing",
        absent: "it has not run before",
        series: "at most 1",
        query: "stream_live_exporter_last_downtime_backfilled == 0",
        ..GAUGE
    }
    .with(|from, out| {
            if let Some(Downtime { backfill_from, .. }) = from.view.downtime {
                out.value(backfill_from.is_none());
            }
        }),
    Family {
        name: "stream_live_exporter_inputs",
        help: "Number of known live inputs.",
        zero: "none yet",
        query: "stream_live_exporter_inputs / stream_live_exporter_inputs_limit",
        ..GAUGE
    }
    .with(|from, out| out.value(from.view.gauge_state().known_count() as u64)),
    Family {
        name: "stream_live_exporter_inputs_limit",
        help: "Maximum number of live inputs. Events of further inputs are ignored.",
        query: "stream_live_exporter_inputs / stream_live_exporter_inputs_limit > 0.9",
        ..GAUGE
    }
    .with(|from, out| out.value(from.view.state.rules().max_inputs as u64)),
];
