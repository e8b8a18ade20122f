//! Cloudflare Stream Live's webhook notifications in, Prometheus metrics out.
//!
//! Notifications are facts that may come late, twice, out of order or never. So facts are kept, and
//! metrics derived: each accepted notification is appended to a durable journal before it is
//! answered, and everything that Prometheus sees is a pure fold of that journal.
//!
//! ```text
//! HTTP request ─▶ accept ─▶ journal ─▶ live ─▶ metrics ─▶ /metrics
//!                 (pure)   (durable)  (pure)  (computed at scrape)
//! ```
//!
//! The four stages are pure or do one thing; [`recorder`] is the shell around them, [`http`] the way
//! in and out, [`cli`] what a person sees. ARCHITECTURE.md is the map.

pub mod event;
pub mod schedule;
pub mod accept;
pub mod journal;
pub mod live;
pub mod metrics;
pub mod recorder;
pub mod http;
pub mod daemon;
pub mod cli;
pub mod config;
pub mod simulate;
pub mod clock;
pub mod telemetry;
