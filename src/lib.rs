//! Cloudflare Stream Live's webhook notifications in, Prometheus metrics out.
pub mod event;
pub mod accept;
pub mod journal;
pub mod live;
pub mod metrics;
pub mod recorder;
pub mod http;
pub mod config;
pub mod clock;
pub mod telemetry;
