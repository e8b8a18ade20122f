//! Timers of the housekeeping tasks.

use std::time::Duration;

use crate::clock::Stopwatch;

/// Times since tasks ran last.
pub(super) struct Timers {
    pub(super) since_checkpoint: Stopwatch,
    /// `None` if an expiry was requested.
    since_expiry: Option<Stopwatch>,
    pub(super) since_task: Stopwatch,
    /// Since the journal noted that the daemon runs.
    pub(super) since_running: Stopwatch,
    /// From the last task to the next.
    pub(super) pause: Duration,
}

impl Default for Timers {
    fn default() -> Self {
        let now = Stopwatch::start();
        Self {
            since_checkpoint: now,
            since_expiry: Some(now),
            since_task: now,
            since_running: now,
            pause: Duration::ZERO,
        }
    }
}

impl Timers {
    /// Starts the interval to the next checkpoint.
    pub(super) fn restart_checkpoint(&mut self) {
        self.since_checkpoint = Stopwatch::start();
    }

    /// Starts the interval to the next note that the daemon runs.
    pub(super) fn restart_running(&mut self) {
        self.since_running = Stopwatch::start();
    }

    /// Starts the interval to the next expiry.
    pub(super) fn restart_expiry(&mut self) {
        self.since_expiry = Some(Stopwatch::start());
    }

    /// Makes an expiry due now.
    pub(super) fn request_expiry(&mut self) {
        self.since_expiry = None;
    }

    /// The time until the next expiry, which run at this interval.
    pub(super) fn until_expiry(&self, interval: Duration) -> Duration {
        self.since_expiry.map_or(Duration::ZERO, |since| interval.saturating_sub(since.elapsed()))
    }
}
