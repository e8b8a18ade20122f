//! The client's address behind trusted proxies, the network that counts as one peer, and a limit per peer.
//!
//! On a socket for IPv6 and IPv4, the address of an IPv4 client is an IPv6 one (`::ffff:203.0.113.9`). It counts as IPv4
//! everywhere.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

/// The header in which proxies name their client. Each proxy appends the address that it got the request from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies whose `X-Forwarded-For` is trusted.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether this is the address of a trusted proxy.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The client's address: read from the right, the first address that is not a trusted proxy's.
    pub(super) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        request.peer_addr().map(|peer| self.behind(peer.ip(), request.headers()).to_canonical())
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // A header line that is not text counts as an invalid address, so nothing to its left is used.
        let forwarded = headers.get_all(FORWARDED_FOR).map(|value| value.to_str().unwrap_or_default());
        let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            if !self.contain(client) {
                break;
            }
            // A trusted proxy writes addresses only.
            let Ok(address) = hop.parse() else { break };
            client = address;
        }
        client
    }
}

/// What counts as one peer: an IPv4 address or an IPv6 /64, because a single customer usually has a whole /64.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
    }
}

/// Issues permits for what is open at the same time, up to a total and a per-peer limit.
#[derive(Debug)]
pub(super) struct PeerLimiter {
    total: usize,
    per_peer: usize,
    permits: Mutex<Permits>,
}

#[derive(Debug, Default)]
struct Permits {
    total: usize,
    by_peer: HashMap<IpAddr, usize>,
}

/// Counts towards the limits until it is dropped.
#[derive(Debug)]
pub(super) struct PeerPermit {
    limiter: Arc<PeerLimiter>,
    peer: IpAddr,
}

impl PeerLimiter {
    pub(super) fn new(total: usize, per_peer: usize) -> Arc<Self> {
        Arc::new(Self { total, per_peer, permits: Mutex::default() })
    }

    /// Returns a permit, or `None` if a limit is reached.
    pub(super) fn acquire(self: &Arc<Self>, address: IpAddr) -> Option<PeerPermit> {
        let peer = network(address);
        let mut permits = self.permits();
        let of_peer = permits.by_peer.get(&peer).copied().unwrap_or_default();
        if permits.total >= self.total || of_peer >= self.per_peer {
            return None;
        }
        permits.total += 1;
        permits.by_peer.insert(peer, of_peer + 1);
        Some(PeerPermit { limiter: self.clone(), peer })
    }

    fn permits(&self) -> MutexGuard<'_, Permits> {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PeerPermit {
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

#[cfg(test)]
mod tests {
    use actix_web::http::header::{HeaderName, HeaderValue};

    use super::*;

    fn check(peer: &str, forwarded: &[&str], client: &str) {
        let proxies = TrustedProxies(vec![
            "127.0.0.0/8".parse().unwrap(),
            "10.1.0.0/16".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ]);
        let name = HeaderName::from_static(FORWARDED_FOR);
        let headers =
            forwarded.iter().map(|value| (name.clone(), HeaderValue::from_bytes(value.as_bytes()).unwrap())).collect();
        let found = proxies.behind(peer.parse().unwrap(), &headers);
        assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{peer} for {forwarded:?}");
    }

    #[test]
    fn forwarded_for_counts_only_from_a_trusted_proxy() {
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("fd00::1", &["2001:db8::7"], "2001:db8::7");
        check("127.0.0.1", &[], "127.0.0.1");
    }

    #[test]
    fn addresses_that_the_client_wrote_itself_are_ignored() {
        check("127.0.0.1", &["10.1.2.3, 198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["10.1.2.3", "198.51.100.1,10.1.0.9"], "198.51.100.1");
        check("127.0.0.1", &["198.51.100.1, unknown"], "127.0.0.1");
        check("127.0.0.1", &["10.1.0.1, 10.1.0.2"], "10.1.0.1");
        check("127.0.0.1", &["198.51.100.1", "10.1.0.1, \u{e9}"], "127.0.0.1");
        check("127.0.0.1", &["198.51.100.1", ""], "127.0.0.1");
    }

    #[test]
    fn ipv6_network_of_64_bits_is_one_peer() {
        let peer = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(peer("203.0.113.9"), "203.0.113.9");
        assert_eq!(peer("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(peer("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
