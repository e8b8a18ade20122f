//! The expected values of metrics over a range of the timeline.
//!
//! It is computed from the actions, and independent of exporter and Prometheus. An event counts from its
//! arrival; the time connected follows from event times.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::Serialize;
use stream_live_exporter::event::{InputId, Timestamp};
use stream_live_exporter::recorder::Outcome;
use stream_live_exporter::simulate::{Counts, Fact};

use super::INSTANCES;
use super::actions::{ActionKind, CERTIFICATE_VALIDITY, Delivery, Timeline};
use super::changes::FindingKind;
use super::input_truth::{InputEvents, RangeTruth, ReceivedEvent, seconds};
use super::inputs::Input;
use super::script::FIRING_AT_END;

/// Longer delays are late.
const LATE: Duration = Duration::from_secs(30);

/// The truth about a range. Its beginning is excluded, its end is included.
#[derive(Debug, Serialize)]
pub struct Truth {
    /// In seconds since the epoch.
    pub from: f64,
    /// In seconds since the epoch.
    pub to: f64,
    /// Every live input that is known at the end of the range.
    pub inputs: BTreeMap<InputId, RangeTruth>,
    /// Every replica, by `instance`.
    pub replicas: BTreeMap<&'static str, ReplicaTruth>,
    /// Events that arrived later than the reorder window.
    pub out_of_order: u64,
    /// Notifications that were received before their `ts`.
    pub clock_skew: u64,
    /// Notifications of events.
    pub delivered: u64,
    /// Events from the notification history.
    pub backfilled: u64,
    /// Late notifications of events.
    pub late: Late,
    /// Connects within an hour after the disconnect.
    pub reconnect_delays: u64,
    /// Sessions that ended without a reconnect.
    pub finished_sessions: u64,
    /// The alerts of live inputs that fire at the end of the timeline.
    pub firing_at_end: Vec<Firing>,
}

/// Late notifications by the place of the delay.
#[derive(Debug, Serialize)]
pub struct Late {
    /// From the event to `ts`.
    pub in_cloudflare: u64,
    /// From `ts` to the first replica.
    pub on_the_way: u64,
}

#[derive(Debug, Default, Serialize)]
pub struct ReplicaTruth {
    pub notifications: Counts,
    pub ignored: Counts,
    pub rejected: Counts,
    /// Connections that were closed because of a limit.
    pub refused: Counts,
    /// Deliveries that were not strict JSON.
    pub lenient: u64,
    /// Batches that could not be written.
    pub append_failures: u64,
    pub starts: u64,
    /// The last start, in seconds since the epoch.
    pub last_start: f64,
    /// The last successful load of a configuration.
    pub last_reload: f64,
    /// Events in the journal.
    pub kept: u64,
    /// Events that were recorded in the range.
    pub appended: u64,
    #[serde(skip)]
    known: BTreeSet<InputId>,
    /// End of validity of the webhook's certificate, in seconds since the epoch.
    pub certificate_end: f64,
    /// Inputs with recorded events at the last start.
    pub restored: u64,
    /// The last delivery, in seconds since the epoch.
    pub last_notification: Option<f64>,
    /// The last Save and Test.
    pub last_test: Option<f64>,
    /// Corrections by the state that they set.
    pub corrections: Counts,
    /// The same by the label `source`.
    pub corrections_by_source: Counts,
    /// Times of the range in which it did not run, in seconds since the epoch.
    pub downtimes: Vec<Downtime>,
    /// The last downtime, also before the range.
    pub last_downtime: Option<Downtime>,
    #[serde(skip)]
    stopped_at: Option<Timestamp>,
    /// The last delivery that was not answered 2xx.
    pub last_failure: Option<f64>,
    /// The last delivery by secret.
    pub secrets: BTreeMap<&'static str, f64>,
}

#[derive(Debug, Clone, Copy, Serialize)]
pub struct Downtime {
    pub from: f64,
    pub until: f64,
    /// The notification history was read.
    pub backfilled: bool,
}

#[derive(Debug, Serialize)]
pub struct Firing {
    pub alertname: &'static str,
    pub severity: &'static str,
    pub input_id: InputId,
}

