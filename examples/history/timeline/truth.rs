//! What is true of the timeline, counted from what its teller means by it.
//!
//! Nothing here asks the exporter, nor Prometheus. What a replica never heard of cannot be shown by it,
//! so an event counts from its arrival; how long an input was connected is told by the times of its
//! events. The first replica hears of everything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use stream_live_exporter::event::{InputId, Timestamp};
use stream_live_exporter::recorder::Outcome;

use super::INSTANCES;
use super::actions::{ActionKind, Delivery, Fact, Meaning, Timeline};
use super::input_truth::{InputEvents, InputTruth};
use super::inputs::Input;
use super::script::FIRING_AT_END;

/// A notification that takes longer is late.
const LATE: Duration = Duration::from_secs(30);

/// What happened in a range: after its beginning, up to its end.
#[derive(Debug, Serialize)]
pub struct Truth {
    /// In seconds since the epoch.
    pub from: f64,
    /// In seconds since the epoch.
    pub to: f64,
    /// What is true of every live input that is known at the end of the range.
    pub inputs: BTreeMap<InputId, InputTruth>,
    /// What is true of every replica, by `instance`.
    pub replicas: BTreeMap<&'static str, ReplicaTruth>,
    /// Events that came after newer ones.
    pub out_of_order: u64,
    /// Notifications that were received before they were sent.
    pub clock_skew: u64,
    /// Notifications of events that took longer than half a minute.
    pub late: Late,
    /// Connects within an hour of the disconnect before.
    pub reconnect_delays: u64,
    /// Broadcasts that ended, and were not resumed within the reconnect window.
    pub finished_sessions: u64,
    /// The alerts about live inputs that fire at the end of the timeline.
    pub firing_at_end: Vec<Firing>,
}

/// Late notifications by where they were held up.
#[derive(Debug, Serialize)]
pub struct Late {
    /// Until they were sent.
    pub in_cloudflare: u64,
    /// From there to the first replica.
    pub on_the_way: u64,
}

/// Numbers by the value of a label.
pub type Counts = BTreeMap<&'static str, u64>;

/// What is true of a replica.
#[derive(Debug, Default, Serialize)]
pub struct ReplicaTruth {
    /// Deliveries by outcome.
    pub notifications: Counts,
    /// Ignored deliveries by reason.
    pub ignored: Counts,
    /// Refused requests by reason.
    pub rejected: Counts,
    /// Deliveries that were no strict JSON.
    pub lenient: u64,
    /// Batches that it could not write.
    pub append_failures: u64,
    /// How often it started.
    pub starts: u64,
    /// Its last start ever, in seconds since the epoch.
    pub last_start: f64,
    /// The last time ever that it loaded a configuration.
    pub last_reload: f64,
    /// Events that it ever recorded.
    pub kept: u64,
    /// Inputs of which it ever recorded an event.
    #[serde(skip)]
    known: BTreeSet<InputId>,
    /// So many of them were known when it last started.
    pub restored: u64,
    /// The last delivery ever, in seconds since the epoch.
    pub last_notification: Option<f64>,
    /// The last Save and Test ever.
    pub last_test: Option<f64>,
    /// The last delivery ever by secret.
    pub secrets: BTreeMap<&'static str, f64>,
}

/// An alert.
#[derive(Debug, Serialize)]
pub struct Firing {
    /// Its name.
    pub alertname: &'static str,
    /// Its severity.
    pub severity: &'static str,
    /// Whom it concerns.
    pub input_id: InputId,
}

