//! What is true of the story, counted from what its teller means by it.
//!
//! Nothing here asks the exporter, nor Prometheus. What a replica never heard of cannot be shown by it,
//! so an event counts from its arrival; how long an input was connected is told by the times of its
//! events. The first replica hears of everything.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;
use stream_live_exporter::event::{InputId, Timestamp};

use super::INSTANCES;
use super::cast::Input;
use super::script::configurations;
use super::story::{Fact, Meaning, Story, What};

/// What happened in a range: after its beginning, up to its end.
#[derive(Debug, Serialize)]
pub struct Truth {
    /// In seconds since the epoch.
    pub from: f64,
    /// In seconds since the epoch.
    pub to: f64,
    /// What is true of every live input that is known at the end.
    pub inputs: BTreeMap<InputId, InputTruth>,
    /// Deliveries by outcome, of every replica.
    pub notifications: BTreeMap<&'static str, Counts>,
    /// Ignored deliveries by reason, of every replica.
    pub ignored: BTreeMap<&'static str, Counts>,
    /// Refused requests by reason, of every replica.
    pub rejected: BTreeMap<&'static str, Counts>,
    /// Batches that a replica could not write.
    pub append_failures: BTreeMap<&'static str, u64>,
    /// Starts of a replica.
    pub starts: BTreeMap<&'static str, u64>,
    /// Events that came after newer ones.
    pub out_of_order: u64,
    /// Notifications that were received before they were sent.
    pub clock_skew: u64,
}

/// Numbers by the value of a label.
pub type Counts = BTreeMap<&'static str, u64>;

/// What is true of one live input.
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
    /// How often its state or its being expected changed: each may cost a sampled time one step.
    pub changes: u64,
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

/// A change of something that is true or not, or not known.
type Change = (Timestamp, Option<bool>);

impl Truth {
    /// What is true of the story between two moments.
    pub fn of(story: &Story, from: Timestamp, to: Timestamp) -> Self {
        let within = |at: Timestamp| from < at && at <= to;
        let mut truth = Self {
            from: seconds(from),
            to: seconds(to),
            inputs: BTreeMap::new(),
            notifications: BTreeMap::new(),
            ignored: BTreeMap::new(),
            rejected: BTreeMap::new(),
            append_failures: BTreeMap::new(),
            starts: BTreeMap::new(),
            out_of_order: 0,
            clock_skew: 0,
        };
        for occurrence in story.occurrences.iter().filter(|occurrence| within(occurrence.at)) {
            truth.count(INSTANCES[occurrence.replica], &occurrence.what);
        }
        for (at, fact) in facts(story).filter(|(at, _)| within(*at)) {
            truth.out_of_order += u64::from(fact.meaning == Meaning::IsLate);
            truth.clock_skew += u64::from(at < fact.sent_at);
        }
        truth.inputs = Input::ALL
            .into_iter()
            .filter_map(|input| Some((input.id(), InputTruth::of(story, input, from, to)?)))
            .collect();
        truth
    }

    fn count(&mut self, instance: &'static str, what: &What) {
        let mut refuse = |reason| *self.rejected.entry(instance).or_default().entry(reason).or_default() += 1;
        match what {
            What::Refused(reason) => refuse(reason),
            What::Posted(post) if post.journal_fails => {
                refuse("journal");
                *self.append_failures.entry(instance).or_default() += 1;
            }
            What::Posted(post) => {
                *self.notifications.entry(instance).or_default().entry(post.outcome.name()).or_default() += 1;
                if let stream_live_exporter::recorder::Outcome::Ignored(reason) = post.outcome {
                    *self.ignored.entry(instance).or_default().entry(reason.label()).or_default() += 1;
                }
            }
            What::Started(_) => *self.starts.entry(instance).or_default() += 1,
            What::Stopped | What::Reloaded(_) | What::ReloadFailed => {}
        }
    }
}

