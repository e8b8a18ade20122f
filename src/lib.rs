//! Prometheus exporter for Cloudflare Stream Live: webhook notifications in, metrics out.
//!
//! Notifications can arrive late, twice, out of order or never. Each accepted one is therefore
//! appended to a durable journal before it is answered, and every metric about inputs is computed
//! from that journal by a pure fold.
//!
//! ```text
//! HTTP request ─▶ accept ─▶ journal ─▶ live ─▶ metrics ─▶ /metrics
//!                 (pure)   (durable)  (pure)  (computed at scrape)
//! ```
//!
//! [`recorder`] runs the stages on one thread, [`http`] serves the two listeners, [`daemon`] assembles
//! both and handles signals, and [`cli`] has the commands. ARCHITECTURE.md describes the whole
//! and defines the terms.

#[macro_use]
pub mod event;
pub mod schedule;
pub mod accept;
pub mod journal;
pub mod live;
pub mod metrics;
pub mod recorder;
pub mod timeline;
pub mod http;
pub mod daemon;
pub mod cli;
pub mod config;
pub mod document;
pub mod cloudflare;
pub mod simulate;
pub mod clock;
pub mod text;
pub mod telemetry;
