//! What is true of one live input.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use stream_live_exporter::event::Timestamp;

use super::actions::{ActionKind, Fact, Meaning, Timeline};
use super::inputs::Input;
use super::script::configurations;
use super::truth::{Counts, seconds};

/// A connect within this time after a disconnect continues the session.
const RECONNECT_WINDOW: Duration = Duration::from_secs(60);

/// A connect that comes later than this begins another broadcast, and had nothing to do with the disconnect.
const LONGEST_RETURN: Duration = Duration::from_secs(3600);

/// What is true of one live input in a range.
#[derive(Debug, Default, Serialize)]
pub struct InputTruth {
    /// Its configured name.
    pub name: &'static str,
    /// Events by kind.
    pub events: Counts,
    /// Errors by the code that they are counted as.
    pub errors: Counts,
    /// Broadcasts begun.
    pub sessions: u64,
    /// Returns within the reconnect window.
    pub reconnects: u64,
    /// Repeated events by kind: lost notifications.
    pub inconsistent: Counts,
    /// Time connected.
    pub connected_seconds: f64,
    /// Time in which it was expected and its state was known.
    pub expected_seconds: f64,
    /// So much of that it was known to be connected.
    pub on_air_seconds: f64,
    /// The same time, as one finds it who looks at every full minute.
    pub every_minute: EveryMinute,
    /// Event time of the newest event ever, by kind, in seconds since the epoch.
    pub last_event: BTreeMap<&'static str, f64>,
    /// Event time of the newest error ever, by code.
    pub last_error: BTreeMap<&'static str, f64>,
    /// At the end of the range.
    pub at_end: AtEnd,
}

/// An input at one moment.
#[derive(Debug, Default, Serialize)]
pub struct AtEnd {
    /// `None` is unknown.
    pub connected: Option<bool>,
    /// Whether it should be live.
    pub expected: bool,
    /// Event time of what it is known by, in seconds since the epoch.
    pub since: Option<f64>,
}

/// What one finds who looks at every full minute, and sees what was scraped last.
#[derive(Debug, Default, Serialize)]
pub struct EveryMinute {
    /// How often it was expected and its state known.
    pub expected: u64,
    /// How often it was on air then.
    pub on_air: u64,
}

/// A change of something that is true or not, or not known.
type Change = (Timestamp, Option<bool>);

/// Everything that ever happened to an input.
pub struct InputEvents {
    /// With the time at which the first replica heard of it.
    facts: Vec<(Timestamp, Fact)>,
    /// Whether it is connected, by the times of events.
    by_event_time: Vec<Change>,
    /// The same by their arrival.
    by_arrival: Vec<Change>,
    /// Whether it should be live; `None` when it is not configured.
    expected: Vec<Change>,
}

impl InputEvents {
    /// Every event that counts, with the time at which the first replica heard of it.
    pub fn facts(timeline: &Timeline) -> impl Iterator<Item = (Timestamp, Fact)> {
        let heard = timeline.actions.iter().filter(|action| action.replica == 0);
        heard.filter_map(|action| match &action.what {
            ActionKind::Deliver(delivery) if !delivery.journal_fails => Some((action.at, delivery.fact?)),
            ActionKind::Deliver(_)
            | ActionKind::Reject(_)
            | ActionKind::Reload(_)
            | ActionKind::FailReload
            | ActionKind::Stop
            | ActionKind::Start(_) => None,
        })
    }

    /// The past of this input.
    pub fn of(timeline: &Timeline, input: Input) -> Self {
        let facts: Vec<_> = Self::facts(timeline).filter(|(_, fact)| fact.input == input).collect();
        let connected = |time: fn(&(Timestamp, Fact)) -> Timestamp| -> Vec<Change> {
            let changes = facts.iter().filter_map(|fact| Some((time(fact), Some(fact.1.meaning.connected()?))));
            changes.collect()
        };
        let (by_event_time, by_arrival) = (connected(|(_, fact)| fact.updated_at), connected(|(at, _)| *at));
        let configurations = configurations(timeline).into_iter();
        let expected = configurations.map(|(at, configuration)| (at, input.expected(configuration))).collect();
        Self { facts, by_event_time, by_arrival, expected }
    }

    /// Whether it is known at this time that it is connected, or that it is not.
    pub fn is_known_to_be(&self, connected: bool, at: Timestamp) -> bool {
        value(&self.by_arrival, at) == Some(connected)
    }

    /// Whether this time counts for compliance: it should be live, and its state is known.
    pub fn counts(&self, at: Timestamp) -> bool {
        value(&self.expected, at) == Some(true) && value(&self.by_arrival, at).is_some()
    }

    /// How many sessions turned out to be finished in this range.
    pub fn finished(&self, from: Timestamp, to: Timestamp) -> u64 {
        let ends = self.by_event_time.iter().enumerate().filter(|(_, (_, connected))| *connected == Some(false));
        let finished = ends.filter(|(index, (ended, _))| {
            let known = ended.plus(RECONNECT_WINDOW);
            let resumed = self.by_event_time.get(index + 1).is_some_and(|(resumed, _)| *resumed <= known);
            !resumed && from < known && known <= to
        });
        finished.count() as u64
    }

