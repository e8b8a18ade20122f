//! Cloudflare Stream Live's webhook notifications in, Prometheus metrics out.
pub mod event;
pub mod accept;
pub mod journal;
pub mod live;
pub mod config;
pub mod clock;