impl Truth {
    /// What is true of the timeline between two moments, when it is scraped every `step`.
    pub fn of(timeline: &Timeline, from: Timestamp, to: Timestamp, step: Duration) -> Self {
        let within = |at: Timestamp| from < at && at <= to;
        let facts: Vec<_> = InputEvents::facts(timeline).collect();
        let counted = |what: &dyn Fn(Timestamp, &Fact) -> bool| {
            facts.iter().filter(|(at, fact)| within(*at) && what(*at, fact)).count() as u64
        };
        let known = |input| Some((Input::id(input), InputTruth::of(timeline, input, from, to, step)?));
        Self {
            from: seconds(from),
            to: seconds(to),
            inputs: Input::ALL.into_iter().filter_map(known).collect(),
            replicas: (0..INSTANCES.len())
                .map(|index| (INSTANCES[index], replica(timeline, index, from, to)))
                .collect(),
            out_of_order: counted(&|_, fact| fact.meaning == Meaning::IsLate),
            clock_skew: counted(&|at, fact| at < fact.sent_at),
            late: Late {
                in_cloudflare: counted(&|_, fact| fact.sent_at > fact.updated_at.plus(LATE)),
                on_the_way: counted(&|at, fact| at > fact.sent_at.plus(LATE)),
            },
            reconnect_delays: Input::ALL
                .into_iter()
                .map(|input| InputEvents::of(timeline, input).returns(from, to))
                .sum(),
            finished_sessions: Input::ALL
                .into_iter()
                .map(|input| InputEvents::of(timeline, input).finished(from, to))
                .sum(),
            firing_at_end: firing_at_end(),
        }
    }
}

fn firing_at_end() -> Vec<Firing> {
    let firing = FIRING_AT_END.into_iter();
    firing.map(|(alertname, severity, input)| Firing { alertname, severity, input_id: input.id() }).collect()
}

fn replica(timeline: &Timeline, index: usize, from: Timestamp, to: Timestamp) -> ReplicaTruth {
    let mut truth = ReplicaTruth::default();
    for action in timeline.actions.iter().filter(|action| action.replica == index && action.at <= to) {
        truth.update(action.at, &action.what);
        if from < action.at {
            truth.count(&action.what);
        }
    }
    truth
}

impl ReplicaTruth {
    fn update(&mut self, at: Timestamp, what: &ActionKind) {
        match what {
            ActionKind::Deliver(delivery) if !delivery.journal_fails => {
                self.last_notification = Some(seconds(at));
                self.secrets.insert(delivery.secret, seconds(at));
                self.kept += u64::from(delivery.outcome == Outcome::Recorded);
                self.known.extend(delivery.fact.map(|fact| fact.input.id()));
                if delivery.outcome == Outcome::Test {
                    self.last_test = Some(seconds(at));
                }
            }
            ActionKind::Start(_) => {
                (self.last_start, self.last_reload) = (seconds(at), seconds(at));
                self.restored = self.known.len() as u64;
            }
            ActionKind::Reload(_) => self.last_reload = seconds(at),
            ActionKind::Deliver(_) | ActionKind::Reject(_) | ActionKind::FailReload | ActionKind::Stop => {}
        }
    }

    fn count(&mut self, what: &ActionKind) {
        match what {
            ActionKind::Reject(reason) => *self.rejected.entry(reason).or_default() += 1,
            ActionKind::Deliver(delivery) => {
                self.lenient += u64::from(delivery.malformed);
                self.count_post(delivery);
            }
            ActionKind::Start(_) => self.starts += 1,
            ActionKind::Stop | ActionKind::Reload(_) | ActionKind::FailReload => {}
        }
    }

    fn count_post(&mut self, delivery: &Delivery) {
        if delivery.journal_fails {
            *self.rejected.entry("journal").or_default() += 1;
            self.append_failures += 1;
            return;
        }
        *self.notifications.entry(delivery.outcome.name()).or_default() += 1;
        if let Outcome::Ignored(reason) = delivery.outcome {
            *self.ignored.entry(reason.label()).or_default() += 1;
        }
    }
}

/// Seconds since the epoch, to the millisecond as the exporter tells them.
pub fn seconds(at: Timestamp) -> f64 {
    at.as_millis() as f64 / 1000.0
}
