//! Events with a known truth: connects, disconnects and errors of many inputs, some late, some sent twice.

use std::collections::{HashSet, VecDeque};
use std::time::Duration;

use fastrand::Rng;
use stream_live_exporter::clock::now;
use stream_live_exporter::event::{InputId, Timestamp};
use stream_live_exporter::simulate::{ERRORS, Fact, FactKind, Notification, POLICIES};

const INPUTS: usize = 25;
/// Of 256 events: errors, late ones, and those that are sent again.
const ERRORED: u8 = 40;
const LATE: u8 = 20;
const AGAIN: u8 = 16;
/// How late, in milliseconds.
const LATENESS: u64 = 20_000;

/// What makes an event the same event. Times are nanoseconds since 1970.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Identity {
    pub input_id: String,
    pub kind: String,
    pub updated_at: i64,
    /// The label `code`; empty unless it is an error.
    pub code: String,
}

/// Generates notifications.
pub struct Events {
    rng: Rng,
    connected: [bool; INPUTS],
    generated: u32,
    again: VecDeque<Fact>,
}

/// All events that were sent, and those that were answered 2xx at least once.
#[derive(Debug, Default, Clone)]
pub struct Sent {
    sent: HashSet<Identity>,
    accepted: HashSet<Identity>,
}

impl Identity {
    pub fn of(fact: &Fact) -> Self {
        let code = match fact.kind {
            FactKind::Errored(error) => error.label,
            FactKind::Connected | FactKind::Disconnected => "",
        };
        Self {
            input_id: fact.input_id.to_string(),
            kind: fact.kind.name().to_owned(),
            updated_at: fact.updated_at.as_nanos(),
            code: code.to_owned(),
        }
    }
}

/// Input number `number`, from 1.
pub fn input(number: usize) -> InputId {
    InputId::from_bytes((number as u128).to_be_bytes())
}

impl Events {
    pub fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), connected: [false; INPUTS], generated: 0, again: VecDeque::new() }
    }

    /// The next notification: of a new event, or of one that was sent before.
    pub fn next(&mut self) -> (Identity, Vec<u8>) {
        let due = self.again.len() > 100 && self.rng.u8(..) < AGAIN;
        let again = if due { self.again.pop_front() } else { None };
        let fact = again.unwrap_or_else(|| self.next_fact());
        (Identity::of(&fact), self.body(fact))
    }

    /// A notification of this event in an envelope of its own.
    pub fn body(&mut self, fact: Fact) -> Vec<u8> {
        let policy = &POLICIES[self.rng.usize(..POLICIES.len())];
        Notification { fact, policy, correlation_id: self.rng.u128(..), sent_at: now() }.body()
    }

    fn next_fact(&mut self) -> Fact {
        let number = self.rng.usize(..INPUTS);
        self.generated += 1;
        let late = self.rng.u8(..) < LATE;
        let lateness = if late { self.rng.u64(..LATENESS) } else { 0 };
        let at = now().minus(Duration::from_millis(lateness)).as_millis() * 1_000_000;
        let kind = if self.rng.u8(..) < ERRORED {
            FactKind::Errored(&ERRORS[self.rng.usize(..ERRORS.len())])
        } else if late {
            if self.rng.bool() { FactKind::Connected } else { FactKind::Disconnected }
        } else {
            self.connected[number] ^= true;
            if self.connected[number] { FactKind::Connected } else { FactKind::Disconnected }
        };
        // The number makes the time unique.
        let updated_at = Timestamp::from_nanos(at + i64::from(self.generated));
        let fact = Fact { input_id: input(number + 1), kind, updated_at };
        if self.rng.u8(..) < AGAIN {
            self.again.push_back(fact);
        }
        fact
    }
}

impl Sent {
    pub fn sending(&mut self, event: &Identity) {
        self.sent.insert(event.clone());
    }

    pub fn answered_2xx(&mut self, event: Identity) {
        self.accepted.insert(event);
    }

    pub fn accepted(&self) -> impl Iterator<Item = &Identity> {
        self.accepted.iter()
    }

    pub fn was_sent(&self, event: &Identity) -> bool {
        self.sent.contains(event)
    }

    /// Every event that was sent was answered 2xx.
    pub fn is_complete(&self) -> bool {
        self.sent.len() == self.accepted.len()
    }
}
