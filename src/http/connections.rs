//! Who may stay connected, and for how long.
//!
//! actix bounds the first request of a connection in time, and an idle one. It knows no limit for a
//! head that dawdles later on, nor for an answer that nobody takes, nor how many connections one
//! peer holds. So every connection has a watch: unless a request begins or is answered within the
//! idle timeout, it is closed, whatever it was waiting for. Each request winds the watch up again, so a
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

use super::places::{Place, Places};

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
    places: Arc<Places>,
    idle_timeout: Duration,
    exempt: Box<dyn Fn(IpAddr) -> bool + Send + Sync>,
}

impl Connections {
    /// None as yet. The limit of one peer does not hold for those that are `exempt`.
    pub(super) fn new(limits: ConnectionLimits, exempt: impl Fn(IpAddr) -> bool + Send + Sync + 'static) -> Arc<Self> {
        let ConnectionLimits { total, per_peer, idle_timeout } = limits;
        Arc::new(Self { places: Places::new(total, per_peer), idle_timeout, exempt: Box::new(exempt) })
    }

    pub(super) fn idle_timeout(&self) -> Duration {
        self.idle_timeout
    }

    /// Takes in whoever has connected, unless there is no place. A peer that has gone already has no address, and
    /// needs none.
    pub(super) fn admit(&self, stream: &TcpStream) -> Option<Admission> {
        let peer = stream.peer_addr().ok()?.ip();
        let place = self.places.take(peer, (self.exempt)(peer))?;
        Some(Admission { place, watch: Watch::new(self.idle_timeout) })
    }
}

/// A connection that was taken in.
pub(super) struct Admission {
    place: Place,
    watch: Watch,
}

impl Admission {
    /// Lets the connection be served as long as its watch runs, and holds its place until it is closed.
    pub(super) async fn watch<E>(self, served: impl Future<Output = Result<(), E>>) -> Result<(), E> {
        let ended = async {
            tokio::select! {
                biased;
                ended = served => ended,
                // What was being served is dropped, and with it the socket.
                () = run_down() => Ok(()),
            }
        };
        let ended = WATCH.scope(self.watch, ended).await;
        drop(self.place);
        ended
    }
}

/// By when the next request of a connection must begin or be answered.
struct Watch {
    deadline: Cell<Instant>,
    idle_timeout: Duration,
}

tokio::task_local! {
    /// The watch of the connection that is being served.
    static WATCH: Watch;
}

impl Watch {
    fn new(idle_timeout: Duration) -> Self {
        Self { deadline: Cell::new(Instant::now() + idle_timeout), idle_timeout }
    }

    fn wind_up(&self) {
        self.deadline.set(Instant::now() + self.idle_timeout);
    }
}

/// Waits for the deadline, however often it moves.
async fn run_down() {
    loop {
        let deadline = WATCH.with(|watch| watch.deadline.get());
        sleep_until(deadline).await;
        if WATCH.with(|watch| watch.deadline.get()) <= deadline {
            return;
        }
    }
}

/// A middleware: each request, and each answer, winds up its connection's watch.
pub(super) async fn wind_up<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    WATCH.with(Watch::wind_up);
    let answer = next.call(request).await;
    WATCH.with(Watch::wind_up);
    answer
}
