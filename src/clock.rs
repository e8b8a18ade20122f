//! The clocks. No other module reads one.
//!
//! The stages take the time as an argument, so that the same journal always folds to the same state.

#![expect(clippy::disallowed_methods, reason = "only this module reads clocks")]

use std::time::{Duration, Instant, SystemTime};

use crate::event::Timestamp;

/// The wall clock. It can jump forward and backward.
pub fn now() -> Timestamp {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    Timestamp::EPOCH.plus(since_epoch)
}

/// Measures durations with the monotonic clock.
#[derive(Debug, Clone, Copy)]
pub struct Stopwatch(Instant);

impl Stopwatch {
    /// Starts measuring.
    pub fn start() -> Self {
        Self(Instant::now())
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.0.elapsed()
    }
}
