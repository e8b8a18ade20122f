//! Assembles an actix server from its parts.
//!
//! actix-web's own `HttpServer` reports a TLS connection only after the handshake, so handshakes would not count
//! towards the connection limits. Here a connection is admitted first:
//!
//! ```text
//! accepted ─▶ admitted or closed ─▶ until idle timeout: [ TLS handshake ─▶ request ─▶ response ─▶ request ... ]
//! ```

use std::fmt::Debug;
use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpServiceBuilder, TlsAcceptorConfig};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{
    IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, apply_fn_factory, boxed, map_config,
};
use actix_tls::accept::rustls_0_23::TlsStream;
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Response, ServiceResponse};
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::connections::{self, Connections};
use super::web_config::Operator;

/// Time limit for a TLS handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for the first request head of a connection. Later ones are limited by the idle timeout.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a connection that the server has closed waits for the client to close it too.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How long a shutdown waits for in-flight requests, in seconds.
const DRAIN_SECONDS: u64 = 20;

/// Serves an app on these sockets until the server is stopped, over TLS if `tls` is given. `owner` names the owner of the
/// certificates that a client has presented; handlers find it with [`Operator::of`].
///
/// # Errors
///
/// A socket cannot be used.
pub(super) fn serve<F, I, S, B>(
    listeners: Vec<TcpListener>,
    tls: Option<&ServerConfig>,
    connections: &Arc<Connections>,
    workers: usize,
    owner: impl Fn(&[CertificateDer<'_>]) -> Option<Operator> + Send + Clone + 'static,
    app: F,
) -> io::Result<Server>
where
    F: Fn() -> I + Send + Clone + 'static,
    I: IntoServiceFactory<S, actix_http::Request>,
    S: ServiceFactory<
            actix_http::Request,
            Config = AppConfig,
            Response = ServiceResponse<B>,
            Error = actix_web::Error,
            InitError: Debug,
            Service: Service<actix_http::Request, Future: 'static>,
        > + 'static,
    B: MessageBody + 'static,
{
    // `connections` is the only limit. actix's own limits are per worker, and a worker that has reached them accepts
    // no connection at all, so a single peer could block all others.
    actix_tls::accept::max_concurrent_tls_connect(usize::MAX);
    let mut builder = ServerBuilder::new().workers(workers).max_concurrent_connections(usize::MAX);
    for listener in listeners {
        let (tls, connections, app, owner) = (tls.cloned(), connections.clone(), app.clone(), owner.clone());
        let stopping = builder.graceful_shutdown_signal();
        builder = builder.listen("http", listener, move || {
            let (tls, app, stopping) = (tls.clone(), app.clone(), stopping.clone());
            let idle_timeout = connections.idle_timeout();
            let app = app().into_factory().map_err(|error: actix_web::Error| error.error_response());
            let app = map_config(app, |()| AppConfig::default());
            let http = match tls.clone() {
                Some(tls) => {
                    let handshake = TlsAcceptorConfig::default().handshake_timeout(HANDSHAKE_TIMEOUT);
                    let owner = owner.clone();
                    let http = protocol(idle_timeout, stopping).on_connect_ext(move |stream: &TlsStream<_>, data| {
                        let (_, session) = stream.get_ref();
                        if let Some(operator) = session.peer_certificates().and_then(&owner) {
                            data.insert(operator);
                        }
                    });
                    let http = http.finish(app);
                    boxed::factory(http.rustls_0_23_with_config(tls, handshake).map_err(drop).map_init_err(drop))
                }
                None => {
                    let http = protocol(idle_timeout, stopping).finish(app);
                    boxed::factory(http.tcp().map_err(drop).map_init_err(drop))
                }
            };
            let connections = connections.clone();
            apply_fn_factory(http, move |stream: TcpStream, http| {
                let admitted = connections.admit(&stream).map(|permit| (permit, http.call(stream)));
                async move {
                    let Some((_permit, serving)) = admitted else { return Ok(()) };
                    connections::serve(serving, idle_timeout).await
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
            actix_http::Request,
            Config = (),
            Error: Into<Response<BoxBody>> + 'static,
            InitError: Debug,
            Service: Service<actix_http::Request, Future: 'static>,
        >,
{
    HttpServiceBuilder::default()
        .graceful_shutdown_signal(move || {
            let stopping = stopping.clone();
            async move { stopping.notified().await }
        })
        // TCP_NODELAY: otherwise the end of a response may wait for a delayed ACK.
        .tcp_nodelay(true)
        .keep_alive(idle_timeout)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
}
