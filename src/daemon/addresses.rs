//! Checks of the addresses to listen on.

use std::io;
use std::net::SocketAddr;

use crate::config::{ListenAddress, Problem, Settings};
use crate::http::{self, WebConfig};

pub(super) const PUBLIC: &str = "webhook.listen_address";
pub(super) const PRIVATE: &str = "web.listen_address";

/// Why the daemon could not listen. If it is `running` already, addresses in use are its own.
pub(super) fn problems(settings: &Settings, running: bool) -> Vec<Problem> {
    let problem = |(key, address): (&str, &ListenAddress)| {
        let message = match address.resolve() {
            Err(error) => format!("{address} cannot be resolved: {error}"),
            Ok(addresses) => match http::check_addresses(&addresses) {
                Err(error) if !(running && error.kind() == io::ErrorKind::AddrInUse) => {
                    format!("cannot listen on {address}: {error}")
                }
                Ok(()) | Err(_) => return None,
            },
        };
        Some(Problem::new(key, None, message))
    };
    match conflict(settings) {
        Some(conflict) => vec![conflict],
        None => listened(settings).into_iter().filter_map(problem).collect(),
    }
}

/// The first two addresses that exclude each other, of one listener or of both.
pub(super) fn conflict(settings: &Settings) -> Option<Problem> {
    let resolved =
        listened(settings).into_iter().filter_map(|(key, address)| Some((key, address, address.resolve().ok()?)));
    let resolved: Vec<_> = resolved.collect();
    let pairs =
        resolved.iter().enumerate().flat_map(|(at, one)| resolved[at + 1..].iter().map(move |other| (one, other)));
    pairs.into_iter().find_map(|((first_key, first, sockets), (key, address, others))| {
        let overlaps = sockets.iter().any(|one| others.iter().any(|other| overlap(one, other)));
        let message = if first_key == key {
            format!("{first} and {address} include the same address and port: keep one of them")
        } else {
            format!("{address} includes {first_key} ({first}): the two listeners need different ports")
        };
        overlaps.then(|| Problem::new(*key, None, message))
    })
}

/// The warning about a private listener that other machines can use.
pub(super) fn exposure(settings: &Settings, web_config: Option<&WebConfig>) -> Option<Problem> {
    let is_local = |socket: &SocketAddr| socket.ip().to_canonical().is_loopback();
    let is_reachable = |address: &ListenAddress| address.resolve().is_ok_and(|sockets| !sockets.iter().all(is_local));
    let private = listened(settings).into_iter().filter(|(key, _)| *key == PRIVATE);
    let reachable = private.map(|(_, address)| address).find(|address| is_reachable(address))?;
    let exposure = WebConfig::exposure(web_config)?;
    Some(Problem::new(PRIVATE, None, format!("{reachable} is not on loopback: {exposure}")))
}

/// Each address that the daemon itself listens on, with its key.
fn listened(settings: &Settings) -> Vec<(&'static str, &ListenAddress)> {
    let Settings { webhook, web, .. } = settings;
    let public = webhook.listen_addresses.iter().filter(|_| !webhook.systemd_socket).map(|address| (PUBLIC, address));
    let private = web.listen_addresses.iter().filter(|_| !web.systemd_socket).map(|address| (PRIVATE, address));
    public.chain(private).collect()
}

fn overlap(one: &SocketAddr, other: &SocketAddr) -> bool {
    // The unspecified IPv6 address includes all IPv4 addresses.
    let includes =
        |one: &SocketAddr, other: &SocketAddr| one.ip().is_unspecified() && (one.is_ipv6() || other.is_ipv4());
    let same = one.ip().to_canonical() == other.ip().to_canonical();
    one.port() == other.port() && one.port() != 0 && (same || includes(one, other) || includes(other, one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_with_a_common_socket_overlap() {
        for (one, other, expected) in [
            ("127.0.0.1:80", "127.0.0.1:80", true),
            ("127.0.0.1:80", "127.0.0.1:81", false),
            ("127.0.0.1:80", "127.0.0.2:80", false),
            ("127.0.0.1:0", "127.0.0.1:0", false),
            ("0.0.0.0:80", "127.0.0.1:80", true),
            ("[::]:80", "127.0.0.1:80", true),
            ("[::]:80", "[::1]:80", true),
            ("0.0.0.0:80", "[::1]:80", false),
            ("[::ffff:127.0.0.1]:80", "127.0.0.1:80", true),
        ] {
            let (first, second) = (one.parse().unwrap(), other.parse().unwrap());
            assert_eq!([overlap(&first, &second), overlap(&second, &first)], [expected; 2], "{one} {other}");
        }
    }
}
