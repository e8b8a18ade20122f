//! The only module that knows HTTP. It has two listeners that share nothing but the recorder and the list of rejected
//! deliveries.
//!
//! | listener | serves | for |
//! |---|---|---|
//! | public | the webhook, a health check | the internet |
//! | private | metrics, readiness, reload, API | operators and Prometheus |
//!
//! Each listener is a server with separate threads, so scrapes and webhooks do not delay each other.

mod public;
mod private;
mod web_config;
mod certificate;
mod pem;
mod listener;
mod connections;
mod rate_limiter;
mod files;
mod peer;
mod rejection;
mod unused_deliveries;
mod advice;
mod responses;

use std::io;
use std::net::{SocketAddr, TcpListener};

use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketType};

pub use certificate::{Certificate, InvalidFile};
pub use connections::ConnectionLimits;
pub use peer::TrustedProxies;
pub use private::{PRIVATE_CONNECTIONS, Private, Reload, inputs_json, serve_private};
pub use public::{RequestPolicy, Webhook, serve_public};
pub use rate_limiter::RateLimiter;
pub use rejection::{AuthFailure, Rejection};
pub use unused_deliveries::UnusedDeliveries;
pub use web_config::WebConfig;

/// Length of the listen backlog; the kernel caps it at `net.core.somaxconn`. With the standard library's 128, the
/// kernel drops handshakes of a larger burst while the client considers the connection established.
const BACKLOG: i32 = 4096;

/// Listens on all of these addresses.
///
/// # Errors
///
/// The first address that cannot be listened on, and why.
pub fn listen(addresses: &[SocketAddr]) -> io::Result<Vec<TcpListener>> {
    let listen = |address: &SocketAddr| {
        let listening = TcpListener::bind(address).and_then(|listener| {
            rustix::net::listen(&listener, BACKLOG)?;
            Ok(listener)
        });
        listening.map_err(|error| io::Error::new(error.kind(), format!("{address}: {error}")))
    };
    addresses.iter().map(listen).collect()
}

/// Checks whether [`listen`] could use all of these addresses. Accepts no connection and occupies nothing.
///
/// # Errors
///
/// The first address that cannot be listened on, and why.
pub fn check_addresses(addresses: &[SocketAddr]) -> io::Result<()> {
    let bind = |address: &SocketAddr| {
        let family = if address.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
        let socket = rustix::net::socket(family, SocketType::STREAM, None)?;
        // As `listen` does. Until one of them listens, several sockets may have the same address.
        rustix::net::sockopt::set_socket_reuseaddr(&socket, true)?;
        rustix::net::bind(&socket, address)
    };
    let in_address = |address, error: Errno| io::Error::new(error.kind(), format!("{address}: {error}"));
    addresses.iter().try_for_each(|address| bind(address).map_err(|error| in_address(address, error)))
}
