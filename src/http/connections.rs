//! The open connections of a listener, and which of them is closed when a limit is reached.
//!
//! Anyone can open connections and keep them, so a full listener must not refuse newcomers: one of them may be Cloudflare
//! or Prometheus. A connection counts as a *stranger's* until a valid secret was presented on it. At a limit, the
//! newcomer takes the place of a stranger's connection:
//!
//! - If the newcomer's peer has reached its limit, the place of that peer's longest idle one.
//! - If the listener has reached its limit, the place of the longest idle one of the peer that has most of them.
//!
//! So a peer that opens many connections takes places only from itself, and a newcomer of another peer has time to present
//! its secret. If no stranger's connection remains, the newcomer is refused. Which peer has a secret is not known when it
//! connects, and strangers can share an address with Cloudflare. The connections of a peer on which a secret was presented
//! before are therefore not exempt. They only weigh less, so that a burst of them is not taken for a flood.

use std::cell::Cell;
use std::cmp::Reverse;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use prometheus::Gauge;
use tokio::sync::{Notify, watch};
use tokio::time::sleep;

use super::peer::network;
use super::rate_limiter::RateLimiter;
use crate::clock::Stopwatch;
use crate::metrics::Exporter;

/// How many strangers' connections of a peer that has presented a secret weigh as much as one of another peer.
const KNOWN_PEER_DISCOUNT: usize = 8;
/// Maximum number of peers that are remembered because they have presented a secret.
const MAX_KNOWN_PEERS: NonZeroUsize = NonZeroUsize::new(4096).expect("it is not zero");
/// How long a connection may be idle when the listener stops. A request that was on its way is answered, and the response
/// tells the client to use a new connection.
const DRAIN_PATIENCE: Duration = Duration::from_millis(500);
/// Interval between checks whether all connections have ended.
const DRAIN_CHECK: Duration = Duration::from_millis(10);
/// Maximum number of warnings per minute and reason.
const WARNINGS_PER_MINUTE: usize = 6;

/// The limits of a listener's connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// Maximum number of open connections.
    pub total: usize,
    /// Maximum number of open connections per peer (IPv4 address or IPv6 /64).
    pub per_peer: usize,
    /// A connection on which no request starts or is answered for this long is closed.
    pub idle_timeout: Duration,
}

/// The listener's value of the label `listener`, and what its operator can do if connections are refused.
#[derive(Debug, Clone, Copy)]
pub(super) struct ListenerName {
    pub(super) label: &'static str,
    pub(super) advice: &'static str,
}

/// The open connections of one listener.
pub(super) struct Connections {
    name: ListenerName,
    limits: ConnectionLimits,
    is_proxy: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
    running: Stopwatch,
    table: Mutex<Table>,
    metrics: Arc<Exporter>,
    warnings: RateLimiter<&'static str>,
    /// Set when the listener stops.
    draining: watch::Sender<bool>,
}

struct Table {
    open: usize,
    peers: HashMap<IpAddr, Peer>,
    /// Peers that have presented a secret, the least recent first.
    known: LruCache<IpAddr, ()>,
    gauge: Gauge,
}

/// The open connections of one peer.
#[derive(Default)]
struct Peer {
    open: usize,
    strangers: Vec<Arc<Place>>,
    /// It has presented a secret, or is a trusted proxy.
    known: bool,
}

/// A connection's place in the table.
#[derive(Default)]
struct Place {
    /// When a request last started or was answered, in microseconds of [`Connections::running`].
    last_active: AtomicU64,
    /// Notified when a newcomer has taken the place.
    evicted: Notify,
}

/// Occupies a place until it is dropped or evicted.
pub(super) struct Permit {
    connections: Arc<Connections>,
    peer: IpAddr,
    place: Arc<Place>,
    is_proxy: bool,
    presented_secret: Cell<bool>,
}

/// Which limit is reached.
#[derive(Clone, Copy)]
enum Limit {
    Peer,
    Total,
}

