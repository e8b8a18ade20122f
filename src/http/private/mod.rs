//! The private listener: metrics, readiness, reload, API.

mod api;
mod landing;
mod management;
mod scrape;

use std::io;
use std::net::TcpListener;
use std::sync::Arc;
use std::time::Duration;

use actix_web::App;
use actix_web::dev::Server;
use actix_web::http::header;
use actix_web::middleware::{Compress, Condition, DefaultHeaders, from_fn};
use actix_web::web::{self, Data};

use crate::http::connections::{self, ConnectionLimits, Connections};
use crate::http::listener;
use crate::http::responses::{healthy, readable, unknown};
use crate::http::web_config::{self, WebConfig};
use crate::metrics::Exporter;
use crate::recorder::StateReader;

/// So many connections may the private listener have.
pub const PRIVATE_CONNECTIONS: usize = 512;
/// So many of one peer, which may be a proxy in front of everybody else; half, so that nobody shuts out all.
const PRIVATE_CONNECTIONS_PER_PEER: usize = PRIVATE_CONNECTIONS / 2;

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
            .service(web::resource("/-/healthy").route(web::route().guard(readable()).to(healthy)))
            .service(web::resource("/-/ready").route(web::route().guard(readable()).to(management::ready)))
            .service(web::resource("/-/reload").route(web::post().to(management::reload)))
            .service(web::resource("/api/v1/inputs").route(web::get().to(api::inputs)))
            .service(web::resource("/api/v1/events").route(web::get().to(api::events)))
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
