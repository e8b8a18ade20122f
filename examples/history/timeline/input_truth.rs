//! The expected values of metrics about one live input over a range.

use std::time::Duration;

use serde::Serialize;
use stream_live_exporter::event::Timestamp;
use stream_live_exporter::simulate::{Counts, InputTruth, Meaning};

use super::actions::{ActionKind, Delivery, SentEvent, Timeline};
use super::inputs::Input;
use super::script::configurations;

/// A connect within this time after the disconnect continues the session.
const RECONNECT_WINDOW: Duration = Duration::from_secs(60);

/// Longer gaps are not reconnect delays.
const LONGEST_RECONNECT: Duration = Duration::from_secs(3600);

/// The truth about one live input in a range.
#[derive(Debug, Default, Serialize)]
pub struct RangeTruth {
    pub name: &'static str,
    /// State and newest events at the end of the range; counts of events and errors in the range.
    #[serde(flatten)]
    pub metrics: InputTruth,
    /// Sessions that began.
    pub sessions: u64,
    /// Connects within the reconnect window.
    pub reconnects: u64,
    /// Events by kind that repeat the state, because a notification was lost.
    pub inconsistent: Counts,
    pub connected_seconds: f64,
    /// Time in which the input was expected and its state was known.
    pub expected_seconds: f64,
    /// The part of `expected_seconds` in which it was connected.
    pub on_air_seconds: f64,
    /// The same two, sampled at every full minute.
    pub every_minute: EveryMinute,
    /// Whether it is expected at the end of the range.
    pub expected: bool,
}

/// Counts of full minutes, evaluated at the last scrape before each.
#[derive(Debug, Default, Serialize)]
pub struct EveryMinute {
    /// The input was expected and its state was known.
    pub expected: u64,
    /// It was also connected.
    pub on_air: u64,
}

/// A value from a time on; `None` is unknown.
type Change = (Timestamp, Option<bool>);

/// All events of an input, as the first replica receives them. It receives every event.
pub struct InputEvents {
    events: Vec<ReceivedEvent>,
    /// Connection state by event time.
    by_event_time: Vec<Change>,
    /// Connection state by arrival.
    by_arrival: Vec<Change>,
    /// Whether the input is expected; `None` if it is not configured.
    expected: Vec<Change>,
}

/// An event that the first replica recorded.
pub struct ReceivedEvent {
    pub at: Timestamp,
    pub event: SentEvent,
    pub meaning: Meaning,
}

impl InputEvents {
    pub fn of(timeline: &Timeline, input: Input) -> Self {
        let mut model = InputTruth::default();
        let recorded = timeline.actions.iter().filter(|action| action.replica == 0).filter_map(|action| {
            let ActionKind::Deliver(Delivery { event, journal_fails: false, .. }) = &action.kind else { return None };
            event.filter(|event| event.fact.input_id == input.id()).map(|event| (action.at, event))
        });
        let events: Vec<_> =
            recorded.map(|(at, event)| ReceivedEvent { at, event, meaning: model.learn(&event.fact) }).collect();
        let changes = events.iter().filter_map(|received| match received.meaning {
            Meaning::SessionStart | Meaning::Reconnect => Some((received, Some(true))),
            Meaning::Disconnect => Some((received, Some(false))),
            Meaning::Repeat | Meaning::OutOfOrder | Meaning::Error => None,
        });
        let by_event_time = changes.clone().map(|(received, value)| (received.event.fact.updated_at, value)).collect();
        let by_arrival = changes.map(|(received, value)| (received.at, value)).collect();
        let configurations = configurations(timeline).into_iter();
        let expected = configurations.map(|(at, configuration)| (at, input.expected(configuration))).collect();
        Self { events, by_event_time, by_arrival, expected }
    }

