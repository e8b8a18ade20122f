//! What an engine knows, for gauges and the API.

use std::collections::BTreeMap;

use super::{ApiError, TaskName};
use crate::event::Timestamp;

/// What an engine knows. What belongs to a task that is switched off is not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Facts {
    /// The tasks that are switched on.
    pub tasks: BTreeMap<TaskName, TaskFacts>,
    /// When the input was asked for its status whose last answer is the oldest; `None` until all inputs were asked.
    pub oldest_status: Option<Timestamp>,
    /// When Cloudflare last delivered a notification to our destination.
    pub destination_last_success: Option<Timestamp>,
    /// When Cloudflare last failed to.
    pub destination_last_failure: Option<Timestamp>,
    /// Whether an enabled policy sends all live input events to our destination, and no silence is over it.
    pub policy_delivering: Option<bool>,
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

impl Facts {
    /// When a task last completed.
    pub fn last_success(&self, name: TaskName) -> Option<Timestamp> {
        self.tasks.get(&name)?.last_success
    }
}
