//! The expected values of metrics about one live input over a range.

use std::time::Duration;

use serde::Serialize;
use stream_live_exporter::event::Timestamp;
use stream_live_exporter::simulate::{Counts, Fact, InputTruth};

use super::actions::{ActionKind, Delivery, LENGTH, Outage, SentEvent, Timeline, time};
use super::changes::{Changes, Finding, FindingKind, Walk};
use super::inputs::Input;
use super::script::configurations;

/// The truth about one live input in a range.
#[derive(Debug, Default, Serialize)]
pub struct RangeTruth {
    pub name: &'static str,
    /// Name of its account; empty if that is not known.
    pub account: &'static str,
    /// State and newest events at the end of the range; counts of events and errors in the range.
    #[serde(flatten)]
    pub metrics: InputTruth,
    /// Sessions that began.
    pub sessions: u64,
    /// Every session that ran in the range.
    pub ran: Vec<Session>,
    /// Connects within the reconnect window.
    pub reconnects: u64,
    /// Disconnects of events while the input was expected.
    pub disconnects_while_expected: u64,
    /// Events by kind that repeat the state, counted once they are settled.
    pub inconsistent: Counts,
    pub connected_seconds: f64,
    /// Time in which a replica ran, the input was expected and its state was known.
    pub expected_seconds: f64,
    /// The part of `expected_seconds` in which it was connected.
    pub on_air_seconds: f64,
    /// The same two, sampled at every full minute.
    pub every_minute: EveryMinute,
    /// Whether it is expected at the end of the range.
    pub expected: bool,
    /// When that changes next, in seconds since the epoch; `None` if never.
    pub expected_change: Option<f64>,
}

/// A session that ran in the range.
#[derive(Debug, Serialize)]
pub struct Session {
    /// In seconds since the epoch. If it began before the range: its last connect before it.
    pub start: f64,
    pub end: Option<f64>,
    /// It ended, and the next one started, while no replica ran.
    pub ended_unseen: bool,
    /// No event states its end: each replica was corrected at its own time.
    pub end_corrected: bool,
    /// Errors of the range, from its start until the next session starts, without those of the notification history.
    pub errors: u64,
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

/// All events of an input, as the first replica receives them. It receives every event that is not lost, and learns of
/// the others from Cloudflare's API, from its notification history, or by an operator.
pub struct InputEvents {
    events: Vec<ReceivedEvent>,
    /// Events and what the API said, with the time of its arrival.
    facts: Vec<(Timestamp, Fact)>,
    /// What is counted, and from when on.
    settled: Vec<(Timestamp, Finding)>,
    /// Connection state by event time.
    by_event_time: Vec<Change>,
    /// Connection state by arrival.
    by_arrival: Vec<Change>,
    /// Whether the input is expected; `None` if it is not configured.
    expected: Vec<Change>,
    /// The beginning and end of each window in which it is expected.
    window_edges: Vec<Timestamp>,
    outages: Vec<Outage>,
}

/// An event that the first replica recorded.
pub struct ReceivedEvent {
    pub at: Timestamp,
    pub event: SentEvent,
    pub out_of_order: bool,
    /// It is from the notification history.
    pub backfilled: bool,
}

impl InputEvents {
    pub fn of(timeline: &Timeline, input: Input) -> Self {
        let received = timeline.actions.iter().filter(|action| action.replica == 0).filter_map(|action| {
            let (fact, event) = match &action.kind {
                ActionKind::Deliver(Delivery { event: Some(event), journal_fails: false, .. }) => {
                    (event.fact, Some((*event, false)))
                }
                ActionKind::Backfill(Delivery { event: Some(event), .. }) => (event.fact, Some((*event, true))),
                ActionKind::Observe(fact) | ActionKind::Correct(fact) => (*fact, None),
                ActionKind::Deliver(_)
                | ActionKind::Backfill(_)
                | ActionKind::CompleteBackfill
                | ActionKind::Reject(_)
                | ActionKind::RefuseConnection(_)
                | ActionKind::Reload(_)
                | ActionKind::FailReload
                | ActionKind::Stop
                | ActionKind::Start(_) => return None,
            };
            (fact.input_id == input.id()).then_some((action.at, fact, event))
        });
        let received: Vec<_> = received.collect();
        let (mut changes, mut events, mut settled, mut by_arrival) = (Changes::default(), vec![], vec![], vec![]);
        for (index, &(at, fact, event)) in received.iter().enumerate() {
            let out_of_order = !changes.add(&fact);
            events.extend(event.map(|(event, backfilled)| ReceivedEvent { at, event, out_of_order, backfilled }));
            let walk = changes.walk();
            by_arrival.push((at, walk.connected));
            let next = received.get(index + 1).map_or(timeline.end().plus(LENGTH), |(next, ..)| *next);
            for finding in walk.findings {
                let is_new = settled.iter().all(|(_, known)| *known != finding);
                let settled_at = changes.settled_at(&finding, at, next).filter(|_| is_new);
                settled.extend(settled_at.map(|at| (at, finding)));
            }
        }
        let by_event_time = changes.sorted().iter().map(|(at, connected)| (*at, Some(*connected))).collect();
        let configurations = configurations(timeline).into_iter();
        let expected = configurations.map(|(at, configuration)| (at, input.expected(configuration))).collect();
        let facts = received.iter().map(|(at, fact, _)| (*at, *fact)).collect();
        let window_edges = input.windows().iter().flatten().map(|offset| time(timeline.begin, offset)).collect();
        let outages = timeline.outages();
        Self { events, facts, settled, by_event_time, by_arrival, expected, window_edges, outages }
    }

