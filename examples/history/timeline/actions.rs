//! What a timeline consists of: actions in time, each with what it is meant to count as.
//!
//! The teller says what every notification means, and the truth is counted from that; the exporter is
//! never asked. When it takes a notification for something else, playing the timeline fails.

use std::time::Duration;

use stream_live_exporter::event::{IgnoredReason, Timestamp};
use stream_live_exporter::live::Note;
use stream_live_exporter::recorder::Outcome;

use super::inputs::{Configuration, Input};
use super::notification;

/// How long a timeline takes.
pub const LENGTH: Duration = Duration::from_secs(6 * 3600);

/// What an event means to those who know all that happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meaning {
    /// A broadcast begins.
    Begins,
    /// It goes on after a gap that is within the reconnect window.
    Resumes,
    /// The connection ends.
    Ends,
    /// Cloudflare cannot use what is sent; the code as Cloudflare sends it, empty for none.
    Errs(&'static str),
    /// It connected although it was connected: the notification in between was lost, or is late.
    RepeatsConnected,
    /// The same for a disconnect.
    RepeatsDisconnected,
    /// It had disconnected, but something newer is known already.
    IsLate,
}

/// Something that happens to one of the replicas.
#[derive(Debug, Clone)]
pub struct Action {
    /// When.
    pub at: Timestamp,
    /// Which of them: an index.
    pub replica: usize,
    /// What.
    pub what: ActionKind,
}

/// What happens.
#[derive(Debug, Clone)]
pub enum ActionKind {
    /// A notification arrives.
    Deliver(Delivery),
    /// A request is refused for this reason.
    Reject(&'static str),
    /// A configuration is loaded.
    Reload(Configuration),
    /// A configuration cannot be loaded.
    FailReload,
    /// The process ends.
    Stop,
    /// The process starts, with this configuration.
    Start(Configuration),
}

/// A notification and what must become of it.
#[derive(Debug, Clone)]
pub struct Delivery {
    /// What is sent.
    pub body: Vec<u8>,
    /// The name of the secret that it comes with.
    pub secret: &'static str,
    /// What must become of it.
    pub outcome: Outcome,
    /// The event, when it is one that counts.
    pub fact: Option<Fact>,
    /// It is no strict JSON.
    pub malformed: bool,
    /// The journal cannot be written at this moment.
    pub journal_fails: bool,
}

/// An event that counts.
#[derive(Debug, Clone, Copy)]
pub struct Fact {
    /// Whom it is about.
    pub input: Input,
    /// When it happened.
    pub updated_at: Timestamp,
    /// When Cloudflare says that it sent the notification.
    pub sent_at: Timestamp,
    /// What it means.
    pub meaning: Meaning,
}

/// How a notification travels.
#[derive(Debug, Clone, Copy)]
pub struct Transit {
    /// Seconds until Cloudflare sends it.
    pub source_delay: f64,
    /// Seconds from there to us.
    pub delivery_delay: f64,
    /// It never reaches the second replica.
    pub lost_to_second: bool,
    /// It is sent twice.
    pub twice: bool,
    /// It is no strict JSON.
    pub malformed: bool,
    /// The second replica cannot write its journal when it arrives, and it is sent again.
    pub fails_at_second: bool,
}

/// Everything that happens, in the order of time once it is [told](Timeline::finish).
#[derive(Debug)]
pub struct Timeline {
    /// When it begins; what happened before is told too.
    pub begin: Timestamp,
    /// What happens.
    pub actions: Vec<Action>,
    chance: fastrand::Rng,
    secret: &'static str,
}

/// The number of replicas.
pub const REPLICAS: usize = 2;

impl Meaning {
    /// The value of the label `event`.
    pub fn event(self) -> &'static str {
        match self {
            Self::Begins | Self::Resumes | Self::RepeatsConnected => "connected",
            Self::Ends | Self::RepeatsDisconnected | Self::IsLate => "disconnected",
            Self::Errs(_) => "errored",
        }
    }

    /// What is remarkable about it.
    pub fn note(self) -> Note {
        match self {
            Self::Begins | Self::Resumes | Self::Ends | Self::Errs(_) => Note::Plain,
            Self::RepeatsConnected | Self::RepeatsDisconnected => Note::Inconsistent,
            Self::IsLate => Note::OutOfOrder,
        }
    }

    /// Whether it is connected from then on; `None` when this says nothing new.
    pub fn connected(self) -> Option<bool> {
        match self {
            Self::Begins | Self::Resumes => Some(true),
            Self::Ends => Some(false),
            Self::Errs(_) | Self::RepeatsConnected | Self::RepeatsDisconnected | Self::IsLate => None,
        }
    }
}

