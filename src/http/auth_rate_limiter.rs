//! Wrong secrets, per peer: how many are answered before a peer is told to go away.
//!
//! Secrets cannot be guessed, so this does not protect them: it keeps somebody who tries from being
//! answered and counted as fast as he can. A right secret never gets here. The table is bounded; when
//! it is full, whoever was longest away is forgotten.

use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;

use super::peer::network;
use crate::clock::Stopwatch;

/// So many peers are remembered.
const PEERS: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");
/// The time over which limiter are counted.
const PERIOD: Duration = Duration::from_secs(60);

/// Of each peer, the time at which all its limiter will have been forgiven: one after the other, as
/// many in a period as are allowed. (The generic cell rate algorithm.)
pub(super) struct AuthRateLimiter {
    since: Stopwatch,
    forgiven_at: Mutex<LruCache<IpAddr, Duration>>,
}

impl AuthRateLimiter {
    pub(super) fn new() -> Self {
        Self { since: Stopwatch::start(), forgiven_at: Mutex::new(LruCache::new(PEERS)) }
    }

    /// Counts a failure of this peer, and says whether it had too many already.
    pub(super) fn too_many(&self, address: IpAddr, per_period: usize) -> bool {
        self.too_many_at(self.since.elapsed(), network(address), per_period)
    }

    fn too_many_at(&self, now: Duration, peer: IpAddr, per_period: usize) -> bool {
        let cost = PERIOD / u32::try_from(per_period).unwrap_or(u32::MAX).max(1);
        let mut forgiven_at = self.forgiven_at.lock().unwrap_or_else(PoisonError::into_inner);
        let forgiven = forgiven_at.get_or_insert_mut(peer, || now);
        let with_this = now.max(*forgiven) + cost;
        let too_many = with_this > now + PERIOD;
        if !too_many {
            *forgiven = with_this;
        }
        too_many
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u32) -> IpAddr {
        IpAddr::V4(number.into())
    }

    /// How many of `tries` at this time are answered.
    fn answered(limiter: &AuthRateLimiter, seconds: u64, number: u32, tries: usize) -> usize {
        let now = Duration::from_secs(seconds);
        (0..tries).filter(|_| !limiter.too_many_at(now, peer(number), 30)).count()
    }

    #[test]
    fn a_peer_has_so_many_failures_in_a_minute() {
        let limiter = AuthRateLimiter::new();
        assert_eq!(answered(&limiter, 0, 1, 100), 30);
        assert_eq!(answered(&limiter, 0, 2, 100), 30, "another peer has its own");
        assert_eq!(answered(&limiter, 1, 1, 100), 0);
        assert_eq!(answered(&limiter, 10, 1, 100), 5, "they are forgiven one by one");
        assert_eq!(answered(&limiter, 1000, 1, 100), 30);
    }

    #[test]
    fn whoever_was_longest_away_is_forgotten_first() {
        let limiter = AuthRateLimiter::new();
        answered(&limiter, 0, 0, 30);
        for number in 1..4096 {
            answered(&limiter, 0, number, 1);
        }
        assert_eq!(answered(&limiter, 0, 0, 1), 0, "the table is just full");
        answered(&limiter, 0, 4096, 1);
        answered(&limiter, 0, 4097, 1);
        assert_eq!(answered(&limiter, 0, 0, 1), 0, "it was here a moment ago");
        assert_eq!(limiter.forgiven_at.lock().unwrap().len(), 4096);
        assert!(limiter.forgiven_at.lock().unwrap().peek(&peer(1)).is_none());
    }
}
