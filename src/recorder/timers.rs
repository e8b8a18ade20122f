//! Timers of the housekeeping tasks.

use std::time::Duration;

use crate::clock::Stopwatch;

/// Times since tasks ran last.
pub(super) struct Timers {
    pub(super) since_checkpoint: Stopwatch,
    pub(super) since_expiry: Stopwatch,
    pub(super) since_task: Stopwatch,
    /// From the last task to the next.
    pub(super) pause: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let now = Stopwatch::start();
        Self { since_checkpoint: now, since_expiry: now, since_task: now, pause: Duration::ZERO }
    }
}

impl Timers {
    /// Starts the interval to the next checkpoint.
    pub(super) fn restart_checkpoint(&mut self) {
        self.since_checkpoint = Stopwatch::start();
    }
}