impl Timeline {
    /// An empty timeline that begins then.
    pub fn new(begin: Timestamp) -> Self {
        Self { begin, actions: Vec::new(), chance: fastrand::Rng::with_seed(5), secret: "primary" }
    }

    /// When it ends.
    pub fn end(&self) -> Timestamp {
        self.begin.plus(LENGTH)
    }

    /// The moment so far into the timeline: `1:02:03` or, before it begins, `-0:10:00`.
    pub fn moment(&self, clock: &str) -> Timestamp {
        let (before, digits) = clock.strip_prefix('-').map_or((false, clock), |digits| (true, digits));
        let seconds = digits.split(':').fold(0.0, |sum, part| {
            let part: f64 = part.parse().expect("a moment is written h:mm:ss");
            sum * 60.0 + part
        });
        let distance = Duration::from_secs_f64(seconds);
        if before { self.begin.minus(distance) } else { self.begin.plus(distance) }
    }

    /// The transit of most notifications: a second or two, never quite the same.
    pub fn usual(&mut self) -> Transit {
        Transit {
            source_delay: 0.3 + self.chance.f64() * 1.4,
            delivery_delay: 0.05 + self.chance.f64() * 0.7,
            lost_to_second: false,
            twice: false,
            malformed: false,
            fails_at_second: false,
        }
    }

    /// Tells that this happened to an input at this moment.
    pub fn event(&mut self, input: Input, clock: &str, meaning: Meaning) {
        let transit = self.usual();
        self.event_by(transit, input, self.moment(clock), meaning);
    }

    /// The same, and only the first replica ever hears of it.
    pub fn event_to_first_replica(&mut self, input: Input, clock: &str, meaning: Meaning) {
        let transit = Transit { lost_to_second: true, ..self.usual() };
        self.event_by(transit, input, self.moment(clock), meaning);
    }

    /// Tells that this happened, and how word of it travelled.
    pub fn event_by(&mut self, transit: Transit, input: Input, at: Timestamp, meaning: Meaning) {
        let updated_at = at.plus(Duration::from_nanos(self.chance.u64(0..900_000_000)));
        // Cloudflare writes whole seconds.
        let sent = updated_at.plus(Duration::from_secs_f64(transit.source_delay)).as_millis() / 1000 + 1;
        let sent_at = Timestamp::from_seconds(sent);
        let received_at = match transit.delivery_delay {
            delay @ 0.0.. => sent_at.plus(Duration::from_secs_f64(delay)),
            ahead => sent_at.minus(Duration::from_secs_f64(-ahead)),
        };
        let mut body = notification::event(input, meaning, updated_at, sent_at);
        if transit.malformed {
            body = notification::with_trailing_comma(&body);
        }
        let fact = Some(Fact { input, updated_at, sent_at, meaning });
        let Transit { malformed, .. } = transit;
        let delivery =
            Delivery { body, secret: self.secret, outcome: Outcome::Recorded, fact, malformed, journal_fails: false };
        for replica in 0..if transit.lost_to_second { 1 } else { REPLICAS } {
            let mut at = received_at.plus(Duration::from_millis(7 * replica as u64));
            if transit.fails_at_second && replica == 1 {
                self.add(at, replica, ActionKind::Deliver(Delivery { journal_fails: true, ..delivery.clone() }));
                at = at.plus(Duration::from_secs(6));
            }
            self.add(at, replica, ActionKind::Deliver(delivery.clone()));
            if transit.twice {
                let again = Delivery { outcome: Outcome::Duplicate, fact: None, ..delivery.clone() };
                self.add(at.plus(Duration::from_millis(2400)), replica, ActionKind::Deliver(again));
            }
        }
    }

    /// Tells that everybody is sent something that is no event.
    pub fn post(&mut self, clock: &str, body: Vec<u8>, ignored: Option<IgnoredReason>) {
        let outcome = ignored.map_or(Outcome::Test, Outcome::Ignored);
        let delivery =
            Delivery { body, secret: self.secret, outcome, fact: None, malformed: false, journal_fails: false };
        for replica in 0..REPLICAS {
            self.add(self.moment(clock), replica, ActionKind::Deliver(delivery.clone()));
        }
    }

    /// Tells that a replica refuses a request.
    pub fn refuse(&mut self, clock: &str, replica: usize, reason: &'static str) {
        self.add(self.moment(clock), replica, ActionKind::Reject(reason));
    }

    /// Tells that something happens to a replica.
    pub fn add(&mut self, at: Timestamp, replica: usize, what: ActionKind) {
        self.actions.push(Action { at, replica, what });
    }

    /// From now on notifications come with the other secret.
    pub fn rotate_secret(&mut self) {
        self.secret = "next";
    }

    /// Puts everything into the order of time.
    pub fn finish(mut self) -> Self {
        self.actions.sort_by_key(|action| (action.at, action.replica));
        self
    }
}