    /// The events received after `from`, up to `to`.
    pub fn between(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = &ReceivedEvent> {
        self.events.iter().filter(move |received| from < received.at && received.at <= to)
    }

    /// What is counted from a time in this range on.
    pub fn settled(&self, from: Timestamp, to: Timestamp) -> impl Iterator<Item = FindingKind> {
        let settled = self.settled.iter().filter(move |(at, _)| from < *at && *at <= to);
        settled.map(|(_, finding)| finding.kind)
    }

    fn walk_at(&self, time: Timestamp) -> Walk {
        let mut changes = Changes::default();
        self.facts.iter().filter(|(at, _)| *at <= time).for_each(|(_, fact)| _ = changes.add(fact));
        changes.walk()
    }

    fn sessions(&self, from: Timestamp, to: Timestamp) -> Vec<Session> {
        let spans = self.walk_at(to).spans;
        let connects = self.by_event_time.iter().filter(|(at, connected)| *connected == Some(true) && *at <= from);
        let last_connect = connects.map(|(at, _)| *at).max();
        let errors = |start: Timestamp, next: Option<Timestamp>| {
            let errors = self.between(from, to).filter(|received| !received.backfilled);
            let errors = errors.filter(|received| received.event.fact.kind.name() == "errored");
            errors.filter(|error| start <= error.at && next.is_none_or(|next| error.at < next)).count() as u64
        };
        let nexts = spans.iter().skip(1).map(|(start, _)| Some(*start)).chain([None]);
        let ran = spans.iter().zip(nexts).filter(|((_, end), _)| end.is_none_or(|end| from < end));
        let in_one_outage = |end: Timestamp, next: Timestamp| {
            self.outages.iter().any(|outage| outage.from <= end && next < outage.until)
        };
        let is_event = |at: Timestamp| self.events.iter().any(|received| received.event.fact.updated_at == at);
        let session = |(&(start, end), next): (&(Timestamp, Option<Timestamp>), Option<Timestamp>)| Session {
            start: seconds(if start <= from { last_connect.unwrap_or(start) } else { start }),
            end: end.map(seconds),
            ended_unseen: end.zip(next).is_some_and(|(end, next)| in_one_outage(end, next)),
            end_corrected: end.is_some_and(|end| !is_event(end)),
            errors: errors(start, next),
        };
        ran.map(session).collect()
    }

    fn disconnects_while_expected(&self, from: Timestamp, to: Timestamp) -> u64 {
        let disconnects = self.between(from, to).filter(|received| received.event.fact.kind.name() == "disconnected");
        disconnects.filter(|received| value(&self.expected, received.at) == Some(true)).count() as u64
    }

    fn truth_at(&self, time: Timestamp) -> InputTruth {
        let mut truth = InputTruth::default();
        self.between(Timestamp::EPOCH, time).for_each(|received| _ = truth.learn(&received.event.fact));
        truth
    }

    /// Whether the state at this time is scraped and known and counts, because the input is expected.
    fn counts(&self, at: Timestamp) -> bool {
        let scraped = self.outages.iter().all(|outage| at < outage.from || outage.until <= at);
        scraped && value(&self.expected, at) == Some(true) && value(&self.by_arrival, at).is_some()
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
        let changes = changes.chain(self.outages.iter().flat_map(|outage| [outage.from, outage.until]));
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
            account: input.account().map_or("", |(name, _)| name),
            metrics: at_end,
            connected_seconds: events.seconds_in(from, to, |at| value(&events.by_event_time, at) == Some(true)),
            expected_seconds: events.seconds_in(from, to, |at| events.counts(at)),
            on_air_seconds: events.seconds_in(from, to, |at| events.is_on_air(at)),
            every_minute: events.every_minute(from, to, step),
            expected: value(&events.expected, to) == Some(true),
            ran: events.sessions(from, to),
            disconnects_while_expected: events.disconnects_while_expected(from, to),
            expected_change: events.window_edges.iter().find(|edge| to < **edge).map(|edge| seconds(*edge)),
            ..Self::default()
        };
        let (before, at_end) = (events.walk_at(from), events.walk_at(to));
        truth.sessions = at_end.sessions - before.sessions;
        truth.reconnects = at_end.reconnects - before.reconnects;
        for found in events.settled(from, to) {
            if let FindingKind::Repeat(kind) = found {
                *truth.inconsistent.entry(kind).or_default() += 1;
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

/// Seconds since the epoch, in whole milliseconds like the exporter's metrics.
pub fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}

/// The value at a time, of changes sorted by time.
fn value(changes: &[Change], at: Timestamp) -> Option<bool> {
    changes.iter().rfind(|(changed, _)| *changed <= at).and_then(|(_, value)| *value)
}