    /// The events received after `from`, up to `to`.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &ReceivedEvent> {
        self.events.iter().filter(move |received| from < received.at && received.at <= to)
    }

    /// The number of sessions whose reconnect window ended in this range.
    pub fn finished_sessions(&self, from: Timestamp, to: Timestamp) -> usize {
        let changes = self.by_event_time.iter().enumerate();
        let finished = changes.filter(|(index, (disconnected_at, connected))| {
            let window_end = disconnected_at.plus(RECONNECT_WINDOW);
            let resumed =
                self.by_event_time.get(index + 1).is_some_and(|(connected_at, _)| *connected_at <= window_end);
            *connected == Some(false) && !resumed && from < window_end && window_end <= to
        });
        finished.count()
    }

    /// The number of connects that were received in this range and followed a disconnect within an hour.
    pub fn reconnect_delays(&self, from: Timestamp, to: Timestamp) -> usize {
        let gaps = self.by_event_time.windows(2).zip(&self.by_arrival[self.by_arrival.len().min(1)..]);
        let counted = gaps.filter(|(gap, (received_at, connected))| {
            let is_reconnect = *connected == Some(true) && gap[1].0 <= gap[0].0.plus(LONGEST_RECONNECT);
            is_reconnect && from < *received_at && *received_at <= to
        });
        counted.count()
    }

    fn truth_at(&self, time: Timestamp) -> InputTruth {
        let mut truth = InputTruth::default();
        self.between(Timestamp::EPOCH, time).for_each(|received| _ = truth.learn(&received.event.fact));
        truth
    }

    /// Whether the state at this time is known and counts, because the input is expected.
    fn counts(&self, at: Timestamp) -> bool {
        value(&self.expected, at) == Some(true) && value(&self.by_arrival, at).is_some()
    }

    fn is_on_air(&self, at: Timestamp) -> bool {
        self.counts(at) && value(&self.by_arrival, at) == Some(true)
    }

    fn every_minute(&self, from: Timestamp, to: Timestamp, step: Duration) -> EveryMinute {
        let mut found = EveryMinute::default();
        for minute in from.as_millis() / 60_000 + 1..=to.as_millis() / 60_000 {
            let (seconds, step) = (60 * minute, step.as_secs().cast_signed());
            let scraped = Timestamp::from_seconds(seconds - (seconds - to.as_millis() / 1000).rem_euclid(step));
            found.expected += u64::from(self.counts(scraped));
            found.on_air += u64::from(self.is_on_air(scraped));
        }
        found
    }

    /// The time in which a condition holds that depends only on the changes of this input.
    fn seconds_in(&self, from: Timestamp, to: Timestamp, holds: impl Fn(Timestamp) -> bool) -> f64 {
        let changes = self.by_event_time.iter().chain(&self.by_arrival).chain(&self.expected).map(|(at, _)| *at);
        let mut times: Vec<_> = changes.filter(|at| from < *at && *at < to).chain([from, to]).collect();
        times.sort();
        let spans = times.windows(2).filter(|span| holds(span[0]));
        spans.map(|span| span[1].since(span[0]).unwrap_or_default()).sum::<Duration>().as_secs_f64()
    }
}

impl RangeTruth {
    /// The truth about the input in this range; `None` if the input is unknown at its end.
    pub fn of(input: Input, events: &InputEvents, from: Timestamp, to: Timestamp, step: Duration) -> Option<Self> {
        let (before, mut at_end) = (events.truth_at(from), events.truth_at(to));
        subtract(&mut at_end.events, &before.events);
        subtract(&mut at_end.errors, &before.errors);
        let mut truth = Self {
            name: input.name(),
            metrics: at_end,
            connected_seconds: events.seconds_in(from, to, |at| value(&events.by_event_time, at) == Some(true)),
            expected_seconds: events.seconds_in(from, to, |at| events.counts(at)),
            on_air_seconds: events.seconds_in(from, to, |at| events.is_on_air(at)),
            every_minute: events.every_minute(from, to, step),
            expected: value(&events.expected, to) == Some(true),
            ..Self::default()
        };
        for received in events.between(from, to) {
            match received.meaning {
                Meaning::SessionStart => truth.sessions += 1,
                Meaning::Reconnect => truth.reconnects += 1,
                Meaning::Repeat => *truth.inconsistent.entry(received.event.fact.kind.name()).or_default() += 1,
                Meaning::Disconnect | Meaning::OutOfOrder | Meaning::Error => {}
            }
        }
        (value(&events.expected, to).is_some() || !truth.metrics.last_event_ms.is_empty()).then_some(truth)
    }
}

fn subtract(counts: &mut Counts, before: &Counts) {
    for (label, count) in counts {
        *count -= before[label];
    }
}

/// The value at a time, of changes sorted by time.
fn value(changes: &[Change], at: Timestamp) -> Option<bool> {
    changes.iter().rfind(|(changed, _)| *changed <= at).and_then(|(_, value)| *value)
}