impl Connections {
    /// Creates an empty table. Peers for which `is_proxy` returns true have no limit per peer.
    pub(super) fn new(
        name: ListenerName,
        limits: ConnectionLimits,
        metrics: Arc<Exporter>,
        is_proxy: impl Fn(IpAddr) -> bool + Send + Sync + 'static,
    ) -> Arc<Self> {
        let gauge = metrics.connections.with_label_values(&[name.label]);
        let table = Table { open: 0, peers: HashMap::new(), known: LruCache::new(MAX_KNOWN_PEERS), gauge };
        Arc::new(Self {
            name,
            limits,
            is_proxy: Box::new(is_proxy),
            running: Stopwatch::start(),
            table: Mutex::new(table),
            metrics,
            warnings: RateLimiter::per_minute(WARNINGS_PER_MINUTE),
            draining: watch::Sender::new(false),
        })
    }

    /// Lets each connection end after its next response, or when it has been idle for [`DRAIN_PATIENCE`]. Waits for that,
    /// but for no longer than idle connections take.
    pub(super) async fn drain(&self, at_least: Duration) {
        let since = Stopwatch::start();
        self.draining.send_replace(true);
        let is_over = || since.elapsed() >= at_least && self.table().open == 0;
        while !is_over() && since.elapsed() < DRAIN_PATIENCE + DRAIN_CHECK {
            sleep(DRAIN_CHECK).await;
        }
    }

    /// Completes when an idle connection shall be closed, because the listener stops.
    pub(super) fn draining(&self) -> impl Future<Output = ()> + use<> {
        let mut draining = self.draining.subscribe();
        async move {
            // Without a sender, the listener has ended.
            let _ = draining.wait_for(|draining| *draining).await;
            sleep(DRAIN_PATIENCE).await;
        }
    }

    pub(super) fn total(&self) -> usize {
        self.limits.total
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.limits.idle_timeout
    }

