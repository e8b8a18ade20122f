//! Rate limits per key. The crate `governor` does the counting; this bounds the number of keys in memory.

use std::hash::Hash;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use governor::Quota;
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use lru::LruCache;

use crate::clock::Stopwatch;

/// Maximum number of keys in memory. Beyond it, the least recently used key gets its full quota again.
const MAX_KEYS: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");

/// Admits a burst of requests per key, and further ones at a constant rate.
#[derive(Debug)]
pub struct RateLimiter<K: Clone + Eq + Hash> {
    quota: Quota,
    limiter: governor::RateLimiter<K, LruStates<K>, Stopwatch, NoOpMiddleware<Duration>>,
}

impl<K: Clone + Eq + Hash> RateLimiter<K> {
    /// Admits `count` requests per key and minute, all of them at once or evenly spread.
    pub fn per_minute(count: usize) -> Self {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        Self::new(Quota::per_minute(NonZeroU32::new(count).unwrap_or(NonZeroU32::MIN)))
    }

    pub(super) fn new(quota: Quota) -> Self {
        let states = LruStates(Mutex::new(LruCache::new(MAX_KEYS)));
        Self { quota, limiter: governor::RateLimiter::new(quota, states, Stopwatch::start()) }
    }

    pub(super) fn quota(&self) -> Quota {
        self.quota
    }

    /// Counts a request of this key, and returns whether it is within the limit.
    pub(super) fn admits(&self, key: &K) -> bool {
        self.limiter.check_key(key).is_ok()
    }
}

#[derive(Debug)]
struct LruStates<K: Eq + Hash>(Mutex<LruCache<K, Nanos>>);

impl<K: Clone + Eq + Hash> StateStore for LruStates<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, measure: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut states = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (outcome, state) = measure(states.get(key).copied())?;
        states.put(key.clone(), state);
        Ok(outcome)
    }
}

impl Clock for Stopwatch {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A limiter with an interval that is longer than any test.
    fn limiter(burst: u32) -> RateLimiter<u32> {
        let quota = Quota::with_period(Duration::from_secs(3600)).unwrap();
        RateLimiter::new(quota.allow_burst(NonZeroU32::new(burst).unwrap()))
    }

    fn admitted(limiter: &RateLimiter<u32>, key: u32, requests: usize) -> usize {
        (0..requests).filter(|_| limiter.admits(&key)).count()
    }

    #[test]
    fn each_key_has_its_own_burst() {
        let limiter = limiter(3);
        assert_eq!(admitted(&limiter, 1, 9), 3);
        assert_eq!(admitted(&limiter, 2, 9), 3);
        assert_eq!(admitted(&limiter, 1, 9), 0);
    }

    #[test]
    fn requests_are_admitted_again_after_the_interval() {
        let quota = Quota::with_period(Duration::from_nanos(1)).unwrap();
        let limiter = RateLimiter::new(quota);
        for _ in 0..3 {
            // Never ends if the limiter's clock stands still.
            while !limiter.admits(&()) {}
        }
    }

    #[test]
    fn least_recently_used_key_is_dropped_first() {
        let limiter = limiter(3);
        for key in 0..4096 {
            admitted(&limiter, key, 3);
        }
        assert_eq!(admitted(&limiter, 0, 1), 0, "the table is full, and no key is dropped");
        admitted(&limiter, 4096, 1);
        assert_eq!(admitted(&limiter, 0, 1), 0, "key 0 was used after key 1");
        assert_eq!(admitted(&limiter, 1, 3), 3, "key 1 was dropped");
    }
}
