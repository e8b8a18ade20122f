//! Connection limits and idle timeouts.
//!
//! actix-web times out the first request head and idle keep-alive connections. It has no timeout for
//! later heads or for responses that the client does not read, and no per-peer connection limit.
//! Each connection therefore has an idle deadline. Starting or answering a request resets it; when
//! it expires, the connection is closed in whatever state it is. Proxies that send requests
//! regularly keep their connections.
//!
//! Connections above the total or per-peer limit are closed on accept, before the TLS handshake.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::peer::{PeerLimiter, Permit};

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

/// The open connections of one listener.
pub(super) struct Connections {
    peer_limiter: Arc<PeerLimiter>,
    idle_timeout: Duration,
    exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl Connections {
    /// Creates an empty set. Peers for which `exempt` returns true have no per-peer limit.
    pub(super) fn new(limits: ConnectionLimits, exempt: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Arc<Self> {
        let ConnectionLimits { total, per_peer, idle_timeout } = limits;
        Arc::new(Self { peer_limiter: PeerLimiter::new(total, per_peer), idle_timeout, exempt: Box::new(exempt) })
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Admits a connection, or returns `None` if a limit is reached or the peer has already disconnected.
    pub(super) fn admit(&self, stream: &TcpStream) -> Option<Permit> {
        let peer = stream.peer_addr().ok()?.ip();
        self.peer_limiter.acquire(peer, (self.exempt)(peer))
    }
}

/// Serves a connection until it ends or no request starts or is answered for `idle_timeout`.
pub(super) async fn serve<E>(serving: impl Future<Output = Result<(), E>>, idle_timeout: Duration) -> Result<(), E> {
    let serve_until_idle = async {
        tokio::select! {
            biased;
            result = serving => result,
            // Dropping `serving` closes the socket.
            () = idle(idle_timeout) => Ok(()),
        }
    };
    LAST_ACTIVITY.scope(Cell::new(Instant::now()), serve_until_idle).await
}

tokio::task_local! {
    /// When a request last started or was answered on the connection that the current task serves.
    static LAST_ACTIVITY: Cell<Instant>;
}

/// Waits until the connection of the current task has been idle for this long.
async fn idle(timeout: Duration) {
    loop {
        let last_activity = LAST_ACTIVITY.with(Cell::get);
        sleep_until(last_activity + timeout).await;
        if LAST_ACTIVITY.with(Cell::get) == last_activity {
            return;
        }
    }
}

/// Middleware that resets the idle deadline at the start and the end of each request.
pub(super) async fn reset_idle_deadline<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let reset = || LAST_ACTIVITY.with(|last_activity| last_activity.set(Instant::now()));
    reset();
    let response = next.call(request).await;
    reset();
    response
}
