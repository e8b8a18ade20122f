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
    /// Whether it refuses the token.
    is_refused: bool,
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
        Self {
            interval,
            random,
            place: started,
            slot,
            pause: Pause::new(started, Duration::ZERO),
            is_refused: false,
            failures: 0,
        }
    }

    /// Changes the share of the API's limit.
    pub fn set_share(&mut self, request_share: f64) {
        self.interval = interval(request_share);
        self.slot.length = self.slot.length.min(self.interval);
    }

    /// Ends a pause because of a token that was refused: there is another one. A limit is that of the user, and stays.
    pub fn resume(&mut self, now: Timestamp) {
        if std::mem::take(&mut self.is_refused) {
            self.pause = Pause::new(now, Duration::ZERO);
        }
    }

    /// When the next request may be sent.
    pub fn next(&mut self, now: Timestamp) -> Timestamp {
        self.slot.end(now).max(self.pause.end(now))
    }

    /// A request is sent. The next one is an interval after the place of this one, if this one is about in time.
    pub fn sent(&mut self, now: Timestamp) {
        let place = self.place.max(now.minus(self.interval / 4)).min(now);
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
                    (Some(0), Some(reset)) => reset,
                    (Some(remaining), Some(reset)) => {
                        reset.min(LIMIT_PERIOD) / u32::try_from(remaining).unwrap_or(u32::MAX)
                    }
                    _ => Duration::ZERO,
                };
                let demanded = match response.status {
                    429 => limit.retry_after.or(limit.reset).unwrap_or(BLOCKED),
                    401 => limit.retry_after.unwrap_or_default().max(UNAUTHORIZED),
                    400.. => limit.retry_after.unwrap_or_default(),
                    _ => Duration::ZERO,
                };
                // From the request on, not from the answer: the rate counts.
                self.slot.length = self.slot.length.max(spread.min(LONGEST_PAUSE));
                (demanded, response.status >= 500)
            }
        };
        self.is_refused = matches!(answer, Ok(response) if response.status == 401);
        self.failures = if failed { self.failures.saturating_add(1) } else { 0 };
        let backoff = if failed { API_BACKOFF.after(self.failures, &mut self.random) } else { Duration::ZERO };
        self.pause = Pause::new(now, length.min(LONGEST_PAUSE).max(backoff));
    }
}

fn interval(request_share: f64) -> Duration {
    let per_request = LIMIT_PERIOD.as_secs_f64() / LIMIT;
    Duration::try_from_secs_f64(per_request / request_share).unwrap_or(LONGEST_PAUSE).min(LONGEST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cloudflare::{RateLimit, Response, TransportError};

    fn at(seconds: u64) -> Timestamp {
        Timestamp::from_seconds(1_800_000_000).plus(Duration::from_secs(seconds))
    }

    fn answer(status: u16, limit: RateLimit) -> Answer {
        Ok(Response { status, limit, date: None, body: Vec::new() })
    }

    /// A budget after a request and its answer, and how many seconds later the next request may be sent.
    fn wait_after(answers: &[Answer]) -> (Budget, f64) {
        let mut budget = Budget::new(0.25, at(0), 5);
        let mut now = at(100);
        for answer in answers {
            budget.sent(now);
            budget.answered(answer, now);
            now = budget.next(now);
        }
        let sent = answers.len() as u64;
        assert!(sent > 0);
        let wait = budget.pause.length.max(budget.slot.length).as_secs_f64();
        (budget, wait)
    }

    #[test]
    fn wait_is_what_the_answer_demands() {
        let seconds = |seconds| Some(Duration::from_secs(seconds));
        let limit = |retry_after: u64, remaining: u64, reset: u64| RateLimit {
            retry_after: seconds(retry_after).filter(|it| !it.is_zero()),
            remaining: Some(remaining),
            reset: seconds(reset),
        };
        let none = RateLimit::default();
        for (answers, least, most) in [
            (vec![answer(200, none)], 0.75, 1.1),
            (vec![answer(404, none)], 0.75, 1.1),
            (vec![answer(429, none)], 300.0, 300.0),
            (vec![answer(429, RateLimit { retry_after: seconds(42), ..none })], 42.0, 42.0),
            (vec![answer(429, limit(0, 0, 77))], 77.0, 77.0),
            (vec![answer(429, RateLimit { retry_after: seconds(86_400), ..none })], 3600.0, 3600.0),
            (vec![answer(503, RateLimit { retry_after: seconds(120), ..none })], 120.0, 120.0),
            (vec![answer(401, none)], 60.0, 60.0),
            (vec![answer(200, limit(0, 1199, 300))], 0.75, 1.1),
            (vec![answer(200, limit(0, 60, 300))], 5.0, 5.0),
            (vec![answer(200, limit(0, 600, 90_000))], 0.75, 1.1),
            (vec![answer(200, limit(0, 0, 120))], 120.0, 120.0),
            (vec![answer(500, none)], 1.0, 1.4),
            (vec![answer(500, none); 4], 8.0, 10.0),
            (vec![answer(500, none); 40], 60.0, 75.0),
            (vec![Err(TransportError::Timeout); 4], 8.0, 10.0),
            (vec![Err(TransportError::Timeout), answer(200, none), Err(TransportError::Timeout)], 1.0, 1.4),
        ] {
            let (_, wait) = wait_after(&answers);
            assert!((least..=most).contains(&wait), "{:?}: {wait}", answers.last());
        }
    }

    #[test]
    fn late_requests_are_not_made_up_for() {
        let mut budget = Budget::new(0.25, at(0), 5);
        budget.sent(at(10));
        budget.answered(&answer(200, RateLimit::default()), at(10));
        let mut now = at(500);
        for _ in 0..20 {
            assert!(budget.next(now) <= now || budget.next(now) <= now.plus(Duration::from_millis(1100)));
            now = budget.next(now).max(now);
            budget.sent(now);
        }
        assert!(now >= at(517), "{now}");
    }

    #[test]
    fn clock_that_is_set_back_begins_the_pause_again() {
        let mut budget = Budget::new(0.25, at(90_000), 5);
        budget.sent(at(90_000));
        budget.answered(&answer(429, RateLimit::default()), at(90_000));
        assert_eq!(budget.next(at(1000)), at(1300));
        assert_eq!(budget.next(at(1200)), at(1300));
        budget.sent(at(1300));
        budget.answered(&answer(200, RateLimit::default()), at(1300));
        assert!(budget.next(at(1300)) < at(1302));
    }

    #[test]
    fn another_token_ends_the_pause_of_a_refused_one_and_of_nothing_else() {
        for (status, wait) in [(401, 0), (429, 300)] {
            let mut budget = Budget::new(0.25, at(0), 5);
            budget.sent(at(100));
            budget.answered(&answer(status, RateLimit::default()), at(110));
            budget.resume(at(110));
            assert_eq!(budget.next(at(110)).max(at(110)), at(110 + wait), "{status}");
        }
    }

    #[test]
    fn share_of_any_size_gives_an_interval() {
        for (share, seconds) in [(0.25, 1.0), (1.0, 0.25), (0.001, 250.0), (1e-300, 3600.0)] {
            assert!((interval(share).as_secs_f64() - seconds).abs() < 1e-6, "{share}");
        }
    }
}
