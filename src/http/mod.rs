//! The only place that knows HTTP: two listeners that share nothing but the recorder.
//!
//! | listener | serves | for |
//! |---|---|---|
//! | public | the webhook, a health check | the internet |
//! | private | metrics, readiness, reload, status, API | us |
//!
//! They are two servers, the private one with a single worker: a scrape never holds up a webhook,
//! nor a flood of webhooks a scrape.

mod public;
mod private;
mod web_config;
mod certificate;
mod listener;
mod connections;
mod peer_limiter;
mod rate_limiter;
mod peer;
mod rejection;
mod responses;
mod close_after_reply;

use std::io;
use std::net::{SocketAddr, TcpListener};

pub use certificate::{Certificate, CertificateFiles, InvalidCertificate};
pub use connections::ConnectionLimits;
pub use peer::TrustedProxies;
pub use private::{PRIVATE_CONNECTIONS, Private, Reload, serve_private};
pub use public::{RequestPolicy, Webhook, serve_public};
pub use rate_limiter::RateLimiter;
pub use rejection::Rejection;
pub use web_config::{InvalidWebConfig, WebConfig};

/// So many connections may wait until they are taken, unless the system allows fewer (`net.core.somaxconn`). The standard
/// library lets 128 wait: of a larger crowd the system forgets some, who believe that they are connected.
const BACKLOG: i32 = 4096;

/// Listens on all of the addresses.
///
/// # Errors
///
/// The first address on which it is not possible, and why.
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
