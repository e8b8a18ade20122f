//! Assembles an actix server from its parts.
//!
//! actix-web's own `HttpServer` reports a TLS connection only after the handshake, so handshakes would not count
//! towards the connection limits. Here a connection is admitted first:
//!
//! ```text
//! accepted ─▶ admitted or refused ─▶ until a deadline: [ TLS handshake ─▶ request ─▶ response ─▶ request ... ]
//! ```

use std::fmt::Debug;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpServiceBuilder, Request, TlsAcceptorConfig};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, boxed};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::BoxBody;
use actix_web::dev::Response;
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;

use super::connection;
use super::connections::Connections;
use super::exchange::{Access, Exchanges, expectations};

/// Maximum number of accepted connections of a worker that wait to be admitted.
const MAX_WAITING: usize = 64;
/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for the first request head of a connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that the server has closed waits for the client to close it too.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a shutdown waits for in-flight requests, in seconds.
const DRAIN_SECONDS: u64 = 20;

/// Serves an app on these sockets until the server is stopped, over TLS if `tls` is given. Handlers find the owner of a
/// client's certificate in the connection's data.
///
/// # Errors
///
/// A socket cannot be used.
pub(super) fn serve(
    listeners: Vec<TcpListener>,
    tls: Option<&ServerConfig>,
    connections: &Arc<Connections>,
    access: &Arc<dyn Access>,
    workers: usize,
    app: impl Fn() -> Exchanges + Send + Clone + 'static,
) -> io::Result<Server> {
    // `connections` is the only limit. actix's own limits are per worker, and a worker that has reached them accepts
    // no connection at all, so a single peer could block all others. A worker can reach this one only while accepted
    // connections wait to be admitted; further ones then wait in the kernel's backlog and take no descriptors.
    actix_tls::accept::max_concurrent_tls_connect(usize::MAX);
    let mut builder = ServerBuilder::new().workers(workers);
    builder = builder.max_concurrent_connections(connections.total().saturating_add(MAX_WAITING));
    for listener in listeners {
        let (tls, connections, access, app) = (tls.cloned(), connections.clone(), access.clone(), app.clone());
        let stopping = builder.graceful_shutdown_signal();
        builder = builder.listen("http", listener, move || {
            let (access, stopping) = (access.clone(), stopping.clone());
            let idle_timeout = connections.idle_timeout();
            let expect = expectations(app(), access.clone());
            let http = match tls.clone() {
                Some(tls) => {
                    let handshake = TlsAcceptorConfig::default().handshake_timeout(HANDSHAKE_TIMEOUT);
                    let access = access.clone();
                    let http = protocol(idle_timeout, stopping).expect(expect);
                    let http = http.on_connect_ext(move |stream: &TlsStream<_>, data| {
                        let (_, session) = stream.get_ref();
                        if let Some(operator) = session.peer_certificates().and_then(|chain| access.owner(chain)) {
                            connection::present_secret();
                            data.insert(operator);
                        }
                    });
                    let http = http.finish(app());
                    boxed::factory(http.rustls_0_23_with_config(tls, handshake).map_err(drop).map_init_err(drop))
                }
                None => {
                    let http = protocol(idle_timeout, stopping).expect(expect).finish(app());
                    boxed::factory(http.tcp().map_err(drop).map_init_err(drop))
                }
            };
            let connections = connections.clone();
            apply_fn_factory(http, move |stream: TcpStream, http| {
                // Without an address, the peer has disconnected already.
                let peer = stream.peer_addr().ok();
                let permit = peer.and_then(|peer| connections.admit(peer.ip().to_canonical()));
                let admitted = permit.map(|permit| (permit, http.call(stream)));
                async move {
                    let Some((permit, serving)) = admitted else { return Ok(()) };
                    connection::serve(permit, idle_timeout, serving).await
                }
            })
        })?;
    }
    Ok(builder.shutdown_timeout(DRAIN_SECONDS).disable_signals().run())
}

/// The HTTP settings of a connection of type `T`.
fn protocol<T, S>(idle_timeout: Duration, stopping: GracefulShutdownSignal) -> HttpServiceBuilder<T, S>
where
    S: ServiceFactory<
            Request,
            Config = (),
            Error: Into<Response<BoxBody>> + 'static,
            InitError: Debug,
            Service: Service<Request, Future: 'static>,
        >,
{
    HttpServiceBuilder::default()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            connection::closing(async move { stopping.notified().await })
        })
        // TCP_NODELAY: otherwise the end of a response may wait for a delayed ACK.
        .tcp_nodelay(true)
        .keep_alive(idle_timeout)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
}
