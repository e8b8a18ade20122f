//! A server of actix's, built by hand: what it has ready-made tells of a connection over TLS only when
//! its handshake is done, and would have handshakes of strangers beside all limits.
//!
//! ```text
//! accepted ─▶ a place, or closed ─▶ watched: [ TLS handshake ─▶ request ─▶ answer ─▶ request ... ]
//! ```

use std::cell::RefCell;
use std::fmt::Debug;
use std::future::poll_fn;
use std::io;
use std::net::TcpListener;
use std::rc::{Rc, Weak};
use std::sync::Arc;
use std::time::Duration;

use actix_http::{HttpServiceBuilder, TlsAcceptorConfig};
use actix_server::{GracefulShutdownSignal, Server, ServerBuilder};
use actix_service::{IntoServiceFactory, Service, ServiceFactory, ServiceFactoryExt, boxed, fn_service, map_config};
use actix_web::body::{BoxBody, MessageBody};
use actix_web::dev::{AppConfig, Response, ServiceResponse};
use actix_web::rt::net::TcpStream;
use rustls::ServerConfig;
use tokio::time::sleep;

use super::connections::Connections;

/// A TLS handshake may take so long.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// The first head of a connection may take so long; later ones have the idle timeout.
const HEAD_TIMEOUT: Duration = Duration::from_secs(5);
/// A connection that we have ended waits for so long for its peer to end it, too.
const DISCONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// How often is looked whether what serves connections has any.
const KEPT_UNUSED: Duration = Duration::from_secs(10);
/// A shutdown waits for so long until the requests under way are answered, in seconds.
const DRAIN_SECONDS: u64 = 20;

/// Serves an app on these sockets, over TLS when there is a configuration for it, until the server is stopped.
///
/// # Errors
///
/// A socket cannot be used.
pub(super) fn serve<F, I, S, B>(
    listeners: Vec<TcpListener>,
    tls: Option<&ServerConfig>,
    connections: &Arc<Connections>,
    workers: usize,
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
    // Whoever has a place may shake hands. These limits hold for each worker, and at theirs it takes no connection of
    // anybody any more, so that few could shut out all.
    actix_tls::accept::max_concurrent_tls_connect(usize::MAX);
    let mut builder = ServerBuilder::new().workers(workers).max_concurrent_connections(usize::MAX);
    for listener in listeners {
        let (tls, connections, app) = (tls.cloned(), connections.clone(), app.clone());
        let stopping = builder.graceful_shutdown_signal();
        builder = builder.listen("http", listener, move || {
            let (tls, app, stopping) = (tls.clone(), app.clone(), stopping.clone());
            let idle_timeout = connections.idle_timeout();
            let worker = OnDemand::new(move || {
                let app = app().into_factory().map_err(|error: actix_web::Error| error.error_response());
                let app = map_config(app, |()| AppConfig::default());
                match tls.clone() {
                    Some(tls) => {
                        let handshake = TlsAcceptorConfig::default().handshake_timeout(HANDSHAKE_TIMEOUT);
                        let http = protocol(idle_timeout, stopping.clone()).finish(app);
                        boxed::factory(http.rustls_0_23_with_config(tls, handshake).map_err(drop).map_init_err(drop))
                    }
                    None => {
                        let http = protocol(idle_timeout, stopping.clone()).finish(app);
                        boxed::factory(http.tcp().map_err(drop).map_init_err(drop))
                    }
                }
            });
            let connections = connections.clone();
            fn_service(move |stream: TcpStream| {
                let served = connections.admit(&stream).map(|admitted| admitted.serve(worker.serve(stream)));
                async move {
                    match served {
                        Some(served) => served.await,
                        None => Ok(()),
                    }
                }
            })
        })?;
    }
    Ok(builder.shutdown_timeout(DRAIN_SECONDS).disable_signals().run())
}

type Connection = boxed::BoxService<TcpStream, (), ()>;
type ConnectionFactory = boxed::BoxServiceFactory<(), TcpStream, (), (), ()>;

/// What serves a worker's connections. It is made for the first of them and goes some time after the last: as long
/// as it is there actix wakes up twice a second to keep the time, also when there is nobody whom it could tell.
#[derive(Clone)]
struct OnDemand(Rc<Shared>);

struct Shared {
    make: Box<dyn Fn() -> ConnectionFactory>,
    made: RefCell<Weak<Connection>>,
}

impl OnDemand {
    fn new(make: impl Fn() -> ConnectionFactory + 'static) -> Self {
        Self(Rc::new(Shared { make: Box::new(make), made: RefCell::default() }))
    }

    fn serve(&self, stream: TcpStream) -> impl Future<Output = Result<(), ()>> + use<> {
        let shared = self.0.clone();
        async move {
            let connection = shared.connection().await?;
            poll_fn(|context| connection.poll_ready(context)).await?;
            connection.call(stream).await
        }
    }
}

impl Shared {
    async fn connection(&self) -> Result<Rc<Connection>, ()> {
        let made = self.made.borrow().upgrade();
        if let Some(connection) = made {
            return Ok(connection);
        }
        let connection = Rc::new((self.make)().new_service(()).await?);
        *self.made.borrow_mut() = Rc::downgrade(&connection);
        actix_web::rt::spawn(keep_while_used(connection.clone()));
        Ok(connection)
    }
}

async fn keep_while_used(connection: Rc<Connection>) {
    loop {
        sleep(KEPT_UNUSED).await;
        if Rc::strong_count(&connection) == 1 {
            return;
        }
    }
}

/// How a connection of this type speaks HTTP.
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
        // Or the end of an answer may wait for the peer to acknowledge what came before it.
        .tcp_nodelay(true)
        .keep_alive(idle_timeout)
        .client_request_timeout(HEAD_TIMEOUT)
        .client_disconnect_timeout(DISCONNECT_TIMEOUT)
}