    /// Admits a connection from this address, in place of another one if a limit is reached. `None`: it is refused.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Permit> {
        let is_proxy = (self.is_proxy)(address);
        let peer = network(address);
        let place = Arc::new(Place { last_active: AtomicU64::new(self.now()), evicted: Notify::new() });
        let mut table = self.table();
        let limit = table.reached(peer, is_proxy, &self.limits);
        let evicted = limit.map(|limit| {
            let from = match limit {
                Limit::Peer => Some(peer),
                Limit::Total => table.most_crowded(),
            };
            from.and_then(|from| table.evict(from))
        });
        let admitted = evicted.is_none_or(|evicted| evicted.is_some());
        if admitted {
            table.insert(peer, is_proxy, place.clone());
        }
        drop(table);
        if let (Some(limit), Some(evicted)) = (limit, evicted) {
            self.report(limit, peer, evicted);
        }
        let presented_secret = Cell::new(false);
        admitted.then(|| Permit { connections: self.clone(), peer, place, is_proxy, presented_secret })
    }

    /// Counts and logs that a limit is reached: what was evicted, or that the peer was refused.
    fn report(&self, limit: Limit, peer: IpAddr, evicted: Option<(IpAddr, usize)>) {
        let reason = match (evicted, limit) {
            (Some(_), _) => "evicted",
            (None, Limit::Peer) => "peer",
            (None, Limit::Total) => "total",
        };
        let refused = self.metrics.connections_refused.with_label_values(&[self.name.label, reason]);
        refused.inc();
        if !self.warnings.admits(&reason) {
            return;
        }
        let ListenerName { label: listener, advice } = self.name;
        let total = refused.get();
        match evicted {
            Some((peer, connections)) => tracing::warn!(
                listener, reason, %peer, connections, total, advice,
                "connection limit reached: closed the longest idle connection without a valid secret"
            ),
            None => tracing::warn!(
                listener, reason, %peer, total, advice,
                "connection limit reached: refused a connection, because all others have presented a valid secret"
            ),
        }
    }

    fn now(&self) -> u64 {
        u64::try_from(self.running.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Table {
    fn reached(&self, peer: IpAddr, is_proxy: bool, limits: &ConnectionLimits) -> Option<Limit> {
        let of_peer = self.peers.get(&peer).map_or(0, |peer| peer.open);
        if of_peer >= limits.per_peer && !is_proxy {
            Some(Limit::Peer)
        } else {
            (self.open >= limits.total).then_some(Limit::Total)
        }
    }

    /// The peer with the greatest weight; among equals, the one with the longest idle connection.
    fn most_crowded(&self) -> Option<IpAddr> {
        let greatest = self.peers.values().map(Peer::weight).max().filter(|weight| *weight > 0)?;
        let crowded = self.peers.iter().filter(|(_, peer)| peer.weight() == greatest);
        crowded
            .max_by_key(|(_, peer)| peer.longest_idle().map(|(since, _)| Reverse(since)))
            .map(|(address, _)| *address)
    }

    /// Closes the longest idle stranger's connection of this peer. Returns the peer and the number of its connections
    /// before, or `None` if it has no stranger's connection.
    fn evict(&mut self, address: IpAddr) -> Option<(IpAddr, usize)> {
        let peer = self.peers.get_mut(&address)?;
        let open = peer.open;
        let (_, index) = peer.longest_idle()?;
        peer.strangers.swap_remove(index).evicted.notify_one();
        self.release(address);
        Some((address, open))
    }

    fn insert(&mut self, address: IpAddr, is_proxy: bool, place: Arc<Place>) {
        let known = is_proxy || self.known.contains(&address);
        let peer = self.peers.entry(address).or_default();
        peer.known |= known;
        peer.open += 1;
        peer.strangers.push(place);
        self.open += 1;
        self.gauge.set(self.open as f64);
    }

    /// Removes a stranger's place. Returns false if it was evicted or is not a stranger's.
    fn remove_stranger(&mut self, address: IpAddr, place: &Arc<Place>) -> bool {
        let Some(peer) = self.peers.get_mut(&address) else { return false };
        let index = peer.strangers.iter().position(|stranger| Arc::ptr_eq(stranger, place));
        index.map(|index| peer.strangers.swap_remove(index)).is_some()
    }

    /// Counts one connection of this peer less.
    fn release(&mut self, address: IpAddr) {
        if let Entry::Occupied(mut peer) = self.peers.entry(address) {
            peer.get_mut().open -= 1;
            if peer.get().open == 0 {
                peer.remove();
            }
        }
        self.open -= 1;
        self.gauge.set(self.open as f64);
    }
}

impl Peer {
    fn weight(&self) -> usize {
        if self.known { self.strangers.len().div_ceil(KNOWN_PEER_DISCOUNT) } else { self.strangers.len() }
    }

    /// When the longest idle stranger's connection was last active, and its index.
    fn longest_idle(&self) -> Option<(u64, usize)> {
        let strangers = self.strangers.iter().enumerate();
        strangers.map(|(index, place)| (place.last_active.load(Ordering::Relaxed), index)).min()
    }
}

impl Permit {
    /// Whether the peer is a trusted proxy.
    pub(super) fn is_proxy(&self) -> bool {
        self.is_proxy
    }

    /// Whether the listener stops.
    pub(super) fn is_draining(&self) -> bool {
        *self.connections.draining.borrow()
    }

    /// The connection is not idle now.
    pub(super) fn touch(&self) {
        self.place.last_active.store(self.connections.now(), Ordering::Relaxed);
    }

    /// A valid secret was presented: the connection is not evicted any more.
    pub(super) fn present_secret(&self) {
        if self.presented_secret.get() {
            return;
        }
        let mut table = self.connections.table();
        if table.remove_stranger(self.peer, &self.place) {
            self.presented_secret.set(true);
            table.known.put(self.peer, ());
            if let Some(peer) = table.peers.get_mut(&self.peer) {
                peer.known = true;
            }
        }
    }

    /// A function that closes the connection, whose response holds too much.
    pub(super) fn close(&self) -> impl Fn() + Send + Sync + 'static {
        let (connections, peer, place) = (self.connections.clone(), self.peer, self.place.clone());
        move || {
            place.evicted.notify_one();
            if connections.warnings.admits(&"slow_reader") {
                tracing::warn!(
                    listener = connections.name.label, %peer,
                    "closed the connection of a slow reader, because the data of its response has become too old"
                );
            }
        }
    }

    /// Waits until the connection is evicted.
    pub(super) fn evicted(&self) -> impl Future<Output = ()> + use<> {
        let place = self.place.clone();
        async move { place.evicted.notified().await }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut table = self.connections.table();
        if self.presented_secret.get() || table.remove_stranger(self.peer, &self.place) {
            table.release(self.peer);
        }
    }
}

#[cfg(test)]
mod tests;
