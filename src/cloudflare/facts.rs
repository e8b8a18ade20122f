//! What an engine knows, for gauges and the API.

use std::collections::BTreeMap;

use super::history::Unusable;
use super::{ApiError, Period, TaskName};
use crate::event::Timestamp;

/// What an engine knows. What belongs to a task that is switched off is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The tasks that are switched on.
    pub tasks: BTreeMap<TaskName, TaskFacts>,
    /// When the input was asked for its status whose last answer is the oldest; `None` until all inputs were asked.
    pub oldest_status: Option<Timestamp>,
    /// Whether there is a destination with our URL.
    pub destination_found: Option<bool>,
    /// When the budget allows the next request; `None` before the first answer.
    pub next_request: Option<Timestamp>,
    /// When Cloudflare last delivered a notification to our destination.
    pub destination_last_success: Option<Timestamp>,
    /// When Cloudflare last failed to.
    pub destination_last_failure: Option<Timestamp>,
    /// Whether an enabled policy sends all live input events to our destination, and no silence is over it.
    pub policy_delivering: Option<bool>,
    /// What the current backfill has read, or the last one.
    pub backfill: Option<BackfillProgress>,
}

/// How a task is doing.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TaskFacts {
    /// When it last completed.
    pub last_success: Option<Timestamp>,
    /// When a request of it last failed.
    pub last_failure: Option<Timestamp>,
    /// Number of failures since the last usable answer.
    pub failures: u32,
    /// Why its newest request failed; `None` if it did not.
    pub error: Option<ApiError>,
}

/// What a backfill has read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackfillProgress {
    /// The part of the history that is read.
    pub period: Period,
    /// When it ended; `None` while it runs.
    pub ended: Option<Timestamp>,
    /// Number of pages that were read.
    pub pages: u64,
    /// What the entries are.
    pub entries: Entries,
    /// The last error, unless a request has succeeded since.
    pub error: Option<ApiError>,
}

/// Numbers of entries of the history.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Entries {
    /// All, each once.
    pub read: u64,
    /// Different events among them.
    pub events: u64,
    /// Those that are no events, by reason.
    pub unusable: BTreeMap<&'static str, u64>,
}

impl Facts {
    /// When a task last completed.
    pub fn last_success(&self, name: TaskName) -> Option<Timestamp> {
        self.tasks.get(&name)?.last_success
    }
}

impl Entries {
    /// Counts an entry that is no event.
    pub(super) fn count(&mut self, unusable: Unusable) {
        *self.unusable.entry(unusable.label()).or_default() += 1;
    }

    /// Adds those of another part.
    pub(super) fn add(&mut self, other: &Self) {
        self.read += other.read;
        self.events += other.events;
        for (reason, count) in &other.unusable {
            *self.unusable.entry(reason).or_default() += count;
        }
    }
}
