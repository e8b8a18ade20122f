//! A bounded number of peer_limiter, in all and for one peer.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::peer::network;

/// So many peer_limiter there are, and who has them.
#[derive(Debug)]
pub(super) struct PeerLimiter {
    total: usize,
    per_peer: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// A permit that was taken; free again when it is dropped.
#[derive(Debug)]
pub(super) struct Permit {
    peer_limiter: Arc<PeerLimiter>,
    peer: IpAddr,
}

impl PeerLimiter {
    pub(super) fn new(total: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { total, per_peer, taken: Mutex::default() })
    }

    /// A permit for this peer, when there is one. The limit of one peer does not hold for the exempt.
    pub(super) fn take(self: &Arc<Self>, address: IpAddr, exempt: bool) -> Option<Permit> {
        let peer = network(address);
        let mut taken = self.taken();
        let of_peer = taken.by_peer.get(&peer).copied().unwrap_or_default();
        let crowds = of_peer >= self.per_peer && !exempt;
        if taken.total >= self.total || crowds {
            return None;
        }
        taken.total += 1;
        taken.by_peer.insert(peer, of_peer + 1);
        Some(Permit { peer_limiter: self.clone(), peer })
    }

    fn taken(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut taken = self.peer_limiter.taken();
        taken.total -= 1;
        if let Entry::Occupied(mut of_peer) = taken.by_peer.entry(self.peer) {
            *of_peer.get_mut() -= 1;
            if *of_peer.get() == 0 {
                of_peer.remove();
            }
        }
    }
}