impl Truth {
    /// The truth about this range of the timeline if it is scraped every `step`.
    pub fn of(timeline: &Timeline, from: Timestamp, to: Timestamp, step: Duration) -> Self {
        let all = Input::ALL.map(|input| (input, InputEvents::of(timeline, input)));
        let sum = |count: &dyn Fn(&InputEvents) -> usize| all.iter().map(|(_, events)| count(events) as u64).sum();
        let count =
            |counts: fn(&&ReceivedEvent) -> bool| sum(&|events| events.between(from, to).filter(counts).count());
        let settled = |kind| sum(&|events| events.settled(from, to).filter(|found| *found == kind).count());
        let known = |(input, events): &(Input, InputEvents)| {
            Some((input.id(), RangeTruth::of(*input, events, from, to, step)?))
        };
        let firing = FIRING_AT_END.into_iter();
        Self {
            from: seconds(from),
            to: seconds(to),
            inputs: all.iter().filter_map(known).collect(),
            replicas: (0..INSTANCES.len())
                .map(|index| (INSTANCES[index], replica(timeline, index, from, to)))
                .collect(),
            out_of_order: count(|received| received.out_of_order),
            clock_skew: count(|received| received.at < received.event.sent_at),
            delivered: count(|received| !received.backfilled),
            backfilled: count(|received| received.backfilled),
            late: Late {
                in_cloudflare: count(|received| received.event.sent_at > received.event.fact.updated_at.plus(LATE)),
                on_the_way: count(|received| !received.backfilled && received.at > received.event.sent_at.plus(LATE)),
            },
            reconnect_delays: settled(FindingKind::ReconnectDelay),
            finished_sessions: settled(FindingKind::Session),
            firing_at_end: firing
                .map(|(alertname, severity, input)| Firing { alertname, severity, input_id: input.id() })
                .collect(),
        }
    }
}

fn replica(timeline: &Timeline, index: usize, from: Timestamp, to: Timestamp) -> ReplicaTruth {
    let mut truth = ReplicaTruth::default();
    for action in timeline.actions.iter().filter(|action| action.replica == index && action.at <= to) {
        truth.update(action.at, &action.kind);
        if from < action.at {
            truth.count(&action.kind);
        }
    }
    truth
}

impl ReplicaTruth {
    fn update(&mut self, at: Timestamp, action: &ActionKind) {
        match action {
            ActionKind::Deliver(delivery) if !delivery.journal_fails => {
                self.last_notification = Some(seconds(at));
                self.secrets.insert(delivery.secret, seconds(at));
                self.kept += u64::from(delivery.outcome == Outcome::Recorded);
                self.known.extend(delivery.event.map(|event| event.fact.input_id));
                if delivery.outcome == Outcome::Test {
                    self.last_test = Some(seconds(at));
                }
            }
            ActionKind::Start(_) => {
                (self.last_start, self.last_reload) = (seconds(at), seconds(at));
                self.restored = self.known.len() as u64;
                self.certificate_end = seconds(at.plus(CERTIFICATE_VALIDITY));
                self.last_downtime =
                    self.stopped_at.map(|from| Downtime { from: seconds(from), until: seconds(at), backfilled: false });
            }
            ActionKind::Backfill(_) => self.kept += 1,
            ActionKind::CompleteBackfill => {
                let last = self.last_downtime.iter_mut().chain(self.downtimes.last_mut());
                last.for_each(|downtime| downtime.backfilled = true);
            }
            ActionKind::Reload(_) => self.last_reload = seconds(at),
            ActionKind::Deliver(_) => self.last_failure = Some(seconds(at)),
            ActionKind::Stop => self.stopped_at = Some(at),
            ActionKind::Reject(_)
            | ActionKind::RefuseConnection(_)
            | ActionKind::FailReload
            | ActionKind::Observe(_)
            | ActionKind::Correct(_) => {}
        }
    }

    fn count(&mut self, action: &ActionKind) {
        match action {
            ActionKind::Reject(reason) => *self.rejected.entry(reason).or_default() += 1,
            ActionKind::RefuseConnection(reason) => *self.refused.entry(reason).or_default() += 1,
            ActionKind::Deliver(delivery) => self.count_delivery(delivery),
            ActionKind::Start(_) => {
                self.starts += 1;
                self.downtimes.extend(self.last_downtime);
            }
            ActionKind::Observe(fact) => self.count_correction("cloudflare", fact),
            ActionKind::Correct(fact) => self.count_correction("operator", fact),
            ActionKind::Stop | ActionKind::Reload(_) | ActionKind::FailReload | ActionKind::CompleteBackfill => {}
            ActionKind::Backfill(_) => self.appended += 1,
        }
    }

    fn count_correction(&mut self, source: &'static str, fact: &Fact) {
        *self.corrections.entry(fact.kind.name()).or_default() += 1;
        *self.corrections_by_source.entry(source).or_default() += 1;
    }

    fn count_delivery(&mut self, delivery: &Delivery) {
        self.lenient += u64::from(delivery.malformed);
        if delivery.journal_fails {
            *self.rejected.entry("journal").or_default() += 1;
            self.append_failures += 1;
            return;
        }
        *self.notifications.entry(delivery.outcome.name()).or_default() += 1;
        self.appended += u64::from(delivery.outcome == Outcome::Recorded);
        if let Outcome::Ignored(reason) = delivery.outcome {
            *self.ignored.entry(reason.label()).or_default() += 1;
        }
    }
}
