//! The public listener: the webhook and a health check.

mod webhook;
mod request_policy;

use std::sync::Arc;
use std::{io, thread};

use actix_web::App;
use actix_web::web::{self, Data};
use rustix::net::sockopt;

pub use request_policy::RequestPolicy;
pub use webhook::Webhook;

use crate::http::certificate::{self, Certificate};
use crate::http::connections::{ConnectionLimits, Connections, ListenerName};
use crate::http::exchange::{Access, exchanges};
use crate::http::listener::{self, Sockets, Workers};
use crate::http::responses::{get_or_head, healthy, not_found};
use crate::http::server::Server;

const NAME: ListenerName = ListenerName {
    label: "webhook",
    advice: "block the peer if you do not know it; if it is a reverse proxy or tunnel, add it to webhook.trusted_proxies; \
             if all peers are legitimate, raise webhook.max_connections or webhook.max_connections_per_peer",
};

/// Maximum number of workers. One of them receives as many notifications as the recorder can write, and each keeps
/// memory for reuse.
const MAX_WORKERS: usize = 4;
/// How long a stop waits for in-flight requests, in seconds.
const DRAIN_SECONDS: u64 = 20;
/// Size of the kernel's buffer for responses of a connection, in bytes. They are short, and the client may not read them.
const SEND_BUFFER: usize = 16 << 10;

/// Serves the webhook on these sockets until the server is stopped, over TLS if there is a certificate.
///
/// # Errors
///
/// A socket cannot be used.
pub fn serve_public(
    sockets: Sockets,
    limits: ConnectionLimits,
    certificate: Option<Arc<Certificate>>,
    webhook: Arc<Webhook>,
) -> io::Result<Server> {
    let (access, policy_source): (Arc<dyn Access>, _) = (webhook.clone(), webhook.clone());
    let is_proxy = move |peer| policy_source.policy().trusted_proxies.contain(peer);
    let connections = Connections::new(NAME, limits, webhook.metrics().clone(), is_proxy);
    for listener in &sockets.listeners {
        sockopt::set_socket_send_buffer_size(listener, SEND_BUFFER)?;
    }
    let webhook = Data::from(webhook);
    let tls = certificate.map(certificate::server_config);
    let workers = Workers { count: public_workers(), drain_seconds: DRAIN_SECONDS };
    listener::serve(sockets, tls.as_ref(), &connections, &access, workers, move || {
        let app = App::new()
            .app_data(webhook.clone())
            .service(
                web::resource("/-/healthy")
                    .route(web::route().guard(get_or_head()).to(healthy))
                    .default_service(web::to(not_found)),
            )
            .service(web::resource(webhook.path()).default_service(web::to(webhook::receive)))
            .default_service(web::to(webhook::other_path));
        exchanges(app)
    })
}

/// One worker fewer than processors, which leaves one processor to the recorder. With two workers on two processors a
/// sixth fewer notifications were recorded.
fn public_workers() -> usize {
    let processors = thread::available_parallelism().map_or(1, usize::from);
    (processors - 1).clamp(1, MAX_WORKERS)
}
