//! The private listener: metrics, status page, readiness, reload, API.

mod api;
mod cloudflare;
mod correction;
mod correction_api;
mod correction_policy;
mod deliveries;
mod events;
mod exception_api;
mod input_summary;
mod parameters;
mod management;
mod page;
mod scrape;
mod streaming;

use std::io;
use std::sync::Arc;
use std::time::Duration;

use actix_web::dev::RequestHead;
use actix_web::http::header;
use actix_web::middleware::{DefaultHeaders, from_fn};
use actix_web::web::{self, Data, PayloadConfig, ServiceConfig};
use actix_web::{App, FromRequest, Handler, Resource, Responder};
use rustls::pki_types::CertificateDer;
use thiserror::Error;
use tokio::sync::{oneshot, watch};

pub use self::api::inputs_json;
pub use self::cloudflare::ApiTasks;
use self::correction_policy::CorrectionPolicy;
use self::page::MAX_STREAMS;
use self::page::actions::{self, Replays, Tokens};
use self::streaming::Compressor;
use crate::http::configuration::Configuration;
use crate::http::connections::{ConnectionLimits, Connections, ListenerName};
use crate::http::exchange::{Access, exchanges};
use crate::http::listener::{self, Sockets, Workers};
use crate::http::responses::{end_body_by_closing_for_http_1_0, get_or_head, healthy, method_not_allowed, not_found};
use crate::http::server::Server;
use crate::http::unused_deliveries::UnusedDeliveries;
use crate::http::web_config::{self, Operator, WebConfig};
use crate::metrics::Exporter;
use crate::recorder::{Handle, KeptBodies, Outcome, StateReader};
use crate::timeline::Timelines;

/// Maximum number of connections of the private listener: besides pages that are open, 128.
pub const PRIVATE_CONNECTIONS: usize = MAX_STREAMS + 128;
/// Maximum number of connections per peer, so that one peer cannot block all others. A peer may be a proxy, and all open
/// pages may be behind it.
const PRIVATE_CONNECTIONS_PER_PEER: usize = MAX_STREAMS + 64;

/// How long a stop waits for in-flight requests, in seconds. The recorder has ended by then.
const DRAIN_SECONDS: u64 = 5;

const NAME: ListenerName = ListenerName {
    label: "web",
    advice: "find out why the peer opens so many connections; restrict who can reach web.listen_address, or require users \
             or client certificates in web.config_file",
};

/// Starts a reload of the configuration, and returns where its result arrives; the error lists the problems. `None` if no
/// reload can be started at the moment.
pub type Reload = Arc<dyn Fn() -> Option<oneshot::Receiver<Result<(), String>>> + Send + Sync>;

/// Reads the kept body with this number again, and returns where its outcome arrives: `None` if it could not be recorded.
/// Waits for the disk.
pub type Replay = Arc<dyn Fn(u64) -> Result<oneshot::Receiver<Option<Outcome>>, NotReplayed> + Send + Sync>;

/// Why a kept body was not recorded. The client receives the message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NotReplayed {
    /// It was recorded or displaced meanwhile.
    #[error("no body with this number is kept: /unrecognized lists all")]
    NoSuchBody,
    /// This version of the program does not understand it either.
    #[error("the body is not understood by this release either, and is kept")]
    NotUnderstood,
    /// The recorder's queue is full.
    #[error("overloaded, try again")]
    Overloaded,
    /// The journal cannot be read.
    #[error("the body cannot be read: {0}")]
    Unreadable(String),
}

/// Dependencies of the private listener's handlers.
pub struct Private {
    /// The path of the metrics.
    pub telemetry_path: String,
    /// Whether responses are compressed for clients that accept gzip.
    pub compression: bool,
    /// Whether clients without authentication may correct inputs, also beyond loopback.
    pub enable_admin_api: bool,
    /// Access to the recorder.
    pub recorder: Handle,
    /// Access to the recorder's published state.
    pub state_reader: StateReader,
    /// The exporter's metrics about itself.
    pub metrics: Arc<Exporter>,
    /// The newest rejected deliveries.
    pub unused_deliveries: Arc<UnusedDeliveries>,
    /// The bodies that were not understood.
    pub kept_bodies: KeptBodies,
    /// What pages show of the configuration in force.
    pub configuration: watch::Receiver<Arc<Configuration>>,
    /// Runs for `POST /-/reload`.
    pub reload: Reload,
    /// Reads a kept body again.
    pub replay: Replay,
    /// The last day, and the history of an input, for the pages.
    pub timelines: Timelines,
    /// The tasks that use Cloudflare's API.
    pub api_tasks: Arc<dyn ApiTasks>,
}

/// Who may use the listener, as the web configuration says.
struct Clients(Option<Arc<WebConfig>>);

impl Access for Clients {
    fn reads_body(&self, head: &RequestHead) -> bool {
        self.0.as_ref().is_none_or(|web_config| web_config.has_verified(head.headers()))
    }

