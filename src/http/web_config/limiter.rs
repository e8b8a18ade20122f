//! A limit of requests for the whole listener: one per interval, and so many at once.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::clock::Stopwatch;

/// How many requests may come, and how fast.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rate {
    pub(super) interval: Duration,
    pub(super) burst: u32,
}

/// The time at which all that was let in will have had its interval.
#[derive(Debug)]
pub(super) struct Limiter {
    rate: Rate,
    since: Stopwatch,
    paid_at: Mutex<Duration>,
}

impl Limiter {
    pub(super) fn new(rate: Rate) -> Self {
        Self { rate, since: Stopwatch::start(), paid_at: Mutex::new(Duration::ZERO) }
    }

    pub(super) fn admits(&self) -> bool {
        self.admits_at(self.since.elapsed())
    }

    fn admits_at(&self, now: Duration) -> bool {
        let mut paid_at = self.paid_at.lock().unwrap_or_else(PoisonError::into_inner);
        let with_this = now.max(*paid_at).saturating_add(self.rate.interval);
        let admitted = with_this <= now.saturating_add(self.rate.interval.saturating_mul(self.rate.burst));
        if admitted {
            *paid_at = with_this;
        }
        admitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_then_one_per_interval() {
        let limiter = Limiter::new(Rate { interval: Duration::from_millis(100), burst: 3 });
        let admitted = |millis: u64| (0..9).filter(|_| limiter.admits_at(Duration::from_millis(millis))).count();
        assert_eq!([0, 99, 100, 150, 350, 5000].map(admitted), [3, 0, 1, 0, 2, 3]);
    }
}
