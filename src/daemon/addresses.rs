//! Checks of the addresses to listen on.

use std::io;
use std::net::SocketAddr;

use crate::config::{ListenAddress, Problem, Settings};
use crate::http::{self, WebConfig};

const PUBLIC: &str = "webhook.listen_address";
const PRIVATE: &str = "web.listen_address";

/// Why the daemon could not listen. If it is `running` already, addresses in use are its own.
pub(super) fn problems(settings: &Settings, running: bool) -> Vec<Problem> {
    let listeners = [(PUBLIC, &settings.webhook.listen_address), (PRIVATE, &settings.web.listen_address)];
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
        None => listeners.into_iter().filter_map(problem).collect(),
    }
}

/// Why the two listeners exclude each other.
pub(super) fn conflict(settings: &Settings) -> Option<Problem> {
    let (public, private) = (&settings.webhook.listen_address, &settings.web.listen_address);
    let (public_sockets, private_sockets) = (public.resolve().ok()?, private.resolve().ok()?);
    let overlap = public_sockets.iter().any(|one| private_sockets.iter().any(|other| overlap(one, other)));
    let message = format!("{private} includes {PUBLIC} ({public}): the two listeners need different ports");
    overlap.then(|| Problem::new(PRIVATE, None, message))
}

/// The warning about a private listener that other machines can use.
pub(super) fn exposure(settings: &Settings, web_config: Option<&WebConfig>) -> Option<Problem> {
    let address = &settings.web.listen_address;
    let is_local = |socket: &SocketAddr| socket.ip().to_canonical().is_loopback();
    let reachable = !address.resolve().ok()?.iter().all(is_local);
    let exposure = WebConfig::exposure(web_config).filter(|_| reachable)?;
    Some(Problem::new(PRIVATE, None, format!("{address} is not on loopback: {exposure}")))
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
