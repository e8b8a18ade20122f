//! Assembles an actix server from its parts.
//!
//! actix-web's own `HttpServer` reports a TLS connection only after the handshake, so handshakes would not count
//! towards the connection limits. Here a connection is admitted first:
//!
//! ```text
//! accepted ─▶ admitted or refused ─▶ until a deadline: [ TLS handshake ─▶ request ─▶ response ─▶ request ... ]
//! ```

use std::fmt::Debug;
use std::future::ready;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpServiceBuilder, Protocol, Request};
use actix_server::ServerBuilder;
use actix_service::boxed::{self, BoxServiceFactory};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, fn_service};
use actix_tls::accept::rustls_0_23::{Acceptor, TlsStream};
use actix_web::body::BoxBody;
use actix_web::dev::Response;
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;

use super::bounded_reader::BoundedReader;
use super::connection;
use super::connections::Connections;
use super::exchange::{Access, Exchanges, expectations};
use super::server::{Server, SocketOrigin};

/// Maximum number of accepted connections of a worker that wait to be admitted.
const MAX_WAITING: usize = 64;
/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for the first request head of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// The sockets of a listener.
pub struct Sockets {
    /// All of them listen.
    pub listeners: Vec<TcpListener>,
    /// Which process opened them.
    pub origin: SocketOrigin,
}

/// The threads of a listener.
pub(super) struct Workers {
    pub(super) count: usize,
    /// How long a stop waits for in-flight requests, in seconds.
    pub(super) drain_seconds: u64,
}

/// Serves an app on these sockets until the server is stopped, over TLS if `tls` is given. Handlers find the owner of a
/// client's certificate in the connection's data.
///
/// # Errors
///
/// A socket cannot be used.
pub(super) fn serve(
    Sockets { listeners, origin }: Sockets,
    tls: Option<&ServerConfig>,
    connections: &Arc<Connections>,
    access: &Arc<dyn Access>,
    Workers { count, drain_seconds }: Workers,
    app: impl Fn() -> Exchanges + Send + Clone + 'static,
) -> io::Result<Server> {
    // `connections` is the only limit. actix's own limits are per worker, and a worker that has reached them accepts
    // no connection at all, so a single peer could block all others. A worker can reach this one only while accepted
    // connections wait to be admitted; further ones then wait in the kernel's backlog and take no descriptors.
    actix_tls::accept::max_concurrent_tls_connect(usize::MAX);
    let mut builder = ServerBuilder::new().workers(count);
    builder = builder.max_concurrent_connections(connections.total().saturating_add(MAX_WAITING));
    for listener in listeners {
        let (tls, connections, access, app) = (tls.cloned(), connections.clone(), access.clone(), app.clone());
        builder = builder.listen("http", listener, move || {
            let connections = connections.clone();
            let idle_timeout = connections.idle_timeout();
            let http = http(tls.clone(), &connections, access.clone(), &app);
            apply_fn_factory(http, move |stream: TcpStream, http| {
                // Without an address, the peer has disconnected already.
                let peer = stream.peer_addr().ok();
                let permit = peer.and_then(|peer| connections.admit(peer.ip().to_canonical()));
                // Otherwise the end of a response may wait for a delayed ACK.
                let _ = stream.set_nodelay(true);
                let admitted = permit.map(|permit| (permit, http.call(stream)));
                async move {
                    let Some((permit, serving)) = admitted else { return Ok(()) };
                    connection::serve(permit, idle_timeout, serving).await
                }
            })
        })?;
    }
    let server = builder.shutdown_timeout(drain_seconds).disable_signals().run();
    Ok(Server { server, connections: connections.clone(), origin })
}

/// Serves HTTP on a connection, after a handshake if `tls` is given.
fn http(
    tls: Option<ServerConfig>,
    connections: &Arc<Connections>,
    access: Arc<dyn Access>,
    app: &impl Fn() -> Exchanges,
) -> BoxServiceFactory<(), TcpStream, (), (), ()> {
    let expect = expectations(app(), access.clone());
    let Some(tls) = tls else {
        let http = protocol(connections).expect(expect).finish(app());
        let accept = fn_service(|stream: TcpStream| {
            let peer = stream.peer_addr().ok();
            ready(Ok((BoundedReader::new(stream), Protocol::Http1, peer)))
        });
        return boxed::factory(accept.and_then(http.map_err(drop)));
    };
    let handshake = acceptor(tls).map(|stream: TlsStream<TcpStream>| {
        let peer = stream.get_ref().0.peer_addr().ok();
        (BoundedReader::new(stream), Protocol::Http1, peer)
    });
    let http = protocol(connections).expect(expect);
    let http = http.on_connect_ext(move |stream: &BoundedReader<TlsStream<_>>, data| {
        let (_, session) = stream.get_ref().get_ref();
        if let Some(operator) = session.peer_certificates().and_then(|chain| access.owner(chain)) {
            connection::present_secret();
            data.insert(operator);
        }
    });
    boxed::factory(handshake.map_err(drop).and_then(http.finish(app()).map_err(drop)))
}

fn acceptor(mut tls: ServerConfig) -> Acceptor {
    tls.alpn_protocols.push(b"http/1.1".to_vec());
    let mut acceptor = Acceptor::new(tls);
    acceptor.set_handshake_timeout(HANDSHAKE_TIMEOUT);
    acceptor
}

/// The HTTP settings of a connection of type `T`.
fn protocol<T, S>(connections: &Arc<Connections>) -> HttpServiceBuilder<T, S>
where
    S: ServiceFactory<
            Request,
            Config = (),
            Error: Into<Response<BoxBody>> + 'static,
            InitError: Debug,
            Service: Service<Request, Future: 'static>,
        >,
{
    let draining = connections.clone();
    HttpServiceBuilder::default()
        .graceful_shutdown_signal(move || connection::closing(draining.draining()))
        .keep_alive(connections.idle_timeout())
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(connection::DISCONNECT_TIMEOUT)
}
