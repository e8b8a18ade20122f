//! When the next request to an account may be sent.
//!
//! All tasks of an account share one budget. Requests are spread evenly over time, and are never made up for: after a
//! pause, the next ones come at the same distance. Responses can only make the pauses longer.

use std::time::Duration;

use super::Answer;
use crate::event::Timestamp;

/// The API's limit: this many requests in [`LIMIT_PERIOD`].
const LIMIT: f64 = 1200.0;
const LIMIT_PERIOD: Duration = Duration::from_secs(300);
/// The longest time to wait because of what the API says.
const LONGEST_PAUSE: Duration = Duration::from_secs(3600);
/// How long the API blocks a token that sent too many requests.
const BLOCKED: Duration = Duration::from_secs(300);
/// How often a token is tried that the API does not accept.
const UNAUTHORIZED: Duration = Duration::from_secs(60);
/// By how much of the interval a request is late at most, by chance.
const JITTER: f64 = 0.1;
/// The budget's backoff: the API as a whole does not answer.
const API_BACKOFF: Backoff = Backoff { first: Duration::from_secs(1), longest: Duration::from_secs(60) };

/// When the next request to an account may be sent.
#[derive(Debug)]
pub struct Budget {
    interval: Duration,
    random: fastrand::Rng,
    /// The place of the next request in the even spacing.
    place: Timestamp,
    /// Until that place, and a little longer by chance.
    slot: Pause,
    /// What the last response demands.
    pause: Pause,
    /// Number of requests in a row without a usable response.
    failures: u32,
}

/// A time to wait.
#[derive(Debug, Clone, Copy)]
pub struct Pause {
    from: Timestamp,
    length: Duration,
}

/// How long to wait after failures: twice as long after each.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    /// After the first failure.
    pub first: Duration,
    /// After many failures.
    pub longest: Duration,
}

impl Pause {
    /// A wait from this time on.
    pub fn new(from: Timestamp, length: Duration) -> Self {
        Self { from, length }
    }

    /// When it ends. If the clock was set back before its begin, it begins again: otherwise it could last for years.
    pub fn end(&mut self, now: Timestamp) -> Timestamp {
        self.from = self.from.min(now);
        self.from.plus(self.length)
    }
}

impl Backoff {
    /// How long to wait after this many failures in a row: at most a quarter more than twice as long as before, by chance, so
    /// that several exporters do not ask together.
    pub fn after(self, failures: u32, random: &mut fastrand::Rng) -> Duration {
        let doubled = self.first.saturating_mul(1 << failures.saturating_sub(1).min(20));
        doubled.min(self.longest).mul_f64(1.0 + random.f64() / 4.0)
    }
}

impl Budget {
    /// A budget that begins at this time, with this share of the API's limit.
    pub fn new(request_share: f64, started: Timestamp, seed: u64) -> Self {
        let interval = interval(request_share);
        let mut random = fastrand::Rng::with_seed(seed);
        let slot = Pause::new(started, interval.mul_f64(random.f64()));
        Self { interval, random, place: started, slot, pause: Pause::new(started, Duration::ZERO), failures: 0 }
    }

    /// Changes the share of the API's limit.
    pub fn set_share(&mut self, request_share: f64) {
        self.interval = interval(request_share);
        self.slot.length = self.slot.length.min(self.interval);
    }

    /// Drops what the last response demands: it was about another token.
    pub fn resume(&mut self, now: Timestamp) {
        self.pause = Pause::new(now, Duration::ZERO);
        self.failures = 0;
    }

    /// When the next request may be sent.
    pub fn next(&mut self, now: Timestamp) -> Timestamp {
        self.slot.end(now).max(self.pause.end(now))
    }

    /// A request is sent. The next one is an interval after the place of this one, or after now if this one is late.
    pub fn sent(&mut self, now: Timestamp) {
        let place = self.place.max(now.minus(self.interval)).min(now);
        self.place = place.plus(self.interval);
        let jitter = self.interval.mul_f64(JITTER * self.random.f64());
        self.slot = Pause::new(now, self.place.since(now).unwrap_or_default() + jitter);
    }

    /// What the answer to it means for the next one.
    pub fn answered(&mut self, answer: &Answer, now: Timestamp) {
        let (length, failed) = match answer {
            Err(_) => (Duration::ZERO, true),
            Ok(response) => {
                let limit = response.limit;
                let spread = match (limit.remaining, limit.reset) {
                    (Some(remaining), Some(reset)) => reset / u32::try_from(remaining.max(1)).unwrap_or(u32::MAX),
                    _ => Duration::ZERO,
                };
                let demanded = match response.status {
                    429 => limit.retry_after.or(limit.reset).unwrap_or(BLOCKED),
                    401 => limit.retry_after.unwrap_or_default().max(UNAUTHORIZED),
                    400.. => limit.retry_after.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                (demanded.max(spread), response.status >= 500)
            }
        };
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let backoff = if failed { API_BACKOFF.after(self.failures, &mut self.random) } else { Duration::ZERO };
        self.pause = Pause::new(now, length.min(LONGEST_PAUSE).max(backoff));
    }
}

fn interval(request_share: f64) -> Duration {
    let per_request = LIMIT_PERIOD.as_secs_f64() / LIMIT;
    Duration::try_from_secs_f64(per_request / request_share).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}
