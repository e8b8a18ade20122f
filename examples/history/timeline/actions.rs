//! The actions of a timeline: deliveries, rejected requests, corrections, starts, stops and reloads of the replicas.

use std::array;
use std::collections::BTreeSet;
use std::time::Duration;

use stream_live_exporter::event::{AccountId, Timestamp};
use stream_live_exporter::recorder::Outcome;
use stream_live_exporter::simulate::{Fact, FactKind, Notification, POLICIES};

use super::inputs::{Configuration, Input};

pub const LENGTH: Duration = Duration::from_secs(6 * 3600);
pub const REPLICAS: usize = 2;
/// The notification history is read this long after the start that ends a downtime.
const BACKFILL_DELAY: Duration = Duration::from_secs(20);
/// A shorter downtime is not backfilled.
const SHORTEST_BACKFILLED: Duration = Duration::from_secs(60);
/// The certificate of the webhook is renewed at each start.
pub const CERTIFICATE_VALIDITY: Duration = Duration::from_secs(60 * 86_400);

/// An action that affects one replica.
#[derive(Debug, Clone)]
pub struct Action {
    pub at: Timestamp,
    /// Index of the replica.
    pub replica: usize,
    pub kind: ActionKind,
}

#[derive(Debug, Clone)]
pub enum ActionKind {
    Deliver(Delivery),
    /// A request is rejected for this reason.
    Reject(&'static str),
    /// A connection to the webhook is closed because of this limit.
    RefuseConnection(&'static str),
    Reload(Configuration),
    FailReload,
    Stop,
    /// The process starts with this configuration.
    Start(Configuration),
    /// Cloudflare's API contradicts the state: the notification of this fact was lost.
    Observe(Fact),
    /// An operator corrects the state: the notification of this fact was lost.
    Correct(Fact),
    /// The notification history has an event that was not delivered because of a downtime.
    Backfill(Delivery),
    /// The notification history was read up to the end of the downtime.
    CompleteBackfill,
}

/// A time in which no replica runs.
#[derive(Debug, Clone, Copy)]
pub struct Outage {
    pub from: Timestamp,
    pub until: Timestamp,
}

/// A delivery and its expected result.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub body: Vec<u8>,
    /// The name of the secret in the request.
    pub secret: &'static str,
    pub outcome: Outcome,
    /// The event, if it is to be recorded.
    pub event: Option<SentEvent>,
    /// The body is not strict JSON.
    pub malformed: bool,
    pub journal_fails: bool,
}

/// An event and the `ts` of its notification.
#[derive(Debug, Clone, Copy)]
pub struct SentEvent {
    pub fact: Fact,
    pub sent_at: Timestamp,
}

/// How a notification is delivered.
#[derive(Debug, Clone, Copy, Default)]
pub struct Transit {
    /// Seconds from the event until Cloudflare sends the notification.
    pub source_delay: f64,
    /// Seconds from there to its arrival.
    pub delivery_delay: f64,
    /// It is not delivered to the second replica.
    pub lost_to_second: bool,
    pub twice: bool,
    /// The body is not strict JSON.
    pub malformed: bool,
    /// The second replica cannot write its journal at first, and the delivery is repeated.
    pub fails_at_second: bool,
}

/// All actions, sorted by time after [`Timeline::finish`].
#[derive(Debug)]
pub struct Timeline {
    /// The beginning. Some actions are earlier.
    pub begin: Timestamp,
    pub actions: Vec<Action>,
    rng: fastrand::Rng,
    secret: &'static str,
}

impl Timeline {
    /// An empty timeline with this beginning.
    pub fn new(begin: Timestamp) -> Self {
        Self { begin, actions: Vec::new(), rng: fastrand::Rng::with_seed(5), secret: "primary" }
    }

    pub fn end(&self) -> Timestamp {
        self.begin.plus(LENGTH)
    }

    /// The time at this offset from the beginning: `1:02:03`, or `-0:10:00` before it.
    pub fn time(&self, offset: &str) -> Timestamp {
        time(self.begin, offset)
    }

    /// A delivery within a second or two.
    pub fn usual(&mut self) -> Transit {
        Transit {
            source_delay: 0.3 + self.rng.f64() * 1.4,
            delivery_delay: 0.05 + self.rng.f64() * 0.7,
            ..Transit::default()
        }
    }

    /// Adds an event that is delivered to both replicas.
    pub fn event(&mut self, input: Input, offset: &str, kind: FactKind) {
        let transit = self.usual();
        self.event_by(transit, input, self.time(offset), kind);
    }

    /// Adds an event that is delivered only to the first replica.
    pub fn event_to_first_replica(&mut self, input: Input, offset: &str, kind: FactKind) {
        let transit = Transit { lost_to_second: true, ..self.usual() };
        self.event_by(transit, input, self.time(offset), kind);
    }