/// Every event that counts, with the time at which the first replica heard of it.
fn facts(story: &Story) -> impl Iterator<Item = (Timestamp, Fact)> {
    story.occurrences.iter().filter(|occurrence| occurrence.replica == 0).filter_map(|occurrence| {
        match &occurrence.what {
            What::Posted(post) => Some((occurrence.at, post.fact?)),
            _ => None,
        }
    })
}

impl InputTruth {
    /// `None` when nobody knows the input at the end of the range.
    fn of(story: &Story, input: Input, from: Timestamp, to: Timestamp) -> Option<Self> {
        let facts: Vec<_> = facts(story).filter(|(at, fact)| fact.input == input && *at <= to).collect();
        let mut truth = Self { name: input.name(), ..Self::default() };
        for (_, fact) in facts.iter().filter(|(at, _)| from < *at) {
            truth.count(fact.meaning);
        }
        let connected = |time: fn(&(Timestamp, Fact)) -> Timestamp| -> Vec<Change> {
            let changes = facts.iter().filter_map(|fact| Some((time(fact), Some(fact.1.meaning.connected()?))));
            changes.collect()
        };
        let (happened, heard) = (connected(|(_, fact)| fact.updated_at), connected(|(at, _)| *at));
        let expected: Vec<Change> =
            configurations(story).into_iter().map(|(at, configuration)| (at, input.expected(configuration))).collect();
        truth.connected_seconds = seconds_in(from, to, |at| value(&happened, at) == Some(true), &[&happened]);
        let counts = |at| value(&expected, at) == Some(true) && value(&heard, at).is_some();
        truth.expected_seconds = seconds_in(from, to, counts, &[&expected, &heard]);
        let on_air = |at| counts(at) && value(&heard, at) == Some(true);
        truth.on_air_seconds = seconds_in(from, to, on_air, &[&expected, &heard]);
        let changed = heard.iter().chain(&expected).filter(|(at, _)| from < *at && *at <= to);
        truth.changes = changed.count() as u64;
        let newest = |fact: &&(Timestamp, Fact)| !matches!(fact.1.meaning, Meaning::Errs(_) | Meaning::IsLate);
        truth.at_end = AtEnd {
            connected: value(&heard, to),
            expected: value(&expected, to) == Some(true),
            since: facts.iter().rfind(newest).map(|(_, fact)| seconds(fact.updated_at)),
        };
        (value(&expected, to).is_some() || !facts.is_empty()).then_some(truth)
    }

    fn count(&mut self, meaning: Meaning) {
        *self.events.entry(meaning.event()).or_default() += 1;
        match meaning {
            Meaning::Begins => self.sessions += 1,
            Meaning::Resumes => self.reconnects += 1,
            Meaning::Errs(code) => {
                let known = code.is_empty() || code == "ERR_BITRATE_TOO_HIGH";
                *self.errors.entry(if known { "other" } else { code }).or_default() += 1;
            }
            Meaning::RepeatsConnected | Meaning::RepeatsDisconnected => {
                *self.inconsistent.entry(meaning.event()).or_default() += 1;
            }
            Meaning::Ends | Meaning::IsLate => {}
        }
    }
}

/// What holds at a time, by changes in the order of time.
fn value(changes: &[Change], at: Timestamp) -> Option<bool> {
    changes.iter().rfind(|(changed, _)| *changed <= at).and_then(|(_, value)| *value)
}

/// How long something held, which changes only when one of these does.
fn seconds_in(from: Timestamp, to: Timestamp, holds: impl Fn(Timestamp) -> bool, changes: &[&[Change]]) -> f64 {
    let changed = changes.iter().copied().flatten().map(|(at, _)| *at).filter(|at| from < *at && *at < to);
    let mut times: Vec<_> = changed.chain([from, to]).collect();
    times.sort();
    let held = times.windows(2).filter(|span| holds(span[0])).map(|span| span[1].since(span[0]).unwrap_or_default());
    held.sum::<Duration>().as_secs_f64()
}

fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
