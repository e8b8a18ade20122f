//! Who may stay connected, and for how long.
//!
//! actix bounds the first request of a connection in time, and an idle one. It knows no limit for a
//! head that dawdles later on, nor for an answer that nobody takes, nor how many connections one
//! peer holds. So every connection has a idle_deadline: unless a request begins or is answered within the
//! idle timeout, it is closed, whatever it was waiting for. Each request winds the idle_deadline up again, so a
//! proxy keeps its connections.
//!
//! A connection beyond the limits, of all or of one peer, is closed before it is read: also before its
//! TLS handshake.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use actix_web::body::MessageBody;
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt::net::TcpStream;
use tokio::time::{Instant, sleep_until};

use super::peer_limiter::{PeerLimiter, Permit};

/// What a listener's connections may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionLimits {
    /// So many are open at the most.
    pub total: usize,
    /// So many of one peer are open at the most.
    pub per_peer: usize,
    /// A connection on which no request begins or is answered for so long is closed.
    pub idle_timeout: Duration,
}

/// The open connections of one listener.
pub(super) struct Connections {
    peer_limiter: Arc<PeerLimiter>,
    idle_timeout: Duration,
    exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl Connections {
    /// None as yet. The limit of one peer does not hold for those that are `exempt`.
    pub(super) fn new(limits: ConnectionLimits, exempt: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Arc<Self> {
        let ConnectionLimits { total, per_peer, idle_timeout } = limits;
        Arc::new(Self { peer_limiter: PeerLimiter::new(total, per_peer), idle_timeout, exempt: Box::new(exempt) })
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Takes in whoever has connected, unless there is no permit. A peer that has gone already has no address, and
    /// needs none.
    pub(super) fn admit(&self, stream: &TcpStream) -> Option<Admission> {
        let peer = stream.peer_addr().ok()?.ip();
        let permit = self.peer_limiter.take(peer, (self.exempt)(peer))?;
        Some(Admission { permit, idle_deadline: IdleDeadline::new(self.idle_timeout) })
    }
}

/// A connection that was taken in.
pub(super) struct Admission {
    permit: Permit,
    idle_deadline: IdleDeadline,
}

impl Admission {
    /// Lets the connection be served as long as its idle_deadline runs, and holds its permit until it is closed.
    pub(super) async fn serve<E>(self, served: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let ended = async {
            tokio::select! {
                biased;
                ended = served => ended,
                // What was being served is dropped, and with it the socket.
                () = expired() => Ok(()),
            }
        };
        let ended = IDLE_DEADLINE.scope(self.idle_deadline, ended).await;
        drop(self.permit);
        ended
    }
}

/// By when the next request of a connection must begin or be answered.
struct IdleDeadline {
    deadline: Cell<Instant>,
    idle_timeout: Duration,
}

tokio::task_local! {
    /// The idle_deadline of the connection that is being served.
    static IDLE_DEADLINE: IdleDeadline;
}

impl IdleDeadline {
    fn new(idle_timeout: Duration) -> Self {
        Self { deadline: Cell::new(Instant::now() + idle_timeout), idle_timeout }
    }

    fn touch(&self) {
        self.deadline.set(Instant::now() + self.idle_timeout);
    }
}

/// Waits for the deadline, however often it moves.
async fn expired() {
    loop {
        let deadline = IDLE_DEADLINE.with(|idle_deadline| idle_deadline.deadline.get());
        sleep_until(deadline).await;
        if IDLE_DEADLINE.with(|idle_deadline| idle_deadline.deadline.get()) <= deadline {
            return;
        }
    }
}

/// A middleware: each request, and each answer, winds up its connection's idle_deadline.
pub(super) async fn touch<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    IDLE_DEADLINE.with(IdleDeadline::touch);
    let answer = next.call(request).await;
    IDLE_DEADLINE.with(IdleDeadline::touch);
    answer
}