    /// Adds an event and its deliveries.
    pub fn event_by(&mut self, transit: Transit, input: Input, at: Timestamp, kind: FactKind) {
        let updated_at = at.plus(Duration::from_nanos(self.rng.u64(0..900_000_000)));
        // `ts` is in whole seconds.
        let sent = updated_at.plus(Duration::from_secs_f64(transit.source_delay)).as_millis() / 1000 + 1;
        let sent_at = Timestamp::from_seconds(sent);
        let received_at = match transit.delivery_delay {
            delay @ 0.0.. => sent_at.plus(Duration::from_secs_f64(delay)),
            ahead => sent_at.minus(Duration::from_secs_f64(-ahead)),
        };
        let fact = Fact { input_id: input.id(), kind, updated_at };
        let mut body = Notification { fact, policy: &POLICIES[0], correlation_id: 0, sent_at }.body();
        if transit.malformed {
            // As in an example of Cloudflare's documentation.
            body.truncate(body.len() - "}\n".len());
            body.extend(b",}\n");
        }
        if let Some((_, account_id)) = input.account() {
            body = with_account(&body, account_id);
        }
        let event = Some(SentEvent { fact, sent_at });
        let Transit { malformed, .. } = transit;
        let delivery =
            Delivery { body, secret: self.secret, outcome: Outcome::Recorded, event, malformed, journal_fails: false };
        for replica in 0..if transit.lost_to_second { 1 } else { REPLICAS } {
            let mut at = received_at.plus(Duration::from_millis(7 * replica as u64));
            if transit.fails_at_second && replica == 1 {
                self.add(at, replica, ActionKind::Deliver(Delivery { journal_fails: true, ..delivery.clone() }));
                at = at.plus(Duration::from_secs(6));
            }
            self.add(at, replica, ActionKind::Deliver(delivery.clone()));
            if transit.twice {
                let again = Delivery { outcome: Outcome::Duplicate, event: None, ..delivery.clone() };
                self.add(at.plus(Duration::from_millis(2400)), replica, ActionKind::Deliver(again));
            }
        }
    }

    /// Adds an event whose notifications are lost. The replicas learn of it from Cloudflare's API.
    pub fn lost_event(&mut self, input: Input, offset: &str, kind: FactKind) {
        let fact = Fact { input_id: input.id(), kind, updated_at: self.time(offset) };
        for replica in 0..REPLICAS {
            let at = fact.updated_at.plus(Duration::from_secs(41 + 9 * replica as u64));
            self.add(at, replica, ActionKind::Observe(fact));
        }
    }

    /// Adds an event whose notifications are lost. An operator corrects both replicas.
    pub fn corrected_event(&mut self, input: Input, offset: &str, kind: FactKind) {
        for replica in 0..REPLICAS {
            let at = self.time(offset).plus(Duration::from_secs(12 * replica as u64));
            self.add(at, replica, ActionKind::Correct(Fact { input_id: input.id(), kind, updated_at: at }));
        }
    }

    /// Adds a delivery without an event to both replicas.
    pub fn deliver(&mut self, offset: &str, body: &str, outcome: Outcome) {
        let body = body.as_bytes().to_vec();
        let delivery =
            Delivery { body, secret: self.secret, outcome, event: None, malformed: false, journal_fails: false };
        for replica in 0..REPLICAS {
            self.add(self.time(offset), replica, ActionKind::Deliver(delivery.clone()));
        }
    }

    pub fn add(&mut self, at: Timestamp, replica: usize, kind: ActionKind) {
        self.actions.push(Action { at, replica, kind });
    }

    /// Later deliveries have the other secret.
    pub fn rotate_secret(&mut self) {
        self.secret = "next";
    }

    /// Adds a time in which a replica does not run.
    pub fn downtime(&mut self, replica: usize, from: &str, until: &str) {
        self.add(self.time(from), replica, ActionKind::Stop);
        self.add(self.time(until), replica, ActionKind::Start(Configuration::default()));
    }

    /// Sorts the actions. Events that are delivered to a replica in a downtime are backfilled.
    pub fn finish(mut self) -> Self {
        for replica in 0..REPLICAS {
            for Outage { from, until } in self.times_stopped(&[replica]) {
                if until < from.plus(SHORTEST_BACKFILLED) {
                    continue;
                }
                let at = until.plus(BACKFILL_DELAY);
                for action in self.actions.iter_mut().filter(|action| action.replica == replica) {
                    if let ActionKind::Deliver(delivery) = &action.kind
                        && from <= action.at
                        && action.at < until
                    {
                        *action = Action { at, replica, kind: ActionKind::Backfill(delivery.clone()) };
                    }
                }
                self.add(at, replica, ActionKind::CompleteBackfill);
            }
        }
        self.actions.sort_by_key(|action| (action.at, action.replica));
        self
    }

    /// The times in which no replica runs.
    pub fn outages(&self) -> Vec<Outage> {
        self.times_stopped(&array::from_fn::<_, REPLICAS, _>(|replica| replica))
    }

    /// The times in which none of these replicas runs, between two times in which one does.
    fn times_stopped(&self, replicas: &[usize]) -> Vec<Outage> {
        let (mut running, mut stopped, mut outages) = (BTreeSet::new(), None, vec![]);
        let mut actions: Vec<_> = self.actions.iter().filter(|action| replicas.contains(&action.replica)).collect();
        actions.sort_by_key(|action| action.at);
        for action in actions {
            if let ActionKind::Start(_) = action.kind {
                running.insert(action.replica);
                outages.extend(stopped.take().map(|from| Outage { from, until: action.at }));
            } else if let ActionKind::Stop = action.kind {
                running.remove(&action.replica);
                stopped = running.is_empty().then_some(action.at);
            }
        }
        outages
    }
}

/// The time at this offset from the beginning.
pub fn time(begin: Timestamp, offset: &str) -> Timestamp {
    let (before, digits) = offset.strip_prefix('-').map_or((false, offset), |digits| (true, digits));
    let seconds = digits.split(':').fold(0, |sum, part| {
        let part: u64 = part.parse().expect("offsets are written h:mm:ss");
        sum * 60 + part
    });
    let distance = Duration::from_secs(seconds);
    if before { begin.minus(distance) } else { begin.plus(distance) }
}

/// The body with this account in its envelope.
fn with_account(body: &[u8], account_id: AccountId) -> Vec<u8> {
    let text = std::str::from_utf8(body).expect("bodies are text");
    let (before, after) = text.split_once("\"account_id\":\"").expect("the envelope has an account");
    let (_, after) = after.split_once('"').expect("the id ends");
    format!("{before}\"account_id\":\"{account_id}\"{after}").into_bytes()
}
