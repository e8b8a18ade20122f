//! How old is old?
//!
//! A wall clock that jumps ahead makes everything old at once, and what is deleted for its age does not
//! come back when the clock is set right. So the day by which things are old goes by at twice the speed
//! of time at the most, until it is that of the wall clock again: whoever sees the warning has as long as
//! the jump was wide. A clock that goes back is followed at once.

use std::time::Duration;

use super::duties::CLOCK_TOLERANCE;
use crate::clock::{self, Stopwatch};
use crate::event::Timestamp;

/// The day by which things are old. A start believes the wall clock.
pub(super) struct Calendar {
    today: Timestamp,
    looked: Stopwatch,
    doubted: bool,
}

impl Calendar {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { today: now, looked: Stopwatch::start(), doubted: false }
    }

    pub(super) fn today(&mut self) -> Timestamp {
        let elapsed = self.looked.elapsed();
        self.looked = Stopwatch::start();
        self.turn(clock::now(), elapsed)
    }

    /// Goes on to `now`, when so much time has passed since the last time.
    fn turn(&mut self, now: Timestamp, elapsed: Duration) -> Timestamp {
        self.today = now.min(self.today.plus(elapsed * 2));
        let doubted = now > self.today.plus(CLOCK_TOLERANCE);
        if doubted && !self.doubted {
            let today = self.today;
            tracing::warn!(%now, %today, "the clock has jumped ahead; what is deleted for its age is so later");
        }
        self.doubted = doubted;
        self.today
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    #[test]
    fn it_follows_the_clock_and_hardly_one_that_jumps_ahead() {
        let minute = Duration::from_secs(60);
        let mut calendar = Calendar::new(at(0));
        let year = 365 * 86_400;
        for (now, today, doubted) in [
            (60, 60, false),
            (120, 120, false),
            // A small step ahead, as a clock makes that is corrected.
            (240, 240, false),
            (year, 360, true),
            (year + 60, 480, true),
            // It is set right, and a little behind.
            (420, 420, false),
            (300, 300, false),
            (360, 360, false),
            // It stays ahead, by an hour.
            (4020, 480, true),
            (4080, 600, true),
        ] {
            assert_eq!((calendar.turn(at(now), minute), calendar.doubted), (at(today), doubted), "{now}");
        }
        assert_eq!(calendar.turn(at(7680), Duration::from_secs(3600)), at(7680), "an hour later it has caught up");
    }
}
