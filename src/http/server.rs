//! The server of a listener, and how it stops.
//!
//! ```text
//! accepting ends (passed sockets) ─▶ responses say `Connection: close`, idle connections are closed ─▶ the rest ends
//! ```
//!
//! actix drops connections that it has accepted and not yet served when it stops. So accepting ends earlier, and the
//! requests on such connections are answered. Connections to sockets that systemd has passed then wait for the next
//! process. Connections to the daemon's own sockets would be reset, so those are accepted until the stop.

use std::sync::Arc;
use std::time::Duration;

use actix_web::rt;

use super::connections::Connections;

/// How long accepted connections may take to reach a worker. actix does not report when it has ended accepting.
const UNTIL_NONE_IS_ACCEPTED: Duration = Duration::from_millis(100);

/// Which process opened the sockets of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SocketOrigin {
    /// This one.
    Own,
    /// Another one, which keeps them open.
    Passed,
}

/// A server that has not been started.
pub struct Server {
    pub(super) server: actix_server::Server,
    pub(super) connections: Arc<Connections>,
    pub(super) origin: SocketOrigin,
}

/// A running server.
pub struct ServerHandle {
    handle: actix_server::ServerHandle,
    connections: Arc<Connections>,
    origin: SocketOrigin,
}

impl Server {
    /// Runs the server as a task.
    pub fn start(self) -> ServerHandle {
        let Self { server, connections, origin } = self;
        let handle = server.handle();
        rt::spawn(server);
        ServerHandle { handle, connections, origin }
    }
}

impl ServerHandle {
    /// Answers the requests in flight, closes all connections and ends the server. Does not shut down passed sockets.
    pub async fn stop(&self) {
        let at_least = match self.origin {
            SocketOrigin::Own => Duration::ZERO,
            SocketOrigin::Passed => {
                self.handle.pause().await;
                UNTIL_NONE_IS_ACCEPTED
            }
        };
        self.connections.drain(at_least).await;
        self.handle.stop(true).await;
    }
}
