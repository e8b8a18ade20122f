//! The last day of one input.

use std::collections::BTreeSet;
use std::time::Duration;

use super::bar::Bar;
use crate::event::{Correction, Observation, Record, RecordKind, Rules, ScheduleException, Timestamp};
use crate::live::{Evidence, Input, Part, Timeline};
use crate::schedule::{Exception, Plan};

/// What the journal says about an input since the begin of the day.
#[derive(Debug, Clone, Default)]
pub(super) struct DayRecords {
    pub(super) timeline: Timeline,
    /// When the first record made the input known, if it did.
    known_since: Option<Timestamp>,
    /// Decisions about exceptions to the schedule, in their order: from this time on, up to another one.
    exceptions: Vec<(Timestamp, Option<Exception>)>,
}

/// The last day of an input.
#[derive(Debug, Clone, Copy)]
pub struct Day<'a> {
    records: &'a DayRecords,
    /// Nothing is known of the time before.
    from: Timestamp,
    /// The input was known before its first record of the day.
    known_before: bool,
    /// State of the input now.
    evidence: Option<Evidence>,
}

/// What happened since a midnight.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Today {
    /// Disconnect events.
    pub disconnects: u64,
    /// Connects that continued a session.
    pub reconnects: u64,
    /// Time on air.
    pub time_on_air: Duration,
}

impl DayRecords {
    /// The day that begins with this record. `is_complete`: it is the first record of the input in a complete journal.
    pub(super) fn begin(record: &Record, is_complete: bool) -> Self {
        let known_since = match &record.kind {
            RecordKind::Event(event, _) => Some(event.received_at),
            RecordKind::Correction(Correction { at, .. }) | RecordKind::Observation(Observation { at, .. }) => {
                Some(*at)
            }
            RecordKind::Exception(_) | RecordKind::Forgotten(_) | RecordKind::Rules(_) | RecordKind::ClockSetBack => {
                None
            }
        };
        let timeline = if is_complete { Timeline::complete() } else { Timeline::default() };
        Self { timeline, known_since, exceptions: Vec::new() }
    }

    pub(super) fn apply(&mut self, record: &Record) {
        self.timeline.apply(record);
        if let RecordKind::Exception(decided) = &record.kind {
            let ScheduleException { expected, until, at: from, .. } = *decided;
            self.exceptions.push((from, expected.map(|expected| Exception { expected, from, until })));
        }
    }

    /// Number of changes and decisions.
    pub(super) fn len(&self) -> usize {
        self.timeline.len() + self.exceptions.len()
    }

    /// Time of the oldest change or decision that can be dropped.
    pub(super) fn oldest(&self) -> Option<Timestamp> {
        let decided = self.exceptions.get(1).map(|(at, _)| *at);
        [self.timeline.oldest(), decided].into_iter().flatten().min()
    }

    /// Drops what is older than this, except for what it led to.
    pub(super) fn drop_until(&mut self, horizon: Timestamp) {
        self.timeline.drop_until(horizon);
        let old = self.exceptions.partition_point(|(at, _)| *at < horizon);
        self.exceptions.drain(..old.saturating_sub(1));
    }
}

impl<'a> Day<'a> {
    pub(super) fn new(records: &'a DayRecords, from: Timestamp, input: &Input) -> Self {
        let known_before = records.known_since.is_none() || records.known_since != input.known_since;
        Self { records, from, known_before, evidence: input.evidence() }
    }

    /// The day with another current state: one that no record has yet, because the disk hangs.
    pub fn with_evidence(self, evidence: Option<Evidence>) -> Self {
        Self { evidence, ..self }
    }

    /// The last 24 hours, with the expectation that is configured now, and the exceptions that were decided.
    pub fn bar(&self, now: Timestamp, plan: &Plan<'_>) -> Bar {
        Bar::new(now, &self.states(), &self.expected(now, plan))
    }

    /// Whether the input is expected from each time on, over the time of the bar.
    fn expected(&self, now: Timestamp, plan: &Plan<'_>) -> Vec<(Timestamp, bool)> {
        let (from, until) = Bar::span(now);
        let configured = plan.expectation().over(from, until);
        // One from before the day is in no record that was read.
        let current = plan.newest_exception().map(|exception| (exception.from, Some(exception)));
        let decided = if self.records.exceptions.is_empty() { current.as_slice() } else { &self.records.exceptions };
        if decided.is_empty() {
            return configured;
        }
        let ends = decided.iter().filter_map(|(_, exception)| exception.map(|exception| exception.until));
        let edges = configured.iter().map(|(at, _)| *at).chain(decided.iter().map(|(at, _)| *at)).chain(ends);
        let edges: BTreeSet<Timestamp> = edges.filter(|edge| *edge >= from && *edge < until).collect();
        let expected = edges.into_iter().map(|at| {
            let exception = value_at(decided, at).flatten().filter(|exception| exception.contains(at));
            let expected = exception.map_or_else(|| value_at(&configured, at), |exception| Some(exception.expected));
            (at, expected.unwrap_or_default())
        });
        expected.collect()
    }

    /// The state from each time on: connected, disconnected, or `None` for unknown. The last one is the current state.
    fn states(&self) -> Vec<(Timestamp, Option<bool>)> {
        let mut states = self.records.timeline.states(self.known_before);
        // Records from before the day are not known, and records that are newer than the day may be missing.
        let (last_at, last) = states.last().copied().unwrap_or_default();
        if let Some(Evidence { connected, since, .. }) = self.evidence
            && last != Some(connected)
        {
            states.push((since.max(last_at), Some(connected)));
        }
        let in_day = states.partition_point(|(at, _)| *at <= self.from);
        if self.from > Timestamp::EPOCH && in_day > 0 {
            states[in_day - 1].0 = self.from;
            states.drain(..in_day - 1);
        }
        states
    }

    /// What happened since a midnight that is at most 25 hours ago.
    pub fn today(&self, midnight: Timestamp, now: Timestamp, rules: &Rules) -> Today {
        let timeline = &self.records.timeline;
        if timeline.is_unread() {
            let since =
                self.evidence.filter(|evidence| evidence.connected).map(|evidence| evidence.since.max(midnight));
            let time_on_air = since.and_then(|since| now.since(since)).unwrap_or_default();
            return Today { time_on_air, ..Today::default() };
        }
        let Part { disconnects, reconnects, connected_time } =
            timeline.part(self.known_before, midnight, now, rules.reconnect_window);
        Today { disconnects, reconnects, time_on_air: connected_time }
    }
}

/// The last midnight in the time zone of the schedule.
pub fn midnight(plan: &Plan<'_>, now: Timestamp) -> Timestamp {
    let midnight = plan.local(now).start_of_day();
    midnight.map_or(now, |midnight| Timestamp::from_jiff(midnight.timestamp()))
}

/// The value at this time, of a list of values from times on.
fn value_at<T: Copy>(list: &[(Timestamp, T)], at: Timestamp) -> Option<T> {
    let until = list.partition_point(|(from, _)| *from <= at);
    list[..until].last().map(|(_, value)| *value)
}