    /// How often it was heard in this range that it connected within an hour of its disconnect.
    pub fn returns(&self, from: Timestamp, to: Timestamp) -> u64 {
        let changes = self.by_event_time.iter().zip(&self.by_arrival).collect::<Vec<_>>();
        let returns = changes.windows(2).filter(|pair| {
            let [((ended, was), _), ((began, is), (heard, _))] = pair else { return false };
            let returned = *was == Some(false) && *is == Some(true) && *began <= ended.plus(LONGEST_RETURN);
            returned && from < *heard && *heard <= to
        });
        returns.count() as u64
    }

    fn every_minute(&self, from: Timestamp, to: Timestamp, step: Duration) -> EveryMinute {
        let mut found = EveryMinute::default();
        for minute in from.as_millis() / 60_000 + 1..=to.as_millis() / 60_000 {
            let (seconds, step) = (60 * minute, step.as_secs().cast_signed());
            let scraped = Timestamp::from_seconds(seconds - (seconds - to.as_millis() / 1000).rem_euclid(step));
            found.expected += u64::from(self.counts(scraped));
            found.on_air += u64::from(self.counts(scraped) && self.is_known_to_be(true, scraped));
        }
        found
    }

    /// How long something held, which changes only with what is known here.
    fn seconds_in(&self, from: Timestamp, to: Timestamp, holds: impl Fn(Timestamp) -> bool) -> f64 {
        let changes = self.by_event_time.iter().chain(&self.by_arrival).chain(&self.expected).map(|(at, _)| *at);
        let mut times: Vec<_> = changes.filter(|at| from < *at && *at < to).chain([from, to]).collect();
        times.sort();
        let held = times.windows(2).filter(|span| holds(span[0]));
        held.map(|span| span[1].since(span[0]).unwrap_or_default()).sum::<Duration>().as_secs_f64()
    }
}

impl InputTruth {
    /// What is true of it between two moments; `None` when nobody knows it by then.
    pub fn of(timeline: &Timeline, input: Input, from: Timestamp, to: Timestamp, step: Duration) -> Option<Self> {
        let past = InputEvents::of(timeline, input);
        let mut truth = Self { name: input.name(), ..Self::default() };
        for (at, fact) in past.facts.iter().filter(|(at, _)| *at <= to) {
            truth.update(*fact);
            if from < *at {
                truth.count(fact.meaning);
            }
        }
        truth.connected_seconds = past.seconds_in(from, to, |at| value(&past.by_event_time, at) == Some(true));
        truth.expected_seconds = past.seconds_in(from, to, |at| past.counts(at));
        truth.on_air_seconds = past.seconds_in(from, to, |at| past.counts(at) && past.is_known_to_be(true, at));
        truth.every_minute = past.every_minute(from, to, step);
        truth.at_end.connected = value(&past.by_arrival, to);
        truth.at_end.expected = value(&past.expected, to) == Some(true);
        (value(&past.expected, to).is_some() || !truth.last_event.is_empty()).then_some(truth)
    }

    fn update(&mut self, fact: Fact) {
        let newest = |held: &mut f64| *held = held.max(seconds(fact.updated_at));
        newest(self.last_event.entry(fact.meaning.event()).or_default());
        match fact.meaning {
            Meaning::Errs(code) => newest(self.last_error.entry(counted_as(code)).or_default()),
            Meaning::IsLate => {}
            Meaning::Begins
            | Meaning::Resumes
            | Meaning::Ends
            | Meaning::RepeatsConnected
            | Meaning::RepeatsDisconnected => self.at_end.since = Some(seconds(fact.updated_at)),
        }
    }

    fn count(&mut self, meaning: Meaning) {
        *self.events.entry(meaning.event()).or_default() += 1;
        match meaning {
            Meaning::Begins => self.sessions += 1,
            Meaning::Resumes => self.reconnects += 1,
            Meaning::Errs(code) => *self.errors.entry(counted_as(code)).or_default() += 1,
            Meaning::RepeatsConnected | Meaning::RepeatsDisconnected => {
                *self.inconsistent.entry(meaning.event()).or_default() += 1;
            }
            Meaning::Ends | Meaning::IsLate => {}
        }
    }
}

/// The documented codes of the timeline count as themselves.
fn counted_as(code: &'static str) -> &'static str {
    match code {
        "ERR_GOP_OUT_OF_RANGE"
        | "ERR_UNHEALTHY"
        | "ERR_STORAGE_QUOTA_EXHAUSTED"
        | "ERR_UNSUPPORTED_VIDEO_CODEC"
        | "ERR_UNSUPPORTED_AUDIO_CODEC" => code,
        _ => "other",
    }
}

/// What holds at a time, by changes in the order of time.
fn value(changes: &[Change], at: Timestamp) -> Option<bool> {
    changes.iter().rfind(|(changed, _)| *changed <= at).and_then(|(_, value)| *value)
}
