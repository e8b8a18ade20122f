//! Who is asking: the address behind trusted proxies, and the network that answers for it.

use std::net::{IpAddr, Ipv6Addr};

use actix_web::HttpRequest;
use actix_web::http::header::HeaderMap;
use ipnet::IpNet;

/// In which proxies say for whom they ask: the first address is the client's, each proxy appends the
/// one that it was asked from.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// Proxies whose word about their clients is believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedProxies(pub Vec<IpNet>);

impl TrustedProxies {
    /// Whether this is a proxy of ours.
    pub fn contain(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        self.0.iter().any(|network| network.contains(&address))
    }

    /// The address that sent the request: the last one that no trusted proxy vouches for.
    pub(super) fn client(&self, request: &HttpRequest) -> Option<IpAddr> {
        request.peer_addr().map(|peer| self.behind(peer.ip(), request.headers()))
    }

    fn behind(&self, peer: IpAddr, headers: &HeaderMap) -> IpAddr {
        // A line that is no text is no address, rather than nothing: what stands before it is not believed.
        let forwarded = headers.get_all(FORWARDED_FOR).map(|value| value.to_str().unwrap_or_default());
        let hops: Vec<&str> = forwarded.flat_map(|value| value.split(',')).map(str::trim).collect();
        let mut client = peer;
        for hop in hops.into_iter().rev() {
            if !self.contain(client) {
                break;
            }
            // What no proxy of ours would write is not followed any further.
            let Ok(address) = hop.parse() else { break };
            client = address;
        }
        client
    }
}

/// What counts as one peer: an IPv4 address, or an IPv6 network of 64 bits, because anybody gets that
/// many addresses.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX))),
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
    fn a_trusted_proxy_is_believed_and_nobody_else() {
        check("203.0.113.9", &["198.51.100.1"], "203.0.113.9");
        check("127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("::ffff:127.0.0.1", &["198.51.100.1"], "198.51.100.1");
        check("fd00::1", &["2001:db8::7"], "2001:db8::7");
        check("127.0.0.1", &[], "127.0.0.1");
    }

    #[test]
    fn what_a_client_wrote_itself_is_not_followed() {
        check("127.0.0.1", &["10.1.2.3, 198.51.100.1"], "198.51.100.1");
        check("127.0.0.1", &["10.1.2.3", "198.51.100.1,10.1.0.9"], "198.51.100.1");
        check("127.0.0.1", &["198.51.100.1, unknown"], "127.0.0.1");
        check("127.0.0.1", &["10.1.0.1, 10.1.0.2"], "10.1.0.1");
        check("127.0.0.1", &["198.51.100.1", "10.1.0.1, \u{e9}"], "127.0.0.1");
        check("127.0.0.1", &["198.51.100.1", ""], "127.0.0.1");
    }

    #[test]
    fn an_ipv6_network_is_one_peer() {
        let peer = |address: &str| network(address.parse().unwrap()).to_string();
        assert_eq!(peer("203.0.113.9"), "203.0.113.9");
        assert_eq!(peer("::ffff:203.0.113.9"), "203.0.113.9");
        assert_eq!(peer("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
