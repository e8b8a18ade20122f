//! A limit for things that are open at the same time: in total, and per peer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::peer::network;

/// Issues permits up to a total and a per-peer limit.
#[derive(Debug)]
pub(super) struct PeerLimiter {
    total: usize,
    per_peer: usize,
    permits: Mutex<Permits>,
}

/// The permits that are in use.
#[derive(Debug, Default)]
struct Permits {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// Counts towards the limits until it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    limiter: Arc<PeerLimiter>,
    peer: IpAddr,
}

impl PeerLimiter {
    pub(super) fn new(total: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { total, per_peer, permits: Mutex::default() })
    }

    /// Returns a permit, or `None` if a limit is reached. An exempt peer has no per-peer limit.
    pub(super) fn acquire(self: &Arc<Self>, address: IpAddr, exempt: bool) -> Option<Permit> {
        let peer = network(address);
        let mut permits = self.permits();
        let of_peer = permits.by_peer.get(&peer).copied().unwrap_or_default();
        if permits.total >= self.total || (of_peer >= self.per_peer && !exempt) {
            return None;
        }
        permits.total += 1;
        permits.by_peer.insert(peer, of_peer + 1);
        Some(Permit { limiter: self.clone(), peer })
    }

    fn permits(&self) -> MutexGuard<'_, Permits> {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut permits = self.limiter.permits();
        permits.total -= 1;
        if let Entry::Occupied(mut of_peer) = permits.by_peer.entry(self.peer) {
            *of_peer.get_mut() -= 1;
            if *of_peer.get() == 0 {
                of_peer.remove();
            }
        }
    }
}
