//! The only place that reads a clock.
//!
//! Everything else is handed the time: the stages as an argument, so that the same journal always
//! folds to the same state; the shells from here.

#![expect(clippy::disallowed_methods, reason = "this module is where the clocks are read")]

use std::time::{Duration, Instant, SystemTime};

use crate::event::Timestamp;

/// The wall clock, which may jump either way.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since_epoch)
}

/// Measures a span of time on the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts to measure.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
