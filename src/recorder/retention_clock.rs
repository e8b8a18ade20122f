//! The clock for retention.
//!
//! If the system clock jumps ahead, all records look old, and deleted records do not come back when the clock is
//! corrected. The retention clock therefore runs at most at twice real speed until it has caught up with the
//! system clock, which gives an operator as much time to react as the jump was long. If the system clock goes
//! back, the retention clock follows immediately, and returns with it.
//!
//! A restart continues from the time that the checkpoint has. The system clock may be wrong at the start, and then
//! nothing else shows that it is.

use std::time::Duration;

use crate::clock::{Stopwatch, TOLERANCE};
use crate::event::Timestamp;

/// After a longer downtime, a warning says that the retention clock is behind.
const DOWNTIME: Duration = Duration::from_secs(3600);

/// The time that the age of records and inputs is measured against.
pub(super) struct RetentionClock {
    /// The latest time that it has reached.
    reached: Timestamp,
    /// Since the last call of [`RetentionClock::now`].
    since_read: Stopwatch,
    /// The system clock is ahead by more than the tolerance; set while a warning is in force.
    lagging: bool,
}

impl RetentionClock {
    /// A clock that has reached a time in an earlier run.
    pub(super) fn new(now: Timestamp, reached: Timestamp) -> Self {
        if now > reached.plus(DOWNTIME) {
            tracing::warn!(
                system_clock = %now, retention_clock = %reached,
                "system clock is far ahead of the journal; retention is slowed down until it has caught up"
            );
        }
        Self { reached, since_read: Stopwatch::start(), lagging: now > reached.plus(TOLERANCE) }
    }

    /// The latest time that it has reached.
    pub(super) fn reached(&mut self, system_clock: Timestamp) -> Timestamp {
        self.now(system_clock);
        self.reached
    }

    /// The current retention time. Replicas that share a journal share the system clock, too: that of the database.
    pub(super) fn now(&mut self, system_clock: Timestamp) -> Timestamp {
        let elapsed = self.since_read.elapsed();
        self.since_read = Stopwatch::start();
        self.advance(system_clock, elapsed)
    }

    /// Moves towards the system clock, `elapsed` after the last call.
    fn advance(&mut self, system_clock: Timestamp, elapsed: Duration) -> Timestamp {
        self.reached = self.reached.max(system_clock.min(self.reached.plus(elapsed * 2)));
        let lagging = system_clock > self.reached.plus(TOLERANCE);
        if lagging && !self.lagging {
            let retention_clock = self.reached;
            tracing::warn!(
                %system_clock, %retention_clock,
                "system clock jumped ahead; retention is slowed down until it has caught up"
            );
        }
        self.lagging = lagging;
        self.reached.min(system_clock)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const YEAR: i64 = 365 * 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    #[test]
    fn retention_clock_follows_the_system_clock_and_slows_down_after_a_jump_ahead() {
        let minute = Duration::from_secs(60);
        let mut clock = RetentionClock::new(at(0), at(0));
        for (system_clock, expected, lagging) in [
            (60, 60, false),
            (120, 120, false),
            // A small step ahead, such as a correction.
            (240, 240, false),
            (YEAR, 360, true),
            (YEAR + 60, 480, true),
            // Corrected.
            (480, 480, false),
            (540, 540, false),
            // Back, and right again.
            (-YEAR, -YEAR, false),
            (60 - YEAR, 60 - YEAR, false),
            (720, 660, false),
            (780, 780, false),
            // Ahead by an hour for good.
            (4440, 900, true),
            (4500, 1020, true),
        ] {
            let now = clock.advance(at(system_clock), minute);
            assert_eq!((now, clock.lagging), (at(expected), lagging), "{system_clock}");
        }
        let caught_up = clock.advance(at(8100), Duration::from_secs(3600));
        assert_eq!(caught_up, at(8100), "caught up after an hour");
    }

    #[test]
    fn retention_clock_continues_at_the_time_of_an_earlier_run() {
        for (system_clock, reached, now, lagging) in
            [(300, 0, 0, false), (301, 0, 0, true), (YEAR, 0, 0, true), (0, YEAR, 0, false)]
        {
            let mut clock = RetentionClock::new(at(system_clock), at(reached));
            assert_eq!(clock.lagging, lagging, "{system_clock} {reached}");
            assert_eq!(clock.advance(at(system_clock), Duration::ZERO), at(now), "{system_clock} {reached}");
        }
    }
}
