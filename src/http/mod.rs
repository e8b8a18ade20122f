//! The only place that knows HTTP: two listeners that share nothing but the recorder.
//!
//! | listener | serves | for |
//! |---|---|---|
//! | public | the webhook, a health check | the internet |
//! | private | metrics, readiness, reload, status, API | us |
//!
//! They are two servers, the private one with a single worker: a scrape never holds up a webhook,
//! nor a flood of webhooks a scrape.

mod certificate;
mod connections;
mod auth_rate_limiter;
mod health;
mod landing;
mod listener;
mod peer;
mod peer_limiter;
mod scrape;
mod status;
mod close_after_reply;
mod web_config;
mod webhook;

use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::middleware::{Compress, Condition, DefaultHeaders, from_fn};
use actix_web::web::{self, Data};
use actix_web::{App, HttpResponse, guard};

pub use certificate::{Certificate, CertificateFiles, InvalidCertificate};
pub use connections::ConnectionLimits;
pub use peer::TrustedProxies;
pub use web_config::{InvalidWebConfig, WebConfig};
pub use webhook::{RequestPolicy, Webhook};

use close_after_reply::CloseAfterReply;
use connections::Connections;

use crate::metrics::Exporter;
use crate::recorder::StateReader;

/// So many connections may the private listener have.
pub const PRIVATE_CONNECTIONS: usize = 512;
/// So many of one peer, which may be a proxy in front of everybody else; half, so that nobody shuts out all.
const PRIVATE_CONNECTIONS_PER_PEER: usize = PRIVATE_CONNECTIONS / 2;

/// So many connections may wait until they are taken, unless the system allows fewer (`net.core.somaxconn`). The standard
/// library lets 128 wait: of a larger crowd the system forgets some, who believe that they are connected.
const BACKLOG: i32 = 4096;

/// Loads the configuration anew; the error says what is wrong with it, for people.
pub type Reload = Arc<dyn Fn() -> Result<(), String> + Send + Sync>;

/// What the private listener serves from.
#[derive(Clone)]
pub struct Private {
    /// The path of the metrics.
    pub telemetry_path: String,
    /// Whether answers are compressed for clients that take gzip.
    pub compression: bool,
    /// What the recorder has published.
    pub state_reader: StateReader,
    /// How the exporter itself is doing.
    pub metrics: Arc<Exporter>,
    /// What `POST /-/reload` does.
    pub reload: Reload,
}

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

/// Serves the webhook on these sockets, over TLS when there is a certificate, until the server is stopped.
///
/// # Errors
///
/// A socket cannot be used.
pub fn serve_public(
    listeners: Vec<TcpListener>,
    limits: ConnectionLimits,
    certificate: Option<Arc<Certificate>>,
    webhook: Arc<Webhook>,
) -> io::Result<Server> {
    let webhook = Data::from(webhook);
    let trusting = webhook.clone();
    let connections = Connections::new(limits, move |peer| trusting.policy().trusted_proxies.contain(peer));
    let tls = certificate.map(certificate::server_config);
    listener::serve(listeners, tls.as_ref(), &connections, public_workers(), move || {
        App::new()
            .app_data(webhook.clone())
            .wrap(from_fn(connections::touch))
            .service(
                web::resource("/-/healthy")
                    .route(web::route().guard(readable()).to(health::healthy))
                    .default_service(web::to(unknown)),
            )
            .service(web::resource(webhook.path()).default_service(web::to(webhook::receive)))
            .default_service(web::to(unknown))
    })
}

/// One thread fewer than there are processors, which is left to the recorder: with two of each, where the recorder had to
/// wait its turn, a sixth fewer notifications were recorded.
fn public_workers() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (processors - 1).max(1)
}

/// Serves metrics, status and API on these sockets, to whom the web configuration lets in, until the server is stopped.
///
/// # Errors
///
/// A socket cannot be used.
pub fn serve_private(
    listeners: Vec<TcpListener>,
    idle_timeout: Duration,
    web_config: Option<Arc<WebConfig>>,
    private: Private,
) -> io::Result<Server> {
    let tls = web_config.as_ref().and_then(WebConfig::server_config);
    let limits = ConnectionLimits { total: PRIVATE_CONNECTIONS, per_peer: PRIVATE_CONNECTIONS_PER_PEER, idle_timeout };
    let connections = Connections::new(limits, |_| false);
    let (telemetry_path, compression) = (private.telemetry_path.clone(), private.compression);
    let private = Data::new(private);
    listener::serve(listeners, tls.as_ref(), &connections, 1, move || {
        let web_config = web_config.clone();
        App::new()
            .app_data(private.clone())
            .wrap(Condition::new(compression, Compress::default()))
            .wrap(from_fn(move |request, next| web_config::guard(web_config.clone(), request, next)))
            .wrap(from_fn(connections::touch))
            .wrap(nothing_to_run())
            .service(web::resource(&telemetry_path).route(web::get().to(scrape::metrics)))
            .service(web::resource("/-/healthy").route(web::route().guard(readable()).to(health::healthy)))
            .service(web::resource("/-/ready").route(web::route().guard(readable()).to(health::ready)))
            .service(web::resource("/-/reload").route(web::post().to(status::reload)))
            .service(web::resource("/api/v1/inputs").route(web::get().to(status::inputs)))
            .service(web::resource("/api/v1/events").route(web::get().to(status::events)))
            .service(web::resource("/").route(web::get().to(landing::page)))
            .default_service(web::to(unknown))
    })
}

/// What tells browsers that no answer of the private listener runs, frames, fetches or keeps anything.
///
/// The web configuration's own headers win. The public listener has no page, and its clients are no browsers.
fn nothing_to_run() -> DefaultHeaders {
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, policy))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
}

/// Health checks ask with either.
fn readable() -> impl guard::Guard {
    guard::Any(guard::Get()).or(guard::Head())
}

async fn unknown(payload: web::Payload) -> HttpResponse {
    HttpResponse::NotFound()
        .content_type("text/plain; charset=utf-8")
        .body(CloseAfterReply::new("not found\n", payload))
}
