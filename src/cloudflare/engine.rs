//! What to ask an account next, and what the answers mean.

use std::collections::BTreeMap;

use crate::event::{AccountId, Event, InputId, Observation, Timestamp};
use crate::live::{Inventory, Quality, View};

use super::{Request, Response, TransportError};

/// The response to a request, or why there is none.
pub type Answer = Result<Response, TransportError>;

/// A part of the engine with requests of its own.
pub trait Task {
    /// Its next request is due at this time; `None` if it has none. A task that has a request in flight has none.
    fn due(&self, now: Timestamp, view: &View) -> Option<Due>;

    /// The request that is due.
    fn request(&mut self, now: Timestamp, view: &View) -> Request;

    /// The answer to its last request.
    fn answered(&mut self, answer: &Answer, now: Timestamp, view: &View, effects: &mut Vec<Effect>);
}

/// When a request is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time. An earlier one than now means at once.
    pub at: Timestamp,
    /// Which of several due requests goes first.
    pub priority: Priority,
}

/// Which of several due requests goes first: the least.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Priority {
    /// Confirms a disagreement, or continues what is under way.
    First,
    /// Periodic, and cheap.
    Periodic,
    /// The sweep through all inputs, which uses what is left of the budget.
    Sweep,
}

/// What an answer leads to.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// The state of an input is wrong.
    Observe(Observation),
    /// Events from the notification history, ascending by event time.
    Record(Vec<Event>),
    /// The account's inputs.
    Inventory(Inventory),
    /// The quality of all inputs that the account ingests at the moment.
    Quality(AccountId, BTreeMap<InputId, Quality>),
    /// The notification history was read back to the last known moment.
    Backfilled,
}
