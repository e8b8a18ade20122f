//! Who may stay connected, and for how long.
//!
//! actix bounds the first request of a connection in time, and an idle one. It knows no limit for a
//! head that dawdles later on, nor for an answer that nobody takes, nor how many connections one
//! peer holds. So every connection has a watch: unless a request begins or is answered within the
//! idle timeout, its socket is shut down, whatever it was waiting for. Each request winds the watch
//! up again, so a proxy keeps its connections.
//!
//! A connection beyond the limits, of all or of one peer, is closed before it is read.

use std::any::Any;
use std::cell::{Cell, OnceCell};
use std::net::{IpAddr, Shutdown, TcpStream};
use std::os::fd::AsFd;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::MessageBody;
use actix_web::dev::{Extensions, ServiceRequest, ServiceResponse};
use actix_web::middleware::Next;
use actix_web::rt;
use tokio::task::AbortHandle;
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
#[derive(Debug)]
pub(super) struct Connections {
    places: Arc<Places>,
    idle_timeout: Duration,
}

impl Connections {
    pub(super) fn new(limits: ConnectionLimits) -> Arc<Self> {
        let ConnectionLimits { total, per_peer, idle_timeout } = limits;
        Arc::new(Self { places: Places::new(total, per_peer), idle_timeout })
    }

    /// Takes a new connection in, or shuts it down. The limit of one peer does not hold for `exempt`.
    pub(super) fn admit(self: &Arc<Self>, io: &dyn Any, data: &mut Extensions, exempt: impl Fn(IpAddr) -> bool) {
        let plain = io.downcast_ref::<rt::net::TcpStream>();
        let secured = || io.downcast_ref::<TlsStream<rt::net::TcpStream>>().map(|stream| stream.get_ref().0);
        let stream = plain.or_else(secured).expect("the listeners speak TCP, or TLS over it");
        // A peer that has gone already has no address, and nothing to be told.
        let (Ok(peer), Ok(socket)) = (stream.peer_addr(), stream.as_fd().try_clone_to_owned()) else { return };
        let socket = TcpStream::from(socket);
        match self.places.take(peer.ip(), exempt(peer.ip())) {
            Some(place) => _ = data.insert(Connection::watched(socket, place, self.idle_timeout)),
            None => shut_down(&socket),
        }
    }
}

/// A connection that was taken in; what its requests see of it.
struct Connection {
    socket: TcpStream,
    deadline: Cell<Instant>,
    idle_timeout: Duration,
    watch: OnceCell<AbortHandle>,
    _place: Place,
}

impl Connection {
    /// Takes the place, and watches over the connection as long as somebody else holds it.
    fn watched(socket: TcpStream, place: Place, idle_timeout: Duration) -> Rc<Self> {
        let deadline = Cell::new(Instant::now() + idle_timeout);
        let connection = Rc::new(Self { socket, deadline, idle_timeout, watch: OnceCell::new(), _place: place });
        let watch = rt::spawn(watch(Rc::downgrade(&connection), connection.deadline.get()));
        connection.watch.get_or_init(|| watch.abort_handle());
        connection
    }

    fn wind_up(&self) {
        self.deadline.set(Instant::now() + self.idle_timeout);
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(watch) = self.watch.get() {
            watch.abort();
        }
    }
}

/// Waits for the connection's deadline, however often it moves, and ends what is still there then.
async fn watch(connection: Weak<Connection>, mut deadline: Instant) {
    loop {
        sleep_until(deadline).await;
        let Some(connection) = connection.upgrade() else { return };
        if connection.deadline.get() <= deadline {
            return shut_down(&connection.socket);
        }
        deadline = connection.deadline.get();
    }
}

/// The server sees the end of the stream and drops the connection by itself.
fn shut_down(socket: &TcpStream) {
    // The peer may have been faster.
    let _ = socket.shutdown(Shutdown::Both);
}

/// A middleware: each request, and each answer, winds up its connection's watch.
pub(super) async fn wind_up<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<B>, actix_web::Error> {
    let connection = request.request().conn_data::<Rc<Connection>>().cloned();
    connection.iter().for_each(|connection| connection.wind_up());
    let answer = next.call(request).await;
    connection.iter().for_each(|connection| connection.wind_up());
    answer
}
