//! A wall clock without its short jumps.

use std::time::Duration;

use crate::event::Timestamp;

/// A larger difference between two clocks is an error of one of them.
pub const TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// A jump that lasts for this long is followed.
const CONFIRMATION: Duration = Duration::from_secs(10);

/// Follows the wall clock. During a jump it goes on by the uptime, until the jump has lasted. The end of a jump that was
/// followed needs no such time.
#[derive(Debug)]
pub(super) struct SteadyClock {
    /// Nanoseconds from the uptime to the time.
    offset: i64,
    /// The offset before the last jump that was followed.
    before_jump: Option<i64>,
    jump: Option<Jump>,
}

/// A jump that is not followed yet.
#[derive(Debug, Clone, Copy)]
struct Jump {
    /// The uptime at which it was noticed, in nanoseconds.
    since: i64,
    /// Nanoseconds from the uptime to the wall clock.
    offset: i64,
}

/// The result of reading the clock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Read {
    pub(super) now: Timestamp,
    /// A jump was noticed by this reading.
    pub(super) jumped: bool,
}

impl SteadyClock {
    pub(super) fn new(wall: Timestamp, uptime: Duration) -> Self {
        Self { offset: wall.as_nanos() - nanos(uptime), before_jump: None, jump: None }
    }

    pub(super) fn read(&mut self, wall: Timestamp, uptime: Duration) -> Read {
        let uptime = nanos(uptime);
        let offset = wall.as_nanos() - uptime;
        let mut jumped = false;
        if is_close(offset, self.offset) {
            (self.offset, self.jump) = (offset, None);
        } else if self.before_jump.is_some_and(|before| is_close(offset, before)) {
            (self.offset, self.before_jump, self.jump) = (offset, None, None);
        } else {
            let known = self.jump.filter(|jump| is_close(offset, jump.offset));
            jumped = known.is_none();
            let jump = known.unwrap_or(Jump { since: uptime, offset });
            if uptime - jump.since >= nanos(CONFIRMATION) {
                (self.before_jump, self.offset, self.jump) = (Some(self.offset), offset, None);
            } else {
                self.jump = Some(jump);
            }
        }
        Read { now: Timestamp::from_nanos(uptime.saturating_add(self.offset)), jumped }
    }
}

fn is_close(one: i64, other: i64) -> bool {
    u128::from(one.abs_diff(other)) <= TOLERANCE.as_nanos()
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(1_795_000_000 + seconds)
    }

    /// Reads the clock at each uptime with each offset of the wall clock, and expects an offset of the time.
    fn check(readings: &[(u64, i64, i64)]) {
        let mut clock = SteadyClock::new(at(0), Duration::ZERO);
        for &(uptime, offset, expected) in readings {
            let now = uptime.cast_signed();
            let read = clock.read(at(now + offset), Duration::from_secs(uptime));
            assert_eq!(read.now, at(now + expected), "at {uptime} of {readings:?}");
        }
    }

    #[test]
    fn step_within_the_tolerance_is_followed_at_once() {
        check(&[(1, 300, 300), (2, 0, 0), (3, -300, -300), (4, 0, 0)]);
    }

    #[test]
    fn jump_is_followed_once_it_has_lasted() {
        for offset in [301, -301, DAY, -DAY, 3650 * DAY] {
            check(&[(1, 0, 0), (2, offset, 0), (11, offset, 0), (12, offset, offset), (13, offset, offset)]);
        }
    }

    #[test]
    fn jump_that_ends_soon_changes_nothing() {
        for offset in [301, -301, DAY, -DAY, 3650 * DAY] {
            check(&[(2, offset, 0), (3, 0, 0), (12, offset, 0), (13, 0, 0), (22, 0, 0)]);
        }
    }

    #[test]
    fn end_of_a_jump_that_was_followed_is_followed_at_once() {
        for offset in [700, -700, DAY, -DAY, 3650 * DAY] {
            // The second time it must last again.
            check(&[(2, offset, 0), (12, offset, offset), (20, 60, 60), (21, offset, 60), (31, offset, offset)]);
        }
    }

    #[test]
    fn each_jump_must_last_by_itself() {
        check(&[(2, DAY, 0), (9, 2 * DAY, 0), (12, 2 * DAY, 0), (18, 2 * DAY, 0), (19, 2 * DAY, 2 * DAY)]);
        // A step within the tolerance belongs to the same jump.
        check(&[(2, DAY, 0), (9, DAY + 60, 0), (12, DAY + 60, DAY + 60)]);
    }

    #[test]
    fn each_jump_is_reported_once() {
        let mut clock = SteadyClock::new(at(0), Duration::ZERO);
        let mut jumped = |uptime: u64, offset: i64| {
            clock.read(at(uptime.cast_signed() + offset), Duration::from_secs(uptime)).jumped
        };
        let jumps = [(1, 0), (2, DAY), (3, DAY), (4, 0), (5, DAY), (15, DAY), (16, DAY), (17, 0), (27, 0), (28, -DAY)];
        let jumps = jumps.map(|(uptime, offset)| jumped(uptime, offset));
        assert_eq!(jumps, [false, true, false, false, true, false, false, false, false, true]);
    }

    #[test]
    fn extreme_times_do_not_overflow() {
        let mut clock = SteadyClock::new(Timestamp::EPOCH, Duration::ZERO);
        let latest = Timestamp::from_nanos(i64::MAX);
        assert_eq!(clock.read(latest, Duration::from_secs(1)).now, Timestamp::from_seconds(1));
        assert_eq!(clock.read(latest, Duration::from_secs(11)).now, latest);
        assert_eq!(clock.read(Timestamp::EPOCH, Duration::MAX).now, latest);
    }
}
