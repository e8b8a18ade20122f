//! The only module that knows HTTP. It has two listeners that share nothing but the recorder and the list of rejected
//! deliveries.
//!
//! | listener | serves | for |
//! |---|---|---|
//! | public | the webhook, a health check | the internet |
//! | private | metrics, readiness, reload, API | operators and Prometheus |
//!
//! Each listener is a server with separate threads, so scrapes and webhooks do not delay each other.

mod public;
mod private;
mod web_config;
mod configuration;
mod certificate;
mod pem;
mod socket;
mod listener;
mod server;
mod connections;
mod connection;
mod bounded_reader;
mod request_body;
mod exchange;
mod rate_limiter;
mod files;
mod peer;
mod rejection;
mod unused_deliveries;
mod advice;
mod responses;

pub use certificate::{Certificate, InvalidFile};
pub use configuration::{
    Configuration, ConfiguredAccount, ConfiguredSecret, FailedReload, ListenerCertificate, Setting,
};
pub use connections::ConnectionLimits;
pub use listener::Sockets;
pub use peer::TrustedProxies;
pub use private::{ApiTasks, NotReplayed, PRIVATE_CONNECTIONS, Private, Reload, Replay, inputs_json, serve_private};
pub use public::{RequestPolicy, Webhook, serve_public};
pub use rate_limiter::RateLimiter;
pub use rejection::{AuthFailure, Rejection};
pub use server::{Server, ServerHandle, SocketOrigin};
pub use socket::{adopt, check_addresses, listen_on};
pub use unused_deliveries::UnusedDeliveries;
pub use web_config::WebConfig;