    fn owner(&self, presented: &[CertificateDer<'_>]) -> Option<Operator> {
        self.0.as_ref().and_then(|web_config| web_config.owner(presented))
    }
}

/// Serves metrics, health checks and API on these sockets until the server is stopped. The web configuration decides on
/// TLS and access.
///
/// # Errors
///
/// A socket cannot be used.
pub fn serve_private(
    sockets: Sockets,
    idle_timeout: Duration,
    web_config: Option<Arc<WebConfig>>,
    private: Private,
) -> io::Result<Server> {
    let tls = web_config.as_ref().and_then(WebConfig::server_config);
    let limits = ConnectionLimits { total: PRIVATE_CONNECTIONS, per_peer: PRIVATE_CONNECTIONS_PER_PEER, idle_timeout };
    let connections = Connections::new(NAME, limits, private.metrics.clone(), |_| false);
    let access: Arc<dyn Access> = Arc::new(Clients(web_config.clone()));
    let policy = Data::new(CorrectionPolicy::new(&sockets.listeners, private.enable_admin_api)?);
    let tokens = Tokens::new().map_err(|_| io::Error::other("the system has no random numbers"))?;
    let (tokens, replays) = (Data::new(tokens), Data::new(Replays::default()));
    let compressor = Data::new(Compressor::new(private.compression));
    let private = Data::new(private);
    let feeds = Data::new(page::feeds(private.clone().into_inner()));
    let workers = Workers { count: 1, drain_seconds: DRAIN_SECONDS };
    listener::serve(sockets, tls.as_ref(), &connections, &access, workers, move || {
        let web_config = web_config.clone();
        let app = App::new()
            .app_data(private.clone())
            .app_data(policy.clone())
            .app_data(tokens.clone())
            .app_data(replays.clone())
            .app_data(compressor.clone())
            .app_data(feeds.clone())
            .wrap(from_fn(move |request, next| web_config::guard(web_config.clone(), request, next)))
            .wrap(security_headers())
            .wrap(from_fn(end_body_by_closing_for_http_1_0))
            .service(read_only(&private.telemetry_path, scrape::metrics))
            .service(read_only("/-/healthy", healthy))
            .service(read_only("/-/ready", management::ready))
            .service(
                web::resource("/-/reload")
                    .route(web::post().to(management::reload))
                    .default_service(web::to(|| method_not_allowed("POST"))),
            )
            .service(read_only("/api/v1/inputs", api::inputs))
            .service(
                web::resource("/api/v1/inputs/{id}")
                    .route(web::delete().to(correction_api::forget))
                    .default_service(web::to(|| method_not_allowed("DELETE"))),
            )
            .service(
                web::resource("/api/v1/inputs/{id}/state")
                    .app_data(PayloadConfig::new(correction::MAX_BODY))
                    .route(web::post().to(correction_api::set_state))
                    .default_service(web::to(|| method_not_allowed("POST"))),
            )
            .service(
                web::resource("/api/v1/inputs/{id}/expectation")
                    .app_data(PayloadConfig::new(correction::MAX_BODY))
                    .route(web::post().to(exception_api::expect))
                    .route(web::delete().to(exception_api::clear))
                    .default_service(web::to(|| method_not_allowed("POST, DELETE"))),
            )
            .service(read_only("/api/v1/events", events::events))
            .service(read_only("/api/v1/cloudflare", cloudflare::status))
            .service(
                web::resource("/api/v1/cloudflare/backfill")
                    .route(web::post().to(cloudflare::backfill))
                    .default_service(web::to(|| method_not_allowed("POST"))),
            )
            .configure(pages)
            .default_service(web::to(not_found));
        exchanges(app)
    })
}

/// What people open.
fn pages(app: &mut ServiceConfig) {
    app.service(read_only("/", page::status))
        .service(read_only("/inputs/{id}", page::input::handle))
        .service(read_only("/inputs/{id}/{program}", page::input::elsewhere))
        .service(read_only("/unrecognized", page::unrecognized_list))
        .service(read_only("/unrecognized/{number}", page::unrecognized_body))
        .service(
            web::resource("/updates")
                .route(web::get().to(page::updates))
                .default_service(web::to(|| method_not_allowed("GET"))),
        )
        .service(
            web::resource("/actions/{action}")
                .app_data(PayloadConfig::new(actions::MAX_FORM))
                .route(web::route().guard(get_or_head()).to(actions::confirm))
                .route(web::post().to(actions::submit))
                .default_service(web::to(|| method_not_allowed("GET, HEAD, POST"))),
        );
}

/// A resource for `GET` and `HEAD`.
fn read_only<F, Args>(path: &str, handler: F) -> Resource
where
    F: Handler<Args>,
    Args: FromRequest + 'static,
    F::Output: Responder + 'static,
{
    web::resource(path)
        .route(web::route().guard(get_or_head()).to(handler))
        .default_service(web::to(|| method_not_allowed("GET, HEAD")))
}

/// Headers that forbid browsers to run scripts, load resources, show a response in a frame or cache it.
///
/// Pages have a content security policy of their own. Headers of the web configuration take precedence. The public listener needs none, because it serves no pages.
fn security_headers() -> DefaultHeaders {
    let policy = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    DefaultHeaders::new()
        .add((header::CONTENT_SECURITY_POLICY, policy))
        .add((header::X_CONTENT_TYPE_OPTIONS, "nosniff"))
        .add((header::X_FRAME_OPTIONS, "DENY"))
        .add((header::REFERRER_POLICY, "no-referrer"))
        .add((header::CROSS_ORIGIN_RESOURCE_POLICY, "same-origin"))
        .add((header::CACHE_CONTROL, "no-store"))
}
