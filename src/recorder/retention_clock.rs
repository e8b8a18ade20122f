//! The clock for retention.
//!
//! If the wall clock jumps ahead, all records look old, and deleted records do not come back when the clock is
//! corrected. The retention clock therefore runs at most at twice real speed until it has caught up with the
//! wall clock, which gives an operator as much time to react as the jump was long. If the wall clock goes
//! back, the retention clock follows immediately.

use std::time::Duration;

use crate::clock::{self, Stopwatch};
use crate::event::Timestamp;

/// A larger difference between clocks, or to the newest record, is a jump.
pub(super) const CLOCK_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// The time that the age of records and inputs is measured against.
pub(super) struct RetentionClock {
    now: Timestamp,
    /// Since the last call of [`RetentionClock::now`].
    since_read: Stopwatch,
    /// The wall clock is ahead by more than the tolerance; set while a warning is in force.
    lagging: bool,
}

impl RetentionClock {
    /// A clock that starts at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self { now, since_read: Stopwatch::start(), lagging: false }
    }

    /// The current retention time.
    pub(super) fn now(&mut self) -> Timestamp {
        let elapsed = self.since_read.elapsed();
        self.since_read = Stopwatch::start();
        self.advance(clock::now(), elapsed)
    }

    /// Moves towards the wall clock, `elapsed` after the last call.
    fn advance(&mut self, wall_clock: Timestamp, elapsed: Duration) -> Timestamp {
        self.now = wall_clock.min(self.now.plus(elapsed * 2));
        let lagging = wall_clock > self.now.plus(CLOCK_TOLERANCE);
        if lagging && !self.lagging {
            let retention_clock = self.now;
            tracing::warn!(
                %wall_clock, %retention_clock,
                "system clock jumped ahead; retention is slowed down until it has caught up"
            );
        }
        self.lagging = lagging;
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    #[test]
    fn retention_clock_follows_the_wall_clock_and_slows_down_after_a_jump_ahead() {
        let minute = Duration::from_secs(60);
        let mut clock = RetentionClock::new(at(0));
        let year = 365 * 86_400;
        for (wall_clock, expected, lagging) in [
            (60, 60, false),
            (120, 120, false),
            // A small step ahead, such as a correction.
            (240, 240, false),
            (year, 360, true),
            (year + 60, 480, true),
            // Corrected, and a little behind.
            (420, 420, false),
            (300, 300, false),
            (360, 360, false),
            // Ahead by an hour for good.
            (4020, 480, true),
            (4080, 600, true),
        ] {
            let now = clock.advance(at(wall_clock), minute);
            assert_eq!((now, clock.lagging), (at(expected), lagging), "{wall_clock}");
        }
        let caught_up = clock.advance(at(7680), Duration::from_secs(3600));
        assert_eq!(caught_up, at(7680), "caught up after an hour");
    }
}
