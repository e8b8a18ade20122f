//! Which times of a notification are plausible.

use std::time::Duration;

use crate::event::Timestamp;

/// How far a time may be ahead of the clock. Without this limit, an event from a clock that is far ahead would stay the
/// newest one until that time.
const FUTURE_TOLERANCE: Duration = Duration::from_secs(5 * 60);

/// Longest plausible delay, inside Cloudflare and on the way. The sums of the delays never forget a larger one.
const LONGEST_DELAY: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Seconds from the Unix epoch to 2020-01-01T00:00:00Z. Cloudflare had no live inputs before.
const EARLIEST_EVENT: i64 = 1_577_836_800;

/// When a notification was received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Received {
    /// The time of the receipt.
    pub at: Timestamp,
    /// The latest time that a clock shows, if the clocks differ: what is in the past of any of them is not in the future.
    pub latest: Timestamp,
}

impl From<Timestamp> for Received {
    fn from(at: Timestamp) -> Self {
        Self { at, latest: at }
    }
}

impl Received {
    /// Whether an event at this time may have happened before the receipt.
    pub(super) fn is_future(self, updated_at: Timestamp) -> bool {
        updated_at > self.latest.plus(FUTURE_TOLERANCE)
    }

    /// The envelope's `ts` of an event, or `None` if it contradicts the other times. A number in another unit does.
    pub(super) fn sent_at(self, seconds: i64, updated_at: Timestamp) -> Option<Timestamp> {
        let sent_at = Timestamp::from_seconds(seconds);
        let earliest = updated_at.minus(FUTURE_TOLERANCE).max(self.at.minus(LONGEST_DELAY));
        let latest = updated_at.plus(LONGEST_DELAY).min(self.latest.plus(FUTURE_TOLERANCE));
        (earliest..=latest).contains(&sent_at).then_some(sent_at)
    }
}

/// Whether Cloudflare had no live inputs at this time.
pub(super) fn is_before_live_inputs(updated_at: Timestamp) -> bool {
    updated_at < Timestamp::from_seconds(EARLIEST_EVENT)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_795_300_000;
    const DAY: i64 = 86_400;
    const LONGEST: i64 = 30 * DAY;

    #[test]
    fn implausible_time_of_sending_is_absent() {
        let received = Received::from(Timestamp::from_seconds(NOW));
        let check = |ts: i64, updated_at: i64, plausible: bool| {
            let expected = plausible.then(|| Timestamp::from_seconds(ts));
            assert_eq!(received.sent_at(ts, Timestamp::from_seconds(updated_at)), expected, "{ts} {updated_at}");
        };
        for ts in [i64::MIN, -1, 0, 1, NOW * 1000, NOW * 1_000_000, i64::MAX] {
            check(ts, NOW, false);
            check(ts, 0, false);
        }
        for (ts, plausible) in [(0, true), (-300, true), (-301, false), (300, true), (301, false)] {
            check(NOW + ts, NOW, plausible);
        }
        // A long way, and a long time inside Cloudflare.
        check(NOW - LONGEST, NOW - LONGEST, true);
        check(NOW - LONGEST - 1, NOW - LONGEST, false);
        check(NOW, NOW - LONGEST, true);
        check(NOW, NOW - LONGEST - 1, false);
        check(NOW - LONGEST, NOW - 2 * LONGEST, true);
    }

    #[test]
    fn any_clock_decides_what_is_in_the_future() {
        let at = Timestamp::from_seconds;
        let received = Received { at: at(NOW), latest: at(NOW + DAY) };
        assert!(!received.is_future(at(NOW + DAY + 300)));
        assert!(received.is_future(at(NOW + DAY + 301)));
        assert_eq!(received.sent_at(NOW + DAY, at(NOW + DAY)), Some(at(NOW + DAY)));
    }

    #[test]
    fn earliest_event_is_of_2020() {
        assert!(is_before_live_inputs("2019-12-31T23:59:59Z".parse().unwrap()));
        assert!(!is_before_live_inputs("2020-01-01T00:00:00Z".parse().unwrap()));
    }
}
