//! The limit of requests per token.

use std::time::Duration;

use crate::event::Timestamp;

/// Requests of a token in five minutes. More of them block it for five minutes.
pub const REQUESTS_PER_WINDOW: u32 = 1200;

const WINDOW: Duration = Duration::from_secs(300);

/// The requests of one token in windows of five minutes.
#[derive(Debug, Clone, Copy)]
pub(super) struct RateLimit {
    limit: u32,
    ends: Timestamp,
    used: u32,
    blocked: bool,
}

impl RateLimit {
    pub(super) fn new(limit: u32) -> Self {
        Self { limit, ends: Timestamp::EPOCH, used: 0, blocked: false }
    }

    /// Counts a request. The error is the time to wait.
    pub(super) fn count(&mut self, now: Timestamp) -> Result<(), Duration> {
        if now >= self.ends {
            *self = Self { ends: now.plus(WINDOW), ..Self::new(self.limit) };
        }
        self.used = self.used.saturating_add(1);
        if self.used > self.limit && !self.blocked {
            (self.blocked, self.ends) = (true, now.plus(WINDOW));
        }
        if self.blocked { Err(self.left(now)) } else { Ok(()) }
    }

    /// The headers `ratelimit` and `ratelimit-policy`.
    pub(super) fn headers(&self, now: Timestamp) -> [(&'static str, String); 2] {
        let (remaining, seconds) = (self.limit.saturating_sub(self.used), whole_seconds(self.left(now)));
        [
            ("ratelimit", format!("\"default\";r={remaining};t={seconds}")),
            ("ratelimit-policy", format!("\"default\";q={};w={}", self.limit, WINDOW.as_secs())),
        ]
    }

    fn left(&self, now: Timestamp) -> Duration {
        self.ends.since(now).unwrap_or_default()
    }
}

/// Rounded up, so that a client that waits as long is not early.
pub(super) fn whole_seconds(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_blocked_for_five_minutes_after_too_many_requests() {
        let at = |seconds: i64| Timestamp::from_seconds(1_800_000_000 + seconds);
        let mut limit = RateLimit::new(2);
        assert_eq!((limit.count(at(0)), limit.count(at(10))), (Ok(()), Ok(())));
        assert_eq!(limit.headers(at(10))[0].1, "\"default\";r=0;t=290");
        assert_eq!(limit.count(at(100)), Err(Duration::from_secs(300)));
        assert_eq!(limit.count(at(399)), Err(Duration::from_secs(1)));
        assert_eq!(limit.count(at(400)), Ok(()));
    }
}
