//! The parts of an engine: each has requests of its own.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{ApiError, Facts, Request, Response, Settings, TransportError};
use crate::event::{AccountId, Event, InputId, Observation, Timestamp};
use crate::live::{Inventory, Quality, View};

/// The response to a request, or why there is none.
pub type Answer = Result<Response, TransportError>;

labelled! {
    /// The parts of an engine: the label `task` of `stream_live_exporter_cloudflare_last_success_timestamp_seconds`.
    #[derive(PartialOrd, Ord)]
    TaskName {
        /// Lists the live inputs.
        Inventory = "inventory",
        /// Compares the status of inputs with their state.
        Status = "status",
        /// Checks destination and policies.
        Destination = "destination",
        /// Reads the notification history.
        History = "history",
        /// Queries ingest quality.
        Quality = "quality",
    }
}

/// A part of an engine with requests of its own. The engine has at most one request in flight, retries after failures
/// and keeps to the budget.
pub trait Task {
    /// Takes new settings.
    fn configure(&mut self, settings: &Settings);

    /// When its next request is due; `None` if it has none, or is switched off.
    fn due(&mut self, now: Timestamp, view: &View) -> Option<Due>;

    /// The request that is due; `None` if none is after all.
    fn request(&mut self, now: Timestamp, view: &View) -> Option<Request>;

    /// The answer to its last request, and that request.
    ///
    /// # Errors
    ///
    /// The answer is not usable. The engine asks the task again later, after twice the time of the preceding failure.
    fn answered(
        &mut self,
        request: &Request,
        answer: &Answer,
        now: Timestamp,
        view: &View,
        effects: &mut Vec<Effect>,
    ) -> Result<Progress, ApiError>;

    /// Adds what it knows.
    fn report(&self, _facts: &mut Facts) {}
}

/// How far a task is after a usable answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It needs more requests for a result.
    Continues,
    /// It has a result.
    Completed,
}

/// When a request is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Due {
    /// The time. An earlier one than now means at once.
    pub at: Timestamp,
    /// Which of several due requests goes first.
    pub priority: Priority,
}

impl Due {
    /// Of a task that was last asked at this time, and is asked again after this interval. If the clock was set back behind
    /// that time, it is due at once.
    pub fn after(last: Option<Timestamp>, interval: Duration, now: Timestamp, priority: Priority) -> Self {
        let at = last.filter(|last| *last <= now).map_or(Timestamp::EPOCH, |last| last.plus(interval));
        Self { at, priority }
    }
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
